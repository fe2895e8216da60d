//! The DTLS 1.2 client around `rtc-dtls`: hello, cookie, and the server's flight. What follows is the same in both
//! roles and stands in [`super::classic`].
//!
//! The library gets HelloVerifyRequest and the server's flight at once, after [`super::server_flight`] has verified it.
//! Until then its ClientHello is repeated, and a cookie put in, here: the library's second hello is the first with the
//! cookie.

use rtc_dtls::endpoint::Endpoint;

use super::classic::{Classic, ClassicConfig, ClassicStage, PEER, messages_in};
use super::client_hello::{ClientHello, ServerHello};
use super::clock;
use super::error::DtlsError;
use super::front::{HELLO_VERIFY_REQUEST, HandshakeMessage};
use super::greeting::{Greeting, is_request};
use super::peer_flight::Verdict;
use super::server_flight::ServerFlight;
use crate::description::Fingerprint;
use crate::limits;
use crate::srtp::SrtpProfile;
use crate::time::Timestamp;

impl Classic {
    /// A client, whose hello can be polled at once.
    pub(super) fn client(config: &ClassicConfig, now: Timestamp) -> Self {
        let mut client = Self::new(Endpoint::new(PEER, Default::default(), None), SrtpProfile::AeadAes128Gcm, now);
        client.is_client = true;
        client.stage = ClassicStage::ServerFlight;
        let connected = client.endpoint.connect(clock::instant(now), PEER, config.for_client(), None);
        client.collect();
        let hello = messages_in(&client.outgoing).into_iter().next();
        let random = hello.as_ref().and_then(|hello| Some(ClientHello::parse(&hello.body)?.random));
        match (connected, hello, random, &mut client.handshake) {
            (Ok(()), Some(hello), Some(random), Some(handshake)) => {
                let flight = ServerFlight::new(random);
                handshake.client = Some(Greeting { hello, request: None, rival: None, flight });
                handshake.repeat_at = Some(now + handshake.repeat_after);
            }
            _ => client.fail(DtlsError::Internal),
        }
        client
    }

    /// Handles one of the server's plaintext messages, in any order and any number of times.
    pub(super) fn server_message(&mut self, message: &HandshakeMessage, expected: &[Fingerprint], now: Timestamp) {
        let Some(handshake) = self.handshake.as_mut().filter(|_| self.stage == ClassicStage::ServerFlight) else {
            return;
        };
        let Some(greeting) = &mut handshake.client else { return };
        if message.kind == HELLO_VERIFY_REQUEST {
            match &greeting.request {
                _ if !is_request(message) => {}
                None => {
                    greeting.request = Some(message.clone());
                    self.send_hello();
                }
                Some(known) if known.body == message.body => self.send_hello(),
                Some(_) => {
                    let due = greeting.rival_due().unwrap_or(now + limits::DTLS_RETRANSMIT_FIRST);
                    greeting.rival = Some((message.clone(), due));
                }
            }
            return;
        }
        match greeting.flight.put(message, expected) {
            Verdict::Incomplete => {}
            Verdict::Doubtful(error) => {
                handshake.doubt.get_or_insert((error, now + limits::DTLS_DOUBT_MAX));
            }
            Verdict::Whole(flight) => self.answer(&flight, expected, now),
            Verdict::Refused(error) => self.fail(error),
        }
    }

    /// Gives the server's flight to the library, which then has ours.
    fn answer(&mut self, flight: &[HandshakeMessage], expected: &[Fingerprint], now: Timestamp) {
        let Some(handshake) = &mut self.handshake else { return };
        let greeting = handshake.client.take();
        let hello = flight.first().and_then(|hello| Some((hello.sequence, ServerHello::parse(&hello.body)?)));
        let Some((sequence, hello)) = hello else { return };
        let profile =
            SrtpProfile::PREFERENCE.into_iter().find(|profile| Some(profile.dtls_number()) == hello.srtp_profile);
        let Some(profile) = profile else { return self.fail(DtlsError::NoCommonProfile) };
        self.profile = profile;
        handshake.doubt = None;
        handshake.repeat_after = limits::DTLS_RETRANSMIT_FIRST;
        handshake.repeats = 0;
        handshake.repeat_at = Some(now + handshake.repeat_after);
        // A server that asked for a cookie numbers its ServerHello 1.
        if let Some(request) = greeting.and_then(|greeting| greeting.request).filter(|_| sequence > 0) {
            let waiting = self.outgoing.len();
            self.feed(&[HandshakeMessage { sequence: 0, ..request }], &[], expected, now);
            // The second hello was sent already.
            self.outgoing.truncate(waiting);
        }
        if self.handshake.is_some() {
            self.stage = ClassicStage::Finished;
            self.feed(flight, &[], expected, now);
            self.change_cipher_spec_due = true;
        }
    }
}
