//! The streams a worker has a part in, and which of their encodings have work to do.
//!
//! A stream's number is looked up when a peer is opened, a route comes or a lane's record names another stream than the one
//! before it; from there on it goes by its [`StreamKey`], which is an index.

use std::collections::{HashMap, VecDeque};

use slotmap::SlotMap;

use crate::data::record::{DataNews, DataRecord};
use crate::description::MediaKind;
use crate::limits;
use crate::relay::play::broadcast::Broadcast;
use crate::relay::store::ladder::Measured;
use crate::relay::store::numbers::TrackId;
use crate::relay::store::record::Record;
use crate::time::Timestamp;
use crate::worker::channel_work::ChannelWork;
use crate::worker::mailbox::StreamId;
use crate::worker::peer::{StreamKey, Subscriber};
use crate::worker::reason::DropReason;
use crate::worker::replay::Replay;
use crate::worker::send_progress::SendProgress;
use crate::worker::stream::{EncodingKey, Stream, redundant_of};
use crate::worker::stream_channels::StreamChannels;
use crate::worker::tracks::kind_of;

/// All streams of a worker.
#[derive(Debug, Default)]
pub struct Streams {
    table: SlotMap<StreamKey, Stream>,
    by_id: HashMap<StreamId, StreamKey>,
    /// Encodings with something to release or send: audio goes first.
    audio: VecDeque<EncodingKey>,
    video: VecDeque<EncodingKey>,
    /// Encodings that wait for their frame's end, or whose paced viewers wait, and until when.
    held: Vec<(Timestamp, EncodingKey)>,
    /// Encodings for which a key frame is wanted.
    wanting: Vec<EncodingKey>,
    /// Streams whose origin is to be told what is wanted here.
    demands: Vec<StreamKey>,
    /// When the first of them may be told that was told lately.
    demands_due: Option<Timestamp>,
    /// Streams with another publisher than before, which is to be told.
    begun: Vec<StreamKey>,
    /// Tracks one of whose encodings has come to life or stopped.
    ladders_changed: Vec<(StreamKey, TrackId)>,
    /// When the first of them is due, of those whose viewers were looked at lately.
    ladders_due: Option<Timestamp>,
    /// What goes into lanes once more, and when to go on with it.
    pub(super) replays: Vec<Replay>,
    pub(super) replays_due: Option<Timestamp>,
    /// What is to be done for data channels.
    pub(super) channel_work: ChannelWork,
}

impl Streams {
    /// The key of a stream that is known by its number.
    #[must_use]
    pub fn find(&self, id: StreamId) -> Option<StreamKey> {
        self.by_id.get(&id).copied()
    }

    /// A stream.
    #[must_use]
    pub fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.table.get(key)
    }

    /// A stream.
    pub fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.table.get_mut(key)
    }

    /// An encoding of a stream.
    #[must_use]
    pub fn encoding(&self, key: EncodingKey) -> Option<&Broadcast<Subscriber>> {
        self.table.get(key.stream)?.encoding(key.encoding)
    }

    /// An encoding of a stream.
    fn encoding_mut(&mut self, key: EncodingKey) -> Option<&mut Broadcast<Subscriber>> {
        self.table.get_mut(key.stream)?.encoding_mut(key.encoding)
    }

    /// A stream by its number, made when it is new. A name given later is kept.
    pub fn get_or_create(&mut self, id: StreamId, name: &str) -> (StreamKey, &mut Stream) {
        let table = &mut self.table;
        let key = *self.by_id.entry(id).or_insert_with(|| table.insert(Stream::new(id, name.to_owned())));
        let stream = &mut self.table[key];
        if stream.name.is_empty() {
            stream.name.push_str(name);
        }
        (key, stream)
    }

    /// Forgets a stream that nobody of this worker publishes or plays and that is not routed here.
    pub fn drop_if_unused(&mut self, key: StreamKey) {
        let unused = self.table.get(key).is_some_and(|stream| stream.viewers == 0 && stream.publisher.is_none());
        if unused && let Some(stream) = self.table.remove(key) {
            self.by_id.remove(&stream.id);
        }
    }

    /// All streams.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.table.values()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Applies a record to its encoding and queues it for sending. The stream when anything was stored or changed.
    pub fn apply(&mut self, key: EncodingKey, record: &Record<'_>) -> Option<&mut Stream> {
        let stream = self.table.get_mut(key.stream)?;
        let encoding = stream.encoding_mut(key.encoding)?;
        match record {
            Record::Media(media) => {
                let position = encoding.store(media).ok()?;
                if encoding.kind() == MediaKind::Audio && stream.repeat_sound(key.encoding, position) {
                    let repeated = redundant_of(key.encoding);
                    if stream.queued.insert(repeated) {
                        self.audio.push_back(EncodingKey { stream: key.stream, encoding: repeated });
                    }
                }
            }
            Record::Format(codec) => encoding.set_codec(*codec),
            Record::Clock { incarnation, ntp, timestamp, arrival } => {
                encoding.set_clock(*incarnation, *ntp, *timestamp, *arrival);
                return Some(stream);
            }
            Record::Begin => encoding.begin(),
            Record::Replay(packets) => encoding.replay_begins(*packets),
            Record::Rung(measured) => {
                let is_sent = *measured != Measured::default();
                let changed = encoding.set_measured(is_sent.then_some(*measured));
                let ladder = (key.stream, key.encoding.track());
                if changed && encoding.kind() == MediaKind::Video && !self.ladders_changed.contains(&ladder) {
                    self.ladders_changed.push(ladder);
                }
                return Some(stream);
            }
            // Of no encoding: see `apply_data`.
            Record::Data(_) => return None,
        }
        let kind = stream.encoding(key.encoding)?.kind();
        if stream.queued.insert(key.encoding) {
            match kind {
                MediaKind::Audio => self.audio.push_back(key),
                MediaKind::Video => self.video.push_back(key),
            }
        }
        Some(stream)
    }

    /// Applies a record that another worker sent.
    ///
    /// # Errors
    /// Why it is of no use here; the name in metrics.
    pub(super) fn apply_from_lane(&mut self, key: EncodingKey, record: &Record<'_>) -> Result<(), DropReason> {
        let stream = self.table.get_mut(key.stream).ok_or(DropReason::LaneUnknownStream)?;
        if matches!(record, Record::Begin) {
            if !stream.ensure(key.encoding) {
                return Err(DropReason::LaneUnknownStream);
            }
            stream.begun.insert(key.encoding);
        } else if !stream.begun.contains(key.encoding) {
            return Err(DropReason::LaneNotIntroduced);
        }
        if matches!(record, Record::Media(_)) && !stream.demand.wanted().contains(key.encoding) {
            self.list_demand(key.stream);
        }
        self.apply(key, record);
        Ok(())
    }

    /// Applies what happened to the data channels of a publisher on another worker.
    ///
    /// # Errors
    /// Why it is of no use here.
    pub(super) fn apply_data(
        &mut self,
        key: StreamKey,
        record: &DataRecord<'_>,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let stream = self.table.get_mut(key).ok_or(DropReason::LaneUnknownStream)?;
        if matches!(record.what, DataNews::Back { .. }) {
            let channels = stream.channels.as_deref_mut().filter(|_| stream.publisher.is_some());
            channels.ok_or(DropReason::DataLaneStale)?.apply(record, now)?;
            self.channel_work.hear(key);
            return Ok(());
        }
        stream.channels.get_or_insert_default().apply(record, now)?;
        self.queue_channels(key);
        Ok(())
    }

    /// The data channels of a stream.
    pub(super) fn channels_mut(&mut self, key: StreamKey) -> Option<&mut StreamChannels> {
        self.table.get_mut(key)?.channels.as_deref_mut()
    }

    /// Queues a stream whose viewers are to be given what is new on its channels.
    pub(super) fn queue_channels(&mut self, key: StreamKey) {
        if let Some(channels) = self.table.get_mut(key).and_then(|stream| stream.channels.as_deref_mut()) {
            self.channel_work.queue(key, channels);
        }
    }

    /// A publisher has left: its channels are closed here, and other workers are to be told. `false` where they cannot be.
    pub(super) fn end_channels(&mut self, key: StreamKey, session: u64, now: Timestamp) -> bool {
        let Some(stream) = self.table.get_mut(key) else { return true };
        let Some(channels) = stream.channels.as_deref_mut() else { return true };
        if channels.apply(&DataRecord { session, what: DataNews::End }, now).is_err() {
            return true;
        }
        self.channel_work.queue(key, channels);
        let told = stream
            .audience
            .iter_mut()
            .filter_map(|audience| std::mem::take(&mut audience.knows_channels).then_some(audience.listener.worker));
        let workers = told.collect();
        self.channel_work.depart(stream.id, session, workers)
    }

    /// An encoding whose turn it is, with how far its packets have come.
    #[inline]
    pub(super) fn turn(&mut self, key: EncodingKey) -> Option<(&mut Broadcast<Subscriber>, &mut SendProgress)> {
        let stream = self.table.get_mut(key.stream)?;
        let place = stream.place(key.encoding)?;
        Some((stream.encodings.get_mut(place)?, stream.progress.get_mut(place)?))
    }

    /// Adds a viewer's track that just connected.
    pub fn add_subscriber(&mut self, key: EncodingKey, subscriber: Subscriber) {
        let Some(encoding) = self.encoding_mut(key) else { return };
        encoding.fan_out.add_undecided(subscriber);
        self.queue(key);
    }

    /// A subscriber that waits for what comes is to be visited now.
    pub(super) fn wake(&mut self, key: EncodingKey, subscriber: Subscriber) {
        let Some(encoding) = self.encoding_mut(key) else { return };
        encoding.fan_out.wake(subscriber);
        self.queue(key);
    }

    /// Visits a subscriber for this encoding no more.
    pub fn remove_subscriber(&mut self, key: EncodingKey, subscriber: Subscriber) {
        if let Some(encoding) = self.encoding_mut(key) {
            encoding.fan_out.retain(|&other| other != subscriber);
        }
    }

    /// Lists a stream whose origin may have to be told what is wanted here.
    pub(super) fn list_demand(&mut self, key: StreamKey) {
        let Some(stream) = self.table.get_mut(key) else { return };
        if stream.publisher.is_none() && !std::mem::replace(&mut stream.demand.listed, true) {
            self.demands.push(key);
            self.demands_due = None;
        }
    }

    /// Queues an encoding that may have something to send.
    pub fn queue(&mut self, key: EncodingKey) {
        let Some(stream) = self.table.get_mut(key.stream) else { return };
        if stream.place(key.encoding).is_some() && stream.queued.insert(key.encoding) {
            self.requeue(key);
        }
    }

    /// Takes the next audio encoding with work.
    pub fn next_audio(&mut self) -> Option<EncodingKey> {
        self.audio.pop_front()
    }

    /// Takes the next video encoding with work.
    pub fn next_video(&mut self) -> Option<EncodingKey> {
        self.video.pop_front()
    }

    /// Gives back an encoding that was taken: it has more to do.
    pub fn requeue(&mut self, key: EncodingKey) {
        match kind_of(key.encoding.track()) {
            Some(MediaKind::Audio) => self.audio.push_back(key),
            Some(MediaKind::Video) => self.video.push_back(key),
            None => {}
        }
    }

    /// Gives back an encoding that was taken: it has nothing to do now.
    pub fn done(&mut self, key: EncodingKey) {
        if let Some(stream) = self.table.get_mut(key.stream) {
            stream.queued.remove(key.encoding);
        }
    }

    /// Gives back an encoding that was taken: there is nothing to do until `due` (or the next packet).
    pub fn hold(&mut self, key: EncodingKey, due: Timestamp) {
        self.done(key);
        self.held.retain(|&(_, held)| held != key);
        self.held.push((due, key));
    }

    /// Queues the held encodings whose time has come.
    pub fn release_held(&mut self, now: Timestamp) {
        let mut index = 0;
        while let Some(&(due, key)) = self.held.get(index) {
            if due <= now {
                self.held.swap_remove(index);
                self.queue(key);
            } else {
                index += 1;
            }
        }
    }

    /// Whether any encoding has work now.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.audio.is_empty() || !self.video.is_empty()
    }

    /// Entries of all queues.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn queued_len(&self) -> usize {
        self.audio.len() + self.video.len() + self.held.len() + self.wanting.len() + self.channel_work.len()
    }

    /// Whether a key frame is wanted of an encoding already.
    #[must_use]
    pub fn is_key_frame_wanted(&self, key: EncodingKey) -> bool {
        let encoding = self.table.get(key.stream).and_then(|stream| stream.encoding(key.encoding));
        encoding.is_some_and(|encoding| encoding.requests.is_wanted())
    }

    /// A key frame of this encoding is wanted.
    pub fn want_key_frame(&mut self, key: EncodingKey) {
        let Some(encoding) = self.encoding_mut(key) else { return };
        if encoding.kind() != MediaKind::Video {
            return;
        }
        encoding.requests.want();
        self.list_wanting(key);
    }

    /// A stream has a publisher, here or elsewhere: what its viewers want meanwhile can be asked for.
    pub fn publisher_came(&mut self, stream: StreamKey) {
        for place in 0..limits::ENCODINGS_PER_STREAM_MAX {
            let encoding = self.table.get(stream).and_then(|stream| stream.encodings.get(place));
            let Some(encoding) = encoding.map(|encoding| encoding.id()) else { return };
            self.list_wanting(EncodingKey { stream, encoding });
        }
    }

    /// Lists an encoding whose wish can be told to somebody. Those of streams without a publisher are not listed: there may
    /// be thousands of them, and the list is looked at in every round.
    fn list_wanting(&mut self, key: EncodingKey) {
        let Some(stream) = self.table.get(key.stream) else { return };
        let wants = stream.encoding(key.encoding).is_some_and(|encoding| encoding.requests.next_deadline().is_some());
        if wants && stream.is_published() && !self.wanting.contains(&key) {
            self.wanting.push(key);
        }
    }

    /// The encodings for which a request is to be sent now; those no longer wanting are forgotten.
    pub fn poll_key_frame_requests(&mut self, now: Timestamp, mut ask: impl FnMut(EncodingKey, &Stream)) {
        let streams = &mut self.table;
        self.wanting.retain(|key| {
            let Some(stream) = streams.get_mut(key.stream) else { return false };
            // Without a publisher there is nobody to ask: see `publisher_came`.
            if !stream.is_published() {
                return false;
            }
            let is_wanted = stream.is_wanted(key.encoding);
            let Some(encoding) = stream.encoding_mut(key.encoding) else { return false };
            if !is_wanted {
                // Who wanted it has left or is sent another one.
                encoding.requests.nobody_waits();
                return false;
            }
            if encoding.requests.poll(now) {
                ask(*key, stream);
                return true;
            }
            encoding.requests.next_deadline().is_some()
        });
    }

    /// When anything here is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let held = self.held.iter().map(|&(due, _)| due).min();
        let wanting = self
            .wanting
            .iter()
            .filter_map(|key| {
                let stream = self.table.get(key.stream)?;
                if !stream.is_published() {
                    return None;
                }
                stream.encoding(key.encoding)?.requests.next_deadline()
            })
            .min();
        [held, wanting, self.demands_due, self.ladders_due, self.replays_due].into_iter().flatten().min()
    }
}

mod wishes;

#[cfg(test)]
mod tests;
