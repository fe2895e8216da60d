//! A publisher's RTP packet: judged by its publication, then stored here and handed to the other workers.

use crate::limits;
use crate::relay::publish::publication::NotForwarded;
use crate::relay::store::numbers::EncodingId;
use crate::srtp::OpenedRtp;
use crate::time::Timestamp;
use crate::wire::rtp::RtpPacket;
use crate::worker::distribution::distribute;
use crate::worker::lane::Lanes;
use crate::worker::peer::{Peer, Role};
use crate::worker::stream::{EncodingKey, Streams};

/// Takes a publisher's packet, opened in `datagram`; `Err` is the name in metrics. Its time is the kernel's, not the round's:
/// bandwidth estimation and jitter measure the network, and a worker's own delay must not be taken for the network's.
pub(super) fn receive(
    peer: &mut Peer,
    opened: &OpenedRtp,
    datagram: &[u8],
    received: Timestamp,
    streams: &mut Streams,
    lanes: &mut Lanes,
) -> Result<(), &'static str> {
    let Role::Publisher(publication) = &mut peer.role else { return Err("media_from_viewer") };
    let packet = datagram.get(..opened.plain_len()).ok_or("rtp_malformed")?;
    let packet = RtpPacket::with_header(opened.header, packet).map_err(|_| "rtp_malformed")?;
    let stream = peer.stream;
    let encodings: [Option<EncodingId>; limits::TRACKS_PER_SESSION_MAX] =
        std::array::from_fn(|track| publication.tracks.get(track).map(|track| track.encoding));
    let result = publication.receive(&packet, received, |track, record| {
        let Some(encoding) = encodings.get(track).copied().flatten() else { return };
        distribute(streams, lanes, EncodingKey { stream, encoding }, &record);
    });
    result.map_err(not_forwarded_name)
}

const fn not_forwarded_name(reason: NotForwarded) -> &'static str {
    match reason {
        NotForwarded::UnknownSource => "uplink_unknown_source",
        NotForwarded::UnknownPayloadType => "uplink_unknown_payload_type",
        NotForwarded::Probe => "uplink_probe",
        NotForwarded::Duplicate => "uplink_duplicate",
        NotForwarded::Malformed => "uplink_malformed",
    }
}
