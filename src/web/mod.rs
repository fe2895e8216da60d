//! The pages the node serves itself, embedded in the binary.

/// One file of the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The bytes as served.
    pub body: &'static [u8],
}

/// The file at `path` (`/`, `/watch.js`, …), or none.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    match path {
        "/" => Some(Asset { content_type: "text/html; charset=utf-8", body: INDEX }),
        _ => None,
    }
}

/// The start page.
const INDEX: &[u8] = b"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Corecast</title>\
<h1>Corecast</h1><p>Publish with WHIP at /whip/name, watch with WHEP at /whep/name.</p></html>\n";
