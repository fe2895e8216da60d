//! Which web pages may call this node (Fetch standard, CORS protocol).
//!
//! A page of the node's own origin always may. Any other origin must be in the configured list, either exactly or by a
//! pattern for all hosts below one (`*.example.org`). A request with a foreign `Origin` is refused, not only made
//! unreadable for the page, because a page must not be able to open or end sessions that it cannot see. Programs that
//! are not web pages send no `Origin` and are not affected.
//!
//! Checking origins does not help against DNS rebinding: the attacker's own name then resolves to an address of this
//! host, so the page's origin *is* the node's. The operator's port gives figures without a token on loopback, so it
//! also checks the name by which it was reached ([`is_local`]), and so do the public ports where nothing judges clients
//! ([`super::host_names`]).

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HOST, HeaderValue, ORIGIN, VARY,
};
use hyper::http::uri::Authority;

use super::http::Request;
use crate::auth::pattern::origin_matches;

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestOrigin {
    /// Not from a web page, or from one of this node's own.
    Own,
    /// A page of a listed origin, as the browser wrote it.
    Listed(HeaderValue),
    /// A page of any other origin.
    Foreign,
}

/// The authority that a request was sent to. HTTP/2 names it in the URI, HTTP/1.1 in a header.
pub(super) fn authority(request: &Request) -> Option<&str> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    request.uri().authority().map(Authority::as_str).or(host)
}

/// Whether no name server answers for an authority: it is an address, or `localhost` or a name below it (RFC 6761
/// §6.3).
pub(super) fn is_local(authority: &str) -> bool {
    let Some(host) = host_of(authority) else { return false };
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

/// The host of an authority, in lower case and without the dot of the root. `None` if it has a user, or a port that is none.
pub(super) fn host_of(authority: &str) -> Option<String> {
    let parsed: Authority = authority.parse().ok()?;
    let port = parsed.as_str().strip_prefix(parsed.host())?;
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    is_whole.then(|| parsed.host().trim_end_matches('.').to_ascii_lowercase())
}

/// Where a request comes from, given the listed origins and the authority it was sent to.
pub(super) fn source(headers: &HeaderMap, authority: Option<&str>, listed: &[String]) -> RequestOrigin {
    let Some(origin) = headers.get(ORIGIN) else { return RequestOrigin::Own };
    let Ok(text) = origin.to_str() else { return RequestOrigin::Foreign };
    // The scheme is not compared: behind a proxy that terminates TLS this node sees plain HTTP.
    let own = text.split_once("://").zip(authority).is_some_and(|((_, own), host)| own.eq_ignore_ascii_case(host));
    if own {
        RequestOrigin::Own
    } else if listed.iter().any(|listed| origin_matches(listed, text)) {
        RequestOrigin::Listed(origin.clone())
    } else {
        RequestOrigin::Foreign
    }
}

/// Allows the page to read the answer, and the headers that WHIP clients need (RFC 9725 §4.2).
pub(super) fn allow(headers: &mut HeaderMap, source: &RequestOrigin) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let RequestOrigin::Listed(origin) = source {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After"),
        );
    }
}

/// Adds the headers that answer a preflight request.
pub(super) fn preflight(headers: &mut HeaderMap, methods: &'static str) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization, Content-Type, If-Match, Last-Event-ID"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_listed_and_foreign_pages_are_told_apart() {
        let listed = ["https://www.example.org".to_owned(), "*.example.net".to_owned()];
        for (origin, authority, expected) in [
            (None, Some("a:1"), "own"),
            (Some("https://a:1"), Some("a:1"), "own"),
            (Some("https://A:1"), Some("a:1"), "own"),
            (Some("https://a:2"), Some("a:1"), "foreign"),
            (Some("https://www.example.org"), Some("a:1"), "listed"),
            (Some("http://www.example.org"), Some("a:1"), "foreign"),
            (Some("https://www.example.org.evil.example"), Some("a:1"), "foreign"),
            (Some("https://a.b.example.net"), Some("a:1"), "listed"),
            (Some("https://example.net"), Some("a:1"), "foreign"),
            (Some("http://a.example.net"), Some("a:1"), "foreign"),
            (Some("https://aexample.net"), Some("a:1"), "foreign"),
            (Some("null"), Some("a:1"), "foreign"),
            (Some("https://a:1"), None, "foreign"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            let name = match source(&headers, authority, &listed) {
                RequestOrigin::Own => "own",
                RequestOrigin::Listed(_) => "listed",
                RequestOrigin::Foreign => "foreign",
            };
            assert_eq!(name, expected, "{origin:?} {authority:?}");
        }
    }

    #[test]
    fn a_name_that_a_name_server_answers_for_is_not_local() {
        for local in
            ["127.0.0.1:8444", "[::1]:8444", "10.0.0.1", "localhost", "LOCALHOST:1", "localhost.:1", "a.localhost"]
        {
            assert!(is_local(local), "{local}");
        }
        for other in [
            "",
            ":8444",
            "evil.example:8444",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "127.0.0.1:8444.evil.example",
            "localhost:@evil.example",
            "a@localhost",
            "a b",
        ] {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn a_listed_page_is_named_to_itself_and_may_read_what_whip_clients_need() {
        let origin = HeaderValue::from_static("https://a.example.net");
        let mut headers = HeaderMap::new();
        allow(&mut headers, &RequestOrigin::Listed(origin.clone()));
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], origin, "never a star, never another's");
        assert_eq!(headers[VARY], "Origin");
        let exposed = headers[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
        for name in ["Location", "ETag", "Link", "Retry-After"] {
            assert!(exposed.split(", ").any(|have| have == name), "{name} is not in {exposed}");
        }
        let mut foreign = HeaderMap::new();
        allow(&mut foreign, &RequestOrigin::Foreign);
        assert!(!foreign.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) && foreign[VARY] == "Origin");
    }
}
