//! Places for sessions that are open and not connected yet, by who asks. A worker has so many of them
//! ([`limits::HANDSHAKES_PER_WORKER_MAX`]), and a client that opens sessions and never connects holds each for twenty
//! seconds. So one address, and one token, may have a part of them only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use super::admission::{PerAddress, PlaceOfAddress};
use crate::limits;

/// The places of all workers together.
#[derive(Debug)]
pub(super) struct HandshakePlaces {
    per_address: Rc<PerAddress>,
    of_tokens: Rc<OfTokens>,
}

#[derive(Debug)]
struct OfTokens {
    max: usize,
    taken: RefCell<HashMap<u64, usize>>,
}

impl HandshakePlaces {
    /// The places of so many workers. The bound by address does not hold for those that are `exempt`.
    pub(super) fn new(workers: usize, exempt: &[IpAddr]) -> Self {
        Self::of(workers * limits::HANDSHAKES_PER_WORKER_MAX, exempt)
    }

    fn of(all: usize, exempt: &[IpAddr]) -> Self {
        let of_tokens = OfTokens { max: all / limits::HANDSHAKES_TOKEN_DIVISOR, taken: RefCell::default() };
        Self {
            per_address: PerAddress::new(all / limits::HANDSHAKES_ADDRESS_DIVISOR, exempt),
            of_tokens: Rc::new(of_tokens),
        }
    }

    /// Takes a place until the returned value is dropped. `None` if the address or the token has as many as it may.
    pub(super) fn take(&self, address: IpAddr, token: Option<u64>) -> Option<HandshakePlace> {
        let of_address = self.per_address.take(address)?;
        let Some(token) = token else { return Some(HandshakePlace { _of_address: of_address, of_token: None }) };
        let mut taken = self.of_tokens.taken.borrow_mut();
        let count = taken.get(&token).copied().unwrap_or(0);
        if count >= self.of_tokens.max {
            return None;
        }
        taken.insert(token, count + 1);
        let of_token = Some((self.of_tokens.clone(), token));
        Some(HandshakePlace { _of_address: of_address, of_token })
    }
}

/// One of these places. It is freed on drop.
#[derive(Debug)]
pub(super) struct HandshakePlace {
    _of_address: PlaceOfAddress,
    of_token: Option<(Rc<OfTokens>, u64)>,
}

impl Drop for HandshakePlace {
    fn drop(&mut self) {
        let Some((book, token)) = &self.of_token else { return };
        let mut taken = book.taken.borrow_mut();
        if let Some(count) = taken.get_mut(token) {
            *count -= 1;
            if *count == 0 {
                taken.remove(token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn neither_one_address_nor_one_token_has_all_places() {
        let all = 64;
        let places = HandshakePlaces::of(all, &[ip(9)]);
        let of_one: Vec<_> = (0..all).filter_map(|_| places.take(ip(1), None)).collect();
        assert_eq!(of_one.len(), all / limits::HANDSHAKES_ADDRESS_DIVISOR);
        // From as many addresses as one likes, and from one that is exempt, the token is one.
        let of_token: Vec<_> = (0..all).filter_map(|at| places.take(ip(10 + at as u8), Some(7))).collect();
        assert_eq!(of_token.len(), all / limits::HANDSHAKES_TOKEN_DIVISOR);
        assert!(places.take(ip(9), Some(7)).is_none());
        assert!(places.take(ip(2), Some(8)).is_some() && places.take(ip(9), None).is_some());
        drop((of_one, of_token));
        assert!(places.take(ip(1), Some(7)).is_some());
        assert!(places.of_tokens.taken.borrow().is_empty());
    }
}
