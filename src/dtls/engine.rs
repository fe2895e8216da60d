//! One association of either library, behind one interface.

use super::classic::Classic;
use super::client_hello::ClientHello;
use super::event::{DataRefused, DtlsEvent};
use super::front::HandshakeMessage;
use super::modern::Modern;
use super::record::Record;
use crate::description::Fingerprint;
use crate::srtp::SrtpProfile;
use crate::time::Timestamp;

pub(super) enum Engine {
    Modern(Box<Modern>),
    Classic(Box<Classic>),
}

impl Engine {
    /// Server: handles a ClientHello with the random of the one that the engine was made for.
    pub(super) fn client_hello(
        &mut self,
        message: HandshakeMessage,
        hello: &ClientHello,
        profile: SrtpProfile,
        now: Timestamp,
    ) {
        match self {
            Self::Modern(engine) => engine.client_hello(message, hello, profile, now),
            Self::Classic(engine) => engine.client_hello(message, hello, now),
        }
    }

    /// Server: handles another plaintext message.
    pub(super) fn client_message(&mut self, message: &HandshakeMessage, expected: &[Fingerprint], now: Timestamp) {
        match self {
            Self::Modern(_) => {}
            Self::Classic(engine) => engine.client_message(message, expected, now),
        }
    }

    /// Server: the client announced a message that is too long.
    pub(super) fn note_too_long(&mut self, now: Timestamp) {
        if let Self::Classic(engine) = self {
            engine.note_too_long(now);
        }
    }

    /// Client: handles one of the server's plaintext messages.
    pub(super) fn server_message(&mut self, message: &HandshakeMessage, expected: &[Fingerprint], now: Timestamp) {
        match self {
            Self::Modern(engine) => engine.server_message(message, now),
            Self::Classic(engine) => engine.server_message(message, expected, now),
        }
    }

    /// Handles a protected record.
    pub(super) fn protected(
        &mut self,
        record: &Record<'_>,
        expected: &[Fingerprint],
        carries_data: bool,
        now: Timestamp,
    ) {
        match self {
            Self::Modern(engine) => engine.protected(record, now),
            Self::Classic(engine) => engine.protected(record, expected, carries_data, now),
        }
    }

    /// Server: whether a second, different ClientHello is due (RFC 8446 §4.1.4).
    pub(super) fn expects_another_hello(&self) -> bool {
        match self {
            Self::Modern(engine) => engine.expects_another_hello(),
            Self::Classic(_) => false,
        }
    }

    /// Server: whether the client has shown that it receives what is sent to it, as far as the library tells.
    pub(super) fn was_answered(&self) -> bool {
        match self {
            Self::Modern(_) => false,
            Self::Classic(engine) => engine.was_answered(),
        }
    }

    /// Server: whether it is past what is told by an alert in plaintext: the engine tells the rest itself, if anybody can.
    pub(super) fn tells_itself(&self) -> bool {
        match self {
            Self::Modern(engine) => engine.has_answered(),
            Self::Classic(engine) => engine.was_answered(),
        }
    }

    /// Server: whether the other end has shown that it holds the promised certificate. Before it has, it may be anybody who
    /// receives what is sent to the path: one who sent a client's check again from his own address is given its handshake.
    pub(super) fn is_peer_proven(&self) -> bool {
        match self {
            Self::Modern(engine) => engine.is_peer_proven(),
            Self::Classic(engine) => engine.is_peer_proven(),
        }
    }

    pub(super) fn poll(&mut self, out: &mut [u8], expected: &[Fingerprint], carries_data: bool) -> Option<DtlsEvent> {
        match self {
            Self::Modern(engine) => engine.poll(out, expected, carries_data),
            Self::Classic(engine) => engine.poll(out),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        match self {
            Self::Modern(engine) => engine.handle_timeout(now),
            Self::Classic(engine) => engine.handle_timeout(now),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Modern(engine) => engine.next_deadline(),
            Self::Classic(engine) => engine.next_deadline(),
        }
    }

    pub(super) fn send(&mut self, data: &[u8], now: Timestamp) -> Result<(), DataRefused> {
        match self {
            Self::Modern(engine) => engine.send(data, now),
            Self::Classic(engine) => engine.send(data, now),
        }
    }

    pub(super) fn close(&mut self, now: Timestamp) {
        match self {
            Self::Modern(engine) => engine.close(now),
            Self::Classic(engine) => engine.close(now),
        }
    }

    pub(super) fn version(&self) -> Option<&'static str> {
        match self {
            Self::Modern(engine) => engine.version(),
            Self::Classic(_) => Some("1.2"),
        }
    }
}
