//! The messages between signalling and the workers: plain values over bounded channels.
//!
//! | Channel | Depth | When it is full |
//! |---|---|---|
//! | signalling → worker ([`Control`]) | [`limits::CONTROL_MESSAGES_MAX`] | the request is refused (503, `Retry-After`); `Close`, `Route` and `Shutdown` wait |
//! | worker → signalling ([`Notice`]) | [`limits::NOTICES_MAX`] | the worker keeps it and tries again next round; it never blocks |

use std::time::Duration;

use crate::bandwidth::why::Why;
use crate::description::{Description, IceCredentials};
use crate::dtls::DtlsIdentity;
use crate::limits;
use crate::net::{Accepted, Waker};
pub use crate::placement::SessionId;
pub use crate::relay::store::address::{NodeId, Origin, StreamId, WorkerIndex};
use crate::relay::store::numbers::EncodingId;
use crate::worker::layers::{LayerRequest, LayersTold, NotChosen};
use crate::worker::reason::reasons;
use crate::worker::report::Traffic;

/// Where a heartbeat is answered to; bounded to one.
pub type Heartbeat = flume::Sender<()>;

/// From signalling to a worker.
#[derive(Debug)]
pub enum Control {
    /// Serve this peer from now on. Answered by [`Notice::Opened`] or [`Notice::Refused`].
    Open(Box<OpenSession>),
    /// New credentials on both sides (RFC 8445 §9); the old ones work until the new pair is validated.
    RestartIce {
        /// Which session.
        session: SessionId,
        /// The credentials this node offered in its answer.
        local_ice: IceCredentials,
        /// The credentials of the peer's new offer.
        remote_ice: IceCredentials,
    },
    /// Give an open session a second transport: ICE, DTLS and keys of its own. Answered by `reply`, and, where that says
    /// yes, later by one [`Notice::Rekeyed`].
    Rekey {
        /// What a new session of the same description would need; its number is the open session's.
        request: Box<OpenSession>,
        /// Told whether the transport waits for its first check; bounded to one.
        reply: flume::Sender<Result<(), RekeyRefused>>,
    },
    /// The session's peer uses its second transport: the first one ends.
    Switched {
        /// Which session.
        session: SessionId,
    },
    /// The session's peer does without its second transport, and goes on with the first.
    AbandonRekey {
        /// Which session.
        session: SessionId,
    },
    /// End the session: BYE, DTLS close, forget it. Answered by [`Notice::Ended`].
    Close {
        /// Which session.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// End the session like [`Self::Close`], but only if nothing authentic came from its peer for so long.
    CloseIfSilent {
        /// Which session.
        session: SessionId,
        /// For how long.
        silence: Duration,
        /// Why.
        reason: EndReason,
        /// Told whether it ends; bounded to one.
        reply: flume::Sender<bool>,
    },
    /// Send a viewer another encoding of a track (which the encoding names) from that one's next key frame on; until then what
    /// it has goes on.
    Select {
        /// Which viewer.
        session: SessionId,
        /// Which encoding.
        encoding: EncodingId,
    },
    /// Let a viewer's page choose what of the picture it is sent, and tell it from now on what there is.
    Layers {
        /// Which viewer.
        session: SessionId,
        /// What it asks for.
        request: LayerRequest,
        /// Told whether it is followed; bounded to one.
        reply: flume::Sender<Result<(), NotChosen>>,
    },
    /// Where a stream comes from and which workers have viewers of it. Sent to the workers concerned whenever it changes.
    Route {
        /// Which stream.
        stream: StreamId,
        /// The publisher's worker or node, while there is a publisher.
        origin: Option<Origin>,
        /// Workers with at least one viewer, the origin's own worker among them where it has one.
        audience: Vec<Listener>,
    },
    /// Serve a TCP connection whose first frame is a check for a session of this worker (RFC 6544).
    Connect(Box<Accepted>),
    /// Tell the present state; the reply channel is bounded to one.
    Report(flume::Sender<Box<crate::worker::report::WorkerReport>>),
    /// Say that rounds go on: for the service manager's watchdog. Costs nothing but the answer.
    Heartbeat(Heartbeat),
    /// End all sessions properly, then the thread.
    Shutdown,
}

/// A worker with viewers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Which worker.
    pub worker: WorkerIndex,
    /// Another number each time it begins to listen. A route tells only the newest state, so a worker whose last viewer left
    /// and that got another meanwhile is in the audience before and after: by this the origin knows that it was away.
    pub membership: u64,
}

/// All a worker needs to serve one peer.
#[derive(Debug)]
pub struct OpenSession {
    /// Its name.
    pub session: SessionId,
    /// The stream it publishes or plays.
    pub stream: StreamId,
    /// That stream's name, for reports.
    pub stream_name: String,
    /// This node's credentials towards the peer; the ufrag carries the worker's index ([`crate::placement`]).
    pub local_ice: IceCredentials,
    /// The certificate whose fingerprint the answer holds: chosen by who writes the answer, so that the two agree whenever
    /// the node's certificate changes.
    pub identity: DtlsIdentity,
    /// What was agreed.
    pub description: Description,
    /// Told at once what the worker's notice tells in its order: for tests and benches that drive a worker themselves.
    /// Signalling hears the notice only.
    pub reply: Option<flume::Sender<Result<(), OpenRefused>>>,
}

/// Why a worker refused a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRefused {
    /// It has as many sessions as it may.
    Full,
    /// As many of its sessions are not connected yet as may.
    TooManyHandshakes,
    /// It is ending.
    ShuttingDown,
}

/// Why a worker gives a session no second transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RekeyRefused {
    /// There is no such session, or it is not connected.
    NotConnected,
    /// It has two transports already.
    UnderWay,
    /// Sessions that join come first, and there are many; or as many change their keys as may.
    Busy,
    /// It is ending.
    ShuttingDown,
}

/// From a worker to signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The answer to [`Control::Open`]: the worker serves the session from now on. It comes in order with what becomes of
    /// others, so that signalling counts a stream's viewers as the worker does. (A worker lets go of a stream with its last
    /// viewer; the next one finds it empty, and the publisher's worker must be told.)
    Opened {
        /// Which session.
        session: SessionId,
        /// Who serves it.
        worker: WorkerIndex,
    },
    /// The other answer to [`Control::Open`]: the worker does not serve it.
    Refused {
        /// Which session.
        session: SessionId,
        /// Why.
        why: OpenRefused,
    },
    /// DTLS finished and the fingerprint matched.
    Connected {
        /// Which session.
        session: SessionId,
    },
    /// A session's keys are old, or nearly used up: its client is to be asked for others.
    KeysDue {
        /// Which session.
        session: SessionId,
        /// It is the first time that these are.
        is_first: bool,
    },
    /// A session that was given a second transport has one again: [`Rekeyed::is_change`] says which.
    Rekeyed {
        /// Which session.
        session: SessionId,
        /// What became of it.
        outcome: Rekeyed,
    },
    /// The session is gone and its memory released.
    Ended {
        /// Which session.
        session: SessionId,
        /// Why.
        reason: EndReason,
        /// What it carried in its life.
        totals: Totals,
    },
    /// Its peer's address changed, and what is sent to it follows.
    Moved {
        /// Which session.
        session: SessionId,
    },
    /// A viewer negotiated the published codec, but nothing that decodes this profile or packetisation of it by its own
    /// words. It is sent the nearest.
    NearestFits {
        /// Which viewer.
        session: SessionId,
        /// What is published.
        published: String,
        /// What the viewer had offered under the payload type that it is sent.
        sent_as: String,
    },
    /// A viewer's path passes no full packet, so that no picture can arrive.
    PathTooNarrow {
        /// Which viewer.
        session: SessionId,
    },
    /// A viewer's network decided what it is sent of the picture from now on.
    Adapted {
        /// Which viewer.
        session: SessionId,
        /// What it was sent.
        from: EncodingId,
        /// What it is to be sent, from the next key frame on; `None` is sound only.
        to: Option<EncodingId>,
        /// Why.
        why: Why,
    },
    /// What a viewer may be sent of the picture, or what it is sent, has changed; told where its page has asked for layers.
    Layers {
        /// Which viewer.
        session: SessionId,
        /// What its page is told.
        told: Box<LayersTold>,
    },
    /// A viewer negotiated nothing of the published codec: no media of that kind will flow to it.
    NothingFits {
        /// Which viewer.
        session: SessionId,
        /// What is published, as `video/H264 profile-level-id=640028`.
        published: String,
    },
}

/// What a session carried in its life: authentic RTP and RTCP, retransmissions among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// From its peer.
    pub received: Traffic,
    /// To its peer.
    pub sent: Traffic,
}

impl Totals {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { received: self.received.plus(other.received), sent: self.sent.plus(other.sent) }
    }
}

reasons! {
    /// Why a session ended.
    pub enum EndReason {
        /// `DELETE` or the SDK's leave.
        Left = "left",
        /// The peer closed DTLS.
        PeerClosed = "peer_closed",
        /// Nothing authenticated came for [`limits::SESSION_SILENCE_MAX`].
        TimedOut = "timed_out",
        /// ICE and DTLS were not finished within [`limits::SESSION_SETUP_MAX`].
        NeverConnected = "never_connected",
        /// The certificate's hash is not the one in the SDP.
        FingerprintMismatch = "fingerprint_mismatch",
        /// The client offers no SRTP protection profile that the node has, or no `use_srtp`.
        DtlsNoProfile = "dtls_no_srtp_profile",
        /// The client offers neither DTLS 1.2 nor 1.3.
        DtlsNoVersion = "dtls_no_version",
        /// No cipher suite, group or signature scheme in common.
        DtlsNoParameters = "dtls_no_parameters",
        /// The peer presented no certificate.
        DtlsNoCertificate = "dtls_no_certificate",
        /// The key of the peer's certificate is of a kind that is not supported, P-224 for example.
        DtlsCertificate = "dtls_certificate",
        /// The peer's certificate is longer than [`limits::DTLS_HANDSHAKE_MESSAGE_BYTES_MAX`].
        DtlsTooLong = "dtls_certificate_too_long",
        /// The peer gave up the handshake with an alert.
        DtlsRefused = "dtls_refused_by_peer",
        /// DTLS failed for another reason.
        DtlsFailed = "dtls_failed",
        /// The node is ending.
        ShuttingDown = "shutting_down",
        /// An operator ended it.
        Operator = "operator",
        /// The viewer waited as long as it may and nobody published.
        NoPublisher = "no_publisher",
        /// The operator's endpoint had let it in for a time, which is over.
        LeaveExpired = "leave_expired",
        /// The socket it was opened on was lost and nobody resumed it in time.
        SignallingLost = "signalling_lost",
        /// Another publisher took the stream's name over.
        Replaced = "replaced",
        /// As many packets were sent under its keys as may be, and its client has not changed them.
        KeysUsedUp = "keys_used_up",
        /// Its client cannot change its keys, which are old, and `media.plain_clients_at_key_age` is `end`.
        KeysTooOld = "keys_too_old",
    }
}

reasons! {
    /// What became of a change of keys.
    pub enum Rekeyed {
        /// The client said that it uses the new transport: the old one has ended.
        Switched = "switched",
        /// The client did not say so within [`limits::EPOCH_OVERLAP_MAX`] after the new transport was connected: the old one has
        /// ended.
        OverlapOver = "overlap_over",
        /// The old transport fell silent or was closed while the new one was connected, which goes on.
        OldEnded = "old_ended",
        /// The client's DTLS began anew on its transport (`media.rekey_in_place`), and made other keys.
        InPlace = "in_place",
        /// ICE and DTLS of the new transport were not finished within [`limits::SESSION_SETUP_MAX`].
        NeverConnected = "never_connected",
        /// DTLS of the new transport failed, or DTLS that had begun anew on the transport there is.
        DtlsFailed = "dtls_failed",
        /// The client gave the new transport up, or it fell silent.
        Abandoned = "abandoned",
        /// A publisher's new transport brought no key frame in time.
        NoKeyFrame = "no_key_frame",
        /// The session ended meanwhile.
        SessionEnded = "session_ended",
        /// It was refused: joins come first, or too many sessions change their keys.
        Refused = "refused",
    }
}

impl Rekeyed {
    /// Whether the session has other keys now; else it goes on with those that it had.
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Switched | Self::OverlapOver | Self::OldEnded | Self::InPlace)
    }
}

/// Signalling's end of one worker's control channel: sends and wakes.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    /// Which worker.
    pub index: WorkerIndex,
    /// UDP port of all its sockets.
    pub media_port: u16,
    sender: flume::Sender<Control>,
    waker: Waker,
}

impl WorkerHandle {
    /// A handle and the worker's end of the channel.
    #[must_use]
    pub fn new(index: WorkerIndex, media_port: u16, waker: Waker) -> (Self, flume::Receiver<Control>) {
        let (sender, receiver) = flume::bounded(limits::CONTROL_MESSAGES_MAX);
        (Self { index, media_port, sender, waker }, receiver)
    }

    /// Sends without waiting; gives the message back when the mailbox is full or the worker is gone.
    ///
    /// # Errors
    /// The message.
    pub fn try_send(&self, message: Control) -> Result<(), Control> {
        self.sender.try_send(message).map_err(flume::TrySendError::into_inner)?;
        self.waker.wake();
        Ok(())
    }

    /// Sends and waits for room; only for messages that must not be lost.
    ///
    /// # Errors
    /// The message, when the worker is gone.
    pub async fn send(&self, message: Control) -> Result<(), Control> {
        self.sender.send_async(message).await.map_err(flume::SendError::into_inner)?;
        self.waker.wake();
        Ok(())
    }
}
