//! The loop of a load thread: thousands of clients, a socket each, one ring, one heap of timers.
//!
//! A client ([`Agent`]) is a state machine: it takes datagrams and time, and puts what it wants to send into a batch,
//! which is sent by its own socket. The loop never walks over all clients: a completion names its client, and so does a
//! timer.

use std::io;
use std::time::Duration;

use super::record::{LoadRecord, note};
use crate::net::lab::fleet_sockets::{Coalesced, FleetCounters, FleetSocket, FleetSockets};
use crate::net::{StartError, Waker, now};
use crate::time::Timestamp;
use crate::transport::train::{SendResult, TrainBatch};
use crate::worker::timers::{NEVER, Timers};

/// Messages received in a row before timers are served again.
const MESSAGES_PER_ROUND: usize = 256;

/// One client of a fleet.
pub trait Agent {
    /// Takes one datagram, which it may open in place.
    fn handle_datagram(&mut self, bytes: &mut [u8], received: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord);

    /// Does what is due.
    fn handle_timeout(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord);

    /// When [`Self::handle_timeout`] is due; `None` for never.
    fn next_deadline(&self) -> Option<Timestamp>;

    /// Says goodbye.
    fn leave(&mut self, now: Timestamp, out: &mut TrainBatch);
}

#[derive(Debug)]
struct Member<A> {
    agent: A,
    /// The earliest timer that is in the heap.
    armed: Timestamp,
    /// Distinguishes this client's timers from those of the client that had its place before.
    generation: u32,
    drops_seen: u64,
}

/// The clients of one thread. It stays on the thread that made it.
#[derive(Debug)]
pub struct Fleet<A> {
    sockets: FleetSockets,
    members: Vec<Option<Member<A>>>,
    timers: Timers<(u32, u32)>,
    generations: u32,
    out: TrainBatch,
    /// What was measured since [`Self::take_record`].
    pub record: LoadRecord,
}

impl<A: Agent> Fleet<A> {
    /// A fleet with room for so many clients, on the calling thread.
    ///
    /// # Errors
    /// See [`FleetSockets::new`].
    pub fn new(clients: u32) -> Result<Self, StartError> {
        Ok(Self {
            sockets: FleetSockets::new(clients)?,
            members: Vec::new(),
            timers: Timers::default(),
            generations: 0,
            out: TrainBatch::new(),
            record: LoadRecord::default(),
        })
    }

    /// Ends a wait from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.sockets.waker()
    }

    /// The sockets' cumulative counters.
    #[must_use]
    pub fn counters(&self) -> FleetCounters {
        self.sockets.counters()
    }

    /// Adds a client with its connected socket, does what it has due at once, and returns its place.
    ///
    /// # Errors
    /// The client back, where there is no place.
    pub fn add(&mut self, socket: FleetSocket, agent: A) -> Result<u32, A> {
        let Ok(client) = self.sockets.add(socket) else { return Err(agent) };
        self.generations = self.generations.wrapping_add(1);
        if self.members.len() <= client as usize {
            self.members.resize_with(client as usize + 1, || None);
        }
        self.members[client as usize] =
            Some(Member { agent, armed: NEVER, generation: self.generations, drops_seen: 0 });
        self.serve(client, now());
        Ok(client)
    }

    /// The clients, with their places.
    pub fn agents(&self) -> impl Iterator<Item = (u32, &A)> {
        let members = self.members.iter().enumerate();
        members.filter_map(|(client, member)| Some((client as u32, &member.as_ref()?.agent)))
    }

    /// A client.
    pub fn agent_mut(&mut self, client: u32) -> Option<&mut A> {
        Some(&mut self.members.get_mut(client as usize)?.as_mut()?.agent)
    }

    /// A client, and where what it measures is added.
    pub fn agent_and_record(&mut self, client: u32) -> (Option<&mut A>, &mut LoadRecord) {
        let member = self.members.get_mut(client as usize).and_then(Option::as_mut);
        (member.map(|member| &mut member.agent), &mut self.record)
    }

    /// Lets a client say goodbye, and removes it.
    pub fn remove(&mut self, client: u32) -> Option<A> {
        let mut member = self.members.get_mut(client as usize)?.take()?;
        member.agent.leave(now(), &mut self.out);
        if let Some(socket) = self.sockets.socket(client) {
            flush(&mut self.out, socket, &mut self.record);
            self.record.counts.socket_drops += socket.drops() - member.drops_seen;
        }
        self.out.clear();
        self.sockets.remove(client);
        Some(member.agent)
    }

    /// What was measured since the last call. Reads every socket's drop counter: a few times a minute is enough.
    pub fn take_record(&mut self) -> LoadRecord {
        for (client, member) in self.members.iter_mut().enumerate() {
            if let (Some(member), Some(socket)) = (member, self.sockets.socket(client as u32)) {
                let drops = socket.drops();
                self.record.counts.socket_drops += drops - member.drops_seen;
                member.drops_seen = drops;
            }
        }
        std::mem::take(&mut self.record)
    }

    /// Serves a client's timers, and arms the next one.
    fn serve(&mut self, client: u32, now: Timestamp) {
        let Some(Some(member)) = self.members.get_mut(client as usize) else { return };
        if let Some(due) = member.agent.next_deadline() {
            if due <= now {
                member.agent.handle_timeout(now, &mut self.out, &mut self.record);
                if let Some(socket) = self.sockets.socket(client) {
                    flush(&mut self.out, socket, &mut self.record);
                }
                self.out.clear();
            }
            let key = (client, member.generation);
            // A client that is still due is served in the next round, so that it cannot keep this one from ending.
            let next = member.agent.next_deadline().unwrap_or(NEVER);
            self.timers.arm(key, &mut member.armed, next.max(now + Duration::from_nanos(1)));
        }
    }

    /// Waits for datagrams, a wake or a timer, at most until `deadline`, and serves them.
    ///
    /// # Errors
    /// The ring broke.
    pub fn round(&mut self, deadline: Timestamp) -> io::Result<()> {
        self.sockets.wait(deadline.min(self.timers.next_deadline()))?;
        let (members, out, record, timers) = (&mut self.members, &mut self.out, &mut self.record, &mut self.timers);
        let read = now();
        let mut oldest = Duration::ZERO;
        self.sockets.receive(MESSAGES_PER_ROUND, |client, socket, message| {
            let Some(Some(member)) = members.get_mut(client as usize) else { return };
            let Coalesced { bytes, segment_bytes, received } = message;
            oldest = oldest.max(read.since(received));
            for datagram in bytes.chunks_mut(segment_bytes) {
                member.agent.handle_datagram(datagram, received, out, record);
            }
            let due = member.agent.next_deadline().unwrap_or(NEVER);
            if due <= read {
                member.agent.handle_timeout(read, out, record);
            }
            flush(out, socket, record);
            let due = member.agent.next_deadline().unwrap_or(NEVER).max(read);
            timers.arm((client, member.generation), &mut member.armed, due);
        });
        if !oldest.is_zero() {
            note(&mut self.record.read_late_us, oldest);
        }
        let now = now();
        while let Some((deadline, (client, generation))) = self.timers.pop_due(now) {
            let member = self.members.get_mut(client as usize).and_then(Option::as_mut);
            if let Some(member) = member.filter(|member| member.generation == generation && member.armed == deadline) {
                member.armed = NEVER;
                self.serve(client, now);
            }
        }
        Ok(())
    }
}

/// Sends what a client has put into the batch, and clears it.
fn flush(out: &mut TrainBatch, socket: &FleetSocket, record: &mut LoadRecord) {
    if out.is_empty() {
        return;
    }
    for train in out.trains() {
        for datagram in out.bytes(train).chunks(usize::from(train.segment_size).max(1)) {
            record.counts.sends_failed += u64::from(socket.send(datagram) != SendResult::Sent);
        }
    }
    out.clear();
}
