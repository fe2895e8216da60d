//! Fills in a [`WorkerReport`] from the worker's state. Walks everything: at an operator's pace, not a packet's.

use crate::description::MediaKind;
use crate::net::{Io, process};
use crate::session::SessionState;
use crate::time::Timestamp;
use crate::worker::mailbox::StreamId;
use crate::worker::peer::{Peer, Role};
use crate::worker::reason::DropReason;
use crate::worker::report::{EncodingReport, SessionReport, StreamReport, Traffic, WorkerReport};
use crate::worker::round::Worker;
use crate::worker::stream::{Stream, encoding_index};

impl Worker {
    pub(super) fn report<I: Io>(&self, io: &mut I, now: Timestamp) -> WorkerReport {
        let io_counters = io.counters();
        let mut dropped = self.counters.dropped_by_reason();
        // Counted where they happen, not here; told even when zero.
        let counted_elsewhere = [
            (DropReason::LaneFull, self.lanes.dropped_full),
            (DropReason::LaneMalformed, self.lanes.malformed),
            (DropReason::UpstreamMailboxFull, self.lanes.upstream_dropped),
            (DropReason::DatagramTruncated, io_counters.datagrams_truncated),
            (DropReason::CursorSkips, self.counters.cursor_skips + self.cursor_skips()),
        ];
        for (reason, count) in counted_elsewhere {
            *dropped.entry(reason.name()).or_default() += count;
        }
        let messages = io_counters.messages_sent;
        WorkerReport {
            worker: self.config.index.0,
            core: self.config.core,
            media_port: self.config.media_port,
            io: self.config.io,
            cpu_time_ns: process::thread_cpu_time().as_nanos() as u64,
            system_time_ns: process::thread_system_time().as_nanos() as u64,
            uptime_ns: now.since(self.started).as_nanos() as u64,
            rounds: self.counters.rounds,
            busy_permille: self.load.busy_permille(),
            received: Traffic { packets: io_counters.datagrams_received, bytes: io_counters.bytes_received },
            sent: Traffic { packets: io_counters.segments_sent, bytes: io_counters.bytes_sent },
            forwarded: self.counters.forwarded,
            retransmitted: self.counters.retransmitted,
            messages_sent: messages,
            segments_sent: io_counters.segments_sent,
            segments_per_message: if messages == 0 { 0.0 } else { io_counters.segments_sent as f64 / messages as f64 },
            trains: self.live.trains(),
            residence: self.live.residence(),
            lane_packets_sent: self.lanes.sent,
            lane_packets_received: self.lanes.received,
            joins: self.counters.joins,
            connected: self.counters.connected,
            handshakes: self.handshakes.under_way as u64,
            handshakes_deferred: self.counters.handshakes_deferred,
            ended: self.counters.ended_by_reason(),
            dropped,
            streams: self.streams.iter().map(|(id, stream)| self.stream_report(*id, stream)).collect(),
            sessions: self.peers.values().map(|peer| self.session_report(peer)).collect(),
        }
    }

    fn cursor_skips(&self) -> u64 {
        let viewers = self.peers.values().filter_map(|peer| match &peer.role {
            Role::Viewer(viewer) => Some(viewer),
            Role::Publisher(_) => None,
        });
        viewers.flat_map(|viewer| &viewer.tracks).map(|track| track.subscription.skips).sum()
    }

    fn stream_report(&self, _id: StreamId, stream: &Stream) -> StreamReport {
        let publication = stream.publisher.and_then(|key| self.peers.get(key)).and_then(|peer| match &peer.role {
            Role::Publisher(publication) => Some(publication),
            Role::Viewer(_) => None,
        });
        let encodings = stream.encodings.iter().map(|encoding| {
            let track = publication.and_then(|publication| {
                publication.tracks.iter().find(|track| encoding_index(track.kind) == encoding_index(encoding.kind()))
            });
            EncodingReport {
                kind: kind_name(encoding.kind()),
                codec: encoding.codec().map_or("", |codec| codec.codec.name()),
                stored: Traffic { packets: encoding.stored_packets, bytes: encoding.stored_bytes },
                forwarded: Traffic { packets: encoding.forwarded_packets, bytes: encoding.forwarded_bytes },
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
        }
    }

    fn session_report(&self, peer: &Peer) -> SessionReport {
        let (session, totals) = (&peer.session, peer.totals());
        let mut report = SessionReport {
            session: peer.id.0,
            direction: peer.direction_name(),
            stream: self.streams.get(peer.stream).map_or_else(String::new, |stream| stream.name.clone()),
            state: match session.state() {
                SessionState::New => "new",
                SessionState::Handshaking => "handshaking",
                SessionState::Connected => "connected",
                SessionState::Ended => "ended",
            },
            dtls_version: session.dtls_version().unwrap_or_default(),
            srtp_profile: session.srtp_profile().map_or("", |profile| profile.name()),
            received: totals.received,
            sent: totals.sent,
            rejected: session.rejected,
            ..SessionReport::default()
        };
        if let Role::Viewer(viewer) = &peer.role {
            report.retransmitted = viewer.retransmitted;
            report.nacks_received = viewer.tracks.iter().map(|track| track.nacks_received).sum();
            report.rtt_us = viewer.rtt_us;
            report.fraction_lost = viewer.tracks.iter().map(|track| track.fraction_lost).max().unwrap_or(0);
        }
        report
    }
}

const fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
}
