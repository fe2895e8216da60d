//! What a [`super::Session`] answers: what a datagram was, why one was dropped, what happened, how far it is.

use super::epoch::EpochNumber;
use crate::dtls::DtlsError;
use crate::ice::CheckRefused;
use crate::srtp::{OpenedRtp, SrtpError};
use crate::transport::PathId;

/// What a datagram was, after its session opened it in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// The session consumed it: STUN or DTLS.
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
    /// An SRTP or SRTCP packet that came before the keys.
    NoKeys,
    /// SRTP or SRTCP refused it.
    Srtp(SrtpError),
    /// The output batch has no room for an answer.
    NoRoom,
}

/// What a session reports to its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A path was validated. Its datagrams belong to this session from now on.
    PathAdded(PathId),
    /// A path is no longer this session's.
    PathRemoved(PathId),
    /// ICE selected another path for a connected peer.
    Moved,
    /// The handshake is complete and the session has keys.
    Connected,
    /// The peer closed DTLS.
    Closed,
    /// DTLS failed.
    Failed(DtlsError),
    /// The next epoch has keys; the current one still seals.
    EpochConnected(EpochNumber),
    /// The next epoch's handshake failed. The session goes on.
    EpochFailed(EpochNumber, DtlsError),
    /// The epoch beside the current one has ended, and its keys were dropped.
    EpochEnded(EpochNumber),
}

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// No valid check has come.
    New,
    /// A path is validated, DTLS runs.
    Handshaking,
    /// Media may flow.
    Connected,
    /// The session has ended.
    Ended,
}
