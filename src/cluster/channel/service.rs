//! Who answers the requests of other nodes: a service per path.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::secret::LinkSecret;

/// The node that asks.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name, as its certificate says and the directory has it.
    pub node: String,
    /// Its region.
    pub region: String,
    /// Its address.
    pub address: SocketAddr,
    /// What it and this node know of the connection by which it asks.
    pub secret: LinkSecret,
}

/// Answers requests of other nodes.
pub trait Service {
    /// Answers one. It is dropped when the connection is lost, or the node that asks gives up.
    fn answer(self: Rc<Self>, from: Peer, request: Request<Bytes>) -> LocalBoxFuture<'static, Response<Bytes>>;
}

/// Services, each for a path and all below it.
#[derive(Default)]
pub(super) struct Paths(RefCell<Vec<(&'static str, Rc<dyn Service>)>>);

impl Paths {
    /// Has `service` answer at `path`, which begins with a slash, and below it. It takes the place of one that does.
    pub(super) fn attach(&self, path: &'static str, service: Rc<dyn Service>) {
        let mut paths = self.0.borrow_mut();
        paths.retain(|(other, _)| *other != path);
        paths.push((path, service));
    }

    pub(super) async fn answer(&self, from: Peer, request: Request<Bytes>) -> Response<Bytes> {
        let service = self.at(request.uri().path());
        match service {
            Some(service) => service.answer(from, request).await,
            None => text(StatusCode::NOT_FOUND, "this node answers nothing here: its version may be another"),
        }
    }

    fn at(&self, path: &str) -> Option<Rc<dyn Service>> {
        let paths = self.0.borrow();
        let is_at = |at: &str| path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        paths.iter().find(|(at, _)| is_at(at)).map(|(_, service)| service.clone())
    }
}

/// An answer in words.
pub(super) fn text(status: StatusCode, words: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(words.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// What `GET /hello` says. Fields that a node does not know are left alone.
#[derive(Serialize)]
struct Hello<'a> {
    node: &'a str,
    region: &'a str,
    version: &'a str,
}

/// Says who this node is: the first thing that is asked on a connection, since in TLS 1.3 who dials does not hear from the handshake
/// whether its certificate is taken (RFC 8446 §4.4.2.4).
pub(super) struct SaysHello {
    pub(super) node: String,
    pub(super) region: String,
}

impl Service for SaysHello {
    fn answer(self: Rc<Self>, _: Peer, request: Request<Bytes>) -> LocalBoxFuture<'static, Response<Bytes>> {
        let hello = Hello { node: &self.node, region: &self.region, version: env!("CARGO_PKG_VERSION") };
        let response = match *request.method() {
            Method::GET => {
                let mut response = Response::new(Bytes::from(serde_json::to_vec(&hello).unwrap_or_default()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET it"),
        };
        std::future::ready(response).boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(&'static str);

    impl Service for Says {
        fn answer(self: Rc<Self>, _: Peer, _: Request<Bytes>) -> LocalBoxFuture<'static, Response<Bytes>> {
            std::future::ready(Response::new(Bytes::from_static(self.0.as_bytes()))).boxed_local()
        }
    }

    #[test]
    fn a_service_answers_at_its_path_and_below_and_nowhere_else() {
        let paths = Paths::default();
        paths.attach("/a", Rc::new(Says("first")));
        paths.attach("/b", Rc::new(Says("b")));
        paths.attach("/a", Rc::new(Says("a")));
        for (path, is_there) in
            [("/a", true), ("/a/", true), ("/a/x/y", true), ("/b", true), ("/ab", false), ("/", false), ("", false)]
        {
            assert_eq!(paths.at(path).is_some(), is_there, "{path}");
        }
        assert_eq!(paths.0.borrow().len(), 2);
    }
}
