//! Clients whose keys change while they play or publish: a second connection of the same session, with an address, links,
//! sources and keys of its own ([`corecast::worker`], `rekey`). In the world each transport is a [`Client`](crate::client::Client); the first one's
//! number is the session's.
//!
//! A seed decides who changes when, viewers and publishers at once, some several times, and what becomes of it ([`Plan`]): most
//! say `switched` as the SDK does, others say nothing until the worker ends the old transport by itself, close either
//! connection, go away altogether, or never connect. Everything else that the seed has goes on meanwhile.
//!
//! Signalling's part is made here, with its answers to mailboxes that are full and workers that do not answer in time.
//!
//! Left out: the offers and answers (`tests/parts/signal_rekey.rs`), a rate limit that both connections of a client share.

use std::collections::HashMap;
use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::description::Direction;
use corecast::limits;
use corecast::time::Timestamp;
use corecast::worker::mailbox::{Control, OpenSession, RekeyRefused, Rekeyed};
use corecast::worker::timers::NEVER;

use crate::check::Violation;
use crate::check::timeline::{NoGap, Timeline};
use crate::client::{self, Agent, ClientId, Joining, Wish};
use crate::faults::Fault;
use crate::scenario::{Sabotage, between, pick};
use crate::ways::Way;
use crate::world::{TICK, World};

const MS: Duration = Duration::from_millis(1);

/// So long after a transport took a stream over and was given up its viewers may wait: until the worker knows, and for the old
/// one's key frame.
const GIVEN_BACK: Duration = Duration::from_secs(3);

/// What a client does with its second connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It says `switched` when it has a picture, or has sent one, and closes the old connection.
    Switches,
    /// The same, and the old connection stays a while: it sends under its keys, which are no more.
    SwitchesAndLingers,
    /// It never says so.
    SaysNothing,
    /// It closes the old connection in place of saying so.
    ClosesOld,
    /// It closes the new one when that is connected, and says a second later that it does without.
    ClosesNew,
    /// It says that it does without the new one.
    GivesUp,
    /// The new one never gets through.
    NeverPasses,
    /// The answer never reached it.
    NoAnswer,
    /// Its certificate is not the one that it offered.
    WrongCertificate,
    /// A publisher's brings nothing.
    BringsNothing,
    /// It goes away in the middle without a word.
    Vanishes,
    /// It closes both, the old one first.
    Leaves,
    /// Its session is deleted in the middle.
    IsDeleted,
}

const PLANS: &[Plan] = &[
    Plan::Switches,
    Plan::Switches,
    Plan::Switches,
    Plan::Switches,
    Plan::SwitchesAndLingers,
    Plan::SwitchesAndLingers,
    Plan::SaysNothing,
    Plan::SaysNothing,
    Plan::ClosesOld,
    Plan::ClosesNew,
    Plan::GivesUp,
    Plan::NeverPasses,
    Plan::NoAnswer,
    Plan::WrongCertificate,
    Plan::BringsNothing,
    Plan::Vanishes,
    Plan::Leaves,
    Plan::IsDeleted,
];

impl Plan {
    /// Whether the session has other keys at its end, where nothing else comes between.
    const fn is_meant_to_succeed(self) -> bool {
        matches!(self, Self::Switches | Self::SwitchesAndLingers | Self::SaysNothing | Self::ClosesOld)
    }

    const fn fault(self) -> Option<Fault> {
        match self {
            Self::Switches | Self::SaysNothing => None,
            Self::SwitchesAndLingers => Some(Fault::RekeyLingers),
            Self::ClosesOld => Some(Fault::RekeyClosesOld),
            Self::ClosesNew => Some(Fault::RekeyClosesNew),
            Self::GivesUp => Some(Fault::RekeyGivenUp),
            Self::NeverPasses => Some(Fault::RekeyNeverPasses),
            Self::NoAnswer => Some(Fault::RekeyNoAnswer),
            Self::WrongCertificate => Some(Fault::RekeyWrongCertificate),
            Self::BringsNothing => Some(Fault::RekeyBringsNothing),
            Self::Vanishes => Some(Fault::RekeyVanished),
            Self::Leaves | Self::IsDeleted => Some(Fault::RekeyLeft),
        }
    }
}

/// What the client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It waits for the new connection's picture.
    Connects,
    /// It does what it means to.
    Acts,
    /// It says that it does without the new one.
    SaysSo,
    /// It is the worker's turn.
    Waits,
}

/// A session that asked for a second transport.
pub(crate) struct Change {
    pub(crate) first: ClientId,
    pub(crate) new: ClientId,
    plan: Plan,
    asked: Timestamp,
    answer: Option<flume::Receiver<Result<(), RekeyRefused>>>,
    step: Step,
    act_at: Timestamp,
}

impl Change {
    /// Whether the worker has made the second transport.
    pub(crate) const fn has_begun(&self) -> bool {
        self.answer.is_none()
    }
}

/// Keys that change, of the whole world.
pub(crate) struct Keys {
    random: SeededRandom,
    pub(crate) changes: Vec<Change>,
    /// Connections whose transport has ended, and when their clients close them.
    lingering: Vec<(Timestamp, ClientId)>,
    /// What carried such a transport, and when the node has closed it.
    pub(crate) closing: Vec<(Timestamp, u32)>,
    /// By session.
    pub(crate) timelines: HashMap<ClientId, Timeline>,
}

impl Keys {
    pub(crate) fn new(seed: u64) -> Self {
        let (changes, lingering, closing) = Default::default();
        Self { random: random(seed ^ 1), changes, lingering, closing, timelines: HashMap::new() }
    }
}

impl World {
    /// What happens to keys in a tick.
    pub(crate) fn change_keys(&mut self) {
        if self.scenario.rekeys == 0.0 {
            return;
        }
        for at in 0..self.keys.changes.len() {
            self.go_on_with_change(at);
        }
        self.drop_lingering();
        self.check_closing();
        let draw = (self.keys.random.u64() >> 11) as f64 / (1_u64 << 53) as f64;
        if draw < self.scenario.rekeys * TICK.as_secs_f64()
            && let Some(first) = self.one_to_change()
        {
            self.begin_change(first);
        }
    }

    /// A session that is connected: a publisher's one time in four. Rarely one whose keys are changing already.
    fn one_to_change(&mut self) -> Option<ClientId> {
        let wants_publisher = self.keys.random.u64().is_multiple_of(4);
        let insists = self.keys.random.u64().is_multiple_of(16);
        let direction = if wants_publisher { Direction::Publish } else { Direction::Play };
        let may = |(id, client): &(ClientId, &client::Client)| {
            let now_used = &self.clients[client.transport];
            *id == client.first
                && client.is_open
                && client.is_served
                && client.node_connected
                && !client.is_forger
                && client.direction == direction
                && now_used.is_connected
                && !now_used.is_leaving
                && (insists || !self.keys.changes.iter().any(|change| change.first == *id))
        };
        let count = self.clients.iter().enumerate().filter(may).count();
        let chosen = self.keys.random.u64() as usize % count.max(1);
        let found = self.clients.iter().enumerate().filter(may).nth(chosen);
        found.map(|(id, _)| id)
    }

    /// A session's client offers a second connection.
    pub(crate) fn begin_change(&mut self, first: ClientId) {
        let plan = pick(&mut self.keys.random, PLANS);
        self.begin_change_by(first, plan);
    }

    pub(crate) fn begin_change_by(&mut self, first: ClientId, plan: Plan) {
        let old = self.clients[first].transport;
        let Wish { way, .. } = self.clients[old].wish;
        // It comes as it came before, or by UDP where it has that.
        let way = if self.clients[old].is_without_udp { way } else { Way::Udp };
        let wish = Wish { joining: Joining::Handshake, way, ..self.clients[old].wish };
        let (worker, session) = (self.clients[first].worker, self.clients[first].session);
        let (up, down) = (self.clients[old].up.profile, self.clients[old].down.profile);
        let new = self.add_client(first, worker, wish, (up, down));
        self.note(20, first as u64, new as u64);
        let (request, _) = client::open_session(new, worker, &wish, &self.clients[new].identity, &self.identity);
        let request = OpenSession { session, reply: None, ..request };
        if plan == Plan::WrongCertificate {
            self.clients[new].identity = client::make_identity(self.scenario.seed ^ 0xbad ^ (new as u64) << 24);
        }
        let (reply, answer) = flume::bounded(1);
        let message = Control::Rekey { request: Box::new(request), reply };
        if !self.nodes[worker].try_control(message, &mut self.faults) {
            return;
        }
        self.faults.count(Fault::RekeyAsked);
        if let Some(fault) = plan.fault() {
            self.faults.count(fault);
        }
        let (asked, answer, act_at) = (self.now, Some(answer), NEVER);
        self.keys.changes.push(Change { first, new, plan, asked, answer, step: Step::Connects, act_at });
    }

    /// Before notices are read: a worker's answer comes before what it tells later.
    pub(crate) fn read_rekey_answers(&mut self) {
        let mut refused = Vec::new();
        for at in 0..self.keys.changes.len() {
            let Some(answer) = &self.keys.changes[at].answer else { continue };
            match answer.try_recv() {
                Ok(Ok(())) => self.change_begins(at),
                Ok(Err(_)) => {
                    self.faults.count(Fault::RekeyRefused);
                    refused.push(at);
                }
                Err(_) if self.now.since(self.keys.changes[at].asked) < limits::WORKER_REPLY_TIME_MAX => {}
                Err(_) if self.keys.changes[at].step == Step::Waits => {}
                Err(_) => {
                    // As signalling does: a transport that is made after all is let go of.
                    self.faults.count(Fault::RekeyAnswerLate);
                    (self.keys.changes[at].plan, self.keys.changes[at].step) = (Plan::NoAnswer, Step::Waits);
                    let first = self.keys.changes[at].first;
                    self.tell_worker(first, |session| Control::AbandonRekey { session });
                }
            }
        }
        for at in refused.into_iter().rev() {
            self.keys.changes.remove(at);
        }
    }

    fn change_begins(&mut self, at: usize) {
        self.keys.changes[at].answer = None;
        let Change { first, new, plan, .. } = self.keys.changes[at];
        self.clients[first].next = Some(new);
        if !self.clients[first].is_open {
            return;
        }
        let client = &mut self.clients[new];
        client.is_open = true;
        let address = client.address;
        self.by_address.insert(address, new);
        match plan {
            Plan::NoAnswer => return,
            Plan::NeverPasses => {
                let client = &mut self.clients[new];
                (client.up.out_until, client.down.out_until) = (NEVER, NEVER);
            }
            _ => {}
        }
        self.begin_agent(new);
        if let (Plan::BringsNothing, Some(Agent::Publisher(publisher))) = (plan, &mut self.clients[new].agent) {
            publisher.stop();
        }
    }

    /// A request that is dropped where the mailbox is full, as signalling's are.
    fn tell_worker(&mut self, first: ClientId, message: impl FnOnce(corecast::worker::mailbox::SessionId) -> Control) {
        let (worker, session) = (self.clients[first].worker, self.clients[first].session);
        _ = self.nodes[worker].try_control(message(session), &mut self.faults);
    }

    fn go_on_with_change(&mut self, at: usize) {
        let Change { first, new, plan, step, act_at, .. } = self.keys.changes[at];
        let old = self.clients[first].transport;
        match step {
            Step::Connects => {
                let has_picture = match &self.clients[new].agent {
                    Some(Agent::Viewer(viewer)) => viewer.is_connected() && viewer.has_picture(),
                    Some(Agent::Publisher(publisher)) => publisher.is_connected(),
                    None => false,
                };
                // No picture passes where the path is too narrow for one: there it waits for sound. A publisher's hears nothing.
                let next = &self.clients[new];
                let has_sound = next.continuity.has_begun() || next.direction == Direction::Publish;
                let is_narrow = next.is_connected && next.down.profile.mtu < 1_500 && has_sound;
                if has_picture || is_narrow {
                    let pause = pick(&mut self.keys.random, &[0, 60, 400, 2_500]);
                    // One that is given up has the stream by then, also where its first key frame came before its keys.
                    let least = if matches!(plan, Plan::ClosesNew | Plan::GivesUp) { 1_200 } else { 0 };
                    let pause = MS * (least + between(&mut self.keys.random, 0, pause)) as u32;
                    let change = &mut self.keys.changes[at];
                    (change.step, change.act_at) = (Step::Acts, self.now + pause);
                }
            }
            Step::Acts if act_at <= self.now => {
                self.keys.changes[at].step = Step::Waits;
                match plan {
                    Plan::Switches | Plan::SwitchesAndLingers => {
                        self.tell_worker(first, |session| Control::Switched { session });
                        let lingers = if plan == Plan::SwitchesAndLingers { 1_500 } else { 0 };
                        self.leaves_transport(old, lingers * MS);
                    }
                    Plan::SaysNothing => {}
                    Plan::ClosesOld => self.leaves_transport(old, Duration::ZERO),
                    Plan::ClosesNew => {
                        self.given_back(new);
                        self.leaves_transport(new, Duration::ZERO);
                        (self.keys.changes[at].step, self.keys.changes[at].act_at) =
                            (Step::SaysSo, self.now + 1_000 * MS);
                    }
                    Plan::GivesUp => {
                        self.given_back(new);
                        self.tell_worker(first, |session| Control::AbandonRekey { session });
                        self.leaves_transport(new, 20 * MS);
                    }
                    Plan::Vanishes => self.drop_session(first, false),
                    Plan::Leaves => self.drop_session(first, true),
                    Plan::IsDeleted => {
                        self.drop_session(first, false);
                        self.close(first);
                    }
                    Plan::NeverPasses | Plan::NoAnswer | Plan::WrongCertificate | Plan::BringsNothing => {}
                }
            }
            Step::SaysSo if act_at <= self.now => {
                self.keys.changes[at].step = Step::Waits;
                self.tell_worker(first, |session| Control::AbandonRekey { session });
            }
            _ => {}
        }
    }

    /// The new transport of a publisher, which may have the stream already, is given up.
    fn given_back(&mut self, new: ClientId) {
        let client = &self.clients[new];
        if client.direction == Direction::Publish {
            let stream = client.stream;
            self.streams[stream].excused = self.streams[stream].excused.max(self.now + GIVEN_BACK);
        }
    }

    /// A client closes one of its connections, now or a little later.
    fn leaves_transport(&mut self, id: ClientId, after: Duration) {
        self.clients[id].is_leaving = true;
        if after.is_zero() {
            self.drop_agent(id, true);
        } else {
            self.keys.lingering.push((self.now + after, id));
        }
    }

    fn drop_lingering(&mut self) {
        let now = self.now;
        let due: Vec<ClientId> = self.keys.lingering.iter().filter(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        self.keys.lingering.retain(|(at, _)| *at > now);
        for id in due {
            self.drop_agent(id, true);
        }
    }

    /// The transports of a session, its present one first.
    pub(crate) fn transports_of(&self, id: ClientId) -> Vec<ClientId> {
        let first = self.clients[id].first;
        let Some(client) = self.clients.get(first) else { return Vec::new() };
        [Some(client.transport), client.next].into_iter().flatten().collect()
    }

    /// All connections of a session go.
    pub(crate) fn drop_session(&mut self, id: ClientId, goodbye: bool) {
        for transport in self.transports_of(id) {
            self.clients[transport].is_leaving = true;
            self.drop_agent(transport, goodbye);
        }
    }

    /// Whether a session's keys are changing.
    pub(crate) fn is_changing(&self, id: ClientId) -> bool {
        let first = self.clients[id].first;
        self.clients[first].next.is_some() || self.keys.changes.iter().any(|change| change.first == first)
    }

    /// A worker tells what became of a change.
    pub(crate) fn rekeyed(&mut self, first: ClientId, outcome: Rekeyed) {
        self.note(21, first as u64, outcome as u64);
        self.faults.count(fault_of(outcome));
        let at = self.keys.changes.iter().position(|change| change.first == first && change.has_begun());
        let Some(at) = at else {
            let what = format!("session {first} tells {outcome:?}, and had asked for no other keys");
            return self.break_rule(Violation::new("one outcome", what));
        };
        let Change { new, plan, asked, step, .. } = self.keys.changes.remove(at);
        // The next one may have been answered already, and been asked for before this one was over.
        let next = self.keys.changes.iter().find(|change| change.first == first && change.has_begun());
        self.clients[first].next = next.map(|change| change.new);
        let old = self.clients[first].transport;
        let (over, stays) = if outcome.is_change() { (old, new) } else { (new, old) };
        self.transport_over(over);
        if self.scenario.sabotage == Some(Sabotage::UndeadKeys) {
            self.clients[stays].over = self.clients[over].over;
        }
        if !outcome.is_change() {
            self.given_back(new);
            let is_failure = matches!(outcome, Rekeyed::NeverConnected | Rekeyed::DtlsFailed);
            let calm = self.calm_since(new).max(self.calm_since(old)) <= asked;
            let is_misled = self.clients[new].handshake_forged;
            let is_there = step != Step::Waits && !self.clients[old].is_leaving;
            if is_failure && plan.is_meant_to_succeed() && is_there && calm && !is_misled && !self.is_over() {
                let what = format!("session {first}: {outcome:?}, though nothing came between");
                self.break_rule(Violation::new("keys change", what));
            }
            let next = &self.clients[new];
            let goes_on = next.agent.is_some() && next.is_connected && !next.is_leaving;
            if outcome == Rekeyed::SessionEnded && plan.is_meant_to_succeed() && step == Step::Waits && goes_on {
                let what =
                    format!("session {first} has ended with the connection that its client closed for its new one");
                self.break_rule(Violation::new("keys change", what));
            }
            return;
        }
        self.clients[first].transport = stays;
        self.clients[first].rekeys += 1;
        let heard = self.clients[over].heard;
        self.clients[stays].heard.take_over(heard);
        let now = NoGap { over, new: stays, calm: self.calm_before_change(over, asked), at: self.now };
        self.no_gap(now);
    }

    /// Whether nothing had disturbed a transport for some time when its successor was asked for, nor since.
    fn calm_before_change(&self, old: ClientId, asked: Timestamp) -> bool {
        // What waits in a narrow link is lost with the connection that its client closes.
        let is_narrow = self.clients[old].down.profile.rate > 0;
        self.calm_since(old) + 3_000 * MS <= asked && self.scenario.slower <= 4 && !is_narrow
    }

    /// A transport has ended at its worker.
    fn transport_over(&mut self, id: ClientId) {
        let now = self.now;
        let client = &mut self.clients[id];
        client.over = Some(now);
        client.is_leaving = true;
        if client.first != id {
            client.is_open = false;
        }
        if let Some(publication) = client.publication {
            self.publications[publication].over = Some(now);
        }
        self.transport_ended(id);
        // Its client learns of it by signalling, or by an alert; half of them some time later.
        if self.clients[id].agent.is_some() && !self.keys.lingering.iter().any(|(_, lingers)| *lingers == id) {
            let lingers = if id.is_multiple_of(2) { 1_500 } else { 30 };
            self.keys.lingering.push((now + lingers * MS, id));
        }
    }

    /// A session has ended: so have its changes.
    pub(crate) fn forget_changes(&mut self, first: ClientId) {
        self.keys.changes.retain(|change| change.first != first);
    }
}

const fn fault_of(outcome: Rekeyed) -> Fault {
    match outcome {
        // In place it is off here: without a change that was asked for it breaks a rule.
        Rekeyed::Switched | Rekeyed::InPlace => Fault::RekeySwitched,
        Rekeyed::OverlapOver => Fault::RekeyOverlapOver,
        Rekeyed::OldEnded => Fault::RekeyOldEnded,
        Rekeyed::NeverConnected => Fault::RekeyNeverConnected,
        Rekeyed::DtlsFailed => Fault::RekeyDtlsFailed,
        Rekeyed::Abandoned => Fault::RekeyAbandoned,
        Rekeyed::NoKeyFrame => Fault::RekeyNoKeyFrame,
        Rekeyed::SessionEnded => Fault::RekeySessionEnded,
        Rekeyed::Refused => Fault::RekeyRefused,
    }
}

/// The random source of changes: seeds without any are the runs that they were.
pub(crate) fn random(seed: u64) -> SeededRandom {
    SeededRandom::new(seed ^ 0x4e_0000_0000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    /// Everybody changes keys again and again, and nothing else goes wrong.
    fn calm(seed: u64) -> Scenario {
        let calm = Scenario::calm(seed);
        let shape = crate::script::Shape { key_every: 60, ..calm.shape };
        Scenario { rekeys: 1.5, viewers: 8, duration: Duration::from_secs(40), shape, ..calm }
    }

    #[test]
    fn every_plan_comes_out_as_it_should_for_viewers_and_publishers_at_once() {
        let plans = [PLANS, &[Plan::SaysNothing]].concat();
        // Nobody else is drawn.
        let mut world =
            World::new(Scenario { rekeys: f64::MIN_POSITIVE, viewers: plans.len() + 3, streams: 3, ..calm(3) });
        let until = |world: &mut World, ms: u32| world.run_until(world.now + MS * ms);
        until(&mut world, 4_000).unwrap();
        let of = |world: &World, direction: Direction| -> Vec<ClientId> {
            (0..world.clients.len())
                .filter(|&id| world.clients[id].direction == direction && world.clients[id].is_connected)
                .collect()
        };
        let (viewers, publishers) = (of(&world, Direction::Play), of(&world, Direction::Publish));
        let [one, two, three] = publishers[..] else { panic!("{publishers:?}") };
        for (viewer, plan) in viewers.iter().zip(&plans) {
            world.begin_change_by(*viewer, *plan);
        }
        // A second one beside it is refused.
        world.begin_change_by(viewers[0], Plan::Switches);
        for (publisher, plan) in [(one, Plan::BringsNothing), (two, Plan::SwitchesAndLingers), (three, Plan::ClosesNew)]
        {
            world.begin_change_by(publisher, plan);
        }
        until(&mut world, 14_000).unwrap();
        let playing =
            world.clients.iter().filter(|client| client.direction == Direction::Play && client.agent.is_some());
        for client in playing.filter(|client| client.is_connected) {
            let heard = [client.heard.audio, client.heard.video].map(|at| world.now.since(at));
            assert!(heard.iter().all(|ago| *ago < 500 * MS), "stream {}: {heard:?}", client.stream);
        }
        let rekeys = |world: &World, id: ClientId| world.clients[id].rekeys;
        assert_eq!([one, two, three].map(|id| rekeys(&world, id)), [0, 1, 0]);
        for publisher in [one, two, three] {
            world.begin_change_by(publisher, Plan::Switches);
        }
        until(&mut world, 10_000).unwrap();
        assert_eq!([one, two, three].map(|id| rekeys(&world, id)), [1, 2, 1]);
        assert_eq!(world.finish(), Ok(()));
        assert_eq!(world.faults.of(Fault::RekeyRefused), 1, "{}", world.faults);
        for (viewer, plan) in viewers.iter().zip(&plans) {
            // Who goes away may have had them by then.
            let goes_away = matches!(plan, Plan::Vanishes | Plan::Leaves | Plan::IsDeleted);
            let succeeds = plan.is_meant_to_succeed() || *plan == Plan::BringsNothing;
            assert!(goes_away || (rekeys(&world, *viewer) > 0) == succeeds, "{plan:?}");
        }
        let outcomes = Fault::RekeySwitched as usize..=Fault::RekeySessionEnded as usize;
        for (fault, name) in Fault::ALL.iter().filter(|(fault, _)| outcomes.contains(&(*fault as usize))) {
            assert!(world.faults.of(*fault) > 0, "{name}: {}", world.faults);
        }
    }

    #[test]
    fn turn_and_connections_of_a_transport_end_with_it() {
        let ways = crate::scenario::Ways { share: 1.0, ..Default::default() };
        let duration = Duration::from_secs(20);
        let (world, result) = World::run(Scenario { ways, duration, rekeys: 3.0, ..calm(1) });
        assert_eq!(result, Ok(()));
        assert!(world.faults.of(Fault::TurnMade) > 0 && world.faults.of(Fault::RekeySwitched) > 0, "{}", world.faults);
    }

    #[test]
    fn what_is_sealed_for_a_transport_that_is_over_is_found() {
        let scenario = Scenario { sabotage: Some(Sabotage::UndeadKeys), ..calm(1) };
        assert_eq!(crate::runner::broken_rule(scenario).map(|violation| violation.rule), Some("dead keys"));
    }

    #[test]
    fn a_viewer_whose_transports_disagree_about_the_time_is_found() {
        let scenario = Scenario { sabotage: Some(Sabotage::OtherTimeline), ..calm(1) };
        assert_eq!(crate::runner::broken_rule(scenario).map(|violation| violation.rule), Some("one timeline"));
    }
}
