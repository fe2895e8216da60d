//! Answers nodes that want a stream of this one.

use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::Shared;
use super::agreement::{Agreed, NotAgreed, Refused, Wanted, keys};
use crate::cluster::channel::{Peer, Service};
use crate::limits;
use crate::placement;
use crate::signal::fetched::Fetched;
use crate::signal::runtime;
use crate::signal::stream_name::StreamName;
use crate::worker::links::mailbox::{LinkControl, OpenLink};
use crate::worker::links::packet::Handle;

/// The service.
pub(super) struct Serves(pub(super) Rc<Shared>);

impl Service for Serves {
    fn answer(self: Rc<Self>, from: Peer, request: Request<Bytes>) -> LocalBoxFuture<'static, Response<Bytes>> {
        async move {
            if request.method() != Method::POST {
                return answer(StatusCode::METHOD_NOT_ALLOWED, &Refused { why: NotAgreed::Unread });
            }
            match self.agree(&from, request.body()).await {
                Ok(agreed) => answer(StatusCode::OK, &agreed),
                Err(why) => {
                    let status = match why {
                        NotAgreed::NotHere => StatusCode::NOT_FOUND,
                        NotAgreed::Loop => StatusCode::CONFLICT,
                        NotAgreed::Full => StatusCode::SERVICE_UNAVAILABLE,
                        NotAgreed::Unread => StatusCode::BAD_REQUEST,
                    };
                    answer(status, &Refused { why })
                }
            }
        }
        .boxed_local()
    }
}

impl Serves {
    async fn agree(&self, from: &Peer, body: &[u8]) -> Result<Agreed, NotAgreed> {
        let shared = &self.0;
        let wanted: Wanted = serde_json::from_slice(body).map_err(|_| NotAgreed::Unread)?;
        let name = StreamName::parse(&wanted.stream).map_err(|_| NotAgreed::Unread)?;
        let child = Handle(wanted.handle);
        if child.0 == 0 || child.0 >> limits::LINK_HANDLE_BITS != 0 {
            return Err(NotAgreed::Unread);
        }
        let me = shared.registry.me().name.clone();
        // Until there is the child, or there will be none.
        let mut fetching = None;
        let (epoch, path) = match shared.registry.owned_here(&name) {
            Some(epoch) => (epoch.0, vec![me]),
            None => {
                let (epoch, path) = self.fetched(&name, wanted.epoch, &mut fetching).await.ok_or(NotAgreed::NotHere)?;
                (epoch, std::iter::once(me).chain(path).collect())
            }
        };
        if path.contains(&from.node) {
            return Err(NotAgreed::Loop);
        }
        if shared.children_of(&name) >= limits::LINK_CHILDREN_MAX || path.len() >= limits::LINK_DEPTH_MAX {
            return Err(NotAgreed::Full);
        }
        let handle = shared.new_handle().ok_or(NotAgreed::Full)?;
        let keys = keys(&from.secret, child, handle, false).ok_or(NotAgreed::Full)?;
        let open = OpenLink {
            handle,
            remote: child,
            node: from.node.clone(),
            stream: placement::stream_id(name.as_str()),
            stream_name: name.to_string(),
            keys,
        };
        // The worker knows the stream before anybody is told to send it there. Who asks may be gone while this waits.
        shared.worker.send(LinkControl::Child(Box::new(open))).await;
        let before = shared.child_of(&name, &from.node);
        // Between this and what is told of it nothing is waited for: another child may leave at any moment.
        let is_first = shared.children_of(&name) == 0;
        shared.children.borrow_mut().insert(handle, (name.clone(), from.node.clone()));
        if is_first {
            shared.tell(Fetched::Listens(name.clone()));
        }
        // Who asks again has given up what it had, or never had it.
        for before in before {
            shared.children.borrow_mut().remove(&before);
            shared.worker.send(LinkControl::Close(before)).await;
        }
        tracing::debug!(stream = %name, node = from.node, "a node is sent this stream");
        Ok(Agreed { handle: handle.0, epoch, path })
    }

    /// By which epoch and nodes a stream comes that is published elsewhere; it is fetched for who asks, where nobody here plays it, as
    /// long as `fetching` is there.
    async fn fetched(
        &self,
        name: &StreamName,
        epoch: u64,
        fetching: &mut Option<Fetching>,
    ) -> Option<(u64, Vec<String>)> {
        let shared = &self.0;
        let known = shared.followed.borrow().get(name).cloned();
        // One of a publisher before is about to be another one's.
        let is_new_enough = |comes_by: &(u64, Vec<String>)| comes_by.0 >= epoch;
        match known {
            Some(followed) => {
                if let Some(comes_by) = followed.comes_by().filter(is_new_enough) {
                    return Some(comes_by);
                }
            }
            None => {
                shared.registry.owner_elsewhere(name)?;
                *fetching = Some(Fetching::begin(shared.clone(), name.clone()));
            }
        }
        let looking = async {
            loop {
                runtime::sleep(limits::LINK_FETCHED_LOOK).await;
                let comes_by = shared.followed.borrow().get(name).and_then(|followed| followed.comes_by());
                let comes_by = comes_by.filter(is_new_enough);
                if comes_by.is_some() {
                    return comes_by;
                }
            }
        };
        runtime::timeout(limits::LINK_FETCHED_TIME_MAX, looking).await.flatten()
    }
}

/// A stream that is fetched for another node, which has no link yet, and may never have one.
struct Fetching {
    shared: Rc<Shared>,
    name: StreamName,
}

impl Fetching {
    fn begin(shared: Rc<Shared>, name: StreamName) -> Self {
        shared.tell(Fetched::Listens(name.clone()));
        Self { shared, name }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if self.shared.children_of(&self.name) == 0 {
            self.shared.tell(Fetched::ListensNoMore(self.name.clone()));
        }
    }
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(serde_json::to_vec(body).unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
