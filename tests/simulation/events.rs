//! What happens to the world beside the network's own faults: people come and go, addresses change, workers stall, the
//! clock jumps, signalling is flooded or deaf.

use std::time::Duration;

use corecast::crypto::random::Random;
use corecast::description::Direction;
use corecast::time::Timestamp;
use corecast::worker::mailbox::Control;

use crate::check::{Violation, over_tcp, queues};
use crate::client::{self, Agent, ClientId, Joining, Wish};
use crate::data::Side;
use crate::faults::Fault;
use crate::scenario::{Scenario, between, fraction};
use crate::world::{TICK, World};

/// Silence is judged so often.
const SILENCE_CHECK: Duration = Duration::from_millis(250);

/// From the end of a disturbance until a session counts as undisturbed: a consent check has been answered since.
const SETTLED: Duration = Duration::from_secs(6);

/// A path that does not carry this carries no video.
const VIDEO_MTU: u64 = 1_400;

const MS: Duration = Duration::from_millis(1);

impl World {
    /// Runs the whole scenario.
    pub(crate) fn run(scenario: Scenario) -> (Self, Result<(), Violation>) {
        Self::run_watched(scenario, None)
    }

    /// As [`Self::run`]; every datagram of the client `watched` is printed.
    pub(crate) fn run_watched(scenario: Scenario, watched: Option<ClientId>) -> (Self, Result<(), Violation>) {
        let mut world = Self::new(scenario);
        world.watched = watched;
        let result = world.finish();
        (world, result)
    }

    /// Runs to the end.
    pub(crate) fn finish(&mut self) -> Result<(), Violation> {
        let until = Timestamp::from_millis(10_000) + self.scenario.duration;
        self.run_until(until)?;
        self.end()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.now >= Timestamp::from_millis(10_000) + self.scenario.duration
    }

    pub(crate) fn tick(&mut self) {
        self.signal();
        if self.is_over() {
            return;
        }
        self.keep_publishing();
        self.come_and_go();
        self.change_keys();
        self.disturb();
        self.disturb_ways();
        self.forge();
        let since_start = self.now.since(Timestamp::from_millis(10_000));
        if since_start.as_nanos().is_multiple_of(SILENCE_CHECK.as_nanos()) {
            self.check_silence();
            if self.scenario.ways.data > 0.0 {
                self.check_data();
            }
        }
    }

    /// Whether something that happens `rate` times a second happens in this tick.
    fn happens(&mut self, rate: f64) -> bool {
        rate > 0.0 && fraction(&mut self.random) < rate * TICK.as_secs_f64()
    }

    fn joining(&mut self) -> Joining {
        if fraction(&mut self.random) < self.scenario.handshakes { Joining::Handshake } else { Joining::Preconnected }
    }

    fn keep_publishing(&mut self) {
        for stream in 0..self.streams.len() {
            let state = &self.streams[stream];
            if state.publisher.is_none() && state.return_at <= self.now {
                let (way, data) = (self.draw_way(), self.draw_data());
                self.open(Wish {
                    way,
                    data,
                    direction: Direction::Publish,
                    stream,
                    joining: Joining::Handshake,
                    rtx: true,
                    verify: 0.0,
                    phantom: false,
                });
            }
        }
    }

    fn join(&mut self, phantom: bool) {
        let joining = if phantom { Joining::Handshake } else { self.joining() };
        let stream = self.random.u64() as usize % self.streams.len();
        // One in four has no RTX: repeats are the same packets again.
        let rtx = !self.random.u64().is_multiple_of(4);
        let (way, data) = (self.draw_way(), self.draw_data());
        // On a connection every packet is looked at.
        let verify = if self.scenario.ways.share > 0.0 { 1.0 } else { self.scenario.verify };
        self.open(Wish { way, data, direction: Direction::Play, stream, joining, rtx, verify, phantom });
    }

    /// A client that is there, of a direction.
    fn anyone(&mut self, direction: Direction) -> Option<ClientId> {
        let there = |client: &client::Client| client.direction == direction && client.is_connected && client.is_open;
        let count = self.clients.iter().filter(|client| there(client)).count();
        let chosen = self.random.u64() as usize % count.max(1);
        self.clients.iter().enumerate().filter(|(_, client)| there(client)).nth(chosen).map(|(id, _)| id)
    }

    fn come_and_go(&mut self) {
        let rates = self.scenario.rates;
        let here = self.clients.iter().filter(|client| client.agent.is_some()).count();
        // The first come at once, as an audience does when a stream begins.
        if here < self.scenario.viewers && self.clients.len() < self.scenario.viewers * 2 || self.happens(rates.joins) {
            self.join(false);
        }
        if self.happens(rates.phantoms) {
            self.join(true);
        }
        if here > self.scenario.viewers / 2
            && self.happens(rates.leaves)
            && let Some(id) = self.anyone(Direction::Play)
        {
            match self.random.u64() % 3 {
                0 => {
                    self.faults.count(Fault::ViewerVanished);
                    self.drop_session(id, false);
                }
                1 => {
                    self.faults.count(Fault::ViewerClosed);
                    self.drop_session(id, true);
                }
                _ => {
                    self.faults.count(Fault::ViewerDeleted);
                    self.drop_session(id, false);
                    self.close(id);
                }
            }
        }
        if self.happens(rates.publisher_losses)
            && let Some(id) = self.anyone(Direction::Publish)
        {
            let stream = self.clients[id].stream;
            self.streams[stream].return_at = self.now + MS * between(&mut self.random, 0, 4_000) as u32;
            let vanishes = self.random.u64().is_multiple_of(2);
            self.faults.count(if vanishes { Fault::PublisherVanished } else { Fault::PublisherLeft });
            self.drop_session(id, !vanishes);
            // One that vanished and is not deleted is missed after 30 s.
            if vanishes && !self.random.u64().is_multiple_of(4) {
                self.close(id);
            }
        }
    }

    fn disturb(&mut self) {
        let rates = self.scenario.rates;
        if self.happens(rates.rebindings) {
            let direction = if self.random.u64().is_multiple_of(8) { Direction::Publish } else { Direction::Play };
            if let Some(id) = self.anyone(direction) {
                self.rebind(id);
            }
        }
        if self.happens(rates.outages)
            && let Some(id) = self.anyone(Direction::Play)
        {
            let until = self.now + MS * between(&mut self.random, 100, 4_000) as u32;
            let client = &mut self.clients[id];
            client.excused = client.excused.max(until);
            if client.is_without_udp {
                // Its connections have stops of their own.
            } else if self.random.u64().is_multiple_of(2) {
                client.down.out_until = until
            } else {
                client.up.out_until = until
            }
        }
        if self.happens(rates.stalls) {
            let worker = self.random.u64() as usize % self.nodes.len();
            let longest = if self.random.u64().is_multiple_of(4) { 4_000 } else { 400 };
            let time = MS * between(&mut self.random, 5, longest) as u32;
            self.stall(worker, time);
        }
        if self.happens(rates.clock_jumps) {
            self.faults.count(Fault::ClockJump);
            let jump = MS * between(&mut self.random, 50, 15_000) as u32;
            self.ahead.set(self.ahead.get() + jump);
            self.excused = self.now;
            for node in &mut self.nodes {
                node.wake(self.now);
            }
        }
        if self.happens(rates.ice_restarts)
            && let Some(id) = self.anyone(Direction::Play)
            // Of two connections, or of one that is over, nobody does.
            && !self.is_changing(id)
            && self.clients[self.clients[id].first].transport == id
        {
            self.restart_ice(id);
        }
        if self.happens(rates.floods) {
            let worker = self.random.u64() as usize % self.nodes.len();
            self.stall(worker, 300 * MS);
            self.nodes[worker].flood(&mut self.faults);
        }
        if self.happens(rates.deaf_signalling) {
            self.notices_from = self.now + 2_000 * MS;
        }
    }

    fn stall(&mut self, worker: usize, time: Duration) {
        self.faults.count(Fault::Stalled);
        let until = self.now + time;
        let node = &mut self.nodes[worker];
        node.stalled_until = node.stalled_until.max(until);
        node.excused = node.excused.max(until);
    }

    /// A NAT gives the client another address; neither it nor the node is told.
    fn rebind(&mut self, id: ClientId) {
        self.faults.count(Fault::Rebinding);
        self.addresses += 1;
        let address = client::address(self.addresses);
        self.by_address.insert(address, id);
        // The next consent check tells the node, 2.5 s later at most; the one after it if that is lost.
        let until = self.now + 5_000 * MS;
        let client = &mut self.clients[id];
        client.address = address;
        client.excused = client.excused.max(until);
        if client.direction == Direction::Publish {
            let stream = &mut self.streams[client.stream];
            stream.excused = stream.excused.max(until);
        }
    }

    pub(crate) fn restart_ice(&mut self, id: ClientId) {
        self.faults.count(Fault::IceRestart);
        let now = self.now;
        let client = &mut self.clients[id];
        client.ice_generation += 1;
        let (worker, session, generation) = (client.worker, client.session, client.ice_generation);
        let local_ice = client::node_ice(worker, id, generation);
        let remote_ice = client::peer_ice(id, generation);
        if let Some(Agent::Viewer(viewer)) = &mut client.agent {
            viewer.peer_mut().restart_ice(remote_ice.clone(), local_ice.clone(), now);
        }
        let message = Control::RestartIce { session, local_ice, remote_ice };
        self.nodes[worker].control(message, &mut self.faults);
        self.act(id);
    }

    // --- checks that walk ---

    /// Since when nothing has disturbed a viewer.
    pub(crate) fn calm_since(&self, id: ClientId) -> Timestamp {
        let client = &self.clients[id];
        let stream = &self.streams[client.stream];
        let origin = stream.publisher.map_or(Timestamp::ZERO, |publisher| {
            let excused = self.transports_of(publisher).into_iter().map(|id| self.clients[id].excused).max();
            excused.unwrap_or_default().max(self.nodes[self.clients[publisher].worker].excused)
        });
        let own = client.excused.max(self.nodes[client.worker].excused);
        own.max(origin).max(stream.excused).max(self.excused)
    }

    pub(crate) fn is_calm(&self, id: ClientId) -> bool {
        self.now.since(self.calm_since(id)) > SETTLED
    }

    fn check_silence(&mut self) {
        for id in 0..self.clients.len() {
            let calm_since = self.calm_since(id);
            let now = self.now;
            let publisher = self.streams[self.clients[id].stream].publisher;
            let publisher_is_served = publisher.is_some_and(|publisher| {
                let publisher = &self.clients[publisher];
                publisher.is_served && publisher.node_connected
            });
            let is_served = self.clients[self.clients[id].first].is_served;
            let is_over = self.is_about_to_end(id);
            let client = &mut self.clients[id];
            let is_viewer = matches!(client.agent, Some(Agent::Viewer(_)));
            if client.is_forger
                || !is_viewer
                || is_over
                || !client.is_connected
                || !client.node_connected
                || !is_served
                || !self.streams[client.stream].is_live
            {
                continue;
            }
            // Signalling that was deaf has not told the workers where the stream comes from, or a forged handshake in the
            // publisher's name has kept it from its own (`signalling.rs` says whether that may be).
            if !publisher_is_served {
                continue;
            }
            let connection = client.connection.map(|number| &self.connections[number as usize]);
            let thin = connection.is_some_and(|connection| connection.tcp.borrow().profile().rate > 0);
            let video = client.connection.is_some() || client.down.profile.mtu >= VIDEO_MTU;
            let patience = if thin { over_tcp::PATIENCE } else { 1 };
            if let Err(violation) = client.heard.check(now, calm_since, video, patience) {
                let what = format!("viewer {id} of stream {}: {}", client.stream, violation.what);
                self.violation.get_or_insert(Violation { what, ..violation });
                return;
            }
            self.totals.longest_silence = self.totals.longest_silence.max(client.heard.longest);
        }
    }

    /// Reliable channels of viewers have brought what they should.
    fn check_data(&mut self) {
        for id in 0..self.clients.len() {
            let Some(data) = &self.clients[id].data else { continue };
            let Side::Viewer { heard } = &data.side else { continue };
            // What comes when its keys have changed comes by the channels of its new connection.
            let next = self.clients[self.clients[id].first].next.filter(|next| *next != id);
            if next.is_some_and(|next| self.clients[next].data.as_ref().is_some_and(|data| data.hears())) {
                continue;
            }
            let calm_since = self.calm_since(id);
            let broken = heard.values().find_map(|heard| heard.is_whole(self.now, calm_since).err());
            if let Some(violation) = broken {
                let what = format!("viewer {id}: {}", violation.what);
                return self.break_rule(Violation { what, ..violation });
            }
        }
        for node in &self.nodes {
            if let Err(violation) = queues::data_within_limits(&node.worker.data_holdings()) {
                self.violation.get_or_insert(violation);
            }
        }
    }
}
