//! Fills in a [`WorkerReport`] from the worker's parts: a bounded number of sessions in each round, because thousands of
//! them take milliseconds, and media does not wait for an operator.

use crate::description::MediaKind;
use crate::description::codec_match::{self, Fit};
use crate::limits;
use crate::net::{Io, process};
use crate::relay::publish::publication::Publication;
use crate::relay::store::record::PublishedCodec;
use crate::session::SessionState;
use crate::time::Timestamp;
use crate::transport::{PathAddress, PathBook};
use crate::worker::control::network;
use crate::worker::lane::Lanes;
use crate::worker::lifecycle::Lifecycle;
use crate::worker::load::Load;
use crate::worker::peer::{Peer, PeerKey, Playback, Rekeying, Role, StreamKey};
use crate::worker::peers::Peers;
use crate::worker::reason::DropReason;
use crate::worker::report::{ChannelReport, EncodingReport, SessionReport, StreamReport, Traffic, WorkerReport};
use crate::worker::stream::{EncodingKey, Stream};
use crate::worker::stream_channels::StreamChannel;
use crate::worker::streams::Streams;

/// A report that is being made, and who waits for it.
#[derive(Debug, Default)]
pub(in crate::worker) struct ReportUnderWay {
    replies: Vec<flume::Sender<Box<WorkerReport>>>,
    /// The sessions that are still to be visited, in reverse.
    left: Vec<PeerKey>,
    sessions: Vec<SessionReport>,
    cursor_skips: u64,
}

impl ReportUnderWay {
    /// Somebody wants a report. Who comes while one is made gets that one.
    pub(super) fn want(&mut self, reply: flume::Sender<Box<WorkerReport>>, peers: &Peers) {
        if self.replies.is_empty() {
            self.left = peers.keys();
            self.left.reverse();
        }
        if self.replies.len() < limits::REPORTS_WAITING_MAX {
            self.replies.push(reply);
        }
    }

    /// Whether the next round goes on with it.
    pub(in crate::worker) fn is_under_way(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Visits a round's share of the sessions; whether all of them have been visited. Those that ended meanwhile are
    /// left out.
    fn visit(&mut self, peers: &Peers, streams: &Streams, now: Timestamp) -> bool {
        for _ in 0..limits::REPORT_SESSIONS_PER_ROUND {
            let Some(key) = self.left.pop() else { return true };
            // A session's second transport is not a second session.
            let Some(peer) = peers.get(key).filter(|peer| !peer.rekeying.is_new()) else { continue };
            self.sessions.push(session_report(peer, peers.path_book(), streams, now));
            if let Role::Viewer(playback) = &peer.role {
                self.cursor_skips += playback.skips();
            }
        }
        self.left.is_empty()
    }
}

/// Goes on with the report under way, if there is one; with its last session it is sent.
pub(super) fn step<I: Io>(
    under_way: &mut ReportUnderWay,
    parts: &Lifecycle<'_>,
    lanes: &Lanes,
    load: &Load,
    started: Timestamp,
    io: &mut I,
    now: Timestamp,
) {
    if !under_way.is_under_way() || !under_way.visit(parts.peers, parts.streams, now) {
        return;
    }
    let ReportUnderWay { replies, sessions, cursor_skips, .. } = std::mem::take(under_way);
    let mut report = report_without_sessions(parts, lanes, load, started, cursor_skips, io, now);
    report.sessions = sessions;
    for reply in replies {
        let _ = reply.try_send(Box::new(report.clone()));
    }
}

fn report_without_sessions<I: Io>(
    parts: &Lifecycle<'_>,
    lanes: &Lanes,
    load: &Load,
    started: Timestamp,
    cursor_skips: u64,
    io: &mut I,
    now: Timestamp,
) -> WorkerReport {
    let Lifecycle { config, peers, streams, handshakes, outbox, counters, .. } = parts;
    let io_counters = io.counters();
    let messages = io_counters.messages_sent;
    let mut report = WorkerReport {
        worker: config.index.0,
        core: config.core,
        media_port: config.media_port,
        io: config.io,
        cpu_time_ns: process::thread_cpu_time().as_nanos() as u64,
        system_time_ns: process::thread_system_time().as_nanos() as u64,
        uptime_ns: now.since(started).as_nanos() as u64,
        busy_permille: load.busy_permille(),
        received: Traffic { packets: io_counters.datagrams_received, bytes: io_counters.bytes_received },
        sent: Traffic { packets: io_counters.segments_sent, bytes: io_counters.bytes_sent },
        messages_sent: messages,
        segments_sent: io_counters.segments_sent,
        segments_per_message: if messages == 0 { 0.0 } else { io_counters.segments_sent as f64 / messages as f64 },
        lane_packets_sent: lanes.sent,
        lane_packets_received: lanes.received,
        handshakes: handshakes.under_way() as u64,
        streams: streams.iter().map(|stream| stream_report(stream, peers)).collect(),
        ..WorkerReport::default()
    };
    counters.tell(&mut report);
    outbox.tell(&mut report);
    // Counted where they happen; told even when zero.
    let others = [
        (DropReason::LaneFull, lanes.dropped_full),
        (DropReason::LaneMalformed, lanes.malformed),
        (DropReason::UpstreamMailboxFull, lanes.upstream_dropped),
        (DropReason::DatagramTruncated, io_counters.datagrams_truncated),
        // Of the viewers that are here; those that left are in the counters.
        (DropReason::CursorSkips, cursor_skips),
    ];
    for (reason, count) in others {
        *report.dropped.entry(reason.name()).or_default() += count;
    }
    report
}

fn stream_report(stream: &Stream, peers: &Peers) -> StreamReport {
    let publication = stream.publisher.and_then(|key| peers.get(key)).and_then(|peer| match &peer.role {
        Role::Publisher(publication) => Some(publication),
        Role::Viewer(_) => None,
    });
    let encodings = stream.encodings.iter().map(|encoding| {
        let track =
            publication.and_then(|publication| publication.tracks.iter().find(|track| track.encoding == encoding.id()));
        let measured = encoding.measured().copied().unwrap_or_default();
        let is_video = encoding.kind() == MediaKind::Video;
        EncodingReport {
            kind: kind_name(encoding.kind()),
            rid: measured.rid.as_str().to_owned(),
            alive: measured.alive,
            bits_per_second: measured.bits_per_second.into(),
            frames_per_second: if is_video { measured.frames_per_second.into() } else { 0 },
            width: measured.width.into(),
            height: measured.height.into(),
            viewers: stream.demand.count(encoding.id()).into(),
            codec: encoding.codec().map_or("", |codec| codec.codec.name()),
            stored: Traffic { packets: encoding.stored_packets, bytes: encoding.stored_bytes },
            forwarded: Traffic { packets: encoding.forwarded_packets, bytes: encoding.forwarded_bytes },
            switches: encoding.switches,
            key_frames: encoding.key_frames,
            key_frame_requests: encoding.requests.sent,
            lost: track.map_or(0, |track| track.reception.lost),
            recovered: track.map_or(0, |track| track.reception.recovered),
            ring_bytes: encoding.ring.allocated_bytes() as u64,
        }
    });
    StreamReport {
        name: stream.name.clone(),
        origin: stream.publisher.is_some(),
        viewers: stream.viewers as u64,
        encodings: encodings.collect(),
        channels: stream.channels.iter().flat_map(|channels| channels.iter()).map(channel_report).collect(),
    }
}

fn channel_report(channel: &StreamChannel) -> ChannelReport {
    let ring = &channel.ring;
    ChannelReport {
        label: ring.terms.label.clone(),
        protocol: ring.terms.protocol.clone(),
        ordered: ring.terms.delivery.ordered,
        reliable: ring.terms.delivery.is_reliable(),
        stored: ring.stored,
        forwarded: ring.forwarded,
        ring_bytes: ring.bytes() as u64,
    }
}

fn session_report(peer: &Peer, paths: &PathBook, streams: &Streams, now: Timestamp) -> SessionReport {
    let (session, totals) = (&peer.session, peer.totals());
    let mut report = SessionReport {
        session: peer.id.0,
        direction: peer.direction_name(),
        stream: streams.get(peer.stream).map_or_else(String::new, |stream| stream.name.clone()),
        state: match session.state() {
            SessionState::New => "new",
            SessionState::Handshaking => "handshaking",
            SessionState::Connected => "connected",
            SessionState::Ended => "ended",
        },
        path: session.ice().selected().and_then(|path| paths.address(path)).map_or("", PathAddress::name),
        dtls_version: session.dtls_version().unwrap_or_default(),
        srtp_profile: session.srtp_profile().map_or("", |profile| profile.name()),
        key_age_s: session.epoch().age(now).as_secs(),
        rekeys: peer.rekeys,
        rekeying: peer.rekeying != Rekeying::No,
        received: totals.received,
        sent: totals.sent,
        rejected: session.rejected,
        ..SessionReport::default()
    };
    if let Some(data) = &peer.data {
        report.channels = data.open_channels() as u64;
        (report.messages_received, report.messages_sent) = (data.received, data.sent);
    }
    match &peer.role {
        Role::Publisher(publication) => {
            report.rtt_us = publication.round_trip.measured().map_or(0, |rtt| rtt.as_micros() as u64);
            report.why = why_of_publisher(publication);
        }
        Role::Viewer(playback) => {
            report.retransmitted = playback.retransmitted;
            report.nacks_received = playback.tracks.iter().map(|track| track.nacks_received).sum();
            report.rtt_us = playback.rtt_us;
            report.fraction_lost = playback.tracks.iter().map(|track| track.fraction_lost).max().unwrap_or(0);
            report.why = why(peer.stream, playback, streams);
            report.network = network::report(peer.stream, playback, streams, now);
            if playback.narrow.as_ref().is_some_and(|narrow| narrow.is_narrow(now)) {
                add(&mut report.why, "its network passes no full packet, so that no picture can arrive");
            }
        }
    }
    report
}

/// What of a viewer's tracks does not fit what is published.
fn why(stream: StreamKey, playback: &Playback, streams: &Streams) -> String {
    let mut why = String::new();
    for track in &playback.tracks {
        let key = EncodingKey { stream, encoding: track.encoding() };
        let Some(published) = streams.encoding(key).and_then(|encoding| encoding.codec()) else { continue };
        let fits = codec_match::fits(published.codec, published.format, &track.codecs);
        let reason = match fits.and_then(|(index, fit)| Some((track.codecs.get(index)?, fit))) {
            Some((_, Fit::Exact | Fit::Compatible)) => continue,
            Some((codec, Fit::Nearest)) => {
                let sent_as = PublishedCodec::from(codec);
                format!("{published} is sent as {sent_as}, the nearest that the viewer offered")
            }
            None => format!("{published} is not sent: the viewer offered nothing of that codec"),
        };
        add(&mut why, &reason);
    }
    why
}

/// What of a publisher's stream is not as its viewers would expect.
fn why_of_publisher(publication: &Publication) -> String {
    let mut why = String::new();
    for track in publication.tracks.iter().filter(|track| track.has_clock_from_arrival()) {
        let kind = kind_name(track.kind);
        add(&mut why, &format!("{kind} comes without sender reports: viewers' are made from when packets arrive"));
    }
    if publication.ceiling.dropped > 0 {
        let (dropped, max_kbps) = (publication.ceiling.dropped, publication.ceiling.bits_per_second_max() / 1_000);
        add(
            &mut why,
            &format!("{dropped} packets over limits.publisher_bitrate_max_kbps = {max_kbps} were not forwarded"),
        );
    }
    why
}

fn add(why: &mut String, reason: &str) {
    if !why.is_empty() {
        why.push_str("; ");
    }
    why.push_str(reason);
}

const fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}
