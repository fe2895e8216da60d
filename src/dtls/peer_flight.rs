//! A DTLS 1.2 client's last flight before it is given to the library: which of its messages are the client's own.
//!
//! Certificate, ClientKeyExchange and CertificateVerify come in plaintext, and anyone can forge them. CertificateVerify
//! signs all that both ends have sent before it, server random included. So messages that contradict each other are kept
//! beside each other until a signature fits a choice of them. Finished, which is protected, proves the rest.

use super::error::DtlsError;
use super::fingerprint;
use super::front::{CERTIFICATE, CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE, HandshakeMessage};
use super::signature::{self, Unverified};
use crate::description::Fingerprint;
use crate::limits;

/// Bytes of a ClientKeyExchange or CertificateVerify: an RSA-8192 signature has 1,028.
const SHORT_MESSAGE_BYTES_MAX: usize = 1_100;

/// What a message has brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// More has to come.
    Incomplete,
    /// More has to come. If it does not, this is why the handshake fails.
    Doubtful(DtlsError),
    /// All messages of the flight, in order: the peer's own, and its certificate is the promised one.
    Whole(Vec<HandshakeMessage>),
    /// This is certain: the peer that saw our flight is another, or its certificate is of no use.
    Refused(DtlsError),
}

/// The messages of the flight that came so far.
#[derive(Debug, Default)]
pub(super) struct PeerFlight {
    /// Both ends' messages before the flight, as they are signed.
    transcript: Vec<u8>,
    messages: Vec<HandshakeMessage>,
}

impl PeerFlight {
    /// A flight that follows `before`.
    pub(super) fn new(before: &[HandshakeMessage]) -> Self {
        let transcript = before.iter().flat_map(HandshakeMessage::encode).collect();
        Self { transcript, messages: Vec::new() }
    }

    /// Adds a message; `expected` are the fingerprints of the certificate that was promised.
    pub(super) fn put(&mut self, message: &HandshakeMessage, expected: &[Fingerprint]) -> Verdict {
        let too_long = message.kind != CERTIFICATE && message.body.len() > SHORT_MESSAGE_BYTES_MAX;
        let of_the_flight = matches!(message.kind, CERTIFICATE | CLIENT_KEY_EXCHANGE | CERTIFICATE_VERIFY);
        if too_long || !of_the_flight || self.messages.contains(message) {
            return Verdict::Incomplete;
        }
        // RFC 5246 §7.4.6: a client without a certificate sends an empty list.
        if message.kind == CERTIFICATE && leaf(message).is_empty() {
            return Verdict::Doubtful(DtlsError::NoCertificate);
        }
        let promised = |message: &HandshakeMessage| fingerprint::check(leaf(message), expected).is_ok();
        let alike = |known: &&HandshakeMessage| known.kind == message.kind;
        if self.messages.iter().filter(alike).count() >= limits::DTLS_ALTERNATIVES_MAX {
            // The oldest of its kind goes; the promised certificate stays.
            let goes = |known: &HandshakeMessage| {
                known.kind == message.kind && !(known.kind == CERTIFICATE && promised(known))
            };
            let Some(at) = self.messages.iter().position(goes) else { return Verdict::Incomplete };
            self.messages.remove(at);
        }
        self.messages.push(message.clone());
        self.judge(message, &promised)
    }

    /// Tries the choices that `newest` is part of.
    fn judge(&self, newest: &HandshakeMessage, promised: &dyn Fn(&HandshakeMessage) -> bool) -> Verdict {
        let of = |kind: u8| {
            let kind_is = move |message: &&HandshakeMessage| message.kind == kind;
            self.messages.iter().filter(kind_is).filter(move |message| newest.kind != kind || *message == newest)
        };
        let any_promised = self.messages.iter().any(|message| message.kind == CERTIFICATE && promised(message));
        let mut verdict = Verdict::Incomplete;
        for certificate in of(CERTIFICATE).filter(|certificate| !any_promised || promised(certificate)) {
            for (exchange, proof) in
                of(CLIENT_KEY_EXCHANGE).flat_map(|exchange| of(CERTIFICATE_VERIFY).map(move |proof| (exchange, proof)))
            {
                let signed = [self.transcript.as_slice(), &certificate.encode(), &exchange.encode()].concat();
                match (signature::verify(leaf(certificate), &signed, &proof.body), any_promised) {
                    (Ok(()), true) => {
                        return Verdict::Whole(vec![certificate.clone(), exchange.clone(), proof.clone()]);
                    }
                    (Ok(()), false) => return Verdict::Refused(DtlsError::FingerprintMismatch),
                    (Err(Unverified::Certificate), true) => return Verdict::Refused(DtlsError::UnsupportedCertificate),
                    (Err(_), false) => verdict = Verdict::Doubtful(DtlsError::FingerprintMismatch),
                    (Err(Unverified::Signature), true) => verdict = Verdict::Doubtful(DtlsError::PeerMisbehaved),
                }
            }
        }
        verdict
    }
}

/// The first certificate of a Certificate message (RFC 5246 §7.4.2), empty when there is none.
pub(super) fn leaf(message: &HandshakeMessage) -> &[u8] {
    let Some((&[_, _, _, a, b, c], rest)) = message.body.split_first_chunk() else { return &[] };
    rest.get(..u32::from_be_bytes([0, a, b, c]) as usize).unwrap_or_default()
}
