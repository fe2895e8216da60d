//! What a [`super::Session`] answers: what a datagram was, why one was dropped, what happened, how far it is.

use super::epoch::EpochNumber;
use crate::dtls::DtlsError;
use crate::ice::CheckRefused;
use crate::srtp::{OpenedRtp, SrtpError};
use crate::transport::PathId;

/// What a datagram was, after its session opened it in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// Dealt with inside.
    Handled,
    /// An authenticated RTP packet: header and payload lie where [`OpenedRtp`] says.
    Rtp(OpenedRtp),
    /// An authenticated compound RTCP packet of this many bytes.
    Rtcp(usize),
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejected {
    /// No valid ICE check has come from its path.
    PathNotValidated,
    /// A STUN message that is not for this session or not authentic.
    Check(CheckRefused),
    /// It is none of STUN, DTLS, RTP, RTCP.
    Unknown,
    /// A DTLS datagram that is not whole records.
    Dtls,
    /// Media before the keys.
    NoKeys,
    /// SRTP or SRTCP refused it.
    Srtp(SrtpError),
    /// No room to answer in.
    NoRoom,
}

/// What the worker must know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A path was validated: its datagrams belong to this session.
    PathAdded(PathId),
    /// A path is forgotten.
    PathRemoved(PathId),
    /// A connected peer is reached by another path from now on.
    Moved,
    /// The keys are there.
    Connected,
    /// The peer closed DTLS.
    Closed,
    /// DTLS failed.
    Failed(DtlsError),
    /// The next epoch has keys; the current one still seals.
    EpochConnected(EpochNumber),
    /// The next epoch's handshake failed. The session goes on.
    EpochFailed(EpochNumber, DtlsError),
    /// An epoch beside the current one is over, and its keys are gone.
    EpochEnded(EpochNumber),
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// No valid check has come.
    New,
    /// A path is validated, DTLS runs.
    Handshaking,
    /// Media may flow.
    Connected,
    /// Over.
    Ended,
}
