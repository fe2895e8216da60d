//! Two production workers on simulated sockets, one publisher, viewers on both, all of them with their keys from the
//! start: authentic media and feedback of any content, at the rate of a parser. What reaches a viewer is sealed under its
//! key, once, and is what was published; queues and memory stay within bounds; afterwards nothing is left.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use corecast::crypto::random::SeededRandom;
use corecast::description::{Direction, Fingerprint, FingerprintHash, IceCredentials};
use corecast::dtls::DtlsIdentity;
use corecast::lab::peer::terms::{self, MIDS, Offer, PLAY, PUBLISH, Sources};
use corecast::lab::peer::video;
use corecast::limits;
use corecast::net::Waker;
use corecast::net::lab::simulated::SimulatedIo;
use corecast::placement;
use corecast::srtp::{SrtpKeys, SrtpProfile, SrtpReceiver, SrtpSender};
use corecast::time::{NtpTime, Timestamp};
use corecast::transport::{SendResult, UdpPath};
use corecast::wire::codec::h264;
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtcp;
use corecast::wire::rtp::{self, HeaderFields, RtpPacket};
use corecast::worker::lane::Lanes;
use corecast::worker::mailbox::{
    Control, EndReason, Listener, Notice, OpenSession, Origin, SessionId, StreamId, WorkerHandle, WorkerIndex,
};
use corecast::worker::report::WorkerReport;
use corecast::worker::{WallClock, Worker, WorkerConfig};

use super::script::{Script, ScriptWriter};
use super::worker_support::SealedOnce;
use super::{Seed, memory};

const STREAM: StreamId = StreamId(1);
const STEPS_MAX: usize = 120;
const WORKERS: usize = 2;
const CLIENTS_MAX: usize = 8;

/// Two workers' rings, lanes, batches and sessions, at their limits: 2 × (4 MiB of video, 128 KiB of audio, a lane of
/// 1 MiB, a batch), and what the target itself remembers.
const HELD_BYTES_MAX: isize = 24 * 1024 * 1024;

struct Client {
    session: SessionId,
    worker: usize,
    direction: Direction,
    path: UdpPath,
    sources: Sources,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    is_open: bool,
    /// Newest index sent by source, so that each is sealed once.
    indexes: BTreeMap<u32, u64>,
    /// Newest sequence number received of video.
    newest: u16,
}

struct Node {
    worker: Worker,
    io: SimulatedIo,
    handle: WorkerHandle,
    stalled: bool,
}

struct World {
    now: Timestamp,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    notices: flume::Receiver<Notice>,
    ended: HashSet<SessionId>,
    published: HashSet<Vec<u8>>,
    sealed_once: SealedOnce,
    frames: u64,
    /// [`Listener::membership`]
    memberships: BTreeMap<WorkerIndex, u64>,
}

fn identity() -> &'static DtlsIdentity {
    static IDENTITY: OnceLock<DtlsIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| DtlsIdentity::generate(SystemTime::now()).expect("an identity"))
}

pub fn run(data: &[u8]) {
    let before = memory::held_bytes();
    let mut world = World::new();
    let mut script = Script::new(data);
    world.join(Direction::Publish, 0);
    world.join(Direction::Play, 0);
    world.join(Direction::Play, 1);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        world.step(&mut script);
        world.settle();
        let held = memory::held_bytes() - before;
        assert!(held < HELD_BYTES_MAX, "{held} bytes held");
    }
    world.end();
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_millis(10_000);
        let (notices_in, notices) = flume::bounded(limits::NOTICES_MAX);
        let lanes = Lanes::connect(&vec![Waker::noop(); WORKERS]);
        let nodes = (0..).zip(lanes).map(|(index, lanes)| {
            let (handle, control) = WorkerHandle::new(WorkerIndex(index), 20_000 + index, Waker::noop());
            let config = WorkerConfig {
                index: WorkerIndex(index),
                core: index,
                media_port: 20_000 + index,
                io: "simulated",
                sessions_max: CLIENTS_MAX,
                hold_max: limits::FRAME_HOLD_MAX,
                publisher_bits_per_second_max: u64::from(limits::PUBLISHER_BITRATE_DEFAULT_KBPS) * 1_000,
                keys: corecast::worker::KeyPolicy::default(),
                wall_clock: WallClock { at_zero: NtpTime(3_944_678_400 << 32) },
            };
            let random = Box::new(SeededRandom::new(7 + u64::from(index)));
            let worker = Worker::new(config, random, lanes, control, notices_in.clone(), now);
            Node { worker, io: SimulatedIo::new(now), handle, stalled: false }
        });
        Self {
            now,
            nodes: nodes.collect(),
            clients: Vec::new(),
            notices,
            ended: HashSet::new(),
            published: HashSet::new(),
            sealed_once: SealedOnce::default(),
            frames: 0,
            memberships: BTreeMap::new(),
        }
    }

    fn join(&mut self, direction: Direction, worker: usize) {
        let client = self.clients.len();
        let session = SessionId(100 + client as u64);
        let base = 0x1000_0000 + client as u32 * 16;
        let sources = Sources { audio: base, video: base + 1, video_rtx: (client % 3 < 2).then_some(base + 2) };
        let ice = |ufrag: String| IceCredentials { ufrag, password: format!("password-{client:05}-0123456789") };
        let offer = Offer {
            direction,
            ice: ice(format!("peer{client:05}")),
            fingerprint: Fingerprint { hash: FingerprintHash::Sha256, value: vec![1; 32] },
            sources,
        };
        let request = OpenSession {
            session,
            stream: STREAM,
            stream_name: "stream".to_owned(),
            local_ice: ice(placement::ufrag(WorkerIndex(worker as u16), &format!("node{client:05}"))),
            identity: identity().clone(),
            description: terms::answer(&offer),
            reply: None,
        };
        let profile = SrtpProfile::PREFERENCE[0];
        let exported: Vec<u8> = (0..profile.exported_len()).map(|byte| byte as u8 ^ client as u8).collect();
        let keys = |is_client| SrtpKeys::from_exported(profile, &exported, is_client).expect("the right length");
        let path = UdpPath::to(SocketAddr::from(([192, 0, 2, 1], 2_000 + client as u16)));
        let opened = self.nodes[worker].worker.open_connected(request, &keys(false), path, self.now);
        opened.expect("there is room");
        self.clients.push(Client {
            session,
            worker,
            direction,
            path,
            sources,
            sender: SrtpSender::new(profile, &keys(true).local),
            receiver: SrtpReceiver::new(profile, &keys(true).remote),
            is_open: true,
            indexes: BTreeMap::new(),
            newest: 0,
        });
        self.route();
    }

    fn route(&mut self) {
        let of = |direction| {
            let open = self.clients.iter().filter(|client| client.is_open);
            open.filter(move |client| client.direction == direction).map(|client| WorkerIndex(client.worker as u16))
        };
        let origin = of(Direction::Publish).next_back();
        let mut audience: Vec<WorkerIndex> = of(Direction::Play).collect();
        audience.sort_unstable();
        audience.dedup();
        self.memberships.retain(|worker, _| audience.contains(worker));
        let clients = self.clients.len() as u64;
        let audience: Vec<Listener> = audience
            .into_iter()
            .map(|worker| Listener { worker, membership: *self.memberships.entry(worker).or_insert(clients) })
            .collect();
        for node in &self.nodes {
            // Full while the worker is stalled: then it does not learn of it, as in the node when signalling gives up.
            let _ = node.handle.try_send(Control::Route {
                stream: STREAM,
                origin: origin.map(Origin::Worker),
                audience: audience.clone(),
            });
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=2 => self.publish_any(script),
            3 => self.publish_frame(script.byte()),
            4 | 5 => {
                let client = usize::from(script.byte());
                let chunk = script.chunk();
                self.feedback(client, |slot| {
                    let len = chunk.len().min(slot.len());
                    slot[..len].copy_from_slice(&chunk[..len]);
                    Some(len)
                });
            }
            6 => {
                let (client, distance, count) = (usize::from(script.byte()), script.u16(), script.byte());
                let client = client % self.clients.len();
                let (newest, media) = (self.clients[client].newest, self.clients[client].sources.video);
                let newest = newest.wrapping_sub(distance % 512);
                let sequences: Vec<u16> = (0..u16::from(count)).map(|back| newest.wrapping_sub(back)).collect();
                self.feedback(client, |slot| rtcp::nack::write(slot, 1, media, &sequences));
            }
            7 => self.now = self.now + Duration::from_millis(u64::from(script.u16() % 2_048)),
            8 => {
                if self.clients.len() < CLIENTS_MAX && self.nodes.iter().all(|node| !node.stalled) {
                    let choice = script.byte();
                    let direction = if choice & 2 == 0 { Direction::Play } else { Direction::Publish };
                    self.join(direction, usize::from(choice & 1));
                }
            }
            9 => self.leave(usize::from(script.byte())),
            10 => self.fault(script),
            11 => {
                let node = usize::from(script.byte() & 1);
                self.nodes[node].stalled ^= true;
            }
            12 => {
                let (client, stranger) = (usize::from(script.byte()), script.byte());
                let client = client % self.clients.len();
                let path = if stranger & 1 == 0 {
                    self.clients[client].path
                } else {
                    UdpPath::to(SocketAddr::from(([198, 51, 100, 1], 9_000 + u16::from(stranger))))
                };
                let worker = self.clients[client].worker;
                self.nodes[worker].io.deliver(path, script.chunk().to_vec());
            }
            13 => {
                for _ in 0..=script.byte() % 8 {
                    self.publish_frame(3);
                    self.now = self.now + Duration::from_millis(33);
                    self.settle();
                }
            }
            _ => self.now = self.now + Duration::from_millis(u64::from(script.byte())),
        }
    }

    /// The client that sends media; any, since viewers may try.
    fn sender_of(&self, choice: u8) -> usize {
        let publisher =
            self.clients.iter().rposition(|client| client.direction == Direction::Publish && client.is_open);
        match publisher {
            Some(publisher) if choice < 240 => publisher,
            _ => usize::from(choice) % self.clients.len(),
        }
    }

    /// An authentic packet of any header and payload.
    fn publish_any(&mut self, script: &mut Script<'_>) {
        let client = self.sender_of(script.byte());
        let Sources { audio, video, video_rtx } = self.clients[client].sources;
        let (source, kind, step) = (script.byte(), script.byte(), script.byte());
        let ssrc = [audio, video, video_rtx.unwrap_or(7), u32::from(source)][usize::from(source) % 4];
        let types = [PUBLISH.audio, PUBLISH.video, PUBLISH.video_rtx, kind >> 1];
        let transport = [source, step];
        let mid: (u8, &[u8]) = (PUBLISH.mid, MIDS[usize::from(kind & 1)].as_bytes());
        let elements: [(u8, &[u8]); 2] = [(3, &transport), mid];
        let fields = HeaderFields {
            marker: kind & 1 == 1,
            payload_type: types[usize::from(kind) / 2 % 4],
            timestamp: self.now.as_nanos() as u32 / 11_111,
            ssrc,
            ..HeaderFields::default()
        };
        let elements = &elements[..usize::from(kind >> 6) % 3];
        let jump = if step < 250 { u64::from(step % 4) } else { u64::from(step) << 6 };
        self.publish(client, fields, jump, elements, script.chunk(), script.byte() % 32);
    }

    fn publish_frame(&mut self, fragments: u8) {
        let client = self.sender_of(0);
        let key_frame = self.frames.is_multiple_of(20);
        self.frames += 1;
        let payloads = video::frame(
            self.frames,
            video::bytes_for(1 + usize::from(fragments % 12)),
            key_frame,
            fragments & 64 == 0,
        );
        let last = payloads.len() - 1;
        for (at, payload) in payloads.iter().enumerate() {
            let fields = HeaderFields {
                marker: at == last,
                payload_type: PUBLISH.video,
                timestamp: (self.frames * 3_000) as u32,
                ssrc: self.clients[client].sources.video,
                ..HeaderFields::default()
            };
            self.publish(client, fields, 0, &[(PUBLISH.mid, MIDS[1].as_bytes())], payload, 0);
        }
    }

    fn publish(
        &mut self,
        client: usize,
        fields: HeaderFields,
        jump: u64,
        elements: &[(u8, &[u8])],
        payload: &[u8],
        padding: u8,
    ) {
        let from = &mut self.clients[client];
        let index = from.indexes.entry(fields.ssrc).or_insert(1_000);
        *index += 1 + jump;
        let fields = HeaderFields { sequence: (*index & 0xffff) as u16, ..fields };
        let mut slot = [0; limits::DATAGRAM_IN_BYTES_MAX];
        let Some(header_len) = rtp::write_header(&mut slot, &fields, elements) else { return };
        let Some(len) = from.sender.seal_rtp(*index, header_len, &mut slot, payload, padding) else { return };
        // As RTX its first two bytes are the original number.
        self.published.insert(payload.to_vec());
        self.published.insert(payload.get(2..).unwrap_or_default().to_vec());
        let (worker, path) = (from.worker, from.path);
        self.nodes[worker].io.deliver(path, slot[..len].to_vec());
    }

    fn feedback(&mut self, client: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let client = client % self.clients.len();
        let from = &mut self.clients[client];
        let mut slot = [0; 1_400];
        let Some(len) = write(&mut slot[..1_300]) else { return };
        // Sorted to RTCP whatever the script says of its first two bytes.
        slot[0] = slot[0] & 0x3f | 0x80;
        slot[1] = 192 + slot[1] % 32;
        let Some(len) = from.sender.seal_rtcp(&mut slot, len) else { return };
        let (worker, path) = (from.worker, from.path);
        self.nodes[worker].io.deliver(path, slot[..len].to_vec());
    }

    fn leave(&mut self, client: usize) {
        let client = client % self.clients.len();
        let (worker, session) = (self.clients[client].worker, self.clients[client].session);
        if self.nodes[worker].handle.try_send(Control::Close { session, reason: EndReason::Left }).is_ok() {
            self.clients[client].is_open = false;
            self.route();
        }
    }

    fn fault(&mut self, script: &mut Script<'_>) {
        let (node, result, mut times) = (usize::from(script.byte() & 1), script.byte(), script.byte());
        let result = match result % 4 {
            0 => SendResult::Full,
            1 => SendResult::TooLong,
            2 => SendResult::Failed(5),
            _ => SendResult::Sent,
        };
        self.nodes[node].io.set_verdict(Some(Box::new(move |_, _, _| {
            times = times.saturating_sub(1);
            if times > 0 { result } else { SendResult::Sent }
        })));
    }

    /// Rounds until nothing is due.
    fn settle(&mut self) {
        for pass in 0.. {
            assert!(pass < 5_000, "something spins");
            let mut active = false;
            for node in 0..self.nodes.len() {
                if self.nodes[node].stalled {
                    continue;
                }
                let Node { worker, io, .. } = &mut self.nodes[node];
                io.set_now(self.now);
                let waits = io.next_arrival().is_some_and(|at| at <= self.now);
                worker.round(io);
                active |= waits || worker.next_deadline(self.now) <= self.now;
                active |= self.collect(node);
            }
            // A round may have written to a lane of a worker that had its turn already.
            if !active && pass > 1 {
                break;
            }
        }
        while let Ok(notice) = self.notices.try_recv() {
            if let Notice::Ended { session, .. } = notice {
                assert!(self.clients.iter().any(|client| client.session == session));
                self.ended.insert(session);
                if let Some(client) = self.clients.iter_mut().find(|client| client.session == session) {
                    client.is_open = false;
                }
            }
        }
    }

    /// What a worker sent, at the clients; whether there was anything.
    fn collect(&mut self, node: usize) -> bool {
        let sent = self.nodes[node].io.take_sent();
        let any = !sent.is_empty();
        for train in sent {
            let Some(index) = self.clients.iter().position(|client| client.path.remote == train.path.remote()) else {
                // A binding response to a stranger, never anything else.
                assert!(train.datagrams.iter().all(|bytes| demux::classify(bytes) == DatagramKind::Stun));
                continue;
            };
            for mut bytes in train.datagrams {
                assert!(bytes.len() <= limits::DATAGRAM_OUT_BYTES_MAX);
                if let Err(violation) = self.sealed_once.observe(index, &bytes) {
                    panic!("{violation}");
                }
                if train.result == SendResult::Sent {
                    self.receive(index, &mut bytes);
                }
            }
        }
        any
    }

    fn receive(&mut self, index: usize, bytes: &mut [u8]) {
        let client = &mut self.clients[index];
        match demux::classify(bytes) {
            DatagramKind::Rtp => {
                assert_eq!(client.direction, Direction::Play, "media to a publisher");
                let opened = match client.receiver.open_rtp(bytes) {
                    Ok(opened) => opened,
                    // The same bytes again, for a viewer without RTX.
                    Err(corecast::srtp::SrtpError::Replayed | corecast::srtp::SrtpError::TooOld) => return,
                    Err(error) => panic!("sealed under another key: {error}"),
                };
                let packet = RtpPacket::parse(&bytes[..opened.plain_len()]).expect("a whole packet");
                let Sources { audio, video, video_rtx } = client.sources;
                let (header, mut payload) = (packet.header(), packet.payload());
                if header.ssrc == video {
                    assert_eq!(header.payload_type, PLAY.video);
                    client.newest = header.sequence;
                } else if Some(header.ssrc) == video_rtx {
                    assert_eq!(header.payload_type, PLAY.video_rtx);
                    payload = &payload[2..];
                } else {
                    assert_eq!((header.ssrc, header.payload_type), (audio, PLAY.audio));
                }
                // What was put before a key frame is an aggregate of parameter sets.
                let sets = h264::parameter_sets(payload).count();
                let is_aggregate = sets > 0 && sets == h264::nal_units(payload).count();
                assert!(self.published.contains(payload) || is_aggregate, "never published: {payload:02x?}");
            }
            DatagramKind::Rtcp => {
                let len = client.receiver.open_rtcp(bytes).expect("sealed under this client's key, once");
                assert!(rtcp::packets(&bytes[..len]).all(|packet| packet.is_ok()), "the node sends whole compounds");
            }
            DatagramKind::Stun | DatagramKind::Dtls => {}
            DatagramKind::Unknown => panic!("nothing this node speaks"),
        }
    }

    fn report(&mut self, node: usize) -> WorkerReport {
        let (reply, answer) = flume::bounded(1);
        self.nodes[node].handle.try_send(Control::Report(reply)).expect("the mailbox is empty");
        self.settle();
        *answer.try_recv().expect("an answer")
    }

    /// Everyone leaves; nothing may be left.
    fn end(&mut self) {
        for node in &mut self.nodes {
            node.stalled = false;
            node.io.set_verdict(None);
        }
        self.settle();
        for client in 0..self.clients.len() {
            self.leave(client);
            self.settle();
        }
        for node in 0..self.nodes.len() {
            let report = self.report(node);
            assert!(report.sessions.is_empty() && report.streams.is_empty(), "{report:?}");
        }
        assert_eq!(self.ended.len(), self.clients.len(), "each end was told");
    }
}

pub fn seeds() -> Vec<Seed> {
    let frames = |script: ScriptWriter| script.byte(13).byte(7);
    let start = || frames(ScriptWriter::default());
    let sps_pps_idr: [&[u8]; 3] = [&[0x67, 0x42, 0xc0, 0x20, 0x8c], &[0x68, 0xce, 0x3c], &[0x65, 0xb8, 0, 4]];
    let any = |script: ScriptWriter, source: u8, kind: u8, step: u8, payload: &[u8]| {
        script.byte(0).byte(0).byte(source).byte(kind).byte(step).chunk(payload).byte(1)
    };
    let parameter_sets = sps_pps_idr.iter().fold(start(), |script, payload| any(script, 1, 0x43, 0, payload));
    let sources = (0..12).fold(start(), |script, source| any(script, source * 4 + 3, 0xc2, 0, &[0x65, 0x88, source]));
    let repairs = any(any(start(), 1, 0x42, 2, &[0x41, 0x9a, 1]), 2, 0x44, 0, &[3, 0xf0, 0x41, 0x9a, 2]);
    let nacks = start().byte(6).byte(1).u16(3).byte(16).byte(6).byte(2).u16(500).byte(255);
    let mut loss = [0; 64];
    let len = rtcp::picture_loss_indication::write(&mut loss, 1, 0x1000_0011).expect("room");
    let nacks = nacks.byte(4).byte(1).chunk(&loss[..len]).byte(7).u16(600);
    let churn =
        start().byte(8).byte(1).byte(8).byte(2).byte(9).byte(0).byte(13).byte(3).byte(8).byte(3).byte(9).byte(1);
    let stalled = frames(frames(start().byte(11).byte(1)).byte(7).u16(1_500)).byte(11).byte(1).byte(7).u16(200);
    let faults = frames(start().byte(10).byte(0).byte(0).byte(9)).byte(10).byte(1).byte(2).byte(30).byte(13).byte(7);
    let strangers = start().byte(12).byte(0).byte(0).chunk(&[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9]);
    let strangers = strangers.byte(12).byte(1).byte(3).chunk(&super::stun::seeds()[0].1).byte(7).u16(2_000);
    let named = [
        ("parameter-sets", parameter_sets),
        ("sources", sources),
        ("repairs", repairs),
        ("nacks", nacks),
        ("churn", churn),
        ("stalled", stalled),
        ("faults", faults),
        ("strangers", strangers),
    ];
    named.into_iter().map(|(name, script)| (name.to_owned(), script.byte(13).byte(7).done())).collect()
}
