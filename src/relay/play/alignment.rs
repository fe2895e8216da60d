//! Two encodings of one track on one clock: what to add to the timestamps of the one so that they go on from the other's.
//!
//! Every encoding has a timeline of its own, and RTP timestamps begin anywhere (RFC 3550 §5.1). Where the publisher has
//! reported both, its wall clock ties them together (§6.4.1); before that the times at which their packets arrived do,
//! which is exact to the network's jitter. Either way time does not go backwards for the viewer.

use crate::limits;
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::packet_ring::{PacketInfo, PacketRing};
use crate::relay::store::sender_clock::SenderClock;
use crate::wire::codec::Codec;
use crate::wire::sequence::timestamp_distance;

/// An encoding as a viewer that switches sees it.
#[derive(Clone, Copy, Debug)]
pub struct EncodingView<'a> {
    /// Which one.
    pub id: EncodingId,
    /// Its packets.
    pub ring: &'a PacketRing,
    /// The publisher's newest report, where there was one.
    pub clock: Option<&'a SenderClock>,
    /// RTP clock in Hz.
    pub clock_rate_hz: u32,
    /// The encoding on whose timeline it is: its own, or that of the one it is made from.
    pub timeline_of: EncodingId,
    /// What its packets hold, once known.
    pub codec: Option<Codec>,
}

impl<'a> EncodingView<'a> {
    /// Of a whole encoding.
    #[must_use]
    pub fn of(encoding: &'a Encoding) -> Self {
        let clock_rate_hz = encoding.clock_rate_hz();
        let (ring, clock) = (&encoding.ring, encoding.clock());
        let codec = encoding.codec().map(|published| published.codec);
        Self { id: encoding.id(), ring, clock, clock_rate_hz, timeline_of: encoding.timeline_of(), codec }
    }
}

/// What to add to the timestamps of `to`, whose first packet is `first`, for a viewer that was last sent `last` of `from`
/// with `offset` added; `None` where that packet lies further back than [`limits::SWITCH_BACK_MAX`].
#[must_use]
pub fn timestamp_offset(
    (from, last, offset): (&EncodingView<'_>, &PacketInfo, u32),
    (to, first): (&EncodingView<'_>, &PacketInfo),
) -> Option<u32> {
    if from.timeline_of == to.timeline_of {
        // The same packets in another form: it goes on behind what was sent.
        return (timestamp_distance(last.timestamp, first.timestamp) > 0).then_some(offset);
    }
    let by_arrival = shift_by_arrival(last, first, to.clock_rate_hz);
    let shift = from
        .clock
        .zip(to.clock)
        .and_then(|(from, to)| shift_by_clock(from, to))
        .filter(|&by_clock| {
            let most = limits::SWITCH_CLOCK_DIFFERENCE_MAX.as_secs() * u64::from(to.clock_rate_hz);
            u64::from(timestamp_distance(by_arrival, by_clock).unsigned_abs()) <= most
        })
        .unwrap_or(by_arrival);
    let offset_of_first = offset.wrapping_add(shift);
    // Strictly later than what the viewer has, or its receiver takes the new picture for a part of the old one.
    let step = timestamp_distance(last.timestamp.wrapping_add(offset), first.timestamp.wrapping_add(offset_of_first));
    if step > 0 {
        return Some(offset_of_first);
    }
    let back_most = limits::SWITCH_BACK_MAX.as_millis() * u128::from(to.clock_rate_hz) / 1_000;
    let back = step.unsigned_abs();
    (u128::from(back) <= back_most).then(|| offset_of_first.wrapping_add(back).wrapping_add(1))
}

/// The distance of two timelines by the wall-clock times of the publisher's reports; `None` where their rates differ.
fn shift_by_clock(from: &SenderClock, to: &SenderClock) -> Option<u32> {
    if from.clock_rate_hz != to.clock_rate_hz {
        return None;
    }
    let later = to.ntp.0.wrapping_sub(from.ntp.0) as i64;
    let ticks = (i128::from(later) * i128::from(from.clock_rate_hz)) >> 32;
    Some(from.timestamp.wrapping_sub(to.timestamp).wrapping_add(ticks as u32))
}

fn shift_by_arrival(last: &PacketInfo, first: &PacketInfo, clock_rate_hz: u32) -> u32 {
    let passed = i128::from(first.arrival.as_nanos()) - i128::from(last.arrival.as_nanos());
    let ticks = passed * i128::from(clock_rate_hz) / 1_000_000_000;
    last.timestamp.wrapping_sub(first.timestamp).wrapping_add(ticks as u32)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::relay::store::numbers::Sequence;
    use crate::relay::store::packet_ring::Layers;
    use crate::time::{NtpTime, Timestamp};

    fn info(timestamp: u32, ms: u64) -> PacketInfo {
        PacketInfo {
            sequence: Sequence(1),
            timestamp,
            arrival: Timestamp::from_millis(ms),
            marker: false,
            key_frame: false,
            padding: 0,
            layers: Layers::UNKNOWN,
        }
    }

    fn clock(ntp_ms: u64, timestamp: u32) -> SenderClock {
        let ntp = NtpTime(1 << 40) + Duration::from_millis(ntp_ms);
        SenderClock { ntp, timestamp, arrival: Timestamp::ZERO, clock_rate_hz: 90_000 }
    }

    fn view<'a>(number: u8, ring: &'a PacketRing, clock: Option<&'a SenderClock>) -> EncodingView<'a> {
        let id = EncodingId::from_number(number).unwrap();
        EncodingView { id, ring, clock, clock_rate_hz: 90_000, timeline_of: id, codec: None }
    }

    fn offset(from: Option<SenderClock>, to: Option<SenderClock>, last: &PacketInfo, first: &PacketInfo) -> u32 {
        let ring = PacketRing::new(64, 1_024);
        let (from, to) = (view(0, &ring, from.as_ref()), view(1, &ring, to.as_ref()));
        timestamp_offset((&from, last, 5), (&to, first)).unwrap()
    }

    #[test]
    fn the_publishers_clock_ties_two_timelines_together() {
        // Timeline `to` is 1,000,000 ticks behind; its picture was taken 40 ms after the last one, whenever it came.
        let (last, first) = (info(2_000_000, 500), info(1_003_600, 590));
        let (from, to) = (clock(0, 2_000_000 - 45_000), clock(100, 1_000_000 - 36_000));
        let offset = offset(Some(from), Some(to), &last, &first);
        assert!(first.timestamp.wrapping_add(offset).abs_diff(2_000_000 + 3_600 + 5) <= 1);
    }

    #[test]
    fn without_a_report_the_times_of_arrival_do() {
        let (last, first) = (info(u32::MAX - 100, 500), info(7, 533));
        for (from, to) in [(None, None), (Some(clock(0, 0)), None), (None, Some(clock(0, 0)))] {
            let offset = offset(from, to, &last, &first);
            assert_eq!(first.timestamp.wrapping_add(offset), (u32::MAX - 100).wrapping_add(33 * 90 + 5));
        }
    }

    #[test]
    fn a_clock_that_contradicts_the_times_of_arrival_is_not_believed() {
        let (last, first) = (info(1_000, 500), info(7, 533));
        let offset = offset(Some(clock(0, 1_000)), Some(clock(3_000_000, 7)), &last, &first);
        assert_eq!(first.timestamp.wrapping_add(offset), 1_000 + 33 * 90 + 5);
    }

    #[test]
    fn time_goes_on_where_the_target_lies_a_little_behind_and_further_behind_is_no_target() {
        // The picture of the switch was taken before the last one that was sent.
        let (last, first) = (info(90_000, 500), info(200_000, 500));
        let (from, to) = (clock(0, 0), clock(0, 200_000 - 89_000));
        let offset = offset(Some(from), Some(to), &last, &first);
        assert_eq!(first.timestamp.wrapping_add(offset), 90_000 + 5 + 1);
        let ring = PacketRing::new(64, 1_024);
        for (back_ms, is_target) in [(20, true), (21, false)] {
            let (from, to, first) = (view(0, &ring, None), view(1, &ring, None), info(7, 500 - back_ms));
            assert_eq!(timestamp_offset((&from, &last, 5), (&to, &first)).is_some(), is_target, "{back_ms} ms");
        }
    }

    #[test]
    fn the_same_packets_in_another_form_keep_their_timestamps_and_none_comes_twice() {
        let ring = PacketRing::new(64, 1_024);
        let (from, to) =
            (view(0, &ring, None), EncodingView { timeline_of: EncodingId::default(), ..view(1, &ring, None) });
        for (timestamp, expected) in [(999, None), (1_000, None), (1_001, Some(5))] {
            let (last, first) = (info(1_000, 500), info(timestamp, 900));
            assert_eq!(timestamp_offset((&from, &last, 5), (&to, &first)), expected, "{timestamp}");
        }
    }
}
