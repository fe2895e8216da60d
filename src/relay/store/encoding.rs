//! One encoding of a stream (a track and one of its rids) on one worker: its packets, its codec and its clock.
//!
//! It is the same on every worker. On the publisher's worker it is fed by the uplink, on the others by a lane.

use std::time::Duration;

use crate::description::MediaKind;
use crate::limits;
use crate::relay::store::key_frame::KeyFrameRequests;
use crate::relay::store::ladder::Measured;
use crate::relay::store::numbers::{EncodingId, Position};
use crate::relay::store::packet_ring::{NotStored, PacketInfo, PacketRing, Start};
use crate::relay::store::record::{MediaRecord, PublishedCodec, Record};
use crate::relay::store::sender_clock::SenderClock;
use crate::relay::store::stream_rate::StreamRate;
use crate::relay::store::timeline::{Incarnation, Timeline};
use crate::time::{NtpTime, Timestamp};

/// An encoding.
#[derive(Debug)]
pub struct Encoding {
    id: EncodingId,
    timeline_of: EncodingId,
    kind: MediaKind,
    codec: Option<PublishedCodec>,
    /// Nobody starts at a packet before this position: it is of the codec before, or packets are missing after it.
    starts_from: Position,
    /// Packets are missing before `starts_from`: who has sent all before it must not simply go on.
    gap: bool,
    timeline: Timeline,
    /// The packets.
    pub ring: PacketRing,
    /// Requests this worker makes on behalf of its viewers.
    pub requests: KeyFrameRequests,
    clock: Option<SenderClock>,
    /// What its publisher's worker measured of it; `None` where the publisher of today has not sent it.
    measured: Option<Measured>,
    rate: StreamRate,
    /// The frame in progress: its timestamp and first position.
    frame: Option<(u32, Position)>,
    key_frame_timestamp: Option<u32>,
    /// Packets of the past that are still to come: until then nobody starts, as nobody knows where the live edge is.
    replays: u16,
    /// Positions below this one may be sent.
    released: Position,
    held_since: Option<Timestamp>,
    /// Key frames stored.
    pub key_frames: u64,
    /// Packets stored.
    pub stored_packets: u64,
    /// Their payload bytes.
    pub stored_bytes: u64,
    /// Of the packets stored, those as long as packets are.
    pub full_packets: u64,
    /// Packets sent to viewers.
    pub forwarded_packets: u64,
    /// Their bytes on the wire.
    pub forwarded_bytes: u64,
    /// Viewers that went over to it from another one.
    pub switches: u64,
    /// Packets not stored because they were there already or too old.
    pub duplicates: u64,
}

impl Encoding {
    /// An encoding of which nothing is known but its kind.
    #[must_use]
    pub fn new(id: EncodingId, kind: MediaKind) -> Self {
        let (packets, bytes, clock_rate_hz) = match kind {
            MediaKind::Audio => (limits::AUDIO_RING_PACKETS_MAX, limits::AUDIO_RING_BYTES_MAX, 48_000),
            MediaKind::Video => (limits::VIDEO_RING_PACKETS_MAX, limits::VIDEO_RING_BYTES_MAX, 90_000),
        };
        Self {
            id,
            timeline_of: id,
            kind,
            codec: None,
            starts_from: Position(0),
            gap: false,
            timeline: Timeline::new(clock_rate_hz),
            ring: PacketRing::new(packets, bytes),
            requests: KeyFrameRequests::default(),
            clock: None,
            measured: None,
            rate: StreamRate::default(),
            frame: None,
            key_frame_timestamp: None,
            replays: 0,
            released: Position(0),
            held_since: None,
            key_frames: 0,
            stored_packets: 0,
            stored_bytes: 0,
            full_packets: 0,
            forwarded_packets: 0,
            forwarded_bytes: 0,
            switches: 0,
            duplicates: 0,
        }
    }

    /// Which one of its stream.
    #[must_use]
    pub fn id(&self) -> EncodingId {
        self.id
    }

    /// On whose timeline it is: its own, unless it is made from another one's packets.
    #[must_use]
    pub fn timeline_of(&self) -> EncodingId {
        self.timeline_of
    }

    /// Its packets are made from those of another encoding, and keep their timestamps.
    pub fn follows_timeline_of(&mut self, source: EncodingId) {
        self.timeline_of = source;
    }

    /// Audio or video.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// RTP clock in Hz.
    #[must_use]
    pub fn clock_rate_hz(&self) -> u32 {
        self.timeline.clock_rate_hz()
    }

    /// What is published, once known.
    #[must_use]
    pub fn codec(&self) -> Option<&PublishedCodec> {
        self.codec.as_ref()
    }

    /// Whether one whose next packet is at `position` can go on from there to the head: all of it is encoded as
    /// [`Self::codec`] says, and nothing is missing that cannot come any more.
    #[must_use]
    pub fn continues_at(&self, position: Position) -> bool {
        position > self.starts_from || position == self.starts_from && !self.gap
    }

    /// From where on a cursor needs no closer look, asked once for all that are visited: what is there is in the ring, came within
    /// half of [`limits::CURSOR_LAG_MAX`], and [`Self::continues_at`] it.
    #[must_use]
    pub fn fresh_from(&self, now: Timestamp) -> Position {
        let newest = Position(self.ring.head().0.saturating_sub(limits::FRESH_PACKETS)).max(self.ring.tail());
        let is_fresh = |(info, _): (&PacketInfo, _)| now.since(info.arrival) <= limits::CURSOR_LAG_MAX / 2;
        match self.ring.get(newest).is_some_and(is_fresh) {
            true => newest.max(Position(self.starts_from.0 + 1)),
            false => Position(u64::MAX),
        }
    }

    /// Whether a packet is of the codec of today and of after the last gap.
    #[must_use]
    pub fn may_start_at(&self, position: Position) -> bool {
        position >= self.starts_from
    }

    /// What follows is encoded so. Whether that is another codec than before.
    pub fn set_codec(&mut self, codec: PublishedCodec) -> bool {
        if self.codec == Some(codec) {
            return false;
        }
        self.codec = Some(codec);
        self.gap &= self.starts_from == self.ring.head();
        self.starts_from = self.ring.head();
        true
    }

    /// Packets are missing between what is here and what comes ([`Record::Begin`](crate::relay::store::record::Record)): everyone
    /// goes on behind the gap, video from a key frame. Nobody would answer a NACK for what is in it.
    pub fn begin(&mut self) {
        self.starts_from = self.ring.head();
        self.gap = self.starts_from > Position(0);
        self.replays = 0;
    }

    /// The next `packets` that come are of the past, from a key frame on; some of them may have been here before.
    pub fn replay_begins(&mut self, packets: u16) {
        self.ring.clear();
        (self.frame, self.key_frame_timestamp) = (None, None);
        self.replays = packets;
    }

    /// Whether packets of the past are still to come.
    #[must_use]
    pub fn is_replayed(&self) -> bool {
        self.replays > 0
    }

    /// Where a worker begins to be told of it that has viewers from now on, and how many packets lie between there and the head: the
    /// newest key frame, where somebody could start with it.
    #[must_use]
    pub fn replay(&self, now: Timestamp) -> Option<(Start, u16)> {
        let start = self.fresh_key_frame(now)?;
        // One of a publisher before is on numbers that nobody tells of any more.
        let (_, first, _) = self.ring.find(start.sequence)?;
        self.timeline.origin_of(first.sequence, first.timestamp)?;
        let positions = (start.position.0..self.ring.head().0).map(Position);
        let packets = positions.filter(|&position| self.record_at(position, start).is_some()).count();
        Some((start, u16::try_from(packets).ok().filter(|&packets| packets > 0)?))
    }

    /// The packet at `position` as its publisher numbered it; `None` where it is not one of those from `start` on.
    #[must_use]
    pub fn record_at(&self, position: Position, start: Start) -> Option<MediaRecord<'_>> {
        let (info, payload) = self.ring.get(position).filter(|(info, _)| info.sequence >= start.sequence)?;
        let (incarnation, sequence, timestamp) = self.timeline.origin_of(info.sequence, info.timestamp)?;
        let PacketInfo { arrival, marker, key_frame, padding, layers, .. } = *info;
        Some(MediaRecord { incarnation, sequence, timestamp, arrival, marker, key_frame, padding, layers, payload })
    }

    /// Its newest packet as its publisher numbered it; `None` where that is of a publisher before.
    #[must_use]
    pub fn newest_of_publisher(&self) -> Option<(Incarnation, u64)> {
        let (_, info, _) = self.ring.find(self.ring.newest_sequence()?)?;
        let (incarnation, sequence, _) = self.timeline.origin_of(info.sequence, info.timestamp)?;
        Some((incarnation, sequence))
    }

    /// Where somebody goes on who was sent all up to a packet, by its publisher's number: before the first that is stored of those behind
    /// it. `None` where that packet is of another publisher, or neither it nor the next one is here: something would be missing.
    #[must_use]
    pub fn behind(&self, incarnation: Incarnation, sequence: u64) -> Option<Position> {
        let sequence = self.timeline.sequence_of(incarnation, sequence)?;
        self.ring.find(sequence).or_else(|| self.ring.find(sequence.next()))?;
        let mut positions = (self.ring.tail().0..self.ring.head().0).map(Position);
        let is_behind =
            |position: &Position| self.ring.get(*position).is_some_and(|(info, _)| info.sequence > sequence);
        Some(positions.find(is_behind).unwrap_or(self.ring.head()))
    }

    /// Its publisher's newest report, as it was told; `None` before there was one.
    #[must_use]
    pub fn clock_record(&self) -> Option<Record<'static>> {
        let SenderClock { ntp, timestamp, arrival, .. } = *self.clock()?;
        let newest = self.ring.newest_sequence()?;
        let (incarnation, _, timestamp) = self.timeline.origin_of(newest, timestamp)?;
        Some(Record::Clock { incarnation, ntp, timestamp, arrival })
    }

    /// Stores a packet.
    ///
    /// # Errors
    /// It is here already, or no place on the timeline is left for it.
    pub fn store(&mut self, record: &MediaRecord<'_>) -> Result<Position, NotStored> {
        if self.replays > 0 {
            self.replays -= 1;
            if self.replays == 0 && self.ring.key_frame().is_some() {
                self.requests.key_frame_began();
            }
        }
        let placed = self.timeline.place(record.incarnation, record.sequence, record.timestamp, record.arrival);
        let Some((sequence, timestamp, opened)) = placed else {
            self.duplicates += 1;
            return Err(NotStored::TooOld);
        };
        if opened {
            // The old reports speak of other numbers.
            self.clock = None;
            self.frame = None;
        }
        let info = PacketInfo {
            sequence,
            timestamp,
            arrival: record.arrival,
            marker: record.marker,
            key_frame: record.key_frame,
            padding: record.padding,
            layers: record.layers,
        };
        let position = self.ring.store(info, record.payload).inspect_err(|_| self.duplicates += 1)?;
        self.stored_packets += 1;
        self.stored_bytes += record.payload.len() as u64;
        self.full_packets += u64::from(record.payload.len() >= limits::FULL_PACKET_BYTES_MIN);
        if self.frame.is_none_or(|(current, _)| current != timestamp) {
            self.frame = Some((timestamp, position));
        }
        if record.key_frame && self.key_frame_timestamp != Some(timestamp) {
            self.key_frame_began(timestamp, position);
        }
        self.held_since.get_or_insert(record.arrival);
        let of_key_frame = self.key_frame_timestamp == Some(timestamp);
        self.rate.arrived(
            record.payload.len() + limits::SENT_OVERHEAD_BYTES,
            record.marker,
            of_key_frame,
            record.arrival,
        );
        Ok(position)
    }

    fn key_frame_began(&mut self, timestamp: u32, position: Position) {
        // The frame may have begun before the packet that tells: parameter sets come first.
        let start = self.frame.filter(|&(current, _)| current == timestamp).map_or(position, |(_, start)| start);
        self.key_frame_timestamp = Some(timestamp);
        self.key_frames += 1;
        self.ring.set_key_frame(start, self.starts_from);
        self.requests.key_frame_began();
    }

    /// Lets cursors move up to the head, or, while `hold` is given, only past the last complete frame until the
    /// held packets are that old. Returns when to ask again.
    pub fn release(&mut self, hold: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
        let head = self.ring.head();
        if self.released == head {
            self.held_since = None;
            return None;
        }
        if let Some(hold) = hold
            && self.kind == MediaKind::Video
            && !self.ring.newest_is_marked()
            && let Some(since) = self.held_since
            && now.since(since) < hold
        {
            return Some(since + hold);
        }
        self.released = head;
        self.held_since = None;
        None
    }

    /// Whether a packet belongs to the newest key frame.
    #[must_use]
    pub fn is_of_key_frame(&self, info: &PacketInfo) -> bool {
        self.key_frame_timestamp == Some(info.timestamp)
    }

    /// Positions below this one may be sent.
    #[must_use]
    pub fn released(&self) -> Position {
        self.released
    }

    /// How fast it comes.
    #[must_use]
    pub fn rate(&self) -> &StreamRate {
        &self.rate
    }

    /// The publisher's pair of wall-clock time and RTP timestamp.
    pub fn set_clock(&mut self, incarnation: Incarnation, ntp: NtpTime, timestamp: u32, arrival: Timestamp) {
        if let Some(timestamp) = self.timeline.shift_timestamp(incarnation, timestamp) {
            self.clock = Some(SenderClock { ntp, timestamp, arrival, clock_rate_hz: self.timeline.clock_rate_hz() });
        }
    }

    /// What was measured of it. Whether it has come to life or was paused by that.
    pub fn set_measured(&mut self, measured: Option<Measured>) -> bool {
        let lived = self.measured.map(|measured| measured.alive);
        self.measured = measured;
        lived != measured.map(|measured| measured.alive)
    }

    /// What was measured of it; `None` where the publisher of today has not sent it.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        self.measured.as_ref()
    }

    /// The newest such pair; `None` until the publisher has sent a sender report.
    #[must_use]
    pub fn clock(&self) -> Option<&SenderClock> {
        self.clock.as_ref()
    }

    /// Where somebody who comes now starts to hear: the newest packet, while it is fresh enough, else `None`.
    #[must_use]
    pub fn fresh_sound(&self, now: Timestamp) -> Option<Start> {
        let newest = self.ring.newest().filter(|newest| self.may_start_at(newest.position))?;
        let (info, _) = self.ring.get(newest.position)?;
        (now.since(info.arrival) <= limits::AUDIO_START_AGE_MAX).then_some(newest)
    }

    /// Where a viewer that comes now starts: a key frame fresh enough to start with, else `None`.
    #[must_use]
    pub fn fresh_key_frame(&self, now: Timestamp) -> Option<Start> {
        self.key_frame_within(limits::KEY_FRAME_AGE_MAX, now)
    }

    /// The same, no older than `age_max`.
    #[must_use]
    pub fn key_frame_within(&self, age_max: Duration, now: Timestamp) -> Option<Start> {
        let start = self.ring.key_frame().filter(|start| self.may_start_at(start.position) && !self.is_replayed())?;
        let (info, _) = self.ring.get(start.position)?;
        (now.since(info.arrival) <= age_max).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::CodecFormat;
    use crate::relay::store::packet_ring::Layers;
    use crate::wire::codec::Codec;

    fn record(sequence: u64, timestamp: u32, ms: u64, key_frame: bool, marker: bool) -> MediaRecord<'static> {
        MediaRecord {
            incarnation: Incarnation(1),
            sequence,
            timestamp,
            arrival: Timestamp::from_millis(ms),
            marker,
            key_frame,
            padding: 0,
            layers: Layers::UNKNOWN,
            payload: &[1, 2, 3],
        }
    }

    #[test]
    fn where_a_cursor_needs_no_look_everything_is_there_and_new_and_goes_on() {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        let nowhere = Position(u64::MAX);
        assert_eq!(encoding.fresh_from(Timestamp::from_millis(0)), nowhere);
        for number in 0..40 {
            encoding.store(&record(number, 3_000 * number as u32, 33 * number, number == 0, true)).unwrap();
        }
        let now = Timestamp::from_millis(33 * 39);
        let from = encoding.fresh_from(now);
        assert_eq!(from.0, encoding.ring.head().0 - limits::FRESH_PACKETS);
        for position in (from.0..encoding.ring.head().0).map(Position) {
            let (info, _) = encoding.ring.get(position).unwrap();
            assert!(encoding.continues_at(position) && now.since(info.arrival) <= limits::CURSOR_LAG_MAX);
        }
        assert_eq!(encoding.fresh_from(now + limits::CURSOR_LAG_MAX), nowhere, "they have become old");
        encoding.set_codec(PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 });
        assert!(encoding.fresh_from(now) > encoding.ring.head(), "nothing there is of the new codec");
    }

    #[test]
    fn a_key_frame_begins_with_the_parameter_sets_before_it() {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        encoding.store(&record(1, 0, 0, false, true)).unwrap();
        let parameter_sets = encoding.store(&record(2, 3_000, 33, false, false)).unwrap();
        encoding.store(&record(3, 3_000, 33, true, false)).unwrap();
        encoding.store(&record(4, 3_000, 33, true, true)).unwrap();
        assert_eq!(encoding.ring.key_frame().map(|start| start.position), Some(parameter_sets));
        assert_eq!(encoding.key_frames, 1);
    }

    #[test]
    fn video_is_held_for_its_marker_but_no_longer_than_asked() {
        let hold = Some(Duration::from_millis(5));
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        encoding.store(&record(1, 0, 10, false, false)).unwrap();
        let due = encoding.release(hold, Timestamp::from_millis(11)).unwrap();
        assert_eq!((due, encoding.released()), (Timestamp::from_millis(15), Position(0)));
        encoding.store(&record(2, 0, 12, false, true)).unwrap();
        assert_eq!(encoding.release(hold, Timestamp::from_millis(12)), None);
        assert_eq!(encoding.released(), Position(2));
        encoding.store(&record(3, 3_000, 40, false, false)).unwrap();
        assert_eq!(encoding.release(hold, Timestamp::from_millis(44)), Some(Timestamp::from_millis(45)));
        assert_eq!(encoding.release(hold, Timestamp::from_millis(45)), None);
        assert_eq!(encoding.released(), Position(3));
        // Nothing new is nothing held.
        assert_eq!(encoding.release(hold, Timestamp::from_millis(46)), None);
        assert_eq!(encoding.release(None, Timestamp::from_millis(46)), None);
    }

    #[test]
    fn audio_is_never_held() {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Audio);
        encoding.store(&record(1, 0, 10, false, false)).unwrap();
        assert_eq!(encoding.release(Some(Duration::from_millis(5)), Timestamp::from_millis(10)), None);
        assert_eq!(encoding.released(), Position(1));
    }

    #[test]
    fn nobody_starts_or_goes_on_before_a_change_of_codec() {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        encoding.store(&record(1, 0, 0, true, true)).unwrap();
        let codec = PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };
        assert_eq!(encoding.codec(), None);
        assert!(encoding.may_start_at(Position(0)));
        for changed in [true, false] {
            assert_eq!(encoding.set_codec(codec), changed);
            assert_eq!(encoding.codec(), Some(&codec));
            assert!(
                !encoding.may_start_at(Position(0))
                    && encoding.may_start_at(Position(1))
                    && encoding.continues_at(Position(1))
            );
        }
        assert!(encoding.fresh_key_frame(Timestamp::ZERO).is_none(), "that key frame is of the codec before");
        encoding.store(&record(2, 3_000, 33, true, true)).unwrap();
        assert!(encoding.fresh_key_frame(Timestamp::from_millis(33)).is_some());
    }

    #[test]
    fn a_viewer_starts_at_a_key_frame_while_it_is_fresh() {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        encoding.store(&record(1, 0, 0, false, true)).unwrap();
        let position = encoding.store(&record(2, 3_000, 33, true, true)).unwrap();
        let (info, _) = encoding.ring.get(position).unwrap();
        let (of_key_frame, sequence) = (*info, info.sequence);
        let last = Timestamp::from_millis(33) + limits::KEY_FRAME_AGE_MAX;
        assert_eq!(encoding.fresh_key_frame(last), Some(Start { position, sequence }));
        assert_eq!(encoding.fresh_key_frame(last + Duration::from_nanos(1)), None);
        let position = encoding.store(&record(3, 6_000, 66, false, true)).unwrap();
        assert!(encoding.is_of_key_frame(&of_key_frame));
        assert!(!encoding.is_of_key_frame(encoding.ring.get(position).unwrap().0));
    }

    #[test]
    fn what_is_stored_and_what_is_not_is_counted() {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        assert_eq!(encoding.kind(), MediaKind::Video);
        for sequence in 1..4 {
            encoding.store(&record(sequence, 0, 0, false, false)).unwrap();
        }
        assert_eq!(encoding.store(&record(3, 0, 0, false, false)), Err(NotStored::Duplicate));
        // It belongs to the run of numbers before.
        assert_eq!(encoding.store(&record(0, 0, 0, false, false)), Err(NotStored::TooOld));
        assert_eq!((encoding.stored_packets, encoding.stored_bytes, encoding.duplicates), (3, 9, 2));
    }

    #[test]
    fn a_sender_report_speaks_of_the_present_numbers_only() {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        encoding.store(&record(1, 500, 0, false, true)).unwrap();
        let (ntp, arrival) = (NtpTime(7), Timestamp::from_millis(5));
        encoding.set_clock(Incarnation(2), ntp, 600, arrival);
        assert_eq!(encoding.clock(), None);
        encoding.set_clock(Incarnation(1), ntp, 600, arrival);
        let clock = SenderClock { ntp, timestamp: 600, arrival, clock_rate_hz: 90_000 };
        assert_eq!(encoding.clock(), Some(&clock));
        // Its publisher restarts: the report is of numbers that are over.
        encoding.store(&MediaRecord { incarnation: Incarnation(2), ..record(9, 1, 33, false, true) }).unwrap();
        assert_eq!(encoding.clock(), None);
    }

    #[test]
    fn nobody_starts_before_a_gap_or_goes_on_over_it() {
        let codec = PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        encoding.begin();
        assert!(encoding.continues_at(Position(0)), "there was nothing before");
        encoding.set_codec(codec);
        encoding.store(&record(1, 0, 0, true, true)).unwrap();
        assert!(encoding.continues_at(Position(1)));
        encoding.begin();
        encoding.set_codec(codec);
        assert!(
            !encoding.continues_at(Position(0)) && !encoding.continues_at(Position(1)),
            "its next packet is not the next"
        );
        assert!(encoding.fresh_key_frame(Timestamp::ZERO).is_none());
        encoding.store(&record(20, 3_000, 33, true, true)).unwrap();
        assert_eq!(encoding.fresh_key_frame(Timestamp::from_millis(33)).map(|start| start.position), Some(Position(1)));
        assert!(encoding.continues_at(Position(2)));
        // A gap is not forgotten because the codec changes in the same place.
        encoding.begin();
        encoding.set_codec(PublishedCodec { codec: Codec::Vp9, ..codec });
        assert!(!encoding.continues_at(Position(2)));
        // Later on it lies behind everybody.
        encoding.store(&record(21, 6_000, 66, true, true)).unwrap();
        encoding.set_codec(codec);
        assert!(encoding.continues_at(Position(3)));
    }

    #[test]
    fn what_is_replayed_begins_when_it_is_whole_also_where_it_was_here_before() {
        let mut origin = Encoding::new(EncodingId::default(), MediaKind::Video);
        let mut reader = Encoding::new(EncodingId::default(), MediaKind::Video);
        for n in 0..6 {
            let packet = record(n, n as u32 * 3_000, n * 33, n == 2, true);
            origin.store(&packet).unwrap();
            // It had the first five, and then nobody wanted them.
            (n < 5).then(|| reader.store(&packet).unwrap());
        }
        let now = Timestamp::from_millis(200);
        let (start, packets) = origin.replay(now).unwrap();
        assert_eq!(packets, 4);
        reader.begin();
        reader.replay_begins(packets);
        reader.requests.want();
        for position in start.position.0..origin.ring.head().0 {
            assert_eq!(reader.fresh_key_frame(now), None, "not before it has all");
            reader.store(&origin.record_at(Position(position), start).unwrap()).unwrap();
        }
        let begins = reader.fresh_key_frame(now).expect("it has all");
        assert!(!reader.requests.is_wanted(), "and nobody needs another one");
        assert_eq!(reader.ring.head().0 - begins.position.0, 4);
        // Of a publisher before there is nothing to be told.
        origin.store(&MediaRecord { incarnation: Incarnation(2), ..record(0, 0, 210, false, true) }).unwrap();
        assert_eq!(origin.replay(Timestamp::from_millis(210)), None);
    }
}
