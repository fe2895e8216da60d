//! Two workers, a publisher and its viewers, links, and one clock that jumps to what happens next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use corecast::crypto::random::SeededRandom;
use corecast::description::{
    Description, Direction, DtlsRole, ExtensionIds, Fingerprint, FingerprintHash, IceCredentials, MediaKind, SsrcPair,
};
use corecast::dtls::{DtlsIdentity, DtlsVersions};
use corecast::lab::bench::publisher::keys;
use corecast::lab::link::model::{Fate, Link};
use corecast::lab::link::script::{Script, Way};
use corecast::lab::peer::answer::{AnsweredCodec, AnsweredMedia, RemoteAnswer};
use corecast::lab::peer::decoder::Shown;
use corecast::lab::peer::fleet::Agent as _;
use corecast::lab::peer::publisher::{Encoding, Publisher, PublisherConfig};
use corecast::lab::peer::record::LoadRecord;
use corecast::lab::peer::terms::{self, Offer, Sources};
use corecast::lab::peer::viewer::{Viewer, ViewerConfig};
use corecast::lab::peer::{ClientPeer, PeerConfig};
use corecast::net::Waker;
use corecast::net::lab::simulated::SimulatedIo;
use corecast::placement;
use corecast::time::{NtpTime, Timestamp};
use corecast::transport::{SendResult, TrainBatch, UdpPath};
use corecast::wire::codec::Codec;
use corecast::wire::demux::{self, DatagramKind};
use corecast::worker::lane::Lanes;
use corecast::worker::mailbox::{
    Control, Listener, Notice, OpenSession, Origin, SessionId, StreamId, WorkerHandle, WorkerIndex,
};
use corecast::worker::{WallClock, Worker, WorkerConfig};

use crate::encoder::Encoder;
use crate::scenarios::{Scenario, Viewers};

const WORKERS: u16 = 2;
/// Where the publisher is, and where the viewers are.
const ORIGIN: usize = 0;
const EDGE: usize = 1;
const STREAM: StreamId = StreamId(1);
/// When the run begins on the clock.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(10_000);
/// The rids of the publisher's offer, from the lowest; and the pictures of the highest, below it by halves.
const RIDS: [&str; 3] = ["l", "m", "h"];
const PICTURE: (u32, u32) = (1280, 720);
/// Extensions of a viewer that only these sessions have.
const VIEWER_TRANSPORT_CC: u8 = 5;
const RID: u8 = 10;
const REPAIRED_RID: u8 = 11;

struct Node {
    worker: Worker,
    io: SimulatedIo,
    handle: WorkerHandle,
}

enum Agent {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

/// A viewer's packet of media that its link was handed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) at: Timestamp,
    pub(crate) bytes: usize,
    pub(crate) fate: Fate,
    pub(crate) is_video: bool,
}

pub(crate) struct Client {
    agent: Agent,
    worker: usize,
    address: SocketAddr,
    video_ssrc: u32,
    audio_ssrc: u32,
    down: usize,
    up: usize,
    /// Further than the link alone, one way.
    further: Duration,
    pub(crate) joined: Timestamp,
    pub(crate) carried: Vec<Carried>,
    pub(crate) shown: Vec<Shown>,
    pub(crate) record: LoadRecord,
}

enum Flight {
    ToNode { client: usize, bytes: Vec<u8> },
    ToClient { client: usize, bytes: Vec<u8> },
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    links: Vec<Link>,
    flights: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    cargo: HashMap<usize, Flight>,
    serial: usize,
    by_address: HashMap<SocketAddr, usize>,
    notices: flume::Receiver<Notice>,
    identity: DtlsIdentity,
    seed: u64,
    out: TrainBatch,
    /// What workers tell signalling is printed.
    is_traced: bool,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let (notices_in, notices) = flume::bounded(corecast::limits::NOTICES_MAX);
        let lanes = Lanes::connect(&vec![Waker::noop(); usize::from(WORKERS)]);
        let nodes = (0..WORKERS).zip(lanes).map(|(index, lanes)| {
            let (handle, control) =
                WorkerHandle::new(WorkerIndex(index), node_address(index.into()).port(), Waker::noop());
            let config = WorkerConfig {
                index: WorkerIndex(index),
                core: index,
                media_port: handle.media_port,
                io: "simulated",
                sessions_max: 1_000,
                hold_max: corecast::limits::FRAME_HOLD_MAX,
                publisher_bits_per_second_max: 50_000_000,
                keys: corecast::worker::KeyPolicy::default(),
                wall_clock: WallClock { at_zero: NtpTime(3_944_678_400 << 32) },
            };
            let random = Box::new(SeededRandom::new(seed ^ 0xc0de ^ u64::from(index)));
            let worker = Worker::new(config, random, lanes, control, notices_in.clone(), BEGIN);
            Node { worker, io: SimulatedIo::new(BEGIN), handle }
        });
        let mut world = Self {
            now: BEGIN,
            nodes: nodes.collect(),
            clients: Vec::new(),
            links: Vec::new(),
            flights: BinaryHeap::new(),
            cargo: HashMap::new(),
            serial: 0,
            by_address: HashMap::new(),
            notices,
            identity: DtlsIdentity::generate_for_simulation(
                SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000),
                1,
            )
            .expect("an identity"),
            seed,
            out: TrainBatch::new(),
            is_traced: std::env::var_os("TRACE").is_some(),
        };
        world.publish(scenario);
        world
    }

    /// Adds both directions of a link; their indices.
    fn link(&mut self, script: &Arc<Script>) -> (usize, usize) {
        let number = self.links.len() as u64;
        for (way, salt) in [(Way::Down, 0x11), (Way::Up, 0x22)] {
            let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number << 8 ^ salt;
            self.links.push(Link::new(Arc::clone(script), way, seed, BEGIN));
        }
        (self.links.len() - 2, self.links.len() - 1)
    }

    fn publish(&mut self, scenario: &Scenario) {
        let script = Arc::new(Script::parse(scenario.uplink).expect("the uplink's script"));
        let (down, up) = self.link(&script);
        let layers = scenario.layers.len();
        let encodings = (0..).zip(scenario.layers).map(|(at, bits)| {
            let halves = layers as u32 - 1 - at;
            let picture = (PICTURE.0 >> halves, PICTURE.1 >> halves);
            let ssrc = 0x2000_0000 + at * 16;
            let script = Encoder::new(*bits, picture, scenario.group, self.seed ^ u64::from(at) << 40);
            Encoding {
                rid: (layers > 1).then(|| RIDS[at as usize].to_owned()),
                ssrc,
                rtx_ssrc: Some(ssrc + 1),
                script: Box::new(script),
            }
        });
        let encodings: Vec<_> = encodings.collect();
        let rids = encodings.iter().filter_map(|encoding| encoding.rid.clone()).collect();
        self.open(Direction::Publish, ORIGIN, (down, up, Duration::ZERO), rids, |peer, answer, sources, now| {
            let config = PublisherConfig {
                answer,
                sources,
                cname: "publisher".to_owned(),
                encodings,
                audio: true,
                data: None,
                ntp_at_zero: NtpTime(1_000_000 << 32),
                seed: 5,
            };
            Agent::Publisher(Box::new(Publisher::new(peer, config, now)))
        });
    }

    /// Lets a viewer of the group join now, behind the link of the group or one of its own.
    pub(crate) fn join(&mut self, viewers: &Viewers, shared: &mut Option<(usize, usize)>, further: Duration) -> usize {
        let script = Arc::new(Script::parse(viewers.link).expect("the viewers' script"));
        let (down, up) = match *shared {
            Some(link) => link,
            None => self.link(&script),
        };
        if viewers.share {
            *shared = Some((down, up));
        }
        let seed = self.seed ^ (self.clients.len() as u64) << 20;
        let link = (down, up, further);
        self.open(Direction::Play, EDGE, link, Vec::new(), |peer, answer, _, now| {
            let config = ViewerConfig { answer, intended: now, verify_fraction: 1.0, seed, data: None, watches: true };
            Agent::Viewer(Box::new(Viewer::new(peer, config, now)))
        })
    }

    fn open(
        &mut self,
        direction: Direction,
        worker: usize,
        (down, up, further): (usize, usize, Duration),
        rids: Vec<String>,
        make: impl FnOnce(ClientPeer, RemoteAnswer, Sources, Timestamp) -> Agent,
    ) -> usize {
        let client = self.clients.len();
        let base = 0x1000_0000 + client as u32 * 16;
        let sources = Sources { audio: base, video: base + 1, video_rtx: Some(base + 2) };
        let ice = |name: &str| IceCredentials {
            ufrag: format!("{name}{client:04}"),
            password: format!("{name}-{client:020}"),
        };
        let (peer_ice, mut node_ice) = (ice("peer"), ice("node"));
        node_ice.ufrag = placement::ufrag(WorkerIndex(worker as u16), &node_ice.ufrag);
        let fingerprint =
            Fingerprint { hash: FingerprintHash::Sha256, value: self.identity.fingerprint_sha256().to_vec() };
        let offer = Offer { direction, ice: peer_ice.clone(), fingerprint: fingerprint.clone(), sources };
        let description = describe(terms::answer(&offer), direction, &rids);
        let answer = answered(&description, node_ice.clone(), fingerprint, node_address(worker));
        let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1 + client as u8), 4_000));
        let (reply, opened) = flume::bounded(1);
        let request = OpenSession {
            session: SessionId(100 + client as u64),
            stream: STREAM,
            stream_name: "stream".to_owned(),
            local_ice: node_ice.clone(),
            identity: self.identity.clone(),
            description,
            reply: Some(reply),
        };
        let path = UdpPath { remote: address, local_ip: node_address(worker).ip(), socket: 0 };
        let preset = |is_client| keys(1 + client as u64, is_client);
        let (session, ice) = (request.session, (node_ice.clone(), peer_ice.clone()));
        self.nodes[worker].worker.open(request, self.now).expect("there is room");
        let _ = opened.try_recv();
        // As on a node: while a client connects, its worker is told of the stream, and says what it wants of it.
        self.route(direction == Direction::Play);
        let node = &mut self.nodes[worker];
        node.worker.connect(session, ice, &preset(false), path, self.now).expect("there is room");
        let config = PeerConfig {
            local_ice: peer_ice,
            remote_ice: node_ice,
            dtls_role: DtlsRole::Client,
            versions: DtlsVersions::Any,
            remote_fingerprints: answer.fingerprints.clone(),
            node: node_address(worker),
            seed: 5_000 + client as u64,
        };
        let peer = ClientPeer::connected(&self.identity, config, &preset(true), self.now);
        let agent = make(peer, answer, sources, self.now);
        let (video_ssrc, audio_ssrc) = (sources.video, sources.audio);
        self.clients.push(Client {
            agent,
            worker,
            address,
            video_ssrc,
            audio_ssrc,
            down,
            up,
            further,
            joined: self.now,
            carried: Vec::new(),
            shown: Vec::new(),
            record: LoadRecord::default(),
        });
        self.by_address.insert(address, client);
        self.settle();
        client
    }

    fn route(&mut self, has_viewers: bool) {
        let listener = Listener { worker: WorkerIndex(EDGE as u16), membership: 1 };
        let audience: Vec<_> = has_viewers.then_some(listener).into_iter().collect();
        for worker in 0..self.nodes.len() {
            let origin = Some(Origin::Worker(WorkerIndex(ORIGIN as u16)));
            let route = Control::Route { stream: STREAM, origin, audience: audience.clone() };
            assert!(self.nodes[worker].handle.try_send(route).is_ok(), "the mailbox has room");
        }
        self.settle();
    }

    /// Lets an encoding of the publisher be silent or go on.
    pub(crate) fn pause(&mut self, encoding: usize, paused: bool) {
        if let Agent::Publisher(publisher) = &mut self.clients[0].agent {
            publisher.pause(encoding, paused);
        }
    }

    /// How long the picture of a viewer has stood still by now, where that is a freeze.
    pub(crate) fn stands(&self, client: usize) -> Option<Duration> {
        match &self.clients[client].agent {
            Agent::Viewer(viewer) => viewer.stands(self.now),
            Agent::Publisher(_) => None,
        }
    }

    /// Lets time pass.
    pub(crate) fn run_until(&mut self, until: Timestamp) {
        while let Some(next) = self.next_event().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.settle();
        }
        self.now = until;
        self.settle();
    }

    fn next_event(&self) -> Option<Timestamp> {
        let flight = self.flights.peek().map(|Reverse((at, ..))| *at);
        let nodes = self.nodes.iter().map(|node| node.worker.next_deadline(self.now));
        let clients = self.clients.iter().filter_map(Client::next_deadline);
        flight.into_iter().chain(nodes).chain(clients).min()
    }

    /// Does all that is due now.
    fn settle(&mut self) {
        let mut quiet = 0;
        for pass in 0.. {
            assert!(pass < 10_000, "something spins at {:?}", self.now);
            let mut active = self.land();
            for client in 0..self.clients.len() {
                if self.clients[client].next_deadline().is_some_and(|due| due <= self.now) {
                    active = true;
                    self.act(client, |agent, now, out, record| agent.handle_timeout(now, out, record));
                }
            }
            for worker in 0..self.nodes.len() {
                active |= self.round(worker);
                active |= self.nodes[worker].worker.next_deadline(self.now) <= self.now;
            }
            // What one wrote to the lane of another is read in its next round.
            quiet = if active { 0 } else { quiet + 1 };
            if quiet == 2 {
                return;
            }
        }
    }

    fn land(&mut self) -> bool {
        let mut any = false;
        while let Some(Reverse((at, _, slot))) = self.flights.peek().copied()
            && at <= self.now
        {
            self.flights.pop();
            any = true;
            match self.cargo.remove(&slot).expect("it was put there") {
                Flight::ToNode { client, bytes } => {
                    let Client { worker, address, .. } = self.clients[client];
                    let path = UdpPath { remote: address, local_ip: node_address(worker).ip(), socket: 0 };
                    let io = &mut self.nodes[worker].io;
                    io.set_now(self.now);
                    io.deliver(path, bytes);
                }
                Flight::ToClient { client, mut bytes } => {
                    self.act(client, |agent, now, out, record| agent.handle_datagram(&mut bytes, now, out, record));
                }
            }
        }
        any
    }

    fn act(&mut self, client: usize, what: impl FnOnce(&mut Agent, Timestamp, &mut TrainBatch, &mut LoadRecord)) {
        let Client { agent, record, shown, up, further, .. } = &mut self.clients[client];
        what(agent, self.now, &mut self.out, record);
        if let Agent::Viewer(viewer) = agent {
            let before = shown.len();
            shown.extend(viewer.take_shown());
            let told = |frame: &&Shown| self.is_traced && (frame.froze.is_some() || frame.key);
            for Shown { at, layer, sent, froze, .. } in shown.iter().skip(before).filter(told) {
                let seconds = |at: &Timestamp| at.since(BEGIN).as_secs_f64();
                let (at, sent) = (seconds(at), sent.as_ref().map_or(0.0, seconds));
                println!("{at:>8.3} s client {client} is shown {layer:?} of {sent:.3} s, after a freeze of {froze:?}");
            }
        }
        let (up, further) = (*up, *further);
        let mut sent = Vec::new();
        for train in self.out.trains() {
            let datagrams = self.out.bytes(train).chunks(usize::from(train.segment_size));
            sent.extend(datagrams.map(<[u8]>::to_vec));
        }
        self.out.clear();
        for bytes in sent {
            if let Fate::Arrives { at, .. } = self.links[up].carry(self.now, bytes.len()) {
                self.fly(at + further, Flight::ToNode { client, bytes });
            }
        }
    }

    fn fly(&mut self, at: Timestamp, flight: Flight) {
        self.serial += 1;
        self.flights.push(Reverse((at, self.serial as u64, self.serial)));
        self.cargo.insert(self.serial, flight);
    }

    /// One round of one worker; whether it sent anything.
    fn round(&mut self, worker: usize) -> bool {
        let node = &mut self.nodes[worker];
        node.io.set_now(self.now);
        node.worker.round(&mut node.io);
        let sent = node.io.take_sent();
        for train in &sent {
            let Some(&client) = self.by_address.get(&train.path.remote()) else { continue };
            assert_eq!(train.result, SendResult::Sent, "these sockets take everything");
            for bytes in &train.datagrams {
                let Client { down, further, video_ssrc, audio_ssrc, .. } = self.clients[client];
                let fate = self.links[down].carry(self.now, bytes.len());
                if demux::classify(bytes) == DatagramKind::Rtp
                    && let Some(&[a, b, c, d]) = bytes.get(8..12)
                {
                    let ssrc = u32::from_be_bytes([a, b, c, d]);
                    let carried = Carried { at: self.now, bytes: bytes.len(), fate, is_video: ssrc == video_ssrc };
                    debug_assert!((audio_ssrc..=audio_ssrc + 2).contains(&ssrc), "a viewer gets its own sources");
                    self.clients[client].carried.push(carried);
                }
                if let Fate::Arrives { at, .. } = fate {
                    self.fly(at + further, Flight::ToClient { client, bytes: bytes.clone() });
                }
            }
        }
        while let Ok(notice) = self.notices.try_recv() {
            assert!(!matches!(notice, Notice::Ended { .. }), "nobody's session ends: {notice:?}");
            if self.is_traced {
                println!("{:>8.3} s {notice:?}", self.now.since(BEGIN).as_secs_f64());
            }
        }
        !sent.is_empty()
    }
}

impl Client {
    fn next_deadline(&self) -> Option<Timestamp> {
        match &self.agent {
            Agent::Publisher(publisher) => publisher.next_deadline(),
            Agent::Viewer(viewer) => viewer.next_deadline(),
        }
    }
}

impl Agent {
    fn handle_datagram(&mut self, bytes: &mut [u8], now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        match self {
            Self::Publisher(publisher) => publisher.handle_datagram(bytes, now, out, record),
            Self::Viewer(viewer) => viewer.handle_datagram(bytes, now, out, record),
        }
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        match self {
            Self::Publisher(publisher) => publisher.handle_timeout(now, out, record),
            Self::Viewer(viewer) => viewer.handle_timeout(now, out, record),
        }
    }
}

fn node_address(worker: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], 20_000 + worker as u16))
}

/// What browsers agree on beside what the other tests' peers do: simulcast of a publisher, a viewer's transport-wide feedback.
fn describe(mut description: Description, direction: Direction, rids: &[String]) -> Description {
    for media in &mut description.media {
        match direction {
            Direction::Publish if media.kind == MediaKind::Video && !rids.is_empty() => {
                media.rids = rids.to_vec();
                media.ssrcs.clear();
                media.extensions =
                    ExtensionIds { rid: Some(RID), repaired_rid: Some(REPAIRED_RID), ..media.extensions };
            }
            Direction::Publish => {}
            Direction::Play => {
                media.extensions = ExtensionIds { transport_cc: Some(VIEWER_TRANSPORT_CC), ..media.extensions };
                for codec in &mut media.codecs {
                    codec.transport_cc = true;
                    codec.remb = media.kind == MediaKind::Video;
                }
            }
        }
    }
    description
}

/// The same as the client reads it from SDP.
fn answered(
    description: &Description,
    ice: IceCredentials,
    fingerprint: Fingerprint,
    candidate: SocketAddr,
) -> RemoteAnswer {
    let media = description.media.iter().map(|media| AnsweredMedia {
        kind: media.kind,
        mid: media.mid.clone(),
        codecs: media
            .codecs
            .iter()
            .map(|codec| AnsweredCodec {
                codec: codec.codec,
                payload_type: codec.payload_type,
                rtx_payload_type: codec.rtx_payload_type,
                nack: codec.nack,
                pli: codec.codec != Codec::Opus,
                transport_cc: codec.transport_cc,
                remb: codec.remb,
            })
            .collect(),
        extensions: media.extensions,
        ssrcs: media.ssrcs.iter().map(|pair| SsrcPair { ..*pair }).collect(),
        rids: media.rids.clone(),
    });
    RemoteAnswer {
        ice,
        fingerprints: vec![fingerprint],
        dtls_role: DtlsRole::Client,
        candidates: vec![candidate],
        tcp_candidates: Vec::new(),
        media: media.collect(),
        data: false,
    }
}
