//! With which of its payload types a viewer is sent what a publisher sends, and how well that fits.
//!
//! The relay asks [`fits`] once per (published format, viewer): when a viewer joins, and again when the
//! publisher's parameter sets or codec change. It is not negotiation (that is `signal::sdp`, which offers the
//! viewer everything) and it reads no bitstream (the caller takes the format from the SPS, which is the truth).
//!
//! A profile is no gate. Firefox, aiortc and older Safari offer Constrained Baseline only, and their decoders take Main
//! and High; `whepclientsrc` and `whepsrc` of GStreamer name no packetisation mode and take mode 1. Nobody could watch
//! what OBS and FFmpeg encode by default if they were refused. So whoever has a payload type of the codec is sent it under
//! the nearest one, and is told when that is only a hope ([`Fit::Nearest`]).
//!
//! # Left out, and why
//! - **Levels are not compared.** RFC 6184 §8.1 makes the level of `profile-level-id` the most a receiver takes,
//!   but browsers state 3.1 (720p30) whatever they decode and encoders send 1080p to them: comparing would turn
//!   working pictures into refusals. The same holds for `level-idx` (AV1) and `level-id` (H.265).
//! - **Stereo, FEC and other Opus parameters**: every Opus decoder decodes every Opus stream (RFC 7587 §7).

use crate::description::{CodecFormat, NegotiatedCodec};
use crate::wire::codec::Codec;

/// The profiles of H.264 Annex A that RFC 6184 §8.1 table 5 tells apart, from `profile_idc` and `profile_iop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum H264Profile {
    /// The common subset of all but the intra-only profiles: what every decoder takes.
    ConstrainedBaseline,
    /// With flexible macroblock order and redundant slices, which no real-time encoder uses.
    Baseline,
    /// B frames, CABAC, interlace.
    Main,
    /// High without B frames and interlace: what Safari offers.
    ConstrainedHigh,
    /// 8×8 transform: what most hardware and x264 produce.
    High,
    /// 10 bits.
    High10,
    /// 4:2:2.
    High422,
    /// 4:4:4 Predictive: what Chromium's software decoder offers.
    High444,
    /// Data partitioning, SP and SI slices.
    Extended,
    /// Anything else, intra-only profiles among it: fits itself only. `profile_idc` and `profile_iop`.
    Other(u16),
}

impl H264Profile {
    /// Reads the upper 16 of the 24 bits of a `profile-level-id` (equally bytes 1 and 2 of an SPS).
    #[must_use]
    pub const fn of(profile_level_id: u32) -> Self {
        let idc = ((profile_level_id >> 16) & 0xff) as u8;
        let iop = ((profile_level_id >> 8) & 0xff) as u8;
        // constraint_set0_flag is the highest bit of profile_iop: conforms to Baseline; set1: to Main.
        let (set0, set1, set3) = (iop & 0x80 != 0, iop & 0x40 != 0, iop & 0x10 != 0);
        match idc {
            0x42 if set1 => Self::ConstrainedBaseline,
            0x42 => Self::Baseline,
            0x4d if set0 => Self::ConstrainedBaseline,
            0x4d => Self::Main,
            0x58 if set0 && set1 => Self::ConstrainedBaseline,
            0x58 if set0 => Self::Baseline,
            0x58 => Self::Extended,
            // set4 and set5 together: no interlace and no B slices (H.264 A.2.4.2).
            0x64 if iop & 0x0c == 0x0c => Self::ConstrainedHigh,
            0x64 => Self::High,
            // set3 makes these three intra-only (H.264 A.2.8 to A.2.10).
            0x6e if !set3 => Self::High10,
            0x7a if !set3 => Self::High422,
            0xf4 if !set3 => Self::High444,
            _ => Self::Other((idc as u16) << 8 | iop as u16),
        }
    }

    /// How many of the coding tools a decoder of it has, to tell which of two profiles that do not contain each other is
    /// nearer to a third.
    const fn tools(self) -> u8 {
        match self {
            Self::ConstrainedBaseline => 0,
            Self::Baseline => 1,
            Self::Extended => 2,
            Self::Main => 3,
            Self::ConstrainedHigh => 4,
            Self::High => 5,
            Self::High10 => 6,
            Self::High422 => 7,
            Self::High444 => 8,
            // Intra-only profiles and what is newer.
            Self::Other(_) => 9,
        }
    }

    /// Whether a decoder of `self` decodes every stream of `stream` (H.264 A.2: the conformance clauses).
    #[must_use]
    pub fn decodes(self, stream: Self) -> bool {
        use H264Profile::*;
        if self == stream {
            return true;
        }
        match self {
            ConstrainedBaseline | Other(_) => false,
            Baseline | Main | ConstrainedHigh => stream == ConstrainedBaseline,
            Extended => matches!(stream, ConstrainedBaseline | Baseline),
            High => matches!(stream, ConstrainedBaseline | Main | ConstrainedHigh),
            High10 => matches!(stream, ConstrainedBaseline | Main | ConstrainedHigh | High),
            High422 => matches!(stream, ConstrainedBaseline | Main | ConstrainedHigh | High | High10),
            High444 => {
                matches!(stream, ConstrainedBaseline | Main | ConstrainedHigh | High | High10 | High422)
            }
        }
    }
}

/// How well the payload type that a viewer is sent fits what is published. Best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The same profile and packetisation.
    Exact,
    /// A decoder of it decodes what is published.
    Compatible,
    /// Of the same codec; whether the viewer's decoder takes it is not known.
    Nearest,
}

/// The index in `viewer` of the codec with which what is published (`codec` in `format`) is to be sent, and how well it
/// fits: the exact profile and packetisation mode, else one that decodes it, else the nearest profile. The viewer's order
/// decides between equals. `None`: the viewer has no payload type of this codec.
#[must_use]
pub fn fits(codec: Codec, format: CodecFormat, viewer: &[NegotiatedCodec]) -> Option<(usize, Fit)> {
    viewer
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.codec == codec)
        .map(|(index, candidate)| (distance(format, candidate.format), index))
        .min()
        .map(|(distance, index)| (index, fit(distance)))
}

/// Distances below this one are between formats of which one decodes the other.
const UNDECODABLE: u8 = 16;
/// Further away than any profile: a packetisation that the viewer did not say it takes. A mode that is not named is mode 0
/// (RFC 6184 §8.1), so this is where viewers that name none are.
const OTHER_PACKETIZATION: u8 = 64;

const fn fit(distance: u8) -> Fit {
    match distance {
        0 => Fit::Exact,
        1..UNDECODABLE => Fit::Compatible,
        _ => Fit::Nearest,
    }
}

/// How far `viewer` is from `published`: 0 is exact, from [`UNDECODABLE`] on the viewer does not say that it decodes it.
fn distance(published: CodecFormat, viewer: CodecFormat) -> u8 {
    match (published, viewer) {
        (CodecFormat::Plain, CodecFormat::Plain) => 0,
        (
            CodecFormat::H264 { profile_level_id: published, packetization_mode: sent },
            CodecFormat::H264 { profile_level_id: viewer, packetization_mode: taken },
        ) => {
            let profile = h264_distance(H264Profile::of(published), H264Profile::of(viewer));
            profile.saturating_add(mode_distance(sent, taken))
        }
        // RFC 9628 §7: profile-id is symmetric; the profiles do not contain each other in decoders as shipped.
        (CodecFormat::Vp9 { profile: published }, CodecFormat::Vp9 { profile: viewer }) => apart(published, viewer),
        // AV1 §A.2: a decoder of High decodes Main, one of Professional decodes both.
        (CodecFormat::Av1 { profile: published }, CodecFormat::Av1 { profile: viewer }) => {
            viewer.checked_sub(published).unwrap_or_else(|| apart(published, viewer))
        }
        // H.265 A.3.3: a Main 10 decoder decodes Main. The later profiles do not nest by number.
        (CodecFormat::H265 { profile: 1 }, CodecFormat::H265 { profile: 2 }) => 1,
        (CodecFormat::H265 { profile: published }, CodecFormat::H265 { profile: viewer }) => apart(published, viewer),
        // Formats of two codecs; the caller compares those of one.
        _ => u8::MAX,
    }
}

/// The distance of profiles that do not contain each other: the nearer their numbers, the more they have in common.
fn apart(published: u8, viewer: u8) -> u8 {
    match published.abs_diff(viewer) {
        0 => 0,
        difference => UNDECODABLE.saturating_add(difference),
    }
}

fn h264_distance(published: H264Profile, viewer: H264Profile) -> u8 {
    if published == viewer {
        0
    } else if viewer.decodes(published) {
        2
    } else if published == H264Profile::Baseline && viewer.decodes(H264Profile::ConstrainedBaseline) {
        // Encoders that leave constraint_set1_flag out of a Baseline SPS do not use what the flag would exclude
        // (flexible macroblock order, redundant slices), and the decoders of every browser take them.
        4
    } else {
        UNDECODABLE.saturating_add(published.tools().abs_diff(viewer.tools()))
    }
}

/// RFC 6184 §6: mode 1 may carry single NAL units only, which is all mode 0 sends.
fn mode_distance(sent: u8, taken: u8) -> u8 {
    match (sent, taken) {
        (sent, taken) if sent == taken => 0,
        (0, 1) => 1,
        _ => OTHER_PACKETIZATION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer_codec(codec: Codec, format: CodecFormat) -> NegotiatedCodec {
        NegotiatedCodec {
            codec,
            format,
            payload_type: 96,
            rtx_payload_type: None,
            clock_rate_hz: 90_000,
            nack: true,
            pli: true,
            fir: true,
            transport_cc: false,
            remb: false,
        }
    }

    fn h264(profile_level_id: u32, packetization_mode: u8) -> CodecFormat {
        CodecFormat::H264 { profile_level_id, packetization_mode }
    }

    fn h264_viewer(formats: &[(u32, u8)]) -> Vec<NegotiatedCodec> {
        formats.iter().map(|&(id, mode)| viewer_codec(Codec::H264, h264(id, mode))).collect()
    }

    #[test]
    fn profiles_are_told_apart_as_in_rfc_6184_table_5() {
        for (id, profile) in [
            (0x42e01f, H264Profile::ConstrainedBaseline),
            (0x42c01f, H264Profile::ConstrainedBaseline),
            (0x42401f, H264Profile::ConstrainedBaseline),
            (0x4d801f, H264Profile::ConstrainedBaseline),
            (0x58c01f, H264Profile::ConstrainedBaseline),
            (0x42001f, H264Profile::Baseline),
            (0x42801f, H264Profile::Baseline),
            (0x58801f, H264Profile::Baseline),
            (0x58001f, H264Profile::Extended),
            (0x4d001f, H264Profile::Main),
            (0x4d401f, H264Profile::Main),
            (0x640034, H264Profile::High),
            (0x64081f, H264Profile::High),
            (0x640c1f, H264Profile::ConstrainedHigh),
            (0x6e0028, H264Profile::High10),
            (0x6e1028, H264Profile::Other(0x6e10)),
            (0x7a0028, H264Profile::High422),
            (0xf4001f, H264Profile::High444),
            (0x2c0028, H264Profile::Other(0x2c00)),
        ] {
            assert_eq!(H264Profile::of(id), profile, "{id:06x}");
        }
    }

    #[test]
    fn h264_goes_to_the_exact_profile_else_to_one_that_decodes_it_else_to_the_nearest() {
        use Fit::*;
        // Chromium 156 on Linux, Safari, Firefox with OpenH264: what each offers to play.
        let chromium: &[_] =
            &[(0x42e01f, 1), (0x42001f, 1), (0x4d001f, 1), (0xf4001f, 1), (0x42e01f, 0), (0x42001f, 0)];
        let safari: &[_] = &[(0x42e01f, 1), (0x640c1f, 1), (0x42e01f, 0), (0x640c1f, 0)];
        let firefox: &[_] = &[(0x42e01f, 1), (0x42e01f, 0)];
        for (published, mode, viewer, expected) in [
            (0x42e01f, 1, chromium, (0, Exact)),
            (0x42c034, 1, chromium, (0, Exact)), // other constraint bits, other level, same profile
            (0x42e01f, 0, chromium, (4, Exact)), // exact mode wins over the first of the profile
            (0x42001f, 1, chromium, (1, Exact)),
            (0x4d0028, 1, chromium, (2, Exact)),
            (0x640034, 1, chromium, (3, Compatible)), // High inside High 4:4:4 Predictive
            (0x640c2a, 1, chromium, (3, Compatible)),
            (0x58001f, 1, chromium, (1, Nearest)),
            (0x640c1f, 1, safari, (1, Exact)),
            (0x640034, 1, safari, (1, Nearest)), // High may hold B frames, Constrained High may not
            (0x640034, 0, safari, (3, Nearest)), // of the same packetisation
            (0x4d001f, 1, safari, (1, Nearest)),
            (0x42001f, 1, safari, (0, Compatible)), // Baseline as encoders produce it
            (0x640034, 1, firefox, (0, Nearest)),
            (0x4d0028, 1, firefox, (0, Nearest)),
            (0x42001f, 0, firefox, (1, Compatible)),
        ] {
            assert_eq!(
                fits(Codec::H264, h264(published, mode), &h264_viewer(viewer)),
                Some(expected),
                "{published:06x} mode {mode} to {viewer:06x?}"
            );
        }
    }

    #[test]
    fn a_viewer_that_names_no_packetisation_mode_is_sent_mode_1_only_where_it_has_nothing_better() {
        // RFC 6184 §8.1: no mode is mode 0. GStreamer's WHEP players offer only that.
        let sent = |viewer: &[(u32, u8)]| fits(Codec::H264, h264(0x42e01f, 1), &h264_viewer(viewer));
        assert_eq!(sent(&[(0x42e01f, 0)]), Some((0, Fit::Nearest)));
        assert_eq!(
            sent(&[(0x42e01f, 0), (0x2c0028, 1)]),
            Some((1, Fit::Nearest)),
            "any profile of that mode is nearer"
        );
        let narrower = fits(Codec::H264, h264(0x42e01f, 0), &h264_viewer(&[(0x42e01f, 1)]));
        assert_eq!(narrower, Some((0, Fit::Compatible)));
    }

    #[test]
    fn an_exact_profile_in_a_wider_mode_wins_over_a_wider_profile_in_the_exact_mode() {
        let viewer = h264_viewer(&[(0x64001f, 0), (0x42e01f, 1)]);
        assert_eq!(fits(Codec::H264, h264(0x42e01f, 0), &viewer), Some((1, Fit::Compatible)));
    }

    #[test]
    fn whoever_has_a_payload_type_of_the_codec_is_sent_it() {
        for published in [0x42e01f, 0x42001f, 0x58001f, 0x4d001f, 0x64001f, 0x6e0028, 0x7a0028, 0xf4001f, 0x2c0028] {
            for viewer in [0x42000a, 0x42e01f, 0x4d001f, 0x640c1f, 0x64001f, 0xf4001f, 0x2c0028, 0xffffff] {
                for (sent, taken) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let found = fits(Codec::H264, h264(published, sent), &h264_viewer(&[(viewer, taken)]));
                    assert!(found.is_some(), "{published:06x} mode {sent} to {viewer:06x} mode {taken}");
                }
            }
        }
    }

    #[test]
    fn the_other_codecs_compare_their_profiles() {
        use Fit::*;
        let table = [
            (Codec::Vp8, CodecFormat::Plain, CodecFormat::Plain, Exact),
            (Codec::Vp9, CodecFormat::Vp9 { profile: 0 }, CodecFormat::Vp9 { profile: 0 }, Exact),
            (Codec::Vp9, CodecFormat::Vp9 { profile: 0 }, CodecFormat::Vp9 { profile: 2 }, Nearest),
            (Codec::Vp9, CodecFormat::Vp9 { profile: 2 }, CodecFormat::Vp9 { profile: 0 }, Nearest),
            (Codec::Av1, CodecFormat::Av1 { profile: 0 }, CodecFormat::Av1 { profile: 1 }, Compatible),
            (Codec::Av1, CodecFormat::Av1 { profile: 1 }, CodecFormat::Av1 { profile: 0 }, Nearest),
            (Codec::H265, CodecFormat::H265 { profile: 1 }, CodecFormat::H265 { profile: 2 }, Compatible),
            (Codec::H265, CodecFormat::H265 { profile: 2 }, CodecFormat::H265 { profile: 1 }, Nearest),
            (Codec::H265, CodecFormat::H265 { profile: 1 }, CodecFormat::H265 { profile: 4 }, Nearest),
            (Codec::Opus, CodecFormat::Plain, CodecFormat::Plain, Exact),
        ];
        for (codec, published, viewer, expected) in table {
            let found = fits(codec, published, &[viewer_codec(codec, viewer)]);
            assert_eq!(found, Some((0, expected)), "{codec:?} {published:?} to {viewer:?}");
        }
        let both = [0, 2].map(|profile| viewer_codec(Codec::Vp9, CodecFormat::Vp9 { profile }));
        assert_eq!(fits(Codec::Vp9, CodecFormat::Vp9 { profile: 2 }, &both), Some((1, Exact)));
        assert_eq!(fits(Codec::Vp9, CodecFormat::Vp9 { profile: 3 }, &both), Some((1, Nearest)));
    }

    #[test]
    fn another_codec_never_fits() {
        let viewer = [viewer_codec(Codec::Vp8, CodecFormat::Plain), viewer_codec(Codec::Opus, CodecFormat::Plain)];
        assert_eq!(fits(Codec::H264, h264(0x42e01f, 1), &viewer), None);
        assert_eq!(fits(Codec::Opus, CodecFormat::Plain, &viewer), Some((1, Fit::Exact)));
        assert_eq!(fits(Codec::Vp8, CodecFormat::Plain, &[]), None);
    }
}
