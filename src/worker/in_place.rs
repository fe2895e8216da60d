//! A session's keys change on the transport that it has, because its peer says hello once more ([`crate::session`], `in_place`). Off
//! unless `media.rekey_in_place` is set: browsers lose what comes meanwhile, and [`super::rekey`] loses nothing.
//!
//! The handshake has its place among those under way, as a join's has: media and joins come first. What is sent goes on with the next
//! number; under the new keys its rollover counter begins anew.

use crate::time::Timestamp;
use crate::transport::TrainBatch;
use crate::worker::handshakes::Handshakes;
use crate::worker::mailbox::Rekeyed;
use crate::worker::peer::{Peer, PeerKey, Rekeying, Role};
use crate::worker::transports::{Lifecycle, spread};

/// A DTLS datagram of a peer came: where it is a hello that may change the keys, their handshake begins.
pub(super) fn look_at(
    peer: &mut Peer,
    datagram: &[u8],
    handshakes: &mut Handshakes,
    out: &mut TrainBatch,
    now: Timestamp,
) {
    if peer.session.is_greeted_anew(datagram, now)
        && peer.rekeying == Rekeying::No
        && handshakes.may_rekey()
        && peer.session.begin_in_place(&peer.identity, out, now).is_ok()
    {
        handshakes.began(peer);
    }
}

impl Lifecycle<'_> {
    /// The handshake has made keys: they are used from now on.
    pub(super) fn keys_changed_in_place(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        self.handshakes.over(peer);
        if peer.session.take_over_in_place(now).is_err() {
            return;
        }
        if let Role::Viewer(playback) = &mut peer.role {
            playback.tracks.iter_mut().for_each(|track| track.subscription.restart_rollovers());
        }
        peer.rekeys += 1;
        peer.asked_for_keys = 0;
        peer.ask_for_keys = self.config.keys.lifetime.map(|lifetime| now + spread(lifetime, peer.channels_of()));
        self.counters.rekeyed(Rekeyed::InPlace);
    }

    /// The handshake came to nothing: the session goes on with the keys that it has.
    pub(super) fn keys_stay_in_place(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        self.handshakes.over(peer);
        self.counters.rekeyed(Rekeyed::DtlsFailed);
    }
}
