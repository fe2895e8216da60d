//! A TCP connection between a client and the node, both directions, as the kernel shows it to the node: what it takes at a
//! time, when bytes arrive, how it ends.
//!
//! Each direction has a rate, a delay, and times in which nothing passes: what a network's loss is to a stream. The node's
//! side takes bytes while fewer than [`limits::CONNECTION_UNSENT_BYTES_MAX`] wait for the network, cuts a frame anywhere
//! at its end, and has an end when it is broken. What the node writes is taken apart here, so that a frame of DTLS, whose
//! length differs from run to run, counts as [`DTLS_BYTES`].
//!
//! Left out: congestion control (a rate is what it comes to), half-closed connections (the node closes at once).

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::limits;
use corecast::net::lab::simulated_connections::{SimulatedStream, StreamRead};
use corecast::time::Timestamp;
use corecast::turn::{Framed, first};
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::stun::StunMessage;
use corecast::worker::timers::NEVER;

use crate::client::ClientId;
use crate::faults::{Fault, Faults};
use crate::scenario::between;
use crate::world::DTLS_BYTES;

const MS: Duration = Duration::from_millis(1);

/// Bytes of IP and TCP headers and of the length.
const OVERHEAD_BYTES: u64 = 54;

/// `ECONNRESET`.
const RESET: i32 = 104;

/// Pieces that one read gives at most: less than the node's buffer holds, so that its length decides nothing.
const PIECES_PER_READ: usize = 8;

/// A frame is cut in its first bytes, as its length may be another in the next run.
const CUT_BYTES: u64 = 16;

/// STUN attribute DATA (RFC 8656 §18.2).
pub(crate) const DATA: u16 = 0x0013;

/// What a connection is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpProfile {
    pub(crate) delay: Duration,
    /// Bits per second towards the client; zero is no limit.
    pub(crate) rate: u64,
    /// Bytes that the network takes beyond what has arrived.
    pub(crate) window: u64,
    /// Mean time between two stops, and the longest of them; zero: none.
    pub(crate) stop_every: Duration,
    pub(crate) stop_max: Duration,
    /// The node's writes are cut.
    pub(crate) cuts: bool,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    rate: u64,
    delay: Duration,
    stop_every: Duration,
    stop_max: Duration,
    random: SeededRandom,
    free_at: Timestamp,
    stop: (Timestamp, Timestamp),
    /// When the last stop that delayed anything ends.
    stopped_until: Timestamp,
}

impl Lane {
    fn new(profile: &TcpProfile, rate: u64, now: Timestamp, seed: u64) -> Self {
        let TcpProfile { delay, stop_every, stop_max, .. } = *profile;
        let mut lane = Self {
            rate,
            delay,
            stop_every,
            stop_max,
            random: SeededRandom::new(seed),
            free_at: now,
            stop: (NEVER, NEVER),
            stopped_until: Timestamp::ZERO,
        };
        if !stop_every.is_zero() {
            lane.draw_stop(now);
        }
        lane
    }

    fn draw_stop(&mut self, after: Timestamp) {
        let every = self.stop_every.as_micros() as u64;
        let begins = after + Duration::from_micros(between(&mut self.random, every / 2, every * 3 / 2));
        let longest = self.stop_max.as_micros() as u64;
        self.stop = (begins, begins + Duration::from_micros(between(&mut self.random, longest / 8, longest)));
    }

    /// Sends so many bytes at `at`: when they have left.
    fn serve(&mut self, at: Timestamp, bytes: u64, faults: &mut Faults) -> Timestamp {
        let begins = self.free_at.max(at);
        let bytes = bytes + OVERHEAD_BYTES;
        let time = Duration::from_nanos((bytes * 8_000_000_000).checked_div(self.rate).unwrap_or(0));
        while self.stop.1 <= begins {
            self.draw_stop(self.stop.1);
        }
        let mut ends = begins + time;
        while self.stop.0 <= ends {
            faults.count(Fault::ConnectionStopped);
            ends = self.stop.1 + ends.since(self.stop.0.max(begins));
            self.stopped_until = self.stop.1;
            self.draw_stop(self.stop.1);
        }
        self.free_at = ends;
        ends
    }

    /// Nothing more leaves before `until`.
    fn stop_until(&mut self, until: Timestamp) {
        self.free_at = self.free_at.max(until);
        self.stopped_until = self.stopped_until.max(until);
    }
}

/// What the node wrote: a whole frame, on its way to the client.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) arrives: Timestamp,
    pub(crate) bytes: Vec<u8>,
}

/// One connection. Times are the world's, of which the node's clock is ahead.
#[derive(Debug)]
pub(crate) struct Tcp {
    pub(crate) client: ClientId,
    pub(crate) is_turn: bool,
    /// The worker has it, or will.
    pub(crate) was_handed_over: bool,
    /// Neither end gets anything any more.
    pub(crate) is_broken: bool,
    pub(crate) is_closed_by_node: bool,
    /// Its session is known to have ended: nothing more may be written.
    pub(crate) session_has_ended: bool,
    /// Bytes that were written all the same.
    pub(crate) bytes_after_end: u64,
    /// The deliberate fault: it takes everything and says that nothing waits.
    pub(crate) swallows: bool,
    pub(crate) faults: Faults,
    /// What the node wrote since this was last taken.
    pub(crate) written: Vec<Frame>,
    /// Media frames from the client that nobody has read.
    pub(crate) unread_media: u64,
    profile: TcpProfile,
    ahead: Rc<Cell<Duration>>,
    random: SeededRandom,
    down: Lane,
    up: Lane,
    /// What has been taken and not left: when it does, and its bytes.
    waiting: VecDeque<(Timestamp, u64)>,
    waiting_bytes: u64,
    /// The beginning of a frame of the node's.
    begun: Vec<u8>,
    inbox: VecDeque<Vec<u8>>,
}

impl Tcp {
    pub(crate) fn new(
        client: ClientId,
        is_turn: bool,
        profile: TcpProfile,
        ahead: Rc<Cell<Duration>>,
        now: Timestamp,
        seed: u64,
    ) -> Self {
        Self {
            client,
            is_turn,
            was_handed_over: false,
            is_broken: false,
            is_closed_by_node: false,
            session_has_ended: false,
            bytes_after_end: 0,
            swallows: false,
            faults: Faults::default(),
            written: Vec::new(),
            unread_media: 0,
            ahead,
            random: SeededRandom::new(seed),
            down: Lane::new(&profile, profile.rate, now, seed ^ 1),
            up: Lane::new(&profile, 0, now, seed ^ 2),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            begun: Vec::new(),
            inbox: VecDeque::new(),
            profile,
        }
    }

    pub(crate) fn profile(&self) -> &TcpProfile {
        &self.profile
    }

    /// Whether the client can still use it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_broken && !self.is_closed_by_node
    }

    /// When the last stop ends that delayed anything.
    pub(crate) fn stopped_until(&self) -> Timestamp {
        self.down.stopped_until.max(self.up.stopped_until)
    }

    pub(crate) fn stop_until(&mut self, until: Timestamp, up: bool) {
        self.faults.count(Fault::ConnectionStopped);
        if up { self.up.stop_until(until) } else { self.down.stop_until(until) }
    }

    /// The client sends a frame: its pieces, and when they arrive.
    pub(crate) fn send(&mut self, now: Timestamp, mut frame: Vec<u8>) -> Vec<(Timestamp, Vec<u8>)> {
        let counted = counted_bytes(&frame, self.is_turn);
        let arrives = self.up.serve(now, counted, &mut self.faults) + self.up.delay;
        if self.profile.cuts && self.random.u64().is_multiple_of(4) {
            self.faults.count(Fault::FrameInPieces);
            let rest = frame.split_off(1 + (self.random.u64() % (CUT_BYTES - 8)) as usize);
            let later = arrives + Duration::from_micros(between(&mut self.random, 0, 3_000));
            // In order: the next frame arrives behind it.
            self.up.free_at = self.up.free_at.max(later - self.up.delay);
            return vec![(arrives, frame), (later, rest)];
        }
        vec![(arrives, frame)]
    }

    /// A piece has arrived at the node.
    pub(crate) fn arrive(&mut self, piece: Vec<u8>) {
        self.inbox.push_back(piece);
    }

    /// What has arrived and was not read, where signalling looks at it before the worker does.
    pub(crate) fn peek(&self) -> Vec<u8> {
        self.inbox.iter().flatten().copied().collect()
    }

    /// Takes what [`Self::peek`] showed.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.inbox.drain(..).flatten().collect()
    }

    /// Signalling writes.
    pub(crate) fn answer(&mut self, now: Timestamp, bytes: &[u8]) {
        self.append(now, bytes, false);
    }

    fn leave(&mut self, now: Timestamp) {
        while let Some(&(leaves, bytes)) = self.waiting.front()
            && leaves <= now
        {
            self.waiting.pop_front();
            self.waiting_bytes -= bytes;
        }
    }

    fn unsent(&self) -> u64 {
        if self.swallows { 0 } else { self.waiting_bytes.saturating_sub(self.profile.window) }
    }

    /// Takes whole frames while there is room, and a part of the next one.
    fn append(&mut self, now: Timestamp, bytes: &[u8], is_bounded: bool) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let begun = self.begun.len();
            self.begun.extend_from_slice(&bytes[taken..]);
            let whole = match frame_bytes(&self.begun, self.is_turn) {
                Some(whole) => whole,
                None => return bytes.len(),
            };
            let needed = whole - begun;
            if is_bounded && self.unsent() >= limits::CONNECTION_UNSENT_BYTES_MAX as u64 {
                self.faults.count(Fault::ShortWrite);
                let cut = match self.profile.cuts {
                    true => (self.random.u64() % CUT_BYTES.min(needed as u64)) as usize,
                    false => 0,
                };
                self.begun.truncate(begun + cut);
                return taken + cut;
            }
            self.begun.truncate(whole);
            taken += needed;
            let frame = std::mem::take(&mut self.begun);
            let counted = counted_bytes(&frame, self.is_turn);
            let leaves = self.down.serve(now, counted, &mut self.faults);
            self.waiting.push_back((leaves, counted));
            self.waiting_bytes += counted;
            self.written.push(Frame { arrives: leaves + self.down.delay, bytes: frame });
        }
        taken
    }

    fn world(&self, node: Timestamp) -> Timestamp {
        node - self.ahead.get()
    }
}

impl SimulatedStream for Tcp {
    fn read(&mut self, _now: Timestamp, buffer: &mut [u8]) -> StreamRead {
        if self.is_broken {
            return StreamRead::End;
        }
        let mut read = 0;
        for _ in 0..PIECES_PER_READ {
            let Some(piece) = self.inbox.front() else { break };
            let Some(room) = buffer.get_mut(read..read + piece.len()) else { break };
            room.copy_from_slice(piece);
            read += piece.len();
            self.inbox.pop_front();
        }
        if self.inbox.is_empty() {
            self.unread_media = 0;
        }
        if read == 0 { StreamRead::Nothing } else { StreamRead::Bytes(read) }
    }

    fn write(&mut self, now: Timestamp, bytes: &[u8]) -> Result<usize, i32> {
        if self.is_broken {
            return Err(RESET);
        }
        if self.session_has_ended {
            self.bytes_after_end += bytes.len() as u64;
        }
        let now = self.world(now);
        self.leave(now);
        Ok(self.append(now, bytes, true))
    }

    fn unsent_bytes(&mut self, now: Timestamp) -> usize {
        let now = self.world(now);
        self.leave(now);
        self.unsent() as usize
    }

    fn is_readable(&self, _now: Timestamp) -> bool {
        self.is_broken || !self.inbox.is_empty()
    }

    fn writable_at(&self, _now: Timestamp) -> Timestamp {
        let mut left = self.waiting_bytes;
        let wanted = self.profile.window + limits::CONNECTION_UNSENT_BYTES_MAX as u64;
        if self.is_broken || left < wanted || self.swallows {
            return Timestamp::ZERO;
        }
        for &(leaves, bytes) in &self.waiting {
            left -= bytes;
            if left < wanted {
                return leaves + self.ahead.get();
            }
        }
        NEVER
    }

    fn closed(&mut self, _now: Timestamp) {
        self.is_closed_by_node = true;
    }
}

/// Bytes of the first whole frame.
fn frame_bytes(bytes: &[u8], is_turn: bool) -> Option<usize> {
    if is_turn {
        return match first(bytes) {
            Framed::Whole(len) => Some(len),
            Framed::Partial => None,
            Framed::Broken => panic!("the node writes what is no message: {:02x?}", &bytes[..bytes.len().min(20)]),
        };
    }
    let (length, _) = bytes.split_first_chunk::<2>()?;
    let whole = 2 + usize::from(u16::from_be_bytes(*length));
    (bytes.len() >= whole).then_some(whole)
}

/// The datagram in a frame, where it has one.
pub(crate) fn datagram_of(frame: &[u8], is_turn: bool) -> Option<&[u8]> {
    if !is_turn {
        return frame.get(2..);
    }
    if frame.first().is_some_and(|first| (0x40..0x50).contains(first)) {
        let len = usize::from(u16::from_be_bytes([*frame.get(2)?, *frame.get(3)?]));
        return frame.get(4..4 + len);
    }
    StunMessage::parse(frame).ok()?.attribute(DATA)
}

fn counted_bytes(frame: &[u8], is_turn: bool) -> u64 {
    let is_dtls = datagram_of(frame, is_turn).is_some_and(|datagram| demux::classify(datagram) == DatagramKind::Dtls);
    if is_dtls { DTLS_BYTES as u64 } else { frame.len() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: TcpProfile = TcpProfile {
        delay: Duration::from_millis(10),
        rate: 1_000_000,
        window: 10_000,
        stop_every: Duration::ZERO,
        stop_max: Duration::ZERO,
        cuts: true,
    };

    fn framed(len: usize) -> Vec<u8> {
        [&(len as u16).to_be_bytes()[..], &vec![0x80; len]].concat()
    }

    #[test]
    fn a_thin_connection_takes_what_it_carries_and_says_when_it_takes_more() {
        let now = Timestamp::from_millis(1_000);
        let mut tcp = Tcp::new(0, false, PROFILE, Rc::default(), now, 7);
        let bytes: Vec<u8> = (0..40).flat_map(|_| framed(1_200)).collect();
        let taken = tcp.write(now, &bytes).unwrap();
        let most = 10_000 + limits::CONNECTION_UNSENT_BYTES_MAX + 1_202;
        assert!((most - 2_500..=most).contains(&taken), "{taken} of {}", bytes.len());
        assert!(tcp.unsent_bytes(now) >= limits::CONNECTION_UNSENT_BYTES_MAX);
        let later = tcp.writable_at(now);
        assert!(later > now && later < now + 50 * MS, "{later:?}");
        // The rest of the frame that was begun goes on where it was cut.
        let rest = tcp.write(later + 100 * MS, &bytes[taken..]).unwrap();
        assert!(rest > 0);
        let frames = std::mem::take(&mut tcp.written);
        assert!(frames.iter().all(|frame| frame.bytes == framed(1_200)), "cut elsewhere");
        assert!(frames.is_sorted_by_key(|frame| frame.arrives));
    }

    #[test]
    fn a_stop_delays_everything_and_a_break_ends_both_directions() {
        let profile = TcpProfile { rate: 0, stop_every: 500 * MS, stop_max: 400 * MS, ..PROFILE };
        let now = Timestamp::from_millis(1_000);
        let mut tcp = Tcp::new(0, false, profile, Rc::default(), now, 3);
        let mut longest = Duration::ZERO;
        for step in 0..400 {
            let now = now + 10 * MS * step;
            tcp.write(now, &framed(100)).unwrap();
            longest = longest.max(tcp.written.pop().unwrap().arrives.since(now));
        }
        assert!(longest > 100 * MS && longest <= 410 * MS, "{longest:?}");
        let pieces = tcp.send(now, framed(300));
        pieces.into_iter().for_each(|(_, piece)| tcp.arrive(piece));
        let mut buffer = [0; 2_000];
        assert_eq!(tcp.read(now, &mut buffer), StreamRead::Bytes(302));
        tcp.is_broken = true;
        assert_eq!((tcp.read(now, &mut buffer), tcp.write(now, &framed(9))), (StreamRead::End, Err(RESET)));
    }
}
