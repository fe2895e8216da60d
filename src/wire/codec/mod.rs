//! What forwarding must know of a codec: key frame? frame edge? parameter sets?

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
}
