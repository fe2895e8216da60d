//! The engine around `dimpl`: DTLS 1.3 as server, 1.2 and 1.3 as client.
//!
//! Its input is whole plaintext messages (see [`super::front`]) and protected records. As a server it gets a masked
//! ClientHello (see [`super::mask`]).
//!
//! Properties of `dimpl` 0.9, and how this file deals with each:
//! - An `Err` ends the association, and stray plaintext records stay in its queue and can stop a handshake for good. So
//!   plaintext is sorted before it gets here.
//! - While a DTLS 1.3 flight has a gap, it acknowledges what it has at once and is due again at once. So due timers are
//!   served at intervals.
//! - Its clock is set by `handle_timeout` before each datagram, and it must be polled dry after each. So the records
//!   made from one of the peer's datagrams are handed in one by one while polling.
//! - As a 1.2 client it takes a protected record that does not decrypt, in place of the server's Finished, for an
//!   attack and gives up. This is accepted: this node is usually the server, and 1.2 servers use the other engine.
//! - `KeyingMaterial` is not wiped on drop (ours is). Handshake messages and buffers stay in memory while it lives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dimpl::crypto::{CryptoProvider, aws_lc_rs};
use dimpl::{Config, DtlsCertificate, Output, ProtocolVersion, UnexpectedMessageError};
use rcgen::KeyPair;

use super::client_hello::ClientHello;
use super::error::{DtlsError, IdentityError};
use super::event::{DataRefused, DtlsEvent, DtlsVersions};
use super::front::{HandshakeMessage, SERVER_HELLO};
use super::keys::ExportedKeys;
use super::record::{Record, content, records, write_plain};
use super::{clock, fingerprint, mask, signing};
use crate::description::Fingerprint;
use crate::limits;
use crate::srtp::SrtpProfile;
use crate::time::Timestamp;

/// The shortest interval at which timers are served: a quarter of the first retransmission timeout, which is when RFC
/// 9147 §7.1 has an incomplete flight acknowledged.
const TICK_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// The random of a ServerHello that is a HelloRetryRequest (RFC 8446 §4.1.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// ServerHelloDone's handshake type.
const SERVER_HELLO_DONE: u8 = 14;

/// The configuration that all associations of this engine share.
pub(super) struct ModernConfig {
    certificate: DtlsCertificate,
    server: Arc<Config>,
    client: Arc<Config>,
}

/// Builds the shared configuration. For the simulation, `seed` determines the random values other than keys.
pub(super) fn config(certificate_der: &[u8], key: &KeyPair, seed: Option<u64>) -> Result<ModernConfig, IdentityError> {
    let builder = || {
        let builder = Config::builder();
        let builder = match seed {
            Some(seed) => builder.dangerously_set_rng_seed(seed),
            None => builder,
        };
        builder
            .mtu(limits::DTLS_DATAGRAM_OUT_BYTES_MAX)
            .use_server_cookie(false)
            .require_client_certificate(true)
            .flight_start_rto(limits::DTLS_RETRANSMIT_FIRST)
            .flight_retries(limits::DTLS_RETRANSMITS_MAX)
            .handshake_timeout(limits::DTLS_HANDSHAKE_MAX)
    };
    let provider = CryptoProvider { key_provider: signing::provider(key)?, ..aws_lc_rs::default_provider() };
    let build = |provider| {
        let config = builder().with_crypto_provider(provider).build();
        config.map(Arc::new).map_err(|error| IdentityError::Library(error.to_string()))
    };
    Ok(ModernConfig {
        // The key is in the provider, see `signing`.
        certificate: DtlsCertificate { certificate: certificate_der.to_vec(), private_key: Vec::new() },
        client: build(provider.clone())?,
        server: build(mask::unmasking(provider))?,
    })
}

/// One association.
pub(super) struct Modern {
    dtls: dimpl::Dtls,
    /// Datagrams still to be handed in, each one after `dimpl` has been polled dry.
    inbox: VecDeque<Vec<u8>>,
    now: Timestamp,
    deadline: Option<Timestamp>,
    /// The earliest time at which timers are served again.
    next_tick: Timestamp,
    is_client: bool,
    verified: bool,
    /// `dimpl` reported that it is connected; it reports the keys next.
    connected: bool,
    /// The keys were exported, so application data now comes from a verified peer.
    exported: bool,
    /// Records of application data that were not polled yet.
    unsent: usize,
    /// The peer's close alert was answered. Reported once the answer has been polled.
    closed: bool,
    failure: Option<DtlsError>,
    /// As a server: the ClientHello, to be handed in again when the client repeats it. As a client: `None`.
    hello: Option<HandshakeMessage>,
    /// As a server: our first answer was a HelloRetryRequest, so another ClientHello is due.
    retry_requested: bool,
    /// As a server: ServerHello was sent.
    has_answered: bool,
    /// As a server: why the peer is not wanted. It is told by a close alert, which is protected, once there are keys.
    refused: Option<DtlsError>,
    /// It was told.
    told: bool,
    record_sequence: u64,
    /// As a 1.2 client: the server's flight is complete and its ChangeCipherSpec is the next record.
    change_cipher_spec_due: bool,
}

impl Modern {
    pub(super) fn server(config: &ModernConfig, now: Timestamp) -> Self {
        let dtls = dimpl::Dtls::new_13(Arc::clone(&config.server), config.certificate.clone(), clock::instant(now));
        Self::new(dtls, false, now)
    }

    pub(super) fn client(config: &ModernConfig, versions: DtlsVersions, now: Timestamp) -> Self {
        let (shared, certificate, at) = (Arc::clone(&config.client), config.certificate.clone(), clock::instant(now));
        let mut dtls = match versions {
            DtlsVersions::Any => dimpl::Dtls::new_auto(shared, certificate, at),
            DtlsVersions::Only12 => dimpl::Dtls::new_12(shared, certificate, at),
            DtlsVersions::Only13 => dimpl::Dtls::new_13(shared, certificate, at),
        };
        dtls.set_active(true);
        let mut client = Self::new(dtls, true, now);
        client.tick(now);
        client
    }

    fn new(dtls: dimpl::Dtls, is_client: bool, now: Timestamp) -> Self {
        Self {
            dtls,
            inbox: VecDeque::new(),
            now,
            deadline: None,
            next_tick: now,
            is_client,
            verified: false,
            connected: false,
            exported: false,
            unsent: 0,
            closed: false,
            failure: None,
            hello: None,
            retry_requested: false,
            has_answered: false,
            refused: None,
            told: false,
            record_sequence: 0,
            change_cipher_spec_due: false,
        }
    }

    /// Server: handles a ClientHello with every profile but `profile` hidden. After HelloRetryRequest, and only then, a
    /// second one is due; the first may come again at any time.
    pub(super) fn client_hello(
        &mut self,
        mut message: HandshakeMessage,
        hello: &ClientHello,
        profile: SrtpProfile,
        now: Timestamp,
    ) {
        let known = self.hello.as_ref().map(|known| known.sequence);
        if known.is_none() || (known == message.sequence.checked_sub(1) && std::mem::take(&mut self.retry_requested)) {
            mask::hide_all_but(profile, &mut message.body, hello);
            self.hello = Some(message);
        } else if known != Some(message.sequence) {
            return;
        }
        if let Some(hello) = self.hello.take() {
            self.feed_message(&hello, now);
            self.hello = Some(hello);
        }
    }

    /// Server: whether ServerHello was sent. What is handed in after it is protected.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Whether the peer's certificate is a promised one.
    pub(super) fn is_peer_proven(&self) -> bool {
        self.verified
    }

    /// Server: whether our answer was a HelloRetryRequest, so that the client sends another ClientHello.
    pub(super) fn expects_another_hello(&self) -> bool {
        self.retry_requested
    }

    /// Notes whether our first answer is a ServerHello or a HelloRetryRequest.
    fn note_answer(&mut self, datagram: &[u8]) {
        let Some(Record::Plain { content_type: content::HANDSHAKE, fragment, .. }) = records(datagram).next() else {
            return;
        };
        // The header, then server_version and random.
        if fragment.first() == Some(&SERVER_HELLO) {
            self.retry_requested = fragment.get(14..46) == Some(&HELLO_RETRY_REQUEST);
            self.has_answered = !self.retry_requested;
        }
    }

    /// Client: handles the server's next plaintext message.
    pub(super) fn server_message(&mut self, message: &HandshakeMessage, now: Timestamp) {
        self.feed_message(message, now);
        self.change_cipher_spec_due |= message.kind == SERVER_HELLO_DONE;
    }

    /// Handles a protected record.
    pub(super) fn protected(&mut self, record: &Record<'_>, now: Timestamp) {
        match *record {
            Record::Protected13 { bytes } => self.feed(bytes.to_vec(), now),
            Record::Protected12 { content_type, bytes } if self.is_client => {
                // Fed as a datagram of its own: the record after it must then decrypt to be kept.
                if content_type == content::HANDSHAKE && std::mem::take(&mut self.change_cipher_spec_due) {
                    self.feed_plain(content::CHANGE_CIPHER_SPEC, &[1], now);
                }
                self.feed(bytes.to_vec(), now);
            }
            Record::Protected12 { .. } | Record::Plain { .. } => {}
        }
    }

    fn feed_message(&mut self, message: &HandshakeMessage, now: Timestamp) {
        self.feed_plain(content::HANDSHAKE, &message.encode(), now);
    }

    fn feed_plain(&mut self, content_type: u8, fragment: &[u8], now: Timestamp) {
        let mut record = Vec::new();
        write_plain(&mut record, content_type, self.record_sequence, fragment);
        self.record_sequence = self.record_sequence.saturating_add(1);
        self.feed(record, now);
    }

    fn feed(&mut self, datagram: Vec<u8>, now: Timestamp) {
        self.now = self.now.max(now);
        if self.inbox.len() < limits::DTLS_INBOX_MAX {
            self.inbox.push_back(datagram);
        }
    }

    /// Tells `dimpl` the time. It requires that time never goes back.
    fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let result = self.dtls.handle_timeout(clock::instant(self.now));
        self.note(result);
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.next_tick = now + TICK_INTERVAL_MIN;
            self.tick(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadline.map(|at| at.max(self.next_tick))
    }

    pub(super) fn send(&mut self, data: &[u8], now: Timestamp) -> Result<(), DataRefused> {
        // A full queue would be an error, and any error of `dimpl` ends the association.
        if self.unsent >= limits::DTLS_APPLICATION_RECORDS_UNSENT_MAX {
            return Err(DataRefused::Full);
        }
        self.tick(now);
        self.unsent = self.unsent.saturating_add(1);
        let result = self.dtls.send_application_data(data).map(|_| ());
        self.note(result);
        if self.failure.is_some() { Err(DataRefused::NotConnected) } else { Ok(()) }
    }

    pub(super) fn close(&mut self, now: Timestamp) {
        self.tick(now);
        let result = self.dtls.close();
        self.note(result);
    }

    pub(super) fn version(&self) -> Option<&'static str> {
        match self.dtls.protocol_version()? {
            ProtocolVersion::DTLS1_2 => Some("1.2"),
            ProtocolVersion::DTLS1_3 => Some("1.3"),
            _ => None,
        }
    }

    pub(super) fn poll(&mut self, out: &mut [u8], expected: &[Fingerprint], carries_data: bool) -> Option<DtlsEvent> {
        loop {
            if let Some(error) = self.failure.take() {
                return Some(DtlsEvent::Failed(self.refused.unwrap_or(error)));
            }
            match self.dtls.poll_output(out) {
                Output::Packet(datagram) => {
                    let len = datagram.len();
                    if !self.is_client && !self.has_answered {
                        self.note_answer(out.get(..len).unwrap_or_default());
                    }
                    return Some(DtlsEvent::Datagram(len));
                }
                Output::PeerCert(der) => match fingerprint::check(der, expected) {
                    Ok(()) => self.verified = true,
                    Err(error) if self.is_client => return Some(DtlsEvent::Failed(error)),
                    Err(error) => self.refused = Some(error),
                },
                Output::Connected => self.connected = true,
                Output::KeyingMaterial(..) if self.refused.is_some() => {
                    self.connected = false;
                    self.told = true;
                    let _ = self.dtls.close();
                }
                Output::KeyingMaterial(material, profile) => {
                    self.hello = None;
                    self.connected = false;
                    self.exported = true;
                    return Some(self.export(&material, profile));
                }
                Output::CloseNotify => {
                    self.closed = true;
                    let _ = self.dtls.close();
                }
                Output::ApplicationData(data) if carries_data && self.exported => {
                    return Some(DtlsEvent::ApplicationData(Box::from(data)));
                }
                Output::ApplicationData(_) => {}
                // Received data may be longer than the datagrams we send.
                Output::BufferTooSmall { needed } => {
                    let mut large = vec![0; needed];
                    match self.dtls.poll_output(&mut large) {
                        Output::ApplicationData(data) if carries_data && self.exported => {
                            return Some(DtlsEvent::ApplicationData(Box::from(data)));
                        }
                        Output::Packet(_) => {
                            debug_assert!(false, "poll takes a buffer of at least DTLS_DATAGRAM_OUT_BYTES_MAX");
                        }
                        _ => {}
                    }
                }
                Output::Timeout(_) if !self.inbox.is_empty() => {
                    self.tick(self.now);
                    if let (Some(datagram), None) = (self.inbox.pop_front(), self.failure) {
                        let result = self.dtls.handle_packet(&datagram);
                        self.note(result);
                    }
                }
                Output::Timeout(at) => {
                    self.inbox = VecDeque::new();
                    self.unsent = 0;
                    self.deadline = clock::deadline(at, self.now);
                    return if let Some(error) = self.refused.filter(|_| self.told) {
                        Some(DtlsEvent::Failed(error))
                    } else if std::mem::take(&mut self.connected) {
                        // Connected without keying material: use_srtp was not agreed.
                        Some(DtlsEvent::Failed(DtlsError::NoCommonProfile))
                    } else {
                        std::mem::take(&mut self.closed).then_some(DtlsEvent::Closed)
                    };
                }
                _ => {}
            }
        }
    }

    fn export(&self, material: &[u8], profile: dimpl::SrtpProfile) -> DtlsEvent {
        if !self.verified {
            return DtlsEvent::Failed(DtlsError::NoCertificate);
        }
        let profile = match profile {
            dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
            dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
            dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::AesCm128HmacSha1_80,
            _ => return DtlsEvent::Failed(DtlsError::NoCommonProfile),
        };
        match ExportedKeys::new(profile, material, self.is_client) {
            Some(keys) => DtlsEvent::Connected(keys),
            None => DtlsEvent::Failed(DtlsError::Internal),
        }
    }

    fn note(&mut self, result: Result<(), dimpl::Error>) {
        use dimpl::{CertificateError, Error, SecurityError};
        let Err(error) = result else { return };
        let error = match error {
            // A first answer of neither version: the one error that leaves the association unchanged.
            Error::UnexpectedMessage(UnexpectedMessageError::UnrecognizedAutoServerResponse) => return,
            Error::ConnectionClosed => return,
            Error::Timeout(_) => DtlsError::Timeout,
            Error::CertificateError(CertificateError::NoClientCertificateReceived) => DtlsError::NoCertificate,
            Error::SecurityError(SecurityError::FatalAlert { description }) => DtlsError::PeerAlert(description),
            Error::SecurityError(
                SecurityError::NoMutuallyAcceptableCipherSuite | SecurityError::NoCommonKeyExchangeGroup,
            ) => DtlsError::NoCommonParameters,
            Error::ConfigError(_) | Error::InvalidState(_) | Error::TransmitQueueFull | Error::TransmitHistoryFull => {
                DtlsError::Internal
            }
            _ => DtlsError::PeerMisbehaved,
        };
        self.failure.get_or_insert(error);
    }
}
