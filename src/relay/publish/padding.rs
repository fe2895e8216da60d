//! How many bytes of RTP padding make a frame's fragments equal, so that they leave as one train.
//!
//! Browsers split a frame evenly: its fragments differ by one byte, the shorter ones first. A train ends where the
//! size changes, so every frame would be two trains. One byte of padding (RFC 3550 §5.1) on the shorter fragments
//! makes it one; it is decided here, once per packet at the publisher's worker, without waiting for the frame's
//! end: the target is one byte more than the frame's first fragment, or its largest so far.
//!
//! Left alone: the frame's last packet (a shorter last segment ends a train anyway), whatever the codec says must
//! not be padded, and sizes further apart than [`limits::PADDING_BYTES_MAX`] (encoders that fill packets to the
//! MTU gain nothing).

use crate::limits;

/// The fragment sizes of the frame in progress.
#[derive(Debug, Default)]
pub struct FragmentPadding {
    timestamp: Option<u32>,
    target: usize,
}

impl FragmentPadding {
    /// The padding for one packet, in bytes.
    pub fn pad(&mut self, timestamp: u32, marker: bool, paddable: bool, payload_len: usize) -> u8 {
        if !paddable || marker {
            return 0;
        }
        if self.timestamp != Some(timestamp) {
            self.timestamp = Some(timestamp);
            self.target = payload_len + 1;
        }
        self.target = self.target.max(payload_len);
        let padding = self.target - payload_len;
        if padding <= limits::PADDING_BYTES_MAX { padding as u8 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_that_differ_by_a_byte_become_equal() {
        let mut padding = FragmentPadding::default();
        let sizes = [1125, 1125, 1126, 1126, 1126];
        let padded: Vec<usize> = sizes.iter().map(|&len| len + usize::from(padding.pad(9, false, true, len))).collect();
        assert_eq!(padded, [1126; 5]);
        assert_eq!(padding.pad(9, true, true, 1125), 0, "the last packet is left alone");
    }

    #[test]
    fn padding_is_bounded_and_each_frame_has_a_target_of_its_own() {
        let mut padding = FragmentPadding::default();
        // The first fragment's target is one byte more than itself.
        assert_eq!(padding.pad(1, false, true, 1_000), 1);
        let most = 1_001 - limits::PADDING_BYTES_MAX;
        assert_eq!(usize::from(padding.pad(1, false, true, most)), limits::PADDING_BYTES_MAX);
        assert_eq!(padding.pad(1, false, true, most - 1), 0);
        assert_eq!((padding.pad(1, false, true, 1_005), padding.pad(1, false, true, 1_003)), (0, 2));
        // What is left alone is no target either.
        assert_eq!((padding.pad(1, false, false, 1_010), padding.pad(1, true, true, 1_010)), (0, 0));
        assert_eq!(padding.pad(1, false, true, 1_004), 1);
        assert_eq!(padding.pad(2, false, true, 1_003), 1, "another frame");
    }

    #[test]
    fn full_packets_and_a_short_end_are_left_alone() {
        let mut padding = FragmentPadding::default();
        padding.pad(1, false, true, 1398);
        assert_eq!(padding.pad(1, false, true, 300), 0);
        assert_eq!(padding.pad(1, false, false, 1398), 0);
    }
}
