//! Handshakes' datagrams that had to wait: worked on after the round's media has left.

use crate::net::Io;
use crate::time::Timestamp;
use crate::wire::demux::DatagramKind;
use crate::worker::handshakes::Waiting;
use crate::worker::lifecycle::Lifecycle;

impl Lifecycle<'_> {
    /// Works on what waits, as much as this round may.
    pub(in crate::worker) fn serve_deferred<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        while self.handshakes.has_turn() {
            // A flight must not find the batch full: it would be lost and wait for its repetition.
            self.outbox.flush(io, self.peers, self.streams, self.counters);
            let Some(Waiting { key, from, mut bytes }) = self.handshakes.next() else { return };
            let Some(peer) = self.peers.get_mut(key) else {
                self.handshakes.not_charged();
                continue;
            };
            peer.handshake_datagrams = peer.handshake_datagrams.saturating_sub(1);
            let (kind, out) = (DatagramKind::Dtls, self.outbox.batch());
            match peer.session.handle_datagram(&peer.identity, kind, from, &mut bytes, out, now) {
                Ok(_) => {
                    self.handle_events(key, now);
                    self.take_data(key, now);
                    self.peers.arm(key);
                }
                Err(rejected) => self.counters.dropped(rejected),
            }
        }
    }
}
