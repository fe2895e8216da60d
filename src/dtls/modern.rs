//! The engine around `dimpl`: DTLS 1.3 as server, 1.2 and 1.3 as client.
//!
//! As server it sees whole, masked ClientHellos (see [`super::front`] and [`super::mask`]) and protected records.
//! As client it sees datagrams as they come, less what is no record and less plaintext alerts.
//!
//! What to know of `dimpl` 0.9: an `Err` ends the association; its clock is set by `handle_timeout` before each
//! datagram; it must be polled dry after each call, which is this crate's own contract too; `KeyingMaterial` is not
//! wiped on drop (ours is); handshake messages and buffers stay allocated while the association lives.

use std::sync::Arc;

use dimpl::{Config, DtlsCertificate, Output, ProtocolVersion, SrtpProfile, UnexpectedMessageError};
use rcgen::KeyPair;

use super::association::{DtlsEvent, DtlsVersions};
use super::client_hello::ClientHello;
use super::error::{DtlsError, IdentityError};
use super::front::Message;
use super::identity::DtlsIdentity;
use super::keys::{ExportedKeys, ProtectionProfile};
use super::record::{Record, content, records};
use super::{clock, fingerprint, mask};
use crate::limits;
use crate::session::description::Fingerprint;
use crate::time::Timestamp;

/// What all associations of this engine share.
pub(super) struct ModernConfig {
    certificate: DtlsCertificate,
    server: Arc<Config>,
    client: Arc<Config>,
}

/// Builds the shared configuration.
pub(super) fn config(certificate_der: &[u8], key: &KeyPair) -> Result<ModernConfig, IdentityError> {
    let builder = || {
        Config::builder()
            .mtu(limits::DTLS_DATAGRAM_OUT_BYTES_MAX)
            .use_server_cookie(false)
            .require_client_certificate(true)
            .flight_start_rto(limits::DTLS_RETRANSMIT_FIRST)
            .flight_retries(limits::DTLS_RETRANSMITS_MAX)
            .handshake_timeout(limits::DTLS_HANDSHAKE_MAX)
    };
    let library = |error: dimpl::Error| IdentityError::Library(error.to_string());
    Ok(ModernConfig {
        certificate: DtlsCertificate { certificate: certificate_der.to_vec(), private_key: key.serialize_der() },
        server: Arc::new(builder().with_crypto_provider(mask::unmasking_provider()).build().map_err(library)?),
        client: Arc::new(builder().build().map_err(library)?),
    })
}

/// One association.
pub(super) struct Modern {
    dtls: dimpl::Dtls,
    now: Timestamp,
    deadline: Option<Timestamp>,
    is_client: bool,
    verified: bool,
    /// `dimpl` says it is connected; the keys come next.
    connected: bool,
    /// The peer's close alert was answered; reported when the answer is drained.
    closed: bool,
    failure: Option<DtlsError>,
    /// Server: the ClientHello, to hand it in again when the client repeats it. Client: nothing.
    hello: Option<Message>,
    record_sequence: u64,
    /// Client: a plaintext fatal alert, which explains a timeout.
    pub(super) alert: Option<u8>,
}

impl Modern {
    pub(super) fn server(identity: &DtlsIdentity, now: Timestamp) -> Self {
        let config = identity.modern();
        let dtls = dimpl::Dtls::new_13(Arc::clone(&config.server), config.certificate.clone(), clock::instant(now));
        Self::new(dtls, false, now)
    }

    pub(super) fn client(identity: &DtlsIdentity, versions: DtlsVersions, now: Timestamp) -> Self {
        let config = identity.modern();
        let (shared, certificate, at) = (Arc::clone(&config.client), config.certificate.clone(), clock::instant(now));
        let mut dtls = match versions {
            DtlsVersions::Any => dimpl::Dtls::new_auto(shared, certificate, at),
            DtlsVersions::Only12 => dimpl::Dtls::new_12(shared, certificate, at),
            DtlsVersions::Only13 => dimpl::Dtls::new_13(shared, certificate, at),
        };
        dtls.set_active(true);
        let mut client = Self::new(dtls, true, now);
        client.handle_timeout(now);
        client
    }

    fn new(dtls: dimpl::Dtls, is_client: bool, now: Timestamp) -> Self {
        Self {
            dtls,
            now,
            deadline: None,
            is_client,
            verified: false,
            connected: false,
            closed: false,
            failure: None,
            hello: None,
            record_sequence: 0,
            alert: None,
        }
    }

    /// Server: a ClientHello, of which only `profile` may be chosen. (After HelloRetryRequest there is a second.)
    pub(super) fn client_hello(
        &mut self,
        mut message: Message,
        hello: &ClientHello,
        profile: ProtectionProfile,
        now: Timestamp,
    ) {
        mask::hide_all_but(profile, &mut message.body, hello);
        self.hello = Some(message);
        self.repeat(now);
    }

    /// Server: the client has sent its ClientHello again.
    pub(super) fn repeat(&mut self, now: Timestamp) {
        let Some(hello) = &self.hello else { return };
        let mut record = Vec::new();
        hello.write_record(&mut record, self.record_sequence);
        self.record_sequence = self.record_sequence.saturating_add(1);
        self.feed(&record, now);
    }

    /// A protected record.
    pub(super) fn protected(&mut self, record: &Record<'_>, now: Timestamp) {
        match record {
            Record::Protected13 { bytes } => self.feed(bytes, now),
            Record::Protected12 { bytes, .. } if self.is_client => self.feed(bytes, now),
            Record::Protected12 { .. } | Record::Plain { .. } => {}
        }
    }

    /// Client: a datagram while the handshake runs.
    pub(super) fn datagram(&mut self, datagram: &[u8], now: Timestamp) {
        let mut all_pass = true;
        let mut len = 0_usize;
        for record in records(datagram) {
            match record {
                Record::Plain { content_type: content::ALERT, fragment, .. } => {
                    all_pass = false;
                    if let &[2, code] = fragment {
                        self.alert = Some(code);
                    }
                }
                Record::Plain { fragment, .. } => len = len.saturating_add(fragment.len()),
                Record::Protected12 { bytes, .. } | Record::Protected13 { bytes } => {
                    len = len.saturating_add(bytes.len());
                }
            }
        }
        // Before the version is known `dimpl` takes nothing but the server's first message.
        let first = matches!(
            records(datagram).next(),
            Some(Record::Plain { content_type: content::HANDSHAKE, fragment: [2 | 3, ..], .. })
        );
        if all_pass && len > 0 && (first || self.dtls.protocol_version().is_some()) {
            self.feed(datagram, now);
        }
    }

    fn feed(&mut self, datagram: &[u8], now: Timestamp) {
        self.handle_timeout(now);
        if self.failure.is_none() {
            let result = self.dtls.handle_packet(datagram);
            self.note(result);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        // `dimpl` wants time that never goes back.
        self.now = self.now.max(now);
        let result = self.dtls.handle_timeout(clock::instant(self.now));
        self.note(result);
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    pub(super) fn close(&mut self, now: Timestamp) {
        self.handle_timeout(now);
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

    pub(super) fn poll(&mut self, out: &mut [u8], expected: &[Fingerprint]) -> Option<DtlsEvent> {
        loop {
            if let Some(error) = self.failure.take() {
                return Some(DtlsEvent::Failed(error));
            }
            match self.dtls.poll_output(out) {
                Output::Packet(datagram) => return Some(DtlsEvent::Datagram(datagram.len())),
                Output::PeerCert(der) => match fingerprint::check(der, expected) {
                    Ok(()) => self.verified = true,
                    Err(error) => return Some(DtlsEvent::Failed(error)),
                },
                Output::Connected => self.connected = true,
                Output::KeyingMaterial(material, profile) => {
                    self.hello = None;
                    self.connected = false;
                    return Some(self.export(&material, profile));
                }
                Output::CloseNotify => {
                    self.closed = true;
                    let _ = self.dtls.close();
                }
                // Read by nobody yet, and possibly longer than a datagram we send.
                Output::ApplicationData(_) => {}
                Output::BufferTooSmall { needed } => {
                    let mut large = vec![0; needed];
                    if let Output::Packet(_) = self.dtls.poll_output(&mut large) {
                        debug_assert!(false, "poll takes a buffer of at least DTLS_DATAGRAM_OUT_BYTES_MAX");
                    }
                }
                Output::Timeout(at) => {
                    self.deadline = clock::deadline(at, self.now);
                    return if std::mem::take(&mut self.connected) {
                        // Connected, and no keying material followed: use_srtp was not agreed.
                        Some(DtlsEvent::Failed(DtlsError::NoCommonProfile))
                    } else {
                        std::mem::take(&mut self.closed).then_some(DtlsEvent::Closed)
                    };
                }
                _ => {}
            }
        }
    }

    fn export(&self, material: &[u8], profile: SrtpProfile) -> DtlsEvent {
        if !self.verified {
            return DtlsEvent::Failed(DtlsError::NoCertificate);
        }
        let profile = match profile {
            SrtpProfile::AEAD_AES_128_GCM => ProtectionProfile::AeadAes128Gcm,
            SrtpProfile::AEAD_AES_256_GCM => ProtectionProfile::AeadAes256Gcm,
            SrtpProfile::AES128_CM_SHA1_80 => ProtectionProfile::AesCm128HmacSha1_80,
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
            // The one error that leaves the association as it was: a first answer of neither version.
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
