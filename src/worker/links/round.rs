//! The order of a round, what comes by mail, and deadlines.

use super::link_worker::LinkWorker;
use super::mailbox::{LinkControl, LinkEnd};
use super::routes;
use super::table::Table;
use crate::limits;
use crate::net::Io;
use crate::time::Timestamp;
use crate::transport::{PathAddress, UdpPath};
use crate::worker::channels::uplink::introduce_listener;
use crate::worker::mailbox::{Control, StreamId};
use crate::worker::outbound::replay;
use crate::worker::timers::NEVER;

impl LinkWorker {
    /// One round, bounded like any worker's.
    pub fn round<I: Io>(&mut self, io: &mut I) {
        let now = io.now();
        self.forgive_a_stall(now);
        self.more = self.read_mail(io, now);
        io.receive(limits::DATAGRAMS_PER_ROUND_MAX, |datagram| self.datagram(datagram, now));
        self.flush_if_half_full(io);
        self.read_lanes(now);
        self.meet_deadlines(io, now);
        replay::run(&mut self.table.streams, &mut self.lanes, now);
        self.tell_wishes(now);
        self.send_again(io, now);
        self.send_media(io, now);
        self.flush(io);
        self.lanes.wake();
        // It has no viewers to whom other encodings would matter.
        while self.table.streams.take_changed_ladder(now).is_some() {}
        self.due = self.next_deadline(now);
    }

    /// Where this machine stood still, what others sent meanwhile is in the socket: nobody is silent for that.
    fn forgive_a_stall(&mut self, now: Timestamp) {
        if now.since(self.due) > limits::LINK_STALL {
            self.parents.values_mut().for_each(|parent| parent.heard = now);
            self.table.children.values_mut().for_each(|child| child.heard = now);
        }
    }

    /// When the next round is due: at once while there is work.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Timestamp {
        if self.more
            || self.table.streams.has_work()
            || self.table.streams.has_demand_to_tell()
            || !self.repeating.is_empty()
        {
            return now;
        }
        self.table.streams.next_deadline().unwrap_or(NEVER).min(self.timers.next_deadline())
    }

    /// Whether it was told to end and has said so to the others.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.is_ending
    }

    pub(super) fn read_mail<I: Io>(&mut self, io: &mut I, now: Timestamp) -> bool {
        // Links before routes: a route may be of a stream that only a link has made known.
        for _ in 0..limits::LINK_MESSAGES_MAX {
            let Ok(message) = self.mail.links.try_recv() else { break };
            self.take(message, now);
            self.flush_if_half_full(io);
        }
        for _ in 0..limits::LINK_MESSAGES_MAX {
            match self.mail.control.try_recv() {
                Ok(Control::Route { stream, origin, audience }) => {
                    let Table { streams, by_stream, .. } = &mut self.table;
                    routes::set(self.own, stream, origin, audience, streams, by_stream);
                    self.introduce_channels(stream);
                    self.part_with_children_of_nothing(stream, now);
                    self.demand_of_all(stream, now);
                }
                Ok(Control::Heartbeat(reply)) => _ = reply.try_send(()),
                Ok(Control::Shutdown) | Err(flume::TryRecvError::Disconnected) => {
                    self.say_bye(io);
                    self.is_ending = true;
                    return false;
                }
                // It has no sessions.
                Ok(_) => {}
                Err(flume::TryRecvError::Empty) => return false,
            }
        }
        true
    }

    /// Nobody publishes a stream here any more, and it comes from nowhere else: those who have it from here are told.
    fn part_with_children_of_nothing(&mut self, id: StreamId, now: Timestamp) {
        let Some(key) = self.table.streams.find(id) else { return };
        if self.table.streams.get(key).is_some_and(|stream| stream.origin.is_some()) {
            return;
        }
        for handle in self.table.by_stream.get(&key).map(|links| links.children.clone()).unwrap_or_default() {
            if let Some(child) = self.table.children.get_mut(&handle).filter(|child| child.path.is_some()) {
                child.say_bye(&mut self.out);
                self.end(handle, LinkEnd::Bye, now);
            }
        }
    }

    /// Tells workers that begin to listen of the data channels there are.
    pub(super) fn introduce_channels(&mut self, id: StreamId) {
        let Some(key) = self.table.streams.find(id) else { return };
        let Some(stream) = self.table.streams.get_mut(key) else { return };
        let mut audience = std::mem::take(&mut stream.audience);
        for audience in audience.iter_mut().filter(|audience| !audience.knows_channels) {
            audience.knows_channels = introduce_listener(stream, &mut self.lanes, audience.listener.worker);
        }
        stream.audience = audience;
    }

    pub(super) fn take(&mut self, message: LinkControl, now: Timestamp) {
        match message {
            LinkControl::Child(open) => self.open_child(*open, now),
            LinkControl::Parent(open, address) => self.open_parent(*open, PathAddress::Udp(UdpPath::to(address)), now),
            LinkControl::Close(handle) => self.close(handle, now),
            LinkControl::Report(reply) => _ = reply.try_send(self.report(now)),
        }
    }

    pub(super) fn meet_deadlines<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        while let Some((at, handle)) = self.timers.pop_due(now) {
            if self.armed.get(&handle) != Some(&at) {
                continue;
            }
            self.armed.insert(handle, NEVER);
            self.flush_if_half_full(io);
            if let Some(child) = self.table.children.get(&handle) {
                let over = child.heard + limits::LINK_SILENCE_MAX;
                if over <= now {
                    self.end(handle, LinkEnd::Silent, now);
                } else {
                    self.arm(handle, over);
                }
            }
            let Self { table, lanes, parents, out, .. } = self;
            let Some(parent) = parents.get_mut(&handle) else { continue };
            let key = parent.stream;
            let is_in_charge = table.is_in_charge(key, handle);
            parent.meet_deadlines(now, out, |came| table.came(lanes, key, &came, is_in_charge, now));
            let (is_over, has_ended) = (now.since(parent.heard) >= limits::LINK_SILENCE_MAX, parent.has_ended());
            let deadline = parent.next_deadline();
            self.fail_over(key, now);
            match (is_over, has_ended) {
                (_, true) => self.end(handle, LinkEnd::Lost, now),
                (true, _) => self.end(handle, LinkEnd::Silent, now),
                _ => self.arm(handle, deadline),
            }
        }
    }
}
