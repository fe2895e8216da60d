//! Clients behind a proxy: with `trusted_proxies` every limit holds for the client that the proxy names, and nobody becomes
//! another client by what it writes itself.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use corecast::auth::secret::Secret;
use corecast::config::{Admission, Auth};
use serde_json::json;

use crate::auth_support::{Server, json_answer, refusal};
use crate::signal_support::client::Socket;
use crate::signal_support::{Node, PATIENCE, Plan, Response, start};

const XFF: &str = "x-forwarded-for";

/// A node behind a proxy on this host. Each client may have one session.
fn plan(auth: Auth) -> Plan {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let admission = Admission { trusted_proxies, sessions_per_address_max: 1, ..Admission::for_workers(2) };
    Plan { auth, admission, ..Plan::default() }
}

fn join(node: &Node, kind: &str, header: (&str, &str)) -> Response {
    node.ask("POST", &format!("/{kind}/live"), &[("content-type", "application/sdp"), header], "ok")
}

#[track_caller]
fn assert_full(response: &Response) {
    assert_eq!(refusal(response), (429, "too_many_from_address".to_owned()));
}

#[test]
fn two_clients_behind_one_proxy_are_two_and_each_is_one() {
    let node = start(plan(Auth::default()));
    for (header, one, other) in [
        (XFF, "192.0.2.1", "192.0.2.2"),
        (XFF, "2001:db8:0:1::1", "2001:db8:0:2::1"),
        ("forwarded", "for=\"192.0.2.3:4711\";proto=https", "for=192.0.2.4"),
    ] {
        assert_eq!(join(&node, "whep", (header, one)).status, 201);
        assert_full(&join(&node, "whep", (header, one)));
        assert_eq!(join(&node, "whep", (header, other)).status, 201, "another client of the same proxy");
        assert_full(&join(&node, "whep", (header, other)));
    }
}

#[test]
fn what_a_client_behind_the_proxy_writes_itself_changes_nothing() {
    let node = start(plan(Auth::default()));
    assert_eq!(join(&node, "whep", (XFF, "192.0.2.1")).status, 201);
    for forged in ["192.0.2.77, 192.0.2.1", "127.0.0.1, 192.0.2.1", "\", 192.0.2.1", "nonsense,,, 192.0.2.1:80"] {
        assert_full(&join(&node, "whep", (XFF, forged)));
    }
    assert_full(&join(&node, "whep", ("forwarded", "for=192.0.2.77;x=\", for=192.0.2.1")));
    // The other header, as a client sent it and the proxy passed it on.
    let both = [("content-type", "application/sdp"), (XFF, "192.0.2.1"), ("forwarded", "for=192.0.2.77")];
    assert_eq!(refusal(&node.ask("POST", "/whep/live", &both, "ok")), (400, "forwarded_twice".to_owned()));
    let refused = Socket::connect_plain(&node, &both[1..]).err().unwrap();
    assert!(refused.contains(" 400 "), "{refused}");
}

#[test]
fn who_is_no_trusted_proxy_cannot_be_another_client() {
    let admission =
        Admission { exempt_addresses: Vec::new(), sessions_per_address_max: 1, ..Admission::for_workers(2) };
    let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let node = start(Plan { admission: Admission { trusted_proxies, ..admission }, ..Plan::default() });
    assert_eq!(join(&node, "whep", (XFF, "192.0.2.1")).status, 201);
    for header in [(XFF, "192.0.2.2"), ("forwarded", "for=192.0.2.3"), (XFF, "192.0.2.4, 10.0.0.1")] {
        assert_full(&join(&node, "whep", header));
    }
}

#[test]
fn sockets_and_their_sessions_are_counted_for_the_client_too() {
    let mut plan = plan(Auth::default());
    plan.sockets.sockets_per_address_max = 1;
    let node = start(plan);
    let mut one = Socket::connect_plain(&node, &[(XFF, "192.0.2.1")]).unwrap();
    let full = Socket::connect_plain(&node, &[(XFF, "192.0.2.1")]).err().unwrap();
    assert!(full.contains(" 429 "), "{full}");
    let mut other = Socket::connect_plain(&node, &[(XFF, "192.0.2.2")]).unwrap();
    for socket in [&mut one, &mut other] {
        assert_eq!(socket.ask(json!({"type": "hello", "version": 1}))["type"], "welcome");
        socket.start("subscribe", "live");
        let second = socket.ask(json!({"type": "subscribe", "stream": "live", "sdp": "ok"}));
        assert_eq!(second["code"], "too_many_from_address", "{second}");
    }
    // Over HTTP it is the same client.
    assert_full(&join(&node, "whep", (XFF, "192.0.2.2")));
}

#[test]
fn a_name_is_taken_over_by_the_client_that_has_it_and_by_none_beside_it() {
    let mut plan = plan(Auth::default());
    plan.admission.sessions_per_address_max = 10;
    let node = start(plan);
    assert_eq!(join(&node, "whip", (XFF, "192.0.2.1")).status, 201);
    assert_eq!(refusal(&join(&node, "whip", (XFF, "192.0.2.2"))), (409, "name_taken".to_owned()));
    assert_eq!(join(&node, "whip", (XFF, "192.0.2.1")).status, 201);
    // A client that the proxy hides is nobody's equal.
    assert_eq!(refusal(&join(&node, "whip", ("forwarded", "for=unknown"))), (409, "name_taken".to_owned()));
}

#[test]
fn the_operators_endpoint_is_told_the_client_and_its_viewers_max_holds_for_it() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": true, "viewers_max": 1}"#));
    let webhook = Some(Secret::new(server.url().expose()));
    let mut plan = plan(Auth { require: true, webhook, webhook_time_max: PATIENCE, ..Auth::default() });
    plan.admission.sessions_per_address_max = 10;
    let node = start(plan);
    for client in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(join(&node, "whep", (XFF, client)).status, 201, "{client}");
        assert_eq!(refusal(&join(&node, "whep", (XFF, client))), (403, "token_in_use".to_owned()), "{client}");
    }
    let asked = server.seen().into_iter().map(|seen| seen.json()).filter(|question| question["event"] == "authorise");
    let addresses: Vec<_> = asked.map(|question| question["address"].as_str().unwrap().to_owned()).collect();
    assert_eq!(addresses, ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"]);
}

#[test]
fn refusals_are_counted_for_the_client_that_was_refused() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": false}"#));
    let webhook = Some(Secret::new(server.url().expose()));
    let node = start(plan(Auth { require: true, webhook, webhook_time_max: PATIENCE, ..Auth::default() }));
    for _ in 0..128 {
        assert_eq!(join(&node, "whep", (XFF, "192.0.2.1")).status, 403);
    }
    assert_eq!(refusal(&join(&node, "whep", (XFF, "192.0.2.1"))), (429, "too_many_failures".to_owned()));
    assert_eq!(
        join(&node, "whep", (XFF, "192.0.2.2")).status,
        403,
        "its neighbour behind the proxy is still asked about"
    );
}

#[test]
fn a_trusted_proxy_may_have_as_many_connections_as_the_listener() {
    let mut plan = plan(Auth::default());
    plan.admission.exempt_addresses.clear();
    plan.admission.connections_per_address_max = 2;
    let node = start(plan);
    let mut open: Vec<TcpStream> = (0..6).map(|_| TcpStream::connect(node.http).unwrap()).collect();
    for stream in &mut open {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
    }
}
