//! WHIP and WHEP over a real server on loopback: every status the front end gives, and what the workers are told.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::signal_support::{Habit, PATIENCE, Plan, ended, exchange, request, start};
use corecast::config::{IceServer, Takeover};
use corecast::worker::mailbox::EndReason;

const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

#[test]
fn a_session_opens_with_all_that_rfc_9725_asks_of_a_201() {
    let ice_servers = vec![
        IceServer { urls: vec!["stun:stun.example.org:3478".into()], ..IceServer::default() },
        IceServer {
            urls: vec!["turn:turn.example.org:3478?transport=udp".into()],
            username: Some("user".into()),
            credential: Some("secret".into()),
        },
    ];
    let node = start(Plan { ice_servers, ..Plan::default() });
    for kind in ["whip", "whep"] {
        let path = format!("/{kind}/live");
        for response in [node.ask("POST", &path, &[SDP], "ok"), node.ask_tls("POST", &format!("{path}2"), &[SDP], "ok")]
        {
            assert_eq!(response.status, 201, "{response:?}");
            assert_eq!(response.header("content-type"), "application/sdp");
            assert_eq!(response.header("accept-post"), "application/sdp");
            assert_eq!(response.header("accept-patch"), "application/trickle-ice-sdpfrag");
            let etag = response.header("etag");
            assert!(etag.len() > 4 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
            let token = response.header("location").rsplit('/').next().unwrap().to_owned();
            assert!(response.header("location").starts_with(&path) && token.len() * 6 >= 128, "{token}");
            let link = response.header("link");
            assert!(link.contains("<stun:stun.example.org:3478>; rel=\"ice-server\""), "{link}");
            // Some clients take the first: the node's own costs no other server anything.
            assert!(link.trim_start().starts_with("<turn"), "the node's own comes first: {link}");
            assert!(
                link.contains("; username=\"user\"; credential=\"secret\"; credential-type=\"password\""),
                "{link}"
            );
            assert!(response.body.contains("192.0.2.1:4000"), "the worker's own port: {}", response.body);
        }
    }
}

#[test]
fn every_refusal_has_its_status_its_code_and_a_way_out() {
    let node = start(Plan { takeover: Takeover::Never, ..Plan::default() });
    let session = node.open("whip", "taken");
    let viewer = node.open("whep", "taken");
    let long = "a".repeat(129);
    let (long, huge) = (format!("/whip/{long}"), "x".repeat(65 * 1024));
    let location = session.location.as_str();
    let wrong_kind = location.replace("/whip/", "/whep/");
    let wrong_stream = location.replace("taken", "other");
    let doubled = format!("/{location}");
    let tag = ("if-match", session.etag.as_str());
    for (method, path, headers, body, status, code) in [
        ("POST", "/whip/a", vec![SDP], "nonsense", 400, "bad_sdp"),
        ("POST", "/whep/a", vec![SDP], "", 400, "bad_sdp"),
        ("POST", "/whip/a%20b", vec![SDP], "ok", 400, "bad_stream_name"),
        ("POST", "/whip/..", vec![SDP], "ok", 400, "bad_stream_name"),
        ("POST", &long, vec![SDP], "ok", 400, "bad_stream_name"),
        ("POST", "/whip/a", vec![SDP], "no codec", 406, "no_common_codec"),
        ("POST", "/whip/taken", vec![SDP], "ok", 409, "name_taken"),
        ("POST", "/whip/a", vec![SDP], &huge, 413, "body_too_long"),
        ("POST", "/whip/a", vec![("content-type", "text/plain")], "ok", 415, "wrong_content_type"),
        ("POST", "/whep/a", vec![], "ok", 415, "wrong_content_type"),
        ("POST", "/whep/a", vec![SDP], "no bundle", 422, "sdp_not_servable"),
        ("POST", "/", vec![SDP], "ok", 405, "method_not_allowed"),
        ("POST", "/whip", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/whip/", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/live/whip", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/rtc/v1/whip/", vec![SDP], "ok", 404, "not_found"),
        ("DELETE", "/whip/a/b/c", vec![], "", 404, "not_found"),
        ("GET", "/whip/", vec![], "", 404, "not_found"),
        ("GET", "/nothing", vec![], "", 404, "not_found"),
        ("GET", "/whip/a/b/c", vec![], "", 404, "not_found"),
        ("POST", "//whep/a", vec![SDP], "ok", 404, "not_found"),
        ("POST", "///whip/a", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/whep//a", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/./whep/a", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/whep/./a", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/x/../whep/a", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/whep%2Fa", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/whep/a%2fb", vec![SDP], "ok", 404, "not_found"),
        ("POST", "/whep/a%5Cb", vec![SDP], "ok", 404, "not_found"),
        ("GET", "//ws", vec![], "", 404, "not_found"),
        ("GET", "//", vec![], "", 404, "not_found"),
        ("GET", "//watch/a", vec![], "", 404, "not_found"),
        ("DELETE", &doubled, vec![], "", 404, "not_found"),
        ("GET", "/whip/a", vec![], "", 405, "method_not_allowed"),
        ("PUT", "/whep/a", vec![], "", 405, "method_not_allowed"),
        ("DELETE", "/whep/a", vec![], "", 405, "method_not_allowed"),
        ("GET", location, vec![], "", 405, "method_not_allowed"),
        ("POST", location, vec![SDP], "ok", 409, "not_connected"),
        ("PATCH", "/whip/taken/unknown", vec![FRAGMENT, tag], "candidate", 404, "no_such_session"),
        ("PATCH", &wrong_kind, vec![FRAGMENT, tag], "candidate", 404, "no_such_session"),
        ("PATCH", &wrong_stream, vec![FRAGMENT, tag], "candidate", 404, "no_such_session"),
        ("PATCH", location, vec![FRAGMENT], "candidate", 428, "if_match_missing"),
        ("PATCH", location, vec![FRAGMENT, ("if-match", "\"old\"")], "candidate", 412, "stale_etag"),
        ("PATCH", location, vec![FRAGMENT, ("if-match", &viewer.etag)], "candidate", 412, "stale_etag"),
        ("PATCH", location, vec![SDP, tag], "candidate", 415, "wrong_content_type"),
        ("PATCH", location, vec![FRAGMENT, tag], "nonsense", 400, "bad_sdp"),
        ("PATCH", location, vec![FRAGMENT, tag], &huge, 413, "body_too_long"),
        ("DELETE", location, vec![("if-match", "\"old\"")], "", 412, "stale_etag"),
        ("DELETE", &wrong_kind, vec![], "", 404, "no_such_session"),
    ] {
        let response = node.ask(method, path, &headers, body);
        assert_eq!((response.status, response.code().as_str()), (status, code), "{method} {path} {headers:?}");
        let allow = response.header("allow");
        let expected = match (status, path) {
            (405, path) if path == location => "POST, PATCH, DELETE, OPTIONS",
            (405, "/") => "GET, HEAD, OPTIONS",
            (405, _) => "POST, OPTIONS",
            _ => "",
        };
        assert_eq!(allow, expected, "{method} {path}");
        if code == "not_found" {
            assert!(response.body.contains("WHIP is /whip/{stream}"), "{method} {path}: {}", response.body);
        }
        match (status, method) {
            (415, "POST") => assert_eq!(response.header("accept-post"), "application/sdp"),
            (415, _) => assert_eq!(response.header("accept-patch"), "application/trickle-ice-sdpfrag"),
            _ => {}
        }
    }
    // None of it disturbed the sessions.
    assert_eq!(node.patch(location, &session.etag, "candidate").status, 204);
    assert_eq!(node.report()["publishers"], 1);
}

#[test]
fn content_types_are_compared_without_case_and_parameters() {
    let node = start(Plan::default());
    for (name, value) in [("a", "Application/SDP"), ("b", "application/sdp; charset=utf-8")] {
        let response = node.ask("POST", &format!("/whip/{name}"), &[("content-type", value)], "ok");
        assert_eq!(response.status, 201, "{value}");
    }
}

#[test]
fn trickle_is_204_and_a_restart_is_200_with_a_new_etag() {
    let node = start(Plan::default());
    for (number, kind) in ["whip", "whep"].into_iter().enumerate() {
        let session = node.open(kind, "live");
        let location = session.location.as_str();
        assert_eq!(node.patch(location, &session.etag, "candidate").status, 204);
        assert_eq!(node.patch(location, &session.etag, "first/password").status, 204, "the same generation");
        assert_eq!(node.patch(location, "*", "first/password").status, 204, "nothing is restarted");
        let mut newest = session.etag;
        for (round, if_match) in ["*", "\"*\"", "newest"].into_iter().enumerate() {
            let if_match = if if_match == "newest" { newest.clone() } else { if_match.to_owned() };
            let response = node.patch(location, &if_match, &format!("u{number}{round}/password"));
            assert_eq!((response.status, response.header("content-type").as_str()), (200, FRAGMENT.1));
            assert!(response.body.starts_with("new "), "{}", response.body);
            let etag = response.header("etag");
            assert_ne!(etag, newest);
            assert_eq!(node.patch(location, &newest, "candidate").status, 412, "the old tag is stale");
            assert_eq!(node.patch(location, &etag, "candidate").status, 204);
            assert_eq!(node.patch(location, &format!("\"x\", {etag}"), "candidate").status, 204, "a list of tags");
            node.wait_told(&format!("restart u{number}{round}"));
            newest = etag;
        }
    }
}

#[test]
fn delete_ends_the_session_and_frees_the_name_at_once() {
    let node = start(Plan { takeover: Takeover::Never, ..Plan::default() });
    let session = node.open("whip", "live");
    assert_eq!(node.post("whip", "live", "ok").status, 409);
    assert_eq!(node.ask("DELETE", &session.location, &[], "").status, 200);
    // A worker writes down what it was told after it has answered.
    node.wait_told("close left");
    assert_eq!(node.post("whip", "live", "ok").status, 201);
    assert_eq!(node.ask("DELETE", &session.location, &[], "").status, 200, "it is gone, as was asked");
    assert_eq!(node.patch(&session.location, "*", "a/b").code(), "no_such_session");
}

#[test]
fn a_session_that_ends_by_itself_is_forgotten_everywhere() {
    let node = start(Plan::default());
    let session = node.open("whip", "live");
    node.notices.send(ended(node.last_session(), EndReason::TimedOut)).unwrap();
    node.wait_told("route None []");
    assert_eq!(node.patch(&session.location, "*", "a/b").status, 404);
    assert_eq!(node.post("whip", "live", "ok").status, 201);
    let metrics = node.admin("/metrics").body;
    assert!(metrics.contains("corecast_sessions_ended_total{reason=\"timed_out\"} 1"), "{metrics}");
}

#[test]
fn the_workers_are_told_where_a_stream_comes_from_and_goes_to() {
    let node = start(Plan { workers: vec![Habit::Accept], ..Plan::default() });
    node.open("whep", "live");
    node.wait_told("0 route None [WorkerIndex(0)]");
    node.open("whip", "live");
    node.wait_told("0 route Some(WorkerIndex(0)) [WorkerIndex(0)]");
}

#[test]
fn a_full_worker_passes_the_session_to_its_second_choice_and_a_full_node_refuses() {
    let node = start(Plan { workers: vec![Habit::Full, Habit::Accept], ..Plan::default() });
    for number in 0..20 {
        node.open("whep", &format!("s{number}"));
    }
    // A worker writes down what it was told after it has answered.
    let opened = |line: &str| node.told().iter().filter(|told| told.starts_with(line)).count();
    let deadline = Instant::now() + PATIENCE;
    while opened("1 open") < 20 {
        assert!(Instant::now() < deadline, "{:?}", node.told());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(opened("0 open") > 0 && opened("1 open") == 20, "{:?}", node.told());

    let node = start(Plan { workers: vec![Habit::Full; 2], ..Plan::default() });
    let response = node.post("whip", "live", "ok");
    assert_eq!((response.status, response.code().as_str()), (503, "node_full"));
    assert_eq!(response.header("retry-after"), "5");
    assert_eq!(node.report()["publishers"], 0);
}

#[test]
fn a_silent_worker_is_503_and_told_to_close_what_it_may_have_opened() {
    let node = start(Plan { workers: vec![Habit::Silent], ..Plan::default() });
    let response = node.post("whip", "live", "ok");
    assert_eq!((response.status, response.code().as_str()), (503, "worker_silent"));
    node.wait_told("close never_connected");
    assert_eq!(node.report()["publishers"], 0);
}

#[test]
fn a_client_that_leaves_while_its_session_opens_leaves_nothing_behind() {
    let node = start(Plan { workers: vec![Habit::Silent], ..Plan::default() });
    let mut stream = TcpStream::connect(node.http).unwrap();
    stream.write_all(&request("POST", "/whip/live", &[SDP], "ok")).unwrap();
    node.wait_told("open live");
    assert_eq!(node.report()["publishers"], 1);
    drop(stream);
    node.wait_told("close never_connected");
    assert_eq!(node.report()["publishers"], 0);
}

#[test]
fn viewers_wait_for_a_publisher_bounded_in_number_and_time() {
    let plan = Plan { waiting_viewers_max: 1, waiting_time: Duration::from_secs(4), ..Plan::default() };
    let node = start(plan);
    node.open("whep", "later");
    let response = node.post("whep", "never", "ok");
    assert_eq!((response.status, response.code().as_str()), (503, "too_many_waiting"));
    assert_eq!(response.header("retry-after"), "5");
    node.open("whip", "later");
    node.open("whep", "never");
    node.wait_told("close no_publisher");
    let deadline = Instant::now() + PATIENCE;
    while node.report()["waiting_viewers"] != 0 {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(node.report()["viewers"], 1, "the one whose publisher came stays");
}

#[test]
fn a_slash_behind_the_streams_name_changes_nothing() {
    let node = start(Plan::default());
    for kind in ["whip", "whep"] {
        let opened = node.ask("POST", &format!("/{kind}/live/"), &[SDP], "ok");
        assert_eq!(opened.status, 201, "{}", opened.body);
        assert!(opened.header("location").starts_with(&format!("/{kind}/live/")), "{opened:?}");
        assert_eq!(node.ask("OPTIONS", &format!("/{kind}/live/"), &[], "").header("allow"), "POST, OPTIONS");
    }
    assert_eq!((&node.report()["publishers"], &node.report()["viewers"]), (&1.into(), &1.into()));
}

#[test]
fn a_412_says_what_is_wrong_with_the_tag() {
    let node = start(Plan::default());
    let session = node.open("whip", "live");
    let bare = session.etag.trim_matches('"').to_owned();
    for (tag, part) in [
        (format!("W/{}", session.etag), "without W/"),
        (format!("\"x\", W/{}", session.etag), "without W/"),
        (bare, "quotes"),
        ("\"old\"".to_owned(), "newest ETag"),
    ] {
        let headers = [("if-match", tag.as_str())];
        for refused in
            [node.patch(&session.location, &tag, "candidate"), node.ask("DELETE", &session.location, &headers, "")]
        {
            assert_eq!((refused.status, refused.code().as_str()), (412, "stale_etag"), "{tag}");
            assert!(refused.body.contains(part), "{tag}: {}", refused.body);
        }
    }
}

#[test]
fn the_end_of_a_session_that_has_just_ended_is_200_and_a_strangers_404() {
    let node = start(Plan::default());
    let session = node.open("whep", "live");
    node.notices.send(ended(node.last_session(), EndReason::PeerClosed)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while node.report()["viewers"] != 0 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(node.ask("DELETE", &session.location, &[], "").status, 200);
    assert_eq!(node.ask("DELETE", &session.location, &[], "").status, 200);
    assert_eq!(node.patch(&session.location, "*", "a/b").code(), "no_such_session");
    for other in [
        session.location.replace("/whep/", "/whip/"),
        session.location.replace("live", "other"),
        format!("{}x", session.location),
    ] {
        assert_eq!(node.ask("DELETE", &other, &[], "").code(), "no_such_session", "{other}");
    }
}

#[test]
fn a_viewer_without_the_codec_of_what_is_published_is_told_so_and_not_served_silence() {
    let node = start(Plan::default());
    assert_eq!(node.post("whep", "live", "VP8").status, 201, "nobody publishes yet");
    assert_eq!(node.post("whip", "live", "H264").status, 201);
    for (offer, status) in [("H264", 201), ("H264 and VP8", 201), ("ok", 201), ("VP8", 406)] {
        let response = node.post("whep", "live", offer);
        assert_eq!(response.status, status, "{offer}: {}", response.body);
        if status == 406 {
            assert_eq!(response.code(), "sdp_no_common_codec");
            assert!(response.body.contains("offer H264"), "{}", response.body);
        }
    }
    assert_eq!(node.report()["viewers"], 4, "the one that is refused leaves nothing");
}

#[test]
fn only_own_and_listed_pages_may_call() {
    let cors_origins = vec!["https://www.example.org".into()];
    let node = start(Plan { cors_origins, takeover: Takeover::Never, ..Plan::default() });
    let from = |origin, method, path| node.ask(method, path, &[SDP, ("origin", origin)], "ok");

    let foreign = from("https://evil.example", "POST", "/whip/a");
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "origin_not_allowed"));
    assert_eq!(from("https://evil.example", "OPTIONS", "/whip/a").header("access-control-allow-origin"), "");
    assert_eq!(from("null", "POST", "/whip/a").status, 403);
    assert_eq!(from("https://node.test", "POST", "/whip/own").status, 201);

    let preflight = from("https://www.example.org", "OPTIONS", "/whip/a");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), "https://www.example.org");
    assert_eq!(preflight.header("access-control-allow-methods"), "POST, OPTIONS");
    assert!(preflight.header("access-control-allow-headers").contains("If-Match"));
    assert_eq!(preflight.header("accept-post"), "application/sdp");

    let listed = from("https://www.example.org", "POST", "/whip/a");
    assert_eq!(listed.status, 201);
    assert_eq!(listed.header("access-control-allow-origin"), "https://www.example.org");
    for name in ["Location", "ETag", "Link"] {
        assert!(listed.header("access-control-expose-headers").contains(name));
    }
    let refused = from("https://www.example.org", "POST", "/whip/a");
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin").as_str()),
        (409, "https://www.example.org")
    );
    let session = from("https://www.example.org", "OPTIONS", &listed.header("location"));
    assert_eq!(session.header("access-control-allow-methods"), "POST, PATCH, DELETE, OPTIONS");
}

#[test]
fn location_is_absolute_where_the_public_url_is_known() {
    let node = start(Plan { public_url: Some("https://live.example.org".into()), ..Plan::default() });
    assert!(node.open("whip", "a").location.starts_with("https://live.example.org/whip/a/"));
}

#[test]
fn pages_are_served_with_a_strict_policy_and_not_twice() {
    let node = start(Plan::default());
    let page = node.ask("GET", "/", &[], "");
    assert_eq!((page.status, page.header("content-type").as_str()), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    assert_eq!(page.header("cache-control"), "no-cache");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let etag = page.header("etag");
    let again = node.ask("GET", "/", &[("if-none-match", &etag)], "");
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let head = node.ask("HEAD", "/", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(node.ask("POST", "/", &[], "").status, 405);
}

#[test]
fn a_stream_has_pages_at_its_name_by_the_rules_of_whep() {
    let node = start(Plan::default());
    let longest = "a".repeat(128);
    for (page, served) in [("watch", "/watch.html"), ("publish", "/publish.html")] {
        let expected = node.ask("GET", served, &[], "");
        assert_eq!(expected.status, 200);
        for name in ["demo", "a.b_c~d-e", "...", &longest] {
            let response = node.ask("GET", &format!("/{page}/{name}"), &[], "");
            assert_eq!(response.status, 200, "{page} {name}");
            assert_eq!(response.body, expected.body, "{page} {name}");
            assert_eq!(response.header("content-type"), "text/html; charset=utf-8");
            assert!(response.header("content-security-policy").contains("default-src 'self'"));
            let head = node.ask("HEAD", &format!("/{page}/{name}"), &[], "");
            assert_eq!((head.status, head.body.as_str()), (200, ""));
            let tag = response.header("etag");
            let again = node.ask("GET", &format!("/{page}/{name}"), &[("if-none-match", &tag)], "");
            assert_eq!(again.status, 304);
        }
        // What `/whep/NAME` refuses with 400 is no page.
        for name in ["", ".", "..", "a%20b", "a/b", "demo/", "d%C3%A9mo", &"a".repeat(129)] {
            let response = node.ask("GET", &format!("/{page}/{name}"), &[], "");
            assert_eq!((response.status, response.code().as_str()), (404, "bad_stream_name"), "{page} {name}");
            assert!(response.body.contains("1 to 128 of the characters"), "{}", response.body);
        }
        assert_eq!(node.ask("GET", &format!("/{page}"), &[], "").code(), "not_found");
        let post = node.ask("POST", &format!("/{page}/demo"), &[SDP], "ok");
        assert_eq!((post.status, post.header("allow").as_str()), (405, "GET, HEAD, OPTIONS"));
    }
}

#[test]
fn a_session_that_restarts_ice_in_a_loop_is_429_and_costs_its_worker_nothing() {
    let node = start(Plan::default());
    let location = &node.open("whep", "demo");
    let statuses: Vec<u16> =
        (0..60).map(|round| node.patch(&location.location, "*", &format!("u{round}/password")).status).collect();
    let restarted = statuses.iter().filter(|status| **status == 200).count();
    // Eight at once, then one in two seconds.
    assert!(statuses[..8].iter().all(|status| *status == 200) && restarted < 40, "{statuses:?}");
    let told = node.told().iter().filter(|line| line.contains("restart")).count();
    assert!(told <= restarted && statuses.contains(&429));
}

#[test]
fn readiness_costs_no_report_and_everybody_gets_the_same_report_for_a_second() {
    let node = start(Plan::default());
    for _ in 0..100 {
        assert_eq!(node.admin("/readyz").status, 200);
    }
    assert_eq!(node.reports.load(Ordering::SeqCst), 0);
    let began = Instant::now();
    for path in ["/api/v1/node", "/metrics"].into_iter().cycle().take(40) {
        assert_eq!(node.admin(path).status, 200);
    }
    // Of each of the two workers once, and once more for each second that a slow machine took.
    let most = 2 * (2 + began.elapsed().as_secs() as usize);
    assert!((2..=most).contains(&node.reports.load(Ordering::SeqCst)));
}

#[test]
fn the_operators_port_answers_and_serves_nothing_else() {
    let node = start(Plan::default());
    node.open("whip", "live");
    assert_eq!(node.admin("/healthz").body, "ok\n");
    assert_eq!(node.admin("/readyz").status, 200);
    assert_eq!(node.admin("/whip/live").status, 404);
    let report = node.report();
    assert_eq!((&report["publishers"], &report["ready"]), (&1.into(), &true.into()));
    assert_eq!(report["workers"].as_array().unwrap().len(), 2);
    let metrics = node.admin("/metrics");
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for line in ["corecast_http_requests_total{route=\"whip\",status=\"201\"} 1", "corecast_publishers 1", "# EOF"] {
        assert!(metrics.body.contains(line), "{line}\n{}", metrics.body);
    }
    let post =
        exchange(TcpStream::connect(node.admin).unwrap(), &request("POST", "/metrics", &[("host", "localhost")], ""));
    assert_eq!((post.status, post.header("allow").as_str()), (405, "GET, HEAD"));
}

#[test]
fn two_hundred_viewers_at_once_all_get_their_own_session() {
    let node = start(Plan::default());
    node.open("whip", "live");
    let locations: HashSet<String> = thread::scope(|scope| {
        let viewers: Vec<_> = (0..200)
            .map(|number| {
                let node = &node;
                scope.spawn(move || {
                    let ask = |tls| {
                        if tls {
                            node.ask_tls("POST", "/whep/live", &[SDP], "ok")
                        } else {
                            node.post("whep", "live", "ok")
                        }
                    };
                    let response = ask(number % 2 == 0);
                    assert_eq!(response.status, 201, "{response:?}");
                    response.header("location")
                })
            })
            .collect();
        viewers.into_iter().map(|viewer| viewer.join().unwrap()).collect()
    });
    assert_eq!(locations.len(), 200);
    assert_eq!(node.report()["viewers"], 200);
}

#[test]
fn a_session_is_opened_with_the_certificate_its_answer_names_also_while_certificates_change() {
    let node = start(Plan { identity_age: Duration::from_millis(10), ..Plan::default() });
    let mut seen = HashSet::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while seen.len() < 5 {
        assert!(Instant::now() < deadline, "{} certificates", seen.len());
        let opened = node.post("whep", "demo", "fingerprint");
        assert_eq!(opened.status, 201, "{}", opened.body);
        assert_eq!(opened.body, format!("{:?}", node.last_fingerprint()));
        seen.insert(node.last_fingerprint());
    }
}
