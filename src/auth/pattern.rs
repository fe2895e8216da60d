//! Patterns with a star: for the streams that a token is for, and for origins of web pages.

/// Whether `name` matches `pattern`. `*` matches any run of characters, also an empty one; every other character
/// matches itself. The time is at most the product of the lengths, which are bounded.
#[must_use]
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // The position of the last star, and the position in the name up to which it has matched.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == name.get(n) {
            p += 1;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Whether the origin a page wrote is one that `listed` means: an exact one (`https://www.example.org`), or a pattern
/// for the hosts below one (`https://*.example.org:8443`; `*.example.org` is short for `https://*.example.org`). The
/// star matches one label or more, so the host itself does not match. Scheme and port must be equal.
#[must_use]
pub fn origin_matches(listed: &str, origin: &str) -> bool {
    let (scheme, host) = listed.split_once("://").unwrap_or(("https", listed));
    let Some(parent) = host.strip_prefix('*') else { return listed.eq_ignore_ascii_case(origin) };
    let Some((have_scheme, have_host)) = origin.split_once("://") else { return false };
    let Some(at) = have_host.len().checked_sub(parent.len()) else { return false };
    let (Some(labels), Some(tail)) = (have_host.get(..at), have_host.get(at..)) else { return false };
    have_scheme.eq_ignore_ascii_case(scheme)
        && tail.eq_ignore_ascii_case(parent)
        && !labels.is_empty()
        && labels.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

/// Whether `text` is what [`origin_matches`] can judge: scheme and authority and nothing more (RFC 6454 §6.2), or that
/// with `*.` before a host of at least two labels. A star alone is refused, because it would allow every page on the
/// web.
///
/// # Errors
/// The rule that `text` breaks.
pub fn check_origin(text: &str) -> Result<(), &'static str> {
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    let (scheme, host) = match text.split_once("://") {
        Some((scheme, host)) => (scheme, host),
        None if text.starts_with("*.") => ("https", text),
        None => ("", text),
    };
    if let Some(parent) = host.strip_prefix("*.").filter(|parent| !parent.contains('*')) {
        let labels = parent.split(':').next().unwrap_or_default().split('.');
        if labels.clone().any(str::is_empty) || labels.count() < 2 {
            return Err("a pattern names a host of at least two labels, like *.example.org");
        }
        return match matches!(scheme, "https" | "http") && is_host(parent) {
            true => Ok(()),
            false => Err("must be a pattern without a path, like *.example.org or https://*.example.org:8443"),
        };
    }
    if text.contains('*') {
        return Err(
            "name each origin, or those below a host as *.example.org: any page on the web could publish here \
                    otherwise",
        );
    }
    match matches!(scheme, "https" | "http") && is_host(host) {
        true => Ok(()),
        false => Err("must be an origin without a path, like https://www.example.org or *.example.org"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_run_and_everything_else_itself() {
        for (pattern, name, expected) in [
            ("demo", "demo", true),
            ("demo", "demo2", false),
            ("demo", "Demo", false),
            ("*", "anything", true),
            ("event-*", "event-", true),
            ("event-*", "event-7.main", true),
            ("event-*", "myevent-7", false),
            ("*-main", "a-main-main", true),
            ("*-main", "a-main-side", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c2b", false),
            ("", "", true),
            ("", "a", false),
            ("a.c", "abc", false),
            ("***a", "bba", true),
        ] {
            assert_eq!(name_matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn hosts_below_a_listed_one_match_and_nothing_that_only_looks_like_them() {
        for (listed, origin, expected) in [
            ("https://www.example.org", "https://www.example.org", true),
            ("https://www.example.org", "https://WWW.example.org", true),
            ("https://www.example.org", "http://www.example.org", false),
            ("https://www.example.org", "https://www.example.org:8443", false),
            ("*.example.org", "https://www.example.org", true),
            ("*.example.org", "https://a.b.example.org", true),
            ("*.example.org", "https://EU.Example.Org", true),
            ("*.example.org", "https://example.org", false),
            ("*.example.org", "https://.example.org", false),
            ("*.example.org", "https://a..example.org", false),
            ("*.example.org", "https://evilexample.org", false),
            ("*.example.org", "https://www.example.org.evil.net", false),
            ("*.example.org", "https://evil.net/.example.org", false),
            ("*.example.org", "https://evil@.example.org", false),
            ("*.example.org", "https://evil.net:80@x.example.org", false),
            ("*.example.org", "http://www.example.org", false),
            ("*.example.org", "https://www.example.org:8443", false),
            ("*.example.org", "null", false),
            ("http://*.example.org", "http://www.example.org", true),
            ("https://*.example.org:8443", "https://www.example.org:8443", true),
            ("https://*.example.org:8443", "https://www.example.org", false),
            ("*.example.org", "https://ö.example.org", false),
        ] {
            assert_eq!(origin_matches(listed, origin), expected, "{listed} {origin}");
        }
    }

    #[test]
    fn an_origin_that_would_let_everybody_in_cannot_be_listed() {
        for good in [
            "https://a.example",
            "http://127.0.0.1:8080",
            "https://[::1]:1",
            "*.example.org",
            "http://*.example.org:80",
        ] {
            assert_eq!(check_origin(good), Ok(()), "{good}");
        }
        for bad in [
            "*",
            "*.",
            "*.org",
            "https://*",
            "https://*.org",
            "https://a*.example.org",
            "a.example.org",
            "",
            "https://a.example/x",
            "ftp://a.example",
            "*.example.org/x",
            "https://*.*.example.org",
            "https://",
        ] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }
}
