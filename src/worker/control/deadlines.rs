//! Peers whose time has come: one that is silent ends; DTLS repeats; publishers get feedback and viewers sender reports.

use crate::limits;
use crate::net::Io;
use crate::session::SessionState;
use crate::time::Timestamp;
use crate::worker::lifecycle::Lifecycle;
use crate::worker::mailbox::EndReason;
use crate::worker::outbound::adapt::AdaptPhase;
use crate::worker::outbound::{publisher_feedback, sender_report};
use crate::worker::peer::{Peer, PeerKey};

impl Lifecycle<'_> {
    /// Looks at the peers whose deadline has come, as many as a round may.
    pub(in crate::worker) fn meet_deadlines<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        for _ in 0..limits::TIMERS_PER_ROUND_MAX {
            let Some(key) = self.peers.pop_due(now) else { return };
            self.meet_deadline(key, now);
            self.peers.arm(key);
            self.outbox.flush_if_half_full(io, self.peers, self.streams, self.counters);
        }
    }

    fn meet_deadline(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(reason) = expired(peer, now) {
            self.end(key, reason, now);
            return;
        }
        if peer.session.next_deadline().is_some_and(|deadline| deadline <= now) {
            peer.session.handle_timeout(self.outbox.batch(), now);
            self.handle_events(key, now);
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(data) = &mut peer.data
            && data.handle_timeout(now)
        {
            self.streams.channel_work.list(key, data);
        }
        if peer.rekeying.is_new() {
            self.look_after_rekey(key, now);
        }
        if self.look_after_keys(key, now) {
            self.end(key, EndReason::KeysUsedUp, now);
            return;
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        publisher_feedback::send(peer, self.outbox, self.counters, now);
        if sender_report::send(peer, self.streams, self.outbox, now) {
            let Self { peers, streams, counters, mail, .. } = self;
            AdaptPhase { peers, streams, counters, mail }.decide(key, now);
        }
    }
}

fn expired(peer: &Peer, now: Timestamp) -> Option<EndReason> {
    let silent = peer.session.silent_at() <= now;
    match peer.session.state() {
        SessionState::Connected => silent.then_some(EndReason::TimedOut),
        _ => (now.since(peer.opened) >= limits::SESSION_SETUP_MAX).then_some(EndReason::NeverConnected),
    }
}
