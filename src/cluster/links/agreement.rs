//! What two nodes agree on for a link, by one request over their channel: `POST /links`.
//!
//! The child says which stream, what it calls the link, and the epoch that it knows; the parent what it calls it, its own epoch, and by
//! which nodes the stream comes. The keys are made of the connection's secret and both handles, so that no two links have the same
//! (RFC 5869; the secret: [`LinkSecret`]).

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cluster::channel::LinkSecret;
use crate::crypto::expand::expand;
use crate::limits;
use crate::srtp::{SrtpKeys, SrtpProfile};
use crate::worker::links::packet::Handle;

/// Where a parent is asked.
pub(super) const PATH: &str = "/links";

const PROFILE: SrtpProfile = SrtpProfile::AeadAes128Gcm;

/// What a child asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) stream: String,
    pub(super) handle: u32,
    /// The epoch of the stream's owner as the child knows it.
    pub(super) epoch: u64,
}

/// What a parent answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Agreed {
    pub(super) handle: u32,
    /// The epoch of the stream that it sends.
    pub(super) epoch: u64,
    /// The nodes by which it comes, the parent first and the origin last.
    pub(super) path: Vec<String>,
}

/// Why a parent does not send a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NotAgreed {
    /// It has not got it.
    NotHere,
    /// It has it by way of the node that asks.
    Loop,
    /// It sends it to as many as it may.
    Full,
    /// The request cannot be read.
    Unread,
}

impl NotAgreed {
    /// In words, for logs.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::NotHere => "it has not got the stream",
            Self::Loop => "it has the stream by way of this node",
            Self::Full => "it sends the stream to as many nodes as it may",
            Self::Unread => "it cannot read the request: its version may be another",
        }
    }
}

/// The refusal, as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) why: NotAgreed,
}

/// A handle that nobody can guess.
pub(super) fn random_handle() -> Handle {
    let mut bytes = [0; 4];
    // Without random bytes there is none that is free.
    if getrandom::fill(&mut bytes).is_err() {
        return Handle(0);
    }
    Handle(u32::from_le_bytes(bytes) >> (u32::BITS - limits::LINK_HANDLE_BITS))
}

/// The keys of a link.
pub(super) fn keys(secret: &LinkSecret, child: Handle, parent: Handle, is_child: bool) -> Option<SrtpKeys> {
    let mut exported = Zeroizing::new([0; PROFILE.exported_len()]);
    let info: [&[u8]; 3] = [b"corecast link", &child.0.to_be_bytes(), &parent.0.to_be_bytes()];
    expand(secret.bytes(), &info, exported.as_mut_slice())?;
    SrtpKeys::from_exported(PROFILE, exported.as_slice(), is_child)
}
