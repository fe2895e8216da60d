//! What a peer and the node agree on, built without SDP: one audio and one video section, Opus and H.264.
//!
//! The numbers of the two directions differ on purpose, as they do with browsers, so that a relay that forgets to
//! rewrite one fails a test.

use crate::description::{
    CodecFormat, Description, Direction, DtlsRole, ExtensionIds, Fingerprint, IceCredentials, MediaKind,
    NegotiatedCodec, NegotiatedMedia, SsrcPair,
};
use crate::wire::codec::Codec;

/// `profile-level-id` of constrained baseline, level 3.1.
pub const H264_PROFILE_LEVEL_ID: u32 = 0x42_e01f;

/// Payload types and header extensions of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Opus.
    pub audio: u8,
    /// H.264.
    pub video: u8,
    /// Its retransmissions.
    pub video_rtx: u8,
    /// The MID extension.
    pub mid: u8,
    /// The transport-wide sequence number extension; `None` where it is not used.
    pub transport_cc: Option<u8>,
}

/// What a publisher uses.
pub const PUBLISH: Numbers = Numbers { audio: 111, video: 96, video_rtx: 97, mid: 4, transport_cc: Some(3) };

/// What a viewer expects.
pub const PLAY: Numbers = Numbers { audio: 109, video: 102, video_rtx: 103, mid: 1, transport_cc: None };

/// `a=mid` of audio and video.
pub const MIDS: [&str; 2] = ["0", "1"];

/// The SSRCs of a session's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Audio.
    pub audio: u32,
    /// Video.
    pub video: u32,
    /// Video retransmissions; `None` when RTX was not agreed.
    pub video_rtx: Option<u32>,
}

/// A peer's side of a session.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Publish or play.
    pub direction: Direction,
    /// Its credentials.
    pub ice: IceCredentials,
    /// Its certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// Publish: what it sends. Play: what the node sends.
    pub sources: Sources,
}

/// The node's description for an offer.
#[must_use]
pub fn answer(offer: &Offer) -> Description {
    let numbers = match offer.direction {
        Direction::Publish => PUBLISH,
        Direction::Play => PLAY,
    };
    let rtx = offer.sources.video_rtx.is_some();
    let transport_cc = numbers.transport_cc.is_some();
    let extensions =
        ExtensionIds { mid: Some(numbers.mid), transport_cc: numbers.transport_cc, ..ExtensionIds::default() };
    let audio = NegotiatedCodec {
        codec: Codec::Opus,
        format: CodecFormat::Plain,
        payload_type: numbers.audio,
        rtx_payload_type: None,
        clock_rate_hz: Codec::Opus.clock_rate_hz(),
        nack: false,
        pli: false,
        fir: false,
        transport_cc,
        remb: false,
    };
    let video = NegotiatedCodec {
        codec: Codec::H264,
        format: CodecFormat::H264 { profile_level_id: H264_PROFILE_LEVEL_ID, packetization_mode: 1 },
        payload_type: numbers.video,
        rtx_payload_type: rtx.then_some(numbers.video_rtx),
        clock_rate_hz: Codec::H264.clock_rate_hz(),
        nack: true,
        pli: true,
        fir: true,
        transport_cc,
        remb: true,
    };
    let section = |kind, mid: &str, codec, ssrcs| NegotiatedMedia {
        kind,
        mid: mid.to_owned(),
        codecs: vec![codec],
        extensions,
        ssrcs: vec![ssrcs],
        rids: Vec::new(),
        parameter_sets: Vec::new(),
    };
    let [audio_mid, video_mid] = MIDS;
    let Sources { audio: audio_ssrc, video: video_ssrc, video_rtx } = offer.sources;
    Description {
        direction: offer.direction,
        remote_ice: offer.ice.clone(),
        remote_fingerprints: vec![offer.fingerprint.clone()],
        dtls_role: DtlsRole::Server,
        media: vec![
            section(MediaKind::Audio, audio_mid, audio, SsrcPair { media: audio_ssrc, rtx: None }),
            section(MediaKind::Video, video_mid, video, SsrcPair { media: video_ssrc, rtx: video_rtx }),
        ],
        cname: "corecast-peer-terms".to_owned(),
        data: None,
    }
}
