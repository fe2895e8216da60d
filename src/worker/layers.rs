//! What a viewer's page may ask of the encodings that it is sent, and what it is told of them.

use crate::relay::play::selection::HighestLayers;
use crate::relay::store::ladder::RidName;

/// What the person chose, by the names that a page knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerChoice {
    /// The best that the network carries and the page shows.
    #[default]
    Auto,
    /// The encoding of that name.
    Rid(RidName),
    /// No picture higher than this, in lines.
    HeightMax(u16),
    /// No picture.
    SoundOnly,
}

/// A request of a viewer's page. What is not given stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerRequest {
    /// What the person chose.
    pub choice: Option<LayerChoice>,
    /// The height at which the page shows the picture, in the screen's lines.
    pub shown_height: Option<u16>,
    /// The highest temporal and spatial layers of an encoding.
    pub highest: Option<HighestLayers>,
}

/// Why a request was not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotChosen {
    /// The session has ended.
    NoSession,
    /// It plays no picture.
    NoPicture,
    /// The stream has no encoding of that name; those it has.
    NoSuchRid(Vec<String>),
}

/// One encoding as a page is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerTold {
    /// Its name in the publisher's offer; empty without simulcast.
    pub rid: String,
    /// Width in pixels; zero where not known.
    pub width: u16,
    /// Height in pixels; zero where not known.
    pub height: u16,
    /// Bits a second that a viewer is sent of it.
    pub bits_per_second: u32,
    /// Pictures a second.
    pub frames_per_second: u8,
    /// Whether it is being sent.
    pub alive: bool,
}

/// What a page is told: a track's encodings, which one the viewer is sent, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayersTold {
    /// The lowest first.
    pub layers: Vec<LayerTold>,
    /// The index of the one that is sent; `None`: sound only, or nothing yet.
    pub current: Option<u8>,
    /// What the person chose.
    pub choice: LayerChoice,
    /// Why that one, in one word.
    pub why: &'static str,
    /// The same as the end of a sentence.
    pub because: &'static str,
}

impl LayersTold {
    /// Whether a page shows something else by it than by `other`. Rates alone, which never stand still, are not worth a message.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        let shown = |told: &LayerTold| (told.rid.clone(), told.width, told.height, told.alive);
        let rest = |told: &Self| (told.current, told.choice, told.why);
        rest(self) != rest(other) || !self.layers.iter().map(shown).eq(other.layers.iter().map(shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_alone_are_no_news() {
        let layer = LayerTold { rid: "f".into(), height: 720, alive: true, ..LayerTold::default() };
        let told = LayersTold { layers: vec![layer.clone()], current: Some(0), why: "top", ..LayersTold::default() };
        let faster = LayersTold { layers: vec![LayerTold { bits_per_second: 7, ..layer.clone() }], ..told.clone() };
        assert!(!faster.differs(&told));
        let paused = LayersTold { layers: vec![LayerTold { alive: false, ..layer.clone() }], ..told.clone() };
        let smaller = LayersTold { layers: vec![LayerTold { height: 360, ..layer }], ..told.clone() };
        let others = [
            paused,
            smaller,
            LayersTold { current: None, ..told.clone() },
            LayersTold { why: "queue", ..told.clone() },
        ];
        assert!(others.iter().all(|other| other.differs(&told)));
    }
}
