//! What two peers agreed on, as values: the bridge from SDP (in `signal`) to a running session and to the relay.
//!
//! Everything here was checked when it was made; nothing below parses SDP.

pub mod codec_match;

use std::fmt;

use crate::wire::bytes::{ImportError, StateReader, StateWriter};
use crate::wire::codec::Codec;

/// Whether the peer sends to the node or receives from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// WHIP: the peer publishes.
    Publish,
    /// WHEP: the peer plays.
    Play,
}

/// A user fragment and its password (RFC 8445 §5.3). `Debug` hides both.
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// `ice-ufrag`.
    pub ufrag: String,
    /// `ice-pwd`.
    pub password: String,
}

/// The longest user fragment or password (RFC 8839 §5.4: 256 characters).
const ICE_CREDENTIAL_BYTES_MAX: usize = 256;

impl IceCredentials {
    /// Writes both.
    pub fn export(&self, out: &mut StateWriter) {
        out.block(self.ufrag.as_bytes());
        out.block(self.password.as_bytes());
    }

    /// Reads what [`Self::export`] wrote.
    ///
    /// # Errors
    /// When it is not that.
    pub fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        let (ufrag, password) = (from.text(ICE_CREDENTIAL_BYTES_MAX)?, from.text(ICE_CREDENTIAL_BYTES_MAX)?);
        Ok(Self { ufrag, password })
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IceCredentials(..)")
    }
}

/// The hash of an `a=fingerprint` attribute (RFC 8122 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FingerprintHash {
    /// `sha-256`
    Sha256,
    /// `sha-384`
    Sha384,
    /// `sha-512`
    Sha512,
}

/// A certificate fingerprint: the hash and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Which hash.
    pub hash: FingerprintHash,
    /// 32, 48 or 64 bytes.
    pub value: Vec<u8>,
}

/// Which end of the DTLS handshake this node plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// `setup:passive` in the answer.
    Server,
    /// `setup:active` in the answer, when the offer was `passive`.
    Client,
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
}

/// The parameters of a codec that decide whether a viewer can decode what a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecFormat {
    /// No parameters that matter.
    Plain,
    /// RFC 6184 §8.1: `profile-level-id` (24 bits) and `packetization-mode`.
    H264 {
        /// profile_idc, profile_iop, level_idc.
        profile_level_id: u32,
        /// 0 or 1.
        packetization_mode: u8,
    },
    /// RFC 9628 §7: `profile-id`.
    Vp9 {
        /// 0 to 3.
        profile: u8,
    },
    /// AV1 RTP specification §7.2: `profile`.
    Av1 {
        /// 0 to 2.
        profile: u8,
    },
    /// RFC 7798 §7.1: `profile-id`.
    H265 {
        /// 1 is Main.
        profile: u8,
    },
}

/// One codec both ends can handle, with the payload types of this session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// Which codec.
    pub codec: Codec,
    /// Its parameters.
    pub format: CodecFormat,
    /// RTP payload type.
    pub payload_type: u8,
    /// Payload type of its retransmissions (RFC 4588), where agreed.
    pub rtx_payload_type: Option<u8>,
    /// RTP clock in Hz.
    pub clock_rate_hz: u32,
    /// RFC 4585 generic NACK agreed.
    pub nack: bool,
    /// RFC 4585 picture loss indication agreed.
    pub pli: bool,
    /// RFC 5104 full intra request agreed.
    pub fir: bool,
    /// Transport-wide congestion control feedback agreed.
    pub transport_cc: bool,
    /// REMB (draft-alvestrand-rmcat-remb-03) agreed: to tell a publisher its ceiling, or a viewer's own estimate.
    pub remb: bool,
}

/// Identifiers of the RTP header extensions agreed for one media section (RFC 8285); `None` where not agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`
    pub mid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`
    pub rid: Option<u8>,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`
    pub repaired_rid: Option<u8>,
    /// `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`, or its second form.
    pub transport_cc: Option<u8>,
    /// It is the second form (`http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02`): packets ask for feedback.
    pub feedback_on_request: bool,
}

/// A synchronisation source and that of its retransmissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SsrcPair {
    /// The media itself.
    pub media: u32,
    /// Its retransmissions (`ssrc-group:FID`).
    pub rtx: Option<u32>,
}

/// One accepted media section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedMedia {
    /// Audio or video.
    pub kind: MediaKind,
    /// `a=mid`, at most 16 bytes; empty where the one section of an offer has none.
    pub mid: String,
    /// In order of preference; a publisher's answer holds one.
    pub codecs: Vec<NegotiatedCodec>,
    /// Header extensions.
    pub extensions: ExtensionIds,
    /// Publish: the SSRCs the offer declared (may be none). Play: exactly one, chosen here, kept for life.
    pub ssrcs: Vec<SsrcPair>,
    /// Publish: simulcast rids in the offer's order (RFC 8853), empty without simulcast.
    pub rids: Vec<String>,
    /// Publish: the NAL units of `sprop-parameter-sets` and the like (RFC 6184 §8.1, RFC 7798 §7.1), which may never come in
    /// the stream.
    pub parameter_sets: Vec<Vec<u8>>,
}

/// Everything a worker must know to serve one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Publish or play.
    pub direction: Direction,
    /// The peer's credentials.
    pub remote_ice: IceCredentials,
    /// The certificates the peer may present; at least one.
    pub remote_fingerprints: Vec<Fingerprint>,
    /// This node's end of the handshake.
    pub dtls_role: DtlsRole,
    /// Accepted media sections in the offer's order.
    pub media: Vec<NegotiatedMedia>,
    /// Canonical name (RFC 3550 §6.5.1) this node uses towards the peer, one for audio and video.
    pub cname: String,
    /// What was agreed on data channels, if anything was.
    pub data: Option<DataTerms>,
}

/// The peer's end of an SCTP association over DTLS (RFC 8841).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataTerms {
    /// `a=sctp-port`
    pub sctp_port: u16,
    /// Bytes of the longest message it takes (`a=max-message-size`).
    pub message_bytes_max: u32,
    /// Whether what a viewer says goes to the publisher: by its permission, not by negotiation.
    pub may_speak: bool,
}
