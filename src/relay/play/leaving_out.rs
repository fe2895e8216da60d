//! Layers that a viewer is not sent: the choice of [`super::selection`] made at each packet, and what it does to the numbers of
//! those that follow.

use crate::relay::play::selection::{Decision, PacketHints, Selection};
use crate::relay::play::subscription::Subscription;
use crate::relay::store::encoding::Encoding;
use crate::relay::store::packet_ring::PacketInfo;
use crate::wire::codec::{Codec, picture_numbers};

/// Whether a packet is left out of what the viewer is sent. To be asked of each packet in turn while
/// [`Selection::looks_at_packets`].
#[cold]
pub fn leaves_out(
    selection: &mut Selection,
    subscription: &mut Subscription,
    encoding: &Encoding,
    info: &PacketInfo,
    payload: &[u8],
) -> bool {
    let codec = encoding.codec().map(|published| published.codec);
    let decision = selection.decide(&PacketHints::of(encoding.id(), info));
    if codec == Some(Codec::Vp9) {
        subscription.cap_spatial_layers(info, selection.highest_spatial());
    }
    if decision != Decision::Drop {
        selection.forget_layers_without_choice();
        return false;
    }
    // VP9's numbers need not be contiguous (RFC 9628 §4.2), VP8's must be (RFC 7741 §4.2).
    let picture = if codec == Some(Codec::Vp8) { picture_numbers::read(Codec::Vp8, payload) } else { None };
    let picture = picture.and_then(|numbers| numbers.picture);
    let takes_a_number = picture.is_some_and(|picture| selection.is_another_picture(picture));
    let is_left_out = subscription.leave_out(info, takes_a_number);
    if is_left_out && let Some(picture) = picture {
        selection.left_out(picture);
    }
    is_left_out
}
