//! Serves one socket from its first byte to its last. Two futures run concurrently: one reads messages and answers them
//! one after the other, the other writes what waits in the outbox. The first one that ends, ends the socket.

use std::pin::pin;
use std::rc::Rc;

use async_tungstenite::tungstenite::protocol::frame::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use async_tungstenite::tungstenite::{self, Bytes, Message};
use async_tungstenite::{WebSocketReceiver, WebSocketSender, WebSocketStream};
use futures_util::future::{Either, select};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};

use super::end::SocketEnd;
use super::io::{Metered, NO_ROOM, TOO_LONG, Unfinished};
use super::places::SocketPlace;
use super::requests::Client;
use super::service::SocketService;
use crate::config;
use crate::limits;
use crate::net::clock;
use crate::signal::admission::Rate;
use crate::signal::forwarded;
use crate::signal::http::Upgraded;
use crate::signal::messages::message::Token;
use crate::signal::messages::outbox::{Closing, Outbox};
use crate::signal::runtime;
use crate::signal::sessions::sockets::SocketId;
use crate::worker::mailbox::EndReason;

type Sender = WebSocketSender<Metered>;
type Receiver = WebSocketReceiver<Metered>;

/// The client that opened the socket.
pub(super) struct Visitor {
    pub(super) from: forwarded::Sender,
    /// The page's origin.
    pub(super) origin: Option<String>,
    /// The name that it came by.
    pub(super) host: Option<String>,
    /// The token offered with the handshake.
    pub(super) token: Option<Token>,
    /// The socket's place.
    pub(super) place: SocketPlace,
}

/// A socket's entry in the table of sessions. It is removed on drop, so its sessions get their grace however the task
/// ends.
struct Membership<'a> {
    service: &'a SocketService,
    id: SocketId,
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let grace_ends = self.service.clock.now() + self.service.terms.grace;
        self.service.keeper.socket_closed(self.id, grace_ends);
    }
}

/// Serves one socket.
pub(super) async fn run(service: Rc<SocketService>, upgraded: Upgraded, visitor: Visitor) {
    let Visitor { from, origin, host, token, mut place } = visitor;
    let unfinished = Rc::new(Unfinished::of(place.memory().incoming.clone()));
    let io = Metered::new(upgraded.io, unfinished.clone());
    let early = upgraded.early.to_vec();
    let stream = WebSocketStream::from_partially_read(io, early, Role::Server, Some(frames())).await;
    let (mut sender, mut receiver) = stream.split();
    let outbox = Outbox::new(place.memory().outgoing.clone());
    let id = service.keeper.socket_opened(outbox.clone());
    let membership = Membership { service: &service, id };
    let mut client = Client::new(&service, id, outbox.clone(), from, (origin, host), token);

    let end = {
        let writing = pin!(write(&service.terms, &outbox, &mut sender));
        let reading = pin!(read(&mut client, &mut receiver, &unfinished));
        match select(reading, writing).await {
            Either::Left((SocketEnd::Closed(closing), writing)) => {
                // Answers that are already queued are written first.
                outbox.close(closing);
                runtime::timeout(limits::SOCKET_CLOSE_TIME_MAX, writing).await.unwrap_or(SocketEnd::Closed(closing))
            }
            Either::Left((end, _)) | Either::Right((end, _)) => end,
        }
    };
    if end == SocketEnd::Done {
        for session in service.keeper.sessions_of(id) {
            service.keeper.end(session, EndReason::Left);
        }
    }
    drop(membership);
    place.ends(end);
    tracing::debug!(reason = end.name(), "socket ended");
    say_goodbye(end, sender, receiver).await;
}

/// The settings of the frame library. Everything is bounded, and an idle socket needs little memory.
fn frames() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(limits::SOCKET_READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * limits::SOCKET_OUTBOX_BYTES_MAX)
        .max_message_size(Some(limits::SOCKET_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(limits::SOCKET_MESSAGE_BYTES_MAX))
        .accept_unmasked_frames(false)
}

/// Reads messages one after the other. Each is answered before the next is read.
async fn read(client: &mut Client<'_>, receiver: &mut Receiver, unfinished: &Unfinished) -> SocketEnd {
    let terms = &client.service.terms;
    let rate = Rate::with_burst(terms.messages_per_second, limits::SOCKET_MESSAGES_BURST);
    let hello_until = clock::now() + terms.hello_time;
    loop {
        client.outbox.room().await;
        let patience = match client.greeted {
            true => terms.idle_time,
            false => hello_until.saturating_duration_since(clock::now()),
        };
        let Some(next) = runtime::timeout(patience, receiver.next()).await else {
            return SocketEnd::Closed(if client.greeted { Closing::Idle } else { Closing::NoHello });
        };
        let message = match next {
            None => return SocketEnd::Broken,
            Some(Err(error)) => return end_of(&error),
            Some(Ok(message)) => message,
        };
        unfinished.is_whole();
        if !rate.take(client.service.clock.now()) {
            return SocketEnd::Closed(Closing::TooMany);
        }
        match message {
            Message::Text(text) => {
                if let Err(closing) = client.handle(text.as_str()).await {
                    return SocketEnd::Closed(closing);
                }
            }
            Message::Binary(_) => return SocketEnd::Closed(Closing::Binary),
            // The library has already queued the pong.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(None) => return SocketEnd::Done,
            Message::Close(Some(frame)) if frame.code == CloseCode::Normal => return SocketEnd::Done,
            Message::Close(Some(_)) => return SocketEnd::Left,
        }
    }
}

/// Translates an error of the frame library.
fn end_of(error: &tungstenite::Error) -> SocketEnd {
    use tungstenite::error::ProtocolError;
    match error {
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => SocketEnd::Broken,
        tungstenite::Error::Protocol(_) => SocketEnd::Closed(Closing::Protocol),
        tungstenite::Error::Utf8(_) => SocketEnd::Closed(Closing::NotText),
        tungstenite::Error::Capacity(_) => SocketEnd::Closed(Closing::TooLong),
        tungstenite::Error::Io(error) if error.kind() == NO_ROOM => SocketEnd::Closed(Closing::NoRoom),
        tungstenite::Error::Io(error) if error.kind() == TOO_LONG => SocketEnd::Closed(Closing::TooLong),
        _ => SocketEnd::Broken,
    }
}

/// Writes queued messages, and pings at intervals, until the outbox is closed.
async fn write(terms: &config::Sockets, outbox: &Outbox, sender: &mut Sender) -> SocketEnd {
    let mut ping_at = clock::now() + terms.ping_interval;
    loop {
        let message = match runtime::timeout(ping_at.saturating_duration_since(clock::now()), outbox.next()).await {
            Some(Ok(text)) => Message::Text(text),
            Some(Err(closing)) => return SocketEnd::Closed(closing),
            None => {
                ping_at = clock::now() + terms.ping_interval;
                Message::Ping(Bytes::new())
            }
        };
        match runtime::timeout(terms.write_time, sender.send(message)).await {
            Some(Ok(())) => {}
            Some(Err(_)) => return SocketEnd::Broken,
            None => return SocketEnd::Closed(Closing::TooSlow),
        }
    }
}

/// Performs the closing handshake (RFC 6455 §7), then those of TLS and TCP. What the client still sends is read and
/// discarded for a moment: closing with unread bytes resets the connection, and the close frame would be lost.
async fn say_goodbye(end: SocketEnd, mut sender: Sender, mut receiver: Receiver) {
    let goodbye = async {
        match end {
            SocketEnd::Closed(closing) => {
                let (code, reason) = closing.code_and_name();
                sender.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await.ok()?;
            }
            // The library answers a close frame while reading continues.
            SocketEnd::Done | SocketEnd::Left => _ = receiver.next().await,
            SocketEnd::Broken | SocketEnd::Dropped => return None,
        }
        let mut io = WebSocketStream::reunite(sender, receiver).ok()?.into_inner();
        io.close().await.ok()?;
        let mut scratch = [0; 1_024];
        while io.read(&mut scratch).await.ok()? > 0 {}
        Some(())
    };
    runtime::timeout(limits::SOCKET_CLOSE_TIME_MAX, goodbye).await;
}
