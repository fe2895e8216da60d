//! Which of a section's payload types become codecs of the session, in which order, and with which parameters.
//!
//! Left out, and why: RED from a publisher, ULPFEC and FlexFEC (loss is repaired by RTX, which costs bandwidth only where there is
//! loss), comfort noise and DTMF (a broadcast has neither), G.711 and G.722 (every WebRTC peer has Opus, RFC 7874
//! §3), H.264 packetisation mode 2 (interleaved; no browser has it), H.265 in more than one RTP stream.

use std::collections::BTreeMap;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};

use super::offer::MediaSection;
use super::refused::{Malformed, SdpRefused};
use crate::description::codec_match::H264Profile;
use crate::description::{CodecFormat, Direction, MediaKind, NegotiatedCodec};
use crate::limits;
use crate::wire::codec::Codec;

/// A codec in the answer.
#[derive(Clone, Debug)]
pub(super) struct AnsweredCodec {
    pub(super) codec: NegotiatedCodec,
    /// The value of its `a=fmtp`, without the payload type; may be empty.
    pub(super) parameters: String,
    /// The rate at which a publisher of several encodings is to begin.
    pub(super) start_kbps: Option<u32>,
}

impl AnsweredCodec {
    /// The encoding name, clock rate and channels of `a=rtpmap`.
    pub(super) const fn rtpmap(&self) -> &'static str {
        match self.codec.codec {
            Codec::H264 => "H264/90000",
            Codec::H265 => "H265/90000",
            Codec::Vp8 => "VP8/90000",
            Codec::Vp9 => "VP9/90000",
            Codec::Av1 => "AV1/90000",
            Codec::Opus => "opus/48000/2",
            Codec::Red => "red/48000/2",
        }
    }
}

/// What an offer says about one payload type.
#[derive(Debug, Default)]
struct OfferedCodec<'a> {
    rtpmap: Option<&'a str>,
    fmtp: Option<&'a str>,
    feedback: OfferedFeedback,
}

/// The kinds of RTCP feedback that are answered (RFC 4585 §4.2, RFC 5104 §7).
#[derive(Clone, Copy, Debug, Default)]
struct OfferedFeedback {
    nack: bool,
    pli: bool,
    fir: bool,
    transport_cc: bool,
    remb: bool,
}

impl OfferedFeedback {
    fn add(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("nack"), None) => self.nack = true,
            (Some("nack"), Some("pli")) => self.pli = true,
            (Some("ccm"), Some("fir")) => self.fir = true,
            (Some("transport-cc"), None) => self.transport_cc = true,
            (Some("goog-remb"), None) => self.remb = true,
            // rrtr, sli and others are not served.
            _ => {}
        }
    }

    const fn with(self, other: Self) -> Self {
        Self {
            nack: self.nack || other.nack,
            pli: self.pli || other.pli,
            fir: self.fir || other.fir,
            transport_cc: self.transport_cc || other.transport_cc,
            remb: self.remb || other.remb,
        }
    }
}

/// The codecs that both ends can handle, best first: all of them towards a viewer, one from a publisher. Empty if there
/// are none. `except` is not among them.
pub(super) fn common(
    section: &MediaSection,
    kind: MediaKind,
    direction: Direction,
    except: Option<Codec>,
) -> Result<Vec<AnsweredCodec>, SdpRefused> {
    let (formats, feedback_of_all) = collect(section);
    let offered: Vec<u8> = section.formats.iter().map(|format| payload_type(format)).collect::<Result<_, _>>()?;
    let retransmissions = retransmissions(&offered, &formats);
    let mut answered: Vec<AnsweredCodec> = Vec::new();
    for payload_type in offered {
        let Some(offered) = formats.get(&payload_type) else { continue };
        if !usable(payload_type) || answered.iter().any(|other| other.codec.payload_type == payload_type) {
            continue;
        }
        let parameters = Parameters(offered.fmtp.unwrap_or_default());
        let Some((codec, format)) = offered.rtpmap.and_then(|rtpmap| recognise(rtpmap, kind, parameters)) else {
            continue;
        };
        let feedback = offered.feedback.with(feedback_of_all);
        let video = kind == MediaKind::Video;
        let playing = direction == Direction::Play;
        answered.push(AnsweredCodec {
            codec: NegotiatedCodec {
                codec,
                format,
                payload_type,
                // RFC 4588 §5: retransmissions are requested by NACK, so RTX is of no use without it.
                rtx_payload_type: retransmissions.get(&payload_type).copied().filter(|_| feedback.nack),
                clock_rate_hz: if video { 90_000 } else { 48_000 },
                // Lost sound is sent again too, though browsers offer it for pictures only: Chromium asks, and sends, when it is
                // answered so, and Firefox takes no notice.
                nack: feedback.nack || !video,
                pli: feedback.pli && video,
                fir: feedback.fir && video,
                // Towards a viewer on pictures only, whose frames are trains.
                transport_cc: feedback.transport_cc && (!playing || video),
                remb: feedback.remb && video,
            },
            parameters: answered_parameters(codec, parameters),
            start_kbps: None,
        });
    }
    // The sort is stable, so the offer's order decides between equals.
    answered.sort_by_key(|answered| preference(answered.codec.codec, answered.codec.format));
    match (direction, kind) {
        // From a publisher exactly one codec is wanted, and sound without redundancy: what repeats is made here.
        (Direction::Publish, _) => {
            answered.retain(|answered| answered.codec.codec != Codec::Red && Some(answered.codec.codec) != except);
            answered.truncate(1);
        }
        // Towards a viewer one Opus is enough, and what repeats that one.
        (Direction::Play, MediaKind::Audio) => {
            let opus = answered.first().map(|first| first.codec.payload_type);
            let mut seen = [false; 2];
            answered.retain(|answered| match answered.codec.codec {
                Codec::Red => !std::mem::replace(&mut seen[1], true) && repeats(opus, &formats, answered),
                _ => !std::mem::replace(&mut seen[0], true),
            });
            if !seen[0] {
                answered.clear();
            }
        }
        (Direction::Play, MediaKind::Video) => {}
    }
    Ok(answered)
}

/// Whether a payload type of redundant sound is one that can be sent: its blocks are Opus under the payload type with which
/// they are made for all viewers ([`limits::RED_BLOCK_PAYLOAD_TYPE`]).
fn repeats(opus: Option<u8>, formats: &Formats<'_>, red: &AnsweredCodec) -> bool {
    let blocks = formats.get(&red.codec.payload_type).and_then(|offered| offered.fmtp).unwrap_or_default();
    let block = limits::RED_BLOCK_PAYLOAD_TYPE;
    opus == Some(block) && blocks.split('/').all(|number| number.trim().parse() == Ok(block))
}

/// The rank of a codec. H.264 comes first, because every browser and encoder has it in hardware and nothing is
/// transcoded here. The others follow by how many viewers can decode them.
fn preference(codec: Codec, format: CodecFormat) -> (u8, u8, H264Profile) {
    let any = H264Profile::ConstrainedBaseline;
    match (codec, format) {
        // Mode 1 comes before mode 0, because a frame then need not be sliced to packet size. Constrained Baseline
        // comes before the other profiles.
        (Codec::H264, CodecFormat::H264 { profile_level_id, packetization_mode }) => {
            (0, 1u8.saturating_sub(packetization_mode), H264Profile::of(profile_level_id))
        }
        (Codec::Vp8, _) => (1, 0, any),
        (Codec::Vp9, CodecFormat::Vp9 { profile: 0 }) => (2, 0, any),
        (Codec::Av1, CodecFormat::Av1 { profile }) => (3, profile, any),
        (Codec::H265, CodecFormat::H265 { profile }) => (4, profile, any),
        // More than 8 bits or other than 4:2:0: few viewers can decode it.
        (Codec::Vp9, CodecFormat::Vp9 { profile }) => (5, profile, any),
        (Codec::Red, _) => (7, 0, any),
        _ => (6, 0, any),
    }
}

type Formats<'a> = BTreeMap<u8, OfferedCodec<'a>>;

/// Collects the payload types in one walk over the section's lines. The second value is the feedback of `a=rtcp-fb:*`.
/// A line without a payload type or without anything behind it says nothing and is ignored: writers of SDP leave an
/// `a=fmtp` without parameters, and an offer is not worse for it.
fn collect(section: &MediaSection) -> (Formats<'_>, OfferedFeedback) {
    let mut formats = Formats::new();
    let mut feedback_of_all = OfferedFeedback::default();
    for (key, value) in section.attributes.lines() {
        if !matches!(key, "rtpmap" | "fmtp" | "rtcp-fb") {
            continue;
        }
        let Some((number, value)) = value.trim_start().split_once([' ', '\t']) else { continue };
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        if key == "rtcp-fb" && number == "*" {
            feedback_of_all.add(value);
            continue;
        }
        let Ok(number) = payload_type(number) else { continue };
        let offered = formats.entry(number).or_default();
        match key {
            "rtpmap" => _ = offered.rtpmap.get_or_insert(value),
            "fmtp" => _ = offered.fmtp.get_or_insert(value),
            _ => offered.feedback.add(value),
        }
    }
    (formats, feedback_of_all)
}

/// Maps a payload type to that of its retransmissions (RFC 4588 §8.1, `apt`). If there are several, the first one
/// counts.
fn retransmissions(offered: &[u8], formats: &Formats<'_>) -> BTreeMap<u8, u8> {
    let mut found = BTreeMap::new();
    for &payload_type in offered.iter().filter(|payload_type| usable(**payload_type)) {
        let Some(format) = formats.get(&payload_type) else { continue };
        let name = format.rtpmap.and_then(|rtpmap| rtpmap.split('/').next());
        let is_rtx = name.is_some_and(|name| name.eq_ignore_ascii_case("rtx"));
        let apt = Parameters(format.fmtp.unwrap_or_default()).number("apt");
        if let Some(apt) = apt.filter(|_| is_rtx) {
            found.entry(apt).or_insert(payload_type);
        }
    }
    found
}

fn payload_type(text: &str) -> Result<u8, SdpRefused> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.filter(|number| *number <= 127).ok_or(Malformed::PayloadType.into())
}

/// Whether a payload type may be used. RFC 5761 §4: with RTP and RTCP on one port, 64 to 95 with the marker bit look
/// like RTCP.
const fn usable(payload_type: u8) -> bool {
    !matches!(payload_type, 64..=95)
}

/// The codec of an `a=rtpmap`, if this node relays it with these parameters.
fn recognise(rtpmap: &str, kind: MediaKind, parameters: Parameters<'_>) -> Option<(Codec, CodecFormat)> {
    // RFC 4855 §3: names are compared without case.
    let name = rtpmap.to_ascii_uppercase();
    match (kind, name.as_str()) {
        // RFC 7587 §7: always 48000 and 2, whatever is encoded. GStreamer's WHEP players leave the 2 out, and mean the same.
        (MediaKind::Audio, "OPUS/48000/2" | "OPUS/48000") => Some((Codec::Opus, CodecFormat::Plain)),
        (MediaKind::Audio, "RED/48000/2") => Some((Codec::Red, CodecFormat::Plain)),
        (MediaKind::Video, "H264/90000") => {
            let packetization_mode = parameters.number("packetization-mode").unwrap_or(0);
            // RFC 6184 §8.1: without the parameter, Baseline at level 1.
            let profile_level_id = match parameters.get("profile-level-id") {
                Some(text) if text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    u32::from_str_radix(text, 16).ok()?
                }
                Some(_) => return None,
                None => 0x42_000a,
            };
            (packetization_mode <= 1)
                .then_some((Codec::H264, CodecFormat::H264 { profile_level_id, packetization_mode }))
        }
        (MediaKind::Video, "VP8/90000") => Some((Codec::Vp8, CodecFormat::Plain)),
        (MediaKind::Video, "VP9/90000") => {
            let profile = parameters.number("profile-id").unwrap_or(0);
            (profile <= 3).then_some((Codec::Vp9, CodecFormat::Vp9 { profile }))
        }
        (MediaKind::Video, "AV1/90000") => {
            let profile = parameters.number("profile").unwrap_or(0);
            (profile <= 2).then_some((Codec::Av1, CodecFormat::Av1 { profile }))
        }
        (MediaKind::Video, "H265/90000") => {
            // RFC 7798 §7.1: any tx-mode other than SRST spreads a stream over several RTP streams.
            let single = parameters.get("tx-mode").is_none_or(|mode| mode == "SRST");
            let profile = parameters.number("profile-id").unwrap_or(1);
            (single && profile <= 31).then_some((Codec::H265, CodecFormat::H265 { profile }))
        }
        _ => None,
    }
}

/// The parameter sets that a section's `a=fmtp` of a codec brings (RFC 6184 §8.1, RFC 7798 §7.1). What cannot be read, is
/// too long or too much is left out: they are of use only to a publisher that sends none in its stream.
pub(super) fn parameter_sets(section: &MediaSection, codec: &NegotiatedCodec) -> Vec<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let names: &[&str] = match codec.codec {
        Codec::H264 => &["sprop-parameter-sets"],
        Codec::H265 => &["sprop-vps", "sprop-sps", "sprop-pps"],
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus | Codec::Red => return Vec::new(),
    };
    let (formats, _) = collect(section);
    let fmtp = formats.get(&codec.payload_type).and_then(|offered| offered.fmtp).unwrap_or_default();
    let values = names.iter().filter_map(|name| Parameters(fmtp).get(name)).flat_map(|value| value.split(','));
    let units = values.filter_map(|text| LENIENT.decode(text.trim()).ok());
    units
        .filter(|unit| !unit.is_empty() && unit.len() <= limits::PARAMETER_SET_BYTES_MAX)
        .take(limits::PARAMETER_SETS_MAX)
        .collect()
}

/// The parameters of the answer: those on which both ends must agree, as they were offered.
///
/// - **H.264** (RFC 6184 §8.2.2): profile and packetisation mode must be repeated unchanged. The level is the
///   offered one too: it is what the publisher wants to send, and towards a viewer it is what it takes.
/// - **Opus** (RFC 7587 §7.1): `stereo` says what the side that *writes* it wants to receive, and a sender must not
///   send stereo to one that does not say it; `sprop-stereo` says what the writer may send. So a publisher that
///   mentions either (Firefox always, OBS, a browser whose page asks) is answered with both: without `stereo=1` in
///   the answer Chromium encodes mono. One that mentions neither is left at mono, which takes half
///   the bits towards each viewer. A viewer that wants stereo is answered with both as well.
/// - **Opus** (RFC 7587 §7.1): `usedtx=1` in the answer is what lets a publisher be silent where nothing is heard, so one
///   that mentions it is answered with it.
/// - Everything else says what its writer can receive, which a relay cannot know.
fn answered_parameters(codec: Codec, offered: Parameters<'_>) -> String {
    let repeated: &[&str] = match codec {
        Codec::H264 => &["level-asymmetry-allowed", "packetization-mode", "profile-level-id"],
        Codec::H265 => &["level-id", "profile-id", "profile-space", "tier-flag", "tx-mode"],
        Codec::Vp9 => &["profile-id"],
        Codec::Av1 => &["level-idx", "profile", "tier"],
        Codec::Vp8 => &[],
        // The payload types of its blocks, two or more (RFC 2198 §5).
        Codec::Red => return format!("{0}/{0}", limits::RED_BLOCK_PAYLOAD_TYPE),
        Codec::Opus => {
            let stereo = offered.get("stereo") == Some("1") || offered.get("sprop-stereo") == Some("1");
            let given = [
                (stereo, "stereo=1;sprop-stereo=1"),
                (offered.get("usedtx") == Some("1"), "usedtx=1"),
                (offered.get("useinbandfec") == Some("1"), "useinbandfec=1"),
            ];
            let given: Vec<_> = given.into_iter().filter_map(|(is_given, text)| is_given.then_some(text)).collect();
            return given.join(";");
        }
    };
    let mut answer = String::new();
    for &name in repeated {
        // Only short alphanumeric values are repeated, so that no unchecked text of the peer gets into the answer.
        let plain = |value: &&str| value.len() <= 8 && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if let Some(value) = offered.get(name).filter(plain) {
            if !answer.is_empty() {
                answer.push(';');
            }
            answer.push_str(name);
            answer.push('=');
            answer.push_str(value);
        }
    }
    answer
}

/// The value of an `a=fmtp` without its payload type: `name=value` pairs with semicolons between them.
#[derive(Clone, Copy)]
struct Parameters<'a>(&'a str);

impl<'a> Parameters<'a> {
    /// The first value of `name`; names are compared without case (RFC 4855 §3).
    fn get(self, name: &str) -> Option<&'a str> {
        self.0.split(';').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn number(self, name: &str) -> Option<u8> {
        self.get(name)?.parse().ok()
    }
}

/// Checks that within one BUNDLE group a payload type means one codec of one section (RFC 9143 §9.1.1).
pub(super) fn check_unique<'a>(codecs: impl Iterator<Item = &'a NegotiatedCodec>) -> Result<(), SdpRefused> {
    let mut seen = [false; 128];
    for codec in codecs {
        for payload_type in [Some(codec.payload_type), codec.rtx_payload_type].into_iter().flatten() {
            match seen.get_mut(usize::from(payload_type)) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(Malformed::PayloadTypeTwice.into()),
            }
        }
    }
    Ok(())
}
