//! Requests to one of the members, over connections that are kept.
//!
//! A member that fails is left for the next one, and each request is made once: whether to make it again is for who knows what it means.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_rustls::TlsConnector;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::Failure;
use crate::cluster::engine::EngineError;
use crate::cluster::host;
use crate::config::member::Member;
use crate::limits;
use crate::signal::runtime::{self, HyperIo, TcpStream};

/// What a node shows members, and by what it believes them.
#[derive(Clone)]
pub struct Identity(pub Arc<ClientConfig>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// Connections to the members.
pub(super) struct Gateway {
    members: Vec<Member>,
    connector: Option<TlsConnector>,
    /// The member that is asked.
    present: Cell<usize>,
    /// Connections to it that nobody uses.
    idle: RefCell<Vec<Sender>>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("members", &self.members)
            .field("present", &self.present)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    pub(super) fn new(members: Vec<Member>, identity: Option<Identity>) -> Self {
        let connector = identity.map(|identity| TlsConnector::from(identity.0));
        Self { members, connector, present: Cell::new(0), idle: RefCell::default() }
    }

    pub(super) fn asked(&self) -> String {
        self.members.get(self.present.get()).map_or_else(String::new, Member::to_string)
    }

    /// Asks the next member from now on.
    pub(super) fn distrust(&self) {
        self.idle.borrow_mut().clear();
        self.present.set((self.present.get() + 1) % self.members.len().max(1));
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &'static str,
        question: &impl Serialize,
    ) -> Result<T, EngineError> {
        let member = self.present.get();
        let asking = async {
            let (response, sender) = self.send(path, question).await?;
            let status = response.status();
            let body = http_body_util::Limited::new(response.into_body(), limits::CLUSTER_ANSWER_BYTES_MAX);
            let body = body.collect().await.map_err(|error| EngineError::Unavailable(error.to_string()))?.to_bytes();
            if member == self.present.get() && self.idle.borrow().len() < limits::CLUSTER_CONNECTIONS_IDLE_MAX {
                self.idle.borrow_mut().push(sender);
            }
            answer(status, &body)
        };
        let answer = runtime::timeout(limits::CLUSTER_ENGINE_TIME_MAX, asking).await;
        let answer = answer.unwrap_or_else(|| Err(EngineError::Unavailable("no answer in time".into())));
        self.judge(member, answer)
    }

    /// Asks for an answer that does not end.
    pub(super) async fn follow(&self, path: &'static str, question: &impl Serialize) -> Result<Lines, EngineError> {
        let member = self.present.get();
        let asking = async {
            let (response, sender) = self.send(path, question).await?;
            let status = response.status();
            if status != StatusCode::OK {
                let body = http_body_util::Limited::new(response.into_body(), limits::CLUSTER_ANSWER_BYTES_MAX);
                let body =
                    body.collect().await.map_err(|error| EngineError::Unavailable(error.to_string()))?.to_bytes();
                return Err(answer::<serde::de::IgnoredAny>(status, &body).err().unwrap_or(EngineError::Compacted));
            }
            Ok(Lines { body: response.into_body(), read: BytesMut::new(), _connection: sender })
        };
        let lines = runtime::timeout(limits::CLUSTER_ENGINE_TIME_MAX, asking).await;
        self.judge(member, lines.unwrap_or_else(|| Err(EngineError::Unavailable("no answer in time".into()))))
    }

    /// Leaves a member that failed.
    fn judge<T>(&self, member: usize, answer: Result<T, EngineError>) -> Result<T, EngineError> {
        answer.map_err(|error| match error {
            EngineError::Unavailable(why) => {
                let name = self.members.get(member).map_or_else(String::new, Member::to_string);
                if member == self.present.get() {
                    self.distrust();
                }
                EngineError::Unavailable(format!("{name}: {why}"))
            }
            error => error,
        })
    }

    async fn send(
        &self,
        path: &'static str,
        question: &impl Serialize,
    ) -> Result<(Response<Incoming>, Sender), EngineError> {
        let member =
            self.members.get(self.present.get()).ok_or_else(|| EngineError::Refused("it has no members".into()))?;
        let body = serde_json::to_vec(question).map_err(|error| EngineError::Refused(error.to_string()))?;
        let request = Request::post(path)
            .header(HOST, format!("{}:{}", member.host(), member.port()))
            .header(CONTENT_TYPE, "application/json")
            .header("grpc-metadata-hasleader", "true")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| EngineError::Refused(error.to_string()))?;
        let kept = self.idle.borrow_mut().pop().filter(|sender| !sender.is_closed());
        let mut sender = match kept {
            Some(sender) if sender.is_ready() => sender,
            _ => self.connect(member).await?,
        };
        let response = sender.send_request(request).await.map_err(|error| unavailable(&error))?;
        Ok((response, sender))
    }

    async fn connect(&self, member: &Member) -> Result<Sender, EngineError> {
        let address = host::address_of(member.bare_host(), member.port()).await.map_err(|error| unavailable(&error))?;
        let stream = TcpStream::connect(address).await.map_err(|error| unavailable(&error))?;
        if !member.has_tls() {
            return handshake(stream).await;
        }
        let connector = self.connector.as_ref().ok_or_else(|| EngineError::Refused("TLS is not set up".into()))?;
        let name = ServerName::try_from(member.bare_host().to_owned()).map_err(|error| unavailable(&error))?;
        handshake(connector.connect(name, stream).await.map_err(|error| unavailable(&error))?).await
    }
}

async fn handshake<S>(stream: S) -> Result<Sender, EngineError>
where
    S: futures_util::io::AsyncRead + futures_util::io::AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(HyperIo(stream)).await.map_err(|error| unavailable(&error))?;
    // Ends with the last use of the sender.
    runtime::spawn(async move {
        let _ = connection.await;
    })
    .detach();
    Ok(sender)
}

fn unavailable(error: &dyn std::error::Error) -> EngineError {
    EngineError::Unavailable(error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")))
}

fn answer<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, EngineError> {
    if status == StatusCode::OK {
        return read(body);
    }
    match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => Err(failure.meaning()),
        Err(_) => Err(EngineError::Unavailable(format!("it answers {status}"))),
    }
}

/// Reads JSON.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(bytes)
        .map_err(|error| EngineError::Unavailable(format!("its answer cannot be read: {error}")))
}

/// The lines of an answer that does not end.
pub(super) struct Lines {
    body: Incoming,
    read: BytesMut,
    /// Kept, because without it the connection ends.
    _connection: Sender,
}

impl Lines {
    pub(super) async fn next(&mut self) -> Result<Bytes, EngineError> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line = self.read.split_to(end).freeze();
                self.read.advance(1);
                if line.is_empty() {
                    continue;
                }
                return Ok(line);
            }
            if self.read.len() > limits::CLUSTER_ANSWER_BYTES_MAX {
                return Err(EngineError::Unavailable("it sends lines without an end".into()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(unavailable(&error)),
                None => return Err(EngineError::Unavailable("the watch ended".into())),
            }
        }
    }
}
