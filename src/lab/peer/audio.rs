//! Opus packets as a browser sends them: 20 ms each, no marker.

use crate::crypto::random::{Random, SeededRandom};

/// RTP clock ticks of one packet.
pub const TICKS_PER_PACKET: u32 = 960;

/// The payload of packet `number`: the table-of-contents byte of one 20 ms CELT frame in stereo (RFC 6716 §3.1), and
/// bytes that are not Opus but differ from packet to packet.
#[must_use]
pub fn opus_payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![0; bytes.max(1)];
    SeededRandom::new(number ^ 0x0905).fill(&mut payload);
    if let Some(toc) = payload.first_mut() {
        *toc = 0xfc;
    }
    payload
}
