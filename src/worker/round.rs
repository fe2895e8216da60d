//! The worker's parts, and the order of the phases of a round. What a phase may touch is what is lent to it here.

use crate::crypto::random::Random;
use crate::limits;
use crate::net::Io;
use crate::time::Timestamp;
use crate::worker::channels::phase::ChannelPhase;
use crate::worker::config::WorkerConfig;
use crate::worker::control::messages::ControlPhase;
use crate::worker::control::reporting::ReportUnderWay;
use crate::worker::counters::Counters;
use crate::worker::handshakes::Handshakes;
use crate::worker::inbound::datagram::DatagramPhase;
use crate::worker::inbound::lanes;
use crate::worker::lane::Lanes;
use crate::worker::lifecycle::Lifecycle;
use crate::worker::load::Load;
use crate::worker::mail::Mail;
use crate::worker::mailbox::{Control, Notice};
use crate::worker::outbound::fan_out::FanOutPhase;
use crate::worker::outbound::key_frame_requests::KeyFramePhase;
use crate::worker::outbound::retransmission::RetransmissionPhase;
use crate::worker::outbound::{demand, ladder, sender_report};
use crate::worker::outbox::Outbox;
use crate::worker::peer::PeerKey;
use crate::worker::peers::Peers;
use crate::worker::plain_bindings::PlainBindings;
use crate::worker::repairs::Repairs;
use crate::worker::streams::Streams;

/// One core's sessions, streams and queues. Nothing in it is shared.
pub struct Worker {
    config: WorkerConfig,
    random: Box<dyn Random + Send>,
    started: Timestamp,
    shutting_down: bool,
    peers: Peers,
    streams: Streams,
    lanes: Lanes,
    mail: Mail,
    repairs: Repairs,
    /// Viewers that got their first packet in this round.
    reports_due: Vec<PeerKey>,
    outbox: Outbox,
    handshakes: Handshakes,
    plain_bindings: PlainBindings,
    counters: Counters,
    load: Load,
    report: ReportUnderWay,
    /// Control or lanes may hold more than the last round took.
    more_mail: bool,
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
            started: now,
            shutting_down: false,
            peers: Peers::default(),
            streams: Streams::default(),
            lanes,
            mail: Mail::new(control, notices),
            repairs: Repairs::default(),
            reports_due: Vec::new(),
            outbox: Outbox::default(),
            handshakes: Handshakes::default(),
            plain_bindings: PlainBindings::new(now),
            counters: Counters::default(),
            load: Load::new(now),
            report: ReportUnderWay::default(),
            more_mail: false,
        }
    }

    /// One round: everything that is due, in this order. Bounded: what is left over comes in the next one, after
    /// the network was looked at again.
    pub fn round<I: Io>(&mut self, io: &mut I) {
        let now = io.now();
        self.counters.round_began();
        self.handshakes.begin_round(self.streams.has_work());
        // 1. Datagrams: opened in place, stored, answered. Then mail from signalling, packets from other workers.
        self.take_in(io, now);
        // 2. Deadlines: held video, peers, key frames that are waited for.
        self.streams.release_held(now);
        self.lifecycle().meet_deadlines(io, now);
        let Self { config, streams, peers, lanes, outbox, counters, .. } = self;
        ladder::run(peers, streams, now);
        demand::run(config.index, streams, lanes, counters, now);
        KeyFramePhase { own: config.index, streams, peers, lanes, outbox }.run(now);
        // 3. What viewers asked for again, then fan-out: audio first.
        self.fill_batch(now);
        // 4. One batch to the kernel; the readers of our lanes are woken once. Handshakes that had to wait come last.
        self.lifecycle().serve_deferred(io, now);
        self.outbox.flush(io, &mut self.peers, &self.streams, &mut self.counters);
        // 5. Data channels, in a batch of their own.
        if self.streams.channel_work.any() {
            let Self { streams, peers, lanes, outbox, counters, .. } = self;
            ChannelPhase { streams, peers, lanes, outbox, counters }.run(now);
            self.outbox.flush(io, &mut self.peers, &self.streams, &mut self.counters);
        }
        self.lanes.wake();
        self.mail.deliver();
    }

    fn take_in<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        let Self { config, random, peers, streams, lanes, mail, repairs, outbox, .. } = self;
        let Self { handshakes, plain_bindings, counters, load, report, shutting_down, started, .. } = self;
        let lifecycle = Lifecycle { config, peers, streams, handshakes, mail, outbox, counters };
        let mut datagrams = DatagramPhase { lifecycle, lanes, repairs, plain_bindings };
        io.receive(limits::DATAGRAMS_PER_ROUND_MAX, |datagram| datagrams.handle(datagram, now));
        while let Some(event) = io.connection_event() {
            datagrams.handle_connection(event, now);
        }
        let DatagramPhase { lifecycle, lanes, .. } = datagrams;
        lifecycle.outbox.flush_if_half_full(io, lifecycle.peers, lifecycle.streams, lifecycle.counters);
        let random = random.as_mut();
        let mut control = ControlPhase { lifecycle, lanes, random, shutting_down, load, started: *started, report };
        let more_control = control.run(io, now);
        let more_records = lanes::receive(&mut self.lanes, &mut self.streams, &mut self.counters, now);
        self.more_mail = more_control || more_records;
    }

    fn fill_batch(&mut self, now: Timestamp) {
        let busy = self.load.busy_permille() >= limits::HOLD_ABOVE_BUSY_PERMILLE;
        let hold = (busy && !self.config.hold_max.is_zero()).then_some(self.config.hold_max);
        let Self { streams, peers, mail, repairs, reports_due, outbox, counters, .. } = self;
        RetransmissionPhase { repairs, peers, streams, outbox, counters, mail }.run(now);
        FanOutPhase { streams, peers, outbox, counters, mail, reports_due, hold }.run(now);
        sender_report::send_first(reports_due, peers, streams, outbox, now);
    }

    fn lifecycle(&mut self) -> Lifecycle<'_> {
        let Self { config, peers, streams, handshakes, mail, outbox, counters, .. } = self;
        Lifecycle { config, peers, streams, handshakes, mail, outbox, counters }
    }

    /// When the next round is due: at once while there is work.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Timestamp {
        let mail = self.more_mail
            || self.streams.channel_work.any()
            || self.handshakes.is_waiting()
            || self.report.is_under_way();
        if self.streams.has_work() || self.streams.has_demand_to_tell() || mail {
            return now;
        }
        let others = [self.streams.next_deadline(), self.repairs.next_due()].into_iter().flatten();
        let deadline = others.fold(self.peers.next_deadline(), Timestamp::min);
        if self.mail.waiting() == 0 { deadline } else { deadline.min(now + limits::NOTICE_RETRY) }
    }

    /// Whether the worker was told to end and has ended its sessions.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shutting_down && self.peers.len() == 0
    }

    /// Takes note of a wait from `before` to `after`.
    pub fn waited(&mut self, before: Timestamp, after: Timestamp) {
        self.load.waited(before, after);
    }
}

/// What benches and the simulation look at.
#[cfg(any(test, feature = "peer"))]
impl Worker {
    /// Opens a session that has its path and its keys already, as if ICE and DTLS had just finished.
    ///
    /// # Errors
    /// As for any session.
    pub fn open_connected(
        &mut self,
        request: crate::worker::mailbox::OpenSession,
        keys: &crate::srtp::SrtpKeys,
        path: impl Into<crate::transport::PathAddress>,
        now: Timestamp,
    ) -> Result<(), crate::worker::mailbox::OpenRefused> {
        let Self { config, random, peers, streams, handshakes, mail, outbox, counters, .. } = self;
        let mut lifecycle = Lifecycle { config, peers, streams, handshakes, mail, outbox, counters };
        lifecycle.open_connected(request, keys, &path.into(), random.as_mut(), now)
    }

    /// Opens a session that is not connected yet.
    ///
    /// # Errors
    /// As for any session.
    pub fn open(
        &mut self,
        request: crate::worker::mailbox::OpenSession,
        now: Timestamp,
    ) -> Result<(), crate::worker::mailbox::OpenRefused> {
        let Self { config, random, peers, streams, handshakes, mail, outbox, counters, .. } = self;
        let mut lifecycle = Lifecycle { config, peers, streams, handshakes, mail, outbox, counters };
        lifecycle.open(request, random.as_mut(), now).map(|_| ())
    }

    /// Gives it its path and its keys, as if ICE (by these credentials, its own first) and DTLS had just finished.
    ///
    /// # Errors
    /// Where there is no such session, or no room for its path.
    pub fn connect(
        &mut self,
        session: crate::worker::mailbox::SessionId,
        ice: (crate::description::IceCredentials, crate::description::IceCredentials),
        keys: &crate::srtp::SrtpKeys,
        path: impl Into<crate::transport::PathAddress>,
        now: Timestamp,
    ) -> Result<(), crate::worker::mailbox::OpenRefused> {
        let key = self.peers.find_session(session).ok_or(crate::worker::mailbox::OpenRefused::Full)?;
        let Self { config, random, peers, streams, handshakes, mail, outbox, counters, .. } = self;
        let path = peers.arrive(&path.into()).ok_or(crate::worker::mailbox::OpenRefused::Full)?;
        let mut lifecycle = Lifecycle { config, peers, streams, handshakes, mail, outbox, counters };
        lifecycle.connect(key, ice, keys, path, random.as_mut(), now);
        Ok(())
    }

    /// What a viewer's path takes in bits per second, for pacing.
    pub fn set_capacity(&mut self, session: crate::worker::mailbox::SessionId, bits_per_second: Option<u32>) {
        let peer = self.peers.find_session(session).and_then(|key| self.peers.get_mut(key));
        if let Some(crate::worker::peer::Role::Viewer(playback)) = peer.map(|peer| &mut peer.role) {
            playback.set_capacity(bits_per_second);
        }
    }

    /// What it holds for data channels now.
    #[must_use]
    pub fn data_holdings(&self) -> crate::worker::holdings::DataHoldings {
        crate::worker::holdings::DataHoldings::of(&self.peers, &self.streams)
    }

    /// How often a session's keys have changed in place.
    #[must_use]
    pub fn changes_in_place(&self, session: crate::worker::mailbox::SessionId) -> u32 {
        let peer = self.peers.find_session(session).and_then(|key| self.peers.get(key));
        peer.map_or(0, |peer| peer.session.epoch().number().0)
    }

    /// What it holds now.
    #[must_use]
    pub fn holdings(&self) -> crate::worker::holdings::Holdings {
        crate::worker::holdings::Holdings::of(&self.peers, &self.streams, &self.repairs, &self.mail, &self.reports_due)
    }

    /// Whether in every packet ring each stored packet has its bytes to itself. Sorts them: now and then, not every
    /// round.
    #[must_use]
    pub fn rings_are_disjoint(&self) -> bool {
        self.streams.iter().flat_map(|stream| &stream.encodings).all(|encoding| encoding.ring.is_disjoint())
    }
}
