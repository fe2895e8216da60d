//! Passes a request for another node's session on to that node, and its answer back; and the other end of this.
//!
//! Only what a session's resources read goes along: the method, the path, [`HEADERS`], the body. Who the client is stands in
//! [`CLIENT`], which is read from other nodes' requests only. A request is passed on once: a node that is asked for a session of a
//! third one says that there is none. What a page may read of the answer (CORS) is judged where the page asks.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue, IF_MATCH, TRANSFER_ENCODING, VARY,
};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Uri};

use super::admission::ClientAddress;
use super::body::{BodyBytes, read_bytes};
use super::code::Code;
use super::elsewhere::{Elsewhere, NotAsked};
use super::http::{Request, Response};
use super::layers::LAST_EVENT_ID;
use super::problem::Problem;
use super::request_body::RequestBody;
use super::resource::unread;
use crate::limits;

/// The client's address, between nodes.
const CLIENT: HeaderName = HeaderName::from_static("corecast-client");

/// What of a request's head goes along.
const HEADERS: [HeaderName; 5] = [ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, LAST_EVENT_ID];

/// What of an answer's head does not: it is said anew.
const NOT_HEADERS: [HeaderName; 3] = [DATE, TRANSFER_ENCODING, VARY];

/// Asks the node that has the session.
pub(super) async fn forward(
    elsewhere: &dyn Elsewhere,
    node: &str,
    request: Request,
    client: Option<IpAddr>,
    bodies: &BodyBytes,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = read_bytes(body, bodies).await.map_err(unread)?;
    // Events are waited for.
    let waits = if head.method == Method::GET { limits::EVENTS_WAIT_MAX } else { std::time::Duration::ZERO };
    let mut asked = hyper::Request::new(Bytes::from(body));
    *asked.method_mut() = head.method;
    *asked.uri_mut() = head.uri.path_and_query().cloned().map_or_else(Uri::default, path_only);
    for name in &HEADERS {
        for value in head.headers.get_all(name) {
            asked.headers_mut().append(name, value.clone());
        }
    }
    if let Some(client) = client.and_then(|client| HeaderValue::try_from(client.to_string()).ok()) {
        asked.headers_mut().insert(CLIENT, client);
    }
    match elsewhere.ask(node, asked, limits::ELSEWHERE_ANSWER_TIME_MAX + waits).await {
        Ok(mut answer) => {
            for name in &NOT_HEADERS {
                answer.headers_mut().remove(name);
            }
            Ok(answer.map(Full::new))
        }
        Err(NotAsked::Unknown) => Err(Problem::no_session()),
        Err(NotAsked::Silent(why)) => {
            tracing::debug!(node, why, "a session's node does not answer");
            let detail =
                format!("the session is on {node}, which does not answer: try again later, or open another one");
            Err(Problem::unavailable(Code::NodeSilent, detail))
        }
    }
}

/// A request that another node has passed on, as if its client had made it here.
pub(super) fn received(request: hyper::Request<Bytes>) -> Request {
    let (mut head, body) = request.into_parts();
    let client = head.headers.remove(CLIENT);
    let client = client.and_then(|client| client.to_str().ok()?.parse::<IpAddr>().ok());
    if let Some(client) = client {
        head.extensions.insert(ClientAddress(client));
    }
    head.uri = head.uri.path_and_query().cloned().map_or_else(Uri::default, path_only);
    Request::from_parts(head, RequestBody::Whole(Full::new(body)))
}

fn path_only(path: PathAndQuery) -> Uri {
    Uri::from(path)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Weak;
    use std::time::Duration;

    use futures_util::future::{FutureExt as _, LocalBoxFuture};
    use hyper::StatusCode;
    use hyper::header::{COOKIE, ETAG, FORWARDED, ORIGIN, RETRY_AFTER};

    use super::*;
    use crate::signal::elsewhere::FromElsewhere;

    /// Keeps what is asked.
    struct Other {
        asked: RefCell<Option<(String, hyper::Request<Bytes>, Duration)>>,
        answer: Result<(), NotAsked>,
    }

    impl Elsewhere for Other {
        fn here(&self) -> &str {
            "a"
        }

        fn ask<'a>(
            &'a self,
            node: &'a str,
            request: hyper::Request<Bytes>,
            within: Duration,
        ) -> LocalBoxFuture<'a, Result<hyper::Response<Bytes>, NotAsked>> {
            *self.asked.borrow_mut() = Some((node.to_owned(), request, within));
            let answer = self.answer.clone().map(|()| {
                let answer = hyper::Response::builder().status(207).header(ETAG, "\"x\"").header(VARY, "Origin");
                answer.body(Bytes::from_static(b"answer")).unwrap()
            });
            std::future::ready(answer).boxed_local()
        }

        fn serve(&self, _: Weak<dyn FromElsewhere>) {}
    }

    fn ask(answer: Result<(), NotAsked>, request: hyper::http::request::Builder) -> (Other, Result<Response, Problem>) {
        let other = Other { asked: RefCell::default(), answer };
        let request = request.body(RequestBody::Whole(Full::new(Bytes::from_static(b"body")))).unwrap();
        let client = Some("192.0.2.7".parse().unwrap());
        let answer = forward(&other, "b", request, client, &BodyBytes::default()).now_or_never().unwrap();
        (other, answer)
    }

    #[test]
    fn what_sessions_read_goes_along_and_comes_back_and_nothing_else() {
        let path = "/whep/s/b~t?x=y";
        let mut request = hyper::Request::patch(format!("https://node.test{path}"));
        for name in HEADERS.iter().chain(&[COOKIE, ORIGIN, FORWARDED]) {
            request = request.header(name, "v");
        }
        let (other, answer) = ask(Ok(()), request.header(CLIENT, "6.6.6.6"));
        let (node, asked, within) = other.asked.take().unwrap();
        assert_eq!((node.as_str(), within), ("b", limits::ELSEWHERE_ANSWER_TIME_MAX));
        assert_eq!((asked.method(), asked.uri().to_string().as_str()), (&Method::PATCH, path));
        assert!(asked.headers().len() == HEADERS.len() + 1 && HEADERS.iter().all(|name| asked.headers()[name] == "v"));
        assert_eq!(
            (&asked.headers()[CLIENT], asked.body().as_ref()),
            (&HeaderValue::from_static("192.0.2.7"), b"body".as_slice())
        );
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers().len(), &answer.headers()[ETAG]),
            (207, 1, &HeaderValue::from_static("\"x\""))
        );

        let there = received(asked);
        assert_eq!(
            there.extensions().get::<ClientAddress>().map(|client| client.0.to_string()).as_deref(),
            Some("192.0.2.7")
        );
        assert!(*there.uri() == path && !there.headers().contains_key(CLIENT));
    }

    #[test]
    fn events_are_waited_for() {
        let (other, _) = ask(Ok(()), hyper::Request::get("/whep/s/b~t/events"));
        assert!(other.asked.take().unwrap().2 > limits::EVENTS_WAIT_MAX);
    }

    #[test]
    fn a_node_that_is_unknown_has_no_session_and_one_that_is_silent_is_named() {
        let (_, answer) = ask(Err(NotAsked::Unknown), hyper::Request::delete("/whep/s/b~t"));
        assert_eq!(answer.unwrap_err(), Problem::no_session());
        let (_, answer) = ask(Err(NotAsked::Silent("cut".into())), hyper::Request::delete("/whep/s/b~t"));
        let response = Response::from(answer.unwrap_err());
        assert!(response.status() == StatusCode::SERVICE_UNAVAILABLE && response.headers().contains_key(RETRY_AFTER));
        let body = http_body_util::BodyExt::collect(response.into_body()).now_or_never().unwrap().unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body["code"] == "node_silent" && body["detail"].as_str().unwrap().contains("is on b,"), "{body}");
    }
}
