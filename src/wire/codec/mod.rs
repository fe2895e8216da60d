//! What forwarding must know about a payload: whether it begins a frame or a key frame, and whether it holds parameter
//! sets.
//!
//! [`inspect`] looks at one RTP payload and keeps no state. It reads payload descriptors and the first bits of what
//! they describe, never entropy-coded data: nothing is decoded. The caller finds out which packets belong to one frame
//! (by the RTP timestamp) and where the frame ends (by the marker bit).
//!
//! Left out: interleaved packetisation (H.264 mode 2, H.265 with decoding order numbers), which WebRTC does not
//! negotiate; gradual refresh without key frames (recovery point SEI), where no single packet is a place to begin.

pub mod av1;
pub mod h264;
pub mod h265;
pub mod opus;
pub mod picture_numbers;
mod picture_size;
pub mod vp8;
pub mod vp9;

pub use picture_size::picture_size;

#[cfg(test)]
mod tests;

/// A codec the relay forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// RFC 6184
    H264,
    /// RFC 7798
    H265,
    /// RFC 7741
    Vp8,
    /// RFC 9628
    Vp9,
    /// AV1 RTP specification
    Av1,
    /// RFC 7587
    Opus,
    /// RFC 2198, of Opus: made by the relay for viewers, and taken from no publisher
    Red,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 7] = [Self::H264, Self::H265, Self::Vp8, Self::Vp9, Self::Av1, Self::Opus, Self::Red];

    /// The encoding name in SDP (`a=rtpmap`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::Opus => "opus",
            Self::Red => "red",
        }
    }

    /// The codec with this encoding name, in any case (RFC 4855 §3).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// The RTP clock in Hz.
    #[must_use]
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::H264 | Self::H265 | Self::Vp8 | Self::Vp9 | Self::Av1 => 90_000,
            Self::Opus | Self::Red => 48_000,
        }
    }
}

/// What one payload shows about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadHints {
    /// The first slice, partition, layer or tile group of a key frame begins in this packet: exactly one packet of
    /// a key frame. A receiver that starts at the first packet *of this timestamp* can decode; where the frame's
    /// parameter sets travel ahead in packets of their own (H.264, H.265), those are before this one.
    pub key_frame_start: bool,
    /// As above for any frame: exactly one packet of each (an AV1 key frame whose sequence header travels alone is
    /// announced with the header and again with the frame). Packets ahead of it may hold parameter sets or metadata.
    pub frame_start: bool,
    /// Holds a whole SPS, PPS or VPS (H.264, H.265) or sequence header (AV1). Sliced encoders repeat them between
    /// the slices of one frame.
    pub has_parameter_sets: bool,
    /// The packet may get RTP padding so that all fragments of a frame become equally long. Set for a fragment of
    /// picture data that is not the last of its unit, as far as the payload shows. VP8 does not show it: callers leave
    /// out packets with the marker.
    pub paddable: bool,
}

/// Which layer of its encoding a payload belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerIds {
    /// Of time.
    pub temporal: u8,
    /// Of space.
    pub spatial: u8,
    /// Who has the layers below can begin to decode this one here.
    pub up_here: bool,
    /// Who has this layer and those below can decode higher ones that come after it.
    pub up_after: bool,
}

/// The layer of a payload, where it says so. One that goes on with what began in another packet may not (AV1).
#[must_use]
pub fn layer_of(codec: Codec, payload: &[u8]) -> Option<LayerIds> {
    match codec {
        Codec::Vp8 => vp8::layer_of(payload),
        Codec::Vp9 => vp9::layer_of(payload),
        Codec::Av1 => av1::layer_of(payload),
        Codec::H264 | Codec::H265 | Codec::Opus | Codec::Red => None,
    }
}

/// Looks at one payload without padding. A payload that cannot be read gives no hints.
#[must_use]
pub fn inspect(codec: Codec, payload: &[u8]) -> PayloadHints {
    match codec {
        Codec::H264 => h264::inspect(payload),
        Codec::H265 => h265::inspect(payload),
        Codec::Vp8 => vp8::inspect(payload),
        Codec::Vp9 => vp9::inspect(payload),
        Codec::Av1 => av1::inspect(payload),
        Codec::Opus | Codec::Red => opus::inspect(payload),
    }
}
