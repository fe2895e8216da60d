//! One RTP stream of a publisher: it numbers payloads, keeps sent packets, and retransmits them on request (RFC 4588).

use std::collections::VecDeque;

use super::client::OutgoingRtp;
use crate::limits;

/// A packet a source sent, or sends now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePacket {
    /// Rollover counter and sequence number.
    pub index: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Payload.
    pub payload: Vec<u8>,
}

/// One RTP stream.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its SSRC.
    pub ssrc: u32,
    /// Its payload type.
    pub payload_type: u8,
    /// SSRC and payload type of its retransmissions.
    pub rtx: Option<(u32, u8)>,
    next_index: u64,
    next_rtx_index: u64,
    history: VecDeque<SourcePacket>,
    /// Packets and payload octets sent, for sender reports.
    pub sent: (u32, u32),
}

impl Source {
    /// A stream that begins with `first_index`, which lies below 2¹⁵ (RFC 3711 §3.3.1).
    #[must_use]
    pub fn new(ssrc: u32, payload_type: u8, rtx: Option<(u32, u8)>, first_index: u64) -> Self {
        Self {
            ssrc,
            payload_type,
            rtx,
            next_index: first_index,
            next_rtx_index: 1 + first_index % 1_000,
            history: VecDeque::new(),
            sent: (0, 0),
        }
    }

    /// Numbers a payload and keeps it.
    pub fn packet(&mut self, timestamp: u32, marker: bool, payload: Vec<u8>) -> &SourcePacket {
        let index = self.next_index;
        self.next_index += 1;
        if self.history.len() == limits::PEER_HISTORY_PACKETS_MAX {
            self.history.pop_front();
        }
        self.sent = (self.sent.0.wrapping_add(1), self.sent.1.wrapping_add(payload.len() as u32));
        self.history.push_back(SourcePacket { index, timestamp, marker, payload });
        self.history.back().expect("it was just put there")
    }

    /// Uses up a number without keeping a packet, for a padding-only probe.
    pub fn skip(&mut self) -> u64 {
        self.next_index += 1;
        self.next_index - 1
    }

    /// A kept packet by its sequence number.
    #[must_use]
    pub fn find(&self, sequence: u16) -> Option<&SourcePacket> {
        self.history.iter().rev().find(|packet| (packet.index & 0xffff) as u16 == sequence)
    }

    /// The number the next packet gets.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// A packet as it goes out.
    #[must_use]
    pub fn outgoing<'a>(&self, packet: &'a SourcePacket, extensions: &'a [(u8, &'a [u8])]) -> OutgoingRtp<'a> {
        OutgoingRtp {
            ssrc: self.ssrc,
            index: packet.index,
            timestamp: packet.timestamp,
            payload_type: self.payload_type,
            marker: packet.marker,
            extensions,
            payload: &packet.payload,
            padding: 0,
        }
    }

    /// The retransmission of a sequence number: its index and payload (RFC 4588 §4). `None` when it is not kept or
    /// RTX was not agreed.
    pub fn repair(&mut self, sequence: u16) -> Option<(SourcePacket, (u32, u8))> {
        let rtx = self.rtx?;
        let original = self.find(sequence)?;
        let mut payload = sequence.to_be_bytes().to_vec();
        payload.extend_from_slice(&original.payload);
        let (timestamp, marker) = (original.timestamp, original.marker);
        let index = self.next_rtx_index;
        self.next_rtx_index += 1;
        Some((SourcePacket { index, timestamp, marker, payload }, rtx))
    }
}
