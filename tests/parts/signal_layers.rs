//! A viewer's page chooses what of the picture it is sent, over the socket and over WHEP: every message, every refusal.

use std::time::{Duration, Instant};

use corecast::worker::mailbox::Notice;
use serde_json::{Value, json};

use crate::signal_support::client::Socket;
use crate::signal_support::{Node, Plan, layers, start};

const JSON: (&str, &str) = ("content-type", "application/json");

/// The `layers` that the double of a worker tells, as the protocol writes them.
fn told(session: &Value, choice: Value) -> Value {
    let layer = |id: u8, rid: &str, height: u16, alive: bool| json!({"id": id, "rid": rid, "width": 0, "height": height, "bits_per_second": 0, "frames_per_second": 0, "alive": alive});
    json!({
        "type": "layers", "session": session, "layers": [layer(0, "q", 180, true), layer(1, "h", 360, false)],
        "current": 0, "layer": choice, "why": "stopped", "detail": "the publisher stopped the better one",
    })
}

/// The event of that type that comes next; others in between are left out.
fn event(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let event = socket.event();
        if event["type"] == kind {
            return event;
        }
    }
}

#[test]
fn a_viewer_on_a_socket_chooses_and_is_told_what_there_is() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let session = socket.start("subscribe", "demo")["session"].clone();
    for (fields, choice, asked) in [
        (json!({"layer": "auto"}), json!("auto"), "layer Some(Auto) shown None"),
        (
            json!({"layer": {"rid": "h"}, "shown_height": 540}),
            json!({"rid": "h"}),
            "layer Some(Rid(\"h\")) shown Some(540)",
        ),
        (json!({"layer": {"height": 360}}), json!({"height": 360}), "layer Some(HeightMax(360)) shown None"),
        (json!({"layer": "none"}), json!("none"), "layer Some(SoundOnly) shown None"),
        (json!({"shown_height": 1_080}), json!("auto"), "layer None shown Some(1080)"),
    ] {
        let mut message = json!({"type": "layer", "session": session});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = socket.ask(message);
        assert_eq!((&answer["type"], &answer["session"]), (&json!("chosen"), &session), "{answer}");
        assert_eq!(event(&mut socket, "layers"), told(&session, choice));
        node.wait_told(asked);
    }
}

#[test]
fn a_choice_that_cannot_be_followed_is_refused_with_what_there_is() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let mine = socket.start("subscribe", "demo")["session"].clone();
    let mut stranger = Socket::open(&node);
    for (mut message, status, code, part) in [
        (
            json!({"session": mine, "layer": {"rid": "x"}}),
            404,
            "no_such_layer",
            "rid \"x\": the stream has q, h: send one of these",
        ),
        (
            json!({"session": mine, "layer": "720p"}),
            400,
            "bad_message",
            "expected one of `auto`, `none`, `rid`, `height`",
        ),
        (json!({"session": mine, "layer": {"rid": "a b"}}), 400, "bad_message", "letters, digits"),
        (json!({"session": mine, "shown_height": 70_000}), 400, "bad_message", "u16"),
        (json!({"session": "77", "layer": "auto"}), 404, "no_such_session", "open another"),
    ] {
        message["type"] = json!("layer");
        let answer = socket.ask(message.clone());
        assert_eq!(
            (&answer["type"], &answer["status"], &answer["code"]),
            (&json!("error"), &json!(status), &json!(code)),
            "{answer}"
        );
        assert!(answer["detail"].as_str().unwrap().contains(part), "{answer}");
    }
    let answer = stranger.ask(json!({"type": "layer", "session": mine, "layer": "none"}));
    assert_eq!(answer["code"], "no_such_session", "another socket's session: {answer}");
}

#[test]
fn a_session_that_asks_too_often_is_told_so_and_others_may_ask() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let [first, second] = [0, 1].map(|_| socket.start("subscribe", "demo")["session"].clone());
    let ask = |socket: &mut Socket, session: &Value| {
        socket.ask(json!({"type": "layer", "session": session, "layer": "auto"}))
    };
    // More than may ever be asked while the test's own clock runs.
    let refused = (0..60).map(|_| ask(&mut socket, &first)).find(|answer| answer["type"] == "error");
    let refused = refused.expect("sixty in a row are too many");
    assert_eq!((&refused["status"], &refused["code"]), (&json!(429), &json!("too_many_layer_requests")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("16 times at once"), "{refused}");
    assert_eq!(ask(&mut socket, &second)["type"], "chosen");
}

#[test]
fn whep_names_both_resources_and_takes_a_choice() {
    let node = start(Plan::default());
    let response = node.post("whep", "demo", "ok");
    let location = response.header("location");
    let links = response.header("link");
    assert!(links.contains(&format!("<{location}/layer>; rel=\"urn:ietf:params:whep:ext:core:layer\"")), "{links}");
    let events =
        format!("<{location}/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"layers\"");
    assert!(links.contains(&events), "{links}");
    assert!(!node.post("whip", "other", "ok").header("link").contains("ext:core"), "a publisher has nothing to choose");
    let layer = format!("{location}/layer");
    for (body, asked) in [
        ("{}", "layer Some(Auto) shown None"),
        (r#"{"mediaId":"1","encodingId":"h"}"#, "layer Some(Rid(\"h\")) shown None"),
        (r#"{"maxHeight":360,"shownHeight":200}"#, "layer Some(HeightMax(360)) shown Some(200)"),
        (r#"{"soundOnly":true}"#, "layer Some(SoundOnly) shown None"),
    ] {
        assert_eq!(node.ask("POST", &layer, &[JSON], body).status, 200, "{body}");
        node.wait_told(asked);
    }
    let elsewhere = layer.replace("demo", "other");
    let unknown = "/whep/demo/unknown/layer".to_owned();
    for (method, path, headers, body, status, code) in [
        ("POST", &layer, vec![JSON], r#"{"rid":"x"}"#, 404, "no_such_layer"),
        ("POST", &layer, vec![JSON], "[]x", 400, "bad_json"),
        ("POST", &layer, vec![JSON], r#"{"maxHeight":"x"}"#, 400, "bad_json"),
        ("POST", &layer, vec![], "{}", 415, "wrong_content_type"),
        ("POST", &elsewhere, vec![JSON], "{}", 404, "no_such_session"),
        ("POST", &unknown, vec![JSON], "{}", 404, "no_such_session"),
        ("GET", &layer, vec![], "", 405, "method_not_allowed"),
    ] {
        let response = node.ask(method, path, &headers, body);
        assert_eq!((response.status, response.code().as_str()), (status, code), "{method} {path} {body}");
    }
}

/// Asks for the next event after `last`.
fn next(node: &Node, events: &str, last: &str) -> (u16, String) {
    let response = node.ask("GET", events, &[("last-event-id", last)], "");
    (response.status, response.body)
}

#[test]
fn whep_events_are_waited_for_one_after_the_other_until_the_session_ends() {
    let node = start(Plan::default());
    let location = node.post("whep", "demo", "ok").header("location");
    let (events, layer) = (format!("{location}/events"), format!("{location}/layer"));
    let refused = node.ask("GET", &events, &[], "");
    assert_eq!((refused.status, refused.code().as_str()), (404, "no_events"));
    let refused = node.ask("POST", &events, &[JSON], r#"["viewercount"]"#);
    assert_eq!((refused.status, refused.code().as_str()), (400, "no_such_event"));
    let created = node.ask("POST", &events, &[JSON], r#"["active","layers"]"#);
    assert_eq!((created.status, created.header("location")), (201, events.clone()));
    let (status, first) = next(&node, &events, "0");
    assert_eq!(status, 200);
    assert!(first.starts_with("retry: ") && first.contains("\nid: 1\nevent: layers\ndata: {"), "{first}");
    let data: Value = serde_json::from_str(first.split("data: ").nth(1).unwrap().trim()).unwrap();
    let video = data.as_object().unwrap().iter().find(|(key, _)| key.parse::<usize>().is_ok()).unwrap().1;
    assert_eq!((&video[0]["rid"], &video[0]["current"], &video[1]["bitrate"]), (&json!("q"), &json!(true), &json!(0)));
    assert_eq!((&data["why"], &data["choice"]), (&json!("stopped"), &json!("auto")));
    // One that waits gets what comes.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| next(&node, &events, "1"));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(node.ask("POST", &layer, &[JSON], r#"{"soundOnly":true}"#).status, 200);
        let (status, second) = waits.join().unwrap();
        assert!(status == 200 && second.contains("id: 2") && second.contains(r#""choice":"none""#), "{second}");
    });
    // And so does one that waits when the session ends: there will be none.
    std::thread::scope(|scope| {
        let (since, waits) = (Instant::now(), scope.spawn(|| next(&node, &events, "2")));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(node.ask("DELETE", &location, &[], "").status, 200);
        let (status, _) = waits.join().unwrap();
        assert!(matches!(status, 204 | 404), "{status}");
        assert!(since.elapsed() < Duration::from_secs(15), "it did not wait for its time to be over");
    });
}

#[test]
fn a_client_that_wants_no_more_events_ends_them() {
    let node = start(Plan::default());
    let location = node.post("whep", "demo", "ok").header("location");
    let events = format!("{location}/events");
    assert_eq!(node.ask("POST", &events, &[], "").status, 201, "body and type may be left out");
    assert_eq!(node.ask("DELETE", &events, &[], "").status, 200);
    assert_eq!(node.ask("DELETE", &events, &[], "").code(), "no_events");
    assert_eq!(next(&node, &events, "0").0, 404);
    // What a worker tells then goes nowhere.
    let told = Box::new(layers::answer(&corecast::worker::layers::LayerRequest::default()).unwrap());
    node.notices.send(Notice::Layers { session: node.last_session(), told }).unwrap();
    assert_eq!(next(&node, &events, "0").0, 404);
}
