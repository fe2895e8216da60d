//! Which of several sources that send one track at the same time is the track.
//!
//! A publisher whose simulcast was declined may send its encodings all the same, each under an SSRC of its own, with one
//! mid and one payload type. Forwarded together they would be one stream that starts anew with every packet. So the first
//! source that comes is the track as long as it lives. Another one takes its place when it says goodbye, or when the other
//! one has gone on for a while in which nothing came of it: its encoder was started again, or it was turned off.
//!
//! Not here: which track a source belongs to ([`super::publication`]).

use crate::limits;
use crate::time::Timestamp;

/// A source that sends while another one is the track.
#[derive(Clone, Copy, Debug)]
struct Challenger {
    ssrc: u32,
    /// When its first packet came after the last one of the present source.
    since: Timestamp,
    last_heard: Timestamp,
    /// RTP timestamp of its newest packet.
    timestamp: u32,
    /// How many timestamps it sent since.
    frames: u8,
}

/// What a packet's source is to its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the track.
    Present,
    /// It is the track from now on, in place of another one.
    Successor,
    /// Another one is.
    Other,
}

/// The source of one track.
#[derive(Debug, Default)]
pub(super) struct TrackSource {
    ssrc: Option<u32>,
    last_heard: Timestamp,
    /// It has said goodbye.
    ended: bool,
    challenger: Option<Challenger>,
}

impl TrackSource {
    /// Goes on with the source that another process had chosen.
    pub(super) fn imported(ssrc: Option<u32>, now: Timestamp) -> Self {
        Self { ssrc, last_heard: now, ..Self::default() }
    }

    /// Its SSRC, once one has sent.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Takes note of a packet and says what its source is.
    #[inline]
    pub(super) fn judge(&mut self, ssrc: u32, timestamp: u32, now: Timestamp) -> Standing {
        if self.ssrc == Some(ssrc) {
            self.last_heard = now;
            return Standing::Present;
        }
        self.judge_other(ssrc, timestamp, now)
    }

    #[cold]
    fn judge_other(&mut self, ssrc: u32, timestamp: u32, now: Timestamp) -> Standing {
        let standing = if self.ssrc.is_none() {
            Standing::Present
        } else if self.ended || self.is_beaten_by(ssrc, timestamp, now) {
            Standing::Successor
        } else {
            return Standing::Other;
        };
        *self = Self { ssrc: Some(ssrc), last_heard: now, ended: false, challenger: None };
        standing
    }

    /// Of several others the first one challenges, as long as it goes on itself.
    fn is_beaten_by(&mut self, ssrc: u32, timestamp: u32, now: Timestamp) -> bool {
        let fresh = Challenger { ssrc, since: now, last_heard: now, timestamp, frames: 1 };
        let Some(challenger) = &mut self.challenger else {
            self.challenger = Some(fresh);
            return false;
        };
        let is_over = challenger.since <= self.last_heard
            || now.since(challenger.last_heard) > limits::SOURCE_SILENCE_MAX && challenger.ssrc != ssrc;
        if is_over {
            *challenger = fresh;
            return false;
        }
        if challenger.ssrc != ssrc {
            return false;
        }
        challenger.last_heard = now;
        if challenger.timestamp != timestamp {
            challenger.timestamp = timestamp;
            challenger.frames = challenger.frames.saturating_add(1);
        }
        // Encodings of one picture come one after the other, and of a still one seldom: time alone says nothing.
        challenger.frames >= limits::SOURCE_SUCCESSOR_FRAMES
            && now.since(challenger.since) >= limits::SOURCE_SILENCE_MAX
    }

    /// A source has said goodbye (RFC 3550 §6.6): the next one that sends may take its place at once.
    pub(super) fn goodbye(&mut self, ssrc: u32) {
        self.ended |= self.ssrc == Some(ssrc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(10_000 + ms)
    }

    #[test]
    fn of_encodings_that_are_sent_together_the_first_stays_the_track() {
        let mut source = TrackSource::default();
        // Three encodings of each picture, a picture each second: a page that stands still.
        for picture in 0..20 {
            for (ms, ssrc) in (0..).zip([[1, 2, 3], [2, 1, 3], [3, 2, 1]][picture as usize % 3]) {
                let standing = source.judge(ssrc, picture * 90_000, at(u64::from(picture) * 1_000 + ms));
                assert_eq!(standing, if ssrc == 1 { Standing::Present } else { Standing::Other }, "{picture} {ssrc}");
            }
        }
        assert_eq!(source.ssrc(), Some(1));
    }

    #[test]
    fn when_the_track_falls_silent_the_first_of_the_others_that_goes_on_takes_its_place_once() {
        let mut source = TrackSource::default();
        source.judge(1, 0, at(0));
        let mut changes = Vec::new();
        for picture in 1..60u32 {
            for ssrc in [2, 3] {
                if source.judge(ssrc, picture * 3_000, at(u64::from(picture) * 33)) == Standing::Successor {
                    changes.push((ssrc, picture));
                }
            }
        }
        // 300 ms after the second one's first packet.
        assert_eq!(changes, [(2, 11)]);
        // The challenger itself may end: the next one is looked at then.
        let mut source = TrackSource::default();
        source.judge(1, 0, at(0));
        source.judge(2, 3_000, at(33));
        let successor = (2..60u32)
            .find(|&picture| source.judge(3, picture * 3_000, at(u64::from(picture) * 33)) == Standing::Successor);
        assert_eq!(successor, Some(21), "both silences");
    }

    #[test]
    fn a_source_that_says_goodbye_makes_room_at_once() {
        let mut source = TrackSource::default();
        source.judge(1, 0, at(0));
        source.goodbye(2);
        assert_eq!(source.judge(2, 0, at(1)), Standing::Other, "it was not the one that left");
        source.goodbye(1);
        assert_eq!(source.judge(2, 0, at(2)), Standing::Successor);
        assert_eq!(source.judge(2, 0, at(3)), Standing::Present);
        // One that is heard again after its goodbye was only late.
        source.goodbye(2);
        assert_eq!(source.judge(2, 0, at(4)), Standing::Present);
    }
}
