//! What the node serves to browsers: the SDK, the pages that use it (front page, publish, watch, check), and on the admin port
//! a dashboard for the operator.
//!
//! The files of `pages/` and `sdk/` are plain HTML, CSS and ES modules, and are compiled into the binary as they are:
//! there is no framework and no build step. Nothing is inline, so everything runs under `Content-Security-Policy:
//! default-src 'self'`. `sdk/` is also an npm package. tsc makes its types (`sdk/types/`), which are not served.
//!
//! Not here: HTTP ([`crate::signal`] has headers, caching and methods), and what only tests need: their sources of
//! video are in `tests/browser/pages`.

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

/// Path, content type, bytes.
type Entry = (&'static str, &'static str, &'static [u8]);

/// What the pages of both ports need.
const SHARED: &[Entry] = &[
    ("/style.css", CSS, include_bytes!("pages/style.css")),
    ("/theme.js", JAVASCRIPT, include_bytes!("pages/theme.js")),
    ("/page.js", JAVASCRIPT, include_bytes!("pages/page.js")),
    ("/favicon.svg", SVG, include_bytes!("pages/favicon.svg")),
];

/// The public ports'. Some twenty entries: a linear search is fast enough for what is asked once per page.
const PUBLIC: &[Entry] = &[
    ("/", HTML, include_bytes!("pages/index.html")),
    ("/publish.html", HTML, include_bytes!("pages/publish.html")),
    ("/watch.html", HTML, include_bytes!("pages/watch.html")),
    ("/check", HTML, include_bytes!("pages/check.html")),
    ("/check.html", HTML, include_bytes!("pages/check.html")),
    ("/check.js", JAVASCRIPT, include_bytes!("pages/check.js")),
    ("/reach.js", JAVASCRIPT, include_bytes!("pages/reach.js")),
    ("/publish.js", JAVASCRIPT, include_bytes!("pages/publish.js")),
    ("/watch.js", JAVASCRIPT, include_bytes!("pages/watch.js")),
    ("/sdk.js", JAVASCRIPT, include_bytes!("sdk.js")),
    ("/sdk/backoff.js", JAVASCRIPT, include_bytes!("sdk/backoff.js")),
    ("/sdk/channel.js", JAVASCRIPT, include_bytes!("sdk/channel.js")),
    ("/sdk/codecs.js", JAVASCRIPT, include_bytes!("sdk/codecs.js")),
    ("/sdk/connection.js", JAVASCRIPT, include_bytes!("sdk/connection.js")),
    ("/sdk/devices.js", JAVASCRIPT, include_bytes!("sdk/devices.js")),
    ("/sdk/emitter.js", JAVASCRIPT, include_bytes!("sdk/emitter.js")),
    ("/sdk/errors.js", JAVASCRIPT, include_bytes!("sdk/errors.js")),
    ("/sdk/handover.js", JAVASCRIPT, include_bytes!("sdk/handover.js")),
    ("/sdk/http.js", JAVASCRIPT, include_bytes!("sdk/http.js")),
    ("/sdk/index.js", JAVASCRIPT, include_bytes!("sdk/index.js")),
    ("/sdk/layers.js", JAVASCRIPT, include_bytes!("sdk/layers.js")),
    ("/sdk/publisher.js", JAVASCRIPT, include_bytes!("sdk/publisher.js")),
    ("/sdk/rekey.js", JAVASCRIPT, include_bytes!("sdk/rekey.js")),
    ("/sdk/sdp.js", JAVASCRIPT, include_bytes!("sdk/sdp.js")),
    ("/sdk/session.js", JAVASCRIPT, include_bytes!("sdk/session.js")),
    ("/sdk/simulcast.js", JAVASCRIPT, include_bytes!("sdk/simulcast.js")),
    ("/sdk/stats.js", JAVASCRIPT, include_bytes!("sdk/stats.js")),
    ("/sdk/transport.js", JAVASCRIPT, include_bytes!("sdk/transport.js")),
    ("/sdk/viewer.js", JAVASCRIPT, include_bytes!("sdk/viewer.js")),
    ("/sdk/websocket.js", JAVASCRIPT, include_bytes!("sdk/websocket.js")),
];

/// The admin port's.
const ADMIN: &[Entry] = &[
    ("/dashboard", HTML, include_bytes!("pages/dashboard.html")),
    ("/dashboard.js", JAVASCRIPT, include_bytes!("pages/dashboard.js")),
];

/// The asset of the public ports at an absolute path without query, or `None`: then it is a 404.
pub fn asset(path: &str) -> Option<Asset> {
    find(PUBLIC, path)
}

/// The asset of the admin port at an absolute path without query, or `None`.
pub fn admin_asset(path: &str) -> Option<Asset> {
    find(ADMIN, path)
}

/// The page about one stream at `/watch/{stream}`, `/publish/{stream}` or `/check/{stream}`, and the stream's name as the path has it. Whether
/// a stream may have that name is for the caller to check.
pub fn stream_page(path: &str) -> Option<(Asset, &str)> {
    let (page, stream) = path.strip_prefix('/')?.split_once('/')?;
    let page = match page {
        "watch" => asset("/watch.html"),
        "publish" => asset("/publish.html"),
        "check" => asset("/check"),
        _ => None,
    }?;
    Some((page, stream))
}

fn find(own: &[Entry], path: &str) -> Option<Asset> {
    let (_, content_type, body) = own.iter().chain(SHARED).find(|(name, ..)| *name == path)?;
    Some(Asset { content_type, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Find = fn(&str) -> Option<Asset>;

    /// Every page, and the port that serves it.
    const PAGES: [(&str, Find); 5] = [
        ("/", asset),
        ("/publish.html", asset),
        ("/watch.html", asset),
        ("/check", asset),
        ("/dashboard", admin_asset),
    ];

    fn text(find: Find, path: &str) -> &'static str {
        let found = find(path).unwrap_or_else(|| panic!("{path} is not served"));
        std::str::from_utf8(found.body).expect("UTF-8")
    }

    /// Every value of an attribute, as `src="…"`.
    fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
        html.split(&format!(" {attribute}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    /// What a module imports, as it writes it.
    fn imports(script: &str) -> Vec<&str> {
        script
            .lines()
            .filter(|line| line.starts_with("import ") || line.starts_with("export "))
            .filter_map(|line| line.split_once(" from '")?.1.split('\'').next())
            .collect()
    }

    #[test]
    fn every_link_of_a_page_is_served_by_the_same_port() {
        for (page, find) in PAGES {
            for attribute in ["src", "href", "action", "formaction"] {
                for target in values(text(find, page), attribute) {
                    assert!(find(target).is_some(), "{page} names {target}");
                }
            }
        }
    }

    #[test]
    fn every_import_of_a_module_is_served_by_the_same_port() {
        for (own, find) in [(PUBLIC, asset as Find), (ADMIN, admin_asset as Find)] {
            for (path, ..) in own.iter().chain(SHARED).filter(|(_, content_type, _)| *content_type == JAVASCRIPT) {
                for target in imports(text(find, path)) {
                    let directory = &path[..=path.rfind('/').expect("an absolute path")];
                    let served = match target.strip_prefix("./") {
                        Some(relative) => format!("{directory}{relative}"),
                        None => target.to_owned(),
                    };
                    assert!(find(&served).is_some(), "{path} imports {target}");
                }
            }
        }
    }

    #[test]
    fn the_sdk_is_one_import_that_leads_to_every_module_of_it() {
        let mut seen = vec!["/sdk/index.js".to_owned()];
        assert_eq!(imports(text(asset, "/sdk.js")), ["./sdk/index.js"]);
        let mut next = 0;
        while let Some(path) = seen.get(next).cloned() {
            next += 1;
            for target in imports(text(asset, &path)) {
                let found = format!("/sdk/{}", target.trim_start_matches("./"));
                if !seen.contains(&found) {
                    seen.push(found);
                }
            }
        }
        let served = PUBLIC.iter().filter(|(path, ..)| path.starts_with("/sdk/")).count();
        assert_eq!(seen.len(), served, "{seen:?}");
        for page in ["/publish.html", "/watch.html"] {
            let preloaded = values(text(asset, page), "href");
            assert!(seen.iter().all(|path| preloaded.contains(&path.as_str())), "{page} waits for a module of the SDK");
        }
    }

    #[test]
    fn every_element_a_script_asks_for_is_in_its_page() {
        for (script, page, find) in [
            ("/publish.js", "/publish.html", asset as Find),
            ("/watch.js", "/watch.html", asset),
            ("/check.js", "/check", asset),
            ("/dashboard.js", "/dashboard", admin_asset),
        ] {
            let ids = values(text(find, page), "id");
            for rest in text(find, script).split("element('").skip(1) {
                let id = rest.split('\'').next().unwrap_or_default();
                assert!(ids.contains(&id), "{script} wants #{id}");
            }
        }
    }

    #[test]
    fn nothing_is_inline_so_that_the_policy_can_be_strict() {
        for (page, find) in PAGES {
            let html = text(find, page);
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

    #[test]
    fn each_stream_has_its_own_watch_and_publish_pages() {
        for (address, page, name) in [
            ("/watch/demo", "/watch.html", "demo"),
            ("/publish/demo", "/publish.html", "demo"),
            ("/watch/a.b_c~d-e", "/watch.html", "a.b_c~d-e"),
            ("/watch/", "/watch.html", ""),
            ("/watch/a/b", "/watch.html", "a/b"),
            ("/check/demo", "/check", "demo"),
        ] {
            assert_eq!(stream_page(address), asset(page).map(|page| (page, name)), "{address}");
        }
        for other in ["", "/", "/watch", "/watch.html", "watch/demo", "//watch/demo", "/whep/demo", "/sdk/index.js"] {
            assert_eq!(stream_page(other), None, "{other}");
        }
    }

    #[test]
    fn the_pages_about_a_stream_name_everything_from_the_root() {
        for page in ["/watch.html", "/publish.html", "/check"] {
            for attribute in ["src", "href", "action", "formaction"] {
                for target in values(text(asset, page), attribute) {
                    assert!(target.starts_with('/'), "{page} names {target}, which is another file below /watch/");
                }
            }
        }
        for script in ["/watch.js", "/publish.js", "/check.js", "/reach.js", "/page.js"] {
            for target in imports(text(asset, script)) {
                assert!(target.starts_with('/'), "{script} imports {target}");
            }
        }
    }

    #[test]
    fn the_dashboard_is_on_the_admin_port_only() {
        assert!(asset("/dashboard").is_none() && asset("/dashboard.js").is_none());
        assert!(
            admin_asset("/").is_none() && admin_asset("/publish.html").is_none() && admin_asset("/sdk.js").is_none()
        );
    }
}
