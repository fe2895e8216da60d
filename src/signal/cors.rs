//! Which web pages may call this node (Fetch standard, CORS protocol).
//!
//! A page of the node's own origin always may. Any other must be in the configured list, by itself or as one of the hosts
//! below a listed one (`*.example.org`); without a list there is none.
//! A request that carries a foreign `Origin` is refused and not merely left unreadable: a page must not be able to open
//! or end sessions it cannot see. Programs that are not web pages send no `Origin` and are not concerned.
//!
//! Left out: protection of loopback against DNS rebinding, where the page's origin *is* the node's; authorisation is
//! the answer to that.

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderValue, ORIGIN, VARY,
};

use crate::auth::pattern::origin_matches;

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// No web page, or one of this node's own.
    Own,
    /// A page of a listed origin, as it wrote it.
    Listed(HeaderValue),
    /// A page of any other origin.
    Foreign,
}

/// Where a request comes from, given the listed origins and the authority it was sent to.
pub(super) fn source(headers: &HeaderMap, authority: Option<&str>, listed: &[String]) -> Source {
    let Some(origin) = headers.get(ORIGIN) else { return Source::Own };
    let Ok(text) = origin.to_str() else { return Source::Foreign };
    // The scheme is not compared: behind a proxy that terminates TLS this node sees plain HTTP.
    let own = text.split_once("://").zip(authority).is_some_and(|((_, own), host)| own.eq_ignore_ascii_case(host));
    if own {
        Source::Own
    } else if listed.iter().any(|listed| origin_matches(listed, text)) {
        Source::Listed(origin.clone())
    } else {
        Source::Foreign
    }
}

/// Lets the page read the answer, and the headers WHIP clients need (RFC 9725 §4.2).
pub(super) fn allow(headers: &mut HeaderMap, source: &Source) {
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Source::Listed(origin) = source {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After"),
        );
    }
}

/// What a preflight asks for besides.
pub(super) fn preflight(headers: &mut HeaderMap, methods: &'static str) {
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type, If-Match"));
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
                Source::Own => "own",
                Source::Listed(_) => "listed",
                Source::Foreign => "foreign",
            };
            assert_eq!(name, expected, "{origin:?} {authority:?}");
        }
    }

    #[test]
    fn a_listed_page_is_named_to_itself_and_may_read_what_whip_clients_need() {
        let origin = HeaderValue::from_static("https://a.example.net");
        let mut headers = HeaderMap::new();
        allow(&mut headers, &Source::Listed(origin.clone()));
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], origin, "never a star, never another's");
        assert_eq!(headers[VARY], "Origin");
        let exposed = headers[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
        for name in ["Location", "ETag", "Link", "Retry-After"] {
            assert!(exposed.split(", ").any(|have| have == name), "{name} is not in {exposed}");
        }
        let mut foreign = HeaderMap::new();
        allow(&mut foreign, &Source::Foreign);
        assert!(!foreign.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) && foreign[VARY] == "Origin");
    }
}
