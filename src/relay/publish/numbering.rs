//! Keeps a track's numbers whole when packets are left out or put in.
//!
//! Padding-only probes are not forwarded and parameter sets may be put before a key frame: either would leave a
//! hole or a clash in the sequence, so the numbers after that point are shifted. The last few shifts are kept, so
//! that a packet recovered late still gets the number its neighbours imply.

use crate::limits;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// The shifts in force, oldest first: from an uplink sequence on, add an amount.
#[derive(Debug, Default, PartialEq, Eq)]
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

/// The layout of [`Numbering::export`].
const VERSION: u8 = 1;

impl Numbering {
    /// Writes all it is.
    pub fn export(&self, out: &mut StateWriter) {
        out.version(VERSION);
        out.option(self.newest, StateWriter::u64);
        out.u64(self.holes);
        out.count(self.shifts.len());
        for &(from, shift) in &self.shifts {
            out.u64(from);
            out.u64(shift as u64);
        }
    }

    /// Reads what [`Self::export`] wrote.
    ///
    /// # Errors
    /// It was written by another version, is cut short, or no numbering can be so.
    pub fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        from.version("a track's numbering", VERSION)?;
        let (newest, holes) = (from.option(StateReader::u64)?, from.u64()?);
        let count = from.count(limits::NUMBERING_SHIFTS_MAX)?;
        let mut shifts = Vec::with_capacity(count);
        for _ in 0..count {
            shifts.push((from.u64()?, from.u64()? as i64));
        }
        let ascending = shifts.is_sorted_by(|before, after| before.0 < after.0);
        if ascending { Ok(Self { shifts, newest, holes }) } else { Err(ImportError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytes::refuses_damage;

    #[test]
    fn a_numbering_goes_on_in_another_process() {
        let mut before = Numbering::default();
        forward(&mut before, 100);
        before.leave_out(101);
        forward(&mut before, 102);
        before.leave_out(103);
        assert_eq!(before.put_before(200), Some(198));
        let mut out = StateWriter::new();
        before.export(&mut out);
        let bytes = out.finish();
        let import = |bytes: &[u8]| {
            let mut from = StateReader::new(bytes);
            let numbering = Numbering::import(&mut from)?;
            from.finish()?;
            Ok(numbering)
        };
        assert_eq!(import(bytes.as_slice()), Ok(before));
        refuses_damage(&bytes, import);
        // Too many shifts, shifts out of order.
        for (at, value) in [(18, limits::NUMBERING_SHIFTS_MAX as u8 + 1), (22 + 7, 1)] {
            let mut bytes = bytes.as_slice().to_vec();
            bytes[at] = value;
            assert_eq!(import(&bytes), Err(ImportError::Malformed), "{value} at {at}");
        }
    }

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
