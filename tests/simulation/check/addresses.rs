//! Nobody is sent what he did not ask for, whatever addresses strangers invent.
//!
//! - **Own path**: media of a session goes to addresses that its client has or had, and to no others.
//! - **Three times**: an address from which nobody has answered anything is sent at most
//!   [`limits::UNPROVEN_BYTES_FACTOR`] times the bytes that came from it (RFC 9000 §8.1). A client has answered when it has
//!   sent a Binding response, or DTLS that follows on what it was sent.

use std::collections::HashMap;
use std::net::SocketAddr;

use corecast::limits;

use super::Violation;
use crate::client::{self, ClientId};

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    from: u64,
    to: u64,
    has_answered: bool,
}

/// What went to and fro at each address.
#[derive(Debug, Default)]
pub(crate) struct Addresses(HashMap<SocketAddr, Account>);

impl Addresses {
    /// A datagram from it reached a worker.
    pub(crate) fn arrived(&mut self, address: SocketAddr, bytes: usize) {
        self.0.entry(address).or_default().from += bytes as u64;
    }

    /// Its holder has shown that it receives what is sent there.
    pub(crate) fn answered(&mut self, address: SocketAddr) {
        self.0.entry(address).or_default().has_answered = true;
    }

    /// Bytes are sent to it.
    pub(crate) fn sent(&mut self, address: SocketAddr, bytes: usize) -> Result<(), Violation> {
        let account = self.0.entry(address).or_default();
        account.to += bytes as u64;
        if account.has_answered || account.to <= account.from * u64::from(limits::UNPROVEN_BYTES_FACTOR) {
            return Ok(());
        }
        let what =
            format!("{address} has answered nothing: {} bytes from it, {} bytes to it", account.from, account.to);
        Err(Violation::new("three times", what))
    }
}

/// Media with this source is sent to an address that is or was `holder`'s.
pub(crate) fn own_path(ssrc: u32, address: SocketAddr, holder: Option<ClientId>) -> Result<(), Violation> {
    let owner = client::owner_of_source(ssrc);
    if holder == Some(owner) {
        return Ok(());
    }
    let what = format!("media of session {owner} goes to {address}, which is an address of {holder:?}");
    Err(Violation::new("own path", what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_sent_three_times_its_bytes_until_it_has_answered() {
        let (mut addresses, at) = (Addresses::default(), SocketAddr::from(([192, 0, 2, 1], 9)));
        assert!(addresses.sent(at, 1).is_err());
        addresses.arrived(at, 100);
        assert!(addresses.sent(at, 299).is_ok());
        assert!(addresses.sent(at, 1).is_err());
        addresses.answered(at);
        assert!(addresses.sent(at, 10_000).is_ok());
    }
}
