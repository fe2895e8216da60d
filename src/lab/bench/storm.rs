//! Measures how long connectivity checks and audio wait while a key frame of forty packets, a tenth of a second of
//! work, goes out to five thousand viewers.
//!
//! It runs in real time over real sockets, and the checks are a real viewer's. The worst case is assumed: each served
//! datagram is taken to have arrived just after the worker's previous look at the network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use serde::Serialize;

use super::BenchError;
use super::publisher::keys;
use super::rig::{Rig, RigConfig, RigIo, Sink, ice, request};
use crate::description::Direction;
use crate::lab::peer::terms::PLAY;
use crate::net::process::thread_cpu_time;
use crate::net::{self, Io, IoCounters, IoKind, Waker};
use crate::time::Timestamp;
use crate::transport::{Datagram, PathBook, TrainBatch, UdpPath};
use crate::wire::stun::StunWriter;
use crate::worker::mailbox::StreamId;

/// Packets of the key frame.
pub const KEY_FRAME_PACKETS: usize = 40;

/// An instant on two clocks: the wall's, and the thread's own CPU time, which stands still while the machine runs
/// something else. A worker with a core of its own sees no difference.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: Timestamp,
    cpu: Duration,
}

/// A time on both clocks.
#[derive(Clone, Copy, Debug)]
struct Span {
    wall: Duration,
    cpu: Duration,
}

impl Moment {
    fn now() -> Self {
        Self { wall: net::now(), cpu: thread_cpu_time() }
    }

    fn since(self, earlier: Self) -> Span {
        Span { wall: self.wall.since(earlier.wall), cpu: self.cpu.saturating_sub(earlier.cpu) }
    }
}

/// The rig's sockets with records of when the worker looked at the network and when datagrams were sent.
struct Watched<'a> {
    io: &'a mut RigIo,
    seen: &'a mut Seen,
}

struct Seen {
    /// Who sends checks.
    checker: SocketAddr,
    /// When the previous receive ended; datagrams that arrived since then had to wait for the next one.
    looked: Moment,
    /// A check may have waited since then.
    check_since: Option<Moment>,
    check_waits: Vec<Span>,
    /// From the end of one receive to the end of the next.
    rounds: Vec<Span>,
    audio_sent: u64,
    audio_first: Option<Moment>,
    audio_last: Moment,
}

impl Io for Watched<'_> {
    fn now(&self) -> Timestamp {
        self.io.now()
    }

    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        self.io.wait(deadline)
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, mut visit: F) -> usize {
        let (checker, mut checked) = (self.seen.checker, false);
        let taken = self.io.receive(limit, |datagram| {
            checked |= datagram.from.remote() == checker;
            visit(datagram);
        });
        let now = Moment::now();
        self.seen.rounds.push(now.since(self.seen.looked));
        if checked {
            self.seen.check_since = Some(self.seen.looked);
        }
        self.seen.looked = now;
        taken
    }

    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        self.io.send(batch, paths);
        let now = Moment::now();
        for train in batch.trains() {
            if paths.udp(train.path).is_some_and(|path| path.remote == self.seen.checker) {
                if let Some(since) = self.seen.check_since.take() {
                    self.seen.check_waits.push(now.since(since));
                }
            } else if batch.bytes(train).get(1).is_some_and(|byte| byte & 0x7f == PLAY.audio) {
                self.seen.audio_sent += u64::from(train.segments);
                self.seen.audio_first.get_or_insert(now);
                self.seen.audio_last = now;
            }
        }
    }

    fn counters(&self) -> IoCounters {
        self.io.counters()
    }

    fn waker(&self) -> Waker {
        self.io.waker()
    }
}

/// Times of one thing in milliseconds, on the wall clock and on the thread's CPU clock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waits {
    /// What waited.
    pub what: &'static str,
    /// How often it was seen.
    pub times: usize,
    /// Wall clock: half, 99 % and all of them took no longer.
    pub wall_ms: [f64; 3],
    /// CPU time: half, 99.9 % and all.
    pub cpu_ms: [f64; 3],
}

impl Waits {
    fn of(what: &'static str, spans: &[Span]) -> Self {
        let at = |of: fn(&Span) -> Duration, share| {
            super::compare::quantile(spans.iter().map(|span| of(span).as_secs_f64() * 1e3), share)
        };
        let wall = |share| at(|span| span.wall, share);
        let cpu = |share| at(|span| span.cpu, share);
        Self {
            what,
            times: spans.len(),
            wall_ms: [wall(0.5), wall(0.99), wall(1.0)],
            cpu_ms: [cpu(0.5), cpu(0.999), cpu(1.0)],
        }
    }

    /// The figure that is judged: the 99.9th percentile of CPU time. Other programs' use of this core shows on the wall
    /// clock; work that the kernel charges to this thread on their behalf shows in the maximum.
    #[must_use]
    pub fn judged_ms(&self) -> f64 {
        self.cpu_ms[1]
    }
}

/// What waited during a storm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Storm {
    /// Viewers.
    pub viewers: usize,
    /// From the key frame's arrival until everyone had it.
    pub key_frame: Waits,
    /// Time between two looks at the network. It bounds everything else.
    pub round: Waits,
    /// From a check's arrival until its answer was sent.
    pub check: Waits,
    /// From an audio packet's arrival until the first viewer's was sent.
    pub audio_first: Waits,
    /// From an audio packet's arrival until the last viewer's was sent. It is a message of a single packet for each
    /// viewer, whatever the order of service.
    pub audio_last: Waits,
}

/// Sends `repeats` key frames to `viewers` viewers over loopback.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn measure(io: IoKind, viewers: usize, repeats: usize) -> Result<Storm, BenchError> {
    let config = RigConfig { sink: Sink::Loopback, io, virtual_time: false, viewers, idle: 0, part: None };
    let mut rig = Rig::new(config)?;
    // One more viewer, which checks its path.
    let number = viewers + 1;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(BenchError::Socket)?;
    socket.connect((Ipv4Addr::LOCALHOST, rig.handle.media_port)).map_err(BenchError::Socket)?;
    let checker = socket.local_addr().map_err(BenchError::Socket)?;
    let path = UdpPath { remote: checker, local_ip: IpAddr::V4(Ipv4Addr::LOCALHOST), socket: 0 };
    let other = request(&rig.identity, Direction::Play, number, StreamId(2));
    rig.worker.open_connected(other, &keys(number as u64, false), path, net::now()).map_err(BenchError::Open)?;

    let now = Moment::now();
    let mut seen = Seen {
        checker,
        looked: now,
        check_since: None,
        check_waits: Vec::new(),
        rounds: Vec::new(),
        audio_sent: 0,
        audio_first: None,
        audio_last: now,
    };
    let publisher = rig.path(0);
    rig.io.inbox = rig.arrivals(KEY_FRAME_PACKETS, true, net::now());
    let inbox = &mut rig.io.inbox;
    rig.publisher.audio(net::now(), &mut |bytes| inbox.push(publisher, bytes));
    rig.run_idle();

    let (mut storms, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    let mut transaction = 0;
    for repeat in 0..repeats {
        rig.io.inbox = rig.arrivals(KEY_FRAME_PACKETS, true, net::now());
        let started = Moment::now();
        seen.looked = started;
        let mut rounds = 0;
        let mut audio_at = None;
        loop {
            transaction += 1;
            socket.send(&check(number, transaction)).map_err(BenchError::Socket)?;
            // Audio arrives at a different point of each fan-out.
            if rounds == 10 + 7 * (repeat % 12) {
                (seen.audio_sent, seen.audio_first) = (0, None);
                audio_at = Some(seen.looked);
                let inbox = &mut rig.io.inbox;
                rig.publisher.audio(net::now(), &mut |bytes| inbox.push(publisher, bytes));
            }
            let deadline = rig.worker.next_deadline(net::now()).min(net::now() + Duration::from_millis(1));
            rig.io.wait(deadline).map_err(BenchError::Socket)?;
            rig.worker.round(&mut Watched { io: &mut rig.io, seen: &mut seen });
            rounds += 1;
            if rig.is_idle() {
                break;
            }
        }
        storms.push(Moment::now().since(started));
        if let (Some(at), Some(first)) = (audio_at, seen.audio_first)
            && seen.audio_sent >= viewers as u64
        {
            firsts.push(first.since(at));
            lasts.push(seen.audio_last.since(at));
        }
    }
    Ok(Storm {
        viewers,
        key_frame: Waits::of("key frame to all viewers", &storms),
        round: Waits::of("between two looks at the network", &seen.rounds),
        check: Waits::of("STUN check available -> answer sent", &seen.check_waits),
        audio_first: Waits::of("audio available -> sent to the first viewer", &firsts),
        audio_last: Waits::of("audio available -> sent to the last viewer", &lasts),
    })
}

/// A nominating check of session `number`.
fn check(number: usize, transaction: u64) -> Vec<u8> {
    let (node, peer) = (ice("node", number), ice("peer", number));
    let mut id = [0; 12];
    id[..8].copy_from_slice(&transaction.to_be_bytes());
    let mut out = vec![0; 256];
    let len = StunWriter::binding_request(&mut out, &id)
        .username(format!("{}:{}", node.ufrag, peer.ufrag).as_bytes())
        .priority(1)
        .ice_controlling(1)
        .use_candidate()
        .integrity(node.password.as_bytes())
        .fingerprint()
        .finish()
        .expect("a check fits");
    out.truncate(len);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_answered_and_audio_is_sent_while_the_key_frame_goes_out() {
        let storm = measure(IoKind::Mmsg, 600, 3).unwrap();
        assert_eq!(storm.key_frame.times, 3);
        assert!(storm.check.times > 3, "{storm:?}");
        assert!(storm.audio_first.times > 0, "{storm:?}");
        assert!(storm.check.wall_ms[0] < storm.key_frame.wall_ms[0], "a check does not wait for the whole key frame");
    }
}
