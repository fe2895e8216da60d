//! How a viewer's channels pass to the second transport of its session, while its keys change.
//!
//! ```text
//! old   1 2 3 ─── acknowledged
//! new                          open, 4 5 6
//! ```
//!
//! When the second transport's association is established, the first one is given nothing more. When its peer has acknowledged what
//! it was given, the channels are opened on the second one, and go on with the next message. So each message comes once and in
//! order, and a channel that opens while the old transport lives has lost nothing.
//!
//! Where the old transport ends before that, its channels were cut: those of the new one open with what comes from then on.

use crate::worker::peer::{Peer, PeerKey, Rekeying};
use crate::worker::peer_channels::{MirrorState, PeerChannels, Side};
use crate::worker::peers::Peers;

/// Whether a viewer's channels are still with its session's first transport. If they are not any more, what is to follow is noted.
pub(super) fn waits(new: PeerKey, peers: &mut Peers) -> bool {
    let Some(peer) = peers.get(new) else { return false };
    let Rekeying::New { old, .. } = peer.rekeying else { return false };
    let Some(data) = peer.data.as_deref() else { return false };
    // One that is followed already has nothing more to say.
    if data.joined.is_none() || !data.follows.is_empty() {
        return false;
    }
    let Some(before) = peers.get_mut(old).and_then(|old| old.data.as_deref_mut()) else { return false };
    before.is_replaced = true;
    if before.channels.as_ref().is_some_and(|channels| !channels.is_drained()) {
        return true;
    }
    let follows = cursors(before);
    if let Some(data) = peers.get_mut(new).and_then(|new| new.data.as_deref_mut()) {
        data.follows = follows;
    }
    false
}

/// Which transport goes on, where this one's has been acknowledged.
pub(super) fn is_awaited(peer: &Peer) -> Option<PeerKey> {
    let Rekeying::Old { new } = peer.rekeying else { return None };
    let data = peer.data.as_deref().filter(|data| data.is_replaced)?;
    data.channels.as_ref().is_none_or(|channels| channels.is_drained()).then_some(new)
}

/// Where a viewer is in each of its channels.
fn cursors(data: &PeerChannels) -> Vec<(u64, u64)> {
    let Side::Viewer(mirrors) = &data.side else { return Vec::new() };
    let open = mirrors.iter().filter(|mirror| matches!(mirror.state, MirrorState::Open(_)));
    open.map(|mirror| (mirror.serial, mirror.cursor)).collect()
}
