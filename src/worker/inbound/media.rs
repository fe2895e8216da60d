//! A publisher's RTP packet: judged by its publication, then stored here and handed to the other workers.

use crate::limits;
use crate::relay::store::numbers::EncodingId;
use crate::srtp::OpenedRtp;
use crate::time::Timestamp;
use crate::wire::rtp::RtpPacket;
use crate::worker::config::WallClock;
use crate::worker::distribution::{publish, tell_rungs};
use crate::worker::lane::Lanes;
use crate::worker::peer::{Peer, PeerKey, Role};
use crate::worker::reason::DropReason;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// Where a publisher's packets go.
pub(super) struct MediaPhase<'a> {
    pub(super) wall_clock: &'a WallClock,
    pub(super) streams: &'a mut Streams,
    pub(super) lanes: &'a mut Lanes,
}

/// Takes a publisher's packet, opened in `datagram`. Its time is the kernel's, not the round's:
/// bandwidth estimation and jitter measure the network, and a worker's own delay must not be taken for the network's.
pub(super) fn receive(
    key: PeerKey,
    peer: &mut Peer,
    opened: &OpenedRtp,
    datagram: &[u8],
    received: Timestamp,
    phase: MediaPhase<'_>,
) -> Result<(), DropReason> {
    let Role::Publisher(publication) = &mut peer.role else { return Err(DropReason::MediaFromViewer) };
    let packet = datagram.get(..opened.plain_len()).ok_or(DropReason::RtpMalformed)?;
    let packet = RtpPacket::with_header(opened.header, packet).map_err(|_| DropReason::RtpMalformed)?;
    let MediaPhase { wall_clock, streams, lanes } = phase;
    let stream = peer.stream;
    let encodings: [Option<EncodingId>; limits::ENCODINGS_PER_SESSION_MAX] =
        std::array::from_fn(|track| publication.tracks.get(track).map(|track| track.encoding));
    publication.receive(&packet, received, |track, record| {
        let Some(encoding) = encodings.get(track).copied().flatten() else { return };
        publish(streams, lanes, key, EncodingKey { stream, encoding }, &record);
    })?;
    let clock = publication.take_clock_from_arrival(|at| wall_clock.at(at));
    if let Some(track) = clock.and_then(|track| publication.tracks.get(track)) {
        let encoding = EncodingKey { stream, encoding: track.encoding };
        for record in track.introduction() {
            publish(streams, lanes, key, encoding, &record);
        }
    }
    tell_rungs(publication, (stream, key), streams, lanes);
    Ok(())
}
