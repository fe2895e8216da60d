//! Every kind of fault the simulation makes, and how often it was made.

use std::fmt;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            pub(crate) const ALL: &[(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

faults! {
    /// A single datagram lost.
    Loss => "network: lost",
    BurstLoss => "network: lost in a burst",
    Reordered => "network: reordered",
    Duplicated => "network: duplicated",
    Jitter => "network: delayed by jitter",
    TooLongForPath => "network: longer than the path's MTU",
    Queued => "network: waited for the rate limit",
    QueueFull => "network: dropped by the rate limit's queue",
    OutageUp => "network: lost in an outage towards the node",
    OutageDown => "network: lost in an outage from the node",
    ToOldAddress => "network: sent to an address before rebinding",
    TrainSplit => "network: a train's segments spread in time",
    Coalesced => "network: arrived together with the one before",
    Rebinding => "client: its address changed",
    ConnectionStopped => "connection: a stop in which nothing passes",
    ConnectionBroken => "connection: broken",
    ConnectionMade => "connection: made",
    ConnectionRefused => "connection: not taken by the node",
    TurnMade => "connection: made for TURN",
    ShortWrite => "connection: took a part of what was written",
    FrameInPieces => "connection: a frame in two pieces",
    WayChanged => "client: changed from UDP to a connection",
    WayBack => "client: went back to UDP",
    DataClosed => "client: a data channel was closed and said so",
    DataDropped => "client: a message of an unreliable channel did not come",
    RekeyAsked => "keys: a second transport asked for",
    RekeyRefused => "keys: refused by the worker",
    RekeyAnswerLate => "keys: the worker's answer came too late",
    RekeyLingers => "keys: the old connection stays after its end",
    RekeyClosesOld => "keys: the old connection closed, unsaid",
    RekeyClosesNew => "keys: the new connection closed",
    RekeyGivenUp => "keys: given up",
    RekeyNeverPasses => "keys: nothing of the new connection passes",
    RekeyNoAnswer => "keys: the answer never came",
    RekeyWrongCertificate => "keys: another certificate",
    RekeyBringsNothing => "keys: a publisher's new one brings nothing",
    RekeyVanished => "keys: the client vanished meanwhile",
    RekeyLeft => "keys: the client left meanwhile",
    RekeySwitched => "keys: outcome switched",
    RekeyOverlapOver => "keys: outcome overlap_over",
    RekeyOldEnded => "keys: outcome old_ended",
    RekeyNeverConnected => "keys: outcome never_connected",
    RekeyDtlsFailed => "keys: outcome dtls_failed",
    RekeyAbandoned => "keys: outcome abandoned",
    RekeyNoKeyFrame => "keys: outcome no_key_frame",
    RekeySessionEnded => "keys: outcome session_ended",
    SendFull => "node: send refused, EAGAIN",
    SendNoBuffers => "node: send refused, ENOBUFS",
    SendTooLong => "node: send refused, EMSGSIZE",
    SendError => "node: send refused, EIO",
    SendPartial => "node: only a batch's first trains taken",
    ReceiveBufferFull => "node: receive buffer full",
    ControlFull => "node: control mailbox full",
    NoticesFull => "node: notice mailbox full",
    UpstreamFull => "node: upstream mailbox full",
    LaneFull => "node: lane full",
    SessionsFull => "node: session refused, full",
    Stalled => "node: a worker stalled",
    ClockJump => "node: the clock jumped",
    CursorSkip => "node: a viewer that lagged skipped",
    StartedAgain => "node: a viewer was started again",
    PublisherVanished => "client: publisher vanished",
    PublisherLeft => "client: publisher left",
    PublisherReturned => "client: publisher returned",
    ViewerVanished => "client: viewer vanished",
    ViewerClosed => "client: viewer closed DTLS",
    ViewerDeleted => "client: viewer's session deleted",
    IceRestart => "client: ICE restart",
    NeverConnected => "client: opened and never seen",
    ForgedCheck => "forger: own check from another's address",
    ForgedNomination => "forger: own nomination from another's address",
    ForgedBinding => "forger: plain binding from another's address",
    ReplayedFromSame => "forger: sent again from where it came",
    ReplayedFromOwn => "forger: sent again from his address",
    ReplayedFromOther => "forger: sent again from another's address",
    ForgedCut => "forger: a copy that was cut",
    ForgedFlip => "forger: a copy with a bit changed",
    ForgedNoise => "forger: noise from another's address",
}

/// How often each was made.
#[derive(Clone, Debug)]
pub(crate) struct Faults([u64; Fault::ALL.len()]);

impl Default for Faults {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Faults {
    pub(crate) fn count(&mut self, fault: Fault) {
        self.add(fault, 1);
    }

    pub(crate) fn add(&mut self, fault: Fault, times: u64) {
        self.0[fault as usize] += times;
    }

    pub(crate) fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// Kinds that were never made; those of `ways` and of `rekeys` are made only where there are any.
    pub(crate) fn missing(&self, ways: bool, rekeys: bool) -> Vec<&'static str> {
        let is_in = |fault: Fault, from: Fault, to: Fault| (from as usize..=to as usize).contains(&(fault as usize));
        let is_due = |fault: Fault| {
            (ways || !is_in(fault, Fault::ConnectionStopped, Fault::DataDropped))
                && (rekeys || !is_in(fault, Fault::RekeyAsked, Fault::RekeySessionEnded))
        };
        Fault::ALL.iter().filter(|(fault, _)| is_due(*fault) && self.of(*fault) == 0).map(|(_, name)| *name).collect()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, name) in Fault::ALL {
            writeln!(f, "  {name:<48} {:>12}", self.of(*fault))?;
        }
        Ok(())
    }
}
