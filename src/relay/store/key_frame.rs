//! When to ask the publisher for a key frame: any number of viewers become at most one request per interval.
//!
//! A request inside the interval is deferred, not dropped; one without an answer is repeated until a key frame
//! arrives. Encoders that ignore requests still work: viewers start at their next regular key frame.

use crate::limits;
use crate::time::Timestamp;

/// The state of one encoding's requests.
#[derive(Debug, Default)]
pub struct KeyFrameRequests {
    wanted: bool,
    last_sent: Option<Timestamp>,
    /// Requests sent.
    pub sent: u64,
}

impl KeyFrameRequests {
    /// Someone needs a key frame.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether somebody needs one already.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// A key frame began: nobody waits any more.
    pub fn key_frame_began(&mut self) {
        self.wanted = false;
    }

    /// Who needed one does not any more.
    pub fn nobody_waits(&mut self) {
        self.wanted = false;
    }

    /// When [`Self::poll`] is due; `None` while nobody wants one.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.wanted.then(|| self.last_sent.map_or(Timestamp::ZERO, |sent| sent + limits::KEY_FRAME_REQUEST_INTERVAL))
    }

    /// Whether a request is to be sent now.
    pub fn poll(&mut self, now: Timestamp) -> bool {
        let due = self.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.last_sent = Some(now);
            self.sent += 1;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_wishes_become_one_request_and_one_deferred() {
        let mut requests = KeyFrameRequests::default();
        let start = Timestamp::from_millis(1_000);
        for _ in 0..1_000 {
            requests.want();
        }
        assert!(requests.poll(start));
        requests.key_frame_began();
        // Another viewer comes at once: deferred to the end of the interval, not dropped.
        requests.want();
        assert!(!requests.poll(start));
        assert!(requests.poll(start + limits::KEY_FRAME_REQUEST_INTERVAL));
        assert_eq!(requests.sent, 2);
    }

    #[test]
    fn an_unanswered_request_is_repeated_until_a_key_frame_comes() {
        let mut requests = KeyFrameRequests::default();
        requests.want();
        let mut now = Timestamp::from_millis(1);
        for _ in 0..3 {
            assert!(requests.poll(now));
            now = now + limits::KEY_FRAME_REQUEST_INTERVAL;
        }
        requests.key_frame_began();
        assert_eq!(requests.next_deadline(), None);
        assert!(!requests.poll(now));
    }
}
