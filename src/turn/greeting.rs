//! A connection until its Allocate is authentic: the part that strangers reach. It allocates nothing and keeps nothing but a
//! count.

use std::net::SocketAddr;

use super::answer::{self, Refusal};
use super::attribute::ALLOCATE;
use super::client::Client;
use super::credentials::{Claim, Nonces, Secret};
use crate::limits;
use crate::time::Timestamp;
use crate::wire::stun::{BINDING, StunClass, StunMessage, attribute};

/// A connection that nothing is known of.
#[derive(Debug)]
pub struct Greeting {
    nonces: Nonces,
    mapped: SocketAddr,
    requests: u32,
}

/// What a message led to.
#[derive(Debug)]
pub enum Greeted {
    /// What was appended is to be sent.
    Answered,
    /// An authentic Allocate for a session that lives. The client answers it: give it the message again.
    Admitted(Box<Client>),
    /// No message, one that nobody sends who is not admitted, or too many.
    Closed,
}

impl Greeting {
    /// For a client that comes from `mapped`. The `seed` is random, for its nonces.
    #[must_use]
    pub fn new(mapped: SocketAddr, seed: [u8; 16], now: Timestamp) -> Self {
        let mapped = SocketAddr::new(mapped.ip().to_canonical(), mapped.port());
        Self { nonces: Nonces::new(seed, now), mapped, requests: 0 }
    }

    /// Takes a whole message and appends the response. `lives` says whether there is such a session.
    pub fn receive(
        &mut self,
        message: &[u8],
        secret: &Secret,
        lives: impl FnOnce(u64) -> bool,
        (now, unix_s): (Timestamp, u64),
        out: &mut Vec<u8>,
    ) -> Greeted {
        self.requests = self.requests.saturating_add(1);
        let Ok(message) = StunMessage::parse(message) else { return Greeted::Closed };
        if message.class() != StunClass::Request || self.requests > limits::TURN_GREETING_REQUESTS_MAX {
            return Greeted::Closed;
        }
        if message.method() == BINDING {
            answer::bind(out, &message, self.mapped);
            return Greeted::Answered;
        }
        let nonce = self.nonces.now(now);
        let (why, key) = match authenticate(&message, &nonce, |username| {
            let claim = Claim::read(username).filter(|claim| claim.expires_s > unix_s)?;
            Some((claim.session, secret.key(username)))
        }) {
            Ok((username, (session, key))) if lives(session) => {
                if message.method() == ALLOCATE {
                    let client = Client::new(session, username.into(), key, self.nonces, self.mapped, now);
                    return Greeted::Admitted(Box::new(client));
                }
                (Refusal::AllocationMismatch, Some(key))
            }
            Ok(_) => (Refusal::Unauthenticated, None),
            Err(why) => (why, None),
        };
        answer::refuse(out, &message, why, key.as_ref().map(<[u8; 16]>::as_slice), &nonce);
        Greeted::Answered
    }
}

/// Checks a request's long-term credentials (RFC 8489 §9.2.4). `find` knows the key of a user, beside what else it says.
pub(super) fn authenticate<'a, T>(
    message: &StunMessage<'a>,
    nonce: &str,
    find: impl FnOnce(&str) -> Option<(T, [u8; 16])>,
) -> Result<(&'a str, (T, [u8; 16])), Refusal> {
    if !message.has_integrity() {
        return Err(Refusal::Unauthenticated);
    }
    let (username, given) = (message.username(), message.attribute(attribute::NONCE));
    let (Some(username), Some(given), true) = (username, given, message.attribute(attribute::REALM).is_some()) else {
        return Err(Refusal::BadRequest);
    };
    if given != nonce.as_bytes() {
        return Err(Refusal::StaleNonce);
    }
    let username = std::str::from_utf8(username).map_err(|_| Refusal::Unauthenticated)?;
    let (said, key) = find(username).ok_or(Refusal::Unauthenticated)?;
    if !message.verify_integrity(&key) {
        return Err(Refusal::Unauthenticated);
    }
    Ok((username, (said, key)))
}
