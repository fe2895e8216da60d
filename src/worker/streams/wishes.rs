//! What is wanted of streams across workers, and what becomes of their viewers when an encoding comes to life, stops, or is another
//! publisher's.

use crate::description::MediaKind;
use crate::limits;
use crate::relay::play::broadcast::Broadcast;
use crate::relay::store::numbers::{EncodingId, EncodingSet, TrackId};
use crate::relay::store::record::Record;
use crate::time::Timestamp;
use crate::worker::mailbox::{Origin, StreamId, WorkerIndex};
use crate::worker::peer::{StreamKey, Subscriber};
use crate::worker::replay::Replay;
use crate::worker::stream::{EncodingKey, Stream};
use crate::worker::streams::Streams;

impl Stream {
    /// Everyone here who plays a track, each once or twice; nobody where all are sent its only encoding.
    pub(in crate::worker) fn subscribers_of(&self, track: TrackId) -> Vec<Subscriber> {
        let encodings = || (0..limits::ENCODINGS_PER_TRACK_MAX).filter_map(|rid| self.encoding(track.encoding(rid)?));
        let is_only = |encoding: &Broadcast<Subscriber>| encoding.id() == track.only_encoding();
        let others = || encodings().filter(|encoding| !is_only(encoding));
        if others().all(|other| other.measured().is_none() && other.fan_out.is_empty()) {
            return Vec::new();
        }
        encodings().flat_map(|encoding| encoding.fan_out.keys()).collect()
    }
}

impl Streams {
    /// A viewer's track wants other encodings than before: none before it has connected and after it has left.
    pub(in crate::worker) fn demand_moved(&mut self, key: StreamKey, before: EncodingSet, after: EncodingSet) {
        if self.table.get_mut(key).is_some_and(|stream| stream.demand.moved(before, after)) {
            self.list_demand(key);
            self.demands_due = None;
        }
    }

    /// Tells the origins of listed streams what is wanted; `tell` says whether it found room. Those that were told lately or
    /// could not be stay listed.
    pub(in crate::worker) fn tell_demands(
        &mut self,
        now: Timestamp,
        mut tell: impl FnMut(Origin, StreamId, EncodingSet) -> bool,
    ) {
        self.demands_due = None;
        let (table, demands_due) = (&mut self.table, &mut self.demands_due);
        self.demands.retain(|&key| {
            let Some(stream) = table.get_mut(key) else { return false };
            let id = stream.id;
            let Some(origin) = stream.origin.filter(|_| stream.publisher.is_none()) else {
                // Listed again with its next route.
                stream.demand.listed = false;
                return false;
            };
            let due = match stream.demand.to_tell(origin, now) {
                Ok(wanted) if tell(origin, id, wanted) => {
                    stream.demand.told(origin, now);
                    stream.demand.listed = false;
                    return false;
                }
                Ok(_) => now + limits::DEMAND_REPEAT_MIN,
                Err(due) => due,
            };
            *demands_due = Some(demands_due.map_or(due, |first| first.min(due)));
            true
        });
    }

    /// Whether an origin is to be told in the next round.
    #[must_use]
    pub(in crate::worker) fn has_demand_to_tell(&self) -> bool {
        self.demands_due.is_none() && !self.demands.is_empty()
    }

    /// Another worker's viewers want these encodings of a stream that is published here, and no others. Of a picture that was not
    /// wanted there before it gets what came since the newest key frame.
    pub(in crate::worker) fn audience_wants(
        &mut self,
        key: StreamKey,
        worker: WorkerIndex,
        wanted: EncodingSet,
        now: Timestamp,
    ) {
        let Some(Stream { audience, encodings, .. }) = self.table.get_mut(key) else { return };
        for audience in audience.iter_mut().filter(|audience| audience.listener.worker == worker) {
            let before = std::mem::replace(&mut audience.wanted, wanted);
            let new = encodings.iter().filter(|encoding| {
                let id = encoding.id();
                encoding.kind() == MediaKind::Video && wanted.contains(id) && !before.contains(id)
            });
            for encoding in new {
                if let Some(replay) = Replay::begin(key, encoding, audience, now) {
                    self.replays.push(replay);
                }
            }
        }
    }

    /// Whether a worker is being given, or was just given, all since the newest key frame of an encoding.
    #[must_use]
    pub(in crate::worker) fn is_replayed_to(&self, key: EncodingKey, worker: WorkerIndex, now: Timestamp) -> bool {
        self.table.get(key.stream).is_some_and(|stream| {
            stream.audience.iter().any(|audience| {
                let (replayed, at) = audience.replays;
                audience.listener.worker == worker
                    && replayed.contains(key.encoding)
                    && now.since(at) <= limits::REPLAY_TIME_MAX
            })
        })
    }

    /// The next track whose viewers are to be looked at because its ladder has changed: each stream's not too often.
    pub(in crate::worker) fn take_changed_ladder(&mut self, now: Timestamp) -> Option<(StreamKey, TrackId)> {
        self.ladders_due = None;
        let mut index = 0;
        while let Some(&(key, track)) = self.ladders_changed.get(index) {
            let Some(stream) = self.table.get_mut(key) else {
                self.ladders_changed.swap_remove(index);
                continue;
            };
            let due = stream.ladder_walked.map_or(now, |walked| walked + limits::LADDER_CHANGE_PAUSE);
            if due <= now {
                stream.ladder_walked = Some(now);
                self.ladders_changed.swap_remove(index);
                return Some((key, track));
            }
            self.ladders_due = Some(self.ladders_due.map_or(due, |first| first.min(due)));
            index += 1;
        }
        None
    }

    /// A publisher begins on this worker, with these encodings: what was measured of the one before holds no more.
    pub(in crate::worker) fn publication_began(&mut self, key: StreamKey, encodings: impl Iterator<Item = EncodingId>) {
        let Some(stream) = self.table.get_mut(key) else { return };
        encodings.for_each(|encoding| _ = stream.ensure(encoding));
        if !self.begun.contains(&key) {
            self.begun.push(key);
        }
        self.publisher_came(key);
    }

    /// Packets of an encoding are missing from here on, for everyone: all go on with its next key frame, which is asked for.
    pub(in crate::worker) fn interrupt(&mut self, key: EncodingKey) {
        self.apply(key, &Record::Begin);
        if let Some(stream) = self.table.get_mut(key.stream) {
            // Other workers are told before the next record.
            for audience in &mut stream.audience {
                audience.introduced.remove(key.encoding);
            }
        }
        self.want_key_frame(key);
    }

    /// The next encoding of which nobody has sent anything yet that publishes now.
    pub(in crate::worker) fn take_begun(&mut self) -> Option<EncodingKey> {
        while let Some(&stream) = self.begun.last() {
            let encodings = self.table.get(stream).map(|stream| stream.encodings.as_slice()).unwrap_or_default();
            if let Some(encoding) = encodings.iter().find(|encoding| encoding.measured().is_some()) {
                return Some(EncodingKey { stream, encoding: encoding.id() });
            }
            self.begun.pop();
        }
        None
    }
}
