//! One track of a publisher: what of its packets is forwarded, and what is known of it.

use crate::description::{CodecFormat, MediaKind, NegotiatedCodec, NegotiatedMedia};
use crate::limits;
use crate::rate::Allowance;
use crate::relay::publish::arrival_clock::ArrivalClock;
use crate::relay::publish::meter::Meter;
use crate::relay::publish::numbering::Numbering;
use crate::relay::publish::padding::FragmentPadding;
use crate::relay::publish::parameter_sets::ParameterSets;
use crate::relay::publish::reception::Reception;
use crate::relay::publish::source::TrackSource;
use crate::relay::store::ladder::{Measured, RidName};
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::packet_ring::Layers;
use crate::relay::store::record::{MediaRecord, PublishedCodec, Record};
use crate::relay::store::timeline::Incarnation;
use crate::time::Timestamp;
use crate::wire::codec;

/// One track of the publisher: a section of its offer, or one rid of it.
#[derive(Debug)]
pub struct Track {
    /// Audio or video.
    pub kind: MediaKind,
    /// Which encoding of the stream it is: said once, by whoever opens the publication.
    pub encoding: EncodingId,
    /// Its place among the encodings of what it shows: the section's rids, and before a twin's those of the first codec; 0
    /// without either.
    pub rid_place: usize,
    pub(super) rid: Option<RidName>,
    /// Which section it is of.
    pub(super) section: usize,
    pub(super) meter: Meter,
    pub(super) media: NegotiatedMedia,
    pub(super) codec: NegotiatedCodec,
    pub(super) published: PublishedCodec,
    pub(super) announced: bool,
    pub(super) source: TrackSource,
    pub(super) incarnation: Incarnation,
    /// What arrived and what is missing.
    pub reception: Reception,
    pub(super) numbering: Numbering,
    pub(super) padding: FragmentPadding,
    pub(super) parameter_sets: ParameterSets,
    /// How often its profile may change.
    pub(super) changes: Allowance,
    /// Changes of its profile that viewers were not told of, because there were too many.
    pub(super) changes_ignored: u32,
    /// The newest clock record, for workers whose first viewer comes later.
    pub(super) clock: Option<Record<'static>>,
    pub(super) arrival_clock: ArrivalClock,
    /// The first round of feedback after a start is not waited for.
    pub(super) next_report: Timestamp,
}

impl Track {
    /// The media SSRC, once known.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.source.ssrc()
    }

    /// What was measured of it; `None` before anything was sent.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        self.meter.measured()
    }

    /// What it publishes.
    #[must_use]
    pub fn published(&self) -> &PublishedCodec {
        &self.published
    }

    /// Whether the clock in viewers' sender reports is made from arrival, because the publisher sends none.
    #[must_use]
    pub const fn has_clock_from_arrival(&self) -> bool {
        self.arrival_clock.is_in_use()
    }

    /// Whether PLI, else FIR, was agreed for key-frame requests.
    #[must_use]
    pub fn key_frame_feedback(&self) -> KeyFrameFeedback {
        match (self.codec.pli, self.codec.fir) {
            (true, _) => KeyFrameFeedback::PictureLossIndication,
            (false, true) => KeyFrameFeedback::FullIntraRequest,
            (false, false) => KeyFrameFeedback::None,
        }
    }

    /// Whether its publisher may be told a ceiling by REMB.
    #[must_use]
    pub const fn takes_remb(&self) -> bool {
        self.codec.remb
    }

    /// What a worker must know before this track's next packet: the format, the newest clock, and what was measured.
    pub fn introduction(&self) -> impl Iterator<Item = Record<'static>> {
        let format = self.announced.then_some(Record::Format(self.published));
        let rung = self.meter.measured().copied().map(Record::Rung);
        format.into_iter().chain(self.clock).chain(rung)
    }

    /// When the next receiver report is due.
    #[must_use]
    pub fn next_report(&self) -> Timestamp {
        self.next_report
    }

    /// Takes the number of changes of its profile that viewers were not told of.
    pub fn take_changes_ignored(&mut self) -> u32 {
        std::mem::take(&mut self.changes_ignored)
    }

    /// Takes note that one was sent.
    pub fn reported(&mut self, now: Timestamp) {
        self.next_report = now + limits::RECEIVER_REPORT_INTERVAL;
    }

    /// The earliest thing to do for this track.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.ssrc()?;
        self.reception.next_deadline().map_or(Some(self.next_report), |nack| Some(nack.min(self.next_report)))
    }
}

/// How a publisher is asked for a key frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFrameFeedback {
    /// RFC 4585 §6.3.1
    PictureLossIndication,
    /// RFC 5104 §4.3.1
    FullIntraRequest,
    /// Neither was agreed: viewers wait for the next regular key frame.
    None,
}

impl Track {
    #[allow(clippy::too_many_arguments)] // one packet's fields; a struct would only rename them
    pub(super) fn forward(
        &mut self,
        index: usize,
        sequence: u64,
        marker: bool,
        timestamp: u32,
        payload: &[u8],
        now: Timestamp,
        scratch: &mut [u8],
        store: &mut impl FnMut(usize, Record<'_>),
    ) {
        let hints = codec::inspect(self.published.codec, payload);
        if (hints.key_frame_start || hints.has_parameter_sets)
            && let Some(size) = codec::picture_size(self.published.codec, payload)
        {
            self.meter.size(size);
        }
        if hints.has_parameter_sets
            && let Some(profile) = self.parameter_sets.observe(self.published.codec, timestamp, payload)
            && let CodecFormat::H264 { profile_level_id, .. } = &mut self.published.format
            && *profile_level_id != profile
        {
            if self.changes.take(limits::CODEC_CHANGES_AT_ONCE, limits::CODEC_CHANGE_PAUSE, now) {
                // The SPS is the truth, whatever the SDP said (RFC 6184 §8.1).
                *profile_level_id = profile;
                self.announced = false;
            } else {
                // Seen again with the next parameter sets; decoders have them in any case.
                self.changes_ignored += 1;
            }
        }
        if !self.announced {
            self.announced = true;
            store(index, Record::Format(self.published));
        }
        let mut media = MediaRecord {
            incarnation: self.incarnation,
            sequence: 0,
            timestamp,
            arrival: now,
            marker: false,
            key_frame: false,
            padding: 0,
            layers: Layers::UNKNOWN,
            payload: &[],
        };
        if hints.key_frame_start
            && let Some(len) = self.parameter_sets.missing_before(self.published.codec, timestamp, scratch)
            && let Some(aggregate) = scratch.get(..len)
            && let Some(number) = self.numbering.put_before(sequence)
        {
            store(index, Record::Media(MediaRecord { sequence: number, payload: aggregate, ..media }));
        }
        self.numbering.forwarded(sequence);
        media.sequence = self.numbering.map(sequence);
        // Opus may set the marker at a talk spurt's start (RFC 7587 §4.1); only video frames end with it.
        media.marker = marker;
        media.key_frame = self.kind == MediaKind::Video && hints.key_frame_start;
        media.padding = match self.kind {
            MediaKind::Video => self.padding.pad(timestamp, marker, hints.paddable, payload.len()),
            MediaKind::Audio => 0,
        };
        media.layers = codec::layer_of(self.published.codec, payload).map_or(Layers::UNKNOWN, Layers::new);
        media.payload = payload;
        store(index, Record::Media(media));
    }
}
