//! A stream on one worker: its encodings with those who are sent them, and where it comes from.

use crate::limits;
use crate::relay::play::broadcast::Broadcast;
use crate::relay::store::ladder::{Ladder, Rung};
use crate::relay::store::numbers::{EncodingId, EncodingSet, Position, TrackId};
use crate::relay::store::record::MediaRecord;
use crate::relay::store::redundancy;
use crate::time::Timestamp;
use crate::wire::codec::Codec;
use crate::wire::codec::picture_numbers::NumberShift;
use crate::worker::demand::Demand;
use crate::worker::mailbox::{Listener, Origin, StreamId};
use crate::worker::next_publisher::NextPublisher;
use crate::worker::peer::{PeerKey, StreamKey, Subscriber, ViewerTrack};
use crate::worker::picture_counts::PictureCounts;
use crate::worker::send_progress::SendProgress;
use crate::worker::stream_channels::StreamChannels;
use crate::worker::tracks::{TRACKS, kind_of, track_of};

/// A stream on one worker.
#[derive(Debug)]
pub struct Stream {
    /// Its number on all cores.
    pub id: StreamId,
    /// Its name, for reports.
    pub name: String,
    /// Its encodings, in the order they became known: the first of each track from the beginning, so that viewers may wait
    /// in it, others when a publisher has them.
    pub encodings: Vec<Broadcast<Subscriber>>,
    /// Where in `encodings` each one is; [`NOWHERE`] for those it does not have.
    pub(super) places: [u8; EncodingId::COUNT],
    /// The publisher, when it is on this worker.
    pub publisher: Option<PeerKey>,
    /// That publisher's second transport, while its keys change.
    pub(super) next_publisher: Option<Box<NextPublisher>>,
    /// How its publisher's pictures are counted, where the publisher is on this worker.
    pub(super) picture_counts: PictureCounts,
    /// The publisher's worker or node.
    pub origin: Option<Origin>,
    /// Other workers with viewers of it; used on the publisher's worker.
    pub(super) audience: Vec<Audience>,
    /// Viewers on this worker.
    pub viewers: usize,
    /// Its data channels, where it has any or a viewer that could mirror them.
    pub(super) channels: Option<Box<StreamChannels>>,
    /// Which encodings the publisher's worker has begun to tell of. What comes before is of somebody who listened here
    /// earlier, and the rest of it never came.
    pub(super) begun: EncodingSet,
    /// How far each encoding's packets have come; in the order of `encodings`.
    pub(super) progress: Vec<SendProgress>,
    /// Which encodings are in one of the work queues.
    pub(super) queued: EncodingSet,
    /// What of it is wanted here.
    pub(super) demand: Demand,
    /// When its viewers were last looked at because an encoding had come to life or stopped.
    pub(super) ladder_walked: Option<Timestamp>,
}

/// The encoding that repeats the sound of `source`: the last one that its track can have.
pub(super) fn redundant_of(source: EncodingId) -> EncodingId {
    source.track().encoding(limits::ENCODINGS_PER_TRACK_MAX - 1).unwrap_or(source)
}

/// In [`Stream`]'s table of places: it has no such encoding.
const NOWHERE: u8 = u8::MAX;

const _: () = assert!(limits::ENCODINGS_PER_STREAM_MAX < NOWHERE as usize);

impl Stream {
    pub(super) fn new(id: StreamId, name: String) -> Self {
        let mut stream = Self {
            id,
            name,
            encodings: Vec::with_capacity(TRACKS.len()),
            places: [NOWHERE; EncodingId::COUNT],
            publisher: None,
            next_publisher: None,
            picture_counts: PictureCounts::default(),
            origin: None,
            audience: Vec::new(),
            viewers: 0,
            channels: None,
            begun: EncodingSet::default(),
            progress: Vec::with_capacity(TRACKS.len()),
            queued: EncodingSet::default(),
            demand: Demand::default(),
            ladder_walked: None,
        };
        for kind in TRACKS {
            stream.ensure(track_of(kind).only_encoding());
        }
        stream
    }

    /// Makes an encoding where the stream has none of that name; `false` where it cannot have it.
    pub fn ensure(&mut self, id: EncodingId) -> bool {
        if self.place(id).is_some() {
            return true;
        }
        let Some(kind) = kind_of(id.track()) else { return false };
        let place = self.encodings.len();
        if place >= limits::ENCODINGS_PER_STREAM_MAX {
            return false;
        }
        self.places[usize::from(id.number())] = place as u8;
        self.encodings.push(Broadcast::new(id, kind));
        self.progress.push(SendProgress::default());
        true
    }

    /// What is added to a publisher's picture numbers before its packet is stored, where anything is.
    #[inline]
    pub(super) fn shift_of(&mut self, id: EncodingId, media: &MediaRecord<'_>) -> Option<(Codec, NumberShift)> {
        let place = self.place(id)?;
        self.picture_counts.shift_of(self.encodings.get(place)?, media)
    }

    /// Makes the packet at `position` of a track's sound once more, with the ones before it in it, where somebody is sent
    /// those. Whether it was made.
    pub(super) fn repeat_sound(&mut self, source: EncodingId, position: Position) -> bool {
        let Some(place) = self.place(redundant_of(source)).filter(|_| source != redundant_of(source)) else {
            return false;
        };
        let Some(source) = self.place(source) else { return false };
        let Ok([source, repeated]) = self.encodings.get_disjoint_mut([source, place]) else { return false };
        if repeated.fan_out.is_empty() {
            return false;
        }
        let mut payload = [0; limits::DATAGRAM_IN_BYTES_MAX];
        redundancy::share_clock(source, repeated);
        redundancy::record(source, position, &mut payload).is_some_and(|record| repeated.store(&record).is_ok())
    }

    /// Has the track's sound made redundant from now on. The encoding that somebody is to go over to.
    pub(super) fn want_redundant(&mut self, source: EncodingId) -> Option<EncodingId> {
        let id = redundant_of(source);
        if !self.ensure(id) {
            return None;
        }
        let repeated = self.encoding_mut(id)?;
        if repeated.fan_out.is_empty() {
            // What was made for somebody earlier is followed by a gap.
            repeated.begin();
            repeated.follows_timeline_of(source);
            repeated.set_codec(redundancy::CODEC);
        }
        Some(id)
    }

    #[inline]
    pub(super) fn place(&self, id: EncodingId) -> Option<usize> {
        let place = *self.places.get(usize::from(id.number()))?;
        (place != NOWHERE).then_some(usize::from(place))
    }

    /// One of its encodings.
    #[must_use]
    pub fn encoding(&self, id: EncodingId) -> Option<&Broadcast<Subscriber>> {
        self.encodings.get(self.place(id)?)
    }

    /// One of its encodings.
    pub fn encoding_mut(&mut self, id: EncodingId) -> Option<&mut Broadcast<Subscriber>> {
        let place = self.place(id)?;
        self.encodings.get_mut(place)
    }

    /// A track's encodings as they are now, to choose from: a copy of at most four rungs.
    #[must_use]
    pub fn ladder(&self, track: TrackId) -> Ladder {
        let encodings = (0..limits::ENCODINGS_PER_TRACK_MAX).filter_map(|rid| self.encoding(track.encoding(rid)?));
        encodings.filter_map(|encoding| Some(Rung::new(encoding.id(), encoding.measured()?))).collect()
    }

    /// The encodings of a viewer's track that it can be sent: see [`Ladder::of_one_codec`].
    #[must_use]
    pub fn ladder_for(&self, track: &ViewerTrack) -> Ladder {
        self.ladder(track.track).of_one_codec(|codec| track.codecs.iter().any(|other| other.codec == codec))
    }

    /// Whoever publishes it from now on has not sent anything yet.
    pub(super) fn forget_measured(&mut self) {
        for encoding in &mut self.encodings {
            encoding.set_measured(None);
        }
    }

    /// Whether an encoding is wanted, here or on a worker that is told of it.
    pub(super) fn is_wanted(&self, encoding: EncodingId) -> bool {
        self.demand.wanted().contains(encoding) || self.audience.iter().any(|other| other.wanted.contains(encoding))
    }

    /// Which transport on this worker brings an encoding.
    pub(super) fn publisher_of(&self, encoding: EncodingId) -> Option<PeerKey> {
        let next = self.next_publisher.as_ref().filter(|next| next.has(encoding));
        next.map(|next| next.key).or(self.publisher)
    }

    /// Whether somebody publishes it, here or on another worker.
    pub(super) fn is_published(&self) -> bool {
        self.publisher.is_some() || self.origin.is_some()
    }

    /// A viewer has left. The fan-out drops it when it is met; where nothing is published that may be never, so that the
    /// sets are swept when they hold more of the departed than of those who are here: a walk per as many leaves as it takes
    /// entries out.
    pub(super) fn viewer_left(&mut self, is_here: impl Fn(PeerKey) -> bool) {
        self.viewers = self.viewers.saturating_sub(1);
        self.sweep(is_here);
    }

    /// Drops those who have departed from sets that hold too many of them.
    pub(super) fn sweep(&mut self, is_here: impl Fn(PeerKey) -> bool) {
        for encoding in &mut self.encodings {
            if encoding.fan_out.len() > 2 * self.viewers + limits::DEPARTED_SUBSCRIBERS_MAX {
                encoding.fan_out.retain(|subscriber| is_here(subscriber.peer));
            }
        }
    }
}

/// Another worker with viewers of a stream, as the publisher's worker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Audience {
    pub(super) listener: Listener,
    /// To which encodings it was introduced. Done before the next record where its lane was full, then or since.
    pub(super) introduced: EncodingSet,
    /// It was told of the data channels, and of everything since.
    pub(super) knows_channels: bool,
    /// The encodings that its viewers want; all of them until it has said so.
    pub(super) wanted: EncodingSet,
    /// Encodings whose packets it gets from the ring, in turn from a key frame on, and not as they come.
    pub(super) replayed: EncodingSet,
    /// Of which encodings that was begun lately, and when last.
    pub(super) replays: (EncodingSet, Timestamp),
}

impl Audience {
    /// One of which nothing is known but its name.
    pub(super) const fn new(listener: Listener) -> Self {
        Self {
            listener,
            introduced: EncodingSet::NONE,
            knows_channels: false,
            wanted: EncodingSet::ALL,
            replayed: EncodingSet::NONE,
            replays: (EncodingSet::NONE, Timestamp::ZERO),
        }
    }
}

/// One encoding of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingKey {
    /// The stream.
    pub stream: StreamKey,
    /// Which of its encodings.
    pub encoding: EncodingId,
}
