//! A viewer's path that passes no full packet: a tunnel with a smaller MTU that drops what is too long.
//!
//! Such a viewer asks for every full packet, and for its repeats too, which are as long. The node cannot make smaller
//! packets of what a publisher sends, so it finds this out (as RFC 8899 finds a black hole out, by what does not arrive),
//! tells it once by name, and stops repeating what cannot arrive.
//!
//! The sign: in a few seconds full packets are asked for more than twice each, and shorter ones hardly. Loss that does not
//! look at length would have to take two packets of three for that, and would take the short ones too.

use crate::limits;
use crate::time::Timestamp;

/// What one viewer asked for, by length. It exists from its first request on.
#[derive(Clone, Copy, Debug)]
pub struct NarrowPath {
    window_began: Timestamp,
    /// Full packets of the encoding at that time.
    full_before: u64,
    full_asked: u64,
    short_asked: u64,
    /// Full packets are not repeated before.
    withheld_until: Option<Timestamp>,
    was_told: bool,
}

/// What becomes of a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is sent.
    Sent,
    /// It would not arrive.
    Withheld,
    /// It would not arrive, which is known only now.
    Found,
}

impl NarrowPath {
    /// Nothing was asked for yet; `full` packets of the encoding there were so far.
    #[must_use]
    pub const fn new(full: u64, now: Timestamp) -> Self {
        Self {
            window_began: now,
            full_before: full,
            full_asked: 0,
            short_asked: 0,
            withheld_until: None,
            was_told: false,
        }
    }

    /// Whether full packets are withheld.
    #[must_use]
    pub fn is_narrow(&self, now: Timestamp) -> bool {
        self.withheld_until.is_some_and(|until| now < until)
    }

    /// Takes a request for a packet with a payload of `len` bytes, of an encoding that has had `full` full ones.
    pub fn asked(&mut self, len: usize, full: u64, now: Timestamp) -> Judged {
        let is_full = len >= limits::FULL_PACKET_BYTES_MIN;
        if self.is_narrow(now) {
            return if is_full { Judged::Withheld } else { Judged::Sent };
        }
        if is_full {
            self.full_asked += 1;
        } else {
            self.short_asked += 1;
        }
        if now.since(self.window_began) < limits::NARROW_PATH_WINDOW {
            return Judged::Sent;
        }
        let passed = full.saturating_sub(self.full_before);
        let is_narrow = passed >= limits::NARROW_PATH_PACKETS_MIN
            && self.full_asked >= 2 * passed
            && self.short_asked * 10 <= self.full_asked;
        let was_told = self.was_told || is_narrow;
        let found = is_narrow && !self.was_told;
        *self = Self { was_told, ..Self::new(full, now) };
        if !is_narrow {
            return Judged::Sent;
        }
        self.withheld_until = Some(now + limits::NARROW_PATH_PAUSE);
        match (found, is_full) {
            (true, _) => Judged::Found,
            (false, true) => Judged::Withheld,
            (false, false) => Judged::Sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = limits::FULL_PACKET_BYTES_MIN;

    /// One minute at 100 full packets and 30 short ones a second; `full` and `short` are how often each is asked for.
    fn minute(full: u64, short: u64) -> Vec<Judged> {
        let mut path = NarrowPath::new(0, Timestamp::ZERO);
        let mut judged = Vec::new();
        for packet in 0..6_000u64 {
            let now = Timestamp::from_millis(packet * 10);
            judged.extend((0..full).map(|_| path.asked(FULL, packet, now)));
            let is_short_due = packet % 3 == 0;
            judged.extend((0..short).filter(|_| is_short_due).map(|_| path.asked(90, packet, now)));
        }
        judged
    }

    #[test]
    fn full_packets_asked_for_again_and_again_are_told_once_and_no_longer_repeated() {
        let judged = minute(3, 0);
        let count = |wanted| judged.iter().filter(|judged| **judged == wanted).count();
        assert_eq!(count(Judged::Found), 1);
        let sent = count(Judged::Sent);
        // Five seconds' worth at first, and again after each pause, in case the path is another one.
        assert!(sent * 3 < judged.len(), "{sent} of {}", judged.len());
        assert!(judged.iter().skip(1_600).any(|judged| *judged == Judged::Sent), "never tried again");
    }

    #[test]
    fn loss_that_does_not_look_at_length_is_repaired() {
        // Each packet asked for three times, the short ones as well: two of three are lost.
        assert!(minute(3, 3).iter().all(|judged| *judged == Judged::Sent));
        // Every packet once: loss of half.
        assert!(minute(1, 0).iter().all(|judged| *judged == Judged::Sent));
    }
}
