//! A DTLS 1.2 client before the server's flight is there: its hello, and the cookies that it was asked for.

use super::client_hello::ClientHello;
use super::front::HandshakeMessage;
use super::server_flight::ServerFlight;
use crate::time::Timestamp;

/// How far a client is before the server's flight.
pub(super) struct Greeting {
    pub(super) hello: HandshakeMessage,
    /// The HelloVerifyRequest that was answered.
    pub(super) request: Option<HandshakeMessage>,
    /// Another one, which is answered when the server has not gone on by then: one of the two is forged.
    pub(super) rival: Option<(HandshakeMessage, Timestamp)>,
    pub(super) flight: ServerFlight,
}

impl Greeting {
    pub(super) fn rival_due(&self) -> Option<Timestamp> {
        self.rival.as_ref().map(|(_, due)| *due)
    }

    pub(super) fn rival_is_due(&self, now: Timestamp) -> bool {
        self.rival_due().is_some_and(|due| due <= now)
    }

    /// The hello with the server's cookie, if it asked for one.
    pub(super) fn hello(&self) -> Option<HandshakeMessage> {
        let Some(request) = &self.request else { return Some(self.hello.clone()) };
        // server_version, then the cookie with its length (RFC 6347 §4.2.1)
        let cookie = request.body.get(2..)?;
        let at = ClientHello::parse(&self.hello.body)?.cookie;
        let (before, after) = (self.hello.body.get(..at.start.checked_sub(1)?)?, self.hello.body.get(at.end..)?);
        Some(HandshakeMessage { kind: self.hello.kind, sequence: 1, body: [before, cookie, after].concat() })
    }
}

/// Whether a HelloVerifyRequest consists of a version and a cookie with its length.
pub(super) fn is_request(message: &HandshakeMessage) -> bool {
    matches!(message.body.as_slice(), [_, _, length, cookie @ ..] if usize::from(*length) == cookie.len())
}

/// Numbers the plaintext records of `datagram` from `next` on.
pub(super) fn renumber(datagram: &mut [u8], next: &mut u64) {
    let mut rest = datagram;
    while let Some((header, body)) = rest.split_first_chunk_mut::<13>() {
        let [_, _, _, epoch_high, epoch_low, number @ .., length_high, length_low] = header;
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        if [*epoch_high, *epoch_low] == [0, 0] {
            let [_, _, value @ ..] = next.to_be_bytes();
            *number = value;
            *next = next.saturating_add(1);
        }
        let Some((_, after)) = body.split_at_mut_checked(length) else { return };
        rest = after;
    }
}
