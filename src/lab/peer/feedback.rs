//! What a viewer tells a server of its network, as browsers do: transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01) on packets that carry the number, and REMB where none do.
//!
//! As Chromium and Firefox have it: a report at most every 50 to 250 ms, of all packets since the last one, the missing ones
//! included; the interval is such that reports take a twentieth of the received rate. A packet that comes behind a report that
//! called it missing is told again, with all that came within half a second before it. REMB says one and a half of the received
//! rate, two and a half times a second.
//!
//! Left out: feedback on request (transport-cc-02), which no browser offers; RFC 8888.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;
use crate::wire::rtcp::remb;
use crate::wire::rtcp::transport_feedback::{self, FeedbackHeader};
use crate::wire::sequence;

const INTERVAL_MIN: Duration = Duration::from_millis(50);
const INTERVAL_MAX: Duration = Duration::from_millis(250);
/// IP, UDP, SRTP and the mean report.
const REPORT_BITS: f64 = 68.0 * 8.0;
/// The part of the received rate that reports may take.
const REPORTS_PART: f64 = 0.05;
/// What came so long before a late packet is told again with it.
const TOLD_AGAIN: Duration = Duration::from_millis(500);
/// The received rate is that of so long.
const RATE_WINDOW: Duration = Duration::from_millis(500);
const REMB_INTERVAL: Duration = Duration::from_millis(400);
/// Chromium starts its estimate so.
const REMB_FIRST_BPS: u64 = 300_000;

/// Bytes received lately.
#[derive(Debug, Default)]
struct Rate {
    received: VecDeque<(Timestamp, usize)>,
    bytes: usize,
}

impl Rate {
    fn note(&mut self, bytes: usize, now: Timestamp) {
        // Those of a millisecond together: an audience of thousands keeps few entries each.
        match self.received.back_mut() {
            Some((at, sum)) if now.since(*at) < Duration::from_millis(1) => *sum += bytes,
            _ => self.received.push_back((now, bytes)),
        }
        self.bytes += bytes;
        while self.received.front().is_some_and(|(at, _)| now.since(*at) > RATE_WINDOW)
            && let Some((_, bytes)) = self.received.pop_front()
        {
            self.bytes -= bytes;
        }
    }

    fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / RATE_WINDOW.as_secs_f64()
    }
}

/// The feedback of one viewer.
#[derive(Debug, Default)]
pub struct Feedback {
    rate: Rate,
    /// Packets of the last half second and those not told yet, by extended number.
    arrivals: BTreeMap<u64, Timestamp>,
    /// The first number the next report speaks of.
    told_until: Option<u64>,
    newest: Option<u64>,
    next_report: Option<Timestamp>,
    last_report: Timestamp,
    media_ssrc: u32,
    reports: u8,
    /// Some packets carried no number.
    without_number: bool,
    next_remb: Option<Timestamp>,
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The extension of the transport-wide number, where its feedback was agreed on too.
    pub transport_cc: Option<u8>,
    /// REMB.
    pub remb: bool,
}

impl Feedback {
    /// Takes note of a packet; `number` is its transport-wide one.
    pub fn note(&mut self, agreed: Agreed, ssrc: u32, number: Option<u16>, bytes: usize, now: Timestamp) {
        self.rate.note(bytes, now);
        if agreed.remb {
            self.without_number |= number.is_none();
            self.next_remb.get_or_insert(now + REMB_INTERVAL);
        }
        let Some(number) = number.filter(|_| agreed.transport_cc.is_some()) else { return };
        let extended = self.newest.map_or((1 << 16) + u64::from(number), |newest| sequence::extend(newest, number));
        self.newest = self.newest.max(Some(extended));
        self.media_ssrc = ssrc;
        // Where it fills a hole that was told, the next report begins with it; what came long before is not told again.
        if self.told_until.is_none_or(|until| extended < until) {
            if self.told_until.is_some() {
                while let Some(first) = self.arrivals.first_entry()
                    && *first.key() < extended
                    && now.since(*first.get()) > TOLD_AGAIN
                {
                    first.remove();
                }
            }
            self.told_until = Some(extended);
        }
        if self.arrivals.len() < limits::TRANSPORT_ARRIVALS_MAX {
            self.arrivals.entry(extended).or_insert(now);
        }
        let interval = self.interval();
        self.next_report.get_or_insert((self.last_report + interval).max(now));
    }

    fn interval(&self) -> Duration {
        let rate = self.rate.bits_per_second().max(1.0);
        Duration::from_secs_f64((REPORT_BITS / (REPORTS_PART * rate)).min(1.0)).clamp(INTERVAL_MIN, INTERVAL_MAX)
    }

    /// When [`Self::write_report`] or [`Self::write_remb`] has something to say.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.next_report, self.next_remb].into_iter().flatten().min()
    }

    /// Writes a report that is due.
    pub fn write_report(&mut self, out: &mut [u8], own_ssrc: u32, now: Timestamp) -> Option<usize> {
        self.next_report.filter(|due| *due <= now)?;
        self.next_report = None;
        let base = self.told_until?;
        let newest = *self.arrivals.keys().next_back()?;
        // No endless run after a jump.
        let base = base.max(newest.saturating_sub(limits::TRANSPORT_FEEDBACK_PACKETS_MAX as u64 - 1));
        let arrivals: Vec<Option<u64>> =
            (base..=newest).map(|number| self.arrivals.get(&number).map(|at| at.as_nanos() / 1_000)).collect();
        let mut statuses = vec![None; arrivals.len()];
        let quantised = transport_feedback::quantise(&arrivals, &mut statuses);
        let header = FeedbackHeader {
            sender_ssrc: own_ssrc,
            media_ssrc: self.media_ssrc,
            base_sequence: (base & 0xffff) as u16,
            reference_time: quantised.reference_time,
            feedback_count: self.reports,
        };
        let written = transport_feedback::write(out, &header, statuses.get(..quantised.statuses)?)?;
        self.reports = self.reports.wrapping_add(1);
        self.last_report = now;
        let until = base + written.statuses as u64;
        self.told_until = Some(until);
        while let Some(first) = self.arrivals.first_entry()
            && *first.key() < until
            && now.since(*first.get()) > TOLD_AGAIN
        {
            first.remove();
        }
        if until <= newest {
            self.next_report = Some(now);
        }
        Some(written.len)
    }

    /// Writes an estimate that is due. Browsers make none of packets that have transport-wide numbers.
    pub fn write_remb(&mut self, out: &mut [u8], own_ssrc: u32, ssrcs: &[u32], now: Timestamp) -> Option<usize> {
        self.next_remb.filter(|due| *due <= now)?;
        self.next_remb = Some(now + REMB_INTERVAL);
        if !std::mem::take(&mut self.without_number) {
            return None;
        }
        let estimate = ((self.rate.bits_per_second() * 1.5) as u64).max(REMB_FIRST_BPS);
        remb::write(out, own_ssrc, estimate, ssrcs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtcp::{RtcpPacket, packets};

    const AGREED: Agreed = Agreed { transport_cc: Some(3), remb: true };

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// Base and, for each number, whether it came and how many milliseconds after the one before.
    fn report(feedback: &mut Feedback, now: Timestamp) -> Option<(u16, Vec<Option<i64>>)> {
        let mut bytes = [0; 1_200];
        let len = feedback.write_report(&mut bytes, 1, now)?;
        let Some(Ok(RtcpPacket::TransportFeedback(read))) = packets(&bytes[..len]).next() else { panic!() };
        let told = read.statuses().map(|(_, delta)| delta.map(|ticks| i64::from(ticks) / 4)).collect();
        Some((read.header.base_sequence, told))
    }

    #[test]
    fn a_report_tells_what_came_and_what_did_not_once() {
        let mut feedback = Feedback::default();
        for (number, at) in [(65_534, 1_024), (65_535, 1_026), (1, 1_031)] {
            feedback.note(AGREED, 9, Some(number), 30_000, ms(at));
        }
        assert_eq!(feedback.next_deadline(), Some(ms(1_024)), "nothing was told for long");
        assert_eq!(report(&mut feedback, ms(1_031)), Some((65_534, vec![Some(0), Some(2), None, Some(5)])));
        assert_eq!(report(&mut feedback, ms(2_000)), None, "nothing has come since");
        feedback.note(AGREED, 9, Some(2), 1_000, ms(1_032));
        assert_eq!(feedback.next_deadline(), Some(ms(1_081)), "50 ms after the last one: the rate is high");
    }

    #[test]
    fn one_that_comes_late_is_told_again_with_what_came_since() {
        let mut feedback = Feedback::default();
        [(1, 0), (2, 10), (4, 700)]
            .into_iter()
            .for_each(|(number, at)| feedback.note(AGREED, 9, Some(number), 1_000, ms(1_024 + at)));
        assert_eq!(report(&mut feedback, ms(1_800)).unwrap().1, [Some(0), Some(10), None, Some(690)]);
        feedback.note(AGREED, 9, Some(3), 1_000, ms(1_900));
        let (base, told) = report(&mut feedback, ms(2_050)).unwrap();
        assert_eq!(
            (base, told.len(), told[1]),
            (3, 2, Some(1_724 - 1_900)),
            "the fourth is told again, as when it came"
        );
    }

    #[test]
    fn a_low_rate_makes_reports_rare() {
        let mut feedback = Feedback::default();
        feedback.note(AGREED, 9, Some(1), 100, ms(1_000));
        report(&mut feedback, ms(1_000)).unwrap();
        feedback.note(AGREED, 9, Some(2), 100, ms(1_001));
        assert_eq!(feedback.next_deadline(), Some(ms(1_250)));
    }

    #[test]
    fn an_estimate_is_made_of_packets_without_numbers_only() {
        let mut feedback = Feedback::default();
        let mut bytes = [0; 100];
        for at in 0..1_000 {
            feedback.note(AGREED, 9, Some(at as u16), 1_000, ms(1_000 + at));
        }
        assert_eq!(feedback.write_remb(&mut bytes, 1, &[9], ms(2_000)), None);
        let mut feedback = Feedback::default();
        for at in 0..1_000 {
            feedback.note(AGREED, 9, None, 250, ms(1_000 + at));
        }
        assert_eq!(feedback.write_report(&mut bytes, 1, ms(2_000)), None);
        let len = feedback.write_remb(&mut bytes, 1, &[9], ms(2_000)).unwrap();
        let Some(Ok(RtcpPacket::Remb(remb))) = packets(&bytes[..len]).next() else { panic!() };
        assert!((2_900_000..3_100_000).contains(&remb.bitrate_bps), "1.5 of 2 Mbit/s: {}", remb.bitrate_bps);
        assert_eq!(feedback.next_deadline(), Some(ms(2_400)));
    }

    #[test]
    fn what_was_not_agreed_on_is_not_said() {
        let mut feedback = Feedback::default();
        feedback.note(Agreed::default(), 9, Some(1), 1_000, ms(1_000));
        assert_eq!(feedback.next_deadline(), None);
    }

    #[test]
    fn a_jump_of_numbers_makes_no_endless_report() {
        let mut feedback = Feedback::default();
        feedback.note(AGREED, 9, Some(1), 1_000, ms(1_000));
        feedback.note(AGREED, 9, Some(30_000), 1_000, ms(1_001));
        let (base, told) = report(&mut feedback, ms(1_100)).unwrap();
        assert_eq!(usize::from(base) + told.len(), 30_001);
        assert!(told.len() <= limits::TRANSPORT_FEEDBACK_PACKETS_MAX);
    }
}
