//! The pages the node serves to browsers: what it is, publish, watch; and the script both share.
//!
//! Plain HTML, CSS and ES modules, compiled into the binary as they lie in `pages/`: no framework and no build step.
//! Nothing is inline, so all of it runs under `Content-Security-Policy: default-src 'self'`.
//!
//! Not here: HTTP (headers, caching, methods are `signal`'s), and anything a test needs: test-only sources of video
//! live under `tests/browser/pages`.

/// The policy the pages are written for; `signal` sends it with each of them.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// One file as it goes over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body; UTF-8 throughout.
    pub body: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, content type, bytes. Eight entries: a linear search is the fastest map.
const ASSETS: &[(&str, &str, &[u8])] = &[
    ("/", HTML, include_bytes!("pages/index.html")),
    ("/publish.html", HTML, include_bytes!("pages/publish.html")),
    ("/watch.html", HTML, include_bytes!("pages/watch.html")),
    ("/style.css", CSS, include_bytes!("pages/style.css")),
    ("/rtc.js", JAVASCRIPT, include_bytes!("pages/rtc.js")),
    ("/publish.js", JAVASCRIPT, include_bytes!("pages/publish.js")),
    ("/watch.js", JAVASCRIPT, include_bytes!("pages/watch.js")),
    ("/favicon.svg", SVG, include_bytes!("pages/favicon.svg")),
];

/// The asset at an absolute path without query, or `None`: then it is a 404.
pub fn asset(path: &str) -> Option<Asset> {
    let (_, content_type, body) = ASSETS.iter().find(|(name, ..)| *name == path)?;
    Some(Asset { content_type, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        let found = asset(path).unwrap_or_else(|| panic!("{path} is not served"));
        std::str::from_utf8(found.body).expect("UTF-8")
    }

    /// Every value of an attribute, as `src="…"`.
    fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
        html.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_link_of_a_page_is_served() {
        for page in ["/", "/publish.html", "/watch.html"] {
            for attribute in ["src", "href", "action", "formaction"] {
                for target in values(text(page), attribute) {
                    assert!(asset(target).is_some(), "{page} names {target}");
                }
            }
        }
        for script in ["/publish.js", "/watch.js"] {
            assert!(text(script).contains("from '/rtc.js'"), "{script} shares the client");
        }
    }

    #[test]
    fn every_element_a_script_asks_for_is_in_its_page() {
        for (script, page) in [("/publish.js", "/publish.html"), ("/watch.js", "/watch.html")] {
            let ids = values(text(page), "id");
            for rest in text(script).split("element('").skip(1) {
                let id = rest.split('\'').next().unwrap_or_default();
                assert!(ids.contains(&id), "{script} wants #{id}");
            }
        }
    }

    #[test]
    fn nothing_is_inline_so_that_the_policy_can_be_strict() {
        for page in ["/", "/publish.html", "/watch.html"] {
            let html = text(page);
            assert!(!html.contains("<style") && !html.contains(" style="), "{page} has inline style");
            assert!(!html.contains(" onclick=") && !html.contains(" onload="), "{page} has inline handlers");
            for script in html.split("<script").skip(1) {
                let (tag, rest) = script.split_once('>').expect("a closed tag");
                assert!(tag.contains(" src=\"/"), "{page} has an inline script");
                assert!(rest.starts_with("</script>"), "{page} has a script with a body");
            }
            assert!(!html.contains("//"), "{page} loads from elsewhere");
        }
    }

    #[test]
    fn an_unknown_path_is_not_served() {
        for path in ["", "/index", "/../Cargo.toml", "/style.css/", "//", "/watch.html?stream=a"] {
            assert_eq!(asset(path), None, "{path}");
        }
    }
}
