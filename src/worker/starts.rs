//! When a viewer's track was put at a key frame of the ring, and whether it is put there once more.
//!
//! A browser that is sent media in the same moment as the last datagram of its handshake may not have its keys yet, and loses what
//! comes first. It misses nothing by its numbers, which begin for it with what came later, and asks for a key frame as soon as it has
//! a picture that it cannot decode. That key frame is in the ring: the viewer is put at it once more, under new numbers, and nobody
//! else notices. So it goes [`limits::STARTS_AGAIN_MAX`] times in a track's life, and only with its first start: who asks later has lost
//! packets for lack of room, which a second key frame with all that follows it would not make. Who asks on is on its way to the live
//! edge, or asks the publisher when it should be there.
//!
//! Not here: the new numbers ([`Subscription::start_again`](crate::relay::play::subscription::Subscription::start_again)).

use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;

/// How old a key frame may be that a viewer starts with.
pub(super) const fn key_frame_age_max(by_connection: bool) -> Duration {
    if by_connection { limits::CONNECTION_KEY_FRAME_AGE_MAX } else { limits::KEY_FRAME_AGE_MAX }
}

/// The starts of one track.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starts {
    newest: Option<Timestamp>,
    again: u8,
    /// It has gone over to another encoding, or was put at a later key frame: its keys were there before.
    is_later: bool,
    /// It is to be put at the ring's key frame with its next visit, whatever it was sent.
    due: bool,
}

/// What becomes of a wish for a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wished {
    /// The track is put at the ring's key frame once more.
    Again,
    /// It is being sent one.
    OnItsWay,
    /// The publisher is to be asked.
    Upstream,
}

impl Starts {
    /// It was put at a key frame.
    pub fn started(&mut self, now: Timestamp) {
        self.is_later |= self.newest.is_some() && !self.due;
        self.newest = Some(now);
        self.due = false;
    }

    /// Whether it is to be put at the ring's key frame although it was sent that before.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.due
    }

    /// Whether its newest start was the ring's key frame once more.
    #[must_use]
    pub fn is_again(&self) -> bool {
        self.again > 0 && !self.is_later
    }

    /// Its viewer asks for a key frame. `has_passed` says that it was sent all of the ring's.
    pub fn wished(&mut self, has_passed: bool, now: Timestamp) -> Wished {
        let Some(since) = self.newest.map(|newest| now.since(newest)) else { return Wished::Upstream };
        if self.due {
            return Wished::OnItsWay;
        }
        if since > limits::CATCH_UP_PATIENCE {
            return Wished::Upstream;
        }
        let is_answer = self.again == 0 || since >= limits::START_AGAIN_PAUSE;
        if self.is_later || !has_passed || !is_answer || self.again >= limits::STARTS_AGAIN_MAX {
            return Wished::OnItsWay;
        }
        self.again += 1;
        self.due = true;
        Wished::Again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_when_it_has_just_started_is_started_twice_more_and_no_oftener() {
        let mut starts = Starts::default();
        let now = Timestamp::from_millis(5_000);
        assert_eq!(starts.wished(true, now), Wished::Upstream, "it waits for its first key frame");
        starts.started(now);
        assert!(!starts.is_again());
        assert_eq!(starts.wished(false, now), Wished::OnItsWay, "the key frame has not left yet");
        assert_eq!(starts.wished(true, now), Wished::Again);
        assert_eq!((starts.is_due(), starts.wished(true, now)), (true, Wished::OnItsWay));
        assert!(starts.is_again());
        starts.started(now);
        assert!(!starts.is_due() && starts.is_again());
        let soon = now + limits::START_AGAIN_PAUSE;
        assert_eq!(
            starts.wished(true, soon - Duration::from_millis(1)),
            Wished::OnItsWay,
            "it speaks of the first start"
        );
        assert_eq!(starts.wished(true, soon), Wished::Again);
        starts.started(soon);
        let late = soon + limits::CATCH_UP_PATIENCE;
        assert_eq!(starts.wished(true, late), Wished::OnItsWay, "not for ever");
        assert_eq!(starts.wished(true, late + Duration::from_millis(1)), Wished::Upstream);
        starts.started(late);
        assert!(!starts.is_again());
        assert_eq!(starts.wished(true, late), Wished::OnItsWay, "nor after a later start");
    }

    #[test]
    fn who_has_gone_over_and_asks_is_sent_nothing_a_second_time() {
        let mut starts = Starts::default();
        let now = Timestamp::from_millis(5_000);
        starts.started(now);
        let later = now + Duration::from_millis(300);
        starts.started(later);
        for ms in [0, 200, 900] {
            assert_eq!(starts.wished(true, later + Duration::from_millis(ms)), Wished::OnItsWay);
        }
        assert!(!starts.is_due());
        assert_eq!(starts.wished(true, later + 2 * limits::CATCH_UP_PATIENCE), Wished::Upstream);
    }

    #[test]
    fn who_asks_later_asks_the_publisher() {
        let mut starts = Starts::default();
        starts.started(Timestamp::ZERO);
        let late = Timestamp::ZERO + limits::CATCH_UP_PATIENCE + Duration::from_millis(1);
        assert_eq!(starts.wished(true, late), Wished::Upstream);
        assert!(!starts.is_due());
    }
}
