//! What arrived of one uplink source, and what is missing: the numbers of receiver reports (RFC 3550 §6.4, A.3,
//! A.8) and the gaps worth a NACK (RFC 4585 §6.2.1).
//!
//! A gap is asked for after a short grace (reordering is not loss), again every round trip, and given up after
//! [`limits::NACK_AGE_MAX`]. The number of open gaps is bounded: past that the oldest are given up.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};
use crate::wire::rtcp::ReportBlock;
use crate::wire::sequence;

/// One missing packet.
#[derive(Clone, Copy, Debug)]
struct Gap {
    sequence: u64,
    seen: Timestamp,
    next_request: Timestamp,
    asked: Option<Asked>,
    /// [`Reception::poll_nack`] has not come by since.
    is_new: bool,
}

/// When a missing packet was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The first time.
    pub first: Timestamp,
    /// The last time: the same where it was asked for once.
    pub last: Timestamp,
}

/// What [`Reception::receive`] says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its extended sequence number.
    pub sequence: u64,
    /// Whether it filled a gap that was asked for.
    pub recovered: bool,
    /// When it was asked for, if it was.
    pub asked: Option<Asked>,
}

/// One source's reception.
#[derive(Debug)]
pub struct Reception {
    clock_rate_hz: u32,
    /// Whether gaps are asked for (the codec's NACK feedback was agreed).
    nack: bool,
    first: u64,
    newest: Option<u64>,
    received: u64,
    gaps: VecDeque<Gap>,
    /// RFC 3550 A.8, in units of 1/16 timestamp tick.
    jitter_16: u64,
    last_transit: Option<u32>,
    expected_prior: u64,
    received_prior: u64,
    last_report: Option<(u32, Timestamp)>,
    /// Gaps given up.
    pub lost: u64,
    /// Gaps filled after they were asked for.
    pub recovered: u64,
    /// Sequence numbers asked for, repeats included.
    pub nacks_sent: u64,
}

/// The extended number of a source's first packet: one rollover up, so that an earlier one has a number too.
const FIRST_CYCLE: u64 = 1 << 16;

impl Reception {
    /// Nothing received yet.
    #[must_use]
    pub fn new(clock_rate_hz: u32, nack: bool) -> Self {
        Self {
            clock_rate_hz,
            nack,
            first: 0,
            newest: None,
            received: 0,
            gaps: VecDeque::new(),
            jitter_16: 0,
            last_transit: None,
            expected_prior: 0,
            received_prior: 0,
            last_report: None,
            lost: 0,
            recovered: 0,
            nacks_sent: 0,
        }
    }

    /// That of a line of a link between nodes: its indexes begin at 1, so that the first packets are missed too.
    #[must_use]
    pub fn of_a_line() -> Self {
        Self { first: FIRST_CYCLE, newest: Some(FIRST_CYCLE), ..Self::new(90_000, true) }
    }

    /// As [`Self::receive`], of a line: the packet's index.
    pub fn receive_of_a_line(&mut self, low: u16, now: Timestamp) -> Option<u64> {
        self.receive(low, 0, false, now)?.sequence.checked_sub(FIRST_CYCLE)
    }

    /// Its sender says that it has sent all up to this one: what is not here is missing, also behind the newest that came.
    pub fn sent_up_to(&mut self, sequence_number: u16, now: Timestamp) {
        let Some(newest) = self.newest else { return };
        let sequence = sequence::extend(newest, sequence_number);
        if sequence > newest {
            self.open_gaps(newest + 1, sequence + 1, now);
            self.newest = Some(sequence);
        }
    }

    /// Takes note of a packet; `None` for a duplicate and for one too old to place.
    pub fn receive(
        &mut self,
        sequence_number: u16,
        timestamp: u32,
        is_repair: bool,
        now: Timestamp,
    ) -> Option<Received> {
        let Some(newest) = self.newest else {
            if is_repair {
                return None;
            }
            let sequence = FIRST_CYCLE + u64::from(sequence_number);
            self.first = sequence;
            self.newest = Some(sequence);
            self.received = 1;
            self.update_jitter(timestamp, now);
            return Some(Received { sequence, recovered: false, asked: None });
        };
        let sequence = sequence::extend(newest, sequence_number);
        if sequence > newest {
            if is_repair {
                // A repair of something never missed: the source restarted or the peer is confused.
                return None;
            }
            self.open_gaps(newest + 1, sequence, now);
            self.newest = Some(sequence);
            self.received += 1;
            self.update_jitter(timestamp, now);
            return Some(Received { sequence, recovered: false, asked: None });
        }
        let at = self.gaps.binary_search_by_key(&sequence, |gap| gap.sequence).ok()?;
        let gap = self.gaps.remove(at)?;
        let recovered = gap.asked.is_some();
        self.received += 1;
        self.recovered += u64::from(recovered);
        Some(Received { sequence, recovered, asked: gap.asked })
    }

    fn open_gaps(&mut self, from: u64, to: u64, now: Timestamp) {
        let missing = to.saturating_sub(from);
        let kept = missing.min(limits::NACK_GAPS_MAX as u64);
        self.lost += missing - kept;
        for sequence in to - kept..to {
            if self.gaps.len() == limits::NACK_GAPS_MAX {
                self.gaps.pop_front();
                self.lost += 1;
            }
            let next_request = now + limits::NACK_GRACE;
            self.gaps.push_back(Gap { sequence, seen: now, next_request, asked: None, is_new: true });
        }
    }

    /// When [`Self::poll_nack`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        // Few are open at a time. The oldest need not be the next: it may wait for its repeat while a new one's grace
        // ends.
        self.gaps.iter().map(|gap| gap.next_request).min()
    }

    /// Fills `request` with sequence numbers to ask for now, ascending; `rtt` paces the repeats. Returns how many.
    pub fn poll_nack(&mut self, rtt: Duration, now: Timestamp, request: &mut [u16]) -> usize {
        // Gaps are as old as the arrival that showed them. Where the worker comes to them much later, what fills them may be
        // in the socket behind it: their time begins when they are looked at.
        for gap in self.gaps.iter_mut().rev().take_while(|gap| gap.is_new) {
            gap.is_new = false;
            if now.since(gap.seen) > limits::NACK_LATE {
                (gap.seen, gap.next_request) = (now, now + limits::NACK_GRACE);
            }
        }
        while let Some(gap) = self.gaps.front()
            && now.since(gap.seen) >= limits::NACK_AGE_MAX
        {
            self.gaps.pop_front();
            self.lost += 1;
        }
        let pause = rtt.clamp(limits::NACK_REPEAT_MIN, limits::NACK_AGE_MAX / 4) + limits::NACK_GRACE;
        let mut filled = 0;
        for gap in &mut self.gaps {
            if gap.next_request > now {
                continue;
            }
            if !self.nack {
                gap.next_request = now + pause;
                continue;
            }
            // What finds no room stays due.
            let Some(slot) = request.get_mut(filled) else { break };
            gap.next_request = now + pause;
            *slot = (gap.sequence & 0xffff) as u16;
            gap.asked = Some(Asked { first: gap.asked.map_or(now, |asked| asked.first), last: now });
            filled += 1;
        }
        self.nacks_sent += filled as u64;
        filled
    }

    fn update_jitter(&mut self, timestamp: u32, now: Timestamp) {
        let arrival = (u128::from(now.as_nanos()) * u128::from(self.clock_rate_hz) / 1_000_000_000) as u32;
        // Timestamps begin anywhere, so both differences wrap.
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(last) = self.last_transit {
            let difference = u64::from((transit.wrapping_sub(last) as i32).unsigned_abs());
            self.jitter_16 = (self.jitter_16 + difference).saturating_sub((self.jitter_16 + 8) >> 4);
        }
        self.last_transit = Some(transit);
    }

    /// Takes note of the source's sender report (for LSR and DLSR).
    pub fn sender_report(&mut self, ntp_middle: u32, now: Timestamp) {
        self.last_report = Some((ntp_middle, now));
    }

    /// The report block for a receiver report (RFC 3550 §6.4.1); `None` before the first packet.
    pub fn report(&mut self, ssrc: u32, now: Timestamp) -> Option<ReportBlock> {
        let newest = self.newest?;
        let expected = newest - self.first + 1;
        let lost = expected as i64 - self.received as i64;
        let expected_interval = expected - self.expected_prior;
        let received_interval = self.received - self.received_prior;
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction_lost = (lost_interval * 256).checked_div(expected_interval).unwrap_or(0).min(255) as u8;
        let (last_sender_report, delay) = match self.last_report {
            Some((middle, at)) => (middle, (now.since(at).as_nanos() * 65_536 / 1_000_000_000) as u32),
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_sequence: (newest - FIRST_CYCLE) as u32,
            jitter: (self.jitter_16 >> 4) as u32,
            last_sender_report,
            delay_since_last_sender_report: delay,
        })
    }
}

/// The layout of [`Reception::export`].
const VERSION: u8 = 1;

impl Reception {
    /// Writes what tells a new packet from an old one, and the counts of reports. When a gap was first asked for is not in
    /// it: its packet then tells no round-trip time.
    pub fn export(&self, now: Timestamp, out: &mut StateWriter) {
        out.version(VERSION);
        out.u64(self.first);
        out.option(self.newest, StateWriter::u64);
        for count in [self.received, self.expected_prior, self.received_prior, self.lost, self.recovered] {
            out.u64(count);
        }
        out.count(self.gaps.len());
        for gap in &self.gaps {
            out.u64(gap.sequence);
            out.age(gap.seen, now);
        }
    }

    /// Reads what [`Self::export`] wrote, for a source with these properties.
    ///
    /// # Errors
    /// It was written by another version, is cut short, or no reception can be so.
    pub fn import(
        clock_rate_hz: u32,
        nack: bool,
        now: Timestamp,
        from: &mut StateReader<'_>,
    ) -> Result<Self, ImportError> {
        from.version("a source's reception", VERSION)?;
        let (first, newest) = (from.u64()?, from.option(StateReader::u64)?);
        let [received, expected_prior, received_prior, lost, recovered] =
            [from.u64()?, from.u64()?, from.u64()?, from.u64()?, from.u64()?];
        let count = from.count(limits::NACK_GAPS_MAX)?;
        // What a report subtracts must be there to subtract from.
        let expected = newest.map_or(Some(0), |newest| newest.checked_sub(first)?.checked_add(1));
        let numbered = newest.is_none_or(|newest| newest >= FIRST_CYCLE);
        if !numbered || expected.is_none_or(|expected| expected < expected_prior) || received < received_prior {
            return Err(ImportError::Malformed);
        }
        let mut reception = Self::new(clock_rate_hz, nack);
        for _ in 0..count {
            let (sequence, seen) = (from.u64()?, from.age(now)?);
            let ascends = reception.gaps.back().is_none_or(|last| last.sequence < sequence);
            if !ascends || newest.is_none_or(|newest| newest <= sequence) {
                return Err(ImportError::Malformed);
            }
            let next_request = seen + limits::NACK_GRACE;
            reception.gaps.push_back(Gap { sequence, seen, next_request, asked: None, is_new: false });
        }
        Ok(Self { first, newest, received, expected_prior, received_prior, lost, recovered, ..reception })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytes::refuses_damage;

    #[test]
    fn counts_that_contradict_each_other_are_not_imported() {
        let now = Timestamp::from_millis(9);
        let import = |newest: u64, expected_prior, received_prior| {
            let mut out = StateWriter::new();
            out.version(VERSION);
            out.u64(FIRST_CYCLE + 10);
            out.option(Some(newest), |out, newest| out.u64(newest));
            [3, expected_prior, received_prior, 0, 0].into_iter().for_each(|count| out.u64(count));
            out.count(0);
            let bytes = out.finish();
            let reception = Reception::import(90_000, true, now, &mut StateReader::new(bytes.as_slice()));
            reception.map(|mut reception| reception.report(1, now).is_some())
        };
        assert!(matches!(import(FIRST_CYCLE + 12, 3, 3), Ok(true)));
        assert!(matches!(import(FIRST_CYCLE + 12, 4, 3), Err(ImportError::Malformed)));
        assert!(matches!(import(FIRST_CYCLE + 12, 3, 4), Err(ImportError::Malformed)));
        assert!(matches!(import(12, 0, 0), Err(ImportError::Malformed)));
    }

    #[test]
    fn a_reception_goes_on_in_another_process() {
        let mut before = Reception::new(90_000, true);
        for sequence in [10, 11, 14, 16] {
            before.receive(sequence, 0, false, at(1)).unwrap();
        }
        let mut out = StateWriter::new();
        before.export(at(1), &mut out);
        let bytes = out.finish();
        let import = |bytes: &[u8]| {
            let mut from = StateReader::new(bytes);
            let reception = Reception::import(90_000, true, at(1), &mut from)?;
            from.finish()?;
            Ok(reception)
        };
        let mut after = import(bytes.as_slice()).unwrap();
        assert_eq!((after.report(7, at(2)), nack(&mut after, 20)), (before.report(7, at(2)), vec![12, 13, 15]));
        // What came is a duplicate, what is missing is not.
        assert!(after.receive(14, 0, false, at(3)).is_none() && after.receive(13, 0, false, at(3)).is_some());
        refuses_damage(&bytes, import);
        // Older than its first packet, too many gaps, gaps out of order.
        for (at, value) in [(8, 1), (59, 255), (62 + 7, 1)] {
            let mut bytes = bytes.as_slice().to_vec();
            bytes[at] = value;
            assert_eq!(import(&bytes).err(), Some(ImportError::Malformed), "{value} at {at}");
        }
    }

    const RTT: Duration = Duration::from_millis(40);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn nack(reception: &mut Reception, ms: u64) -> Vec<u16> {
        let mut request = [0; 16];
        let filled = reception.poll_nack(RTT, at(ms), &mut request);
        request[..filled].to_vec()
    }

    #[test]
    fn reordering_within_the_grace_is_not_asked_for() {
        let mut reception = Reception::new(90_000, true);
        reception.receive(1, 0, false, at(0));
        reception.receive(3, 0, false, at(1));
        assert_eq!(nack(&mut reception, 2), [0u16; 0]);
        assert!(!reception.receive(2, 0, false, at(3)).unwrap().recovered);
        assert_eq!(nack(&mut reception, 500), [0u16; 0]);
        assert_eq!(reception.recovered, 0);
    }

    #[test]
    fn a_gap_is_asked_for_again_until_it_is_filled() {
        let mut reception = Reception::new(90_000, true);
        reception.receive(65_534, 0, false, at(0));
        reception.receive(1, 0, false, at(1));
        assert_eq!(nack(&mut reception, 30), [65_535, 0]);
        assert_eq!(nack(&mut reception, 31), [0u16; 0]);
        let first = reception.receive(65_535, 0, true, at(60)).unwrap();
        assert!(first.recovered && first.asked == Some(Asked { first: at(30), last: at(30) }));
        assert_eq!(nack(&mut reception, 150), [0]);
        let second = reception.receive(0, 0, true, at(190)).unwrap();
        assert_eq!(second.asked, Some(Asked { first: at(30), last: at(150) }));
        assert!(reception.receive(0, 0, true, at(191)).is_none(), "a second repair is a duplicate");
        assert_eq!((reception.recovered, reception.lost), (2, 0));
    }

    #[test]
    fn what_fills_a_gap_is_taken_after_a_stop_however_long_it_waited() {
        let mut reception = Reception::new(90_000, true);
        let (arrival, stop) = (Timestamp::from_millis(1_000), limits::NACK_AGE_MAX * 2);
        reception.receive(10, 0, false, arrival);
        reception.receive(13, 0, false, arrival);
        // The worker was stopped: it reads two packets of the four, does what is due, and reads the others.
        let now = arrival + stop;
        let mut request = [0; 8];
        assert_eq!(
            reception.poll_nack(Duration::ZERO, now, &mut request),
            0,
            "not asked for before it can have been read"
        );
        assert!(reception.receive(11, 0, false, arrival).is_some());
        assert_eq!(reception.poll_nack(Duration::ZERO, now + limits::NACK_GRACE, &mut request), 1);
        assert_eq!(request[0], 12);
        assert!(reception.receive(12, 0, false, arrival).is_some());
    }

    #[test]
    fn a_gap_is_given_up_and_a_jump_is_bounded() {
        let mut reception = Reception::new(90_000, true);
        reception.receive(1, 0, false, at(0));
        reception.receive(3, 0, false, at(1));
        nack(&mut reception, 50);
        nack(&mut reception, 5_000);
        assert_eq!(reception.lost, 1);
        reception.receive(30_000, 0, false, at(5_001));
        assert!(reception.gaps.len() <= limits::NACK_GAPS_MAX);
    }

    #[test]
    fn the_first_packets_may_come_in_any_order() {
        let mut reception = Reception::new(90_000, true);
        assert!(reception.receive(0, 0, true, at(0)).is_none(), "a repair of nothing");
        reception.receive(0, 0, false, at(0)).unwrap();
        assert!(reception.receive(65_535, 0, false, at(1)).is_none(), "from before the first");
        assert!(reception.receive(1, 0, true, at(1)).is_none(), "a repair of something never missed");
        assert_eq!(reception.receive(1, 0, false, at(2)).map(|received| received.sequence), Some(FIRST_CYCLE + 1));
        assert!(reception.receive(1, 0, false, at(2)).is_none(), "the newest once more");
        assert_eq!(reception.report(7, at(2)).unwrap().highest_sequence, 1);
    }

    #[test]
    fn a_gap_is_asked_for_after_its_grace_and_again_after_a_round_trip() {
        let mut reception = Reception::new(90_000, true);
        assert_eq!(reception.next_deadline(), None);
        reception.receive(1, 0, false, at(0));
        reception.receive(3, 0, false, at(100));
        let due = at(100) + limits::NACK_GRACE;
        assert_eq!(reception.next_deadline(), Some(due));
        let mut request = [0; 4];
        assert_eq!(reception.poll_nack(RTT, due - Duration::from_nanos(1), &mut request), 0);
        // The pause between requests: a round trip within bounds, and the grace.
        let mut now = due;
        for (rtt, pause) in
            [(RTT, RTT), (Duration::ZERO, limits::NACK_REPEAT_MIN), (Duration::from_secs(9), limits::NACK_AGE_MAX / 4)]
        {
            assert_eq!((reception.poll_nack(rtt, now, &mut request), request[0]), (1, 2));
            now = now + pause + limits::NACK_GRACE;
            assert_eq!(reception.next_deadline(), Some(now));
        }
        assert_eq!(reception.nacks_sent, 3);
    }

    #[test]
    fn what_finds_no_room_in_a_request_stays_due() {
        let mut reception = Reception::new(90_000, true);
        reception.receive(1, 0, false, at(0));
        reception.receive(5, 0, false, at(0));
        let mut request = [0; 2];
        assert_eq!((reception.poll_nack(RTT, at(50), &mut request), request), (2, [2, 3]));
        assert_eq!((reception.poll_nack(RTT, at(50), &mut request), request[0]), (1, 4));
        assert_eq!(reception.poll_nack(RTT, at(50), &mut request), 0);
        assert_eq!(reception.nacks_sent, 3);
    }

    #[test]
    fn nothing_is_asked_for_where_nack_was_not_agreed() {
        let mut reception = Reception::new(90_000, false);
        reception.receive(1, 0, false, at(0));
        reception.receive(3, 0, false, at(0));
        assert_eq!(nack(&mut reception, 50), [0u16; 0]);
        assert_eq!(reception.next_deadline(), Some(at(50) + RTT + limits::NACK_GRACE), "looked at again, not at once");
        let last = at(0) + limits::NACK_AGE_MAX;
        assert_eq!(reception.poll_nack(RTT, last - Duration::from_nanos(1), &mut [0; 4]), 0);
        assert_eq!(reception.lost, 0);
        assert_eq!(reception.poll_nack(RTT, last, &mut [0; 4]), 0);
        assert_eq!((reception.lost, reception.nacks_sent, reception.next_deadline()), (1, 0, None));
    }

    #[test]
    fn gaps_past_the_bound_are_given_up_oldest_first() {
        let max = limits::NACK_GAPS_MAX as u16;
        let mut reception = Reception::new(90_000, true);
        reception.receive(0, 0, false, at(0));
        // max + 3 are missing: three are not even looked for.
        reception.receive(max + 4, 0, false, at(1));
        assert_eq!((reception.lost, reception.gaps.len()), (3, usize::from(max)));
        assert!(reception.receive(3, 0, false, at(2)).is_none());
        assert!(reception.receive(4, 0, false, at(2)).is_some());
        // One place is free, two more are missing.
        reception.receive(max + 7, 0, false, at(3));
        assert_eq!((reception.lost, reception.gaps.len()), (4, usize::from(max)));
        assert!(reception.receive(5, 0, false, at(4)).is_none());
        assert!(reception.receive(max + 6, 0, false, at(4)).is_some());
    }

    #[test]
    fn a_report_tells_the_loss_since_the_one_before() {
        let mut reception = Reception::new(90_000, true);
        assert_eq!(reception.report(7, at(0)), None);
        for sequence in [0, 1, 2, 4] {
            reception.receive(sequence, 0, false, at(0));
        }
        let block = reception.report(7, at(0)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (51, 1), "one of five");
        assert_eq!((block.last_sender_report, block.delay_since_last_sender_report), (0, 0));
        for sequence in [6, 8] {
            reception.receive(sequence, 0, false, at(0));
        }
        let block = reception.report(7, at(0)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (128, 3), "two of four");
        let block = reception.report(7, at(0)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 3), "none of none");
        // Late ones are more than were expected of the interval (RFC 3550 A.3: then none is lost).
        reception.receive(7, 0, false, at(1));
        let block = reception.report(7, at(1)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 2));
    }

    #[test]
    fn jitter_is_that_of_rfc_3550_appendix_a8() {
        let mut reception = Reception::new(90_000, true);
        // A packet each 10 ms, 900 ticks. The third and fourth come 5 ms late and in time: D = 450 both times.
        let mut jitter = Vec::new();
        for (sequence, ms) in [(0, 1_000), (1, 1_010), (2, 1_025), (3, 1_030), (4, 1_040)] {
            reception.receive(sequence, u32::from(sequence) * 900, false, at(ms));
            jitter.push(reception.report(7, at(ms)).unwrap().jitter);
        }
        // In sixteenths: 450, then 450 + 450 - 28, then 872 - 55.
        assert_eq!(jitter, [0, 0, 450 / 16, 872 / 16, 817 / 16]);
    }

    #[test]
    fn jitter_does_not_depend_on_where_timestamps_begin() {
        for transit in [0, 0x7fff_ffff, u32::MAX] {
            let mut reception = Reception::new(90_000, true);
            // Sent at once, received 1 ms apart.
            reception.receive(0, 90_000_u32.wrapping_sub(transit), false, at(1_000));
            reception.receive(1, 90_000_u32.wrapping_sub(transit), false, at(1_001));
            assert_eq!(reception.report(7, at(1_001)).unwrap().jitter, 90 / 16, "{transit:x}");
        }
    }

    #[test]
    fn a_report_counts_as_rfc_3550_appendix_a_does() {
        let mut reception = Reception::new(90_000, true);
        for sequence in (0..100u16).filter(|s| s % 4 != 1) {
            reception.receive(sequence, u32::from(sequence) * 3_000, false, at(u64::from(sequence) * 33));
        }
        reception.sender_report(0xabcd, at(3_000));
        let block = reception.report(7, at(3_500)).unwrap();
        assert_eq!((block.cumulative_lost, block.fraction_lost), (25, 64));
        assert_eq!(block.highest_sequence, 99);
        assert_eq!((block.last_sender_report, block.delay_since_last_sender_report), (0xabcd, 32_768));
    }
}
