//! The lite agent of one session: what it holds and what can be asked of it. [`super::checks`] takes the peer's checks,
//! [`super::consent`] says where media may go, [`super::export`] writes it down.

use super::validated::Validated;
use crate::crypto::hmac_sha1::HmacSha1;
use crate::description::IceCredentials;
use crate::limits;
use crate::rate::Allowance;
use crate::time::Timestamp;
use crate::transport::PathId;

/// A connected peer's wish to be sent media on another path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nomination {
    pub(super) path: PathId,
    /// When it came.
    pub(super) since: Timestamp,
}

/// Where the datagrams of the DTLS handshake were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeSent {
    Nowhere,
    On(PathId),
    OnSeveral,
}

/// A lite agent: credentials, validated paths and the selected one.
#[derive(Debug)]
pub struct IceLite {
    pub(super) local: IceCredentials,
    pub(super) remote: IceCredentials,
    /// The credentials before an ICE restart. They work until a check with the new ones nominates (RFC 8445 §9).
    pub(super) previous: Option<(IceCredentials, IceCredentials)>,
    pub(super) validated: Vec<Validated>,
    /// The path that is sent to. Before the peer is connected it need not be proven.
    pub(super) selected: Option<PathId>,
    pub(super) nominated: bool,
    /// The path that the peer wants instead, until it has answered there.
    pub(super) nomination: Option<Nomination>,
    /// The DTLS handshake is complete: from now on only proven paths are selected.
    pub(super) connected: bool,
    pub(super) handshake_sent: HandshakeSent,
    /// The selected path is proven and its consent is fresh.
    pub(super) open: bool,
    /// The peer has answered a request.
    pub(super) peer_answers: bool,
    /// The path was given by [`Self::adopt`]: it needs no proof until a check comes.
    pub(super) adopted: bool,
    /// When requests or consent are to be looked at.
    pub(super) deadline: Option<Timestamp>,
    /// How many requests it may send on paths that are not proven.
    pub(super) unproven_requests: Allowance,
    /// What the identifiers of this agent's own requests are made from.
    pub(super) secret: [u8; limits::ICE_SECRET_BYTES],
    pub(super) recent: Recent,
}

/// The transaction identifiers of the checks accepted last, to detect replays.
///
/// A STUN message carries no time and no counter. So whoever can read a client's check could send it again from another
/// address and have the client's media sent there. Only the first arrival of a check counts. Not covered: checks older
/// than this memory, and an attacker who can hold the original back. Neither moves media: the path must answer first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Whole identifiers are compared. They ought to be random (RFC 8489 §5), but a client that only counts up their
    /// last bytes must work too.
    pub(super) transactions: [Option<[u8; 12]>; limits::CHECKS_REMEMBERED],
    pub(super) next: usize,
}

impl Recent {
    /// Whether `transaction` is new. Remembers it, so that the next call returns `false`.
    pub(super) fn is_new(&mut self, transaction: &[u8; 12]) -> bool {
        if self.transactions.contains(&Some(*transaction)) {
            return false;
        }
        if let Some(place) = self.transactions.get_mut(self.next) {
            *place = Some(*transaction);
        }
        self.next = (self.next + 1) % limits::CHECKS_REMEMBERED;
        true
    }
}

impl IceLite {
    /// An agent that has seen no check yet. `secret` is random and known to nobody else, the peer included.
    #[must_use]
    pub fn new(local: IceCredentials, remote: IceCredentials, secret: [u8; limits::ICE_SECRET_BYTES]) -> Self {
        Self {
            local,
            remote,
            previous: None,
            validated: Vec::new(),
            selected: None,
            nominated: false,
            nomination: None,
            connected: false,
            handshake_sent: HandshakeSent::Nowhere,
            open: false,
            peer_answers: false,
            adopted: false,
            deadline: None,
            unproven_requests: Allowance::new(Timestamp::ZERO),
            secret,
            recent: Recent::default(),
        }
    }

    /// What the requests of another agent of the same session are made from.
    #[must_use]
    pub fn further_secret(&self, ufrag: &str) -> [u8; limits::ICE_SECRET_BYTES] {
        let mut secret = [0; limits::ICE_SECRET_BYTES];
        let mac = HmacSha1::new(&self.secret).tag(&[b"further agent", ufrag.as_bytes()]);
        secret.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
        secret
    }

    /// This node's current user fragment.
    #[must_use]
    pub fn local_ufrag(&self) -> &str {
        &self.local.ufrag
    }

    /// The user fragment before the last restart, while it still works.
    #[must_use]
    pub fn previous_ufrag(&self) -> Option<&str> {
        self.previous.as_ref().map(|(local, _)| local.ufrag.as_str())
    }

    /// Sets new credentials for both sides. The current ones work until the new pair nominates. Returns the user
    /// fragment that stops working at once, if an earlier restart had not finished.
    pub fn restart(&mut self, local: IceCredentials, remote: IceCredentials) -> Option<String> {
        let before = (std::mem::replace(&mut self.local, local), std::mem::replace(&mut self.remote, remote));
        self.nominated = false;
        self.previous.replace(before).map(|(local, _)| local.ufrag)
    }

    /// The path that is sent to: the nominated one, or before a nomination the first validated one; while the peer is
    /// connected, one that is proven. Media has [`Self::open_path`].
    #[must_use]
    pub fn selected(&self) -> Option<PathId> {
        self.selected
    }

    /// Whether a check validated this path. Only STUN is accepted from other paths.
    #[must_use]
    pub fn is_validated(&self, path: PathId) -> bool {
        self.validated.iter().any(|validated| validated.path == path)
    }

    /// The validated paths.
    pub fn paths(&self) -> impl Iterator<Item = PathId> {
        self.validated.iter().map(|validated| validated.path)
    }

    /// Forgets the credentials before the last restart and returns their user fragment.
    pub fn forget_previous(&mut self) -> Option<String> {
        self.previous.take().map(|(local, _)| local.ufrag)
    }

    /// After a nomination with the new credentials: forgets the old ones and returns their user fragment, once.
    pub fn retire_previous(&mut self) -> Option<String> {
        if self.nominated { self.forget_previous() } else { None }
    }

    pub(super) fn validated(&self, path: PathId) -> Option<&Validated> {
        self.validated.iter().find(|validated| validated.path == path)
    }

    pub(super) fn validated_mut(&mut self, path: PathId) -> Option<&mut Validated> {
        self.validated.iter_mut().find(|validated| validated.path == path)
    }
}
