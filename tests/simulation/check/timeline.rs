//! Keys change and nobody sees it.
//!
//! **One timeline**: a picture, or a packet of sound, that comes by both transports of a viewer has the same timestamp on both,
//! or is moved towards now on the one that began with it a moment ago ([`corecast::relay::play`], squeeze). Where the old transport ends, the
//! new one has begun no later than behind the last packet of the old one.
//!
//! **A publisher goes on**: from the last packet of one of its transports to the first of the next one a viewer's time goes on
//! by what has passed, pictures and sound are neither repeated nor left out, and nothing of the transport before comes behind
//! it, unless the next one was given up.
//!
//! **Dead keys**: when a worker has told that a transport has ended, nothing is sealed for it any more, and nothing that was sent on it
//! reaches a viewer. It ends [`limits::EPOCH_OVERLAP_MAX`] after media was first sealed for its successor at the latest.

use std::collections::VecDeque;
use std::time::Duration;

use corecast::description::MediaKind;
use corecast::limits;
use corecast::time::Timestamp;

use super::Violation;
use super::content::Media;
use crate::client::ClientId;

const TIMELINE_RULE: &str = "one timeline";
const GOES_ON_RULE: &str = "a publisher goes on";
pub(crate) const DEAD_RULE: &str = "dead keys";

/// What is remembered of a viewer's pictures, or of its sound: longer than the ring's five seconds.
const REMEMBERED: usize = 400;

/// How far apart two transports of a publisher may be on their way to the node: delays, jitter, a frame that is held, a stop for
/// the sender's next round.
const ON_THE_WAY: Duration = Duration::from_millis(600);

/// A publisher that closes its old transport before the new one's first key frame is at the node, and whose way loses that, or
/// what asks for it: the next one is asked for so much later.
const ASKED_AGAIN: Duration = Duration::from_millis(500);

/// A timer's round may come so much later.
const LATE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
struct ToldOnce {
    publication: usize,
    picture: u64,
    timestamp: u32,
    is_live: bool,
    by: ClientId,
}

/// What a viewer was told by its transports: pictures and sound.
#[derive(Debug, Default)]
pub(crate) struct Timeline([VecDeque<ToldOnce>; 2]);

impl Timeline {
    /// A packet came by a transport.
    pub(crate) fn observe(&mut self, kind: MediaKind, by: ClientId, media: &Media) -> Result<(), Violation> {
        let Media { publication, picture, timestamp, is_live, is_repair, .. } = *media;
        if is_repair {
            return Ok(());
        }
        let now = ToldOnce { publication, picture, timestamp, is_live, by };
        let all = &mut self.0[usize::from(kind == MediaKind::Video)];
        let same = |told: &&ToldOnce| (told.publication, told.picture) == (publication, picture);
        for told in all.iter().filter(same) {
            let ahead = timestamp.wrapping_sub(told.timestamp) as i32;
            let agrees = match (is_live, told.is_live) {
                _ if told.by == by => true,
                (true, true) => ahead == 0,
                (false, true) => ahead >= 0,
                (true, false) => ahead <= 0,
                (false, false) => true,
            };
            if !agrees {
                return Err(Violation::new(TIMELINE_RULE, format!("{kind:?}: {now:?} was {told:?}")));
            }
        }
        if all.back().is_none_or(|told| !same(&told) || told.by != by) {
            if all.len() == REMEMBERED {
                all.pop_front();
            }
            all.push_back(now);
        }
        Ok(())
    }
}

/// One transport of a viewer: where the packets of one transport of its publisher end and those of the next one begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Continuity {
    last: [Option<Media>; 2],
    first: [Option<Media>; 2],
}

/// How two publications are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Related {
    No,
    /// Connections of one session. It goes back where the latter is the older one; that it may where the former was given up.
    OfOneSession {
        goes_back: bool,
        given_up: bool,
    },
}

impl Continuity {
    /// Whether anything has come by it.
    pub(crate) fn has_begun(&self) -> bool {
        self.first.iter().any(Option::is_some)
    }

    /// A packet that was opened. `is_calm` says that nothing disturbs the stream, `is_lossy` that its publisher's way loses packets.
    pub(crate) fn observe(
        &mut self,
        kind: MediaKind,
        media: &Media,
        is_calm: bool,
        is_lossy: bool,
        related: impl Fn(usize, usize) -> Related,
    ) -> Result<(), Violation> {
        let at = usize::from(kind == MediaKind::Video);
        if media.is_repair {
            return Ok(());
        }
        self.first[at].get_or_insert(*media);
        let Some(last) = self.last[at].replace(*media) else { return Ok(()) };
        if last.index >= media.index {
            self.last[at] = Some(last);
            return Ok(());
        }
        if last.publication == media.publication {
            return Ok(());
        }
        let Related::OfOneSession { goes_back, given_up } = related(last.publication, media.publication) else {
            return Ok(());
        };
        let text = |what: &str| Violation::new(GOES_ON_RULE, format!("{kind:?} {what}: {media:?} behind {last:?}"));
        if goes_back && !given_up {
            return Err(text("of a transport that has been followed"));
        }
        let ticks = i64::from(media.timestamp.wrapping_sub(last.timestamp) as i32);
        if ticks <= 0 {
            return Err(text("goes back"));
        }
        if !is_calm || !last.is_live {
            return Ok(());
        }
        let rate = if kind == MediaKind::Video { 90_000 } else { 48_000 };
        let signed =
            |from: Timestamp, to: Timestamp| to.since(from).as_millis() as i64 - from.since(to).as_millis() as i64;
        let (told, passed) = (ticks * 1_000 / rate, signed(last.published, media.published));
        let asked_again = if is_lossy { ASKED_AGAIN } else { Duration::ZERO };
        let may = (ON_THE_WAY + asked_again).as_millis() as i64;
        if passed.abs() > may {
            return Err(text(&format!("is of {passed} ms later")));
        }
        if (told - passed).abs() > may {
            return Err(text(&format!("is told to be of {told} ms later, not {passed}")));
        }
        Ok(())
    }
}

/// The old transport of a viewer has ended, and the new one has its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoGap {
    pub(crate) over: ClientId,
    pub(crate) new: ClientId,
    pub(crate) calm: bool,
    pub(crate) at: Timestamp,
}

/// Whether the new one began no later than behind the last packet of the old one.
pub(crate) fn no_gap(old: &Continuity, new: &Continuity) -> Result<(), Violation> {
    for (last, first) in old.last.iter().zip(&new.first) {
        let (Some(last), Some(first)) = (last, first) else { continue };
        if last.publication == first.publication && first.number > last.number + 1 {
            return Err(Violation::new(TIMELINE_RULE, format!("begins at {first:?}, the old one ended at {last:?}")));
        }
    }
    Ok(())
}

/// When an old transport ends at the latest, whose successor was first sealed for at `since`.
pub(crate) fn ends_by(since: Timestamp, excused: Timestamp) -> Timestamp {
    (since + limits::EPOCH_OVERLAP_MAX).max(excused) + LATE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(publication: usize, picture: u64, index: u64) -> Media {
        let published = Timestamp::from_millis(picture * 33);
        let timestamp = (picture * 2_970) as u32;
        Media { publication, number: picture, picture, index, timestamp, published, is_repair: false, is_live: true }
    }

    #[test]
    fn two_transports_tell_the_same_time_or_a_later_one_while_it_is_squeezed() {
        let observe = |second: Media| {
            let mut timeline = Timeline::default();
            timeline.observe(MediaKind::Video, 1, &media(0, 5, 100)).unwrap();
            timeline.observe(MediaKind::Video, 2, &second).is_ok()
        };
        let moved = |by: i32, is_live| {
            let media = media(0, 5, 900);
            Media { timestamp: media.timestamp.wrapping_add_signed(by), is_live, ..media }
        };
        assert!(observe(moved(0, true)) && observe(moved(300, false)) && observe(moved(0, false)));
        assert!(!observe(moved(1, true)) && !observe(moved(-1, true)) && !observe(moved(-1, false)));
    }

    #[test]
    fn the_new_transport_begins_where_the_old_one_ends_or_before() {
        let seen = |pictures: [u64; 2]| {
            let mut continuity = Continuity::default();
            for picture in pictures {
                continuity
                    .observe(MediaKind::Video, &media(0, picture, picture), true, false, |_, _| Related::No)
                    .unwrap();
            }
            continuity
        };
        let old = seen([1, 20]);
        assert!(no_gap(&old, &seen([7, 22])).is_ok() && no_gap(&old, &seen([21, 22])).is_ok());
        assert!(no_gap(&old, &seen([22, 23])).is_err());
    }

    #[test]
    fn a_publishers_next_transport_goes_on_in_time() {
        let judge_with = |next: Media, goes_back, given_up, is_lossy| {
            let mut continuity = Continuity::default();
            let related = |_, _| Related::OfOneSession { goes_back, given_up };
            continuity.observe(MediaKind::Video, &media(0, 100, 500), true, false, related).unwrap();
            continuity.observe(MediaKind::Video, &next, true, is_lossy, related).is_ok()
        };
        let judge = |next, goes_back, given_up| judge_with(next, goes_back, given_up, false);
        let next = Media { publication: 1, ..media(0, 101, 501) };
        assert!(judge(next, false, false));
        assert!(!judge(next, true, false), "of one that was followed");
        assert!(judge(next, true, true), "that one was given up");
        assert!(!judge(Media { timestamp: media(0, 100, 0).timestamp, ..next }, false, false), "time stands still");
        assert!(!judge(Media { timestamp: next.timestamp + 90_000, ..next }, false, false), "a second is invented");
        let later = |picture| Media { publication: 1, ..media(0, picture, 501) };
        assert!(!judge(later(130), false, false), "a second is left out");
        assert!(judge_with(later(130), false, false, true), "its first key frame was lost");
        assert!(!judge_with(later(140), false, false, true), "lost twice");
    }
}
