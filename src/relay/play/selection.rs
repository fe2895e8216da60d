//! What of a track a viewer is sent: which of its encodings, and which of that one's layers.
//!
//! One question for both, [`Selection::decide`]: given what is known of a packet, is it sent, dropped, or is it the
//! place to switch? A *switch* begins with a key frame of the encoding that is wanted; until then the present one goes
//! on. A *drop* leaves no hole ([`super::rewriter`]).
//!
//! Without a choice everything of the only encoding is sent. [`Selection::looks_at_packets`] says once per visit whether layers
//! are left out, so that a visit asks nothing per packet where nothing depends on it; simulcast alone does not need it, because a
//! cursor meets only packets of the encoding it is in.
//!
//! Not here: when to want another encoding or fewer layers (the viewer's choice and its network), and what of a payload's own
//! numbers changes thereby ([`super::renumbering`]).

use crate::relay::store::numbers::EncodingId;
use crate::relay::store::packet_ring::{Layers, PacketInfo};
use crate::wire::codec::LayerIds;

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
pub struct Selection {
    /// One of several encodings; `None`: the only one.
    simulcast: Option<Simulcast>,
    /// Some of its layers; `None`: all.
    layers: Option<LayerChoice>,
}

impl Selection {
    /// Whether [`Self::decide`] must be asked of each packet in turn.
    #[inline]
    #[must_use]
    pub const fn looks_at_packets(&self) -> bool {
        self.layers.is_some()
    }

    /// The encoding that is sent, where one was chosen.
    #[inline]
    #[must_use]
    pub fn current(&self) -> Option<EncodingId> {
        self.simulcast.map(|simulcast| simulcast.current)
    }

    /// The encoding that is waited for; `None` when it is the one that is sent. A key frame of it is to be asked for.
    #[must_use]
    pub fn awaited(&self) -> Option<EncodingId> {
        self.simulcast.filter(|simulcast| simulcast.target != simulcast.current).map(|simulcast| simulcast.target)
    }

    /// Begins with an encoding, where nothing was sent yet.
    pub fn begin_with(&mut self, encoding: EncodingId) {
        self.simulcast = Some(Simulcast { current: encoding, target: encoding });
    }

    /// Wants an encoding instead of `present`, or, by naming the present one, no other any more.
    pub fn want(&mut self, encoding: EncodingId, present: EncodingId) {
        let current = self.simulcast.map_or(present, |simulcast| simulcast.current);
        self.simulcast = Some(Simulcast { current, target: encoding });
    }

    /// Wants the layers up to `highest`, or all. Whether a key frame is needed for that (more spatial layers).
    pub fn want_layers(&mut self, highest: HighestLayers) -> bool {
        if self.layers.is_none() && highest == HighestLayers::ALL {
            return false;
        }
        let layers = self.layers.get_or_insert_with(LayerChoice::default);
        layers.wanted = highest;
        highest.spatial > layers.highest.spatial
    }

    /// The layers that are wanted.
    #[must_use]
    pub fn wanted_layers(&self) -> HighestLayers {
        self.layers.map_or(HighestLayers::ALL, |layers| layers.wanted)
    }

    /// The layers that are sent.
    #[must_use]
    pub fn highest_layers(&self) -> HighestLayers {
        self.layers.map_or(HighestLayers::ALL, |layers| layers.highest)
    }

    /// The highest spatial layer that is sent, where there may be others.
    #[must_use]
    pub fn highest_spatial(&self) -> Option<u8> {
        Some(self.highest_layers().spatial).filter(|&highest| highest != u8::MAX)
    }

    /// Asks of no packet any more, where all layers are sent again.
    pub fn forget_layers_without_choice(&mut self) {
        let all = |layers: LayerChoice| (layers.highest, layers.wanted) == (HighestLayers::ALL, HighestLayers::ALL);
        if self.layers.is_some_and(all) {
            self.layers = None;
        }
    }

    /// Whether a picture with this number (and whether that has 15 bits) is another than the newest that was left out.
    #[must_use]
    pub fn is_another_picture(&self, (number, is_long): (u16, bool)) -> bool {
        let (all, half) = if is_long { (0x7fff, 0x4000) } else { (0x7f, 0x40) };
        self.layers.and_then(|layers| layers.left_out).is_none_or(|newest| {
            let ahead = number.wrapping_sub(newest) & all;
            ahead != 0 && ahead < half
        })
    }

    /// Takes note that a picture was left out.
    pub fn left_out(&mut self, (number, is_long): (u16, bool)) {
        if self.is_another_picture((number, is_long))
            && let Some(layers) = &mut self.layers
        {
            layers.left_out = Some(number);
        }
    }

    /// What becomes of a packet.
    #[inline]
    pub fn decide(&mut self, hints: &PacketHints) -> Decision {
        let decision = self.simulcast.as_mut().map_or(Decision::Send, |simulcast| simulcast.decide(hints));
        let Some(layers) = &mut self.layers else { return decision };
        match decision {
            Decision::Send if !layers.sends(hints) => return Decision::Drop,
            // The numbers are another encoding's now.
            Decision::SwitchHere => (layers.left_out, layers.picture) = (None, None),
            Decision::Send | Decision::Drop => {}
        }
        decision
    }
}

/// One of several encodings: the present one goes on until a key frame of the wanted one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Simulcast {
    current: EncodingId,
    target: EncodingId,
}

impl Simulcast {
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

/// The highest layers, of each kind; `u8::MAX`: all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HighestLayers {
    /// Of time.
    pub temporal: u8,
    /// Of space.
    pub spatial: u8,
}

impl HighestLayers {
    /// Every layer.
    pub const ALL: Self = Self { temporal: u8::MAX, spatial: u8::MAX };

    /// The temporal layers up to one, of all spatial ones.
    #[must_use]
    pub const fn temporal(highest: u8) -> Self {
        Self { temporal: highest, ..Self::ALL }
    }
}

impl Default for HighestLayers {
    fn default() -> Self {
        Self::ALL
    }
}

/// The layers up to some. The choice changes between pictures only. Fewer layers count from the next picture on; more temporal
/// ones from one at which they can be taken up, more spatial ones from the next key frame. Packets without a layer are sent,
/// unless they go on with a picture that is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LayerChoice {
    highest: HighestLayers,
    wanted: HighestLayers,
    /// The number of the newest picture that was left out.
    left_out: Option<u16>,
    /// The picture in progress and whether its temporal layer is sent.
    picture: Option<(u32, bool)>,
}

impl LayerChoice {
    fn sends(&mut self, hints: &PacketHints) -> bool {
        let in_progress = self.picture.filter(|&(timestamp, _)| timestamp == hints.timestamp);
        let Some(layer) = hints.layers.known() else { return in_progress.is_none_or(|(_, is_sent)| is_sent) };
        let is_sent = in_progress.map_or_else(|| self.begin_picture(layer, hints.key_frame_start), |(_, sent)| sent);
        self.picture = Some((hints.timestamp, is_sent));
        is_sent && layer.spatial <= self.highest.spatial
    }

    fn begin_picture(&mut self, layer: LayerIds, is_key_frame: bool) -> bool {
        let Self { highest, wanted, .. } = self;
        if wanted.spatial <= highest.spatial || is_key_frame {
            highest.spatial = wanted.spatial;
        }
        let is_switching_up_point = layer.temporal <= highest.temporal && layer.up_after;
        if wanted.temporal <= highest.temporal || is_key_frame || is_switching_up_point {
            highest.temporal = wanted.temporal;
        } else if layer.temporal > highest.temporal && layer.temporal <= wanted.temporal && layer.up_here {
            highest.temporal = layer.temporal;
        }
        layer.temporal <= highest.temporal
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

    fn layers(temporal: u8, spatial: u8) -> Layers {
        Layers::new(LayerIds { temporal, spatial, ..LayerIds::default() })
    }

    fn layered(highest: HighestLayers) -> Selection {
        let mut selection = Selection::default();
        selection.want_layers(highest);
        selection
    }

    #[test]
    fn without_a_choice_everything_is_sent_and_nothing_is_asked() {
        let mut all = Selection::default();
        assert!(!all.looks_at_packets() && size_of::<Selection>() <= 24, "{} bytes", size_of::<Selection>());
        let layered = PacketHints { layers: layers(2, 2), ..hints(0, false) };
        assert_eq!((all.decide(&hints(0, true)), all.decide(&layered)), (Decision::Send, Decision::Send));
        assert!(!all.want_layers(HighestLayers::ALL) && !all.looks_at_packets());
    }

    #[test]
    fn simulcast_goes_over_at_a_key_frame_of_what_is_wanted() {
        let mut selection = Selection::default();
        selection.want(encoding(0), encoding(0));
        assert_eq!((selection.current(), selection.awaited()), (Some(encoding(0)), None));
        selection.want(encoding(2), encoding(1));
        assert_eq!((selection.current(), selection.awaited()), (Some(encoding(0)), Some(encoding(2))));
        assert!(!selection.looks_at_packets());
        let decisions = [(0, false), (2, false), (1, true), (0, true), (2, true), (2, false), (0, true)]
            .map(|(rid, key)| selection.decide(&hints(rid, key)));
        use Decision::{Drop, Send, SwitchHere};
        assert_eq!(decisions, [Send, Drop, Drop, Send, SwitchHere, Send, Drop]);
        assert_eq!((selection.current(), selection.awaited()), (Some(encoding(2)), None));
        // A wish is taken back.
        selection.want(encoding(1), encoding(0));
        selection.want(encoding(2), encoding(0));
        assert_eq!((selection.awaited(), selection.decide(&hints(1, true))), (None, Drop));
    }

    /// Decisions on a run of pictures of two packets each, one for every `(temporal layer, up here, up after)`.
    fn decide(selection: &mut Selection, from: u32, pictures: &[(u8, bool, bool)]) -> Vec<bool> {
        let mut sent = Vec::new();
        for (timestamp, &(temporal, up_here, up_after)) in (from..).zip(pictures) {
            let layers = Layers::new(LayerIds { temporal, spatial: 0, up_here, up_after });
            let both = [0, 1].map(|_| selection.decide(&PacketHints { timestamp, layers, ..hints(0, false) }));
            assert_eq!(both[0], both[1], "a picture is sent whole or not at all");
            sent.push(both[0] == Decision::Send);
        }
        sent
    }

    const NEITHER: [(u8, bool, bool); 3] = [(0, false, false), (1, false, false), (2, false, false)];

    #[test]
    fn temporal_layers_above_the_highest_are_dropped_and_taken_up_where_that_is_possible() {
        let mut selection = layered(HighestLayers::temporal(1));
        assert!(selection.looks_at_packets());
        let [t0, t1, t2] = NEITHER;
        let t2_up = (2, true, false);
        assert_eq!(decide(&mut selection, 0, &[t0, t2, t1, t2_up]), [true, false, true, false]);
        assert!(!selection.want_layers(HighestLayers::temporal(2)), "no key frame is needed");
        assert_eq!(selection.highest_layers().temporal, 1);
        assert_eq!(decide(&mut selection, 10, &[t2, (1, true, false), t2_up, t2]), [false, true, true, true]);
        selection.want_layers(HighestLayers::temporal(0));
        assert_eq!(decide(&mut selection, 20, &[t1, t0, t2_up]), [false, true, false]);
        assert_eq!(selection.decide(&PacketHints { timestamp: 29, ..hints(0, false) }), Decision::Send, "no layer");
        // VP9's switching up point speaks of what comes after it.
        selection.want_layers(HighestLayers::temporal(2));
        assert_eq!(decide(&mut selection, 30, &[t1, (0, false, true), t2]), [false, true, true]);
        // A key frame takes up everything.
        selection.want_layers(HighestLayers::temporal(0));
        assert_eq!(decide(&mut selection, 40, &[t1]), [false]);
        selection.want_layers(HighestLayers::ALL);
        assert_eq!(decide(&mut selection, 50, &[t1]), [false]);
        assert!(selection.looks_at_packets());
        let key = PacketHints { timestamp: 60, layers: layers(0, 0), ..hints(0, true) };
        assert_eq!(selection.decide(&key), Decision::Send);
        selection.forget_layers_without_choice();
        assert!(!selection.looks_at_packets());
    }

    #[test]
    fn what_goes_on_with_a_picture_that_is_left_out_is_left_out() {
        let mut selection = layered(HighestLayers::temporal(0));
        let packet = |timestamp, layers| PacketHints { timestamp, layers, ..hints(0, false) };
        let packets = [packet(1, layers(1, 0)), packet(1, Layers::UNKNOWN), packet(2, Layers::UNKNOWN)];
        let decisions = packets.map(|hints| selection.decide(&hints));
        assert_eq!(decisions, [Decision::Drop, Decision::Drop, Decision::Send]);
    }

    #[test]
    fn spatial_layers_go_at_once_and_come_back_with_a_key_frame() {
        let mut selection = layered(HighestLayers { spatial: 0, ..HighestLayers::ALL });
        let sent = |selection: &mut Selection, timestamp, key| {
            [0, 1, 2].map(|spatial| {
                let packet = PacketHints { timestamp, layers: layers(0, spatial), ..hints(0, key && spatial == 0) };
                selection.decide(&packet) == Decision::Send
            })
        };
        assert_eq!(sent(&mut selection, 1, false), [true, false, false]);
        assert_eq!(selection.highest_spatial(), Some(0));
        assert!(selection.want_layers(HighestLayers::ALL), "that needs a key frame");
        assert_eq!(sent(&mut selection, 2, false), [true, false, false]);
        assert_eq!(sent(&mut selection, 3, true), [true, true, true]);
        assert_eq!(selection.highest_spatial(), None);
    }

    #[test]
    fn a_picture_is_counted_once_however_its_packets_come() {
        let mut selection = layered(HighestLayers::temporal(0));
        let mut counted = |picture| {
            let is_another = selection.is_another_picture(picture);
            selection.left_out(picture);
            is_another
        };
        let numbers = [(5, true), (5, true), (7, true), (5, true), (7, true), (0x7fff, true), (8, true)];
        assert_eq!(numbers.map(&mut counted), [true, false, true, false, false, false, true]);
        let mut selection = layered(HighestLayers::temporal(0));
        selection.left_out((127, false));
        assert!(selection.is_another_picture((0, false)) && !selection.is_another_picture((126, false)));
    }
}
