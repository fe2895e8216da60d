//! What a viewer's page asks for, and which of a ladder's rungs that leaves.
//!
//! A page knows two things that the node cannot: what the person wants, and how large the picture is shown. The person's choice is
//! followed; the shown height only keeps rungs away whose pixels nobody would see, and is rounded up: who shows 400 lines is
//! sent 720 rather than 360.
//!
//! Not here: which of those rungs the viewer's network carries.

use std::fmt;

use crate::relay::store::ladder::{Ladder, Rung};
use crate::relay::store::numbers::EncodingId;

/// What the person chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best that the network carries and the page shows.
    #[default]
    Auto,
    /// This encoding, as long as it is sent.
    Encoding(EncodingId),
    /// No picture higher than this, in lines.
    HeightMax(u16),
    /// No picture.
    SoundOnly,
}

/// A viewer's wish for one track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// What the person chose.
    pub choice: Choice,
    /// The height at which the page shows the picture, in the screen's lines; zero where it has not said so.
    pub shown_height: u16,
}

/// Why a viewer may not be sent higher rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// By nothing.
    Not,
    /// By the person's choice.
    ByChoice,
    /// By the height at which the page shows the picture.
    ByShownHeight,
}

impl Limited {
    /// The name in messages and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Not => "top",
            Self::ByChoice => "chosen",
            Self::ByShownHeight => "shown_height",
        }
    }

    /// The same for who asks why.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Not => "there is nothing better",
            Self::ByChoice => "it was chosen",
            Self::ByShownHeight => "the picture is shown no larger",
        }
    }
}

impl Wish {
    /// The rungs that the viewer may be sent, the lowest first, and what keeps it from higher ones. None for sound only, and where
    /// nothing was sent yet.
    #[must_use]
    pub fn allowed<'a>(&self, ladder: &'a Ladder) -> (&'a [Rung], Limited) {
        let rungs = ladder.rungs();
        let chosen = match self.choice {
            Choice::SoundOnly => return (&[], Limited::ByChoice),
            Choice::Encoding(encoding) => match rungs.iter().position(|rung| rung.encoding == encoding) {
                Some(at) => return (rungs.get(at..=at).unwrap_or(&[]), Limited::ByChoice),
                // Another publisher's.
                None => rungs,
            },
            Choice::HeightMax(height) => {
                // Where all are higher, the lowest. A height that is not known yet counts as none.
                let at = rungs.iter().rposition(|rung| rung.height <= height).unwrap_or(0);
                rungs.get(..=at).unwrap_or(rungs)
            }
            Choice::Auto => rungs,
        };
        let shown = self.below_shown_height(rungs);
        if shown.len() < chosen.len() {
            (shown, Limited::ByShownHeight)
        } else {
            (chosen, if chosen.len() < rungs.len() { Limited::ByChoice } else { Limited::Not })
        }
    }

    fn below_shown_height<'a>(&self, rungs: &'a [Rung]) -> &'a [Rung] {
        let enough = |rung: &Rung| rung.height >= self.shown_height;
        match rungs.iter().position(enough) {
            Some(at) if self.shown_height > 0 => rungs.get(..=at).unwrap_or(rungs),
            _ => rungs,
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Encoding(encoding) => write!(f, "encoding {}", encoding.rid()),
            Self::HeightMax(height) => write!(f, "at most {height} lines"),
            Self::SoundOnly => f.write_str("sound only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::store::numbers::TrackId;

    fn id(rid: usize) -> EncodingId {
        TrackId::new(1).unwrap().encoding(rid).unwrap()
    }

    fn ladder() -> Ladder {
        [(0, 720, 2_500), (1, 360, 500), (2, 180, 150)]
            .into_iter()
            .map(|(rid, height, kbps)| Rung {
                codec: None,
                encoding: id(rid),
                bits_per_second: kbps * 1_000,
                width: height / 9 * 16,
                height,
                alive: true,
            })
            .collect()
    }

    fn allowed(choice: Choice, shown_height: u16) -> (Vec<usize>, Limited) {
        let ladder = ladder();
        let (rungs, why) = Wish { choice, shown_height }.allowed(&ladder);
        (rungs.iter().map(|rung| rung.encoding.rid()).collect(), why)
    }

    #[test]
    fn the_shown_height_is_rounded_up() {
        use Limited::{ByShownHeight, Not};
        for (shown, expected) in [
            (0, (vec![2, 1, 0], Not)),
            (1, (vec![2], ByShownHeight)),
            (180, (vec![2], ByShownHeight)),
            (181, (vec![2, 1], ByShownHeight)),
            (360, (vec![2, 1], ByShownHeight)),
            (361, (vec![2, 1, 0], Not)),
            (2_160, (vec![2, 1, 0], Not)),
        ] {
            assert_eq!(allowed(Choice::Auto, shown), expected, "{shown} lines");
        }
    }

    #[test]
    fn a_choice_is_followed_and_a_height_is_the_most() {
        use Limited::{ByChoice, ByShownHeight, Not};
        assert_eq!(allowed(Choice::Encoding(id(0)), 100), (vec![0], ByChoice), "also where fewer lines are shown");
        assert_eq!(allowed(Choice::Encoding(id(3)), 100), (vec![2], ByShownHeight), "that one is not published");
        assert_eq!(allowed(Choice::SoundOnly, 0), (vec![], ByChoice));
        for (height, shown, expected) in [
            (720, 0, (vec![2, 1, 0], Not)),
            (719, 0, (vec![2, 1], ByChoice)),
            (360, 0, (vec![2, 1], ByChoice)),
            (360, 720, (vec![2, 1], ByChoice)),
            (360, 100, (vec![2], ByShownHeight)),
            (100, 0, (vec![2], ByChoice)),
        ] {
            assert_eq!(allowed(Choice::HeightMax(height), shown), expected, "at most {height}, {shown} shown");
        }
    }

    #[test]
    fn before_anything_is_sent_nothing_is_allowed_or_forbidden() {
        for choice in [Choice::Auto, Choice::Encoding(id(0)), Choice::HeightMax(1)] {
            let ladder = Ladder::default();
            let (rungs, why) = Wish { choice, shown_height: 5 }.allowed(&ladder);
            assert_eq!((rungs, why), (&[][..], Limited::Not), "{choice}");
        }
    }
}
