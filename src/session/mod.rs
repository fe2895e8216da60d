//! One peer: ICE, DTLS and SRTP joined into a state machine without I/O.

pub mod codec_match;
pub mod description;
