//! DNS rebinding: a page of a stranger whose name leads to the node is, to the browser, a page of the node's own.

use corecast::config::Auth;

use crate::auth_support::{refusal, shared_secret};
use crate::signal_support::client::Socket;
use crate::signal_support::{Node, Plan, Response, start};

/// The node is `node.test` and `localhost` ([`crate::signal_support`]).
fn plan() -> Plan {
    let cors_origins = vec!["https://www.example.org".to_owned(), "https://*.example.net:8443".to_owned()];
    Plan { cors_origins, public_url: Some("https://live.example.org".to_owned()), ..Plan::default() }
}

/// What a page does that the browser believes to be the node's own.
fn from_page(node: &Node, host: &str, method: &str, path: &str) -> Response {
    let origin = format!("https://{host}");
    let headers =
        [("host", host), ("origin", &origin), ("sec-fetch-site", "same-origin"), ("content-type", "application/sdp")];
    node.ask(method, path, &headers, "ok")
}

#[test]
fn where_nothing_judges_a_page_under_a_strangers_name_opens_reads_and_ends_nothing() {
    let node = start(plan());
    let location = node.open("whip", "mine").location.replace("https://live.example.org", "");
    for host in [
        "evil.example",
        "evil.example:8443",
        "127.0.0.1.evil.example",
        "node.test.evil.example",
        "node.test.:8443.evil.example",
        "example.net:8443",
        "a.example.net:9",
        "www.example.org:8443",
        "sub.live.example.org",
    ] {
        for (method, path) in [
            ("POST", "/whip/a"),
            ("POST", "/whep/mine"),
            ("DELETE", location.as_str()),
            ("PATCH", location.as_str()),
            ("OPTIONS", "/whep/mine"),
        ] {
            let refused = from_page(&node, host, method, path);
            // What is no authority at all is no origin either.
            let expected = [(421, "not_by_that_name".to_owned()), (403, "origin_not_allowed".to_owned())];
            assert!(expected.contains(&refusal(&refused)), "{method} {path} at {host}: {refused:?}");
            assert!(refused.status == 403 || refused.body.contains(host), "{}", refused.body);
        }
        let origin = format!("https://{host}");
        let page = node.ask("GET", "/watch/mine", &[("host", host), ("sec-fetch-site", "none")], "");
        assert_eq!(page.status, 421, "a page says at once that it will not work: {host}");
        assert!(page.body.contains("cors.origins") && page.body.contains("public_url"), "{}", page.body);
        let socket = Socket::connect_plain(&node, &[("host", host), ("origin", &origin)]);
        assert!(socket.is_err(), "{host}");
    }
    assert_eq!(node.told().iter().filter(|line| line.contains("open")).count(), 1, "{:?}", node.told());
}

#[test]
fn a_page_under_a_name_that_no_stranger_has_is_served_without_any_setting() {
    let node = start(plan());
    for (number, host) in [
        "127.0.0.1:8443",
        "[::1]:8443",
        "192.0.2.7",
        "localhost:8443",
        "a.localhost",
        "node.test:8443",
        "NODE.test.",
        "live.example.org",
        "live.example.org:8443",
        "www.example.org",
        "a.example.net:8443",
    ]
    .into_iter()
    .enumerate()
    {
        let opened = from_page(&node, host, "POST", &format!("/whip/a{number}"));
        assert_eq!(opened.status, 201, "{host}: {}", opened.body);
        let location = opened.header("location").replace("https://live.example.org", "");
        assert_eq!(from_page(&node, host, "DELETE", &location).status, 200, "{host}");
        let page = node.ask("GET", "/watch/a", &[("host", host), ("sec-fetch-site", "none")], "");
        assert_eq!(page.status, 200, "{host}");
    }
}

#[test]
fn programs_come_by_any_name_and_so_do_pages_of_listed_origins() {
    let node = start(plan());
    let sdp = ("content-type", "application/sdp");
    // An encoder in a container reaches the node by the name of a service.
    assert_eq!(node.ask("POST", "/whip/a", &[("host", "ingest:8080"), sdp], "ok").status, 201);
    let listed =
        [("host", "edge7.cdn.example"), ("origin", "https://www.example.org"), ("sec-fetch-site", "cross-site"), sdp];
    assert_eq!(node.ask("POST", "/whep/a", &listed, "ok").status, 201);
    assert_eq!(node.ask("GET", "/", &[("host", "edge7.cdn.example")], "").status, 200);
}

#[test]
fn where_every_client_is_judged_the_name_does_not_matter_and_where_some_are_not_it_does() {
    let judged = start(Plan { auth: shared_secret(), ..plan() });
    assert_eq!(refusal(&from_page(&judged, "evil.example", "POST", "/whip/a")), (401, "token_missing".to_owned()));
    assert_eq!(from_page(&judged, "evil.example", "GET", "/").status, 200);
    let open = start(Plan { auth: Auth { require: false, ..shared_secret() }, ..plan() });
    let refused = from_page(&open, "evil.example", "POST", "/whip/a");
    assert_eq!(refusal(&refused), (421, "not_by_that_name".to_owned()));
}
