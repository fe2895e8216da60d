//! A node of production workers on simulated sockets, real clients, and the network between them, in virtual time.
//!
//! Nothing here stands in for a part of the node: workers, lanes, sessions, DTLS and SRTP are the real ones. The test
//! owns time, the network ([`World::filter`], [`World::latency`]) and signalling ([`World::open`], [`World::route`]).
//! Every packet a worker seals passes [`SealedOnce`].
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

pub(crate) mod bottleneck;
pub(crate) mod client;
pub(crate) mod connection;
mod network;
mod opening;
pub(crate) mod publisher;
pub(crate) mod sealed_once;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use corecast::crypto::random::SeededRandom;
use corecast::description::{
    DataTerms, Description, Direction, DtlsRole, Fingerprint, FingerprintHash, IceCredentials, MediaKind,
    NegotiatedCodec,
};
use corecast::dtls::{DtlsIdentity, DtlsVersions};
use corecast::lab::peer::terms::{self, Offer, Sources};
use corecast::lab::peer::{ClientPeer, PeerConfig};
use corecast::net::Waker;
use corecast::net::lab::simulated::{SentTrain, SimulatedIo};
use corecast::placement;
use corecast::relay::store::address::RecordAddress;
use corecast::relay::store::record::Record;
use corecast::relay::store::upstream::Upstream;
use corecast::time::{NtpTime, Timestamp};
use corecast::transport::path::TcpPath;
use corecast::transport::{PathAddress, SendResult, UdpPath};
use corecast::wire::codec::Codec;
use corecast::wire::stun::StunWriter;
use corecast::worker::lane::Lanes;
use corecast::worker::mailbox::{
    Control, EndReason, Listener, Notice, OpenRefused, OpenSession, Origin, RekeyRefused, Rekeyed, SessionId, StreamId,
    Totals, WorkerHandle, WorkerIndex,
};
use corecast::worker::report::{SessionReport, WorkerReport};
use corecast::worker::{KeyPolicy, WallClock, Worker, WorkerConfig};

pub(crate) use bottleneck::Bottleneck;
pub(crate) use client::{Client, Packet};
use connection::{Connection, Stream};
pub(crate) use opening::{Opening, REPAIRED_RID, RID};
pub(crate) use sealed_once::SealedOnce;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const STREAM: StreamId = StreamId(1);

/// 2025-01-01 on the node's wall clock when its monotonic clock was zero.
pub(crate) const WALL_CLOCK_AT_ZERO: NtpTime = NtpTime(3_944_678_400 << 32);

/// A datagram on its way through the network.
#[derive(Debug)]
pub(crate) struct Hop<'a> {
    /// The client at one end.
    pub(crate) client: usize,
    /// Whether it goes to the client.
    pub(crate) to_client: bool,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// Its number among those of its client and direction.
    pub(crate) number: u64,
}

#[derive(Debug)]
enum Flight {
    ToNode { worker: usize, path: PathAddress, bytes: Vec<u8> },
    ToClient { address: SocketAddr, bytes: Vec<u8> },
}

/// One worker and its sockets.
pub(crate) struct Node {
    pub(crate) worker: Worker,
    pub(crate) io: SimulatedIo,
    pub(crate) handle: WorkerHandle,
    pub(crate) address: SocketAddr,
    /// It makes no rounds while this is set.
    pub(crate) stalled: bool,
    /// It believes to be fully loaded.
    pub(crate) busy: bool,
    /// Every train since the last [`World::take_trains`].
    trains: Vec<SentTrain>,
}

type Filter = Box<dyn FnMut(&Hop<'_>) -> bool>;

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    /// Decides whether a datagram arrives.
    pub(crate) filter: Filter,
    /// One way.
    pub(crate) latency: Duration,
    /// What of the network to a client is narrower than that.
    pub(crate) bottlenecks: HashMap<usize, Bottleneck>,
    pub(crate) sealed_once: SealedOnce,
    pub(crate) noticed: Vec<Notice>,
    pub(crate) identity: DtlsIdentity,
    client_identity: DtlsIdentity,
    notices: flume::Receiver<Notice>,
    flying: BTreeMap<(Timestamp, u64), Flight>,
    serial: u64,
    by_address: HashMap<SocketAddr, usize>,
    /// Of the clients that have one; the others are on UDP.
    connections: HashMap<SocketAddr, Connection>,
    hops: HashMap<(usize, bool), u64>,
    /// The lanes of a worker that the test plays itself: see [`World::with_origin_elsewhere`].
    elsewhere: Option<Lanes>,
    /// [`Listener::membership`]
    memberships: HashMap<(StreamId, WorkerIndex), u64>,
}

impl World {
    pub(crate) fn new(workers: usize) -> Self {
        Self::with_ceiling(workers, corecast::limits::PUBLISHER_BITRATE_DEFAULT_KBPS)
    }

    /// With publishers that may send so many kilobits a second.
    pub(crate) fn with_ceiling(workers: usize, kbps: u32) -> Self {
        Self::with_lanes(workers, Lanes::connect(&vec![Waker::noop(); workers]), kbps, KeyPolicy::default())
    }

    /// With keys that live so long.
    pub(crate) fn with_keys(workers: usize, keys: KeyPolicy) -> Self {
        let kbps = corecast::limits::PUBLISHER_BITRATE_DEFAULT_KBPS;
        Self::with_lanes(workers, Lanes::connect(&vec![Waker::noop(); workers]), kbps, keys)
    }

    /// One more worker beside these, of which there are only the lanes: [`Self::tell`] gives them records.
    pub(crate) fn with_origin_elsewhere(workers: usize) -> Self {
        let mut lanes = Lanes::connect(&vec![Waker::noop(); workers + 1]);
        let elsewhere = lanes.pop();
        let kbps = corecast::limits::PUBLISHER_BITRATE_DEFAULT_KBPS;
        Self { elsewhere, ..Self::with_lanes(workers, lanes, kbps, KeyPolicy::default()) }
    }

    /// Gives every worker a record of the worker elsewhere.
    pub(crate) fn tell(&mut self, address: RecordAddress, record: &Record<'_>) {
        let lanes = self.elsewhere.as_mut().expect("an origin elsewhere");
        for worker in 0..self.nodes.len() as u16 {
            assert!(lanes.send(WorkerIndex(worker), address, record), "the lane is full");
        }
    }

    /// What the workers asked of the worker elsewhere since the last call.
    pub(crate) fn asked_elsewhere(&mut self) -> Vec<Upstream> {
        let lanes = self.elsewhere.as_mut().expect("an origin elsewhere");
        std::iter::from_fn(|| lanes.receive_upstream()).map(|(_, message)| message).collect()
    }

    fn with_lanes(workers: usize, lanes: Vec<Lanes>, publisher_kbps_max: u32, keys: KeyPolicy) -> Self {
        assert_eq!(lanes.len(), workers);
        let now = Timestamp::from_millis(10_000);
        let identity = DtlsIdentity::generate(SystemTime::now()).expect("an identity");
        let (notices_in, notices) = flume::bounded(corecast::limits::NOTICES_MAX);
        let nodes = lanes
            .into_iter()
            .enumerate()
            .map(|(index, lanes)| {
                let address = SocketAddr::from(([203, 0, 113, 1], 20_000 + index as u16));
                let index = WorkerIndex(index as u16);
                let (handle, control) = WorkerHandle::new(index, address.port(), Waker::noop());
                let config = WorkerConfig {
                    index,
                    core: index.0,
                    media_port: address.port(),
                    io: "simulated",
                    sessions_max: 10_000,
                    hold_max: corecast::limits::FRAME_HOLD_MAX,
                    publisher_bits_per_second_max: u64::from(publisher_kbps_max) * 1_000,
                    keys,
                    wall_clock: WallClock { at_zero: WALL_CLOCK_AT_ZERO },
                };
                let random = Box::new(SeededRandom::new(77 + u64::from(index.0)));
                let worker = Worker::new(config, random, lanes, control, notices_in.clone(), now);
                let io = SimulatedIo::new(now);
                Node { worker, io, handle, address, stalled: false, busy: false, trains: Vec::new() }
            })
            .collect();
        Self {
            now,
            nodes,
            clients: Vec::new(),
            filter: Box::new(|_| true),
            latency: MS,
            bottlenecks: HashMap::new(),
            sealed_once: SealedOnce::default(),
            noticed: Vec::new(),
            identity,
            client_identity: DtlsIdentity::generate(SystemTime::now()).expect("an identity"),
            notices,
            flying: BTreeMap::new(),
            serial: 0,
            by_address: HashMap::new(),
            connections: HashMap::new(),
            hops: HashMap::new(),
            elsewhere: None,
            memberships: HashMap::new(),
        }
    }

    // --- signalling ---

    /// What signalling does for an accepted offer; the client's index. It connects as time goes on.
    pub(crate) fn open(&mut self, opening: &Opening) -> usize {
        let (mut request, new) = self.offer(opening, SessionId(100 + self.clients.len() as u64));
        let (reply, answer) = flume::bounded(1);
        request.reply = Some(reply);
        self.control(opening.worker, Control::Open(Box::new(request)));
        answer.try_recv().expect("the worker answers at once").expect("there is room");
        self.add(new, opening)
    }

    /// What signalling does for a second offer of a client's session: the second client's index, which has its session. It
    /// connects as time goes on.
    ///
    /// # Errors
    /// The worker's refusal.
    pub(crate) fn rekey(&mut self, client: usize, opening: &Opening) -> Result<usize, RekeyRefused> {
        let (request, new) = self.offer(opening, self.clients[client].session);
        let (reply, answer) = flume::bounded(1);
        self.control(opening.worker, Control::Rekey { request: Box::new(request), reply });
        answer.try_recv().expect("the worker answers at once")?;
        Ok(self.add(new, opening))
    }

    /// What became of the changes of a client's keys, in order.
    pub(crate) fn rekeyed(&self, client: usize) -> Vec<Rekeyed> {
        let session = self.clients[client].session;
        let of = |notice: &Notice| match notice {
            Notice::Rekeyed { session: of, outcome } if *of == session => Some(*outcome),
            _ => None,
        };
        self.noticed.iter().filter_map(of).collect()
    }

    /// A client and what its worker must know of it.
    fn offer(&mut self, opening: &Opening, session: SessionId) -> (OpenSession, Client) {
        let client = self.clients.len();
        let worker = WorkerIndex(opening.worker as u16);
        let node_ice = node_credentials(worker, client, 0);
        let peer_ice = peer_credentials(client, 0);
        let base = 0x1000_0000 + (client as u32) * 16;
        let sources = Sources { audio: base, video: base + 1, video_rtx: opening.rtx.then_some(base + 2) };
        let mut fingerprint = self.client_identity.fingerprint_sha256().to_vec();
        fingerprint[0] ^= u8::from(opening.wrong_fingerprint);
        let offer = Offer {
            direction: opening.direction,
            ice: peer_ice.clone(),
            fingerprint: Fingerprint { hash: FingerprintHash::Sha256, value: fingerprint },
            sources,
        };
        let (sctp_port, message_bytes_max, may_speak) = (5_000, 65_536, opening.may_speak);
        let data = opening.data.then_some(DataTerms { sctp_port, message_bytes_max, may_speak });
        let mut description = Description { dtls_role: opening.node_role, data, ..terms::answer(&offer) };
        if let Some(payload_type) = opening.red {
            let codecs = &mut description.media[0].codecs;
            codecs.push(NegotiatedCodec { codec: Codec::Red, payload_type, ..codecs[0] });
        }
        if opening.transport_cc && opening.direction == Direction::Play {
            let video = description.media.iter_mut().filter(|media| media.kind == MediaKind::Video);
            video.for_each(|media| media.extensions.transport_cc = Some(bottleneck::TRANSPORT_CC));
        }
        (opening.terms)(&mut description);
        if !opening.rids.is_empty() {
            let video = &mut description.media[1];
            video.rids = opening.rids.iter().map(|&rid| rid.to_owned()).collect();
            (video.extensions.rid, video.extensions.repaired_rid) = (Some(RID), Some(REPAIRED_RID));
            video.ssrcs.clear();
        }
        let request = OpenSession {
            session,
            stream: opening.stream,
            stream_name: format!("stream-{}", opening.stream.0),
            local_ice: node_ice.clone(),
            identity: self.identity.clone(),
            description,
            reply: None,
        };
        let address = SocketAddr::from(([192, 0, 2, 1 + (client / 60_000) as u8], 2_000 + (client % 60_000) as u16));
        let config = PeerConfig {
            local_ice: peer_ice,
            remote_ice: node_ice,
            dtls_role: match opening.node_role {
                DtlsRole::Server => DtlsRole::Client,
                DtlsRole::Client => DtlsRole::Server,
            },
            versions: opening.versions,
            remote_fingerprints: vec![Fingerprint {
                hash: FingerprintHash::Sha256,
                value: self.identity.fingerprint_sha256().to_vec(),
            }],
            node: self.nodes[opening.worker].address,
            seed: 5_000 + client as u64,
        };
        let (role, seed) = (config.dtls_role, config.seed);
        let peer = ClientPeer::new(&self.client_identity, config, self.now);
        let mut new = Client::new(peer, session, opening, sources, address);
        if opening.data {
            new.carry_data(role, seed);
        }
        (request, new)
    }

    fn add(&mut self, new: Client, opening: &Opening) -> usize {
        let (client, address) = (self.clients.len(), new.address);
        self.clients.push(new);
        self.by_address.insert(address, client);
        if opening.tcp {
            self.connections.insert(address, Connection::new(client as u32));
        }
        self.route(opening.stream);
        client
    }

    /// An accepted offer of somebody who never comes; what the worker says.
    pub(crate) fn open_for_nobody(&mut self, number: u64) -> Result<(), OpenRefused> {
        let ice = |name: &str| IceCredentials { ufrag: format!("{name}{number}"), password: "x".repeat(24) };
        let offer = Offer {
            direction: Direction::Play,
            ice: ice("peer"),
            fingerprint: Fingerprint { hash: FingerprintHash::Sha256, value: vec![0; 32] },
            sources: Sources { audio: 1, video: 2, video_rtx: None },
        };
        let (reply, answer) = flume::bounded(1);
        let request = OpenSession {
            session: SessionId(1 << 40 | number),
            stream: STREAM,
            stream_name: "stream".to_owned(),
            local_ice: ice("node"),
            identity: self.identity.clone(),
            description: terms::answer(&offer),
            reply: Some(reply),
        };
        self.control(0, Control::Open(Box::new(request)));
        answer.try_recv().expect("the worker answers at once")
    }

    /// Opens and lets it connect.
    #[track_caller]
    pub(crate) fn join(&mut self, opening: &Opening) -> usize {
        let client = self.open(opening);
        for _ in 0..100 {
            self.run(5 * MS);
            if self.clients[client].peer.is_connected() {
                return client;
            }
        }
        panic!("client {client} did not connect: {:?}", self.clients[client].events);
    }

    /// Tells the workers where a stream comes from and goes to, as signalling does on every change.
    pub(crate) fn route(&mut self, stream: StreamId) {
        let of = |direction| {
            let clients = self.clients.iter().filter(move |client| client.is_open && client.stream == stream);
            clients.filter(move |client| client.direction == direction).map(|client| client.worker as u16)
        };
        let origin = of(Direction::Publish).next_back().map(WorkerIndex);
        let mut audience: Vec<WorkerIndex> = of(Direction::Play).map(WorkerIndex).collect();
        audience.sort_unstable();
        audience.dedup();
        self.tell_route(stream, origin, &audience);
    }

    /// Tells the workers that only these have viewers.
    pub(crate) fn route_to(&mut self, stream: StreamId, audience: &[WorkerIndex]) {
        let mut publishers = self.clients.iter().filter(|client| client.is_open && client.stream == stream);
        let publisher = publishers.rfind(|client| client.direction == Direction::Publish);
        let origin = publisher.map(|client| WorkerIndex(client.worker as u16));
        self.tell_route(stream, origin, audience);
    }

    fn tell_route(&mut self, stream: StreamId, origin: Option<WorkerIndex>, workers: &[WorkerIndex]) {
        self.memberships.retain(|&(of, worker), _| of != stream || workers.contains(&worker));
        let mut audience = Vec::new();
        for &worker in workers {
            let membership = *self.memberships.entry((stream, worker)).or_insert_with(|| {
                self.serial += 1;
                self.serial
            });
            audience.push(Listener { worker, membership });
        }
        let elsewhere = self.elsewhere.as_ref().map(|_| WorkerIndex(self.nodes.len() as u16));
        let origin = origin.or(elsewhere).map(Origin::Worker);
        for worker in 0..self.nodes.len() {
            self.control(worker, Control::Route { stream, origin, audience: audience.clone() });
        }
    }

    /// From the next route on: a worker's last viewer left and another came, and no route was told between.
    pub(crate) fn rejoined(&mut self, stream: StreamId, worker: u16) {
        self.memberships.remove(&(stream, WorkerIndex(worker)));
    }

    /// Sends a control message; the worker makes a round, unless it is stalled.
    pub(crate) fn control(&mut self, worker: usize, message: Control) {
        self.nodes[worker].handle.try_send(message).expect("the mailbox has room");
        if !self.nodes[worker].stalled {
            self.round(worker);
        }
    }

    /// `DELETE`.
    pub(crate) fn delete(&mut self, client: usize) {
        let (worker, session) = (self.clients[client].worker, self.clients[client].session);
        self.control(worker, Control::Close { session, reason: EndReason::Left });
        self.clients[client].is_open = false;
        let stream = self.clients[client].stream;
        self.route(stream);
    }

    /// An ICE restart on both ends.
    pub(crate) fn restart_ice(&mut self, client: usize, generation: u32) {
        let (worker, session) = (self.clients[client].worker, self.clients[client].session);
        let node_ice = node_credentials(WorkerIndex(worker as u16), client, generation);
        let peer_ice = peer_credentials(client, generation);
        let message = Control::RestartIce { session, local_ice: node_ice.clone(), remote_ice: peer_ice.clone() };
        self.control(worker, message);
        let now = self.now;
        self.clients[client].peer.restart_ice(peer_ice, node_ice, now);
    }

    /// A check with a client's credentials, valid whatever address it is sent from.
    pub(crate) fn check_of(&mut self, client: usize, nominates: bool) -> Vec<u8> {
        let worker = WorkerIndex(self.clients[client].worker as u16);
        let (node, peer) = (node_credentials(worker, client, 0), peer_credentials(client, 0));
        self.serial += 1;
        let mut transaction = [0xa5; 12];
        transaction[4..].copy_from_slice(&self.serial.to_be_bytes());
        let mut out = [0; 256];
        let username = format!("{}:{}", node.ufrag, peer.ufrag);
        let mut writer = StunWriter::binding_request(&mut out, &transaction).username(username.as_bytes()).priority(1);
        if nominates {
            writer = writer.use_candidate();
        }
        let len = writer.ice_controlling(3).integrity(node.password.as_bytes()).fingerprint().finish();
        out[..len.expect("it fits")].to_vec()
    }

    /// Bytes that a worker sent to `address` since the trains were taken last, which are taken.
    pub(crate) fn bytes_to(&mut self, worker: usize, address: SocketAddr) -> usize {
        let trains = self.take_trains(worker);
        let to = trains.iter().filter(|train| train.path.remote() == address);
        to.flat_map(|train| &train.datagrams).map(Vec::len).sum()
    }

    /// Gives the client another address, as a network change does. It notices and checks anew only with `notice`.
    pub(crate) fn move_client(&mut self, client: usize, address: SocketAddr, notice: bool) {
        self.clients[client].address = address;
        self.by_address.insert(address, client);
        if notice {
            let (node, now) = (self.nodes[self.clients[client].worker].address, self.now);
            self.clients[client].peer.change_path(node, now);
        }
    }

    /// A worker's report.
    pub(crate) fn report(&mut self, worker: usize) -> WorkerReport {
        let (reply, answer) = flume::bounded(1);
        self.control(worker, Control::Report(reply));
        loop {
            // A report of many sessions takes several rounds.
            if let Ok(report) = answer.try_recv() {
                return *report;
            }
            self.round(worker);
        }
    }

    /// What a worker dropped or refused for `reason`.
    pub(crate) fn dropped(&mut self, worker: usize, reason: &str) -> u64 {
        self.report(worker).dropped.get(reason).copied().unwrap_or(0)
    }

    /// A session's part of its worker's report; `None` once it is gone.
    pub(crate) fn session(&mut self, client: usize) -> Option<SessionReport> {
        let (worker, session) = (self.clients[client].worker, self.clients[client].session);
        self.report(worker).sessions.into_iter().find(|report| report.session == session.0)
    }

    /// How often signalling was told that a session's peer moved.
    pub(crate) fn moves(&self, client: usize) -> usize {
        let session = self.clients[client].session;
        self.noticed.iter().filter(|notice| **notice == Notice::Moved { session }).count()
    }

    /// Why a session ended, once it has.
    pub(crate) fn ended(&self, client: usize) -> Option<EndReason> {
        let session = self.clients[client].session;
        self.noticed.iter().find_map(|notice| match notice {
            Notice::Ended { session: ended, reason, .. } if *ended == session => Some(*reason),
            _ => None,
        })
    }

    /// What a session carried, once it has ended.
    pub(crate) fn totals(&self, client: usize) -> Option<Totals> {
        let session = self.clients[client].session;
        self.noticed.iter().find_map(|notice| match notice {
            Notice::Ended { session: ended, totals, .. } if *ended == session => Some(*totals),
            _ => None,
        })
    }
}

fn node_credentials(worker: WorkerIndex, client: usize, generation: u32) -> IceCredentials {
    let ufrag = placement::ufrag(worker, &format!("node{client:05}g{generation}"));
    IceCredentials { ufrag, password: format!("node-password-{client:05}-{generation}-0123456") }
}

fn peer_credentials(client: usize, generation: u32) -> IceCredentials {
    IceCredentials {
        ufrag: format!("p{client:05}g{generation}"),
        password: format!("peer-password-{client:05}-{generation}-0123456"),
    }
}

/// An address no client has.
pub(crate) fn stranger() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 99)), 9_999)
}
