//! A DTLS 1.2 server's flight before it is given to the library: which of its messages are the server's own. The
//! counterpart of [`super::peer_flight`], for the client role.
//!
//! ServerKeyExchange signs both randoms and the server's public key. So what contradicts is kept beside each other until
//! a signature by the promised certificate fits, and the rest is proven by Finished, which the library compares.

use super::client_hello::ServerHello;
use super::error::DtlsError;
use super::fingerprint;
use super::front::{CERTIFICATE, HandshakeMessage, SERVER_HELLO};
use super::peer_flight::{Verdict, leaf};
use super::signature::{self, Unverified};
use crate::description::Fingerprint;
use crate::limits;

/// ServerKeyExchange's handshake type.
const SERVER_KEY_EXCHANGE: u8 = 12;
/// CertificateRequest's handshake type.
const CERTIFICATE_REQUEST: u8 = 13;
/// ServerHelloDone's handshake type.
const SERVER_HELLO_DONE: u8 = 14;

/// The messages of the flight that came so far.
#[derive(Debug)]
pub(super) struct ServerFlight {
    client_random: [u8; 32],
    /// In order of arrival.
    messages: Vec<HandshakeMessage>,
}

impl ServerFlight {
    /// The flight that answers a ClientHello with this random.
    pub(super) fn new(client_random: [u8; 32]) -> Self {
        Self { client_random, messages: Vec::new() }
    }

    /// Adds a message; `expected` are the fingerprints of the certificate that was promised.
    pub(super) fn put(&mut self, message: &HandshakeMessage, expected: &[Fingerprint]) -> Verdict {
        let kinds = [SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, SERVER_HELLO_DONE];
        if !kinds.contains(&message.kind) {
            return Verdict::Incomplete;
        }
        // A message that came again is the newest once more.
        self.messages.retain(|known| known != message);
        let alike = |known: &&HandshakeMessage| known.kind == message.kind;
        if self.messages.iter().filter(alike).count() >= limits::DTLS_ALTERNATIVES_MAX {
            let promised = |known: &HandshakeMessage| fingerprint::check(leaf(known), expected).is_ok();
            let goes = |known: &HandshakeMessage| {
                known.kind == message.kind && !(known.kind == CERTIFICATE && promised(known))
            };
            let Some(at) = self.messages.iter().position(goes) else { return Verdict::Incomplete };
            self.messages.remove(at);
        }
        self.messages.push(message.clone());
        self.judge(expected)
    }

    /// The newest message of a kind with this number.
    fn newest(&self, kind: u8, sequence: Option<u16>) -> Option<&HandshakeMessage> {
        self.messages.iter().rfind(|message| message.kind == kind && Some(message.sequence) == sequence)
    }

    fn judge(&self, expected: &[Fingerprint]) -> Verdict {
        let of = |kind: u8| self.messages.iter().filter(move |message| message.kind == kind);
        let mut verdict = Verdict::Incomplete;
        for hello in of(SERVER_HELLO) {
            let after = |count| hello.sequence.checked_add(count);
            let follows = |count: u16| move |message: &&HandshakeMessage| Some(message.sequence) == after(count);
            let Some(parsed) = ServerHello::parse(&hello.body) else { continue };
            for certificate in of(CERTIFICATE).filter(follows(1)) {
                let promised = fingerprint::check(leaf(certificate), expected).is_ok();
                for exchange in of(SERVER_KEY_EXCHANGE).filter(follows(2)) {
                    match (self.verify(&parsed, certificate, exchange), promised) {
                        (Ok(()), false) => return Verdict::Refused(DtlsError::FingerprintMismatch),
                        (Ok(()), true) if !parsed.is_1_2 => return Verdict::Refused(DtlsError::NoCommonVersion),
                        (Ok(()), true) if parsed.srtp_profile.is_none() => {
                            return Verdict::Refused(DtlsError::NoCommonProfile);
                        }
                        (Ok(()), true) => {
                            let head = [hello, certificate, exchange];
                            let request = self.newest(CERTIFICATE_REQUEST, after(3));
                            let done = self.newest(SERVER_HELLO_DONE, after(if request.is_some() { 4 } else { 3 }));
                            let Some(done) = done else { continue };
                            return Verdict::Whole(head.into_iter().chain(request).chain([done]).cloned().collect());
                        }
                        (Err(Unverified::Certificate), true) => {
                            return Verdict::Refused(DtlsError::UnsupportedCertificate);
                        }
                        (Err(Unverified::Signature), true) => verdict = Verdict::Doubtful(DtlsError::PeerMisbehaved),
                        (Err(_), false) => verdict = Verdict::Doubtful(DtlsError::FingerprintMismatch),
                    }
                }
            }
        }
        verdict
    }

    /// Whether ServerKeyExchange was signed by the certificate, for these two hellos (RFC 8422 §5.4).
    fn verify(
        &self,
        hello: &ServerHello,
        certificate: &HandshakeMessage,
        exchange: &HandshakeMessage,
    ) -> Result<(), Unverified> {
        // curve_type, namedcurve, and the public key with its length; then the signature.
        let length = exchange.body.get(3).copied().map(usize::from).ok_or(Unverified::Signature)?;
        let (params, signed) = exchange.body.split_at_checked(length.saturating_add(4)).ok_or(Unverified::Signature)?;
        let data = [&self.client_random[..], &hello.random, params].concat();
        signature::verify(leaf(certificate), &data, signed)
    }
}
