//! How much one visit may send a viewer, and when the next is due: what is larger than an ordinary frame leaves in trains.
//!
//! There is no queue and no copy: the cursor stops in mid-frame, the visit ends with
//! [`AfterVisit::Later`](super::fan_out::AfterVisit::Later), and the [`super::fan_out`] gives the viewer back when it is due. A
//! viewer's state is the time at which all it was sent has left at its pace. While that lies before now it may be sent a *train*
//! at once: ten packets, or one and a half of the stream's frames where those are larger. So an ordinary frame is never cut.
//!
//! The pace is the fastest of three, in nanoseconds per byte, so that the fastest is the least:
//! - that of the stream: [`limits::PACE_PERCENT_OF_STREAM`] of its rate ([`Pace`], shared by all viewers);
//! - that of the path: [`limits::PACE_PERCENT_OF_CAPACITY`] of its capacity, and [`limits::PACE_BITS_PER_SECOND_MIN`] while that is
//!   not known;
//! - that of one who has to catch up ([`catch_up_bits_per_second`], [`super::squeeze`]), until it is at the live edge, loses packets,
//!   or its capacity becomes known. Who reports on its packets is not hurried before its first report could be here
//!   ([`limits::HURRIED_UNHEARD_AFTER`]): behind 5 Mbit/s a second of the past at 7 Mbit/s overruns a queue of 30 kB. Who begins
//!   is sent some packets of its first picture more at once ([`limits::FIRST_TRAIN_MORE_PACKETS`]).
//!
//! Repeats count as the rest does, and go before it. Sound never waits, and what goes over a connection has its own bounds.
//!
//! Not here: the capacity of a path ([`crate::bandwidth::estimator`]).

use std::time::Duration;

use crate::limits;
use crate::relay::store::stream_rate::StreamRate;
use crate::time::Timestamp;

/// The pace of one stream, as far as it is the same for all viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    nanos_per_byte: u32,
    /// Packets that may leave at once.
    at_once: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { nanos_per_byte: SLOWEST, at_once: limits::PACED_TRAIN_PACKETS }
    }
}

/// Slower than any.
const SLOWEST: u32 = u32::MAX;
/// As [`SLOWEST`], and not to be hurried until it is at the live edge.
const UNHURRIED: u32 = SLOWEST - 1;

/// Bits per second as nanoseconds per byte.
const fn nanos_per_byte(bits_per_second: u32) -> u32 {
    let nanos = 8_000_000_000 / if bits_per_second == 0 { 1 } else { bits_per_second as u64 };
    if nanos >= UNHURRIED as u64 {
        UNHURRIED - 1
    } else if nanos == 0 {
        1
    } else {
        nanos as u32
    }
}

/// Nanoseconds per byte as bits per second.
const fn bits_per_second(nanos_per_byte: u32) -> u32 {
    let bits = 8_000_000_000 / nanos_per_byte as u64;
    if bits > u32::MAX as u64 { u32::MAX } else { bits as u32 }
}

/// How fast one that is so far behind is sent so that it is at the live edge within `time`, mostly [`limits::CATCH_UP_TIME`].
#[must_use]
pub fn catch_up_bits_per_second(rate: &StreamRate, behind_bytes: u64, time: Duration) -> u32 {
    let rate = rate.bits_per_second();
    let by_then = u128::from(behind_bytes) * 8_000 / time.as_millis().max(1);
    let wanted = u32::try_from(by_then).unwrap_or(u32::MAX).saturating_add(rate);
    let most = rate.saturating_mul(limits::CATCH_UP_RATES_MAX).max(4 * limits::PACE_BITS_PER_SECOND_MIN);
    wanted.clamp(limits::PACE_BITS_PER_SECOND_MIN, most)
}

const fn percent(of: u32, percent: u32) -> u32 {
    let part = of as u64 * percent as u64 / 100;
    if part > u32::MAX as u64 { u32::MAX } else { part as u32 }
}

impl Pace {
    /// Of a stream that comes so.
    #[must_use]
    pub fn of(rate: &StreamRate) -> Self {
        let frame = percent(rate.mean_frame_bytes(), limits::PACED_FRAMES_AT_ONCE_PERCENT);
        let at_once = frame.div_ceil(limits::PACED_PACKET_BYTES);
        let at_once = at_once.clamp(limits::PACED_TRAIN_PACKETS, limits::PACED_PACKETS_AT_ONCE_MAX);
        let bits_per_second = percent(rate.bits_per_second(), limits::PACE_PERCENT_OF_STREAM);
        Self { nanos_per_byte: nanos_per_byte(bits_per_second), at_once }
    }
}

/// One viewer's place in its pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacer {
    /// When all it was sent has left at its pace.
    sent_until: Timestamp,
    /// When what waits in its network has left it so far that more may follow.
    drained: Timestamp,
    by_path: u32,
    by_catching_up: u32,
    /// How fast it is to catch up, from then on.
    hurry: Option<(u32, Timestamp)>,
}

impl Default for Pacer {
    fn default() -> Self {
        let by_path = nanos_per_byte(limits::PACE_BITS_PER_SECOND_MIN);
        Self { sent_until: Timestamp::ZERO, drained: Timestamp::ZERO, by_path, by_catching_up: SLOWEST, hurry: None }
    }
}

/// What a visit may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send so many packets at most.
    Now(usize),
    /// Nothing before then.
    Later(Timestamp),
}

impl Pacer {
    /// The path takes so many bits per second; `None` where that is not known.
    pub fn set_capacity(&mut self, bits_per_second: Option<u32>) {
        self.by_path = nanos_per_byte(match bits_per_second {
            Some(capacity) => percent(capacity, limits::PACE_PERCENT_OF_CAPACITY).max(limits::PACE_OF_PATH_MIN),
            None => limits::PACE_BITS_PER_SECOND_MIN,
        });
        if bits_per_second.is_some() {
            self.unhurried();
        }
    }

    fn unhurried(&mut self) {
        self.hurry = None;
        if self.by_catching_up != UNHURRIED {
            self.by_catching_up = SLOWEST;
        }
    }

    /// Its path has become narrow all at once: it takes so many bits per second, and nothing before then.
    pub fn narrowed(&mut self, bits_per_second: u32, drained: Timestamp) {
        self.set_capacity(Some(bits_per_second));
        // What was sent before has its own time to leave.
        (self.sent_until, self.drained) = (drained, drained);
        self.by_catching_up = SLOWEST;
    }

    /// It is behind, and shall be sent so many bits per second until it is not, from `from` on ([`Self::hurry_due`]). Not where the
    /// path is known to be slower, or has shown it: it is sent as fast as that allows.
    pub fn catch_up(&mut self, bits_per_second: u32, from: Timestamp) {
        let is_known = self.by_path != Self::default().by_path;
        if !is_known && self.by_catching_up != UNHURRIED {
            let wanted = nanos_per_byte(bits_per_second.min(limits::PACE_BITS_PER_SECOND_MAX));
            // Not slower as it comes nearer: it would never be there.
            self.hurry = Some(self.hurry.map_or((wanted, from), |(most, since)| (most.min(wanted), since)));
        }
    }

    /// It is hurried from now on, if it is time.
    pub fn hurry_due(&mut self, now: Timestamp) {
        if let Some((wanted, _)) = self.hurry.take_if(|(_, from)| *from <= now) {
            self.by_catching_up = self.by_catching_up.min(wanted);
        }
    }

    /// It is at the live edge.
    #[inline]
    pub fn caught_up(&mut self) {
        (self.by_catching_up, self.hurry) = (SLOWEST, None);
    }

    /// It lost packets: who is hurried is hurried no more, nor is who was to be.
    pub fn lost(&mut self) {
        if self.by_catching_up != SLOWEST || self.hurry.take().is_some() {
            self.by_catching_up = UNHURRIED;
        }
    }

    #[inline]
    fn nanos_per_byte(&self, pace: Pace) -> u32 {
        pace.nanos_per_byte.min(self.by_path).min(self.by_catching_up)
    }

    /// The pace it is sent at, in bits per second.
    #[must_use]
    pub fn bits_per_second(&self, pace: Pace) -> u32 {
        bits_per_second(self.nanos_per_byte(pace))
    }

    /// How long `bytes` that it is behind take it, while the stream goes on. Who is hurried once its first report is here is taken to
    /// report within [`limits::FIRST_REPORT_EXPECTED`], and to have a network that carries what it is hurried at.
    #[must_use]
    pub fn time_to_send(&self, pace: Pace, rate: &StreamRate, bytes: u64, now: Timestamp) -> Duration {
        let unhurried = self.nanos_per_byte(pace);
        let (hurried, unheard) = match self.hurry {
            Some((wanted, from)) => (unhurried.min(wanted), from.since(now).min(limits::FIRST_REPORT_EXPECTED)),
            None => (unhurried, Duration::ZERO),
        };
        let gained =
            |nanos_per_byte| u64::from(bits_per_second(nanos_per_byte).saturating_sub(rate.bits_per_second()).max(1));
        let by_then = gained(unhurried).saturating_mul(unheard.as_micros() as u64) / 8_000_000;
        let (lasts, bytes, nanos_per_byte) = match bytes.checked_sub(by_then) {
            Some(left) => (unheard, left, hurried),
            None => (Duration::ZERO, bytes, unhurried),
        };
        if bits_per_second(nanos_per_byte) >= limits::PACE_BITS_PER_SECOND_MAX {
            return lasts;
        }
        lasts + Duration::from_micros(bytes.saturating_mul(8_000_000) / gained(nanos_per_byte))
    }

    /// What a visit may send of a viewer's `behind` packets.
    #[inline]
    pub fn turn(&self, pace: Pace, behind: u64, now: Timestamp) -> Turn {
        if self.sent_until <= now {
            let is_paced = self.nanos_per_byte(pace) >= nanos_per_byte_of_none();
            let most = if is_paced { pace.at_once as usize } else { limits::PACKETS_PER_VISIT_MAX };
            return Turn::Now(most.min(limits::PACKETS_PER_VISIT_MAX));
        }
        self.turn_in_train(pace, behind, now)
    }

    /// It has been sent something already that has not left at its pace.
    #[cold]
    fn turn_in_train(&self, pace: Pace, behind: u64, now: Timestamp) -> Turn {
        if self.drained > now {
            return Turn::Later(self.drained);
        }
        let nanos_per_byte = self.nanos_per_byte(pace);
        if nanos_per_byte < nanos_per_byte_of_none() {
            return Turn::Now(limits::PACKETS_PER_VISIT_MAX);
        }
        let nanos_per_packet = u64::from(nanos_per_byte) * u64::from(limits::PACED_PACKET_BYTES);
        let at_once = u64::from(pace.at_once) * nanos_per_packet;
        let used = self.sent_until.since(now).as_nanos() as u64;
        let packets = at_once.saturating_sub(used) / nanos_per_packet;
        let wanted = behind.clamp(1, u64::from(limits::PACED_TRAIN_PACKETS));
        if packets >= wanted {
            return Turn::Now((packets as usize).min(limits::PACKETS_PER_VISIT_MAX));
        }
        Turn::Later(self.sent_until - Duration::from_nanos(at_once.saturating_sub(wanted * nanos_per_packet)))
    }

    /// Whether all of a viewer's `behind` packets may leave at once, whatever the pace ([`Self::turn`]): mostly one frame of a train's
    /// length, and nothing on its way.
    #[inline]
    #[must_use]
    pub fn is_free(&self, behind: u64, now: Timestamp) -> bool {
        behind <= u64::from(limits::PACED_TRAIN_PACKETS) && !self.is_waiting(now)
    }

    /// What it was sent has not left at its pace.
    #[inline]
    #[must_use]
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        self.sent_until > now
    }

    /// Takes note of what was sent.
    #[inline]
    pub fn sent(&mut self, pace: Pace, bytes: u64, now: Timestamp) {
        let nanos = bytes.saturating_mul(u64::from(self.nanos_per_byte(pace)));
        self.sent_until = Timestamp::from_nanos(self.sent_until.max(now).as_nanos().saturating_add(nanos));
    }

    /// When a repeat may leave that takes the place of what would be sent then; `None` where that is too late
    /// ([`limits::REPEAT_WAIT_MAX`]).
    pub fn reserve(&mut self, pace: Pace, bytes: usize, now: Timestamp) -> Option<Timestamp> {
        let nanos_per_byte = self.nanos_per_byte(pace);
        let mut after = *self;
        after.sent(pace, bytes as u64, now);
        let at_once = u64::from(pace.at_once) * u64::from(nanos_per_byte) * u64::from(limits::PACED_PACKET_BYTES);
        let due = if nanos_per_byte < nanos_per_byte_of_none() {
            now
        } else {
            now.max(after.sent_until - Duration::from_nanos(at_once)).max(self.drained)
        };
        (due.since(now) <= limits::REPEAT_WAIT_MAX).then(|| {
            *self = after;
            due
        })
    }
}

/// Below this a pace is none.
const fn nanos_per_byte_of_none() -> u32 {
    nanos_per_byte(limits::PACE_BITS_PER_SECOND_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = limits::PACED_PACKET_BYTES as u64;

    /// Sends so many packets as visits find them due; the packets and the time of each visit.
    fn send(pacer: &mut Pacer, pace: Pace, packets: u64, from: Timestamp) -> Vec<(u64, Timestamp)> {
        let (mut now, mut left, mut visits) = (from, packets, Vec::new());
        while left > 0 {
            match pacer.turn(pace, left, now) {
                Turn::Now(most) => {
                    let sent = left.min(most as u64);
                    assert!(sent > 0, "it was due");
                    pacer.sent(pace, sent * PACKET, now);
                    left -= sent;
                    visits.push((sent, now));
                }
                Turn::Later(due) => {
                    assert!(due > now, "a visit for nothing");
                    now = due;
                }
            }
        }
        visits
    }

    fn rate(packets_per_frame: u64) -> StreamRate {
        let mut rate = StreamRate::default();
        for frame in 0..40 {
            for packet in 0..packets_per_frame {
                let ends = packet + 1 == packets_per_frame;
                rate.arrived(PACKET as usize, ends, false, Timestamp::from_millis(frame * 33));
            }
        }
        rate
    }

    #[test]
    fn a_key_frame_leaves_in_trains_of_ten_at_five_megabits() {
        let start = Timestamp::from_millis(1_000);
        let visits = send(&mut Pacer::default(), Pace::default(), 48, start);
        let sizes: Vec<u64> = visits.iter().map(|visit| visit.0).collect();
        assert_eq!(sizes, [10, 10, 10, 10, 8]);
        for pair in visits.windows(2) {
            assert_eq!(pair[1].1.since(pair[0].1), Duration::from_millis(if pair[1].0 == 10 { 20 } else { 16 }));
        }
    }

    #[test]
    fn an_ordinary_frame_never_waits_however_large_the_streams_frames_are() {
        for packets in [1, 4, 10, 14, 40] {
            let pace = Pace::of(&rate(packets));
            let mut pacer = Pacer::default();
            for frame in 0..100 {
                let at = Timestamp::from_millis(frame * 33);
                let visits = send(&mut pacer, pace, packets, at);
                assert!(visits.iter().all(|visit| visit.1 == at), "frames of {packets}: {visits:?}");
            }
        }
    }

    #[test]
    fn the_pace_is_the_fastest_of_stream_and_path() {
        let slow = Pace::of(&rate(2));
        let fast = Pace::of(&rate(20));
        let mut pacer = Pacer::default();
        assert_eq!(pacer.bits_per_second(slow), limits::PACE_BITS_PER_SECOND_MIN);
        let of_stream = pacer.bits_per_second(fast);
        assert!((14_000_000..17_000_000).contains(&of_stream), "{of_stream}");
        pacer.set_capacity(Some(1_000_000));
        assert!(pacer.bits_per_second(slow) < 1_700_000, "nobody is sent five megabits over one");
        assert_eq!(pacer.bits_per_second(fast), of_stream, "and never less than the stream needs");
        pacer.set_capacity(Some(20_000_000));
        assert!(pacer.bits_per_second(slow).abs_diff(17_000_000) < 50_000);
        pacer.set_capacity(None);
        assert_eq!(pacer, Pacer::default());
    }

    #[test]
    fn a_path_that_takes_far_more_is_not_paced() {
        let mut pacer = Pacer::default();
        pacer.set_capacity(Some(100_000_000));
        let at = Timestamp::from_millis(5);
        assert!(send(&mut pacer, Pace::default(), 400, at).iter().all(|visit| visit.1 == at));
        assert_eq!(pacer.reserve(Pace::default(), 1_250, at), Some(at));
    }

    #[test]
    fn a_path_that_has_become_narrow_is_sent_nothing_until_it_has_drained() {
        let (pace, now) = (Pace::default(), Timestamp::from_millis(50));
        let mut pacer = Pacer::default();
        pacer.catch_up(20_000_000, now);
        pacer.hurry_due(now);
        pacer.sent(pace, 100 * PACKET, now);
        let drained = now + Duration::from_millis(200);
        pacer.narrowed(300_000, drained);
        for packets in [1, 10, 40] {
            assert_eq!(pacer.turn(pace, packets, now), Turn::Later(drained));
        }
        assert_eq!(pacer.reserve(pace, PACKET as usize, now), Some(drained));
        // And then at its own pace, at once.
        assert_eq!(pacer.turn(pace, 9, drained), Turn::Now(9));
        assert!(pacer.bits_per_second(pace) < 300_000);
    }

    #[test]
    fn who_is_behind_is_hurried_until_it_is_at_the_edge_or_loses_packets() {
        let (pace, now) = (Pace::default(), Timestamp::from_millis(50));
        let mut pacer = Pacer::default();
        let hurried = |pacer: &Pacer| pacer.bits_per_second(pace) == 10_000_000;
        let hurry = |pacer: &mut Pacer, bits_per_second| {
            pacer.catch_up(bits_per_second, now);
            pacer.hurry_due(now);
        };
        pacer.lost();
        hurry(&mut pacer, 10_000_000);
        assert!(hurried(&pacer));
        hurry(&mut pacer, 6_000_000);
        assert!(hurried(&pacer), "the nearer it comes, the less it has to catch up");
        pacer.caught_up();
        assert!(!hurried(&pacer));
        hurry(&mut pacer, 10_000_000);
        pacer.lost();
        hurry(&mut pacer, 10_000_000);
        assert!(!hurried(&pacer), "not before it is at the edge");
        pacer.caught_up();
        hurry(&mut pacer, 10_000_000);
        assert!(hurried(&pacer));
        // What is known of the path counts for more.
        let known_pace = |pacer: &Pacer| pacer.bits_per_second(pace).abs_diff(1_700_000) < 1_000;
        pacer.set_capacity(Some(2_000_000));
        assert!(known_pace(&pacer));
        hurry(&mut pacer, 10_000_000);
        assert!(known_pace(&pacer));
    }

    #[test]
    fn who_reports_is_not_hurried_before_its_report_could_be_here() {
        let (pace, now) = (Pace::default(), Timestamp::from_millis(50));
        let from = now + limits::HURRIED_UNHEARD_AFTER;
        let mut pacer = Pacer::default();
        pacer.catch_up(10_000_000, from);
        // As it is behind all the while, it is to catch up again and again.
        pacer.catch_up(8_000_000, now);
        pacer.hurry_due(from - Duration::from_nanos(1));
        assert_eq!(pacer.bits_per_second(pace), limits::PACE_BITS_PER_SECOND_MIN);
        let (mut heard, mut lost) = (pacer, pacer);
        pacer.hurry_due(from);
        assert_eq!(pacer.bits_per_second(pace), 10_000_000);
        lost.lost();
        lost.hurry_due(from);
        assert_eq!(lost.bits_per_second(pace), limits::PACE_BITS_PER_SECOND_MIN);
        heard.set_capacity(Some(8_000_000));
        heard.hurry_due(from);
        assert!(heard.bits_per_second(pace).abs_diff(6_800_000) < 10_000);
    }

    #[test]
    fn the_time_to_the_live_edge_counts_the_wait_for_the_first_report() {
        let (pace, now, nothing) = (Pace::default(), Timestamp::from_millis(50), StreamRate::default());
        let mut pacer = Pacer::default();
        let lasts = |pacer: &Pacer, bytes| pacer.time_to_send(pace, &nothing, bytes, now).as_millis();
        assert_eq!(lasts(&pacer, 100_000), 160);
        pacer.catch_up(10_000_000, now + limits::HURRIED_UNHEARD_AFTER);
        // 100 ms at 5 Mbit/s are 62,500 bytes.
        assert_eq!(lasts(&pacer, 62_500), 100);
        assert_eq!(lasts(&pacer, 50_000), 80);
        assert_eq!(lasts(&pacer, 62_500 + 125_000), 200);
        pacer.hurry_due(now + limits::HURRIED_UNHEARD_AFTER);
        assert_eq!(lasts(&pacer, 125_000), 100);
    }

    #[test]
    fn repeats_leave_one_after_the_other_and_the_rest_waits_for_them() {
        let (pace, now) = (Pace::default(), Timestamp::from_millis(50));
        let mut pacer = Pacer::default();
        let times: Vec<u64> =
            (0..14).map(|_| pacer.reserve(pace, PACKET as usize, now).unwrap().since(now).as_micros() as u64).collect();
        assert_eq!(times[..10], [0; 10]);
        assert_eq!(times[10..], [2_000, 4_000, 6_000, 8_000]);
        assert_eq!(pacer.turn(pace, 10, now), Turn::Later(now + Duration::from_millis(28)));
        assert_eq!(pacer.turn(pace, 1, now), Turn::Later(now + Duration::from_millis(10)));
        // Repeats for longer than that are of no use, and hold up nothing.
        while pacer.reserve(pace, PACKET as usize, now).is_some() {}
        let until = pacer.sent_until;
        assert!(until <= now + limits::REPEAT_WAIT_MAX + Duration::from_millis(20), "{until:?}");
        assert_eq!((pacer.reserve(pace, PACKET as usize, now), pacer.sent_until), (None, until));
    }

    #[test]
    fn no_rate_of_anybody_is_too_much_for_the_arithmetic() {
        assert!(nanos_per_byte(0) < UNHURRIED && nanos_per_byte(u32::MAX) == 1);
        let mut pacer = Pacer::default();
        for capacity in [0, 1, u32::MAX] {
            pacer.set_capacity(Some(capacity));
            pacer.sent(Pace { nanos_per_byte: SLOWEST, at_once: u32::MAX }, u64::MAX, Timestamp::ZERO);
            pacer.turn(Pace { nanos_per_byte: SLOWEST, at_once: u32::MAX }, u64::MAX, Timestamp::ZERO);
            pacer.reserve(Pace::default(), usize::MAX, Timestamp::from_nanos(u64::MAX));
        }
    }
}
