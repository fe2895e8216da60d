//! A peer's channels over its session: records of DTLS become packets of SCTP, and the other way round.

use std::time::Duration;

use crate::data::channels::{ChannelRefused, Channels, Facing};
use crate::description::{DataTerms, Direction, DtlsRole};
use crate::limits;
use crate::rate::Allowance;
use crate::session::{EpochNumber, Session};
use crate::time::Timestamp;
use crate::transport::TrainBatch;
use crate::worker::counters::Counters;
use crate::worker::reason::DropReason;

/// A relayed channel of a publisher.
#[derive(Debug)]
pub(super) struct Uplink {
    /// Its SCTP stream.
    pub(super) stream: u16,
    /// Its number in the publisher's stream.
    pub(super) number: u8,
    /// What it may still send.
    pub(super) rate: Allowance,
}

/// A channel of the stream as a viewer has it.
#[derive(Debug)]
pub(super) struct Mirror {
    /// Which of the stream's channels.
    pub(super) serial: u64,
    /// The number of the message that it is given next.
    pub(super) cursor: u64,
    pub(super) state: MirrorState,
}

/// How far a mirrored channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MirrorState {
    /// On this SCTP stream.
    Open(u16),
    /// It lagged too far behind, and is closed; when the viewer has agreed, a new one takes its place.
    Lagged(u16),
    /// The viewer has closed it, or has no place for it.
    Unwanted,
}

/// What a peer does with channels.
#[derive(Debug)]
pub(super) enum Side {
    /// Its channels are relayed.
    Publisher(Vec<Uplink>),
    /// The stream's channels are mirrored to it.
    Viewer(Vec<Mirror>),
}

/// The channels of a peer that negotiated data.
#[derive(Debug)]
pub(super) struct PeerChannels {
    terms: DataTerms,
    role: DtlsRole,
    seed: u64,
    /// From when its session is connected.
    pub(super) channels: Option<Channels>,
    /// When its association was established.
    pub(super) joined: Option<Timestamp>,
    pub(super) side: Side,
    /// It is listed among those with something to do.
    pub(super) is_listed: bool,
    packets: Allowance,
    /// Of a viewer: what it may send of user data.
    chunks: Allowance,
    /// Of a viewer: what it may say to the publisher. Of a publisher: what it hears of all of them.
    pub(super) back: Allowance,
    /// Of a viewer: channels that it has lost because it lagged; a new one begins where it is then.
    pub(super) lagged: Vec<u64>,
    /// Of a viewer: its session's second transport is given what comes from now on.
    pub(super) is_replaced: bool,
    /// Of a viewer: where its session's first transport was in each channel.
    pub(super) follows: Vec<(u64, u64)>,
    /// Messages that it sent and were relayed.
    pub(super) received: u64,
    /// Messages that it was given.
    pub(super) sent: u64,
}

impl PeerChannels {
    pub(super) fn new(terms: DataTerms, role: DtlsRole, direction: Direction, seed: u64, now: Timestamp) -> Self {
        Self {
            terms,
            role,
            seed,
            channels: None,
            joined: None,
            side: match direction {
                Direction::Publish => Side::Publisher(Vec::new()),
                Direction::Play => Side::Viewer(Vec::new()),
            },
            is_listed: false,
            packets: Allowance::new(now),
            chunks: Allowance::new(now),
            back: Allowance::new(now),
            lagged: Vec::new(),
            is_replaced: false,
            follows: Vec::new(),
            received: 0,
            sent: 0,
        }
    }

    /// Whether what it says goes to the publisher.
    pub(super) fn may_speak(&self) -> bool {
        self.terms.may_speak
    }

    /// The session is connected: the peer's INIT can be answered.
    pub(super) fn connected(&mut self, now: Timestamp) {
        let facing = match self.side {
            Side::Publisher(_) => Facing::Publisher,
            Side::Viewer(_) => Facing::Viewer,
        };
        self.channels = Some(Channels::new(self.terms, self.role, facing, self.seed, now));
    }

    /// How many channels it has open.
    pub(super) fn open_channels(&self) -> usize {
        match &self.side {
            Side::Publisher(uplinks) => uplinks.len(),
            Side::Viewer(mirrors) => {
                mirrors.iter().filter(|mirror| matches!(mirror.state, MirrorState::Open(_))).count()
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.channels.as_ref()?.next_deadline()
    }

    /// Runs the timers that are due. Returns whether any was.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> bool {
        let is_due = self.next_deadline().is_some_and(|at| at <= now);
        if let Some(channels) = self.channels.as_mut().filter(|_| is_due) {
            channels.handle_timeout(now);
        }
        is_due
    }

    /// Gives the association what the session has received. Returns whether there was anything.
    pub(super) fn take_records(&mut self, session: &mut Session, counters: &mut Counters, now: Timestamp) -> bool {
        let mut any = false;
        while let Some((epoch, packet)) = session.poll_data() {
            // Another epoch's association would be another SCTP association; no worker begins one yet.
            let Some(channels) = self.channels.as_mut().filter(|_| epoch == EpochNumber::default()) else { continue };
            any = true;
            if !take(&mut self.packets, limits::DATA_PACKETS_BURST, limits::DATA_PACKETS_PER_SECOND, now) {
                counters.dropped(DropReason::DataPacketsOverRate);
                continue;
            }
            let chunks = if matches!(self.side, Side::Viewer(_)) { Channels::user_data_in(&packet) } else { 0 };
            let (burst, rate) = (limits::DATA_VIEWER_CHUNKS_BURST, limits::DATA_VIEWER_CHUNKS_PER_SECOND);
            if !(0..chunks).all(|_| take(&mut self.chunks, burst, rate, now)) {
                counters.dropped(DropReason::DataPacketsOverRate);
                continue;
            }
            channels.handle_packet(&packet, now);
            while let Some(refused) = channels.poll_refused() {
                counters.dropped(reason(refused));
            }
        }
        any
    }

    /// Drops what happened.
    pub(super) fn forget_events(&mut self) {
        while self.channels.as_mut().and_then(Channels::poll_event).is_some() {}
    }

    /// Sends the packets that wait, as far as the batch has room. Returns whether some are left.
    pub(super) fn send_packets(
        &mut self,
        session: &mut Session,
        out: &mut TrainBatch,
        counters: &mut Counters,
        now: Timestamp,
    ) -> bool {
        let Some(channels) = &mut self.channels else { return false };
        while channels.has_packets() {
            if !out.has_room_for(2) {
                return true;
            }
            let Some(packet) = channels.poll_packet() else { break };
            // What cannot be sent is lost as on the network: SCTP repeats it.
            let _ = session.send_data(&packet, out, now);
        }
        counters.dropped_many(DropReason::DataPacketsWaiting, channels.take_dropped());
        false
    }
}

fn take(allowance: &mut Allowance, burst: u32, per_second: u32, now: Timestamp) -> bool {
    allowance.take(burst, Duration::from_secs(1) / per_second, now)
}

fn reason(refused: ChannelRefused) -> DropReason {
    match refused {
        ChannelRefused::Packet(_) => DropReason::DataPacketRefused,
        ChannelRefused::Dcep(_) => DropReason::DataChannelMalformed,
        ChannelRefused::Channel => DropReason::DataChannelsFull,
        ChannelRefused::Message => DropReason::DataMessageUnknown,
    }
}
