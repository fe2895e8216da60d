//! What a worker tells about itself when asked: cumulative counters only, so that a lost report costs freshness
//! and nothing else. `GET /api/v1/node` and `/metrics` are made from it.

use std::collections::BTreeMap;

use serde::Serialize;

/// Packets and bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes of UDP payload.
    pub bytes: u64,
}

impl Traffic {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { packets: self.packets + other.packets, bytes: self.bytes + other.bytes }
    }

    /// Counts one packet of that many bytes; nothing for `None`.
    pub fn add(&mut self, sent: Option<usize>) {
        if let Some(len) = sent {
            self.packets += 1;
            self.bytes += len as u64;
        }
    }
}

/// One worker's state.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WorkerReport {
    /// Its index.
    pub worker: u16,
    /// The core it is pinned to.
    pub core: u16,
    /// Its UDP port.
    pub media_port: u16,
    /// `uring` or `mmsg`.
    pub io: &'static str,
    /// CPU time of its thread in nanoseconds.
    pub cpu_time_ns: u64,
    /// The part of it that the kernel used, in nanoseconds.
    pub system_time_ns: u64,
    /// Time since it started in nanoseconds.
    pub uptime_ns: u64,
    /// Rounds of its loop.
    pub rounds: u64,
    /// Share of the last second it was busy, in thousandths.
    pub busy_permille: u32,
    /// Received.
    pub received: Traffic,
    /// Sent, retransmissions included.
    pub sent: Traffic,
    /// Media packets sealed and sent to viewers.
    pub forwarded: Traffic,
    /// Packets sent again on request.
    pub retransmitted: Traffic,
    /// Data-channel messages of publishers of this worker that were relayed.
    pub channel_messages_received: u64,
    /// Data-channel messages given to viewers.
    pub channel_messages_sent: u64,
    /// Viewers' data-channel messages given to publishers of this worker.
    pub channel_messages_back: u64,
    /// Messages handed to the kernel (a train is one).
    pub messages_sent: u64,
    /// Segments handed to the kernel.
    pub segments_sent: u64,
    /// `segments_sent / messages_sent`.
    pub segments_per_message: f64,
    /// Messages by their packets, since the start.
    pub trains: TrainsReport,
    /// Times from a packet's arrival until it was sent, since the start; those that were seen.
    pub residence: Vec<ResidenceReport>,
    /// Lane records sent to other workers.
    pub lane_packets_sent: u64,
    /// Lane records received from other workers.
    pub lane_packets_received: u64,
    /// Sessions opened since the start.
    pub joins: u64,
    /// Sessions that finished DTLS since the start.
    pub connected: u64,
    /// Sessions that are open and not connected now.
    pub handshakes: u64,
    /// Datagrams of handshakes that had to wait for a later round, behind media.
    pub handshakes_deferred: u64,
    /// Sessions ended since the start, by reason.
    pub ended: BTreeMap<&'static str, u64>,
    /// Decisions that a viewer is sent another encoding or sound only, since the start, by reason.
    pub switches: BTreeMap<&'static str, u64>,
    /// Changes of sessions' keys since the start, by what became of them.
    pub rekeys: BTreeMap<&'static str, u64>,
    /// What was dropped or refused, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Streams this worker publishes or plays.
    pub streams: Vec<StreamReport>,
    /// Its sessions.
    pub sessions: Vec<SessionReport>,
}

/// How many packets a message carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainsReport {
    /// 1 % of all packets travel with no more in their message, themselves counted.
    pub p1: u64,
    /// Half of them.
    pub p50: u64,
    /// 99 % of them.
    pub p99: u64,
    /// Packets, and messages that carried so many; ascending, those that were seen.
    pub by_packets: Vec<(u64, u64)>,
}

/// How long packets of one class stayed in the worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResidenceReport {
    /// `audio`, `delta` or `key` (all packets of a key frame).
    pub class: &'static str,
    /// `first` or `last`: until the send to which viewer of this worker had returned.
    pub viewer: &'static str,
    /// Packets seen.
    pub packets: u64,
    /// Half took no longer, in microseconds.
    pub p50_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// 99.9 %.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// One stream on one worker.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamReport {
    /// Its name.
    pub name: String,
    /// Whether its publisher's session is on this worker.
    pub origin: bool,
    /// Viewers on this worker.
    pub viewers: u64,
    /// Encodings.
    pub encodings: Vec<EncodingReport>,
    /// Data channels of its publisher.
    pub channels: Vec<ChannelReport>,
}

/// One data channel of a stream on one worker.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ChannelReport {
    /// As its publisher named it.
    pub label: String,
    /// The protocol it was opened with.
    pub protocol: String,
    /// Whether messages are delivered in order.
    pub ordered: bool,
    /// Whether none may be lost.
    pub reliable: bool,
    /// Messages that came, from the publisher or the lane.
    pub stored: u64,
    /// Messages given to viewers of this worker.
    pub forwarded: u64,
    /// Bytes of messages that are held for viewers.
    pub ring_bytes: u64,
}

/// One encoding (track and rid) of a stream on one worker.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EncodingReport {
    /// `audio` or `video`.
    pub kind: &'static str,
    /// Its name in the publisher's offer (`a=rid`); empty without simulcast.
    pub rid: String,
    /// Whether its publisher sends it now; one that a browser has paused is not sent.
    pub alive: bool,
    /// Bits a second that a viewer is sent of it, the mean of two seconds.
    pub bits_per_second: u64,
    /// Pictures a second; zero for sound.
    pub frames_per_second: u64,
    /// Width of its pictures in pixels; zero where that is not known.
    pub width: u64,
    /// Height of its pictures in pixels.
    pub height: u64,
    /// Viewers of this worker that are sent it or wait for its next key frame.
    pub viewers: u64,
    /// As `H264`.
    pub codec: &'static str,
    /// From the publisher or the lane into the packet ring.
    pub stored: Traffic,
    /// Out of the packet ring to viewers of this worker.
    pub forwarded: Traffic,
    /// Viewers of this worker that went over to it from another one.
    pub switches: u64,
    /// Key frames stored.
    pub key_frames: u64,
    /// Key frames asked of the publisher.
    pub key_frame_requests: u64,
    /// Packets the uplink lost and never recovered.
    pub lost: u64,
    /// Packets the uplink lost and recovered by retransmission.
    pub recovered: u64,
    /// Bytes of the packet ring.
    pub ring_bytes: u64,
}

/// One session.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SessionReport {
    /// Its number.
    pub session: u64,
    /// `publish` or `play`.
    pub direction: &'static str,
    /// The stream's name.
    pub stream: String,
    /// `new`, `handshaking` or `connected`.
    pub state: &'static str,
    /// What carries its media: `udp`, `tcp`, `turn-tls` or `turn-tcp`; empty before there is a path.
    pub path: &'static str,
    /// DTLS version, as `1.3`; empty before.
    pub dtls_version: &'static str,
    /// SRTP profile; empty before.
    pub srtp_profile: &'static str,
    /// Seconds since its present SRTP keys were made; zero before it has any.
    pub key_age_s: u64,
    /// How often its keys have changed.
    pub rekeys: u64,
    /// It has a second transport: its keys change now.
    pub rekeying: bool,
    /// Received and authenticated.
    pub received: Traffic,
    /// Sent, retransmissions included.
    pub sent: Traffic,
    /// Sent again on request.
    pub retransmitted: Traffic,
    /// NACKed sequence numbers received from a viewer.
    pub nacks_received: u64,
    /// Packets that failed authentication or replay checks.
    pub rejected: u64,
    /// Round-trip time in microseconds, from a viewer's receiver reports or a publisher's answers to NACKs; zero before one is
    /// known.
    pub rtt_us: u64,
    /// Fraction lost in the last receiver report, in 1/256.
    pub fraction_lost: u8,
    /// What a viewer's network carries, and what it is sent of the picture because of it; `None` where nothing is measured.
    pub network: Option<NetworkReport>,
    /// Data channels that are open; of a publisher those that are relayed.
    pub channels: u64,
    /// Messages of its data channels that were relayed.
    pub messages_received: u64,
    /// Messages that it was given.
    pub messages_sent: u64,
    /// Why a viewer may see or hear nothing of a track although media is sent to it or published, and what of a publisher's
    /// stream is not as viewers expect; empty when all is well.
    pub why: String,
}

/// What is known of a viewer's network, and which encoding it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NetworkReport {
    /// The encoding of the picture that it is sent, by its rid; by its number where it has none. Empty with sound only.
    pub layer: String,
    /// The encoding that it waits for; empty where it waits for none.
    pub wanted: String,
    /// Why it is sent that, in one sentence with the figures it was decided by.
    pub why_layer: String,
    /// What its figures come from: `transport-cc`, `receiver reports` or nothing yet.
    pub source: &'static str,
    /// Bits a second of the narrowest link on its way; zero while unknown.
    pub capacity_bits_per_second: u64,
    /// Bits a second of it that are left to this viewer; zero while unknown.
    pub free_bits_per_second: u64,
    /// Bits a second that arrive; zero while unknown.
    pub delivered_bits_per_second: u64,
    /// How long its packets waited in the network in the newest sample, in milliseconds.
    pub queue_ms: u16,
    /// Packets lost on its way in the last half second, in thousandths; those that the uplink lost are not among them.
    pub loss_permille: u16,
    /// The last decisions, the newest first.
    pub switches: Vec<SwitchReport>,
}

/// A decision of what a viewer is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SwitchReport {
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
    /// What it was sent.
    pub from: String,
    /// What it is to be sent; empty for sound only.
    pub to: String,
    /// The reason's name, as in metrics.
    pub reason: &'static str,
}
