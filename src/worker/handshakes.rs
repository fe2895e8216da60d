//! How much of a worker's time handshakes may take, and how many there may be: a join storm is work that can wait, the
//! frame that is on its way cannot.
//!
//! A DTLS flight that makes the node sign or verify costs as much as sealing five hundred packets. So only a few are
//! worked on in a round ([`limits::HANDSHAKE_DATAGRAMS_PER_ROUND_MAX`]), fewer while media is behind; what comes beyond
//! that is kept, bounded in all and for each session, and served in order after the round's media has left. What finds
//! no room is dropped and counted: to its sender that is loss, which DTLS repairs.
//!
//! Not here: connectivity checks, which cost a microsecond, and DTLS records of sessions that are connected.

use std::collections::VecDeque;

use crate::limits;
use crate::rate::Allowance;
use crate::time::Timestamp;
use crate::transport::Arrival;
use crate::worker::counters::Counters;
use crate::worker::peer::{Peer, PeerKey};
use crate::worker::reason::DropReason;

/// A datagram that waits for its round.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) key: PeerKey,
    pub(super) from: Arrival,
    pub(super) bytes: Box<[u8]>,
}

/// The handshakes of one worker.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// Sessions that are open and not connected yet.
    under_way: usize,
    /// Datagrams that may still be worked on in this round.
    left: usize,
    /// Rounds with media behind since one was worked on.
    busy_rounds: usize,
    waiting: VecDeque<Waiting>,
    /// How many clients may be asked for other keys.
    asked_for_keys: Option<Allowance>,
}

impl Handshakes {
    /// Whether a further session may be opened.
    pub(super) fn has_place(&self) -> bool {
        self.under_way < limits::HANDSHAKES_PER_WORKER_MAX
    }

    /// Whether a client may be asked for other keys now: sessions that join come first, and many are not asked at once.
    pub(super) fn may_ask_for_keys(&mut self, now: Timestamp) -> bool {
        let (at_once, pause) = (limits::REKEYS_ASKED_AT_ONCE, limits::REKEY_ASKED_PAUSE);
        self.may_rekey() && self.asked_for_keys.get_or_insert(Allowance::new(now)).take(at_once, pause, now)
    }

    /// Whether so few sessions join that keys may be changed.
    pub(super) fn may_rekey(&self) -> bool {
        self.under_way < limits::REKEY_HANDSHAKES_MAX
    }

    /// Whether a round is due for what waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A round begins; `busy` when media is behind.
    pub(super) fn begin_round(&mut self, busy: bool) {
        if !busy {
            self.left = limits::HANDSHAKE_DATAGRAMS_PER_ROUND_MAX;
            self.busy_rounds = 0;
            return;
        }
        self.busy_rounds = (self.busy_rounds + 1) % limits::BUSY_ROUNDS_PER_HANDSHAKE_DATAGRAM;
        self.left = usize::from(self.busy_rounds == 0);
    }

    /// Whether a datagram that arrives may be worked on at once: there is work left in this round, and nobody who came
    /// before waits.
    fn take_turn(&mut self) -> bool {
        let may = self.left > 0 && self.waiting.is_empty();
        self.left -= usize::from(may);
        may
    }

    /// Puts a peer's datagram off when this round has done its share. `false` when it is to be worked on now.
    pub(super) fn defer(
        &mut self,
        key: PeerKey,
        peer: &mut Peer,
        from: Arrival,
        bytes: &[u8],
        counters: &mut Counters,
    ) -> bool {
        if !peer.handshaking || self.take_turn() {
            return false;
        }
        if peer.handshake_datagrams >= limits::HANDSHAKE_DATAGRAMS_PER_SESSION_MAX {
            counters.dropped(DropReason::HandshakeSessionOverShare);
        } else if self.waiting.len() >= limits::HANDSHAKE_DATAGRAMS_WAITING_MAX {
            counters.dropped(DropReason::HandshakeQueueFull);
        } else {
            peer.handshake_datagrams += 1;
            self.waiting.push_back(Waiting { key, from, bytes: bytes.into() });
            counters.handshake_deferred();
        }
        true
    }

    /// Whether a datagram waits that may still be worked on in this round.
    pub(super) fn has_turn(&self) -> bool {
        self.is_waiting() && self.left > 0
    }

    /// The next that may be worked on in this round.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        let left = self.left.checked_sub(1)?;
        let next = self.waiting.pop_front()?;
        self.left = left;
        Some(next)
    }

    /// What [`Self::next`] gave was of a peer that is gone: no work was done, and none is charged.
    pub(super) fn not_charged(&mut self) {
        self.left += 1;
    }

    /// A session was opened.
    pub(super) fn began(&mut self, peer: &mut Peer) {
        self.under_way += usize::from(!std::mem::replace(&mut peer.handshaking, true));
    }

    /// The session is connected or gone: its place is another's.
    pub(super) fn over(&mut self, peer: &mut Peer) {
        self.under_way -= usize::from(std::mem::replace(&mut peer.handshaking, false));
    }

    /// Sessions that are open and not connected yet.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::PathId;

    fn waiting() -> Waiting {
        let from = Arrival { path: PathId::default(), remote: ([192, 0, 2, 1], 1).into() };
        Waiting { key: PeerKey::default(), from, bytes: Box::default() }
    }

    /// Datagrams worked on in each of `rounds` rounds while more wait than can be served.
    fn served(busy: bool, rounds: usize) -> Vec<usize> {
        let mut handshakes = Handshakes::default();
        handshakes.waiting.extend(std::iter::repeat_with(waiting).take(1_000));
        let round = |_| {
            handshakes.begin_round(busy);
            std::iter::from_fn(|| handshakes.next()).count()
        };
        (0..rounds).map(round).collect()
    }

    #[test]
    fn a_round_works_on_a_bounded_number_and_on_fewer_while_media_is_behind() {
        assert_eq!(served(false, 3), [limits::HANDSHAKE_DATAGRAMS_PER_ROUND_MAX; 3]);
        let busy = served(true, 4 * limits::BUSY_ROUNDS_PER_HANDSHAKE_DATAGRAM);
        assert_eq!(busy.iter().sum::<usize>(), 4);
        assert!(busy.iter().all(|served| *served <= 1));
    }

    #[test]
    fn who_comes_later_does_not_overtake_who_waits() {
        let mut handshakes = Handshakes::default();
        handshakes.begin_round(false);
        assert!(handshakes.take_turn());
        handshakes.waiting.push_back(waiting());
        assert!(!handshakes.take_turn());
        assert!(handshakes.next().is_some());
        assert!(handshakes.take_turn());
        assert_eq!(handshakes.left, limits::HANDSHAKE_DATAGRAMS_PER_ROUND_MAX - 3);
    }
}
