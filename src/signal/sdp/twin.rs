//! A picture that a publisher sends twice, in two codecs, because no codec is decoded by everybody: each viewer is sent the
//! first of the two that it can decode.
//!
//! The second section says whose twin it is by the mid of the first, which comes before it: `a=x-corecast-twin-of:<mid>`. The
//! attribute is our own. RFC 5888's FID is for one flow whose codec changes and not for both at once, RFC 4796's `alt` is another
//! camera, and a page that sends camera and screen must not have them taken for one picture. What does not know it takes the
//! second section for another picture, which is not accepted.
//!
//! A twin has encodings of the same track: together they are at most [`limits::ENCODINGS_PER_TRACK_MAX`].

use super::codecs::AnsweredCodec;
use super::offer::{MediaSection, Offer};
use super::simulcast;
use crate::description::{MediaKind, NegotiatedMedia};
use crate::limits;
use crate::wire::codec::Codec;

/// The attribute of a second section: the first one's mid.
const ATTRIBUTE: &str = "x-corecast-twin-of";

/// A section that may be a twin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Twin {
    /// The codec of the first, which this one must not have too.
    pub(super) of: Codec,
}

/// What a section is the twin of, among those chosen so far; `None` where it is no twin, or there is no room for one.
pub(super) fn of(section: &MediaSection, offer: &Offer, chosen: &[(usize, Vec<AnsweredCodec>)]) -> Option<Twin> {
    let mid = section.attributes.value(ATTRIBUTE).map(str::trim)?;
    let is_video = |section: &MediaSection| section.kind == Some(MediaKind::Video);
    let chosen = chosen.iter().filter_map(|(index, codecs)| Some((offer.sections.get(*index)?, codecs.first()?)));
    let mut pictures = chosen.filter(|(section, _)| is_video(section));
    let (first, answered) = pictures.next().filter(|(first, _)| first.mid.as_deref() == Some(mid))?;
    let rids = simulcast::rids(first, answered.codec.payload_type, limits::ENCODINGS_PER_TRACK_MAX);
    let has_room = rids.len() < limits::ENCODINGS_PER_TRACK_MAX;
    (is_video(section) && has_room && pictures.next().is_none()).then_some(Twin { of: answered.codec.codec })
}

/// How many encodings a section has.
pub(super) fn encodings(media: &NegotiatedMedia) -> usize {
    media.rids.len().max(1)
}
