//! Who gets a socket: the handshake, origins, and how many.

use std::net::TcpStream;
use std::time::Instant;

use serde_json::json;

use crate::signal_support::client::{Socket, handshake};
use crate::signal_support::{PATIENCE, Plan, exchange, start};

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "corecast.v1");

#[test]
fn a_page_of_an_origin_that_is_not_listed_gets_403_and_any_other_client_a_socket() {
    let cors_origins = vec!["https://www.example.org".into(), "https://*.example.net".into()];
    let node = start(Plan { cors_origins, ..Plan::default() });
    for (origin, allowed) in [
        (Some("https://www.example.org"), true),
        (Some("https://any.example.net"), true),
        (Some("https://example.net"), false),
        (Some("https://node.test"), true),
        (None, true),
        (Some("https://www.example.com"), false),
        (Some("http://www.example.org"), false),
        (Some("https://www.example.org.evil.example"), false),
        (Some("null"), false),
        (Some("https://node.test:8443"), false),
    ] {
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        match Socket::connect_plain(&node, &headers) {
            Ok(mut socket) => {
                assert!(allowed, "{origin:?}");
                assert_eq!(socket.ask(json!({"type": "hello", "version": 1}))["type"], "welcome");
            }
            Err(status) => assert_eq!((allowed, status.contains(" 403 ")), (false, true), "{origin:?}: {status}"),
        }
    }
    let headers = [PROTOCOL, ("origin", "https://www.example.com"), ("connection", "close")];
    let refused = exchange(TcpStream::connect(node.http).unwrap(), handshake(&headers).as_bytes());
    assert_eq!(refused.code(), "origin_not_allowed");
}

#[test]
fn a_handshake_that_is_none_is_refused_with_what_is_missing() {
    let node = start(Plan::default());
    let good = handshake(&[PROTOCOL, ("connection", "close")]);
    for (from, to, status, code) in [
        ("upgrade: websocket\r\n", "", 426, "upgrade_required"),
        ("version: 13", "version: 8", 426, "websocket_version"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", 400, "bad_websocket_key"),
        ("corecast.v1", "corecast.v2", 400, "subprotocol_missing"),
        ("GET /ws", "GET /ws/more", 404, "not_found"),
        ("GET /ws", "DELETE /ws", 405, "method_not_allowed"),
    ] {
        let response = exchange(TcpStream::connect(node.http).unwrap(), good.replace(from, to).as_bytes());
        assert_eq!((response.status, response.code().as_str()), (status, code), "{to}");
        match code {
            "upgrade_required" => assert_eq!(response.header("upgrade"), "websocket"),
            "websocket_version" => assert_eq!(response.header("sec-websocket-version"), "13"),
            _ => {}
        }
    }
    let long = format!("corecast.v1, corecast.token.{}", "x".repeat(8_193));
    let long = handshake(&[("sec-websocket-protocol", &long), ("connection", "close")]);
    let response = exchange(TcpStream::connect(node.http).unwrap(), long.as_bytes());
    assert_eq!(response.code(), "token_too_long");
}

#[test]
fn a_token_may_come_as_a_subprotocol_and_is_not_the_one_selected() {
    let node = start(Plan::default());
    // The client's own check of the 101 is that corecast.v1 is selected.
    let token = [("sec-websocket-protocol", "corecast.token.a.b.c")];
    Socket::connect_plain(&node, &token).unwrap();
}

#[test]
fn sockets_of_an_address_and_of_all_are_bounded_and_one_that_ends_makes_room() {
    for (of_address, status) in [(true, " 429 "), (false, " 503 ")] {
        let mut plan = Plan::default();
        plan.admission.exempt_addresses.clear();
        match of_address {
            true => plan.sockets.sockets_per_address_max = 2,
            false => plan.sockets.sockets_max = 2,
        }
        let node = start(plan);
        let held = [Socket::connect(&node), Socket::connect(&node)];
        let refused = Socket::connect_plain(&node, &[]).err().unwrap();
        assert!(refused.contains(status), "{refused}");
        let [one, _other] = held;
        one.cut();
        let deadline = Instant::now() + PATIENCE;
        while Socket::connect_plain(&node, &[]).is_err() {
            assert!(Instant::now() < deadline);
        }
    }
}

#[test]
fn a_socket_is_no_http_connection_any_more() {
    let node = start(Plan { connections_max: 1, ..Plan::default() });
    let mut sockets = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    // Each needs the listener's only place for its handshake alone.
    while sockets.len() < 5 {
        assert!(Instant::now() < deadline);
        sockets.extend(Socket::connect_plain(&node, &[]).ok());
    }
    for socket in &mut sockets {
        assert_eq!(socket.ask(json!({"type": "hello", "version": 1}))["type"], "welcome");
    }
    assert!(node.admin("/metrics").body.contains("\ncorecast_sockets 5\n"));
}
