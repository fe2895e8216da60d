//! What a viewer opens is what its own stream's publisher published: the payload byte for byte, the marker, the order.
//!
//! **Named rewritten fields**, which are the viewer's own: SSRC, sequence number, payload type and header extension (each
//! checked to be the agreed one), timestamp (checked to advance as the publisher's), padding (taken off before), and in a
//! retransmission the original sequence number before the payload. Parameter sets may be put in before a key frame; they
//! must be the publisher's.
//!
//! **No invented gap**: between two packets of one publication a viewer's numbers advance by no more than the
//! publisher's, one more for each key frame between them (its parameter sets may have been put in), and in the same
//! order.
//!
//! **Time goes on**: a later picture has a later timestamp, and a repeat the one that it was sent with. A viewer that starts at an
//! older key frame, or is led to one, may have them squeezed; those published [`LIVE_WITHIN`] after that are not.
//!
//! A publisher whose keys change may get its stream back from the transport that was to follow it: timestamps advance by the time
//! that passed there, as they do from one publication to another, and not by the publisher's own.
//!
//! **Started again**: a viewer that asked for a key frame may be sent packets once more under later numbers and with later
//! timestamps, [`limits::STARTS_AGAIN_MAX`] times and no oftener than it asked. From there on its numbers go on as before.

use std::collections::VecDeque;
use std::time::Duration;

use corecast::description::MediaKind;
use corecast::lab::peer::publisher::audio_payload;
use corecast::lab::peer::stamp::Stamp;
use corecast::lab::peer::terms::{MIDS, PLAY};
use corecast::lab::peer::video;
use corecast::limits;
use corecast::time::Timestamp;
use corecast::wire::rtp::RtpPacket;

use super::Violation;
use crate::client::ClientId;
use crate::script::{SharedLog, TAG_BYTES, Tag};

const RULE: &str = "content";
const GAP_RULE: &str = "no invented gap";
const TIME_RULE: &str = "time goes on";

/// Ticks from one video frame to the next, in thousandths: 33,333 µs at 90 kHz.
const FRAME_MILLITICKS: u64 = 2_999_970;
const AUDIO_TICKS: u64 = 960;

/// A viewer has caught up with what is published so long after it was put at a key frame.
const LIVE_WITHIN: Duration = Duration::from_secs(2);

/// And so much later after a second start: it has lost packets, so it is not hurried, and gains half as much again on what it is behind.
const UNHURRIED_MORE: Duration = Duration::from_secs(2);

/// From the end of a publisher's transport that was to follow another until viewers get the other one's again.
const GIVEN_BACK: Duration = Duration::from_secs(3);

/// Pictures whose timestamps are remembered, for the repeats of their packets.
const PICTURES_REMEMBERED: usize = 256;

/// One publisher's time on the air.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) stream: u32,
    /// Its publisher's session, and which of that one's connections it comes by.
    pub(crate) session: ClientId,
    pub(crate) client: ClientId,
    pub(crate) log: SharedLog,
    pub(crate) audio_base: u64,
    /// When it began, and when the node said that its transport has ended.
    pub(crate) begun: Timestamp,
    pub(crate) over: Option<Timestamp>,
}

/// The newest packet a viewer opened of one kind.
#[derive(Clone, Copy, Debug)]
struct Last {
    publication: usize,
    index: u64,
    number: u64,
    keys: u64,
    timestamp: u32,
    /// Of the publication, in thousandths of a tick.
    media_time: u64,
    published: Timestamp,
    /// When the viewer got the first packet since it started or was led to another place.
    placed: Timestamp,
}

/// A packet a viewer opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub(crate) kind: MediaKind,
    pub(crate) is_repair: bool,
    pub(crate) index: u64,
    pub(crate) packet: RtpPacket<'a>,
    /// How often its viewer has asked for a key frame.
    pub(crate) asked: u32,
    pub(crate) now: Timestamp,
    /// How far timestamps may be from the publisher's where its stream was another transport's for a while.
    pub(crate) slack: Duration,
}

/// What it turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A packet of a publication.
    Media(Media),
    ParameterSets,
    /// Nothing, or one so old that the log has forgotten it.
    Unknown,
}

/// The packet with this number of that publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) publication: usize,
    pub(crate) number: u64,
    /// The picture that it is of; of sound, the number again.
    pub(crate) picture: u64,
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) published: Timestamp,
    pub(crate) is_repair: bool,
    /// Its time is not squeezed any more.
    pub(crate) is_live: bool,
}

/// The video packet with the highest index that a viewer opened; parameter sets have no number.
#[derive(Clone, Copy, Debug)]
struct Newest {
    publication: usize,
    index: u64,
    number: Option<u64>,
}

/// Follows one viewer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    newest: Option<Newest>,
    last: [Option<Last>; 2],
    /// Times it was started again, and the newest picture's packet before the last time.
    again: u32,
    before: [Option<Last>; limits::STARTS_AGAIN_MAX as usize],
    /// Publication, frame and timestamp.
    pictures: VecDeque<(usize, u32, u32)>,
    /// For the proof that time which goes back is found out.
    pub(crate) turned_back: u32,
    /// When the publication that is looked at may have been another transport's for a while.
    taken_over: Vec<(Timestamp, Timestamp)>,
    slack: Duration,
}

fn broken(what: impl Into<String>) -> Violation {
    Violation::new(RULE, what)
}

impl Content {
    /// Judges a packet of a viewer of `stream`.
    pub(crate) fn observe(
        &mut self,
        received: &Received<'_>,
        stream: u32,
        publications: &[Publication],
    ) -> Result<Told, Violation> {
        let Received { kind, is_repair, packet, .. } = *received;
        let header = packet.header();
        let (payload_type, mid) = match (kind, is_repair) {
            (MediaKind::Audio, _) => (PLAY.audio, MIDS[0]),
            (MediaKind::Video, false) => (PLAY.video, MIDS[1]),
            (MediaKind::Video, true) => (PLAY.video_rtx, MIDS[1]),
        };
        if header.payload_type != payload_type {
            return Err(broken(format!("payload type {} for {kind:?}", header.payload_type)));
        }
        if packet.extensions().find(|&(id, _)| id == PLAY.mid).is_none_or(|(_, value)| value != mid.as_bytes()) {
            return Err(broken(format!("no MID {mid}")));
        }
        self.taken_over.clear();
        self.slack = received.slack;
        let payload = if is_repair { packet.payload().get(2..).unwrap_or_default() } else { packet.payload() };
        let told = match kind {
            MediaKind::Audio => self.audio(received, payload, stream, publications)?,
            MediaKind::Video => self.video(received, payload, stream, publications)?,
        };
        Ok(told)
    }

    fn video(
        &mut self,
        received: &Received<'_>,
        payload: &[u8],
        stream: u32,
        publications: &[Publication],
    ) -> Result<Told, Violation> {
        if payload.is_empty() {
            return Ok(Told::Unknown);
        }
        if payload[0] & 31 == 24 {
            return if is_parameter_sets(payload) {
                // A repeat has numbers of its own.
                if let Some(newest) =
                    self.newest.as_mut().filter(|newest| !received.is_repair && newest.index < received.index)
                {
                    *newest = Newest { index: received.index, number: None, ..*newest };
                }
                Ok(Told::ParameterSets)
            } else {
                Err(broken(format!("parameter sets that nobody published: {payload:02x?}")))
            };
        }
        let Some(tag) = Tag::read(payload) else {
            return Err(broken(format!("{} bytes without a tag", payload.len())));
        };
        if tag.stream != stream {
            return Err(broken(format!("a packet of stream {} to a viewer of stream {stream}", tag.stream)));
        }
        let publication = tag.publication as usize;
        let Some(published) = publications.get(publication).filter(|published| published.stream == stream) else {
            return Err(broken(format!("{tag:?} was never on the air")));
        };
        self.note_successors(published, publications, received.now);
        let (in_key, at) = {
            let log = published.log.lock();
            if log.is_forgotten(tag.number) {
                self.newest = None;
                return Ok(Told::Unknown);
            }
            let Some(logged) = log.get(tag.number) else {
                return Err(broken(format!("{tag:?} was never published")));
            };
            if logged.payload != payload {
                let differs = logged.payload.iter().zip(payload).position(|(a, b)| a != b);
                return Err(broken(format!("{tag:?} differs from what was published at byte {differs:?}")));
            }
            if logged.marker != received.packet.header().marker {
                return Err(broken(format!("{tag:?} has another marker")));
            }
            (logged.in_key, logged.at)
        };
        let timestamp = received.packet.header().timestamp.wrapping_sub(self.turned_back);
        let (keys, media_time) = (tag.keys.into(), u64::from(tag.frame) * FRAME_MILLITICKS);
        let (index, number) = (received.index, tag.number.into());
        let (published, placed) = (at, received.now);
        let told = |is_live| {
            let (picture, is_repair) = (tag.frame.into(), received.is_repair);
            Told::Media(Media { publication, number, picture, index, timestamp, published, is_repair, is_live })
        };
        let now = Last { publication, index, number, keys, timestamp, media_time, published, placed };
        let of_picture = |picture: &&(usize, u32, u32)| (picture.0, picture.1) == (publication, tag.frame);
        let told_before = self.pictures.iter().filter(of_picture);
        let is_known = told_before.clone().any(|picture| picture.2 == timestamp);
        let others = told_before.count();
        if !received.is_repair {
            self.start_again(&now, !is_known && others > self.again as usize, received.asked)?;
        }
        // Sent once more it has another one, and a repeat of that may come first. A repeat may be of before a skip, of another timeline,
        // or of before a second start.
        let is_late = self.last[1].is_some_and(|last| received.index < last.index);
        let starts = if received.is_repair || is_late {
            received.asked.min(limits::STARTS_AGAIN_MAX.into())
        } else {
            self.again
        };
        if !is_known && others > starts as usize {
            let what =
                format!("{tag:?} has the timestamp {timestamp}, its picture another: {:?}", self.pictures.back());
            return Err(Violation::new(TIME_RULE, what));
        }
        if received.is_repair {
            return Ok(told(false));
        }
        if !is_known {
            self.remember(publication, tag.frame, timestamp);
        }
        self.whole(Newest { publication, index: received.index, number: Some(tag.number.into()) }, in_key)?;
        self.follow(1, now, received.asked)?;
        let placed = self.last[1].filter(|last| last.publication == publication).map_or(now.placed, |last| last.placed);
        Ok(told(published > placed + LIVE_WITHIN + UNHURRIED_MORE))
    }

    fn audio(
        &mut self,
        received: &Received<'_>,
        payload: &[u8],
        stream: u32,
        publications: &[Publication],
    ) -> Result<Told, Violation> {
        let Some(stamp) = Stamp::read(payload) else {
            return Err(broken("sound without a stamp"));
        };
        if stamp.sent > received.now {
            return Err(broken("sound from the future"));
        }
        let is_it = |base| {
            let mut expected = audio_payload(base, stamp.number.into());
            // Where the publisher puts it: before what looks like an SEI's trailing bits.
            match expected.split_last_mut() {
                Some((0x80, body)) => stamp.write(body),
                _ => stamp.write(&mut expected),
            };
            expected == payload
        };
        let all = publications;
        let mut publications = all.iter().enumerate().rev();
        let found = publications.find(|(_, published)| published.stream == stream && is_it(published.audio_base));
        let Some((publication, of)) = found else {
            return Err(broken(format!("sound {} is none of stream {stream}", stamp.number)));
        };
        self.note_successors(of, all, received.now);
        let number = u64::from(stamp.number);
        let timestamp = received.packet.header().timestamp;
        let media_time = number * AUDIO_TICKS * 1_000;
        let (index, published, placed) = (received.index, stamp.sent, received.now);
        self.follow(0, Last { publication, index, number, keys: 0, timestamp, media_time, published, placed }, 0)?;
        let (picture, is_repair, is_live) = (number, false, true);
        let media = Media { publication, number, picture, index, timestamp, published, is_repair, is_live };
        Ok(Told::Media(media))
    }

    /// **Whole frames**: where a viewer's numbers go on and the publisher's do not, it was led to a key frame. Not always to its
    /// first packet, which the publisher's network may have lost.
    fn whole(&mut self, now: Newest, in_key: bool) -> Result<(), Violation> {
        let before = self.newest.filter(|before| before.publication == now.publication);
        if self.newest.is_none_or(|newest| newest.index < now.index) {
            self.newest = Some(now);
        }
        let Some(before) = before.filter(|before| before.index + 1 == now.index) else { return Ok(()) };
        let goes_on = before.number.is_some_and(|number| Some(number + 1) == now.number);
        if goes_on || in_key {
            return Ok(());
        }
        Err(Violation::new("whole frames", format!("{now:?} behind {before:?} is of no key frame")))
    }

    fn note_successors(&mut self, of: &Publication, all: &[Publication], now: Timestamp) {
        let successors = all.iter().filter(|other| other.session == of.session && other.client > of.client);
        self.taken_over.extend(successors.map(|other| (other.begun, other.over.unwrap_or(now))));
    }

    fn remember(&mut self, publication: usize, frame: u32, timestamp: u32) {
        if self.pictures.len() == PICTURES_REMEMBERED {
            self.pictures.pop_front();
        }
        self.pictures.push_back((publication, frame, timestamp));
    }

    /// A picture's packet that is behind all that was sent before, and goes on from it neither in number nor in time, or is of a
    /// picture that had another time, is of a second start.
    fn start_again(&mut self, now: &Last, is_of_another_time: bool, asked: u32) -> Result<(), Violation> {
        let Some(before) = self.last[1].filter(|last| last.publication == now.publication) else { return Ok(()) };
        if now.index <= before.index || !is_of_another_time && followed(true, &before, now).is_ok() {
            return Ok(());
        }
        if self.again >= asked.min(limits::STARTS_AGAIN_MAX.into()) {
            // It is judged as any other.
            return Ok(());
        }
        if now.timestamp.wrapping_sub(before.timestamp) as i32 <= 0 {
            return Err(Violation::new(TIME_RULE, format!("started again at {now:?} behind {before:?}")));
        }
        self.again += 1;
        self.before.rotate_right(1);
        self.before[0] = self.last[1].take();
        Ok(())
    }

    fn follow(&mut self, kind: usize, mut now: Last, asked: u32) -> Result<(), Violation> {
        let Some(before) = self.last[kind].filter(|last| last.publication == now.publication) else {
            // Numbers begin anew with a publication, the viewer's go on.
            if kind == 1 && self.again > 0 {
                now.placed = now.placed + UNHURRIED_MORE;
            }
            if self.last[kind].is_none_or(|last| last.index < now.index) {
                self.last[kind] = Some(now);
            }
            return Ok(());
        };
        let (earlier_of, later_of) = (before.published.min(now.published), before.published.max(now.published));
        let crosses =
            |&(begun, over): &(Timestamp, Timestamp)| begun <= later_of + GIVEN_BACK && over + GIVEN_BACK >= earlier_of;
        let judged = match self.taken_over.iter().any(crosses) {
            false => followed(kind == 1, &before, &now),
            true => followed_elsewhere(kind == 1, self.slack, &before, &now),
        };
        let is_late = kind == 1 && now.index < before.index;
        let of_it = |earlier: &&Last| earlier.publication == now.publication;
        let earlier: Vec<Last> = self.before.iter().flatten().filter(of_it).copied().collect();
        let was_led = match judged {
            // Overtaken by a second start: by one that is known, or by the first packet of one.
            Err(_) if is_late && earlier.iter().any(|earlier| followed(true, earlier, &now).is_ok()) => return Ok(()),
            Err(_) if is_late && self.again < asked.min(limits::STARTS_AGAIN_MAX.into()) => {
                self.again += 1;
                self.before.rotate_right(1);
                self.before[0] = Some(now);
                self.last[1] = Some(Last { placed: now.placed + UNHURRIED_MORE, ..before });
                return Ok(());
            }
            judged => judged?,
        };
        if !was_led || now.index < before.index {
            now.placed = before.placed;
        }
        if now.index > before.index {
            self.last[kind] = Some(now);
        }
        Ok(())
    }
}

/// Whether a packet goes on in order from one with a lower index, and leaves no hole behind it.
fn in_order(first: &Last, second: &Last) -> Result<(), Violation> {
    if second.number <= first.number {
        return Err(Violation::new(GAP_RULE, format!("{second:?} behind {first:?}")));
    }
    let (numbers, indexes) = (second.number - first.number, second.index - first.index);
    if indexes > numbers + second.keys.saturating_sub(first.keys) {
        return Err(Violation::new(GAP_RULE, format!("{first:?} to {second:?}")));
    }
    Ok(())
}

/// Whether two packets of one publication, in the order in which they came, follow each other. Whether the viewer was led to the
/// later one over others.
fn followed(is_video: bool, before: &Last, now: &Last) -> Result<bool, Violation> {
    if before.index == now.index {
        return if before.number == now.number {
            Ok(false)
        } else {
            Err(Violation::new(GAP_RULE, format!("{now:?} has the index of {before:?}")))
        };
    }
    let (first, second) = if before.index < now.index { (before, now) } else { (now, before) };
    in_order(first, second)?;
    let was_led = second.number - first.number > second.index - first.index;
    time_goes_on(is_video, was_led, first, second)?;
    Ok(was_led)
}

/// The same where another transport may have had the publication between the two.
fn followed_elsewhere(is_video: bool, slack: Duration, before: &Last, now: &Last) -> Result<bool, Violation> {
    if before.index == now.index {
        return followed(is_video, before, now);
    }
    let (first, second) = if before.index < now.index { (before, now) } else { (now, before) };
    // How many numbers the other one's packets took is not known here.
    if second.number <= first.number {
        return Err(Violation::new(GAP_RULE, format!("{second:?} behind {first:?}")));
    }
    let ticks = i64::from(second.timestamp.wrapping_sub(first.timestamp) as i32) * 1_000;
    let expected = (second.media_time - first.media_time) as i64;
    let later = expected == 0 || ticks > 0;
    // A picture's may have been squeezed as well.
    let slack = slack.as_millis() as i64 * if is_video { 90_000 } else { 48_000 };
    let may_lack = if is_video { expected } else { slack };
    let was_led = second.number - first.number > second.index - first.index;
    // Led to a later key frame it is not squeezed any more: what it was behind comes at once.
    let may_exceed = if is_video && was_led { i64::MAX / 2 } else { slack };
    if later && (expected - may_lack..=expected + may_exceed).contains(&ticks) {
        return Ok(was_led);
    }
    let what = format!("timestamps advance by {ticks}/1000, by the publisher's {expected}/1000: {first:?}, {second:?}");
    Err(Violation::new(TIME_RULE, what))
}

fn time_goes_on(is_video: bool, was_led: bool, first: &Last, second: &Last) -> Result<(), Violation> {
    let ticks = i64::from(second.timestamp.wrapping_sub(first.timestamp) as i32) * 1_000;
    let expected = (second.media_time - first.media_time) as i64;
    let advance =
        format!("timestamps advance by {ticks}/1000, by the publisher's {expected}/1000: {first:?}, {second:?}");
    if is_video && (ticks > 0) != (expected > 0) {
        return Err(Violation::new(TIME_RULE, advance));
    }
    let is_live = |last: &Last| last.published > first.placed + LIVE_WITHIN;
    if !is_video || !was_led && is_live(first) {
        return if (ticks - expected).abs() > 3_000 { Err(broken(advance)) } else { Ok(()) };
    }
    // On the way to the live edge they advance by less.
    if !was_led && ticks > expected + 3_000 { Err(Violation::new(TIME_RULE, advance)) } else { Ok(()) }
}

/// One aggregate (RFC 6184 §5.7.1) of the only sets that are ever published, in any order.
fn is_parameter_sets(payload: &[u8]) -> bool {
    let sets = [video::sequence_parameter_set(), video::picture_parameter_set()];
    let mut rest = &payload[1..];
    let mut count = 0;
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len));
        let Some((unit, after)) = after.split_at_checked(len) else { return false };
        if !sets.iter().any(|set| set == unit) {
            return false;
        }
        (rest, count) = (after, count + 1);
    }
    rest.is_empty() && count > 0 && payload.len() < 256 - TAG_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(index: u64, number: u64) -> Last {
        let timestamp = (number * 3_000) as u32;
        let published = Timestamp::from_millis(number * 33);
        let (keys, media_time) = (1, number * 3_000_000);
        Last { publication: 0, index, number, keys, timestamp, media_time, published, placed: published }
    }

    fn follows(packets: &[Last]) -> bool {
        let mut content = Content::default();
        packets.iter().all(|&packet| content.follow(1, packet, 0).is_ok())
    }

    #[test]
    fn a_viewers_numbers_advance_with_the_publishers() {
        assert!(follows(&[last(100, 1), last(101, 2), last(105, 6), last(103, 4)]));
        assert!(follows(&[last(100, 1), last(101, 60)]), "it skipped");
        assert!(!follows(&[last(100, 1), last(102, 2)]), "a gap nobody made");
        assert!(!follows(&[last(100, 2), last(101, 1)]), "in another order");
        assert!(!follows(&[last(100, 1), last(100, 2)]), "two packets under one number");
    }

    #[test]
    fn parameter_sets_put_in_before_a_key_frame_are_no_gap() {
        let after_key = |index, number| Last { keys: 2, ..last(index, number) };
        assert!(follows(&[last(100, 1), after_key(102, 2)]));
        assert!(!follows(&[last(100, 1), after_key(103, 2)]));
    }

    #[test]
    fn timestamps_advance_with_the_publishers() {
        let late = Last { timestamp: 9_000 + 4, ..last(102, 3) };
        assert!(!follows(&[last(100, 1), late]));
        let other = Last { publication: 1, ..late };
        assert!(follows(&[last(100, 1), other]), "another publisher has times of its own");
        // On the way to the live edge by less, but never back; and nothing is squeezed for ever.
        for (timestamp, goes_on) in [(3_001, true), (3_000, false), (2_000, false)] {
            assert_eq!(follows(&[last(100, 1), Last { timestamp, ..last(102, 3) }]), goes_on);
        }
        let squeezed =
            |index, number: u64, by: u32| Last { timestamp: (number * 3_000) as u32 - by, ..last(index, number) };
        assert!(!follows(&[last(100, 1), last(170, 71), squeezed(171, 72, 100)]));
        // Led to a key frame further on, it is told to be of now.
        assert!(follows(&[last(100, 1), last(170, 71), squeezed(171, 172, 0), squeezed(172, 173, 1_000)]));
    }

    #[test]
    fn a_viewer_that_asked_is_started_again_as_often_as_it_asked_and_no_oftener_than_may_be() {
        let starts = |content: &mut Content, index, number: u64, timestamp, asked| {
            let now = Last { timestamp, ..last(index, number) };
            content.start_again(&now, false, asked).is_ok() && content.follow(1, now, asked).is_ok()
        };
        let begun = || {
            let mut content = Content::default();
            assert!(starts(&mut content, 100, 10, 30_000, 0) && starts(&mut content, 104, 14, 42_000, 0));
            content
        };
        assert!(!starts(&mut begun(), 105, 10, 42_001, 0), "unasked");
        assert!(!starts(&mut begun(), 105, 10, 42_000, 1), "time stood still");
        let mut content = begun();
        assert!(starts(&mut content, 105, 10, 42_001, 3) && starts(&mut content, 106, 11, 42_100, 3));
        assert!(starts(&mut content, 103, 13, 39_000, 3), "one from before comes late");
        assert!(!starts(&mut content, 103, 15, 45_000, 1), "which was another one");
        assert!(!starts(&mut content, 109, 12, 42_300, 1), "a hole is a hole");
        // The first packets of the second start may be lost: only the distance tells then.
        assert!(starts(&mut content, 120, 15, 45_000, 3));
        assert!(!starts(&mut content, 130, 10, 48_000, 9), "a third time");
    }

    #[test]
    fn only_the_published_parameter_sets_are_parameter_sets() {
        let sps = video::sequence_parameter_set();
        let aggregate = |set: &[u8]| [&[0x78][..], &(set.len() as u16).to_be_bytes(), set].concat();
        assert!(is_parameter_sets(&aggregate(&sps)));
        let mut other = sps.clone();
        other[4] ^= 1;
        assert!(!is_parameter_sets(&aggregate(&other)));
        assert!(!is_parameter_sets(&[0x78]));
    }
}
