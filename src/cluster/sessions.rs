//! What clients ask of sessions that other nodes have: it goes to those nodes as it came, below [`PATH`].

use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode, Uri};

use super::channel::{ChannelError, Channels, Peer, Service};
use crate::limits;
use crate::signal::elsewhere::{Elsewhere, FromElsewhere, NotAsked};

/// Where a node answers for its sessions.
const PATH: &str = "/session";

/// The sessions of other nodes.
#[derive(Debug)]
pub struct Sessions {
    channels: Rc<Channels>,
    here: String,
}

impl Sessions {
    /// Reached by these connections; `here` is this node's name.
    #[must_use]
    pub fn new(channels: Rc<Channels>, here: String) -> Self {
        Self { channels, here }
    }
}

impl Elsewhere for Sessions {
    fn here(&self) -> &str {
        &self.here
    }

    fn ask<'a>(
        &'a self,
        node: &'a str,
        mut request: Request<Bytes>,
        within: Duration,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, NotAsked>> {
        async move {
            let path = format!("{PATH}{}", request.uri());
            *request.uri_mut() = path.parse().map_err(|_| NotAsked::Unknown)?;
            match self.channels.ask_within(within, node, request).await {
                Ok(answer) => Ok(answer.response),
                Err(ChannelError::UnknownNode | ChannelError::NoChannel) => Err(NotAsked::Unknown),
                Err(error) => Err(NotAsked::Silent(error.to_string())),
            }
        }
        .boxed_local()
    }

    fn serve(&self, answers: Weak<dyn FromElsewhere>) {
        self.channels.attach(PATH, Rc::new(Answers(answers)));
    }
}

/// This node's signalling, for the others.
struct Answers(Weak<dyn FromElsewhere>);

impl Service for Answers {
    fn answer(self: Rc<Self>, _: Peer, mut request: Request<Bytes>) -> LocalBoxFuture<'static, Response<Bytes>> {
        let path = request.uri().path_and_query().map(PathAndQuery::as_str).and_then(|path| path.strip_prefix(PATH));
        match (self.0.upgrade(), path.and_then(|path| path.parse::<Uri>().ok())) {
            (Some(signalling), Some(path)) => {
                *request.uri_mut() = path;
                signalling.answer(request)
            }
            (signalling, _) => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::NOT_FOUND;
                if signalling.is_none() {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(limits::RETRY_AFTER.as_secs()));
                }
                std::future::ready(response).boxed_local()
            }
        }
    }
}
