//! Why an offer or fragment was refused: an HTTP status, and a sentence that says what is wrong and what to do.
//!
//! The sentences quote no text of the peer, so they are safe in a response and in a log.

use std::fmt;

use crate::description::{Direction, MediaKind};
use crate::limits;

/// An offer or fragment that gets no answer. `Display` is one sentence for the peer's developer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdpRefused {
    /// More bytes than [`limits::SDP_BYTES_MAX`].
    TooLong,
    /// It breaks the syntax of an RFC.
    Malformed(Malformed),
    /// The node relays none of the offered codecs.
    NoCommonCodec(MediaKind),
    /// It is correct, but not served here.
    Unsupported(Unsupported),
}

/// What cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// RFC 8866 §5: the order or form of lines.
    Syntax,
    /// RFC 5888 §4: `a=mid` is not a token, or is there twice.
    Mid,
    /// RFC 8839 §5.4: `a=ice-ufrag` or `a=ice-pwd` missing.
    IceCredentialsMissing,
    /// RFC 8839 §5.4: their length or characters.
    IceCredentials,
    /// RFC 8122 §5: no `a=fingerprint`.
    FingerprintMissing,
    /// RFC 8122 §5: its form.
    Fingerprint,
    /// RFC 8842 §5: a value of `a=setup` that does not exist.
    Setup,
    /// RFC 3264 §5.1: payload types that are not numbers below 128.
    PayloadType,
    /// RFC 9143 §9.1.1: one payload type stands for two codecs in a BUNDLE group.
    PayloadTypeTwice,
    /// RFC 8285 §5: `a=extmap`.
    ExtensionMap,
    /// RFC 9143 §12: one extension id stands for two extensions in a BUNDLE group.
    ExtensionTwice,
    /// RFC 5576 §4: `a=ssrc` or `a=ssrc-group`.
    Ssrc,
}

/// What is understood but not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// Neither audio nor video is offered.
    NoMedia,
    /// Nothing to send (publish) or nothing to receive (play).
    WrongDirection(Direction),
    /// Not RTP over DTLS-SRTP.
    Transport,
    /// A section without `a=rtcp-mux`.
    NoRtcpMux,
    /// `a=setup:holdconn`
    Holdconn,
    /// All hashes offered are of kinds that no longer protect.
    FingerprintHash,
    /// Both ends are ICE-lite, so each would wait for the other's checks (RFC 8445 §6.1.1).
    IceLite,
    /// A `mid` longer than [`limits::SDP_MID_BYTES_MAX`].
    MidTooLong,
    /// More of something than this node reads.
    TooMany {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

impl SdpRefused {
    /// The [`name`](Self::name) of [`Self::NoCommonCodec`].
    pub const NO_COMMON_CODEC: &'static str = "sdp_no_common_codec";

    /// Every [`name`](Self::name) that exists.
    pub const NAMES: [&'static str; 4] = ["sdp_too_long", "sdp_malformed", Self::NO_COMMON_CODEC, "sdp_unsupported"];

    /// The HTTP status of the response: 400, 406, 413 or 422.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLong => 413,
            Self::Malformed(_) => 400,
            Self::NoCommonCodec(_) => 406,
            Self::Unsupported(_) => 422,
        }
    }

    /// A short name for metrics and logs, fixed for each variant.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "sdp_too_long",
            Self::Malformed(_) => "sdp_malformed",
            Self::NoCommonCodec(_) => Self::NO_COMMON_CODEC,
            Self::Unsupported(_) => "sdp_unsupported",
        }
    }

    /// The refusal of more than `max` of `what`.
    pub(super) const fn too_many(what: &'static str, max: usize) -> Self {
        Self::Unsupported(Unsupported::TooMany { what, max })
    }
}

impl From<Malformed> for SdpRefused {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}

impl From<Unsupported> for SdpRefused {
    fn from(what: Unsupported) -> Self {
        Self::Unsupported(what)
    }
}

impl fmt::Display for SdpRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(
                f,
                "the SDP is longer than {} bytes: offer one audio and one video section",
                limits::SDP_BYTES_MAX
            ),
            Self::Malformed(what) => what.fmt(f),
            Self::NoCommonCodec(MediaKind::Audio) => {
                f.write_str("no audio codec in common: offer Opus (opus/48000/2), with a payload type outside 64-95")
            }
            Self::NoCommonCodec(MediaKind::Video) => f.write_str(
                "no video codec in common: offer H.264 (packetization-mode 0 or 1), VP8, VP9, AV1 or H.265, with \
                 payload types outside 64-95",
            ),
            Self::Unsupported(what) => what.fmt(f),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => {
                "the SDP cannot be read: send UTF-8 lines of the form <letter>=<value>, an offer beginning with v=, \
                 o=, s= and t= (RFC 8866 section 5)"
            }
            Self::Mid => "a=mid must be a token, different in each media section (RFC 5888 section 4)",
            Self::IceCredentialsMissing => {
                "a=ice-ufrag and a=ice-pwd are missing: both are needed (RFC 8839 section 5.4)"
            }
            Self::IceCredentials => {
                "a=ice-ufrag must be 4 to 256 and a=ice-pwd 22 to 256 letters, digits, + or / (RFC 8839 section 5.4)"
            }
            Self::FingerprintMissing => {
                "a=fingerprint is missing: media is always encrypted by DTLS-SRTP, so send the hash of the \
                 certificate (RFC 8122 section 5)"
            }
            Self::Fingerprint => {
                "a=fingerprint cannot be read: write the hash's name and its bytes as hexadecimal pairs with colons \
                 (RFC 8122 section 5)"
            }
            Self::Setup => "a=setup must be actpass, active or passive (RFC 8842 section 5)",
            Self::PayloadType => {
                "a payload type cannot be read: m= and a=rtpmap must name numbers from 0 to 127 (RFC 3551 section 6)"
            }
            Self::PayloadTypeTwice => {
                "a payload type stands for two codecs: in one BUNDLE group each needs its own (RFC 9143 section 9.1.1)"
            }
            Self::ExtensionMap => "a=extmap cannot be read: write an id from 1 to 255 and a URI (RFC 8285 section 5)",
            Self::ExtensionTwice => {
                "a header extension id stands for two extensions: in one BUNDLE group each needs its own (RFC 9143 \
                 section 12)"
            }
            Self::Ssrc => "a=ssrc and a=ssrc-group must name 32-bit numbers (RFC 5576 section 4)",
        })
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMedia => {
                f.write_str("neither audio nor video is offered: offer one m=audio, one m=video section, or both")
            }
            Self::WrongDirection(Direction::Publish) => f.write_str(
                "nothing is offered to be sent: to publish, make the media sections a=sendonly (to watch, use the \
                 WHEP URL)",
            ),
            Self::WrongDirection(Direction::Play) => f.write_str(
                "nothing is offered to be received: to watch, make the media sections a=recvonly (to publish, use \
                 the WHIP URL)",
            ),
            Self::Transport => f.write_str(
                "media is only relayed encrypted: offer the transport UDP/TLS/RTP/SAVPF (RFC 5764 section 8)",
            ),
            Self::NoRtcpMux => {
                f.write_str("RTP and RTCP must share one port: put a=rtcp-mux into each media section (RFC 5761)")
            }
            Self::Holdconn => f.write_str("a=setup:holdconn is not served: offer actpass"),
            Self::FingerprintHash => f.write_str(
                "no a=fingerprint has a hash that is accepted: use sha-256 (sha-384 and sha-512 are accepted too)",
            ),
            Self::IceLite => f.write_str(
                "this node is ICE-lite and a=ice-lite was offered, so that nobody would send checks: use full ICE",
            ),
            Self::MidTooLong => write!(
                f,
                "an a=mid is longer than {} bytes, which is what a header extension holds: use a shorter one",
                limits::SDP_MID_BYTES_MAX
            ),
            Self::TooMany { what, max } => write!(f, "more than {max} {what}: offer fewer"),
        }
    }
}

impl std::error::Error for SdpRefused {}
