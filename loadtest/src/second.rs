//! Other keys for a viewer's session, as a client of WHEP asks for them: a second offer to the session's URL, and a `DELETE` of the
//! old transport when the new one plays (Corecast's manual, "Keys that change").

use std::net::SocketAddr;

use corecast::net;
use corecast::time::Timestamp;
use url::Url;

use crate::http::Created;
use crate::signalling::{Join, Shared, Viewing, What, begin, lock};

/// The relation of the old transport's URL.
const OLD_TRANSPORT: &str = "urn:corecast:old-transport";

/// A viewer's session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) url: Url,
    server: SocketAddr,
    thread: usize,
    viewing: Viewing,
    /// The old transport's, while there are two.
    old: Option<Url>,
}

/// Takes note of a viewer's session, or of its second transport.
pub(crate) fn note(shared: &Shared, viewing: &Viewing, thread: usize, created: &Created) {
    let mut viewers = lock(&shared.viewers);
    if viewing.is_second {
        if let Some(session) = viewers.get_mut(&viewing.number) {
            session.old = created.links.iter().find_map(|link| old_transport(&session.url, link));
        }
    } else if let Some(url) = &created.session {
        let (url, server, viewing) = (url.clone(), created.server, viewing.clone());
        viewers.insert(viewing.number, Session { url, server, thread, viewing, old: None });
    }
}

/// Begins a viewer's second transport at its intended time.
pub(crate) async fn rekey(shared: &Shared, number: u32, at: Timestamp) {
    tokio::time::sleep(at.since(net::now())).await;
    let session = lock(&shared.viewers).get(&number).cloned();
    let Some(Session { url, thread, viewing, .. }) = session else {
        lock(&shared.record).fail_rekey("the session has no URL to ask for other keys at".to_owned());
        return;
    };
    let viewing = Viewing { is_second: true, ..viewing };
    begin(shared, Join { url, at, thread, what: What::View(viewing) }).await;
}

/// Says that a viewer's second transport is in use.
pub(crate) async fn switch(shared: &Shared, number: u32) {
    let session =
        lock(&shared.viewers).get_mut(&number).and_then(|session| Some((session.old.take()?, session.server)));
    let failed = match session {
        Some((old, server)) => shared.client.delete(&old, server).await.err().map(|error| error.to_string()),
        None => Some("the answer's Link names no old transport".to_owned()),
    };
    if let Some(reason) = failed {
        lock(&shared.record).fail_rekey(reason);
    }
}

/// `<URL>; rel="urn:corecast:old-transport"`, relative to the session's.
fn old_transport(session: &Url, link: &str) -> Option<Url> {
    let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains(OLD_TRANSPORT).then(|| session.join(url).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_the_old_transport_is_found_among_others() {
        let session = Url::parse("https://h:1/whep/a/secret").unwrap();
        let of = |link: &str| old_transport(&session, link).map(String::from);
        assert_eq!(
            of("</whep/a/secret/old>; rel=\"urn:corecast:old-transport\""),
            Some("https://h:1/whep/a/secret/old".to_owned())
        );
        assert_eq!(of("<turns:h:443?transport=tcp>; rel=\"ice-server\""), None);
    }
}
