//! How clients reach the node where UDP does not: connections that carry frames, and TURN in them; clients that change in
//! the middle, connections that stop and break.
//!
//! Signalling's part is small and made here: it looks at the first frame, or greets a TURN client (the node's own
//! [`Greeting`]), and hands the connection to the session's worker through its mailbox. TLS around TURN is left out, because
//! its records' lengths would differ from run to run: `tests/node/over_turn.rs` has it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::description::Direction;
use corecast::lab::peer::ClientPeer;
use corecast::net::{Accepted, AcceptedStream, Carries, TurnConnection};
use corecast::time::Timestamp;
use corecast::turn::{Framed, Greeted, Greeting, first};
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtp::RtpHeader;
use corecast::worker::mailbox::Control;
use corecast::worker::timers::NEVER;

use crate::check::Violation;
use crate::check::addresses::own_path;
use crate::client::{self, Agent, ClientId, node_address};
use crate::faults::Fault;
use crate::scenario::{Sabotage, between, pick};
use crate::tcp::{Tcp, TcpProfile, datagram_of};
use crate::turn::{Told, TurnEnd};
use crate::world::{Flight, World};

const MS: Duration = Duration::from_millis(1);

/// How long a new way may take until the node sends on it.
const SETTLING: Duration = Duration::from_secs(3);

/// From a transport's end until its connections are closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// How a client reaches the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    #[default]
    Udp,
    /// Frames on a connection.
    Tcp,
    /// TURN in a connection: on a channel, or in indications.
    Turn { channel: bool },
}

/// One connection, with its client's end.
pub(crate) struct Connection {
    pub(crate) tcp: Rc<RefCell<Tcp>>,
    turn: Option<TurnEnd>,
    greeting: Option<Greeting>,
    remote: SocketAddr,
    worker: usize,
    /// Since when its client uses it.
    since: Option<Timestamp>,
}

/// What happens to a connection after a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Passes {
    /// It is made.
    Made,
    /// Its client learns that it is gone.
    Lost,
}

fn peer_of(agent: &mut Option<Agent>) -> Option<&mut ClientPeer> {
    match agent {
        Some(Agent::Viewer(viewer)) => Some(viewer.peer_mut()),
        Some(Agent::Publisher(publisher)) => Some(publisher.peer_mut()),
        None => None,
    }
}

/// What a connection is like. A publisher's is kinder: what waits there, waits for everyone.
fn profile(direction: Direction, random: &mut SeededRandom) -> TcpProfile {
    let delay = Duration::from_micros(between(random, 500, 80_000));
    let is_thin = direction == Direction::Play && random.u64().is_multiple_of(2);
    let rate = between(random, 600_000, 3_000_000);
    let stops = random.u64().is_multiple_of(3);
    TcpProfile {
        delay,
        rate: if is_thin { rate } else { 0 },
        window: between(random, 3_000, 30_000),
        stop_every: if stops { Duration::from_millis(between(random, 2_000, 9_000)) } else { Duration::ZERO },
        stop_max: Duration::from_millis(pick(random, &[50, 300, 1_500])),
        cuts: !random.u64().is_multiple_of(4),
    }
}

impl World {
    /// How a client that joins reaches the node.
    pub(crate) fn draw_way(&mut self) -> Way {
        let share = self.scenario.ways.share;
        if share == 0.0 {
            return Way::Udp;
        }
        let draw = self.ways_random.u64();
        if (draw >> 40) as f64 / (1_u64 << 24) as f64 >= share {
            return Way::Udp;
        }
        match draw % 4 {
            0 => Way::Turn { channel: true },
            1 => Way::Turn { channel: false },
            _ => Way::Tcp,
        }
    }

    /// Whether a client has data channels.
    pub(crate) fn draw_data(&mut self) -> bool {
        let share = self.scenario.ways.data;
        share > 0.0 && (self.ways_random.u64() >> 40) as f64 / (1_u64 << 24) as f64 <= share
    }

    /// UDP is dead for a client, which goes another way.
    pub(crate) fn leave_udp(&mut self, id: ClientId) {
        let client = &mut self.clients[id];
        client.is_without_udp = true;
        client.up.out_until = NEVER;
        client.down.out_until = NEVER;
    }

    /// A client begins a connection.
    pub(crate) fn connect(&mut self, id: ClientId) {
        let client = &self.clients[id];
        if client.agent.is_none() || !client.is_open || client.connecting.is_some() || client.way == Way::Udp {
            return;
        }
        let number = self.connections.len() as u32;
        let profile = profile(client.direction, &mut self.ways_random);
        let is_turn = matches!(client.way, Way::Turn { .. });
        let turn = match client.way {
            Way::Turn { channel } => {
                let credentials = self.turn_secret.credentials(client.first as u64, 0);
                Some(TurnEnd::new(&credentials, channel, node_address(client.worker)))
            }
            Way::Tcp | Way::Udp => None,
        };
        self.faults.count(if is_turn { Fault::TurnMade } else { Fault::ConnectionMade });
        self.addresses += 1;
        let remote = client::address(self.addresses);
        let mut seed = [0; 16];
        self.ways_random.fill(&mut seed);
        let greeting = is_turn.then(|| Greeting::new(remote, seed, self.now + self.ahead.get()));
        let stream = self.ways_random.u64();
        let mut tcp = Tcp::new(id, is_turn, profile, Rc::clone(&self.ahead), self.now, stream);
        tcp.swallows = self.scenario.sabotage == Some(Sabotage::Swallow);
        let worker = client.worker;
        self.connections.push(Connection {
            tcp: Rc::new(RefCell::new(tcp)),
            turn,
            greeting,
            remote,
            worker,
            since: None,
        });
        self.clients[id].connecting = Some(number);
        self.note(16, id as u64, u64::from(number));
        self.fly(self.now + 2 * profile.delay, Flight::Passes { number, what: Passes::Made });
    }

    pub(crate) fn passes(&mut self, number: u32, what: Passes) {
        let id = self.connections[number as usize].tcp.borrow().client;
        self.note(17, id as u64, what as u64);
        if self.clients[id].agent.is_none() {
            return;
        }
        match what {
            Passes::Made if self.clients[id].connecting == Some(number) => {
                self.live.push(number);
                match self.connections[number as usize].turn.as_mut().map(TurnEnd::begin) {
                    Some(allocate) => self.send_piecewise(number, allocate, None),
                    None => self.use_way(id, number),
                }
            }
            Passes::Made => {}
            Passes::Lost => {
                let client = &mut self.clients[id];
                if client.connecting == Some(number) || client.connection == Some(number) {
                    (client.connecting, client.connection) = (None, None);
                    let pause = MS * between(&mut self.ways_random, 20, 400) as u32;
                    self.fly(self.now + pause, Flight::Connect { client: id });
                }
            }
        }
    }

    /// Its connection is gone: it makes another one, or goes back to UDP where it has that.
    pub(crate) fn connect_again(&mut self, id: ClientId) {
        let client = &self.clients[id];
        if client.connecting.is_some() || client.connection.is_some() {
            return;
        }
        if !client.is_without_udp && self.ways_random.u64().is_multiple_of(4) {
            self.faults.count(Fault::WayBack);
            let client = &mut self.clients[id];
            client.way = Way::Udp;
            let (now, node) = (self.now, node_address(client.worker));
            if let Some(peer) = peer_of(&mut client.agent) {
                peer.change_path(node, now);
            }
            self.excuse(id, now + SETTLING);
            return self.act(id);
        }
        self.connect(id);
    }

    /// A client's datagrams go over a connection from now on: it checks there at once.
    fn use_way(&mut self, id: ClientId, number: u32) {
        let now = self.now;
        self.connections[number as usize].since = Some(now);
        let client = &mut self.clients[id];
        (client.connection, client.connecting) = (Some(number), None);
        let node = node_address(client.worker);
        if let Some(peer) = peer_of(&mut client.agent) {
            peer.change_path(node, now);
        }
        self.excuse(id, now + SETTLING);
        self.act(id);
    }

    /// Its silence, or that of the stream it publishes, does not count before `until`.
    pub(crate) fn excuse(&mut self, id: ClientId, until: Timestamp) {
        let client = &mut self.clients[id];
        client.excused = client.excused.max(until);
        if client.direction == Direction::Publish {
            let stream = &mut self.streams[client.stream];
            stream.excused = stream.excused.max(until);
        }
    }

    /// A datagram of a client that is on a connection.
    pub(crate) fn send_over(&mut self, id: ClientId, number: u32, datagram: &[u8]) {
        let kind = demux::classify(datagram);
        let connection = &self.connections[number as usize];
        let since = connection.since.unwrap_or(NEVER);
        let has_path =
            peer_of(&mut self.clients[id].agent).and_then(|peer| peer.last_answer()).is_some_and(|at| at > since);
        // The first datagram is a check: by it signalling knows whose the connection is.
        if !connection.tcp.borrow().is_usable() || !has_path && kind != DatagramKind::Stun {
            if kind == DatagramKind::Rtp {
                self.streams[self.clients[id].stream].uplink_lost += 1;
            }
            return;
        }
        let frame = match &connection.turn {
            Some(turn) => turn.wrap(datagram),
            None => [&(datagram.len() as u16).to_be_bytes(), datagram].concat(),
        };
        let media = RtpHeader::parse(datagram).ok().filter(|_| kind == DatagramKind::Rtp);
        self.send_piecewise(number, frame, media.map(|header| (header.ssrc, header.sequence)));
    }

    fn send_piecewise(&mut self, number: u32, frame: Vec<u8>, media: Option<(u32, u16)>) {
        let pieces = self.connections[number as usize].tcp.borrow_mut().send(self.now, frame);
        let last = pieces.len() - 1;
        for (at, (arrives, piece)) in pieces.into_iter().enumerate() {
            let media = media.filter(|_| at == last);
            self.fly(arrives, Flight::ToStream { number, piece, media });
        }
    }

    /// A piece of what a client sent arrives at the node.
    pub(crate) fn arrive_over(&mut self, number: u32, piece: Vec<u8>, media: Option<(u32, u16)>) {
        let Connection { tcp, worker, .. } = &self.connections[number as usize];
        let (tcp, worker) = (Rc::clone(tcp), *worker);
        let id = tcp.borrow().client;
        let stream = self.clients[id].stream;
        if !tcp.borrow().is_usable() {
            self.streams[stream].uplink_lost += u64::from(media.is_some());
            return;
        }
        if let Some((ssrc, sequence)) = media {
            tcp.borrow_mut().unread_media += 1;
            self.count_overtaken(ssrc, sequence);
            if self.clients[id].excused > self.now {
                self.streams[stream].at_risk += 1;
            }
        }
        tcp.borrow_mut().arrive(piece);
        let was_handed_over = tcp.borrow().was_handed_over;
        if !was_handed_over {
            self.accept(number);
        }
        self.nodes[worker].look_for_wakes(self.now);
    }

    /// Signalling looks at what a connection begins with.
    fn accept(&mut self, number: u32) {
        let tcp = Rc::clone(&self.connections[number as usize].tcp);
        if !tcp.borrow().is_turn {
            let seen = tcp.borrow().peek();
            let whole = |length: &[u8; 2]| seen.len() >= 2 + usize::from(u16::from_be_bytes(*length));
            if seen.first_chunk().is_some_and(whole) {
                self.hand_over(number, Carries::Frames);
            }
            return;
        }
        let bytes = tcp.borrow_mut().take();
        let mut at = 0;
        while let Framed::Whole(len) = first(&bytes[at..]) {
            let message = &bytes[at..at + len];
            at += len;
            let connection = &mut self.connections[number as usize];
            let Some(greeting) = &mut connection.greeting else { return };
            let is_open = |session: u64| self.clients[session as usize].is_open;
            let (now, mut out) = (self.now + self.ahead.get(), Vec::new());
            match greeting.receive(message, &self.turn_secret, is_open, (now, 0), &mut out) {
                Greeted::Answered => tcp.borrow_mut().answer(self.now, &out),
                Greeted::Admitted(mut client) => {
                    let mut reachable = vec![node_address(connection.worker)];
                    if self.scenario.sabotage == Some(Sabotage::OpenRelay) {
                        reachable.push(SocketAddr::from(([9, 9, 9, 9], 53)));
                    }
                    client.reach(reachable);
                    let early = message.to_vec();
                    let turn = TurnConnection { client, tls: None, early };
                    self.hand_over(number, Carries::Turn(Box::new(turn)));
                    break;
                }
                Greeted::Closed => {
                    tcp.borrow_mut().is_closed_by_node = true;
                    break;
                }
            }
        }
        if at < bytes.len() {
            tcp.borrow_mut().arrive(bytes[at..].to_vec());
        }
        self.collect_frames(number);
    }

    fn hand_over(&mut self, number: u32, carries: Carries) {
        let Connection { tcp, remote, worker, .. } = &self.connections[number as usize];
        let (tcp, remote, worker) = (Rc::clone(tcp), *remote, *worker);
        tcp.borrow_mut().was_handed_over = true;
        let local_ip = node_address(worker).ip();
        let node = &mut self.nodes[worker];
        node.io.connections.offer(number, tcp.clone());
        let accepted = Accepted { stream: AcceptedStream::Simulated(number), remote, local_ip, carries };
        if !node.try_control(Control::Connect(Box::new(accepted)), &mut self.faults) {
            self.faults.count(Fault::ConnectionRefused);
            tcp.borrow_mut().is_closed_by_node = true;
        }
    }

    /// Takes what the node wrote on the connections of a worker, and notes which of them it has closed.
    pub(crate) fn collect_connections(&mut self, worker: usize) {
        if self.live.is_empty() {
            return;
        }
        let of_worker = |number: &u32| self.connections[*number as usize].worker == worker;
        let numbers: Vec<u32> = self.live.iter().copied().filter(of_worker).collect();
        numbers.into_iter().for_each(|number| self.collect_frames(number));
        if self.nodes[worker].io.foreign_datagrams > 0 {
            self.break_rule(Violation::new("no open relay", "a datagram for a foreign peer was taken for the node's"));
        }
    }

    fn collect_frames(&mut self, number: u32) {
        let tcp = Rc::clone(&self.connections[number as usize].tcp);
        let mut tcp = tcp.borrow_mut();
        for frame in std::mem::take(&mut tcp.written) {
            self.fly(frame.arrives, Flight::FromStream { number, frame: frame.bytes });
        }
        if tcp.bytes_after_end > 0 {
            let what = format!("{} bytes for session {} after its end", tcp.bytes_after_end, tcp.client);
            self.break_rule(Violation::new("nothing after the end", what));
        }
        if !tcp.is_usable() {
            let lost = std::mem::take(&mut tcp.unread_media);
            self.streams[self.clients[tcp.client].stream].uplink_lost += lost;
            self.live.retain(|live| *live != number);
            let learns = self.now + tcp.profile().delay;
            self.fly(learns, Flight::Passes { number, what: Passes::Lost });
        }
    }

    /// A frame of the node's arrives at the client.
    pub(crate) fn deliver_over(&mut self, number: u32, frame: &[u8]) {
        let connection = &mut self.connections[number as usize];
        let (id, is_broken) = {
            let tcp = connection.tcp.borrow();
            (tcp.client, tcp.is_broken)
        };
        if is_broken || self.clients[id].agent.is_none() {
            return;
        }
        let remote = connection.remote;
        let told = match &mut connection.turn {
            Some(turn) => turn.receive(frame),
            None => Told::Datagram(datagram_of(frame, false).unwrap_or_default().to_vec()),
        };
        match told {
            Told::Datagram(mut datagram) => {
                if let (DatagramKind::Rtp, Ok(header)) = (demux::classify(&datagram), RtpHeader::parse(&datagram))
                    && let Err(violation) = own_path(header.ssrc, remote, Some(id))
                {
                    self.break_rule(violation);
                }
                self.deliver(id, &mut datagram);
            }
            Told::Answer(messages) => {
                messages.into_iter().for_each(|message| self.send_piecewise(number, message, None));
            }
            Told::Ready => {
                if self.clients[id].connecting == Some(number) {
                    self.use_way(id, number);
                }
            }
            Told::Granted(what) => self.break_rule(Violation::new("no open relay", what)),
            // The session ended meanwhile, or has as many as it may: the connection is closed.
            Told::Refused => {}
        }
    }

    /// A client's connection breaks: neither end is told before it uses it.
    pub(crate) fn break_connection(&mut self, id: ClientId) {
        let Some(number) = self.clients[id].connection else { return };
        self.faults.count(Fault::ConnectionBroken);
        self.connections[number as usize].tcp.borrow_mut().is_broken = true;
        self.excuse(id, self.now + SETTLING);
        self.collect_frames(number);
    }

    /// What happens to ways in a tick.
    pub(crate) fn disturb_ways(&mut self) {
        if self.scenario.ways.share == 0.0 {
            return;
        }
        let rates = self.scenario.ways;
        if self.happens_to_ways(rates.changes) {
            let udp = |client: &client::Client| client.way == Way::Udp && !client.is_forger;
            if let Some(id) = self.anyone_on_way(udp) {
                self.faults.count(Fault::WayChanged);
                self.clients[id].way = match self.ways_random.u64() % 4 {
                    0 => Way::Turn { channel: true },
                    1 => Way::Turn { channel: false },
                    _ => Way::Tcp,
                };
                // Half of them because UDP is dead.
                if self.ways_random.u64().is_multiple_of(2) {
                    self.leave_udp(id);
                }
                self.excuse(id, self.now + SETTLING);
                self.connect(id);
            }
        }
        if self.happens_to_ways(rates.breaks)
            && let Some(id) = self.anyone_on_way(|client| client.connection.is_some())
        {
            self.break_connection(id);
        }
        if self.happens_to_ways(rates.stops)
            && let Some(id) = self.anyone_on_way(|client| client.connection.is_some())
        {
            let until = self.now + MS * between(&mut self.ways_random, 100, 3_000) as u32;
            let up = self.ways_random.u64().is_multiple_of(3);
            if let Some(number) = self.clients[id].connection {
                self.connections[number as usize].tcp.borrow_mut().stop_until(until, up);
            }
        }
        for id in 0..self.clients.len() {
            let client = &self.clients[id];
            if client.way == Way::Udp || client.agent.is_none() {
                continue;
            }
            let stops = match client.connection {
                Some(number) => {
                    let tcp = self.connections[number as usize].tcp.borrow();
                    if tcp.is_usable() { tcp.stopped_until() } else { self.now + SETTLING }
                }
                None => self.now + SETTLING,
            };
            if stops > self.now {
                self.excuse(id, stops);
            }
        }
    }

    fn happens_to_ways(&mut self, rate: f64) -> bool {
        let draw = (self.ways_random.u64() >> 11) as f64 / (1_u64 << 53) as f64;
        draw < rate * crate::world::TICK.as_secs_f64()
    }

    fn anyone_on_way(&mut self, is_it: impl Fn(&client::Client) -> bool) -> Option<ClientId> {
        let there = |client: &client::Client| client.is_connected && client.is_open && is_it(client);
        let count = self.clients.iter().filter(|client| there(client)).count();
        let chosen = self.ways_random.u64() as usize % count.max(1);
        self.clients.iter().enumerate().filter(|(_, client)| there(client)).nth(chosen).map(|(id, _)| id)
    }

    /// A transport has ended, and its session goes on: nothing more may be written on the connections that carried it. On one that
    /// was just made for it a TURN client may still be answered, until its client closes it.
    pub(crate) fn transport_ended(&mut self, id: ClientId) {
        let (now, node) = (self.now, &self.nodes[self.clients[id].worker]);
        let carried = |since: Option<Timestamp>| since.is_some_and(|since| since.max(node.excused) + SETTLING < now);
        for (number, connection) in self.connections.iter().enumerate().filter(|(_, it)| carried(it.since)) {
            let mut tcp = connection.tcp.borrow_mut();
            if tcp.client == id && tcp.is_usable() {
                tcp.session_has_ended = true;
                self.keys.closing.push((now + CLOSED_WITHIN, number as u32));
            }
        }
    }

    /// The node has closed the connections of transports that have ended.
    pub(crate) fn check_closing(&mut self) {
        let now = self.now;
        let due: Vec<u32> = self.keys.closing.iter().filter(|(at, _)| *at <= now).map(|(_, number)| *number).collect();
        self.keys.closing.retain(|(at, _)| *at > now);
        for number in due {
            let connection = &self.connections[number as usize];
            let tcp = connection.tcp.borrow();
            if tcp.is_usable() && self.nodes[connection.worker].excused + CLOSED_WITHIN < now {
                let what = format!("connection {number} of transport {}, which has ended, is open", tcp.client);
                drop(tcp);
                return self.break_rule(Violation::new("nothing after the end", what));
            }
        }
    }

    /// A client's session has ended: nothing more may be written on its connections.
    pub(crate) fn session_ended(&mut self, id: ClientId) {
        for connection in &self.connections {
            let mut tcp = connection.tcp.borrow_mut();
            if tcp.client == id {
                tcp.session_has_ended = true;
            }
        }
    }
}
