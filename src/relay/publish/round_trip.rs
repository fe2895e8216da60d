//! The round-trip time to a publisher, measured where it matters: from a NACK to the packet that answers it.
//!
//! RTCP would not tell it. A report block answers sender reports, and the node sends a publisher none, because it sends it
//! no media. RFC 3611 §4.4 has reports for receivers (RRTR, answered by DLRR): libwebrtc answers them, OBS and FFmpeg do
//! not. Everybody who takes NACKs answers NACKs, and until one is sent nothing here needs the time.
//!
//! **Which answers count.** A packet asked for once tells the time; one asked for more often does not, because nobody
//! knows which request it answers (Karn's rule, RFC 6298 §3). It tells that requests may come too fast, so the pause is
//! doubled until a packet that was asked for once arrives. Where RTX was agreed, a late packet on the media source is
//! reordering and not an answer. The mean is that of RFC 6298 §2.3.
//!
//! Left out: the publisher's own delay is part of the time, as it is of the wait for a repeat.

use std::time::Duration;

use crate::limits;
use crate::relay::publish::reception::Asked;
use crate::time::Timestamp;

/// What is known of the round-trip time to one publisher.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    smoothed: Option<Duration>,
    pace: Duration,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self { smoothed: None, pace: limits::RTT_ASSUMED }
    }
}

impl RoundTrip {
    /// The mean; `None` before a packet that was asked for once has come.
    #[must_use]
    pub fn measured(&self) -> Option<Duration> {
        self.smoothed
    }

    /// How long an answer is waited for before the same packet is asked for again; to be held to its own bounds by who
    /// asks.
    #[must_use]
    pub fn pace(&self) -> Duration {
        self.pace
    }

    /// A packet that was asked for arrived at `now`.
    pub fn answered(&mut self, asked: Asked, now: Timestamp) {
        if now <= asked.first {
            // It was on its way already.
            return;
        }
        if asked.first != asked.last {
            self.pace = (self.pace.max(limits::NACK_REPEAT_MIN) * 2).min(limits::NACK_AGE_MAX / 4);
            return;
        }
        let sample = now.since(asked.first);
        let smoothed = self.smoothed.map_or(sample, |mean| (mean * 7 + sample) / 8);
        self.smoothed = Some(smoothed);
        self.pace = smoothed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_answer_to_the_only_request_is_the_round_trip_and_the_mean_follows_slowly() {
        let mut round_trip = RoundTrip::default();
        assert_eq!((round_trip.measured(), round_trip.pace()), (None, limits::RTT_ASSUMED));
        round_trip.answered(Asked { first: at(100), last: at(100) }, at(180));
        assert_eq!((round_trip.measured(), round_trip.pace()), (Some(ms(80)), ms(80)));
        round_trip.answered(Asked { first: at(200), last: at(200) }, at(360));
        assert_eq!(round_trip.measured(), Some(ms(90)), "seven eighths of 80 and one of 160");
    }

    #[test]
    fn an_answer_to_one_of_several_requests_is_no_measure_and_slows_the_next_ones() {
        let mut round_trip = RoundTrip::default();
        for pace in [100, 200, 375, 375] {
            round_trip.answered(Asked { first: at(100), last: at(160) }, at(200));
            assert_eq!((round_trip.measured(), round_trip.pace()), (None, ms(pace)));
        }
        round_trip.answered(Asked { first: at(100), last: at(100) }, at(400));
        assert_eq!((round_trip.measured(), round_trip.pace()), (Some(ms(300)), ms(300)));
        // The path became longer, from next to nothing: the pause grows from its least value.
        let mut near = RoundTrip::default();
        near.answered(Asked { first: at(0), last: at(0) }, Timestamp::from_nanos(1));
        near.answered(Asked { first: at(0), last: at(20) }, at(200));
        assert_eq!(near.pace(), limits::NACK_REPEAT_MIN * 2);
    }

    #[test]
    fn what_came_before_it_was_asked_for_answers_nothing() {
        let mut round_trip = RoundTrip::default();
        round_trip.answered(Asked { first: at(100), last: at(100) }, at(100));
        round_trip.answered(Asked { first: at(100), last: at(160) }, at(99));
        assert_eq!((round_trip.measured(), round_trip.pace()), (None, limits::RTT_ASSUMED));
    }
}
