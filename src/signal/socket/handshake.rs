//! The opening handshake (RFC 6455 §4.2) on `/ws`: it checks the request, takes a place for the socket, and answers
//! 101.
//!
//! The `Origin` was already checked, by the same rule as for every other request. A token is read here but judged with
//! `hello`, because a page cannot see why a handshake was refused.

use std::rc::Rc;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use futures_util::FutureExt as _;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{StatusCode, Version};

use super::connection::{self, Visitor};
use super::places::NoPlace;
use super::service::SocketService;
use crate::limits;
use crate::signal::code::Code;
use crate::signal::cors;
use crate::signal::http::{Request, Response, Upgrade};
use crate::signal::messages::message::Token;
use crate::signal::problem::Problem;

/// The protocol of `../README.md`.
const SUBPROTOCOL: &str = "corecast.v1";

/// The prefix of a token that is offered as a subprotocol. `Sec-WebSocket-Protocol` is the only header that a page can
/// set.
const TOKEN_SUBPROTOCOL: &str = "corecast.token.";

/// Answers `GET /ws`. With a 101 the connection becomes a socket.
pub(in crate::signal) fn accept(
    service: &Rc<SocketService>,
    request: &Request,
    upgrade: &Upgrade,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let asked = check(request.version(), headers)?;
    if service.opener.shutdown.has_begun() {
        return Err(Problem::shutting_down());
    }
    let from = service.opener.authorisation.sender(headers, request.extensions())?;
    let place = service.places.take(from.address).map_err(no_place)?;
    // A longer origin is dropped: no token could name it.
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let origin = origin.filter(|origin| origin.len() <= limits::CLAIM_BYTES_MAX).map(str::to_owned);
    let host = cors::authority(request).and_then(cors::host_of);
    let visitor = Visitor { from, origin, host, token: asked.token, place };
    let service = service.clone();
    upgrade.to(move |upgraded| connection::run(service, upgraded, visitor).boxed_local());

    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fixed = [(UPGRADE, "websocket"), (CONNECTION, "Upgrade"), (SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)];
    response.headers_mut().extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if let Ok(accept) = HeaderValue::from_str(&asked.accept) {
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(response)
}

/// What a valid handshake asks for.
#[derive(Debug)]
struct Handshake {
    /// The value of `Sec-WebSocket-Accept` (RFC 6455 §4.2.2).
    accept: String,
    token: Option<Token>,
}

fn check(version: Version, headers: &HeaderMap) -> Result<Handshake, Problem> {
    if version != Version::HTTP_11 {
        let detail = "open the socket over a connection of its own in HTTP/1.1: this node has no RFC 8441";
        return Err(Problem::new(StatusCode::BAD_REQUEST, Code::Http1Needed, detail));
    }
    let upgrade_required = |code, detail: &str, (name, value)| {
        Problem::new(StatusCode::UPGRADE_REQUIRED, code, detail).with(name, HeaderValue::from_static(value))
    };
    let names = |name, wanted: &str| items(headers, name).any(|item| item.eq_ignore_ascii_case(wanted));
    if !names(UPGRADE, "websocket") || !names(CONNECTION, "upgrade") {
        let detail = "this is where sockets open: ask with Connection: Upgrade and Upgrade: websocket";
        return Err(upgrade_required(Code::UpgradeRequired, detail, (UPGRADE, "websocket")));
    }
    if !names(SEC_WEBSOCKET_VERSION, "13") {
        let detail = "ask with Sec-WebSocket-Version: 13";
        return Err(upgrade_required(Code::WebsocketVersion, detail, (SEC_WEBSOCKET_VERSION, "13")));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).filter(|key| is_key(key)).ok_or_else(|| {
        let detail = "send Sec-WebSocket-Key with 16 random bytes in base64";
        Problem::new(StatusCode::BAD_REQUEST, Code::BadWebsocketKey, detail)
    })?;
    if !items(headers, SEC_WEBSOCKET_PROTOCOL).any(|offered| offered == SUBPROTOCOL) {
        let detail = format!("offer the subprotocol {SUBPROTOCOL}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, Code::SubprotocolMissing, detail));
    }
    let token = items(headers, SEC_WEBSOCKET_PROTOCOL).find_map(|offered| offered.strip_prefix(TOKEN_SUBPROTOCOL));
    let token = token.map(|token| Token::try_from(token.to_owned())).transpose();
    let token = token.map_err(|detail| Problem::new(StatusCode::BAD_REQUEST, Code::TokenTooLong, detail))?;
    Ok(Handshake { accept: derive_accept_key(key), token })
}

/// The items of a list header (RFC 9110 §5.6.1), over all its lines.
fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// Whether the key is the base64 of 16 bytes (RFC 6455 §4.2.1).
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==") else { return false };
    digits.len() == 22 && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
}

fn no_place(no_place: NoPlace) -> Problem {
    match no_place {
        NoPlace::Node => Problem::unavailable(
            Code::TooManySockets,
            "the node has as many sockets as it may (limits.sockets_max): try again later or elsewhere",
        ),
        NoPlace::Address => Problem::too_many(
            Code::TooManySocketsFromAddress,
            "your address has as many sockets as it may (limits.sockets_per_address_max): close those that are no longer \
             needed, one socket carries many streams",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "corecast.v1, corecast.token.a.b.c"),
    ];

    fn asked(change: Option<(&'static str, Option<&'static str>)>) -> Result<Handshake, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in GOOD {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some((name, value)) = change {
            headers.remove(name);
            headers.extend(value.map(|value| (HeaderName::from_static(name), HeaderValue::from_static(value))));
        }
        check(Version::HTTP_11, &headers)
    }

    #[test]
    fn the_rfcs_example_is_answered_with_the_rfcs_key() {
        let asked = asked(None).unwrap();
        assert_eq!(asked.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455 §1.3");
        assert_eq!(asked.token.unwrap().as_str(), "a.b.c");
    }

    #[test]
    fn every_part_of_the_handshake_is_needed() {
        for (name, value, code) in [
            ("upgrade", None, "upgrade_required"),
            ("upgrade", Some("h2c"), "upgrade_required"),
            ("connection", Some("close"), "upgrade_required"),
            ("sec-websocket-version", None, "websocket_version"),
            ("sec-websocket-version", Some("8"), "websocket_version"),
            ("sec-websocket-key", None, "bad_websocket_key"),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZQ=="), "bad_websocket_key"),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZ==="), "bad_websocket_key"),
            ("sec-websocket-protocol", None, "subprotocol_missing"),
            ("sec-websocket-protocol", Some("corecast.v2, corecast.token.x"), "subprotocol_missing"),
        ] {
            let problem = asked(Some((name, value))).unwrap_err();
            assert_eq!(problem.code().name(), code, "{name}: {value:?}");
        }
        assert_eq!(check(Version::HTTP_2, &HeaderMap::new()).unwrap_err().code(), Code::Http1Needed);
        let bare = asked(Some(("sec-websocket-protocol", Some("corecast.v1")))).unwrap();
        assert!(bare.token.is_none());
    }
}
