//! The engine around `rtc-dtls`: the DTLS 1.2 server for clients that offer nothing newer, RSA certificates included, and
//! what the client role ([`super::classic_client`]) shares with it.
//!
//! Properties of `rtc-dtls` 0.21, and how this file deals with each:
//! - Any handshake record that does not complete a flight switches its retransmission timer off for good. So each
//!   flight of the client is given to it whole, in one datagram, and never twice.
//! - Its timer repeats without backing off. So the timer only shows *that* a flight waits for an answer. When to repeat
//!   is decided here, and the library is then told that its time has come.
//! - A malformed plaintext record makes it send a fatal alert and give up. So it is given only records written here.
//! - It always asks for a cookie, which costs one more round trip. A wrong cookie ends it. So a ClientHello with another
//!   cookie than the right one is answered here, by the HelloVerifyRequest again.
//! - It chooses the client's first SRTP profile among those configured. So one is configured.
//! - It accepts a protected ChangeCipherSpec without decrypting it. So none is passed on.
//! - It keeps every handshake record that arrives late, and answers seven of them. So a bounded number is passed on.
//! - It decrypts the client's Finished without comparing its contents. What Finished would prove is proven by
//!   CertificateVerify, which is required and signs every message before it, and by the fact that Finished decrypts at
//!   all.
//! - A signature that is wrong ends it. So the flight is given to it only after [`super::peer_flight`] has verified it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rcgen::KeyPair;
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::crypto::{Certificate, CryptoPrivateKey};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_dtls::signature_hash_algorithm::SignatureScheme;

use super::client_hello::ClientHello;
use super::error::{DtlsError, IdentityError};
use super::event::{DataRefused, DtlsEvent};
use super::front::{Front, HELLO_VERIFY_REQUEST, HandshakeMessage};
use super::greeting::{Greeting, renumber};
use super::keys::ExportedKeys;
use super::peer_flight::{PeerFlight, Verdict};
use super::record::{Record, content, write_plain};
use super::{clock, fingerprint, signature};
use crate::description::Fingerprint;
use crate::limits;
use crate::srtp::SrtpProfile;
use crate::time::Timestamp;

/// The library finds associations by address. Each association here has an endpoint of its own, so any address will do.
pub(super) const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));

/// A repeated flight of the client is answered no more often than this.
const REPEAT_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Longer than the library's own timer (1 s). Added to the time that is handed in to make the library retransmit.
const PAST_ITS_TIMER: Duration = Duration::from_secs(60);

/// RFC 5764 §4.2
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

/// The configurations that all associations of this engine share.
pub(super) struct ClassicConfig {
    /// One for each profile.
    servers: [Arc<HandshakeConfig>; 3],
    client: Arc<HandshakeConfig>,
}

/// Builds the shared configurations.
pub(super) fn config(certificate: &rcgen::Certificate, key: &KeyPair) -> Result<ClassicConfig, IdentityError> {
    let library = |error: &dyn std::fmt::Display| IdentityError::Library(error.to_string());
    let provider = rtc_dtls::crypto_provider::default_provider().map_err(|error| library(&error))?;
    let provider = signature::provider(provider);
    let private_key = CryptoPrivateKey::from_key_pair(key, provider.crypto()).map_err(|error| library(&error))?;
    let certificate = Certificate { certificate: vec![certificate.der().clone()], private_key };
    let build = |profiles: &[SrtpProfile], suites: Vec<CipherSuiteId>, is_client: bool| {
        let profiles = profiles.iter().map(|profile| match profile {
            SrtpProfile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProfile::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
            SrtpProfile::AesCm128HmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        });
        ConfigBuilder::default()
            .with_crypto_provider(Arc::clone(&provider))
            .with_certificates(vec![certificate.clone()])
            .with_cipher_suites(suites)
            .with_srtp_protection_profiles(profiles.collect())
            // What `signature` verifies, as the library knows it: in DTLS 1.2 a hash is bound to no curve.
            .with_signature_schemes(vec![
                SignatureScheme::EcdsaWithP256AndSha256,
                SignatureScheme::EcdsaWithP384AndSha384,
                SignatureScheme::Pkcs1WithSha256,
                SignatureScheme::Pkcs1WithSha384,
                SignatureScheme::Pkcs1WithSha512,
            ])
            // A certificate is required and its signature checked. Whether it is the right one is decided by its
            // fingerprint.
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_insecure_skip_verify(true)
            // The library adds headers and a tag to fragments of this size.
            .with_mtu(limits::DTLS_DATAGRAM_OUT_BYTES_MAX.saturating_sub(64))
            .build(is_client, None)
            .map(Arc::new)
            .map_err(|error| library(&error))
    };
    // RFC 8827 §6.5: every WebRTC peer has the first. Ours is an ECDSA certificate; a server may have an RSA one.
    let ours = vec![
        CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
        CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
    ];
    let theirs = vec![
        CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
        CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
    ];
    let server = |profile| build(&[profile], ours.clone(), false);
    let [first, second, third] = SrtpProfile::PREFERENCE;
    Ok(ClassicConfig {
        servers: [server(first)?, server(second)?, server(third)?],
        client: build(&SrtpProfile::PREFERENCE, [ours.clone(), theirs].concat(), true)?,
    })
}

impl ClassicConfig {
    pub(super) fn for_client(&self) -> Arc<HandshakeConfig> {
        Arc::clone(&self.client)
    }

    fn of(&self, profile: SrtpProfile) -> Arc<HandshakeConfig> {
        let [gcm_128, gcm_256, cm] = &self.servers;
        Arc::clone(match profile {
            SrtpProfile::AeadAes128Gcm => gcm_128,
            SrtpProfile::AeadAes256Gcm => gcm_256,
            SrtpProfile::AesCm128HmacSha1_80 => cm,
        })
    }
}

/// The next input that the handshake needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClassicStage {
    /// The first ClientHello.
    Hello,
    /// The ClientHello with the cookie.
    Cookie,
    /// Certificate, ClientKeyExchange, CertificateVerify and a protected record.
    Flight,
    /// The protected Finished. All the rest was given to the library.
    Finished,
    /// As a client: the server's flight.
    ServerFlight,
    /// None: the handshake is complete.
    Connected,
    /// None: the association has ended.
    Over,
}

/// One association.
pub(super) struct Classic {
    pub(super) endpoint: Endpoint,
    pub(super) profile: SrtpProfile,
    pub(super) stage: ClassicStage,
    pub(super) outgoing: VecDeque<BytesMut>,
    /// Reported once everything outgoing was polled.
    event: Option<DtlsEvent>,
    record_sequence: u64,
    late_records_left: u8,
    /// The client has sent the cookie back.
    cookie_came: bool,
    /// The client has signed with a promised certificate.
    is_peer_proven: bool,
    pub(super) is_client: bool,
    /// As a client: the number of the next plaintext record. The library numbers its own; ours are among them.
    pub(super) sent_records: u64,
    /// As a client: the server's ChangeCipherSpec was not given to the library yet.
    pub(super) change_cipher_spec_due: bool,
    /// Received application data, in order of arrival.
    received: VecDeque<BytesMut>,
    /// `None` once the handshake is over.
    pub(super) handshake: Option<Box<Running>>,
}

/// State that only a running handshake needs.
pub(super) struct Running {
    /// The datagram that asks for the cookie, and the cookie.
    hello_verify_request: BytesMut,
    cookie: Vec<u8>,
    /// The client's last plaintext flight, as far as it came.
    flight: PeerFlight,
    /// The same once it is whole and verified.
    verified: Option<Vec<HandshakeMessage>>,
    protected: Vec<Vec<u8>>,
    /// Why the handshake fails unless it gets further by then.
    pub(super) doubt: Option<(DtlsError, Timestamp)>,
    give_up: Timestamp,
    pub(super) repeat_at: Option<Timestamp>,
    pub(super) repeat_after: Duration,
    pub(super) repeats: usize,
    sent: Timestamp,
    /// As a client.
    pub(super) client: Option<Greeting>,
}

impl Classic {
    pub(super) fn server(config: &ClassicConfig, profile: SrtpProfile, now: Timestamp) -> Self {
        Self::new(Endpoint::new(PEER, Default::default(), Some(config.of(profile))), profile, now)
    }

    pub(super) fn new(endpoint: Endpoint, profile: SrtpProfile, now: Timestamp) -> Self {
        Self {
            endpoint,
            profile,
            stage: ClassicStage::Hello,
            outgoing: VecDeque::new(),
            event: None,
            record_sequence: 0,
            late_records_left: limits::DTLS_LATE_HANDSHAKE_RECORDS_MAX,
            cookie_came: false,
            is_peer_proven: false,
            is_client: false,
            sent_records: 0,
            change_cipher_spec_due: false,
            received: VecDeque::new(),
            handshake: Some(Box::new(Running {
                hello_verify_request: BytesMut::new(),
                cookie: Vec::new(),
                flight: PeerFlight::default(),
                verified: None,
                protected: Vec::new(),
                doubt: None,
                give_up: now + limits::DTLS_HANDSHAKE_MAX,
                repeat_at: None,
                repeat_after: limits::DTLS_RETRANSMIT_FIRST,
                repeats: 0,
                sent: now,
                client: None,
            })),
        }
    }

    /// Whether the client has sent the cookie back.
    pub(super) fn was_answered(&self) -> bool {
        self.cookie_came
    }

    /// Server: whether the client has signed with a promised certificate.
    pub(super) fn is_peer_proven(&self) -> bool {
        self.is_peer_proven
    }

    /// Handles a ClientHello, any number of times and with any cookie.
    pub(super) fn client_hello(&mut self, message: HandshakeMessage, hello: &ClientHello, now: Timestamp) {
        let cookie = message.body.get(hello.cookie.clone()).unwrap_or_default();
        let right = self.handshake.as_ref().is_some_and(|handshake| handshake.cookie == cookie);
        match self.stage {
            ClassicStage::Hello => {
                self.stage = ClassicStage::Cookie;
                self.feed(&[message], &[], &[], now);
                // server_version, then the cookie with its length (RFC 6347 §4.2.1)
                let request = self.outgoing.front().cloned();
                let cookie = request
                    .as_ref()
                    .and_then(|datagram| Some(messages_in([datagram]).into_iter().next()?.body.get(3..)?.to_vec()));
                match (&mut self.handshake, request, cookie) {
                    (Some(handshake), Some(request), Some(cookie)) => {
                        handshake.hello_verify_request = request;
                        handshake.cookie = cookie;
                    }
                    // The library could not read the hello.
                    (Some(_), ..) => self.end(DtlsError::PeerMisbehaved),
                    _ => {}
                }
            }
            ClassicStage::Cookie if right && message.sequence == 1 => {
                self.stage = ClassicStage::Flight;
                self.cookie_came = true;
                let hello = message.clone();
                self.feed(&[message], &[], &[], now);
                if let Some(handshake) = &mut self.handshake {
                    let ours = messages_in(&self.outgoing).into_iter().filter(|ours| ours.kind != HELLO_VERIFY_REQUEST);
                    handshake.flight = PeerFlight::new(&std::iter::once(hello).chain(ours).collect::<Vec<_>>());
                    handshake.sent = now;
                    handshake.repeat_at = Some(now + handshake.repeat_after);
                }
            }
            ClassicStage::Cookie if self.outgoing.is_empty() => {
                let request = self.handshake.as_ref().map(|handshake| handshake.hello_verify_request.clone());
                self.outgoing.extend(request);
            }
            ClassicStage::Flight if right => {
                let sent = self.handshake.as_ref().map(|handshake| handshake.sent);
                if sent.is_some_and(|sent| now.since(sent) >= REPEAT_INTERVAL_MIN) {
                    self.retransmit(now);
                }
            }
            _ => {}
        }
    }

    /// Handles a whole message of the client's last plaintext flight, in any order and any number of times.
    pub(super) fn client_message(&mut self, message: &HandshakeMessage, expected: &[Fingerprint], now: Timestamp) {
        let Some(handshake) = self.handshake.as_mut().filter(|_| self.stage == ClassicStage::Flight) else { return };
        if handshake.verified.is_some() {
            return;
        }
        match handshake.flight.put(message, expected) {
            Verdict::Incomplete => {}
            Verdict::Doubtful(error) => {
                handshake.doubt.get_or_insert((error, now + limits::DTLS_DOUBT_MAX));
            }
            Verdict::Whole(messages) => {
                handshake.verified = Some(messages);
                self.is_peer_proven = true;
                self.feed_flight(expected, now);
            }
            Verdict::Refused(error) => self.fail(error),
        }
    }

    /// The client announced a message that is too long, or somebody did in its place.
    pub(super) fn note_too_long(&mut self, now: Timestamp) {
        if let Some(handshake) = self.handshake.as_mut().filter(|_| self.stage == ClassicStage::Flight) {
            handshake.doubt.get_or_insert((DtlsError::MessageTooLong, now + limits::DTLS_DOUBT_MAX));
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
        let Record::Protected12 { content_type, bytes } = *record else { return };
        // The library would accept a ChangeCipherSpec without decrypting it.
        match content_type {
            content::HANDSHAKE | content::ALERT => {}
            content::APPLICATION_DATA if carries_data && self.stage == ClassicStage::Connected => {}
            _ => return,
        }
        match self.stage {
            ClassicStage::Flight => {
                if let Some(handshake) = &mut self.handshake
                    && handshake.protected.len() < limits::DTLS_RECORDS_HELD_MAX
                    && content_type == content::HANDSHAKE
                {
                    handshake.protected.push(bytes.to_vec());
                }
                self.feed_flight(expected, now);
            }
            ClassicStage::Finished if content_type == content::HANDSHAKE => {
                self.feed(&[], &[bytes.to_vec()], expected, now)
            }
            ClassicStage::Connected => {
                if content_type == content::HANDSHAKE {
                    let Some(left) = self.late_records_left.checked_sub(1) else { return };
                    self.late_records_left = left;
                }
                self.read(BytesMut::from(bytes), expected, now);
            }
            _ => {}
        }
    }

    /// Gives the client's last flight to the library once it is complete.
    fn feed_flight(&mut self, expected: &[Fingerprint], now: Timestamp) {
        let Some(handshake) = &mut self.handshake else { return };
        if handshake.protected.is_empty() {
            return;
        }
        if let Some(flight) = handshake.verified.take() {
            self.stage = ClassicStage::Finished;
            handshake.repeat_at = None;
            handshake.doubt = None;
            let protected = std::mem::take(&mut handshake.protected);
            self.feed(&flight, &protected, expected, now);
        }
    }

    /// Gives messages to the library in one datagram, together with the ChangeCipherSpec that protected records imply.
    pub(super) fn feed(
        &mut self,
        messages: &[HandshakeMessage],
        protected: &[Vec<u8>],
        expected: &[Fingerprint],
        now: Timestamp,
    ) {
        let mut datagram = Vec::new();
        for message in messages {
            write_plain(&mut datagram, content::HANDSHAKE, self.record_sequence, &message.encode());
            self.record_sequence = self.record_sequence.saturating_add(1);
        }
        let change = std::mem::take(&mut self.change_cipher_spec_due) || !messages.is_empty();
        if change && !protected.is_empty() {
            write_plain(&mut datagram, content::CHANGE_CIPHER_SPEC, self.record_sequence, &[1]);
            self.record_sequence = self.record_sequence.saturating_add(1);
        }
        protected.iter().for_each(|record| datagram.extend_from_slice(record));
        self.read(BytesMut::from(datagram.as_slice()), expected, now);
    }

    fn read(&mut self, datagram: BytesMut, expected: &[Fingerprint], now: Timestamp) {
        let result = self.endpoint.read(clock::instant(now), PEER, None, datagram);
        let connected = self.stage == ClassicStage::Connected;
        match result {
            Ok(events) => {
                self.collect();
                for event in events {
                    match event {
                        EndpointEvent::HandshakeComplete => self.complete(expected),
                        EndpointEvent::PeerClosed => {
                            self.stage = ClassicStage::Over;
                            self.event = Some(DtlsEvent::Closed);
                        }
                        EndpointEvent::ApplicationData(data)
                            if connected && self.received.len() < limits::DTLS_INBOX_MAX =>
                        {
                            self.received.push_back(data);
                        }
                        _ => {}
                    }
                }
            }
            // Only a record that decrypted gets here, so this is an alert other than close_notify, which the library
            // echoes. A peer sends such an alert to an end that neither renegotiates nor resumes only to end the
            // association.
            Err(_) if connected => {
                while self.endpoint.poll_transmit().is_some() {}
                self.stage = ClassicStage::Over;
                self.event = Some(DtlsEvent::Closed);
            }
            Err(_) => {
                let refused = matches!(self.stage, ClassicStage::Cookie | ClassicStage::Flight);
                // The library's own alert says the same and has gone out already.
                self.collect();
                self.end(if refused { DtlsError::NoCommonParameters } else { DtlsError::PeerMisbehaved });
            }
        }
    }

    /// Exports the keys. This is the only place that does, and it checks the fingerprint first.
    fn complete(&mut self, expected: &[Fingerprint]) {
        let Some(state) = self.endpoint.get_connection_state(PEER) else {
            return self.fail(DtlsError::Internal);
        };
        let leaf = state.peer_certificates.first().map(Vec::as_slice).unwrap_or_default();
        if let Err(error) = fingerprint::check(leaf, expected) {
            // Our Finished is not sent either, so that the peer does not take itself for connected.
            self.outgoing.clear();
            return self.fail(error);
        }
        let len = self.profile.exported_len();
        let keys = state.export_keying_material(EXPORTER_LABEL, &[], len).ok();
        match keys.and_then(|keys| ExportedKeys::new(self.profile, keys.as_ref(), self.is_client)) {
            Some(keys) => {
                self.stage = ClassicStage::Connected;
                self.handshake = None;
                self.event = Some(DtlsEvent::Connected(keys));
            }
            None => self.fail(DtlsError::Internal),
        }
    }

    /// Ends the association, with an alert in plaintext where the peer still accepts one.
    pub(super) fn fail(&mut self, error: DtlsError) {
        if let Some(code) = error.alert() {
            let mut record = Vec::new();
            // A record number above any that the library used.
            write_plain(&mut record, content::ALERT, 1 << 20, &[2, code]);
            let mut record = BytesMut::from(record.as_slice());
            if self.is_client {
                renumber(&mut record, &mut self.sent_records);
            }
            self.outgoing.push_back(record);
        }
        self.end(error);
    }

    fn end(&mut self, error: DtlsError) {
        self.stage = ClassicStage::Over;
        self.handshake = None;
        self.event = Some(DtlsEvent::Failed(error));
    }

    pub(super) fn collect(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let mut datagram = transmit.message;
            if self.is_client {
                renumber(&mut datagram, &mut self.sent_records);
            }
            self.outgoing.push_back(datagram);
        }
    }

    fn retransmit(&mut self, now: Timestamp) {
        let Some(handshake) = &mut self.handshake else { return };
        handshake.repeat_at = None;
        if handshake.repeats >= limits::DTLS_RETRANSMITS_MAX {
            return; // until it gives up, an answer may still come
        }
        handshake.repeats = handshake.repeats.saturating_add(1);
        handshake.repeat_after = handshake.repeat_after.saturating_mul(2);
        handshake.sent = now;
        handshake.repeat_at = Some(now + handshake.repeat_after);
        if self.stage == ClassicStage::ServerFlight {
            return self.send_hello();
        }
        let result = self.endpoint.handle_timeout(PEER, clock::instant(now + PAST_ITS_TIMER));
        self.collect();
        if result.is_err() {
            self.fail(DtlsError::Internal);
        }
    }

    /// Answers the other HelloVerifyRequest: the one that was answered led nowhere.
    fn try_rival(&mut self) {
        let greeting = self.handshake.as_mut().and_then(|handshake| handshake.client.as_mut());
        let Some(greeting) = greeting else { return };
        if let Some((rival, _)) = greeting.rival.take() {
            greeting.request = Some(rival);
        }
        self.send_hello();
    }

    /// Sends the hello, with the cookie if there is one.
    pub(super) fn send_hello(&mut self) {
        let greeting = self.handshake.as_ref().and_then(|handshake| handshake.client.as_ref());
        if let Some(hello) = greeting.and_then(Greeting::hello) {
            let mut record = Vec::new();
            write_plain(&mut record, content::HANDSHAKE, self.sent_records, &hello.encode());
            self.sent_records = self.sent_records.saturating_add(1);
            self.outgoing.push_back(BytesMut::from(record.as_slice()));
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        let Some(handshake) = &self.handshake else { return };
        if now >= handshake.give_up {
            self.fail(DtlsError::Timeout);
        } else if handshake.client.as_ref().is_some_and(|greeting| greeting.rival_is_due(now)) {
            self.try_rival();
        } else if let Some((error, _)) = handshake.doubt.filter(|(_, due)| now >= *due) {
            self.fail(error);
        } else if handshake.repeat_at.is_some_and(|at| now >= at) {
            self.retransmit(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let handshake = self.handshake.as_ref()?;
        let doubt = handshake.doubt.map(|(_, due)| due);
        let rival = handshake.client.as_ref().and_then(Greeting::rival_due);
        [handshake.repeat_at, doubt, rival, Some(handshake.give_up)].into_iter().flatten().min()
    }

    pub(super) fn send(&mut self, data: &[u8], now: Timestamp) -> Result<(), DataRefused> {
        if self.stage != ClassicStage::Connected {
            return Err(DataRefused::NotConnected);
        }
        if self.outgoing.len() >= limits::DTLS_APPLICATION_RECORDS_UNSENT_MAX {
            return Err(DataRefused::Full);
        }
        // The only error is that the library has closed the association; the alert that closed it was reported.
        let result = self.endpoint.write(clock::instant(now), PEER, data);
        self.collect();
        result.map_err(|_| DataRefused::NotConnected)
    }

    pub(super) fn close(&mut self, now: Timestamp) {
        if self.stage == ClassicStage::Connected && self.endpoint.close(clock::instant(now)).is_ok() {
            self.collect();
        }
        self.stage = ClassicStage::Over;
        self.handshake = None;
        self.event = None;
    }

    pub(super) fn poll(&mut self, out: &mut [u8]) -> Option<DtlsEvent> {
        while let Some(datagram) = self.outgoing.pop_front() {
            if let Some(slot) = out.get_mut(..datagram.len()) {
                slot.copy_from_slice(&datagram);
                return Some(DtlsEvent::Datagram(datagram.len()));
            }
            debug_assert!(false, "poll takes a buffer of at least DTLS_DATAGRAM_OUT_BYTES_MAX");
        }
        // The keys are reported before data that was received under them.
        if !matches!(self.event, Some(DtlsEvent::Connected(_)))
            && let Some(data) = self.received.pop_front()
        {
            return Some(DtlsEvent::ApplicationData(Box::from(&*data)));
        }
        self.event.take()
    }
}

/// The whole plaintext messages of our own datagrams, in order.
pub(super) fn messages_in<'a>(datagrams: impl IntoIterator<Item = &'a BytesMut>) -> Vec<HandshakeMessage> {
    let mut front = Front::default();
    datagrams.into_iter().for_each(|datagram| front.take(datagram, |_| {}));
    std::iter::from_fn(|| front.next_message()).collect()
}
