//! The publisher's side of a stream, on the publisher's worker: whose packet is it, is it new, and what of it is
//! forwarded.
//!
//! Sources are bound to tracks in this order (RFC 8843 §9.2, RFC 8853): the MID (and RID) header extension, the
//! SSRCs the offer declared, a payload type that only one track has. Bindings are bounded and learnt only from
//! authenticated packets.

use crate::description::{CodecFormat, MediaKind, NegotiatedCodec, NegotiatedMedia};
use crate::limits;
use crate::rate::Allowance;
use crate::relay::publish::arrival_clock::{self, ArrivalClock};
use crate::relay::publish::arrivals::Arrivals;
use crate::relay::publish::ceiling::Ceiling;
use crate::relay::publish::numbering::Numbering;
use crate::relay::publish::padding::FragmentPadding;
use crate::relay::publish::parameter_sets::ParameterSets;
use crate::relay::publish::reception::Reception;
use crate::relay::publish::round_trip::RoundTrip;
use crate::relay::publish::source::{Standing, TrackSource};
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::packet_ring::Layers;
use crate::relay::store::record::{MediaRecord, PublishedCodec, Record};
use crate::relay::store::sender_clock::NtpOffset;
use crate::relay::store::timeline::Incarnation;
use crate::time::{NtpTime, Timestamp};
use crate::wire::codec;
use crate::wire::rtcp::sender_report::SenderInfo;
use crate::wire::rtp::RtpPacket;

/// What a source carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Media,
    Repair,
}

/// A source bound to a track.
#[derive(Clone, Copy, Debug)]
struct Binding {
    ssrc: u32,
    track: usize,
    role: Role,
    /// Of a repair: the source that it repairs, where the offer says so.
    repairs: Option<u32>,
}

/// Why a packet of the publisher was not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotForwarded {
    /// Its source belongs to no track.
    UnknownSource,
    /// Its payload type is none that was agreed.
    UnknownPayloadType,
    /// Padding only: a probe.
    Probe,
    /// It was received before, or a repair of nothing missing.
    Duplicate,
    /// Another source of the track is the one that is forwarded.
    OtherEncoding,
    /// Cut short.
    Malformed,
    /// Its publisher sends more than it may.
    OverBitrate,
}

fn extension<'a>(packet: &RtpPacket<'a>, id: u8) -> Option<&'a [u8]> {
    packet.extensions().find(|&(element, _)| element == id).map(|(_, value)| value)
}

/// One track of the publisher.
#[derive(Debug)]
pub struct Track {
    /// Audio or video.
    pub kind: MediaKind,
    /// Which encoding of the stream it is: said once, by whoever opens the publication.
    pub encoding: EncodingId,
    media: NegotiatedMedia,
    codec: NegotiatedCodec,
    published: PublishedCodec,
    announced: bool,
    source: TrackSource,
    incarnation: Incarnation,
    /// What arrived and what is missing.
    pub reception: Reception,
    numbering: Numbering,
    padding: FragmentPadding,
    parameter_sets: ParameterSets,
    /// How often its profile may change.
    changes: Allowance,
    /// Changes of its profile that viewers were not told of, because there were too many.
    changes_ignored: u32,
    /// The newest clock record, for workers whose first viewer comes later.
    clock: Option<Record<'static>>,
    arrival_clock: ArrivalClock,
    /// The first round of feedback after a start is not waited for.
    next_report: Timestamp,
}

impl Track {
    /// The media SSRC, once known.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.source.ssrc()
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

    /// What a worker must know before this track's next packet: the format and the newest clock.
    pub fn introduction(&self) -> impl Iterator<Item = Record<'static>> {
        let format = self.announced.then_some(Record::Format(self.published));
        format.into_iter().chain(self.clock)
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

/// A publisher's tracks.
#[derive(Debug)]
pub struct Publication {
    /// In the offer's order.
    pub tracks: Vec<Track>,
    bindings: Vec<Binding>,
    next_incarnation: u64,
    ntp_offset: NtpOffset,
    /// Arrivals for transport-wide feedback, where agreed.
    pub arrivals: Option<Arrivals>,
    /// How fast it may send.
    pub ceiling: Ceiling,
    /// A track whose clock is to be made from an arrival, and from which.
    clock_due: Option<(usize, arrival_clock::Instant)>,
    /// SSRC of this node towards the publisher, in feedback packets.
    pub feedback_ssrc: u32,
    /// Round-trip time to the publisher, for the pace of NACKs.
    pub round_trip: RoundTrip,
    full_intra_requests: u8,
    scratch: Vec<u8>,
}

impl Publication {
    /// The tracks that were agreed; sections without a codec are left out. `seed` makes incarnations of this
    /// publication differ from those of any other (the session's number).
    #[must_use]
    pub fn new(media: &[NegotiatedMedia], seed: u64, feedback_ssrc: u32) -> Self {
        let mut publication = Self {
            tracks: Vec::new(),
            bindings: Vec::new(),
            next_incarnation: seed << 16,
            ntp_offset: NtpOffset::default(),
            arrivals: None,
            ceiling: Ceiling::default(),
            clock_due: None,
            feedback_ssrc,
            round_trip: RoundTrip::default(),
            full_intra_requests: 0,
            scratch: vec![0; limits::DATAGRAM_IN_BYTES_MAX],
        };
        for media in media {
            let Some(codec) = media.codecs.first() else { continue };
            if codec.transport_cc && media.extensions.transport_cc.is_some() {
                publication.arrivals = Some(Arrivals::default());
            }
            let track = publication.tracks.len();
            let incarnation = publication.incarnation();
            let mut published = PublishedCodec::from(codec);
            let mut parameter_sets = ParameterSets::default();
            if let Some(profile) = parameter_sets.begin_with(codec.codec, &media.parameter_sets)
                && let CodecFormat::H264 { profile_level_id, .. } = &mut published.format
            {
                *profile_level_id = profile;
            }
            publication.tracks.push(Track {
                kind: media.kind,
                encoding: EncodingId::default(),
                published,
                announced: false,
                source: TrackSource::default(),
                incarnation,
                reception: Reception::new(codec.clock_rate_hz, codec.nack),
                numbering: Numbering::default(),
                padding: FragmentPadding::default(),
                parameter_sets,
                changes: Allowance::new(Timestamp::ZERO),
                changes_ignored: 0,
                clock: None,
                arrival_clock: ArrivalClock::default(),
                next_report: Timestamp::ZERO,
                codec: codec.clone(),
                media: media.clone(),
            });
            for pair in media.ssrcs.iter().take(limits::SOURCES_PER_TRACK_MAX) {
                publication.bindings.push(Binding { ssrc: pair.media, track, role: Role::Media, repairs: None });
                if let Some(rtx) = pair.rtx {
                    publication.bindings.push(Binding {
                        ssrc: rtx,
                        track,
                        role: Role::Repair,
                        repairs: Some(pair.media),
                    });
                }
            }
        }
        publication
    }

    fn incarnation(&mut self) -> Incarnation {
        self.next_incarnation += 1;
        Incarnation(self.next_incarnation)
    }

    /// Takes an authenticated packet and hands what is to be stored, in order, to `store` with the track's index:
    /// at most the track's format, parameter sets and the packet itself.
    ///
    /// # Errors
    /// Why nothing was forwarded.
    pub fn receive(
        &mut self,
        packet: &RtpPacket<'_>,
        now: Timestamp,
        mut store: impl FnMut(usize, Record<'_>),
    ) -> Result<(), NotForwarded> {
        let header = packet.header();
        let binding = self.bind(packet).ok_or(NotForwarded::UnknownSource)?;
        let track = self.tracks.get_mut(binding.track).ok_or(NotForwarded::UnknownSource)?;
        let is_admitted = self.ceiling.admits(packet.len(), now);
        // What is over the ceiling is told as lost, which is what a congestion control heeds.
        if let Some(arrivals) = self.arrivals.as_mut().filter(|_| is_admitted)
            && let Some(id) = track.media.extensions.transport_cc
            && let Some([high, low]) = extension(packet, id)
        {
            arrivals.record(u16::from_be_bytes([*high, *low]), now);
        }
        let payload = packet.payload();
        let (sequence_number, payload, is_repair) = match binding.role {
            Role::Media if header.payload_type == track.codec.payload_type => (header.sequence, payload, false),
            Role::Repair if Some(header.payload_type) == track.codec.rtx_payload_type => {
                if payload.is_empty() {
                    return Err(NotForwarded::Probe);
                }
                // RFC 4588 §4: the original sequence number comes first.
                let (original, rest) = payload.split_first_chunk::<2>().ok_or(NotForwarded::Malformed)?;
                (u16::from_be_bytes(*original), rest, true)
            }
            _ => return Err(NotForwarded::UnknownPayloadType),
        };
        let mut is_successor = false;
        if is_repair {
            // What is known to repair another encoding would fill this one's gaps.
            let is_of_other = binding.repairs.is_some_and(|media| track.ssrc() != Some(media));
            if is_of_other {
                return Err(NotForwarded::OtherEncoding);
            }
        } else {
            match track.source.judge(header.ssrc, header.timestamp, now) {
                Standing::Present => {}
                Standing::Other => return Err(NotForwarded::OtherEncoding),
                Standing::Successor => is_successor = true,
            }
        }
        if is_successor {
            // Its numbers begin anew, and its key frame may have come before it was the track.
            self.next_incarnation += 1;
            track.incarnation = Incarnation(self.next_incarnation);
            track.reception = Reception::new(track.codec.clock_rate_hz, track.codec.nack);
            track.numbering = Numbering::default();
            track.arrival_clock = ArrivalClock::default();
            store(binding.track, Record::Begin);
        }
        let received = track
            .reception
            .receive(sequence_number, header.timestamp, is_repair, now)
            .ok_or(NotForwarded::Duplicate)?;
        if let Some(asked) = received.asked
            && is_repair == track.codec.rtx_payload_type.is_some()
        {
            self.round_trip.answered(asked, now);
        }
        if payload.is_empty() {
            track.numbering.leave_out(received.sequence);
            return Err(NotForwarded::Probe);
        }
        if !is_admitted {
            // Received, so that nobody asks for it again; viewers see a loss.
            return Err(NotForwarded::OverBitrate);
        }
        if !is_repair {
            let instant = arrival_clock::Instant { timestamp: header.timestamp, arrival: now };
            let made = track.arrival_clock.observe(instant, track.codec.clock_rate_hz);
            self.clock_due = made.map(|instant| (binding.track, instant)).or(self.clock_due);
        }
        track.forward(
            binding.track,
            received.sequence,
            header.marker,
            header.timestamp,
            payload,
            now,
            &mut self.scratch,
            &mut store,
        );
        Ok(())
    }

    fn bind(&mut self, packet: &RtpPacket<'_>) -> Option<Binding> {
        let header = packet.header();
        if let Some(binding) = self.bindings.iter().find(|binding| binding.ssrc == header.ssrc) {
            return Some(*binding);
        }
        let by_mid = self.tracks.iter().position(|track| {
            track
                .media
                .extensions
                .mid
                .and_then(|id| extension(packet, id))
                .is_some_and(|mid| mid == track.media.mid.as_bytes())
        });
        let has_type = |track: &Track| {
            header.payload_type == track.codec.payload_type || Some(header.payload_type) == track.codec.rtx_payload_type
        };
        let track = by_mid.or_else(|| {
            let mut matching = self.tracks.iter().enumerate().filter(|(_, track)| has_type(track));
            let (first, _) = matching.next()?;
            matching.next().is_none().then_some(first)
        })?;
        let codec = &self.tracks.get(track)?.codec;
        let role = if Some(header.payload_type) == codec.rtx_payload_type { Role::Repair } else { Role::Media };
        let binding = Binding { ssrc: header.ssrc, track, role, repairs: None };
        if self.bindings.len() >= limits::SOURCES_PER_TRACK_MAX * 2 * self.tracks.len() {
            self.bindings.remove(0);
        }
        self.bindings.push(binding);
        Some(binding)
    }

    /// The track whose media or repair source `ssrc` is.
    #[must_use]
    pub fn track_of(&self, ssrc: u32) -> Option<usize> {
        self.bindings.iter().find(|binding| binding.ssrc == ssrc).map(|binding| binding.track)
    }

    /// Takes a sender report (RFC 3550 §6.4.1); `wall_clock` is this node's at its arrival. Returns the track, whose
    /// [`Track::introduction`] now ends with the clock for the viewers' sender reports.
    pub fn sender_report(
        &mut self,
        ssrc: u32,
        info: &SenderInfo,
        wall_clock: NtpTime,
        now: Timestamp,
    ) -> Option<usize> {
        let index = self.tracks.iter().position(|track| track.ssrc() == Some(ssrc))?;
        let track = self.tracks.get_mut(index)?;
        track.arrival_clock.told();
        track.reception.sender_report(info.ntp.middle(), now);
        let ntp = self.ntp_offset.to_node(info.ntp, wall_clock);
        let (incarnation, timestamp) = (track.incarnation, info.rtp_timestamp);
        track.clock = Some(Record::Clock { incarnation, ntp, timestamp, arrival: now });
        Some(index)
    }

    /// Makes the clock of a track from arrival where that is due; `wall_clock` is this node's at a time. Returns the track, as
    /// [`Self::sender_report`] does.
    pub fn take_clock_from_arrival(&mut self, wall_clock: impl Fn(Timestamp) -> NtpTime) -> Option<usize> {
        let (index, arrival_clock::Instant { timestamp, arrival }) = self.clock_due.take()?;
        let track = self.tracks.get_mut(index)?;
        let (incarnation, ntp) = (track.incarnation, wall_clock(arrival));
        track.clock = Some(Record::Clock { incarnation, ntp, timestamp, arrival });
        Some(index)
    }

    /// Takes a goodbye (RFC 3550 §6.6) of one source.
    pub fn goodbye(&mut self, ssrc: u32) {
        self.tracks.iter_mut().for_each(|track| track.source.goodbye(ssrc));
    }

    /// The command sequence number of the next full intra request (RFC 5104 §4.3.1.1).
    pub fn next_full_intra_request(&mut self) -> u8 {
        self.full_intra_requests = self.full_intra_requests.wrapping_add(1);
        self.full_intra_requests
    }

    /// The earliest thing to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let tracks = self.tracks.iter().filter_map(Track::next_deadline).min();
        let feedback = self.arrivals.as_ref().and_then(Arrivals::next_deadline);
        [tracks, feedback].into_iter().flatten().min()
    }
}

impl Track {
    #[allow(clippy::too_many_arguments)] // one packet's fields; a struct would only rename them
    fn forward(
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

mod state;

#[cfg(test)]
mod tests;
