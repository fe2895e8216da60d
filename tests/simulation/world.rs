//! The simulated world: production workers, clients and the network between them on one virtual clock, in one thread.
//!
//! Whatever is due next happens next: a datagram arrives, a client's timer fires, signalling's tick, a worker's round.
//! What happens at the same instant happens in that order and then by number, so a seed decides everything. What real
//! cryptography draws by itself (DTLS keys, certificates) is never looked at: the length of a DTLS datagram neither
//! reaches the network's model nor the trace.
//!
//! The node's clock may be ahead of the world's, by the jumps it made.

mod losses;
mod watching;

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::dtls::DtlsIdentity;
use corecast::lab::peer::fleet::Agent as _;
use corecast::lab::peer::record::LoadRecord;
use corecast::time::Timestamp;
use corecast::transport::{SendResult, TrainBatch, UdpPath};
use corecast::turn;
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtp::RtpHeader;
use corecast::wire::stun::{StunClass, StunMessage};
use corecast::worker::mailbox::Notice;
use corecast::worker::timers::{NEVER, Timers};

use crate::check::addresses::{Addresses, own_path};
use crate::check::content::Publication;
use crate::check::data::SharedTalk;
use crate::check::over_tcp;
use crate::check::{Violation, queues};
use crate::client::{self, Agent, Client, ClientId, node_address};
use crate::faults::{Fault, Faults};
use crate::forger::Forger;
use crate::io::{BUFFER_BYTES, Buffer, SocketSabotage, To};
use crate::node::Node;
use crate::rekeys::Keys;
use crate::scenario::{Sabotage, Scenario};
use crate::signalling::{Opening, Stream};
use crate::totals::Totals;
use crate::ways::{Connection, Passes};

/// Signalling and the scenario act so often.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// What the network takes the length of a DTLS datagram for: signatures differ by a byte from run to run.
pub(crate) const DTLS_BYTES: usize = 600;

/// Packet rings are looked at for overlaps once in so many rounds.
const RING_CHECK_ROUNDS: u64 = 4_096;

pub(crate) enum Flight {
    ToNode {
        worker: usize,
        path: UdpPath,
        len: usize,
        is_forged: bool,
        buffer: Buffer,
    },
    ToClient {
        client: ClientId,
        len: usize,
        buffer: Buffer,
    },
    /// A piece of what a client sends on a connection; the media that ends with it.
    ToStream {
        number: u32,
        piece: Vec<u8>,
        media: Option<(u32, u16)>,
    },
    /// A frame of the node's on a connection.
    FromStream {
        number: u32,
        frame: Vec<u8>,
    },
    Passes {
        number: u32,
        what: Passes,
    },
    /// A client makes another connection.
    Connect {
        client: ClientId,
    },
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) random: SeededRandom,
    pub(crate) now: Timestamp,
    /// How far the node's clock is ahead.
    pub(crate) ahead: Rc<Cell<Duration>>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) publications: Vec<Publication>,
    /// The node's certificate. Each client has its own.
    pub(crate) identity: DtlsIdentity,
    pub(crate) openings: Vec<Opening>,
    /// (worker, stream) whose route is to be told.
    pub(crate) routes: BTreeSet<(usize, usize)>,
    pub(crate) notices: flume::Receiver<Notice>,
    /// Signalling reads no notices before.
    pub(crate) notices_from: Timestamp,
    pub(crate) by_address: HashMap<SocketAddr, ClientId>,
    pub(crate) addresses: u32,
    pub(crate) faults: Faults,
    pub(crate) forger: Option<Forger>,
    pub(crate) accounts: Addresses,
    pub(crate) connections: Vec<Connection>,
    /// Those that both ends have.
    pub(crate) live: Vec<u32>,
    pub(crate) ways_random: SeededRandom,
    pub(crate) turn_secret: turn::Secret,
    /// What each publication says on data channels.
    pub(crate) talks: HashMap<u32, SharedTalk>,
    pub(crate) data_closed: u64,
    pub(crate) data_dropped: u64,
    pub(crate) keys: Keys,
    pub(crate) totals: Totals,
    pub(crate) trace: u64,
    /// Every decision, where a test wants to see the first that differs.
    pub(crate) trace_log: Option<Vec<(Timestamp, u64, u64, u64)>>,
    /// The client whose every datagram is printed.
    pub(crate) watched: Option<ClientId>,
    /// Everyone's silence counts from here on.
    pub(crate) excused: Timestamp,
    /// Every packet a viewer opened, where a test compares them: client, kind, publication, number.
    pub(crate) received: Option<BTreeSet<(ClientId, bool, usize, u64)>>,
    pub(crate) next_tick: Timestamp,
    pub(crate) violation: Option<Violation>,
    pub(crate) timers: Timers<ClientId>,
    pub(crate) out: TrainBatch,
    pub(crate) record: LoadRecord,
    flights: BinaryHeap<Reverse<(Timestamp, u64, u32)>>,
    slots: Vec<Option<Flight>>,
    free_slots: Vec<u32>,
    serial: u64,
    buffers: Vec<Buffer>,
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let now = Timestamp::from_millis(10_000);
        let identity = client::make_identity(scenario.seed);
        let (mut nodes, notices) = Node::make(&scenario.node, scenario.seed, now);
        for node in &mut nodes {
            node.io.send_faults = scenario.send_faults;
            node.io.receive_buffer_bytes = scenario.receive_buffer_bytes;
            node.io.sabotage = SocketSabotage {
                keeps_open: scenario.sabotage == Some(Sabotage::KeepOpen),
                refuses_media: scenario.sabotage == Some(Sabotage::RefuseMedia),
            };
        }
        let forger = (scenario.forgeries > 0.0).then(|| Forger::new(scenario.seed));
        let mut ways_random = SeededRandom::new(scenario.seed ^ 0x3a7_0000_0000);
        let mut secret = [0; 32];
        ways_random.fill(&mut secret);
        Self {
            random: SeededRandom::new(scenario.seed ^ 0x5ce2_a210),
            connections: Vec::new(),
            live: Vec::new(),
            ways_random,
            turn_secret: turn::Secret::new(&secret),
            talks: HashMap::new(),
            data_closed: 0,
            data_dropped: 0,
            keys: Keys::new(scenario.seed),
            streams: (0..scenario.streams).map(|_| Stream::new(scenario.node.workers)).collect(),
            scenario,
            now,
            ahead: Rc::default(),
            nodes,
            clients: Vec::new(),
            publications: Vec::new(),
            identity,
            openings: Vec::new(),
            routes: BTreeSet::new(),
            notices,
            notices_from: Timestamp::ZERO,
            by_address: HashMap::new(),
            addresses: 0,
            faults: Faults::default(),
            forger,
            accounts: Addresses::default(),
            totals: Totals::default(),
            trace: 0,
            trace_log: None,
            watched: None,
            excused: Timestamp::ZERO,
            received: None,
            next_tick: now,
            violation: None,
            timers: Timers::default(),
            out: TrainBatch::new(),
            record: LoadRecord::default(),
            flights: BinaryHeap::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            serial: 0,
            buffers: Vec::new(),
        }
    }

    /// Takes note of a decision, so that two runs of a seed can be compared.
    pub(crate) fn note(&mut self, what: u64, client: u64, more: u64) {
        if let Some(log) = &mut self.trace_log {
            log.push((self.now, what, client, more));
        }
        let word = self.now.as_nanos() ^ what << 56 ^ client << 40 ^ more.rotate_left(20);
        self.trace = (self.trace ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(27);
    }

    pub(crate) fn break_rule(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// Lets time pass until `until`, or until a rule is broken.
    pub(crate) fn run_until(&mut self, until: Timestamp) -> Result<(), Violation> {
        loop {
            if let Some(violation) = self.violation.take() {
                return Err(violation);
            }
            let flight = self.flights.peek().map_or(NEVER, |Reverse((at, ..))| *at);
            let timer = self.timers.next_deadline();
            let rounds = self.nodes.iter().map(|node| node.next_round(self.now, self.ahead.get())).zip(0..);
            let (round, worker) = rounds.min().unwrap_or((NEVER, 0));
            let next = flight.min(timer).min(self.next_tick).min(round);
            if next > until {
                self.now = until;
                return Ok(());
            }
            self.now = self.now.max(next);
            if flight == next {
                self.land();
            } else if timer == next {
                self.fire_timer();
            } else if self.next_tick == next {
                self.next_tick = self.next_tick + TICK;
                self.tick();
            } else {
                self.round(worker);
            }
        }
    }

    // --- the network ---

    pub(crate) fn fly(&mut self, at: Timestamp, flight: Flight) {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(flight);
        self.serial += 1;
        self.flights.push(Reverse((at.max(self.now), self.serial, slot)));
    }

    pub(crate) fn buffer(&mut self, bytes: &[u8]) -> Buffer {
        let mut buffer = self.buffers.pop().unwrap_or_else(|| Box::new([0; BUFFER_BYTES]));
        buffer[..bytes.len()].copy_from_slice(bytes);
        buffer
    }

    fn land(&mut self) {
        let Some(Reverse((_, _, slot))) = self.flights.pop() else { return };
        let Some(flight) = self.slots[slot as usize].take() else { return };
        self.free_slots.push(slot);
        match flight {
            Flight::ToNode { worker, path, len, is_forged, buffer } => {
                let at = self.now + self.ahead.get();
                let kind = demux::classify(&buffer[..len]);
                let (is_check, is_media) = (kind == DatagramKind::Stun, kind == DatagramKind::Rtp);
                if let Some(id) = self.by_address.get(&path.remote) {
                    let what = if is_forged { "is said to have sent" } else { "reaches the node with" };
                    self.watch(*id, what, &buffer[..len]);
                }
                let header = RtpHeader::parse(&buffer[..len]).ok().filter(|_| is_media);
                let header = header.map(|header| (header.ssrc, header.sequence));
                if self.nodes[worker].io.deliver(path, at, len, is_forged, buffer) {
                    self.accounts.arrived(path.remote, len);
                    self.count_at_risk(path.remote, is_forged, is_media);
                    if let Some((ssrc, sequence)) = header {
                        self.count_overtaken(ssrc, sequence);
                    }
                } else if !is_forged {
                    self.lose_at_worker(path.remote, is_check);
                }
            }
            Flight::ToClient { client, len, mut buffer } => {
                self.deliver(client, &mut buffer[..len]);
                self.buffers.push(buffer);
            }
            Flight::ToStream { number, piece, media } => self.arrive_over(number, piece, media),
            Flight::FromStream { number, frame } => self.deliver_over(number, &frame),
            Flight::Passes { number, what } => self.passes(number, what),
            Flight::Connect { client } => self.connect_again(client),
        }
    }

    /// Sends what a client has put into the batch.
    pub(crate) fn flush(&mut self, id: ClientId) {
        if self.out.is_empty() {
            return;
        }
        let worker = self.clients[id].worker;
        let path = UdpPath { remote: self.clients[id].address, local_ip: node_address(worker).ip(), socket: 0 };
        let Client { is_connected, has_read_dtls, connection, .. } = self.clients[id];
        if let Some(connection) = connection {
            return self.flush_over(id, connection);
        }
        for number in 0..self.out.trains().len() {
            let train = self.out.trains()[number];
            let (size, all) = (usize::from(train.segment_size), train.len as usize);
            for from in (0..all).step_by(size) {
                let bytes = &self.out.bytes(&train)[from..all.min(from + size)];
                let (len, kind) = (bytes.len(), demux::classify(bytes));
                if let Some(forger) = &mut self.forger {
                    forger.see(worker, path.remote, bytes);
                }
                let answers = StunMessage::parse(bytes).is_ok_and(|stun| stun.class() == StunClass::Success);
                if answers || is_connected || has_read_dtls && kind == DatagramKind::Dtls {
                    self.accounts.answered(path.remote);
                }
                let carried = if kind == DatagramKind::Dtls { DTLS_BYTES } else { len };
                let arrivals = self.clients[id].up.carry(self.now, carried, 0, &mut self.faults);
                self.watch(id, if arrivals[0].is_some() { "sends" } else { "sends, and it is lost," }, bytes);
                match kind {
                    DatagramKind::Rtp if arrivals[0].is_none() => self.lose_uplink(path.remote),
                    DatagramKind::Stun if arrivals[0].is_none() => self.lose_check(id),
                    _ => {}
                }
                for at in arrivals.into_iter().flatten() {
                    let mut buffer = self.buffers.pop().unwrap_or_else(|| Box::new([0; BUFFER_BYTES]));
                    buffer[..len].copy_from_slice(&self.out.bytes(&train)[from..from + len]);
                    self.fly(at, Flight::ToNode { worker, path, len, is_forged: false, buffer });
                }
            }
        }
        self.out.clear();
    }

    fn flush_over(&mut self, id: ClientId, connection: u32) {
        for number in 0..self.out.trains().len() {
            let train = self.out.trains()[number];
            let (size, all) = (usize::from(train.segment_size), train.len as usize);
            for from in (0..all).step_by(size) {
                let datagram = self.out.bytes(&train)[from..all.min(from + size)].to_vec();
                self.watch(id, "sends on a connection", &datagram);
                self.send_over(id, connection, &datagram);
            }
        }
        self.out.clear();
    }

    /// Data channels of a client.
    fn serve_data(&mut self, id: ClientId) {
        let client = &mut self.clients[id];
        let Some(mut data) = client.data.take() else { return };
        let peer = match &mut client.agent {
            Some(Agent::Viewer(viewer)) => viewer.peer_mut(),
            Some(Agent::Publisher(publisher)) => publisher.peer_mut(),
            None => return,
        };
        let heard = data.received;
        data.sabotage = self.scenario.sabotage;
        let result = data.serve(peer, &mut self.out, self.now, &self.talks, client.stream);
        if data.received > heard {
            self.totals.heard += data.received - heard;
            self.note(18, id as u64, data.received);
        }
        if let Err(violation) = result {
            self.break_rule(Violation { what: format!("client {id}: {}", violation.what), ..violation });
        }
        self.clients[id].data = Some(data);
    }

    // --- clients ---

    fn fire_timer(&mut self) {
        let Some((deadline, id)) = self.timers.pop_due(self.now) else { return };
        if self.clients[id].armed == deadline {
            self.clients[id].armed = NEVER;
            self.act(id);
        }
    }

    /// Lets a client do what is due, and arms its timer.
    pub(crate) fn act(&mut self, id: ClientId) {
        let now = self.now;
        let client = &mut self.clients[id];
        if client.next_deadline() <= now {
            if let Some(publication) = client.publication {
                self.publications[publication].log.lock().now = now;
            }
            match &mut client.agent {
                Some(Agent::Viewer(viewer)) => viewer.handle_timeout(now, &mut self.out, &mut self.record),
                Some(Agent::Publisher(publisher)) => publisher.handle_timeout(now, &mut self.out, &mut self.record),
                None => {}
            }
            self.note(1, id as u64, 0);
            self.serve_data(id);
            self.flush(id);
        }
        self.after_client(id);
    }

    fn after_client(&mut self, id: ClientId) {
        let client = &mut self.clients[id];
        let connected = match &client.agent {
            Some(Agent::Viewer(viewer)) => viewer.is_connected(),
            Some(Agent::Publisher(publisher)) => publisher.is_connected(),
            None => false,
        };
        if connected && !client.is_connected {
            client.is_connected = true;
            match client.first == id {
                true => client.excused = client.excused.max(self.now),
                // Another transport of a session is no excuse for anybody's silence but its own until now.
                false => client.heard.begin(self.now),
            }
            self.connected(id);
        }
        if self.clients[id].agent.is_some() && self.clients[id].has_ended() {
            self.note(9, id as u64, 0);
            self.drop_agent(id, false);
        }
        let client = &mut self.clients[id];
        // What stays due is done a little later, not for ever now.
        let due = client.next_deadline().max(self.now + Duration::from_nanos(1));
        if due < NEVER {
            self.timers.arm(id, &mut client.armed, due);
        }
    }

    pub(crate) fn deliver(&mut self, id: ClientId, bytes: &mut [u8]) {
        let now = self.now;
        let kind = demux::classify(bytes);
        let traced = if kind == DatagramKind::Dtls { DTLS_BYTES } else { bytes.len() };
        self.note(2, id as u64, traced as u64);
        self.watch(id, "gets", bytes);
        let client = &mut self.clients[id];
        client.has_read_dtls |= kind == DatagramKind::Dtls;
        match &mut client.agent {
            None => return,
            Some(Agent::Publisher(publisher)) => {
                publisher.handle_datagram(bytes, now, &mut self.out, &mut self.record);
            }
            Some(Agent::Viewer(viewer)) => {
                let unauthentic = self.record.counts.unauthentic;
                viewer.handle_datagram(bytes, now, &mut self.out, &mut self.record);
                if self.record.counts.unauthentic > unauthentic {
                    let what = format!("viewer {id} got a packet that is not sealed with its key");
                    self.violation.get_or_insert(Violation::new("own key", what));
                } else if kind == DatagramKind::Rtp && viewer.is_connected() {
                    self.totals.delivered += 1;
                    let opened = viewer.opened();
                    self.check_packet(id, bytes, opened);
                }
            }
        }
        self.serve_data(id);
        self.flush(id);
        self.after_client(id);
    }

    // --- workers ---

    fn round(&mut self, worker: usize) {
        let node = &mut self.nodes[worker];
        node.round(self.now, self.ahead.get());
        self.totals.rounds += 1;
        let holdings = node.worker.holdings();
        if holdings.notices > 0 {
            self.faults.count(Fault::NoticesFull);
        }
        let mut sessions_max = self.scenario.node.sessions_max;
        if self.scenario.sabotage == Some(Sabotage::SmallLimit) {
            sessions_max = 0;
        }
        if let Err(violation) = queues::within_limits(&holdings, sessions_max) {
            self.violation.get_or_insert(violation);
        }
        let changing = self.keys.changes.iter().filter(|change| self.clients[change.new].worker == worker).count();
        if holdings.sessions > holdings.session_names + changing {
            let what = format!("worker {worker}: {changing} change their keys, and it has {holdings:?}");
            self.violation.get_or_insert(Violation::new("one session", what));
        }
        let longest = if self.scenario.sabotage == Some(Sabotage::NoQueue) {
            0
        } else {
            over_tcp::queue_bytes_max(self.scenario.ways.data > 0.0)
        };
        let waiting = node.io.connections.waiting_bytes_max();
        if waiting > longest {
            let what = format!("{waiting} bytes wait for a connection, at most {longest}");
            self.violation.get_or_insert(Violation::new("queues within limits", what));
        }
        if node.io.torn_batches > 0
            || self.totals.rounds.is_multiple_of(RING_CHECK_ROUNDS) && !node.worker.rings_are_disjoint()
        {
            self.violation
                .get_or_insert(Violation::new("one owner", format!("worker {worker}: a byte with two owners")));
        }
        for node in &mut self.nodes {
            node.look_for_wakes(self.now);
        }
        self.collect(worker);
        self.collect_connections(worker);
    }

    /// Takes what a worker handed over to the checkers and the network.
    fn collect(&mut self, worker: usize) {
        let io = &mut self.nodes[worker].io;
        self.buffers.append(&mut io.spent);
        let (sent, bytes) = (std::mem::take(&mut io.sent), std::mem::take(&mut io.bytes));
        self.note(3, worker as u64, sent.len() as u64);
        for train in &sent {
            let path = match train.to {
                To::Udp(path) => path,
                To::Connection(number) => {
                    self.watch_sealed(
                        number,
                        train.result,
                        bytes[train.start..][..train.len].chunks(train.segment_size),
                    );
                    continue;
                }
            };
            if let Err(violation) = self.accounts.sent(path.remote, train.len) {
                self.break_rule(violation);
            }
            let holder = self.by_address.get(&path.remote).copied();
            for datagram in bytes[train.start..train.start + train.len].chunks(train.segment_size) {
                if let (DatagramKind::Rtp, Ok(header)) = (demux::classify(datagram), RtpHeader::parse(datagram))
                    && let Err(violation) = own_path(header.ssrc, path.remote, holder)
                {
                    self.break_rule(violation);
                }
            }
            let Some(id) = holder else { continue };
            let at = train.at - self.ahead.get();
            let is_current = self.clients[id].address == path.remote;
            for (segment, datagram) in
                bytes[train.start..train.start + train.len].chunks(train.segment_size).enumerate()
            {
                self.watch_epoch(id, datagram);
                let observed = self.clients[id].sealed.observe(datagram);
                match observed {
                    Ok(crate::check::sealed_once::Sealed::Rtp { .. }) => {
                        self.totals.sealed += 1;
                        self.sabotage(id, datagram);
                    }
                    Ok(_) => {}
                    Err(violation) => {
                        self.break_rule(Violation { what: format!("client {id}: {}", violation.what), ..violation });
                    }
                }
                if train.result != SendResult::Sent {
                    self.watch(id, "is not sent", datagram);
                    continue;
                }
                if !is_current {
                    self.watch(id, "is sent, to an address it had,", datagram);
                    self.faults.count(Fault::ToOldAddress);
                    continue;
                }
                let kind = demux::classify(datagram);
                let len = if kind == DatagramKind::Dtls { DTLS_BYTES } else { datagram.len() };
                let arrivals = self.clients[id].down.carry(at, len, segment, &mut self.faults);
                self.watch(id, if arrivals[0].is_some() { "is sent" } else { "is sent, and it is lost," }, datagram);
                // The node's request, or its answer: without it the address stays unproven until the client's next check.
                if kind == DatagramKind::Stun && arrivals[0].is_none() {
                    self.lose_check(id);
                }
                for at in arrivals.into_iter().flatten() {
                    let buffer = self.buffer(datagram);
                    self.fly(at, Flight::ToClient { client: id, len: datagram.len(), buffer });
                }
            }
        }
        let io = &mut self.nodes[worker].io;
        (io.sent, io.bytes) = (sent, bytes);
        io.clear_sent();
    }
}
