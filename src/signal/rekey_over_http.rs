//! Other keys for a session of WHIP or WHEP.
//!
//! ```text
//! POST   {session}        application/sdp     201 with the answer, Location: {session}/new; Link: {session}/old
//! DELETE {session}/old                        200: the new connection is in use, the old one ends
//! DELETE {session}/new                        200: the session goes on with the old one
//! ```
//!
//! The session's URL is the secret that proves whose it is, and stays what it was; `PATCH` and `DELETE` of it concern the session.
//! A client that says nothing after the `POST` is taken to have switched ten seconds after it has connected. RFC 9725 §4.2 leaves
//! `POST` to a session's URL unused.

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LINK, LOCATION};

use super::code::Code;
use super::cors;
use super::http::{Request, Response};
use super::live;
use super::problem::Problem;
use super::resource::{Resources, SDP, insert_text};
use crate::description::Direction;

/// One of a session's two transports, while its keys change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Old,
    New,
}

impl Transport {
    /// By the last part of its path.
    pub(super) fn of(segment: &str) -> Option<Self> {
        match segment {
            "old" => Some(Self::Old),
            "new" => Some(Self::New),
            _ => None,
        }
    }
}

impl Resources {
    /// `POST` of a second offer to a session's URL.
    pub(super) async fn rekey(
        &self,
        direction: Direction,
        stream_name: &str,
        token: &str,
        request: Request,
    ) -> Result<Response, Problem> {
        let (session, entity_tag) = self.keeper.at_url(token, stream_name, direction)?;
        let host = cors::authority(&request).and_then(cors::host_of);
        let (head, body) = request.into_parts();
        let offer = self.body_of(&head.headers, body, SDP).await?;
        let opened = self.opener.rekey(session, &offer).await?;
        let terms = self.settings.now();
        let url =
            terms.live.public_url.as_deref().unwrap_or_default().to_owned() + head.uri.path().trim_end_matches('/');
        let mut response = Response::new(Full::new(Bytes::from(opened.sdp)));
        *response.status_mut() = StatusCode::CREATED;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        insert_text(headers, LOCATION, &format!("{url}/new"));
        insert_text(headers, ETAG, &entity_tag);
        let own = self.turn.as_ref().and_then(|turn| turn.told(session, host.as_deref(), &terms.live));
        for link in own.iter().flat_map(live::links).chain(terms.ice_links.iter().cloned()) {
            headers.append(LINK, link);
        }
        if let Ok(link) = HeaderValue::try_from(format!("<{url}/old>; rel=\"urn:corecast:old-transport\"")) {
            headers.append(LINK, link);
        }
        Ok(response)
    }

    /// `DELETE` of one of a session's two transports.
    pub(super) fn end_transport(
        &self,
        direction: Direction,
        stream_name: &str,
        token: &str,
        transport: Transport,
    ) -> Result<Response, Problem> {
        let (session, _) = self.keeper.at_url(token, stream_name, direction)?;
        if !self.keeper.is_rekeying(session) {
            let detail =
                "the session has one transport: DELETE its own URL to end it, or POST an offer there for a second one";
            return Err(Problem::new(StatusCode::NOT_FOUND, Code::NoSecondTransport, detail));
        }
        match transport {
            Transport::Old => self.keeper.switched(session)?,
            Transport::New => self.keeper.abandon_rekey(session)?,
        }
        Ok(Response::default())
    }
}
