//! The publisher's side of a stream, on the publisher's worker: whose packet is it, is it new, and what of it is
//! forwarded.
//!
//! A section of the offer is one track here, and one with rids (RFC 8853) is one track per rid, each with its source,
//! numbers, reception and reports. Sources are bound to tracks in this order (RFC 8843 §9.2, RFC 8852): the MID and RID header
//! extensions (of retransmissions the repaired RID), the SSRCs the offer declared, a payload type that only one section has.
//! Bindings are bounded and learnt only from authenticated packets: a browser sends a RID until a report has told it that its
//! SSRC is known.

use crate::description::{CodecFormat, NegotiatedCodec, NegotiatedMedia};
use crate::limits;
use crate::rate::Allowance;
use crate::relay::publish::arrival_clock::{self, ArrivalClock};
use crate::relay::publish::arrivals::Arrivals;
use crate::relay::publish::ceiling::Ceiling;
use crate::relay::publish::meter::Meter;
use crate::relay::publish::numbering::Numbering;
use crate::relay::publish::padding::FragmentPadding;
use crate::relay::publish::parameter_sets::ParameterSets;
use crate::relay::publish::reception::Reception;
use crate::relay::publish::round_trip::RoundTrip;
use crate::relay::publish::source::{Standing, TrackSource};
use crate::relay::store::ladder::{Measured, RidName};
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::record::{PublishedCodec, Record};
use crate::relay::store::sender_clock::NtpOffset;
use crate::relay::store::timeline::Incarnation;
use crate::time::{NtpTime, Timestamp};
use crate::wire::codec;
use crate::wire::rtcp::sender_report::SenderInfo;
use crate::wire::rtp::RtpPacket;

mod track;

pub use track::{KeyFrameFeedback, Track};

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
    /// What was measured and not yet told: at most one of each track.
    rungs: Vec<(usize, Measured)>,
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
            rungs: Vec::new(),
            feedback_ssrc,
            round_trip: RoundTrip::default(),
            full_intra_requests: 0,
            scratch: vec![0; limits::DATAGRAM_IN_BYTES_MAX],
        };
        for (section, media) in media.iter().enumerate() {
            let Some(codec) = media.codecs.first() else { continue };
            if codec.transport_cc && media.extensions.transport_cc.is_some() {
                publication.arrivals = Some(Arrivals::default());
            }
            // A picture's twin in another codec has encodings of the same track, after those of the first.
            let before = publication.tracks.iter().filter(|track| track.kind == media.kind).count();
            let rids: Vec<_> = media.rids.iter().filter_map(|rid| RidName::new(rid.as_bytes())).collect();
            if rids.is_empty() {
                let track = publication.tracks.len();
                publication.add_track(section, media, codec, None, before);
                for pair in media.ssrcs.iter().take(limits::SOURCES_PER_TRACK_MAX) {
                    let (ssrc, repairs) = (pair.media, Some(pair.media));
                    publication.bindings.push(Binding { ssrc, track, role: Role::Media, repairs: None });
                    let repair = pair.rtx.map(|ssrc| Binding { ssrc, track, role: Role::Repair, repairs });
                    publication.bindings.extend(repair);
                }
            }
            for (place, rid) in rids.into_iter().enumerate().take(limits::ENCODINGS_PER_TRACK_MAX) {
                publication.add_track(section, media, codec, Some(rid), before + place);
            }
        }
        publication
    }

    fn add_track(
        &mut self,
        section: usize,
        media: &NegotiatedMedia,
        codec: &NegotiatedCodec,
        rid: Option<RidName>,
        rid_place: usize,
    ) {
        let incarnation = self.incarnation();
        let mut published = PublishedCodec::from(codec);
        let mut parameter_sets = ParameterSets::default();
        if let Some(profile) = parameter_sets.begin_with(codec.codec, &media.parameter_sets)
            && let CodecFormat::H264 { profile_level_id, .. } = &mut published.format
        {
            *profile_level_id = profile;
        }
        let mut meter = Meter::new(rid.unwrap_or_default(), codec.codec);
        let sizes = media.parameter_sets.iter().filter_map(|unit| codec::picture_size(codec.codec, unit));
        sizes.for_each(|size| meter.size(size));
        self.tracks.push(Track {
            kind: media.kind,
            encoding: EncodingId::default(),
            rid_place,
            rid,
            section,
            meter,
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
    }

    /// What comes of an encoding from now on continues nothing that was stored before: what it sent meanwhile was not taken.
    pub fn begin_anew(&mut self, encoding: EncodingId) {
        for track in self.tracks.iter_mut().filter(|track| track.encoding == encoding) {
            self.next_incarnation += 1;
            track.incarnation = Incarnation(self.next_incarnation);
            track.clock = None;
        }
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
            track.meter.source_changed();
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
        let section = track.section;
        if track.meter.packet(payload.len(), header.timestamp, now) {
            self.picture_began(binding.track, section, now);
        }
        Ok(())
    }

    /// A picture of a track began (in sound a packet): what else is sent, and how much, is looked at.
    fn picture_began(&mut self, of: usize, section: usize, now: Timestamp) {
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if index != of && track.section == section {
                track.meter.sibling_went_on(now);
            }
            if let Some(measured) = track.meter.poll(now) {
                self.rungs.retain(|&(told, _)| told != index);
                self.rungs.push((index, measured));
            }
        }
    }

    /// Takes what is to be told of an encoding: its track, and what was measured.
    pub fn take_rung(&mut self) -> Option<(usize, Measured)> {
        self.rungs.pop()
    }

    fn bind(&mut self, packet: &RtpPacket<'_>) -> Option<Binding> {
        let header = packet.header();
        if let Some(binding) = self.bindings.iter().find(|binding| binding.ssrc == header.ssrc) {
            return Some(*binding);
        }
        let section = self.section_of(packet)?;
        let of_section = |track: &&Track| track.section == section;
        let codec = &self.tracks.iter().find(of_section)?.codec;
        let role = if Some(header.payload_type) == codec.rtx_payload_type { Role::Repair } else { Role::Media };
        let track = self.track_in(section, role, packet)?;
        let binding = Binding { ssrc: header.ssrc, track, role, repairs: None };
        if self.bindings.len() >= limits::SOURCES_PER_TRACK_MAX * 2 * self.tracks.len() {
            self.bindings.remove(0);
        }
        self.bindings.push(binding);
        Some(binding)
    }

    /// The section of an unknown source: by its mid, else by a payload type that only one has.
    fn section_of(&self, packet: &RtpPacket<'_>) -> Option<usize> {
        let payload_type = packet.header().payload_type;
        let has_mid = |track: &&Track| {
            let mid = track.media.extensions.mid.and_then(|id| extension(packet, id));
            mid.is_some_and(|mid| mid == track.media.mid.as_bytes())
        };
        if let Some(track) = self.tracks.iter().find(has_mid) {
            return Some(track.section);
        }
        let has_type = |track: &&Track| {
            payload_type == track.codec.payload_type || Some(payload_type) == track.codec.rtx_payload_type
        };
        let mut matching = self.tracks.iter().filter(has_type).map(|track| track.section);
        let first = matching.next()?;
        matching.all(|section| section == first).then_some(first)
    }

    /// The track of an unknown source in its section: the only one, or the one whose rid it carries (RFC 8852 §3), or, of a
    /// repair without one, that of the source which the offer says it repairs.
    fn track_in(&self, section: usize, role: Role, packet: &RtpPacket<'_>) -> Option<usize> {
        let mut tracks = self.tracks.iter().enumerate().filter(|(_, track)| track.section == section);
        let (index, first) = tracks.next()?;
        if first.rid.is_none() {
            return Some(index);
        }
        let (ids, ssrc) = (&first.media.extensions, packet.header().ssrc);
        let read = |id: Option<u8>| id.and_then(|id| extension(packet, id));
        let rid = match role {
            Role::Media => read(ids.rid),
            Role::Repair => read(ids.repaired_rid).or_else(|| read(ids.rid)),
        };
        if let Some(rid) = rid {
            let has_rid = |track: &Track| track.rid.is_some_and(|own| own.as_str().as_bytes() == rid);
            return self.tracks.iter().position(|track| track.section == section && has_rid(track));
        }
        let repaired = first.media.ssrcs.iter().find(|pair| pair.rtx == Some(ssrc))?.media;
        self.bindings.iter().find(|binding| binding.ssrc == repaired).map(|binding| binding.track)
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

    /// Takes a goodbye (RFC 3550 §6.6) of one source: a browser says it of an encoding that its page has turned off.
    pub fn goodbye(&mut self, ssrc: u32, now: Timestamp) {
        for (index, track) in self.tracks.iter_mut().enumerate() {
            track.source.goodbye(ssrc);
            if track.ssrc() == Some(ssrc) {
                track.meter.goodbye();
                let measured = track.meter.poll(now);
                self.rungs.retain(|&(told, _)| measured.is_none() || told != index);
                self.rungs.extend(measured.map(|measured| (index, measured)));
            }
        }
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

mod state;

#[cfg(test)]
mod tests;
