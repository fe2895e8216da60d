//! Who may do what over a socket, beyond what it has in common with the other doors (`authorisation.rs`): the three places
//! of a token, what becomes of a bad one, what needs none, and a leave that ends while its session goes on.

use std::time::Instant;

use corecast::auth::secret::Secret;
use corecast::config::{Admission, Auth};
use serde_json::{Value, json};

use crate::auth_support::{Door, SECRET, Server, claims, json_answer, node, now, shared_secret, sign};
use crate::signal_support::client::Socket;
use crate::signal_support::{Node, PATIENCE, Plan, start};

/// A token to publish or to play, with some claims changed.
fn token(door: Door, changes: &Value) -> String {
    let mut claims = claims(door);
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    sign(&claims)
}

fn publisher() -> String {
    token(Door::Whip, &json!({}))
}

fn viewer() -> String {
    token(Door::Whep, &json!({}))
}

/// An endpoint that has time enough to answer, however busy the machine is.
fn asking(server: &Server) -> Auth {
    Auth { require: true, webhook: Some(server.url()), webhook_time_max: PATIENCE, ..Auth::default() }
}

/// A socket with `token` in its handshake; no `hello` yet.
fn connect_with(node: &Node, token: &str) -> Socket {
    let offered = format!("corecast.token.{token}");
    Socket::connect_plain(node, &[("sec-websocket-protocol", offered.as_str())]).unwrap()
}

fn connect(node: &Node) -> Socket {
    Socket::connect_plain(node, &[]).unwrap()
}

/// `hello`, with a token or without.
fn hello(socket: &mut Socket, token: Option<&str>) -> Value {
    let mut hello = json!({"type": "hello", "version": 1});
    if let Some(token) = token {
        hello["token"] = token.into();
    }
    socket.ask(hello)
}

/// A socket that was welcomed.
fn welcomed(node: &Node, token: Option<&str>) -> Socket {
    let mut socket = connect(node);
    let welcome = hello(&mut socket, token);
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    socket
}

/// Asks to publish or play `stream`, with a token for that request alone or without.
fn open(socket: &mut Socket, kind: &str, stream: &str, token: Option<&str>) -> Value {
    let mut request = json!({"type": kind, "stream": stream, "sdp": "ok"});
    if let Some(token) = token {
        request["token"] = token.into();
    }
    socket.ask(request)
}

fn refused(answer: &Value) -> (u64, &str) {
    assert_eq!(answer["type"], "error", "{answer}");
    (answer["status"].as_u64().unwrap(), answer["code"].as_str().unwrap())
}

#[test]
fn a_bad_token_of_the_handshake_or_of_hello_is_told_why_and_closed_with_4001() {
    let node = node(Auth { admin_token_required: false, ..shared_secret() });
    let faults = [
        (token(Door::Whep, &json!({ "exp": now() - 40 })), "token_expired"),
        (token(Door::Whep, &json!({ "nbf": now() + 300 })), "token_not_yet_valid"),
        (token(Door::Whep, &json!({ "aud": "node-b" })), "token_wrong_audience"),
        (viewer() + "x", "token_wrong_key"),
        ("garbage".to_owned(), "token_malformed"),
    ];
    for (token, code) in &faults {
        for in_hello in [true, false] {
            let mut socket = if in_hello { connect(&node) } else { connect_with(&node, token) };
            let answer = hello(&mut socket, in_hello.then_some(token.as_str()));
            assert_eq!(refused(&answer), (401, *code), "{token}");
            assert_eq!(answer["id"], 1, "it answers the hello");
            assert!(!answer.to_string().contains(token.as_str()), "a refusal does not repeat the token");
            assert_eq!(socket.closed(), 4001);
        }
    }
    let line = format!("corecast_sockets_closed_total{{reason=\"not_authorised\"}} {}", 2 * faults.len());
    // The last one is counted when its connection is gone too.
    let deadline = Instant::now() + PATIENCE;
    while !node.admin("/metrics").body.lines().any(|have| have == line) {
        assert!(Instant::now() < deadline, "{line} is not in {}", node.admin("/metrics").body);
    }
    assert_eq!(node.told(), [""; 0], "no worker was asked for anything");
}

#[test]
fn of_three_tokens_the_later_one_counts_and_that_of_a_request_for_it_alone() {
    let node = node(shared_secret());
    // The handshake's is bad, hello's is good.
    let mut socket = connect_with(&node, "garbage");
    assert_eq!(hello(&mut socket, Some(&publisher()))["type"], "welcome");
    assert_eq!(open(&mut socket, "publish", "demo", None)["type"], "answer");
    // hello's is for publishing; the request's is for playing.
    assert_eq!(refused(&open(&mut socket, "subscribe", "demo", None)), (403, "token_wrong_action"));
    assert_eq!(open(&mut socket, "subscribe", "demo", Some(&viewer()))["type"], "answer");
    assert_eq!(refused(&open(&mut socket, "subscribe", "demo", None)), (403, "token_wrong_action"), "for it alone");
    // A good one behind it does not help one that is bad, and the socket goes on.
    assert_eq!(refused(&open(&mut socket, "publish", "demo", Some("garbage"))), (401, "token_malformed"));
    let other = token(Door::Whip, &json!({ "stream": "other" }));
    assert_eq!(refused(&open(&mut socket, "publish", "demo", Some(&other))), (403, "token_wrong_stream"));
    assert_eq!(open(&mut socket, "publish", "other", Some(&other))["type"], "answer");
    // The handshake's holds where hello has none.
    let mut socket = connect_with(&node, &viewer());
    assert_eq!(hello(&mut socket, None)["type"], "welcome");
    assert_eq!(open(&mut socket, "subscribe", "demo", None)["type"], "answer");
}

#[test]
fn without_a_token_a_socket_is_welcomed_and_each_request_shows_its_own() {
    let node = node(shared_secret());
    let mut socket = welcomed(&node, None);
    for kind in ["publish", "subscribe"] {
        let unread = socket.ask(json!({"type": kind, "stream": "demo", "sdp": "not SDP"}));
        assert_eq!(refused(&unread), (401, "token_missing"), "whoever may not ask does not learn that it is no SDP");
    }
    assert_eq!(node.told(), [""; 0]);
    assert_eq!(open(&mut socket, "publish", "demo", Some(&publisher()))["type"], "answer");
    assert_eq!(open(&mut socket, "subscribe", "demo", Some(&viewer()))["type"], "answer");
}

#[test]
fn who_may_not_play_a_stream_does_not_hear_whether_it_is_live() {
    let node = node(shared_secret());
    let follow = |socket: &mut Socket, stream: &str| socket.ask(json!({"type": "follow", "stream": stream}));
    assert_eq!(refused(&follow(&mut welcomed(&node, None), "demo")), (401, "token_missing"));
    assert_eq!(refused(&follow(&mut welcomed(&node, Some(&publisher())), "demo")), (403, "token_wrong_action"));
    // Hearing takes no place of those that play.
    let mut socket = welcomed(&node, Some(&token(Door::Whep, &json!({ "viewers_max": 1 }))));
    assert_eq!(open(&mut socket, "subscribe", "demo", None)["type"], "answer");
    assert_eq!(follow(&mut socket, "demo")["type"], "following");
    assert_eq!(refused(&follow(&mut socket, "other")), (403, "token_wrong_stream"));
    assert_eq!(refused(&open(&mut socket, "subscribe", "demo", None)), (403, "token_in_use"));
}

#[test]
fn a_session_is_resumed_restarted_and_closed_whatever_has_become_of_its_token() {
    let node = node(shared_secret());
    let mut first = welcomed(&node, Some(&publisher()));
    let answer = open(&mut first, "publish", "demo", None);
    let (session, secret) = (&answer["session"], &answer["secret"]);
    first.cut();
    let resume = |token: &str, secret: &Value| {
        let resume = json!([{"session": session, "secret": secret}]);
        let mut socket = connect(&node);
        let welcome = socket.ask(json!({"type": "hello", "version": 1, "token": token, "resume": resume}));
        (socket, welcome)
    };
    let (mut thief, answer) = resume("garbage", &json!("garbage"));
    assert_eq!((refused(&answer), thief.closed()), ((401, "token_malformed"), 4001), "it has proved nothing");
    let (mut socket, welcome) = resume("garbage", secret);
    assert_eq!((&welcome["type"], &welcome["resumed"]), (&json!("welcome"), &json!([session])), "{welcome}");
    let restarted = socket.ask(json!({"type": "restart", "session": session, "fragment": "second/password"}));
    assert_eq!(restarted["type"], "restarted", "{restarted}");
    assert_eq!(refused(&open(&mut socket, "subscribe", "demo", None)), (401, "token_malformed"), "nothing new opens");
    assert_eq!(socket.ask(json!({"type": "close", "session": session}))["type"], "closed");
}

#[test]
fn a_token_for_pages_of_an_origin_is_good_on_the_sockets_of_those_pages_only() {
    let listed = ["https://app.example.org", "https://evil.example"].map(str::to_owned).to_vec();
    let node = start(Plan { auth: shared_secret(), cors_origins: listed, ..Plan::default() });
    let token = token(Door::Whep, &json!({ "origin": "https://app.example.org" }));
    for (origin, expected) in [
        (Some("https://app.example.org"), None),
        (Some("https://evil.example"), Some((403, "token_wrong_origin"))),
        (None, Some((403, "token_wrong_origin"))),
    ] {
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        let mut socket = Socket::connect_plain(&node, &headers).unwrap();
        assert_eq!(hello(&mut socket, Some(&token))["type"], "welcome");
        let answer = open(&mut socket, "subscribe", "demo", None);
        match expected {
            None => assert_eq!(answer["type"], "answer", "{answer}"),
            Some(expected) => assert_eq!(refused(&answer), expected, "{origin:?}"),
        }
    }
}

#[test]
fn who_says_hello_with_a_bad_token_again_and_again_is_told_when_to_come_back() {
    let admission = Admission { exempt_addresses: Vec::new(), ..Admission::for_workers(2) };
    let node = start(Plan { auth: shared_secret(), admission, ..Plan::default() });
    for _ in 0..16 {
        assert_eq!(refused(&hello(&mut connect(&node), Some("garbage"))), (401, "token_malformed"));
    }
    let mut socket = connect(&node);
    let answer = hello(&mut socket, Some("garbage"));
    assert_eq!((refused(&answer), socket.closed()), ((429, "too_many_failures"), 4001));
    assert!((1..=61).contains(&answer["retry_after_s"].as_u64().unwrap()), "{answer}");
    welcomed(&node, Some(&viewer()));
}

#[test]
fn a_follow_ends_with_the_time_it_was_allowed_for() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": true, "expires_in_s": 4}"#));
    let node = node(asking(&server));
    let mut socket = welcomed(&node, Some(&viewer()));
    assert_eq!(socket.ask(json!({"type": "follow", "stream": "demo"}))["type"], "following");
    assert_eq!(socket.event(), json!({"type": "stream", "stream": "demo", "live": false}));
    assert_eq!(socket.event(), json!({"type": "unfollowed", "stream": "demo"}));
    let again = socket.ask(json!({"type": "unfollow", "stream": "demo"}));
    assert_eq!(again["type"], "unfollowed", "the socket goes on: {again}");
}

#[test]
fn a_leave_that_ends_ends_the_session_and_its_socket_and_the_endpoint_are_told() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": true, "expires_in_s": 4, "viewers_max": 1}"#));
    let node = node(Auth { secret: Some(Secret::new(SECRET)), ..asking(&server) });
    let mut socket = welcomed(&node, Some(&viewer()));
    let answer = open(&mut socket, "subscribe", "demo", None);
    assert_eq!(answer["type"], "answer", "{answer}");
    assert_eq!(refused(&open(&mut socket, "subscribe", "demo", None)), (403, "token_in_use"));
    assert_eq!(socket.event(), json!({"type": "stream", "stream": "demo", "live": false}));
    let ended = socket.event();
    assert_eq!((&ended["type"], &ended["session"]), (&json!("ended"), &answer["session"]), "{ended}");
    assert_eq!(ended["reason"], "leave_expired");
    // Two questions, a start and an end.
    let told: Vec<_> = server.wait_seen(4).into_iter().map(|seen| seen.json()).collect();
    let of = |name: &str| told.iter().find(|event| event["event"] == name).cloned().unwrap_or_default();
    let (started, over) = (of("started"), of("ended"));
    assert_eq!((&over["reason"], &over["subject"]), (&json!("leave_expired"), &json!("alice")), "{told:?}");
    for event in [&started, &over] {
        assert_eq!(event["session"].to_string(), answer["session"].as_str().unwrap(), "{told:?}");
    }
    // Its place is free again, and given back at once by who closes.
    let again = open(&mut socket, "subscribe", "demo", None);
    assert_eq!(socket.ask(json!({"type": "close", "session": again["session"]}))["type"], "closed");
    assert_eq!(open(&mut socket, "subscribe", "demo", None)["type"], "answer");
}

#[test]
fn with_nothing_but_an_endpoint_every_token_is_its_to_judge() {
    let server = Server::http(|_, seen| match seen.json()["token"].as_str() {
        Some("opaque") => json_answer(r#"{"allow": true}"#),
        _ => json_answer(r#"{"allow": false, "reason": "who are you?"}"#),
    });
    let node = node(asking(&server));
    let mut socket = welcomed(&node, Some("unknown"));
    assert!(server.seen().is_empty(), "it is asked about actions, not about sockets");
    let answer = open(&mut socket, "publish", "demo", None);
    assert_eq!(refused(&answer), (403, "denied"));
    assert!(answer["detail"].as_str().unwrap().contains("who are you?"), "{answer}");
    assert_eq!(open(&mut socket, "publish", "demo", Some("opaque"))["type"], "answer");
}
