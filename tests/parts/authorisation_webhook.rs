//! The operator's endpoint: what it is asked, what of its answers is believed, what happens when it gives none, and what it
//! is told.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use corecast::auth::secret::Secret;
use corecast::config::{Admission, Auth};
use corecast::worker::mailbox::EndReason;
use serde_json::json;

use crate::auth_support::{
    DOORS, Door, SECRET, Seen, Server, answer, claims, dead_url, json_answer, node, now, refusal, sign,
};
use crate::signal_support::{PATIENCE, Plan, ended, start};

/// With time enough for an endpoint that answers, however busy the machine is.
fn asking(url: Secret) -> Auth {
    Auth { require: true, webhook: Some(url), webhook_time_max: PATIENCE, ..Auth::default() }
}

/// Only questions; starts and ends are events.
fn questions(server: &Server) -> Vec<Seen> {
    server.seen().into_iter().filter(|seen| seen.json()["event"] == "authorise").collect()
}

#[test]
fn it_is_asked_over_https_what_it_needs_to_decide_and_lets_in() {
    let server = Server::https(|_, _| json_answer(r#"{"allow": true}"#));
    let node = node(Auth { ca: Some(server.ca()), ..asking(server.url()) });
    let headers = [("authorization", "Bearer opaque"), ("origin", "http://node.test")];
    assert_eq!(Door::Whep.ask(&node, "demo", &headers, "ok").status, 201);
    let seen = &questions(&server)[0];
    assert!(seen.head.starts_with("POST /path HTTP/1.1"), "{}", seen.head);
    assert!(seen.head.to_ascii_lowercase().contains("content-type: application/json"), "{}", seen.head);
    let mut asked = seen.json();
    assert_eq!(asked["request"].take().as_str().unwrap().len(), 16);
    assert_eq!(
        asked,
        json!({ "event": "authorise", "request": null, "action": "play", "stream": "demo", "address": "127.0.0.1",
                "origin": "http://node.test", "subject": null, "token": "opaque" })
    );
    assert_eq!(Door::Whip.ask(&node, "demo", &[], "ok").status, 201, "without a token it decides by address");
}

#[test]
fn beside_keys_it_is_asked_about_good_tokens_only_and_gets_the_subject_and_not_the_token() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": true}"#));
    let node = node(Auth { secret: Some(Secret::new(SECRET)), admin_token_required: true, ..asking(server.url()) });
    for door in DOORS {
        assert_eq!(door.show(&node, "demo", "bad").status, 401);
        assert_eq!(door.ask(&node, "demo", &[], "ok").status, 401);
    }
    assert!(server.seen().is_empty());
    let token = sign(&claims(Door::Whep));
    assert_eq!(Door::Whep.show(&node, "demo", &token).status, 201);
    let asked = questions(&server)[0].json();
    assert_eq!((&asked["subject"], &asked["token"]), (&json!("alice"), &json!(null)));
    // The operator looks also when the endpoint is down.
    assert_eq!(Door::Admin.show(&node, "", &sign(&claims(Door::Admin))).status, 200);
    assert_eq!(questions(&server).len(), 1);
}

#[test]
fn its_refusal_is_403_with_its_reason_at_every_door() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": false, "reason": "not <b>subscribed</b>"}"#));
    let node = node(Auth { admin_token_required: true, ..asking(server.url()) });
    for door in DOORS {
        let refused = door.ask(&node, "demo", &[], "not SDP");
        assert_eq!(refusal(&refused), (403, "denied".to_owned()), "{door:?}");
        assert!(refused.body.contains("not <b>subscribed</b>"), "{}", refused.body);
    }
    assert_eq!(node.told(), [""; 0]);
}

#[test]
fn an_answer_that_cannot_be_believed_lets_nobody_in() {
    let json = |body: &str| json_answer(body);
    for (name, bytes) in [
        ("nothing", Vec::new()),
        ("not HTTP", b"yes\r\n\r\n".to_vec()),
        ("not JSON", json("yes")),
        ("half of it", json("{\"allow\": tr")),
        ("another type", answer("200 OK", "content-type: text/html\r\n", r#"{"allow": true}"#)),
        ("no type", answer("200 OK", "", r#"{"allow": true}"#)),
        ("201", answer("201 Created", "content-type: application/json\r\n", r#"{"allow": true}"#)),
        ("408", answer("408 Request Timeout", "content-type: application/json\r\n", r#"{"allow": true}"#)),
        ("429", answer("429 Too Many Requests", "content-type: application/json\r\n", r#"{"allow": true}"#)),
        ("500", answer("500 Internal Server Error", "content-type: application/json\r\n", r#"{"allow": true}"#)),
        ("a redirect", answer("307 Temporary Redirect", "location: /allowed\r\n", "")),
        ("text for a truth value", json(r#"{"allow": "yes"}"#)),
        ("both", json(r#"{"allow": true, "allow": false}"#)),
        ("allowed with a reason against", json(r#"{"allow": true, "reason": "banned"}"#)),
        ("refused with limits", json(r#"{"allow": false, "viewers_max": 3}"#)),
        ("a limit nobody here knows", json(r#"{"allow": true, "expires_s": 60}"#)),
        ("over at once", json(r#"{"allow": true, "expires_in_s": 0}"#)),
        ("huge", json(&format!("{{\"allow\": true, \"reason\": null{}}}", " ".repeat(20_000)))),
        (
            "a huge head",
            answer("200 OK", &format!("content-type: application/json\r\nx: {}\r\n", "x".repeat(40_000)), "{}"),
        ),
        (
            "a body that never ends",
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{".to_vec(),
        ),
    ] {
        let server = Server::http(move |_, _| bytes.clone());
        let node = node(asking(server.url()));
        let refused = Door::Whep.ask(&node, "demo", &[], "ok");
        assert_eq!(refusal(&refused), (503, "authorisation_unavailable".to_owned()), "{name}");
        assert!(!refused.header("retry-after").is_empty(), "{name}");
        assert_eq!(node.told(), [""; 0], "{name}");
    }
}

#[test]
fn an_endpoint_that_is_slow_or_not_there_or_not_itself_lets_nobody_in() {
    let slow = Server::http(|_, _| {
        std::thread::sleep(PATIENCE);
        json_answer(r#"{"allow": true}"#)
    });
    let (real, other) = (Server::https(|_, _| json_answer(r#"{"allow": true}"#)), Server::https(|_, _| Vec::new()));
    let (_held, dead) = dead_url();
    for (name, url, ca) in [
        ("slow", slow.url(), None),
        ("not there", dead, None),
        ("without a certificate that is believed", real.url(), Some(other.ca())),
        ("TLS where there is none", Secret::new(slow.url().expose().replace("http:", "https:")), Some(other.ca())),
    ] {
        let ca: Option<PathBuf> = ca;
        let node = node(Auth { ca, webhook_time_max: Duration::from_millis(400), ..asking(url) });
        let refused = Door::Whip.ask(&node, "demo", &[], "ok");
        assert_eq!(refusal(&refused), (503, "authorisation_unavailable".to_owned()), "{name}");
    }
}

#[test]
fn a_connection_that_breaks_is_tried_once_more() {
    let server = Server::http(|before, _| if before == 0 { Vec::new() } else { json_answer(r#"{"allow": true}"#) });
    let node = node(asking(server.url()));
    assert_eq!(Door::Whep.ask(&node, "demo", &[], "ok").status, 201);
    let seen = questions(&server);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, seen[1].body);
}

#[test]
fn an_endpoint_that_fails_in_a_row_is_left_alone() {
    let server = Server::http(|_, _| answer("500 Internal Server Error", "", ""));
    let node = node(asking(server.url()));
    for _ in 0..9 {
        assert_eq!(Door::Whep.ask(&node, "demo", &[], "ok").status, 503);
    }
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn a_client_error_refuses_its_own_question_and_never_pauses_the_endpoint() {
    let server = Server::http(|_, question| {
        if question.body.contains("\"bad") {
            answer("401 Unauthorized", "content-type: application/json\r\n", r#"{"allow": true}"#)
        } else {
            json_answer(r#"{"allow": true}"#)
        }
    });
    let node = node(asking(server.url()));
    for attempt in 0..8 {
        let refused = Door::Whep.show(&node, "demo", &format!("bad{attempt}"));
        assert_eq!(refusal(&refused), (403, "denied".to_owned()), "attempt {attempt}");
        assert_eq!(Door::Whep.show(&node, "demo", "good").status, 201, "an honest client beside it");
    }
}

#[test]
fn an_answer_stands_as_long_as_its_header_says_for_the_same_token_action_stream_and_origin() {
    let cached = "content-type: application/json; charset=utf-8\r\ncache-control: private, max-age=60\r\n";
    let server = Server::http(move |_, _| answer("200 OK", cached, r#"{"allow": true}"#));
    let node = node(asking(server.url()));
    let asked = |door: Door, stream: &str, token: &str, expected: usize| {
        assert_eq!(door.show(&node, stream, token).status, 201);
        assert_eq!(questions(&server).len(), expected, "{door:?} {stream} {token}");
    };
    asked(Door::Whep, "demo", "a", 1);
    asked(Door::Whep, "demo", "a", 1);
    asked(Door::Whep, "demo2", "a", 2);
    asked(Door::Whep, "demo", "b", 3);
    asked(Door::Whip, "demo", "a", 4);
    asked(Door::Whep, "demo", "a", 4);
    let own_page = [("authorization", "Bearer a"), ("origin", "http://node.test")];
    assert_eq!(Door::Whep.ask(&node, "demo", &own_page, "ok").status, 201);
    assert_eq!(questions(&server).len(), 5);
    server.now_answers(|_, _| json_answer(r#"{"allow": true}"#));
    asked(Door::Whep, "demo3", "a", 6);
    asked(Door::Whep, "demo3", "a", 7);
}

#[test]
fn a_token_that_has_run_out_is_refused_though_an_answer_about_it_stands() {
    let cached = "content-type: application/json\r\ncache-control: max-age=60\r\n";
    let server = Server::http(move |_, _| answer("200 OK", cached, r#"{"allow": true}"#));
    let node = node(Auth { secret: Some(Secret::new(SECRET)), ..asking(server.url()) });
    // Valid for five seconds more, the leeway included.
    let mut claims = claims(Door::Whep);
    claims["exp"] = json!(now() - 25);
    let token = sign(&claims);
    assert_eq!(Door::Whep.show(&node, "demo", &token).status, 201);
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        let shown = Door::Whep.show(&node, "demo", &token);
        if shown.status != 201 {
            break shown;
        }
        assert!(Instant::now() < deadline, "it is let in for ever");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(refusal(&refused), (401, "token_expired".to_owned()));
}

#[test]
fn it_can_narrow_what_it_allows_in_time_and_number_and_is_told_of_start_and_end() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": true, "expires_in_s": 4, "viewers_max": 1}"#));
    let node = node(Auth { secret: Some(Secret::new(SECRET)), ..asking(server.url()) });
    let token = sign(&claims(Door::Whep));
    assert_eq!(Door::Whep.show(&node, "demo", &token).status, 201);
    let session = node.last_session();
    assert_eq!(refusal(&Door::Whep.show(&node, "demo", &token)), (403, "token_in_use".to_owned()));
    node.wait_told("close leave_expired");
    // Two questions, a start and an end.
    let events: Vec<_> = server.wait_seen(4).into_iter().map(|seen| seen.json()).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).cloned().collect::<Vec<_>>();
    let (started, ended) = (of("started"), of("ended"));
    assert_eq!((of("authorise").len(), started.len(), ended.len()), (2, 1, 1), "{events:?}");
    assert_eq!(started[0]["request"], of("authorise")[0]["request"]);
    for event in [&started[0], &ended[0]] {
        assert_eq!(
            (&event["session"], &event["action"], &event["stream"], &event["subject"]),
            (&json!(session.0), &json!("play"), &json!("demo"), &json!("alice"))
        );
    }
    assert_eq!(ended[0]["reason"], "leave_expired");
    // Of the four seconds that begin with the answer, less what its opening took.
    assert!((1_000..60_000).contains(&ended[0]["duration_ms"].as_u64().unwrap()), "{}", ended[0]);
    let carried = (json!({ "packets": 3, "bytes": 300 }), json!({ "packets": 5, "bytes": 6_000 }));
    assert_eq!((&ended[0]["received"], &ended[0]["sent"]), (&carried.0, &carried.1), "{}", ended[0]);
    for name in ["reason", "duration_ms", "received", "sent"] {
        assert!(started[0].get(name).is_none(), "{}", started[0]);
    }
    // Its place is free again.
    assert_eq!(Door::Whep.show(&node, "demo", &token).status, 201);
}

#[test]
fn an_end_is_told_with_its_reason_and_what_never_opened_is_not_told() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": true}"#));
    let node = node(asking(server.url()));
    assert_eq!(Door::Whep.ask(&node, "demo", &[], "no codec").status, 406);
    assert_eq!(Door::Whep.ask(&node, "demo", &[], "ok").status, 201);
    node.notices.send(ended(node.last_session(), EndReason::TimedOut)).unwrap();
    let events: Vec<_> = server.wait_seen(4).into_iter().map(|seen| seen.json()).collect();
    let told: Vec<_> = events.iter().filter(|event| event["event"] != "authorise").collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0]["event"], &told[1]["event"]), (&json!("started"), &json!("ended")));
    assert_eq!(told[1]["reason"], "timed_out");
}

#[test]
fn sessions_that_end_with_the_node_are_told_to_have_ended_with_it() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": true}"#));
    let node = node(asking(server.url()));
    assert_eq!(Door::Whep.ask(&node, "demo", &[], "ok").status, 201);
    drop(node);
    let events: Vec<_> = server.wait_seen(3).into_iter().map(|seen| seen.json()).collect();
    let ended = events.iter().find(|event| event["event"] == "ended").unwrap();
    assert_eq!(ended["reason"], "shutting_down", "{events:?}");
}

#[test]
fn an_address_that_is_refused_again_and_again_no_longer_reaches_it() {
    let server = Server::http(|_, _| json_answer(r#"{"allow": false}"#));
    let admission = Admission { exempt_addresses: Vec::new(), ..Admission::for_workers(2) };
    let node = start(Plan { auth: asking(server.url()), admission, ..Plan::default() });
    for _ in 0..128 {
        assert_eq!(Door::Whep.ask(&node, "demo", &[], "ok").status, 403);
    }
    for _ in 0..5 {
        assert_eq!(refusal(&Door::Whep.ask(&node, "demo", &[], "ok")), (429, "too_many_failures".to_owned()));
    }
    assert_eq!(server.seen().len(), 128);
}
