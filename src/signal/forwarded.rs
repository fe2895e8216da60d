//! The client of a request that a proxy passes on: who it is, where the proxy may be believed.
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-For` are lists to whose end each proxy adds the address that asked it. What
//! stands before the last trusted proxy's own element is whatever its client wrote. So the list is read from its end, and
//! only as long as it names proxies of `trusted_proxies`: the first address that is none of them is the client. Of a
//! request that comes from anywhere else both headers are ignored, because any client can send them.
//!
//! An element that is not understood (`unknown`, `_hidden`, nonsense) hides the client: the request counts as one of the
//! proxy that wrote it. A proxy that sets one header often passes the other on as its client sent it. Where both are there and
//! name different clients, one is likely a forgery; nothing says which, so the request is refused.
//!
//! Left out: `by`, `host` and `proto` of `Forwarded`, and `X-Real-IP`.

use std::net::IpAddr;

use hyper::StatusCode;
use hyper::header::{FORWARDED, HeaderMap, HeaderName, VIA};
use hyper::http::Extensions;

use super::admission::ClientAddress;
use super::code::Code;
use super::problem::Problem;
use crate::auth::address::Network;
use crate::limits;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    /// Its address, as far as that is known; else the address of the last proxy.
    pub(super) address: IpAddr,
    /// Whether that is a proxy's, which says nothing of who its client is.
    pub(super) is_passed_on: bool,
}

/// Finds out who sent a request. `None` if its connection's address is not known, which does not happen: the listener puts it
/// into every request.
pub(super) fn sender(
    headers: &HeaderMap,
    extensions: &Extensions,
    trusted: &[Network],
) -> Result<Option<Sender>, Problem> {
    let Some(ClientAddress(peer)) = extensions.get().copied() else { return Ok(None) };
    sender_behind(peer, headers, trusted).map(Some)
}

fn sender_behind(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Result<Sender, Problem> {
    let is_proxy = |address: IpAddr| trusted.iter().any(|network| network.has(address));
    let is_passed_on = [FORWARDED, X_FORWARDED_FOR, VIA].iter().any(|name| headers.contains_key(name));
    if !is_proxy(peer) {
        return Ok(Sender { address: peer, is_passed_on });
    }
    let told = [(FORWARDED, element_of_forwarded as Read), (X_FORWARDED_FOR, address_of)].map(|(name, read)| {
        headers.contains_key(&name).then(|| {
            let mut client = peer;
            for element in elements(headers, &name).take(limits::FORWARDED_HOPS_MAX) {
                let Some(address) = read(element) else { break };
                client = address.to_canonical();
                if !is_proxy(client) {
                    break;
                }
            }
            client
        })
    });
    let address = match told {
        [Some(one), Some(other)] if one != other => return Err(ambiguous()),
        [one, other] => one.or(other).unwrap_or(peer),
    };
    Ok(Sender { address, is_passed_on: is_passed_on && is_proxy(address) })
}

/// Reads an element of a list; `None` if it names no address.
type Read = fn(&[u8]) -> Option<IpAddr>;

/// The elements of all lines of a list header, the last one first.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(|line| line.as_bytes()).collect();
    lines.into_iter().rev().flat_map(|line| FromItsEnd { left: Some(line), separator: b',' })
}

/// Splits text at a separator outside quoted strings (RFC 9110 §5.6.4), from its end. A quote that an element further to the
/// left leaves open swallows nothing of those to its right.
struct FromItsEnd<'a> {
    left: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for FromItsEnd<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.left?;
        let mut is_quoted = false;
        for (at, &byte) in text.iter().enumerate().rev() {
            let (before, from) = text.split_at(at);
            if byte == b'"' {
                let escapes = before.iter().rev().take_while(|&&byte| byte == b'\\').count();
                // An escaped quote is part of a quoted string and neither opens nor closes one.
                is_quoted ^= !is_quoted || escapes % 2 == 0;
            } else if byte == self.separator && !is_quoted {
                self.left = Some(before);
                return from.get(1..);
            }
        }
        self.left = None;
        Some(text)
    }
}

/// The address of `for` in an element of `Forwarded` (RFC 7239 §4).
fn element_of_forwarded(element: &[u8]) -> Option<IpAddr> {
    let pairs = FromItsEnd { left: Some(element), separator: b';' };
    let mut nodes = pairs.filter_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    });
    // A parameter must not occur twice (§4).
    let (node, None) = (nodes.next()?, nodes.next()) else { return None };
    let node = match node {
        // No address needs an escape.
        [b'"', inside @ .., b'"'] => inside,
        token => token,
    };
    address_of(node)
}

/// The address of a node: `192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]`, `[2001:db8::1]:4711`, and `2001:db8::1` as
/// `X-Forwarded-For` has it. A port may be obfuscated (RFC 7239 §6); it is not used.
fn address_of(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?.trim();
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if let Some(bracketed) = node.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let is_end = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse().ok().filter(|_| is_end).map(IpAddr::V6);
    }
    if let Ok(address) = node.parse() {
        return Some(address);
    }
    let (address, port) = node.split_once(':')?;
    address.parse().ok().filter(|_| is_port(port)).map(IpAddr::V4)
}

fn ambiguous() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        Code::ForwardedTwice,
        "Forwarded and X-Forwarded-For name different clients: the proxy (trusted_proxies) must set one of them and remove the \
         other",
    )
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn sent(peer: &str, lines: &[(&'static str, &str)]) -> Result<Sender, Problem> {
        let trusted = ["127.0.0.1", "10.0.0.0/8", "2001:db8:f::/48"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        sender_behind(peer.parse().unwrap(), &headers, &trusted)
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        for (lines, client) in [
            (&[(XFF, "192.0.2.1")][..], "192.0.2.1"),
            (&[(XFF, "6.6.6.6, 192.0.2.1")], "192.0.2.1"),
            (&[(XFF, "6.6.6.6"), (XFF, "192.0.2.1")], "192.0.2.1"),
            (&[(XFF, "6.6.6.6,192.0.2.1 , 10.1.2.3,10.1.2.4")], "192.0.2.1"),
            (&[(XFF, "192.0.2.1:4711")], "192.0.2.1"),
            (&[(XFF, "::ffff:192.0.2.1")], "192.0.2.1"),
            (&[(XFF, "2001:db8::1")], "2001:db8::1"),
            (&[(XFF, "[2001:db8::1]:4711, 2001:db8:f::7")], "2001:db8::1"),
            (&[("forwarded", "for=192.0.2.1")], "192.0.2.1"),
            (&[("forwarded", "For=192.0.2.1;proto=https;by=10.0.0.1")], "192.0.2.1"),
            (&[("forwarded", "by=10.0.0.1; for=\"192.0.2.1:4711\"")], "192.0.2.1"),
            (&[("forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:4711\", for=10.0.0.9")], "2001:db8::1"),
            (&[("forwarded", "for=\"[2001:db8::1]:_port\"")], "2001:db8::1"),
            (&[("forwarded", "for=192.0.2.1;host=\"a,b;c\"")], "192.0.2.1"),
            (&[("forwarded", "for=192.0.2.1"), (XFF, "192.0.2.1")], "192.0.2.1"),
            // What the client wrote itself cannot hide what the proxy added.
            (&[("forwarded", "for=\"6.6.6.6, for=192.0.2.1")], "192.0.2.1"),
            (&[("forwarded", "for=\"6.6.6.6\\, for=192.0.2.1")], "192.0.2.1"),
            (&[("forwarded", "for=\"6.6.6.6\\"), ("forwarded", "for=192.0.2.1")], "192.0.2.1"),
            (&[("forwarded", "x=\"\\\\\\\", for=\"192.0.2.1\"")], "192.0.2.1"),
            (&[(XFF, "\u{e4}, 192.0.2.1")], "192.0.2.1"),
        ] {
            let expected = Sender { address: client.parse().unwrap(), is_passed_on: false };
            assert_eq!(sent("127.0.0.1", lines).unwrap(), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_hides_the_client_counts_as_the_proxy_that_wrote_it() {
        for (lines, proxy) in [
            (&[("forwarded", "for=unknown")][..], "127.0.0.1"),
            (&[("forwarded", "for=192.0.2.1, for=_hidden")], "127.0.0.1"),
            (&[("forwarded", "for=192.0.2.1, for=_hidden, for=10.0.0.7")], "10.0.0.7"),
            (&[("forwarded", "proto=https")], "127.0.0.1"),
            (&[("forwarded", "for=192.0.2.1;for=192.0.2.2")], "127.0.0.1"),
            (&[("forwarded", "for=2001:db8::1:4711:nonsense")], "127.0.0.1"),
            (&[("forwarded", "for=[2001:db8::1]x")], "127.0.0.1"),
            (&[("forwarded", "for=[192.0.2.1]")], "127.0.0.1"),
            (&[("forwarded", "for=192.0.2.1:a b")], "127.0.0.1"),
            (&[("forwarded", "")], "127.0.0.1"),
            (&[("forwarded", "for=")], "127.0.0.1"),
            (&[(XFF, "192.0.2.1,")], "127.0.0.1"),
            (&[(XFF, "nonsense")], "127.0.0.1"),
            (&[(XFF, "10.0.0.7, 10.0.0.8")], "10.0.0.7"),
        ] {
            let expected = Sender { address: proxy.parse().unwrap(), is_passed_on: true };
            assert_eq!(sent("127.0.0.1", lines).unwrap(), expected, "{lines:?}");
        }
        let itself = Sender { address: "10.0.0.7".parse().unwrap(), is_passed_on: false };
        assert_eq!(sent("10.0.0.7", &[]).unwrap(), itself, "the proxy asks for itself");
        assert!(sent("10.0.0.7", &[("via", "1.1 a")]).unwrap().is_passed_on);
    }

    #[test]
    fn from_anyone_else_the_headers_are_ignored() {
        for lines in [[("forwarded", "for=192.0.2.1")], [(XFF, "192.0.2.1")]] {
            let expected = Sender { address: "198.51.100.1".parse().unwrap(), is_passed_on: true };
            assert_eq!(sent("198.51.100.1", &lines).unwrap(), expected);
        }
    }

    #[test]
    fn two_headers_that_name_different_clients_are_refused() {
        let refused = sent("127.0.0.1", &[("forwarded", "for=6.6.6.6"), (XFF, "192.0.2.1")]).unwrap_err();
        assert_eq!(refused.code(), Code::ForwardedTwice);
        assert!(sent("127.0.0.1", &[("forwarded", "for=unknown"), (XFF, "192.0.2.1")]).is_err());
        // From anyone else both are ignored.
        assert!(sent("198.51.100.1", &[("forwarded", "for=6.6.6.6"), (XFF, "192.0.2.1")]).is_ok());
    }

    #[test]
    fn a_chain_is_followed_for_so_many_proxies_and_no_further() {
        let chain = |proxies: usize| format!("192.0.2.1{}", ", 10.0.0.7".repeat(proxies));
        let address = |proxies| sent("127.0.0.1", &[(XFF, &chain(proxies))]).unwrap().address.to_string();
        assert_eq!(address(limits::FORWARDED_HOPS_MAX - 1), "192.0.2.1");
        assert_eq!(address(limits::FORWARDED_HOPS_MAX), "10.0.0.7");
    }
}
