//! Which tracks a stream has, and which kind of media each carries.

use crate::description::MediaKind;
use crate::limits;
use crate::relay::store::numbers::TrackId;

/// The tracks every stream has, by their [`TrackId`]: several of one kind are not negotiated yet.
pub(super) const TRACKS: [MediaKind; 2] = [MediaKind::Audio, MediaKind::Video];

const _: () = assert!(TRACKS.len() <= limits::TRACKS_PER_STREAM_MAX);

/// The track that carries a kind of media. Asked when a session opens; from there on tracks and encodings have their names.
#[must_use]
pub(super) fn track_of(kind: MediaKind) -> TrackId {
    let number = TRACKS.iter().position(|&track| track == kind).unwrap_or_default();
    TrackId::new(number).unwrap_or_default()
}

/// What a track carries; `None` for one that no stream has.
pub(super) fn kind_of(track: TrackId) -> Option<MediaKind> {
    TRACKS.get(track.number()).copied()
}
