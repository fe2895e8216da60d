//! Keeps a track's numbers whole when packets are left out or put in.
//!
//! Padding-only probes are not forwarded and parameter sets may be put before a key frame: either would leave a
//! hole or a clash in the sequence, so the numbers after that point are shifted. The last few shifts are kept, so
//! that a packet recovered late still gets the number its neighbours imply.

use crate::limits;

/// The shifts in force, oldest first: from an uplink sequence on, add an amount.
#[derive(Debug, Default)]
pub struct Numbering {
    shifts: Vec<(u64, i64)>,
    newest: Option<u64>,
    /// Left-out packets whose hole could not be closed because later ones were gone already.
    pub holes: u64,
}

impl Numbering {
    /// The number a packet is forwarded with.
    #[must_use]
    pub fn map(&self, sequence: u64) -> u64 {
        let shift = self.shifts.iter().rev().find(|&&(from, _)| sequence >= from).map_or(0, |&(_, shift)| shift);
        sequence.wrapping_add_signed(shift)
    }

    /// Takes note that `sequence` was forwarded.
    pub fn forwarded(&mut self, sequence: u64) {
        self.newest = Some(self.newest.map_or(sequence, |newest| newest.max(sequence)));
    }

    /// Leaves `sequence` out: later ones move down by one.
    pub fn leave_out(&mut self, sequence: u64) {
        if self.newest.is_some_and(|newest| newest > sequence) {
            self.holes += 1;
            return;
        }
        self.shift(sequence + 1, -1);
    }

    /// Makes room for one packet before `sequence` and returns its number; `None` when `sequence` is not the newest.
    pub fn put_before(&mut self, sequence: u64) -> Option<u64> {
        if self.newest.is_some_and(|newest| newest >= sequence) {
            return None;
        }
        let number = self.map(sequence);
        self.shift(sequence, 1);
        Some(number)
    }

    fn shift(&mut self, from: u64, by: i64) {
        let total = self.shifts.last().map_or(0, |&(_, shift)| shift) + by;
        match self.shifts.last_mut() {
            Some(last) if last.0 >= from => last.1 = total,
            _ => {
                if self.shifts.len() == limits::NUMBERING_SHIFTS_MAX {
                    self.shifts.remove(0);
                }
                self.shifts.push((from, total));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(numbering: &mut Numbering, sequence: u64) -> u64 {
        numbering.forwarded(sequence);
        numbering.map(sequence)
    }

    #[test]
    fn probes_leave_no_hole_and_late_packets_keep_their_place() {
        let mut numbering = Numbering::default();
        assert_eq!(forward(&mut numbering, 100), 100);
        numbering.leave_out(102);
        assert_eq!(forward(&mut numbering, 103), 102);
        assert_eq!(forward(&mut numbering, 101), 101, "recovered late");
        numbering.leave_out(104);
        numbering.leave_out(105);
        assert_eq!(forward(&mut numbering, 106), 103);
    }

    #[test]
    fn each_packet_keeps_the_shift_of_its_place() {
        let mut numbering = Numbering::default();
        forward(&mut numbering, 100);
        for probe in [101, 103, 105] {
            numbering.leave_out(probe);
            forward(&mut numbering, probe + 1);
        }
        assert_eq!([100, 102, 104, 106, 107].map(|sequence| numbering.map(sequence)), [100, 101, 102, 103, 104]);
    }

    #[test]
    fn shifts_at_one_place_are_remembered_as_one_and_few_places_are_kept() {
        let mut numbering = Numbering::default();
        forward(&mut numbering, 100);
        numbering.leave_out(101);
        for _ in 0..=limits::NUMBERING_SHIFTS_MAX {
            assert!(numbering.put_before(200).is_some());
        }
        assert_eq!((numbering.map(102), numbering.shifts.len()), (101, 2));
        for probe in 0..limits::NUMBERING_SHIFTS_MAX as u64 {
            numbering.leave_out(300 + 2 * probe);
        }
        assert_eq!(numbering.shifts.len(), limits::NUMBERING_SHIFTS_MAX);
    }

    #[test]
    fn a_packet_put_in_moves_the_rest_up() {
        let mut numbering = Numbering::default();
        forward(&mut numbering, 7);
        assert_eq!(numbering.put_before(8), Some(8));
        assert_eq!(forward(&mut numbering, 8), 9);
        assert_eq!(numbering.put_before(8), None);
    }

    #[test]
    fn a_probe_older_than_what_was_forwarded_is_counted_as_a_hole() {
        let mut numbering = Numbering::default();
        forward(&mut numbering, 10);
        numbering.leave_out(9);
        assert_eq!((numbering.holes, numbering.map(11)), (1, 11));
    }
}
