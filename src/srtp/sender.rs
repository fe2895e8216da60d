//! The sending side: seals what this node sends to one peer.

use std::fmt;

use super::key_derivation::{PacketKind, SessionKeys};
use super::profile::{MasterKey, SrtpProfile};
use super::replay::PACKET_INDEX_MAX;
use super::transform::Transform;
use super::{RTP_FIXED_HEADER_LEN, parse_rtcp_ssrc};
use crate::crypto::aead::{AeadKey, DefaultAead};
use crate::limits;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// The format version that [`SrtpSender::export`] writes.
const STATE_VERSION: u8 = 1;

/// The highest SRTCP index (RFC 3711 §3.4: 31 bits).
const RTCP_INDEX_MAX: u32 = (1 << 31) - 1;

/// Seals the RTP and RTCP packets of one peer.
pub struct SrtpSender<A: AeadKey = DefaultAead> {
    profile: SrtpProfile,
    rtp: Transform<A>,
    rtcp: Transform<A>,
    /// Kept for [`Self::export`]: the transforms do not give their keys back.
    master: MasterKey,
    /// The index of the next SRTCP packet, counted over all SSRCs. So the indexes of each SSRC still rise and never
    /// repeat.
    next_rtcp_index: u32,
}

impl<A: AeadKey> SrtpSender<A> {
    /// A sender under `master`, which is [`SrtpKeys::local`](super::SrtpKeys::local).
    #[must_use]
    pub fn new(profile: SrtpProfile, master: &MasterKey) -> Self {
        Self::keyed(
            profile,
            &SessionKeys::derive(profile, master, PacketKind::Rtp),
            &SessionKeys::derive(profile, master, PacketKind::Rtcp),
            master.clone(),
        )
    }

    fn keyed(profile: SrtpProfile, rtp: &SessionKeys, rtcp: &SessionKeys, master: MasterKey) -> Self {
        let (rtp, rtcp) = (Transform::new(profile, rtp), Transform::new(profile, rtcp));
        Self { profile, rtp, rtcp, master, next_rtcp_index: 0 }
    }

    /// A sender under session keys, as RFC 7714's examples give them. It cannot be exported.
    #[cfg(test)]
    pub(super) fn from_session_keys(profile: SrtpProfile, rtp: &SessionKeys, rtcp: &SessionKeys) -> Self {
        Self::keyed(profile, rtp, rtcp, MasterKey::none())
    }

    /// Writes the sender's state, consuming it: **whoever exported a sender can seal nothing more with it**, so the
    /// SRTCP index written is above every one used. The index of RTP packets belongs to the relay, which hands its own
    /// state over by the same rule.
    pub fn export(self, out: &mut StateWriter) {
        out.version(STATE_VERSION);
        self.master.export(self.profile, out);
        out.u32(self.next_rtcp_index);
    }

    /// Reads what [`Self::export`] wrote. Bytes are to be imported once: two senders from the same bytes would seal the
    /// same indexes.
    ///
    /// # Errors
    /// When they are not such a state.
    pub fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        from.version("an SRTP sender", STATE_VERSION)?;
        let (profile, master) = MasterKey::import(from)?;
        let mut sender = Self::new(profile, &master);
        sender.next_rtcp_index = from.u32()?;
        // An exhausted sender exports the index one above the last.
        if sender.next_rtcp_index > RTCP_INDEX_MAX + 1 { Err(ImportError::Malformed) } else { Ok(sender) }
    }

    /// The profile it seals with.
    #[must_use]
    pub fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Seals one RTP packet into `slot`, whose first `header_len` bytes hold its header (CSRCs and extension included),
    /// and returns the datagram's length. With GCM the ciphertext goes from `payload` straight into `slot`.
    ///
    /// `packet_index` is the rollover counter and the sequence number (RFC 3711 §3.3.1). **The caller never passes the
    /// same (SSRC, index) for two different packets**; to send a packet again, it sends the same bytes. `padding` is the
    /// number of RTP padding bytes to append (RFC 3550 §5.1), at most [`limits::RTP_PADDING_BYTES_MAX`]; where it is not
    /// zero the padding bit is set here. A payload that ends in padding of its own goes with `padding` 0 and the bit set.
    ///
    /// `None`, and nothing to send: the slot is too short for header, payload, padding and
    /// [tag](SrtpProfile::tag_len), the header's sequence number is not the index's, the index has more than 48 bits, or
    /// there is too much padding.
    #[inline]
    #[must_use]
    pub fn seal_rtp(
        &self,
        packet_index: u64,
        header_len: usize,
        slot: &mut [u8],
        payload: &[u8],
        padding: u8,
    ) -> Option<usize> {
        let mut padding_bytes = [0; limits::RTP_PADDING_BYTES_MAX];
        let padding_bytes = padding_bytes.get_mut(..usize::from(padding))?;
        if let Some(last) = padding_bytes.last_mut() {
            *last = padding;
        }
        let len = header_len + payload.len() + padding_bytes.len() + self.profile.tag_len();
        let packet = slot.get_mut(..len)?;
        let (fixed, _) = packet.get_mut(..header_len)?.split_first_chunk_mut::<RTP_FIXED_HEADER_LEN>()?;
        if padding > 0 {
            fixed[0] |= 0x20;
        }
        let [_, _, s0, s1, _, _, _, _, c0, c1, c2, c3] = *fixed;
        if packet_index > PACKET_INDEX_MAX || u16::from_be_bytes([s0, s1]) != (packet_index & 0xffff) as u16 {
            return None;
        }
        let ssrc = u32::from_be_bytes([c0, c1, c2, c3]);
        self.rtp.seal_rtp(ssrc, packet_index, packet, header_len, payload, padding_bytes)?;
        Some(len)
    }

    /// Seals the compound RTCP packet in the first `len` bytes of `slot` in place and returns the datagram's length,
    /// [`SrtpProfile::rtcp_overhead`] more.
    ///
    /// `None`, and nothing to send: the slot is too short, those bytes are not RTCP, or 2³¹ packets were sealed and the
    /// key must be changed (RFC 3711 §9.2).
    #[must_use]
    pub fn seal_rtcp(&mut self, slot: &mut [u8], len: usize) -> Option<usize> {
        let ssrc = parse_rtcp_ssrc(slot.get(..len)?)?;
        if len + self.profile.rtcp_overhead() > slot.len() || self.next_rtcp_index > RTCP_INDEX_MAX {
            return None;
        }
        let index = self.next_rtcp_index;
        self.next_rtcp_index += 1;
        self.rtcp.seal_rtcp(ssrc, index, slot, len)
    }

    /// Continues at the given SRTCP index, so that tests can reach the last one.
    #[cfg(test)]
    pub(super) fn skip_to_rtcp_index(&mut self, index: u32) {
        self.next_rtcp_index = index;
    }
}

impl<A: AeadKey> fmt::Debug for SrtpSender<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpSender").field("profile", &self.profile).finish_non_exhaustive()
    }
}
