//! Opus payloads (RFC 7587): every packet is a frame that decodes without the one before.

use super::PayloadHints;

/// See [`super::inspect`]. An empty payload (a probe) is no frame.
pub(super) const fn inspect(payload: &[u8]) -> PayloadHints {
    let any = !payload.is_empty();
    PayloadHints { key_frame_start: any, frame_start: any, has_parameter_sets: false, paddable: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_begins_a_key_frame() {
        let hints = inspect(&[0x78, 0x84, 0x56]);
        assert!(hints.frame_start && hints.key_frame_start && !hints.has_parameter_sets && !hints.paddable);
        assert_eq!(inspect(&[]), PayloadHints::default());
    }
}
