//! Why a handshake failed, and why an identity could not be made.

use std::fmt;

/// Why an association gave no keys, or ended other than by a close alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsError {
    /// The peer's certificate has none of the fingerprints its SDP promised (RFC 8122 §6.2): it is another peer, or a
    /// man in the middle.
    FingerprintMismatch,
    /// The peer presented no certificate.
    NoCertificate,
    /// The client offered no SRTP protection profile that the node has, or none at all.
    NoCommonProfile,
    /// The peer did not complete the handshake in [`crate::limits::DTLS_HANDSHAKE_MAX`].
    Timeout,
    /// The peer gave up with this alert (RFC 8446 §6).
    PeerAlert(u8),
    /// The peers have no protocol version, cipher suite, group or signature scheme in common.
    NoCommonParameters,
    /// The client offers no version that the node has: DTLS 1.0 only.
    NoCommonVersion,
    /// The peer's certificate is the promised one, but no library here verifies signatures of its key (P-224, Ed448).
    UnsupportedCertificate,
    /// The peer announced a handshake message, as a rule its certificate, longer than
    /// [`crate::limits::DTLS_HANDSHAKE_MESSAGE_BYTES_MAX`].
    MessageTooLong,
    /// The peer broke the protocol, or a check of its signatures failed.
    PeerMisbehaved,
    /// A library failed in a way that is not the peer's doing.
    Internal,
}

impl DtlsError {
    /// The alert that tells the peer (RFC 5246 §7.2.2, RFC 5764 §4.1.1). `None` where it would tell it nothing.
    pub(super) fn alert(self) -> Option<u8> {
        match self {
            Self::NoCertificate | Self::NoCommonProfile | Self::NoCommonParameters => Some(40), // handshake_failure
            Self::FingerprintMismatch => Some(42),                                              // bad_certificate
            Self::UnsupportedCertificate => Some(43), // unsupported_certificate
            Self::MessageTooLong => Some(47),         // illegal_parameter
            Self::PeerMisbehaved => Some(51),         // decrypt_error
            Self::NoCommonVersion => Some(70),        // protocol_version
            Self::Internal => Some(80),               // internal_error
            Self::Timeout | Self::PeerAlert(_) => None,
        }
    }
}

impl fmt::Display for DtlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FingerprintMismatch => {
                f.write_str("the peer's certificate has none of the fingerprints in its session description")
            }
            Self::NoCertificate => f.write_str("the peer presented no certificate"),
            Self::NoCommonProfile => f.write_str("no SRTP protection profile in common"),
            Self::Timeout => f.write_str("the DTLS handshake was not completed in time"),
            Self::PeerAlert(code) => write!(f, "the peer ended DTLS with alert {code}"),
            Self::NoCommonParameters => f.write_str("no DTLS version, cipher suite, group or signature in common"),
            Self::NoCommonVersion => f.write_str("the peer offers neither DTLS 1.2 nor 1.3"),
            Self::UnsupportedCertificate => f.write_str("the key of the peer's certificate is of a kind not supported"),
            Self::MessageTooLong => f.write_str("the peer's certificate is too long"),
            Self::PeerMisbehaved => f.write_str("the peer broke the DTLS protocol or a signature was wrong"),
            Self::Internal => f.write_str("the DTLS library failed"),
        }
    }
}

impl std::error::Error for DtlsError {}

/// Why a certificate could not be made.
#[derive(Debug)]
pub enum IdentityError {
    /// The system gave no random bytes.
    Random(getrandom::Error),
    /// Key or certificate could not be made.
    Certificate(rcgen::Error),
    /// A DTLS library refused the configuration; the text says which and why.
    Library(String),
    /// No SRTP protection profile was allowed.
    NoProfile,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(error) => write!(f, "DTLS certificate: no random bytes from the system: {error}"),
            Self::Certificate(error) => write!(f, "DTLS certificate: {error}"),
            Self::Library(error) => write!(f, "DTLS certificate: {error}"),
            Self::NoProfile => f.write_str("DTLS: at least one SRTP protection profile must be allowed"),
        }
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Random(error) => Some(error),
            Self::Certificate(error) => Some(error),
            Self::Library(_) | Self::NoProfile => None,
        }
    }
}
