//! The worker's state and its round.

use std::collections::{HashMap, VecDeque};

use slotmap::SlotMap;

use crate::crypto::random::Random;
use crate::limits;
use crate::net::Io;
use crate::time::{NtpTime, Timestamp};
use crate::transport::{SendResult, TrainBatch};
use crate::worker::counters::Counters;
use crate::worker::flow_table::FlowTable;
use crate::worker::handshakes::Handshakes;
use crate::worker::lane::Lanes;
use crate::worker::live::Live;
use crate::worker::mailbox::{Control, EndReason, Notice, SessionId, WorkerIndex};
use crate::worker::peer::{Peer, PeerKey, Subscriber};
use crate::worker::reason::DropReason;
use crate::worker::stream::Streams;
use crate::worker::timers::Timers;

/// This node's wall clock, read once and carried forward by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// Wall-clock time at [`Timestamp::ZERO`].
    pub at_zero: NtpTime,
}

impl WallClock {
    /// Wall-clock time at `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> NtpTime {
        self.at_zero + now.since(Timestamp::ZERO)
    }
}

/// What a worker is made with.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Its index.
    pub index: WorkerIndex,
    /// The core it is pinned to, for reports.
    pub core: u16,
    /// Its UDP port, for reports.
    pub media_port: u16,
    /// `uring` or `mmsg`, for reports.
    pub io: &'static str,
    /// Sessions it serves at most.
    pub sessions_max: usize,
    /// How long video is held for its frame's end when the worker is more than half busy; zero never holds.
    pub hold_max: std::time::Duration,
    /// The node's wall clock.
    pub wall_clock: WallClock,
}

/// A request to send a packet again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retransmission {
    pub(super) subscriber: Subscriber,
    pub(super) sequence_number: u16,
}

/// One core's sessions, streams and queues. Nothing in it is shared.
pub struct Worker {
    pub(super) config: WorkerConfig,
    pub(super) random: Box<dyn Random + Send>,
    pub(super) peers: SlotMap<PeerKey, Peer>,
    pub(super) by_session: HashMap<SessionId, PeerKey>,
    pub(super) by_ufrag: HashMap<String, PeerKey>,
    pub(super) flows: FlowTable<PeerKey>,
    pub(super) streams: Streams,
    pub(super) timers: Timers<PeerKey>,
    pub(super) lanes: Lanes,
    pub(super) control: flume::Receiver<Control>,
    pub(super) notices: flume::Sender<Notice>,
    pub(super) notices_waiting: VecDeque<Notice>,
    pub(super) retransmissions: VecDeque<Retransmission>,
    pub(super) reports_due: Vec<PeerKey>,
    pub(super) out: TrainBatch,
    pub(super) scratch: Vec<u8>,
    pub(super) counters: Counters,
    pub(super) live: Live,
    pub(super) handshakes: Handshakes,
    pub(super) binding_credit: u32,
    pub(super) binding_credit_at: Timestamp,
    pub(super) started: Timestamp,
    pub(super) load: Load,
    pub(super) shutting_down: bool,
    /// Control or lanes may hold more than the last round took.
    more_mail: bool,
}

/// How busy the worker is: the share of time not spent waiting, smoothed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    busy_permille: u32,
    window_start: Timestamp,
    waited_ns: u64,
}

impl Load {
    /// Takes note of a wait from `before` to `after`.
    pub(super) fn waited(&mut self, before: Timestamp, after: Timestamp) {
        self.waited_ns += after.since(before).as_nanos() as u64;
        let window = after.since(self.window_start).as_nanos() as u64;
        if window >= limits::LOAD_WINDOW.as_nanos() as u64 {
            let waited = (self.waited_ns * 1000 / window).min(1000) as u32;
            // Half old, half new: a burst shows within a few windows and does not flap.
            self.busy_permille = (self.busy_permille + (1000 - waited)) / 2;
            self.window_start = after;
            self.waited_ns = 0;
        }
    }

    /// Share of time busy, in thousandths.
    #[must_use]
    pub(super) fn busy_permille(&self) -> u32 {
        self.busy_permille
    }
}

impl Worker {
    /// A worker without sessions.
    #[must_use]
    pub fn new(
        config: WorkerConfig,
        random: Box<dyn Random + Send>,
        lanes: Lanes,
        control: flume::Receiver<Control>,
        notices: flume::Sender<Notice>,
        now: Timestamp,
    ) -> Self {
        Self {
            config,
            random,
            peers: SlotMap::with_key(),
            by_session: HashMap::new(),
            by_ufrag: HashMap::new(),
            flows: FlowTable::default(),
            streams: Streams::default(),
            timers: Timers::default(),
            lanes,
            control,
            notices,
            notices_waiting: VecDeque::new(),
            retransmissions: VecDeque::new(),
            reports_due: Vec::new(),
            out: TrainBatch::new(),
            scratch: vec![0; limits::DATAGRAM_IN_BYTES_MAX],
            counters: Counters::default(),
            live: Live::default(),
            handshakes: Handshakes::default(),
            binding_credit: limits::PLAIN_BINDINGS_PER_SECOND_MAX,
            binding_credit_at: now,
            started: now,
            load: Load { window_start: now, ..Load::default() },
            shutting_down: false,
            more_mail: false,
        }
    }

    /// One round: everything that is due, in this order. Bounded: what is left over comes in the next one, after
    /// the network was looked at again.
    pub fn round<I: Io>(&mut self, io: &mut I) {
        let now = io.now();
        self.counters.rounds += 1;
        self.handshakes.begin_round(self.streams.has_work());
        // 1. Datagrams: opened in place, stored, answered.
        io.receive(limits::DATAGRAMS_PER_ROUND_MAX, |datagram| self.handle_datagram(datagram, now));
        self.flush_if_half_full(io);
        // 2. Mail from signalling, packets from other workers.
        self.more_mail = self.handle_control(io, now) | self.receive_lanes();
        // 3. Timers.
        self.handle_timers(io, now);
        self.poll_key_frame_requests(now);
        // 4. What viewers asked for again, then fan-out: audio first.
        self.retransmit(now);
        self.fan_out(now);
        self.send_due_reports(now);
        // 5. One batch to the kernel; the readers of our lanes are woken once. Handshakes that had to wait come last.
        self.serve_handshakes(io, now);
        self.flush(io);
        self.lanes.wake();
        self.deliver_notices();
    }

    /// When the next round is due: at once while there is work.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Timestamp {
        let mail = self.more_mail || self.handshakes.is_waiting();
        if self.streams.has_work() || mail || !self.retransmissions.is_empty() {
            return now;
        }
        let deadline =
            self.streams.next_deadline().map_or(self.timers.next_deadline(), |d| d.min(self.timers.next_deadline()));
        if self.notices_waiting.is_empty() { deadline } else { deadline.min(now + limits::NOTICE_RETRY) }
    }

    /// Whether the worker was told to end and has ended its sessions.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shutting_down && self.peers.is_empty()
    }

    /// Takes note of a wait, for [`Load`].
    pub fn waited(&mut self, before: Timestamp, after: Timestamp) {
        self.load.waited(before, after);
    }

    /// Sends what is queued. A train that met a full socket buffer is dropped and counted, as a network would: its
    /// packets are in the ring, and a viewer that misses one asks for it. It is never sealed again from here.
    pub(super) fn flush<I: Io>(&mut self, io: &mut I) {
        if self.out.is_empty() {
            return;
        }
        io.send(&mut self.out);
        for train in self.out.trains() {
            self.live.train(train);
            match train.result {
                SendResult::Sent | SendResult::Pending => {}
                SendResult::Full => self.counters.dropped_many(DropReason::SocketBufferFull, u64::from(train.segments)),
                SendResult::TooLong => {
                    self.counters.dropped_many(DropReason::DatagramTooLong, u64::from(train.segments))
                }
                SendResult::Failed(_) => self.counters.dropped_many(DropReason::SendFailed, u64::from(train.segments)),
            }
        }
        self.out.clear();
        if !self.live.notes.is_empty() {
            self.note_residence(io.now());
        }
    }

    /// What was in the batch has left now.
    fn note_residence(&mut self, now: Timestamp) {
        let mut notes = std::mem::take(&mut self.live.notes);
        for note in notes.drain(..) {
            if let Some(stream) = self.streams.get(note.key.stream)
                && let Some(encoding) = stream.encodings.get(note.key.encoding)
            {
                self.live.sent(note, encoding, now);
            }
        }
        // Its room is used again.
        self.live.notes = notes;
    }

    fn flush_if_half_full<I: Io>(&mut self, io: &mut I) {
        if !self.out.has_room(limits::SEND_BUFFER_BYTES / 2) {
            self.flush(io);
        }
    }

    /// Wall-clock time.
    pub(super) fn wall_clock(&self, now: Timestamp) -> NtpTime {
        self.config.wall_clock.at(now)
    }

    pub(super) fn notify(&mut self, notice: Notice) {
        // Ended sessions and the like are few and bounded by the sessions that were opened.
        self.notices_waiting.push_back(notice);
    }

    fn deliver_notices(&mut self) {
        while let Some(notice) = self.notices_waiting.pop_front() {
            match self.notices.try_send(notice) {
                Ok(()) => {}
                Err(flume::TrySendError::Full(notice)) => {
                    self.notices_waiting.push_front(notice);
                    return;
                }
                // Signalling is gone: the node is ending.
                Err(flume::TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Arms a peer's timer for its next deadline.
    pub(super) fn arm(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key) {
            let deadline = peer.next_deadline();
            self.timers.arm(key, &mut peer.armed, deadline);
        }
    }

    fn handle_timers<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        self.streams.release_held(now);
        let mut handled = 0;
        while handled < limits::TIMERS_PER_ROUND_MAX
            && let Some((deadline, key)) = self.timers.pop_due(now)
        {
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if peer.armed != deadline {
                continue;
            }
            peer.armed = super::timers::NEVER;
            self.handle_peer_timer(key, now);
            self.arm(key);
            self.flush_if_half_full(io);
            handled += 1;
        }
    }

    fn handle_peer_timer(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(reason) = expired(peer, now) {
            self.end_peer(key, reason, now);
            return;
        }
        if peer.session.next_deadline().is_some_and(|deadline| deadline <= now) {
            peer.session.handle_timeout(&mut self.out, now);
            self.handle_session_events(key, now);
        }
        self.send_publisher_feedback(key, now);
        self.send_sender_report(key, now);
    }
}

fn expired(peer: &Peer, now: Timestamp) -> Option<EndReason> {
    use crate::session::SessionState;
    let silent = peer.session.silent_at() <= now;
    match peer.session.state() {
        SessionState::Connected => silent.then_some(EndReason::TimedOut),
        _ => (now.since(peer.opened) >= limits::SESSION_SETUP_MAX).then_some(EndReason::NeverConnected),
    }
}
