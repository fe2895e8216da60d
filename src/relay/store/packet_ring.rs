//! The packets of one encoding, stored once: what cursors read, what retransmissions repeat, and where the last
//! key frame lies.
//!
//! Two orders meet here. *Positions* count packets in the order they were stored: cursors move along them, so a
//! packet that the uplink recovered late reaches every viewer late, but once. *Sequences* are the extended RTP
//! sequence numbers of the worker's own timeline: a NACK is answered through them.
//!
//! ```text
//!  buffer  |  p7  |  p8  |  p9  |   free   |  p4  | p5 |  p6  |  tail too short for the next |
//!                               ^ write    ^ oldest
//! ```
//!
//! Bounded twice: in bytes (it starts small and doubles while its history is shorter than
//! [`limits::RING_HISTORY`], and while it would lose the newest key frame before [`limits::KEY_FRAME_AGE_MAX`], up to a maximum)
//! and in packets. At either bound the oldest packet goes; a cursor that
//! still wanted it skips ([`crate::relay::play::subscription`]).

use std::collections::VecDeque;

use crate::limits;
use crate::relay::store::numbers::{Position, Sequence};
use crate::time::Timestamp;
use crate::wire::codec::LayerIds;

/// What is known of a stored packet beside its payload. Shared by all viewers and never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// Extended sequence number on this worker's timeline.
    pub sequence: Sequence,
    /// RTP timestamp on this worker's timeline.
    pub timestamp: u32,
    /// When the publisher's worker received it.
    pub arrival: Timestamp,
    /// The marker bit: the last packet of a video frame.
    pub marker: bool,
    /// Whether a key frame begins with this packet.
    pub key_frame: bool,
    /// Bytes of RTP padding to append (RFC 3550 §5.1), decided once at the publisher's worker.
    pub padding: u8,
    /// Which layer of its encoding it belongs to, where that is known.
    pub layers: Layers,
}

/// The temporal and spatial layer of a packet, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers(u8);

impl Layers {
    /// Nothing is known: the packet belongs to every choice of layers.
    pub const UNKNOWN: Self = Self(0);

    const KNOWN: u8 = 0x80;
    const UP_HERE: u8 = 0x40;
    const UP_AFTER: u8 = 0x20;

    /// Temporal layers 0 to 7, spatial ones 0 to 3; a higher one counts as 3.
    #[must_use]
    pub const fn new(layer: LayerIds) -> Self {
        let LayerIds { temporal, spatial, up_here, up_after } = layer;
        let up_here = if up_here { Self::UP_HERE } else { 0 };
        let up_after = if up_after { Self::UP_AFTER } else { 0 };
        let spatial = if spatial > 3 { 3 } else { spatial };
        Self(Self::KNOWN | up_here | up_after | spatial << 3 | temporal & 7)
    }

    /// As records carry it.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// From [`Self::to_byte`].
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        if byte & Self::KNOWN == 0 { Self::UNKNOWN } else { Self(byte) }
    }

    /// What it says; `None` where nothing is known.
    #[must_use]
    pub const fn known(self) -> Option<LayerIds> {
        if self.0 & Self::KNOWN == 0 {
            return None;
        }
        Some(LayerIds {
            temporal: self.0 & 7,
            spatial: self.0 >> 3 & 3,
            up_here: self.0 & Self::UP_HERE != 0,
            up_after: self.0 & Self::UP_AFTER != 0,
        })
    }
}

const _: () = assert!(size_of::<PacketInfo>() == 24, "every viewer reads it: the layers take a byte that was free");

#[derive(Clone, Copy, Debug)]
struct Stored {
    info: PacketInfo,
    offset: u32,
    len: u16,
}

/// Why a packet was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// Its sequence is in the ring already.
    Duplicate,
    /// Its sequence lies behind everything the ring could hold.
    TooOld,
    /// No payload, or longer than a datagram.
    BadLength,
}

/// The packets of one encoding.
#[derive(Debug)]
pub struct PacketRing {
    buffer: Box<[u8]>,
    bytes_max: usize,
    write: usize,
    packets: VecDeque<Stored>,
    first_position: Position,
    /// Position of each recent sequence, at `sequence % len`.
    positions: Box<[Position]>,
    newest_sequence: Option<Sequence>,
    key_frame: Option<Start>,
}

/// Where a cursor may begin: from `position` on it meets every packet from `sequence` on. The packet at `position` itself may
/// be a later one, where the network reordered; what it meets of before `sequence` it passes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Of the first packet to look at.
    pub position: Position,
    /// The first to send.
    pub sequence: Sequence,
}

const NOWHERE: Position = Position(u64::MAX);

impl PacketRing {
    /// An empty ring for at most `packets_max` packets (a power of two) and `bytes_max` bytes.
    #[must_use]
    pub fn new(packets_max: usize, bytes_max: usize) -> Self {
        assert!(packets_max.is_power_of_two(), "sequences are found by masking");
        Self {
            buffer: Box::default(),
            bytes_max,
            write: 0,
            packets: VecDeque::new(),
            first_position: Position(0),
            positions: vec![NOWHERE; packets_max].into_boxed_slice(),
            newest_sequence: None,
            key_frame: None,
        }
    }

    /// Position of the oldest stored packet; equal to [`Self::head`] when empty.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.first_position
    }

    /// Position the next packet will have.
    #[must_use]
    pub fn head(&self) -> Position {
        Position(self.first_position.0 + self.packets.len() as u64)
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing was stored yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Where the newest key frame begins, while it is in the ring.
    #[must_use]
    pub fn key_frame(&self) -> Option<Start> {
        self.key_frame.filter(|start| start.position >= self.first_position)
    }

    /// Says that the newest key frame begins with the packet at `position`. Those that overtook it, and lie before it at
    /// `floor` or later, are part of what follows.
    pub fn set_key_frame(&mut self, position: Position, floor: Position) {
        let Some((&PacketInfo { sequence, .. }, _)) = self.get(position) else { return };
        let mut start = Start { position, sequence };
        let floor = floor.0.max(self.tail().0).max(position.0.saturating_sub(limits::OVERTAKING_PACKETS_MAX));
        for earlier in (floor..position.0).rev().map(Position) {
            if self.get(earlier).is_some_and(|(info, _)| info.sequence > sequence) {
                start.position = earlier;
            }
        }
        self.key_frame = Some(start);
    }

    /// Forgets every packet: what follows may be some of them once more. Positions go on.
    pub fn clear(&mut self) {
        self.first_position = self.head();
        self.packets.clear();
        self.positions.fill(NOWHERE);
        (self.write, self.key_frame) = (0, None);
    }

    /// The packet that was stored last, where none with a higher sequence came before it.
    #[must_use]
    pub fn newest(&self) -> Option<Start> {
        let position = Position(self.head().0.checked_sub(1)?);
        let (&PacketInfo { sequence, .. }, _) = self.get(position)?;
        (self.newest_sequence == Some(sequence)).then_some(Start { position, sequence })
    }

    /// Whether the packet that was stored last ends its frame (the marker bit).
    #[must_use]
    pub fn newest_is_marked(&self) -> bool {
        self.packets.back().is_some_and(|stored| stored.info.marker)
    }

    /// The highest sequence ever stored.
    #[must_use]
    pub fn newest_sequence(&self) -> Option<Sequence> {
        self.newest_sequence
    }

    /// Whether each packet's bytes are its own and inside the buffer.
    #[cfg(any(test, feature = "peer"))]
    #[must_use]
    pub fn is_disjoint(&self) -> bool {
        let extent = |stored: &Stored| (stored.offset as usize, stored.offset as usize + usize::from(stored.len));
        let mut extents: Vec<_> = self.packets.iter().map(extent).collect();
        extents.sort_unstable();
        extents.is_sorted_by(|before, after| before.1 <= after.0)
            && extents.last().is_none_or(|&(_, end)| end <= self.buffer.len())
    }

    /// Bytes allocated for payloads.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The packet at `position`.
    #[must_use]
    pub fn get(&self, position: Position) -> Option<(&PacketInfo, &[u8])> {
        let index = usize::try_from(position.0.checked_sub(self.first_position.0)?).ok()?;
        let stored = self.packets.get(index)?;
        let payload = self.buffer.get(stored.offset as usize..stored.offset as usize + usize::from(stored.len))?;
        Some((&stored.info, payload))
    }

    /// Bytes from `position` on, as they are sent.
    #[must_use]
    pub fn bytes_from(&self, position: Position) -> u64 {
        let from = usize::try_from(position.0.saturating_sub(self.first_position.0)).unwrap_or(usize::MAX);
        self.packets
            .range(from.min(self.packets.len())..)
            .map(|stored| (usize::from(stored.len) + limits::SENT_OVERHEAD_BYTES) as u64)
            .sum()
    }

    /// The packet with `sequence`, and its position.
    #[must_use]
    pub fn find(&self, sequence: Sequence) -> Option<(Position, &PacketInfo, &[u8])> {
        let position = *self.positions.get(self.slot_of(sequence))?;
        if position == NOWHERE {
            return None;
        }
        let (info, payload) = self.get(position)?;
        (info.sequence == sequence).then_some((position, info, payload))
    }

    /// Stores a packet and returns its position.
    ///
    /// # Errors
    /// The sequence was stored before, is too old to tell, or the payload has no usable length.
    pub fn store(&mut self, info: PacketInfo, payload: &[u8]) -> Result<Position, NotStored> {
        if payload.is_empty() || payload.len() > limits::DATAGRAM_IN_BYTES_MAX {
            return Err(NotStored::BadLength);
        }
        if let Some(newest) = self.newest_sequence {
            // Whatever lies further back than the index reaches may have been stored and forgotten: sealing it
            // again could repeat a nonce, so it is refused.
            if info.sequence.0.saturating_add(self.positions.len() as u64) <= newest.0 {
                return Err(NotStored::TooOld);
            }
            if info.sequence <= newest && self.was_stored(info.sequence) {
                return Err(NotStored::Duplicate);
            }
        }
        if self.packets.len() == self.positions.len() {
            self.evict();
        }
        let offset = self.make_room(payload.len(), info.arrival);
        if let Some(place) = self.buffer.get_mut(offset..offset + payload.len()) {
            place.copy_from_slice(payload);
        }
        self.write = offset + payload.len();
        let position = self.head();
        self.forget_skipped(info.sequence);
        let slot = self.slot_of(info.sequence);
        self.positions[slot] = position;
        self.packets.push_back(Stored { info, offset: offset as u32, len: payload.len() as u16 });
        self.newest_sequence = Some(self.newest_sequence.map_or(info.sequence, |newest| newest.max(info.sequence)));
        Ok(position)
    }

    fn slot_of(&self, sequence: Sequence) -> usize {
        (sequence.0 & (self.positions.len() as u64 - 1)) as usize
    }

    /// Whether a sequence within the index's reach was stored; its packet may be gone from the bytes by now.
    fn was_stored(&self, sequence: Sequence) -> bool {
        self.positions[self.slot_of(sequence)] != NOWHERE
    }

    /// Clears the slots of sequences that were jumped over, so that each slot speaks of one sequence only: the one
    /// in `newest - len + 1 ..= newest` that maps to it.
    fn forget_skipped(&mut self, sequence: Sequence) {
        let Some(newest) = self.newest_sequence else { return };
        if sequence <= newest {
            return;
        }
        let skipped = (sequence.0 - newest.0 - 1).min(self.positions.len() as u64);
        for missing in sequence.0 - skipped..sequence.0 {
            let slot = self.slot_of(Sequence(missing));
            self.positions[slot] = NOWHERE;
        }
    }

    fn evict(&mut self) {
        if self.packets.pop_front().is_some() {
            self.first_position = self.first_position.next();
        }
    }

    /// Finds `len` contiguous bytes, growing or evicting until there are; returns their offset.
    fn make_room(&mut self, len: usize, now: Timestamp) -> usize {
        loop {
            let Some(oldest) = self.packets.front().copied() else {
                if self.buffer.len() < len {
                    self.grow();
                    continue;
                }
                return 0;
            };
            let tail = oldest.offset as usize;
            if self.write > tail {
                if self.buffer.len() - self.write >= len {
                    return self.write;
                }
                if tail >= len {
                    return 0;
                }
            } else if tail - self.write >= len {
                return self.write;
            }
            let age = now.since(oldest.info.arrival);
            let is_key_frame = self.key_frame.is_some_and(|start| start.position == self.first_position);
            let kept = if is_key_frame { limits::KEY_FRAME_AGE_MAX } else { limits::RING_HISTORY };
            if self.buffer.len() < self.bytes_max && age < kept {
                self.grow();
            } else {
                self.evict();
            }
        }
    }

    /// Doubles the buffer and lays the packets out anew.
    fn grow(&mut self) {
        let bytes =
            (self.buffer.len() * 2).clamp(limits::RING_BYTES_INITIAL, self.bytes_max.max(limits::RING_BYTES_INITIAL));
        let mut larger = vec![0; bytes].into_boxed_slice();
        let mut write = 0;
        for stored in &mut self.packets {
            let from = stored.offset as usize;
            let len = usize::from(stored.len);
            larger[write..write + len].copy_from_slice(&self.buffer[from..from + len]);
            stored.offset = write as u32;
            write += len;
        }
        self.buffer = larger;
        self.write = write;
    }
}

#[cfg(test)]
mod tests;
