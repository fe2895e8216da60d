//! A viewer's page chooses what of the picture it is sent, and is told what there is: the part of it that sockets and WHEP share,
//! and WHEP's two resources.
//!
//! WHEP follows draft-ietf-wish-whep-02, "Core Extensions" (webrtc-http-egress-events):
//!
//! ```text
//! POST   /whep/{stream}/{token}/layer     {"maxHeight":360}    200
//! POST   /whep/{stream}/{token}/events    ["layers"]           201, Location: …/events
//! GET    /whep/{stream}/{token}/events                         text/event-stream: waits for the next event, sends it, ends
//! DELETE /whep/{stream}/{token}/events                         200; from then on 404
//! ```
//!
//! The event stream is a long poll, as the draft has it: an answer ends with its event, and an `EventSource` asks again by itself
//! and says which event it had last. So an answer is always in memory, and a connection is never held for good.
//!
//! Left out: the other events (`active`, `inactive`, `viewercount`, `reconnect`, `scte35`), and several event streams of a session.

use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::code::Code;
use super::http::Response;
use super::keeper::SessionKeeper;
use super::messages::layers::WhepLayer;
use super::problem::Problem;
use super::runtime;
use crate::limits;
use crate::worker::layers::{LayerRequest, NotChosen};
use crate::worker::mailbox::{Control, SessionId};

/// The media type of the bodies (RFC 8259 §11).
pub(super) const JSON: &str = "application/json";

/// What an `EventSource` sends when it asks again (HTML, "Server-sent events").
/// What an `EventSource` has seen last (HTML, "Server-sent events").
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Asks the worker of a viewer's session for other layers.
pub(super) async fn choose(keeper: &SessionKeeper, session: SessionId, request: LayerRequest) -> Result<(), Problem> {
    let worker = keeper.may_choose_layers(session)?;
    let (reply, answered) = flume::bounded(1);
    let message = Control::Layers { session, request, reply };
    if keeper.workers().handle(worker).try_send(message).is_err() {
        return Err(Problem::unavailable(Code::WorkerFull, "the node is overloaded: try again later"));
    }
    match runtime::timeout(limits::WORKER_REPLY_TIME_MAX, answered.recv_async()).await {
        Some(Ok(Ok(()))) => Ok(()),
        Some(Ok(Err(why))) => Err(not_chosen(&request, why)),
        _ => Err(Problem::unavailable(Code::WorkerSilent, "the session's worker did not answer: try again later")),
    }
}

fn not_chosen(request: &LayerRequest, why: NotChosen) -> Problem {
    match why {
        NotChosen::NoSession => Problem::no_session(),
        NotChosen::NoPicture => {
            let detail = "the session plays no picture, so there is nothing to choose: open one with a video section";
            Problem::new(StatusCode::CONFLICT, Code::NoPicture, detail)
        }
        NotChosen::NoSuchRid(published) => {
            let wanted = match request.choice {
                Some(crate::worker::layers::LayerChoice::Rid(name)) => format!("{name:?}"),
                _ => String::new(),
            };
            let detail = match published.iter().filter(|name| !name.is_empty()).count() {
                0 => format!("rid {wanted}: the stream is published without simulcast: leave the rid out"),
                _ => format!("rid {wanted}: the stream has {}: send one of these, or none", published.join(", ")),
            };
            Problem::new(StatusCode::NOT_FOUND, Code::NoSuchLayer, detail)
        }
    }
}

/// `POST` to a session's `layer`.
pub(super) async fn post_layer(keeper: &SessionKeeper, session: SessionId, body: &str) -> Result<Response, Problem> {
    let wanted: WhepLayer = read_json(body, r#"{"rid":"f"}, {"maxHeight":360}, {"soundOnly":true} or {}"#)?;
    choose(keeper, session, wanted.request()).await?;
    Ok(Response::default())
}

/// `POST` to a session's `events`: from now on what happens is kept for the next `GET`.
pub(super) async fn post_events(keeper: &SessionKeeper, session: SessionId, body: &str) -> Result<(), Problem> {
    if !body.trim().is_empty() {
        let wanted: Vec<String> = read_json(body, r#"["layers"]"#)?;
        if !wanted.is_empty() && !wanted.iter().any(|event| event == "layers") {
            let detail = format!("events {}: this node has the event \"layers\" only: ask for it", wanted.join(", "));
            let detail = detail.chars().take(limits::PROBLEM_DETAIL_CHARS_MAX).collect::<String>();
            return Err(Problem::new(StatusCode::BAD_REQUEST, Code::NoSuchEvent, detail));
        }
    }
    keeper.begin_events(session)?;
    choose(keeper, session, LayerRequest::default()).await
}

/// `GET` of a session's `events`: the next one after that which the client had last, or after a while a line that says nothing.
pub(super) async fn get_events(
    keeper: &Rc<SessionKeeper>,
    session: SessionId,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    let event = match keeper.next_event(session, last)? {
        Ok(event) => Some(event),
        Err(waiter) => match runtime::timeout(limits::EVENTS_WAIT_MAX, waiter.recv_async()).await {
            Some(Ok(())) => keeper.next_event(session, last)?.ok(),
            // The session has ended, or its events have: an EventSource does not come back (HTML, "Server-sent events").
            Some(Err(_)) => {
                let mut response = Response::default();
                *response.status_mut() = StatusCode::NO_CONTENT;
                return Ok(response);
            }
            None => None,
        },
    };
    let text = match event {
        Some((number, data)) => format!("retry: {RETRY_MS}\nid: {number}\nevent: layers\ndata: {data}\n\n"),
        None => format!("retry: {RETRY_MS}\n: nothing new\n\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// After how many milliseconds an `EventSource` asks again.
const RETRY_MS: u64 = 100;

fn read_json<T: serde::de::DeserializeOwned>(body: &str, such: &str) -> Result<T, Problem> {
    serde_json::from_str(body).map_err(|error| {
        let detail = format!("the body is no such JSON as {such}: {error}");
        let detail = detail.chars().take(limits::PROBLEM_DETAIL_CHARS_MAX).collect::<String>();
        Problem::new(StatusCode::BAD_REQUEST, Code::BadJson, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_was_asked_for_and_what_there_is() {
        let name = crate::relay::store::ladder::RidName::new(b"x").unwrap();
        let choice = Some(crate::worker::layers::LayerChoice::Rid(name));
        let request = LayerRequest { choice, ..LayerRequest::default() };
        let detail = |published: &[&str]| {
            let published = published.iter().map(|&name| name.to_owned()).collect();
            not_chosen(&request, NotChosen::NoSuchRid(published)).detail().to_owned()
        };
        assert_eq!(detail(&["q", "h"]), "rid \"x\": the stream has q, h: send one of these, or none");
        assert_eq!(detail(&[""]), "rid \"x\": the stream is published without simulcast: leave the rid out");
        let bad = read_json::<WhepLayer>(r#"{"maxHeight":"x"}"#, "{}").unwrap_err();
        assert!(bad.detail().contains("invalid type: string \"x\", expected u16"), "{}", bad.detail());
    }
}
