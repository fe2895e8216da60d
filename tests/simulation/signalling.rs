//! What signalling does for the simulated node: opens and closes sessions, tells workers where streams come from and go
//! to, reads notices; through the same bounded mailboxes, with the same answers to their being full as
//! `src/signal` has (an `Open` is refused, `Close` and `Route` wait; a route is told in its newest state only).
//!
//! Left out: HTTP, SDP, admission of waiting viewers: they never reach a worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use corecast::description::Direction;
use corecast::lab::peer::fleet::Agent as _;
use corecast::limits;
use corecast::placement;
use corecast::time::Timestamp;
use corecast::transport::UdpPath;
use corecast::worker::mailbox::{
    Control, EndReason, Listener, Notice, OpenRefused, Origin, SessionId, StreamId, WorkerIndex,
};
use corecast::worker::timers::NEVER;

use crate::check::Violation;
use crate::check::content::{Content, Publication};
use crate::check::data::Talk;
use crate::check::sealed_once::SealedOnce;
use crate::check::silence::Heard;
use crate::check::timeline::Continuity;
use crate::client::{self, Agent, Client, ClientId, Joining, Wish};
use crate::data::DataEnd;
use crate::faults::Fault;
use crate::link::{Link, LinkProfile};
use crate::scenario::Sabotage;
use crate::script::{SharedLog, SimScript};
use crate::ways::Way;
use crate::world::World;

/// A stream as signalling knows it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Who publishes it: the name is taken until that session has ended.
    pub(crate) publisher: Option<ClientId>,
    /// Whether its publisher is meant to be sending.
    pub(crate) is_live: bool,
    /// Open viewers on each worker.
    pub(crate) viewers: Vec<usize>,
    /// How often each worker began to have any.
    memberships: Vec<u64>,
    /// Its viewers' silence counts from here on.
    pub(crate) excused: Timestamp,
    /// Media datagrams of its publishers that never reached a worker.
    pub(crate) uplink_lost: u64,
    /// Those that came from addresses which the node may not have known.
    pub(crate) at_risk: u64,
    /// Its media datagrams that reached a worker behind later ones.
    pub(crate) overtaken: u64,
    /// The newest number of each source that has reached a worker.
    pub(crate) newest: HashMap<u32, u16>,
    /// When somebody publishes it again.
    pub(crate) return_at: Timestamp,
    pub(crate) publications: u64,
}

impl Stream {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            publisher: None,
            is_live: false,
            viewers: vec![0; workers],
            memberships: vec![0; workers],
            excused: Timestamp::ZERO,
            uplink_lost: 0,
            at_risk: 0,
            overtaken: 0,
            newest: HashMap::new(),
            return_at: Timestamp::ZERO,
            publications: 0,
        }
    }

    fn add_viewer(&mut self, worker: usize) {
        self.memberships[worker] += u64::from(self.viewers[worker] == 0);
        self.viewers[worker] += 1;
    }
}

/// A session that was asked for.
pub(crate) struct Opening {
    client: ClientId,
    wish: Wish,
    answer: flume::Receiver<Result<(), OpenRefused>>,
    asked: Timestamp,
}

impl World {
    /// Asks for a session. Its agent begins once the worker has answered.
    pub(crate) fn open(&mut self, wish: Wish) -> ClientId {
        let id = self.clients.len();
        let session = SessionId(id as u64);
        let worker = usize::from(placement::choose(session, self.nodes.len() as u16).0.0);
        // What reaches past the mailbox cannot reach a worker that makes no rounds.
        let wish = match wish.joining {
            Joining::Preconnected if self.nodes[worker].is_stalled(self.now) => {
                Wish { joining: Joining::Handshake, ..wish }
            }
            _ => wish,
        };
        // Neither is there without a handshake.
        let wish = match wish.joining {
            Joining::Handshake => wish,
            Joining::Preconnected => Wish { way: Way::Udp, data: false, ..wish },
        };
        let links = self.scenario.links(wish.direction, &mut self.random);
        self.add_client(id, worker, wish, links);
        let identity = &self.clients[id].identity;
        let (request, answer) = client::open_session(id, worker, &wish, identity, &self.identity);
        if wish.direction == Direction::Publish {
            self.streams[wish.stream].publisher = Some(id);
        }
        let opened = match wish.joining {
            Joining::Handshake => {
                let sent = self.nodes[worker].try_control(Control::Open(Box::new(request)), &mut self.faults);
                if sent {
                    self.openings.push(Opening { client: id, wish, answer, asked: self.now });
                }
                sent
            }
            Joining::Preconnected => {
                let path = UdpPath {
                    remote: self.clients[id].address,
                    local_ip: client::node_address(worker).ip(),
                    socket: 0,
                };
                let keys = client::preset_keys(id, false);
                let now = self.now + self.ahead.get();
                let answer = self.nodes[worker].worker.open_connected(request, &keys, path, now);
                self.nodes[worker].wake(self.now);
                self.opened(id, &wish, answer);
                answer.is_ok()
            }
        };
        if !opened {
            self.not_opened(id);
        }
        id
    }

    /// Another client, of the session that `first` began.
    pub(crate) fn add_client(
        &mut self,
        first: ClientId,
        worker: usize,
        wish: Wish,
        (up, down): (LinkProfile, LinkProfile),
    ) -> ClientId {
        let id = self.clients.len();
        self.addresses += 1;
        let seed = self.scenario.seed ^ (id as u64) << 24;
        let identity = match wish.joining {
            Joining::Handshake => client::make_identity(seed),
            Joining::Preconnected => self.identity.clone(),
        };
        self.clients.push(Client {
            session: SessionId(first as u64),
            wish,
            first,
            transport: id,
            next: None,
            rekeys: 0,
            sealed_since: None,
            sealed_ahead: Duration::ZERO,
            over: None,
            is_leaving: false,
            stream: wish.stream,
            worker,
            direction: wish.direction,
            sources: client::sources(id, wish.rtx),
            identity,
            agent: None,
            is_open: false,
            is_served: false,
            is_connected: false,
            has_read_dtls: false,
            is_forger: false,
            handshake_forged: false,
            node_connected: wish.joining == Joining::Preconnected,
            way: wish.way,
            connection: None,
            connecting: None,
            is_without_udp: false,
            data: None,
            publication: None,
            address: client::address(self.addresses),
            up: Link::new(up, true, seed ^ 0x11),
            down: Link::new(down, false, seed ^ 0x22),
            armed: NEVER,
            ice_generation: 0,
            excused: if first == id { self.now } else { Timestamp::ZERO },
            heard: Heard::default(),
            sealed: SealedOnce::default(),
            content: Content::default(),
            continuity: Continuity::default(),
        });
        id
    }

    fn not_opened(&mut self, id: ClientId) {
        let stream = &mut self.streams[self.clients[id].stream];
        if stream.publisher == Some(id) {
            stream.publisher = None;
            stream.return_at = self.now + Duration::from_millis(500);
        }
    }

    fn opened(&mut self, id: ClientId, wish: &Wish, answer: Result<(), OpenRefused>) {
        self.note(4, id as u64, u64::from(answer.is_ok()));
        if answer.is_err() {
            self.faults.count(Fault::SessionsFull);
            self.not_opened(id);
            return;
        }
        self.totals.joins += 1;
        let client = &mut self.clients[id];
        client.is_open = true;
        self.by_address.insert(client.address, id);
        if wish.joining == Joining::Preconnected {
            self.accounts.answered(client.address);
        }
        if wish.phantom {
            self.faults.count(Fault::NeverConnected);
            return;
        }
        self.begin_agent(id);
    }

    /// The client's end of a transport that the node has made.
    pub(crate) fn begin_agent(&mut self, id: ClientId) {
        let (wish, worker) = (self.clients[id].wish, self.clients[id].worker);
        let seed = self.scenario.seed ^ 0xc11e_0000 ^ (id as u64) << 20;
        let script = (wish.direction == Direction::Publish).then(|| {
            let log = SharedLog::default();
            log.lock().hides_keys = self.scenario.sabotage == Some(Sabotage::ForgetKeys);
            let mut number = wish.stream as u32;
            if self.scenario.sabotage == Some(Sabotage::ForeignTag) {
                number += 1;
            }
            let publication = self.publications.len() as u32;
            let (stream, session) = (wish.stream as u32, self.clients[id].first);
            let log_of = log.clone();
            let begun = self.now;
            self.publications.push(Publication {
                stream,
                session,
                client: id,
                log: log_of,
                audio_base: 0,
                begun,
                over: None,
            });
            SimScript::new(number, publication, self.scenario.shape, seed, log)
        });
        let agent =
            client::make_agent(id, worker, &wish, [&self.clients[id].identity, &self.identity], script, seed, self.now);
        if let Agent::Publisher(publisher) = &agent
            && let Some(publication) = self.publications.last_mut()
        {
            publication.audio_base = publisher.audio_base();
            let publication = self.publications.len() - 1;
            self.clients[id].publication = Some(publication);
            if wish.data {
                let (number, retains) = (publication as u32, seed.is_multiple_of(2));
                let stream = wish.stream + usize::from(self.scenario.sabotage == Some(Sabotage::ForeignTalk));
                let talk = Talk { publication: number, stream, retains, ..Talk::default() };
                let talk = Rc::new(RefCell::new(talk));
                self.talks.insert(number, Rc::clone(&talk));
                self.clients[id].data = Some(Box::new(DataEnd::publisher(talk, seed)));
            }
        } else if wish.data {
            self.clients[id].data = Some(Box::new(DataEnd::viewer(seed)));
        }
        self.clients[id].agent = Some(agent);
        if wish.way != Way::Udp {
            self.leave_udp(id);
            self.connect(id);
        }
        self.act(id);
    }

    /// A client's keys are there.
    pub(crate) fn connected(&mut self, id: ClientId) {
        self.note(5, id as u64, 0);
        let client = &self.clients[id];
        // Another connection of the same publisher is no excuse for anybody's silence.
        if matches!(client.agent, Some(Agent::Publisher(_))) && client.first == id {
            let stream = &mut self.streams[client.stream];
            stream.is_live = true;
            stream.excused = self.now;
            stream.publications += 1;
            if stream.publications > 1 {
                self.faults.count(Fault::PublisherReturned);
            }
        }
    }

    /// The stream's route is to be told to every worker.
    fn route(&mut self, stream: usize) {
        for worker in 0..self.nodes.len() {
            self.routes.insert((worker, stream));
        }
    }

    /// `DELETE`.
    pub(crate) fn close(&mut self, id: ClientId) {
        let worker = self.clients[id].worker;
        let message = Control::Close { session: self.clients[id].session, reason: EndReason::Left };
        self.nodes[worker].control(message, &mut self.faults);
    }

    /// The client is no more; with a `goodbye` it closes DTLS first.
    pub(crate) fn drop_agent(&mut self, id: ClientId, goodbye: bool) {
        let now = self.now;
        if goodbye {
            match &mut self.clients[id].agent {
                Some(Agent::Viewer(viewer)) => viewer.leave(now, &mut self.out),
                Some(Agent::Publisher(publisher)) => publisher.leave(now, &mut self.out),
                None => {}
            }
            self.flush(id);
        }
        let client = &mut self.clients[id];
        client.agent = None;
        if let Some(data) = client.data.take() {
            self.data_closed += data.closed;
            self.data_dropped += data.dropped;
        }
        client.is_connected = false;
        let (stream, first) = (client.stream, client.first);
        if self.streams[stream].publisher == Some(first) && self.clients[first].transport == id {
            self.streams[stream].is_live = false;
        }
    }

    /// Signalling's turn.
    pub(crate) fn signal(&mut self) {
        self.read_answers();
        self.read_rekey_answers();
        if self.notices_from <= self.now {
            while let Ok(notice) = self.notices.try_recv() {
                self.take_notice(&notice);
                if self.scenario.sabotage == Some(Sabotage::EndTwice) {
                    self.take_notice(&notice);
                }
            }
        }
        for node in &mut self.nodes {
            node.send_waiting(&mut self.faults);
        }
        let routes = std::mem::take(&mut self.routes);
        for (worker, stream) in routes {
            let message = self.route_of(stream);
            if !self.nodes[worker].try_control(message, &mut self.faults) {
                self.routes.insert((worker, stream));
            }
        }
        for node in &mut self.nodes {
            node.look_for_wakes(self.now);
        }
    }

    fn route_of(&self, stream: usize) -> Control {
        let state = &self.streams[stream];
        let origin = state.publisher.filter(|&id| self.clients[id].is_served);
        let origin = origin.map(|id| WorkerIndex(self.clients[id].worker as u16));
        let has_viewers = |&worker: &usize| state.viewers[worker] > 0;
        let listener = |worker| Listener { worker: WorkerIndex(worker as u16), membership: state.memberships[worker] };
        let audience = (0..self.nodes.len()).filter(has_viewers).map(listener).collect();
        Control::Route { stream: StreamId(1 + stream as u128), origin: origin.map(Origin::Worker), audience }
    }

    fn read_answers(&mut self) {
        let openings = std::mem::take(&mut self.openings);
        for opening in openings {
            match opening.answer.try_recv() {
                Ok(answer) => self.opened(opening.client, &opening.wish, answer),
                Err(_) if self.now.since(opening.asked) < limits::WORKER_REPLY_TIME_MAX => self.openings.push(opening),
                Err(_) => {
                    // As signalling does: a session that did open after all must not linger.
                    self.close(opening.client);
                    self.not_served(opening.client);
                    self.not_opened(opening.client);
                }
            }
        }
    }

    /// A session no longer counts.
    fn not_served(&mut self, id: ClientId) {
        let client = &mut self.clients[id];
        if std::mem::replace(&mut client.is_served, false) {
            let (stream, worker) = (client.stream, client.worker);
            if client.direction == Direction::Play {
                self.streams[stream].viewers[worker] -= 1;
            }
            self.route(stream);
        }
    }

    fn take_notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Opened { session, .. } => {
                let id = session.0 as usize;
                let is_wanted = self.clients[id].is_open || self.openings.iter().any(|opening| opening.client == id);
                if is_wanted && !self.clients[id].is_served {
                    let client = &mut self.clients[id];
                    client.is_served = true;
                    let (stream, worker) = (client.stream, client.worker);
                    match client.direction {
                        // Signalling may have been deaf: before it has read this, no worker sends to a viewer's.
                        Direction::Play => {
                            client.excused = client.excused.max(self.now);
                            self.streams[stream].add_viewer(worker);
                        }
                        // Signalling may have been deaf, while its media came already.
                        Direction::Publish => self.streams[stream].excused = self.now,
                    }
                    self.route(stream);
                }
            }
            Notice::Connected { session } => {
                self.note(6, session.0, 0);
                self.totals.handshakes += 1;
                // The client may have had its keys long before: its last flight was lost.
                let client = &mut self.clients[session.0 as usize];
                client.node_connected = true;
                client.excused = client.excused.max(self.now);
            }
            Notice::Ended { session, reason, .. } => {
                let id = session.0 as usize;
                self.note(7, session.0, *reason as u64);
                let client = &mut self.clients[id];
                if !std::mem::replace(&mut client.is_open, false) {
                    // The answer to a close of something that had ended, or never opened.
                    if *reason != EndReason::Left {
                        let what = format!("session {id} ended twice, the second time for {reason:?}");
                        self.break_rule(Violation::new("ended once", what));
                    }
                    return;
                }
                let (stream, direction) = (client.stream, client.direction);
                let transport = client.transport;
                let client = &self.clients[transport];
                let is_there = client.agent.is_some() && !client.is_forger && !client.is_leaving;
                let is_watched = is_there && client.excused <= self.now;
                let (has_read_dtls, has_keys) = (client.has_read_dtls, client.is_connected);
                let has_lapsed = matches!(reason, EndReason::TimedOut | EndReason::NeverConnected);
                let is_misled = *reason == EndReason::NeverConnected && client.handshake_forged;
                if has_lapsed && is_watched && !is_misled && self.is_calm(transport) {
                    let what = format!(
                        "session {id} has {reason:?} while its client was there: it has read DTLS: {}, has keys: {}",
                        has_read_dtls, has_keys
                    );
                    self.break_rule(Violation::new("liveness", what));
                }
                if is_there && !has_lapsed && !matches!(reason, EndReason::Left) {
                    let what = format!("session {id} ended for {reason:?}, which its client did not ask for");
                    self.break_rule(Violation::new("nobody else ends it", what));
                }
                if direction == Direction::Publish && self.streams[stream].publisher == Some(id) {
                    self.streams[stream].publisher = None;
                    self.streams[stream].is_live = false;
                }
                self.not_served(id);
                for transport in self.transports_of(id) {
                    self.clients[transport].is_open = false;
                    self.session_ended(transport);
                    self.drop_agent(transport, false);
                }
                self.forget_changes(id);
            }
            // Read with the answer.
            Notice::Refused { .. } => {}
            Notice::Moved { session } => self.note(11, session.0, 0),
            Notice::Rekeyed { session, outcome } => self.rekeyed(session.0 as usize, *outcome),
            // Who changes them when is drawn (`rekeys.rs`).
            Notice::KeysDue { .. } => {}
            Notice::NothingFits { session, .. } => self.note(10, session.0, 0),
            Notice::NearestFits { session, .. } => self.note(12, session.0, 0),
            Notice::PathTooNarrow { session } => self.note(13, session.0, 0),
            Notice::Adapted { session, to, why, .. } => {
                self.note(14, session.0, u64::from(to.map_or(u8::MAX, |to| to.number())) << 8 | *why as u64);
            }
            Notice::Layers { session, .. } => self.note(15, session.0, 0),
        }
    }
}
