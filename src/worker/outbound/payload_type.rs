//! Which of its payload types a viewer is sent: decided when it has connected and when the publisher's codec changes, before
//! it is visited.

use crate::description::codec_match::{self, Fit};
use crate::relay::play::subscription::EgressFormat;
use crate::relay::store::encoding::Encoding;
use crate::relay::store::record::PublishedCodec;
use crate::worker::mailbox::Notice;
use crate::worker::peer::{Peer, Role};

/// Decides for one track of a viewer. A notice when it has nothing of the published codec, or only another profile of it.
pub(super) fn decide(peer: &mut Peer, track: u8, encoding: &Encoding) -> Option<Notice> {
    let session = peer.id;
    let Role::Viewer(playback) = &mut peer.role else { return None };
    let track = playback.tracks.get_mut(usize::from(track))?;
    if track.encoding() != encoding.id() {
        // It is still sent another one, and goes over to this one first.
        return None;
    }
    let published = encoding.codec()?;
    let chosen = codec_match::fits(published.codec, published.format, &track.codecs)
        .and_then(|(index, fit)| Some((track.codecs.get(index)?, fit)));
    track.subscription.set_format(chosen.map(|(codec, _)| EgressFormat {
        payload_type: codec.payload_type,
        rtx_payload_type: codec.rtx_payload_type,
        clock_rate_hz: codec.clock_rate_hz,
    }));
    match chosen {
        Some((_, Fit::Exact | Fit::Compatible)) => None,
        Some((codec, Fit::Nearest)) => {
            let sent_as = PublishedCodec::from(codec).to_string();
            Some(Notice::NearestFits { session, published: published.to_string(), sent_as })
        }
        None => Some(Notice::NothingFits { session, published: published.to_string() }),
    }
}
