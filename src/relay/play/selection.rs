//! What of a track a viewer is sent: all of one encoding, one of several, or some of its layers.
//!
//! One question for all of them, [`Selection::decide`]: given what is known of a packet, is it sent, dropped, or is it the
//! place to switch? A *switch* begins with a key frame of the encoding that is wanted; until then the present one goes
//! on. A *drop* leaves no hole ([`super::rewriter`]).
//!
//! [`Selection::Plain`] sends everything. [`Selection::looks_at_packets`] says so once per visit, so that a visit asks
//! nothing per packet where nothing depends on it; simulcast alone does not need it either, because a cursor meets only
//! packets of the encoding it is in.
//!
//! Not here: when to want another encoding or fewer layers (estimation), and moving the marker bit where spatial layers of
//! one frame are dropped.

use crate::relay::store::numbers::EncodingId;
use crate::relay::store::packet_ring::{Layers, PacketInfo};

/// What a selection goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHints {
    /// The encoding it belongs to.
    pub encoding: EncodingId,
    /// Whether a key frame begins with it.
    pub key_frame_start: bool,
    /// The RTP timestamp on the encoding's timeline: packets of one frame share it.
    pub timestamp: u32,
    /// Its layer, where known.
    pub layers: Layers,
}

impl PacketHints {
    /// The hints of a stored packet.
    #[must_use]
    pub const fn of(encoding: EncodingId, info: &PacketInfo) -> Self {
        Self { encoding, key_frame_start: info.key_frame, timestamp: info.timestamp, layers: info.layers }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The viewer gets it.
    Send,
    /// It does not, and what follows moves down.
    Drop,
    /// The viewer goes over to this packet's encoding here.
    SwitchHere,
}

/// How a viewer's packets are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Everything of the only encoding.
    #[default]
    Plain,
    /// One of several encodings.
    Simulcast(Simulcast),
    /// The lower temporal layers of the only encoding.
    Temporal(Temporal),
}

impl Selection {
    /// Whether [`Self::decide`] must be asked of each packet in turn.
    #[must_use]
    pub const fn looks_at_packets(&self) -> bool {
        matches!(self, Self::Temporal(_))
    }

    /// What becomes of a packet.
    #[inline]
    pub fn decide(&mut self, hints: &PacketHints) -> Decision {
        match self {
            Self::Plain => Decision::Send,
            Self::Simulcast(simulcast) => simulcast.decide(hints),
            Self::Temporal(temporal) => temporal.decide(hints),
        }
    }
}

/// One of several encodings: the present one goes on until a key frame of the wanted one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulcast {
    current: EncodingId,
    target: EncodingId,
}

impl Simulcast {
    /// Begins with `encoding`.
    #[must_use]
    pub const fn new(encoding: EncodingId) -> Self {
        Self { current: encoding, target: encoding }
    }

    /// The encoding that is sent.
    #[must_use]
    pub const fn current(&self) -> EncodingId {
        self.current
    }

    /// The encoding that is waited for; `None` when it is the one that is sent. A key frame of it is to be asked for.
    #[must_use]
    pub fn awaited(&self) -> Option<EncodingId> {
        (self.target != self.current).then_some(self.target)
    }

    /// Wants another encoding, or, by naming the present one, no other any more.
    pub const fn want(&mut self, encoding: EncodingId) {
        self.target = encoding;
    }

    fn decide(&mut self, hints: &PacketHints) -> Decision {
        if hints.encoding == self.current {
            return Decision::Send;
        }
        if hints.encoding == self.target && hints.key_frame_start {
            self.current = self.target;
            return Decision::SwitchHere;
        }
        Decision::Drop
    }
}

/// The temporal layers up to one. A frame is sent whole or not at all: the choice changes between frames only. Fewer layers
/// count from the next frame on, more from one at which they can be taken up. Packets without a layer are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Temporal {
    highest: u8,
    wanted: u8,
    /// The frame in progress and whether it is sent.
    frame: Option<(u32, bool)>,
}

impl Temporal {
    /// Begins with the layers up to `highest`.
    #[must_use]
    pub const fn new(highest: u8) -> Self {
        Self { highest, wanted: highest, frame: None }
    }

    /// The highest layer that is sent.
    #[must_use]
    pub const fn highest(&self) -> u8 {
        self.highest
    }

    /// Wants the layers up to `highest`.
    pub const fn want(&mut self, highest: u8) {
        self.wanted = highest;
    }

    fn decide(&mut self, hints: &PacketHints) -> Decision {
        let Some(layer) = hints.layers.temporal() else { return Decision::Send };
        let sent = match self.frame {
            Some((timestamp, sent)) if timestamp == hints.timestamp => sent,
            _ => self.begin_frame(layer, hints),
        };
        self.frame = Some((hints.timestamp, sent));
        if sent { Decision::Send } else { Decision::Drop }
    }

    fn begin_frame(&mut self, layer: u8, hints: &PacketHints) -> bool {
        if self.wanted <= self.highest || hints.key_frame_start {
            self.highest = self.wanted;
        } else if layer > self.highest && layer <= self.wanted && hints.layers.is_switching_up_point() {
            self.highest = layer;
        }
        layer <= self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::store::numbers::TrackId;

    fn encoding(rid: usize) -> EncodingId {
        TrackId::new(1).unwrap().encoding(rid).unwrap()
    }

    fn hints(rid: usize, key_frame_start: bool) -> PacketHints {
        PacketHints { encoding: encoding(rid), key_frame_start, timestamp: 0, layers: Layers::UNKNOWN }
    }

    #[test]
    fn plain_sends_everything_and_is_not_asked() {
        let mut plain = Selection::default();
        assert!(!plain.looks_at_packets());
        let layered = PacketHints { layers: Layers::new(2, 2, false), ..hints(0, false) };
        assert_eq!((plain.decide(&hints(0, true)), plain.decide(&layered)), (Decision::Send, Decision::Send));
    }

    #[test]
    fn simulcast_goes_over_at_a_key_frame_of_what_is_wanted() {
        let mut simulcast = Simulcast::new(encoding(0));
        assert_eq!((simulcast.current(), simulcast.awaited()), (encoding(0), None));
        simulcast.want(encoding(2));
        assert_eq!(simulcast.awaited(), Some(encoding(2)));
        let mut selection = Selection::Simulcast(simulcast);
        let decisions = [(0, false), (2, false), (1, true), (0, true), (2, true), (2, false), (0, true)]
            .map(|(rid, key)| selection.decide(&hints(rid, key)));
        use Decision::{Drop, Send, SwitchHere};
        assert_eq!(decisions, [Send, Drop, Drop, Send, SwitchHere, Send, Drop]);
        let Selection::Simulcast(mut simulcast) = selection else { panic!("{selection:?}") };
        assert_eq!((simulcast.current(), simulcast.awaited()), (encoding(2), None));
        // A wish is taken back.
        simulcast.want(encoding(1));
        simulcast.want(encoding(2));
        assert_eq!((simulcast.awaited(), simulcast.decide(&hints(1, true))), (None, Drop));
    }

    /// Decisions on a run of frames of two packets each, one for every `(temporal layer, switching up point)`.
    fn decide(temporal: &mut Selection, from: u32, frames: &[(u8, bool)]) -> Vec<bool> {
        let mut sent = Vec::new();
        for (timestamp, &(layer, switch_up)) in (from..).zip(frames) {
            let layers = Layers::new(layer, 0, switch_up);
            let both = [0, 1].map(|_| temporal.decide(&PacketHints { timestamp, layers, ..hints(0, false) }));
            assert_eq!(both[0], both[1], "a frame is sent whole or not at all");
            sent.push(both[0] == Decision::Send);
        }
        sent
    }

    #[test]
    fn temporal_layers_above_the_highest_are_dropped_and_taken_up_where_that_is_possible() {
        let mut selection = Selection::Temporal(Temporal::new(1));
        assert!(selection.looks_at_packets());
        assert_eq!(
            decide(&mut selection, 0, &[(0, false), (2, false), (1, false), (2, true)]),
            [true, false, true, false]
        );
        let Selection::Temporal(temporal) = &mut selection else { unreachable!() };
        temporal.want(2);
        assert_eq!(temporal.highest(), 1);
        assert_eq!(
            decide(&mut selection, 10, &[(2, false), (1, true), (2, true), (2, false)]),
            [false, true, true, true]
        );
        let Selection::Temporal(temporal) = &mut selection else { unreachable!() };
        temporal.want(0);
        assert_eq!(decide(&mut selection, 20, &[(1, false), (0, false), (2, true)]), [false, true, false]);
        assert_eq!(selection.decide(&hints(0, false)), Decision::Send, "it has no layer");
        // A key frame takes up everything.
        let Selection::Temporal(temporal) = &mut selection else { unreachable!() };
        temporal.want(2);
        let key = PacketHints { timestamp: 30, layers: Layers::new(0, 0, false), ..hints(0, true) };
        assert_eq!(selection.decide(&key), Decision::Send);
        assert_eq!(decide(&mut selection, 31, &[(2, false)]), [true]);
    }
}
