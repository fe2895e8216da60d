//! Types that both engines and [`super::Dtls`] use: events, why application data was refused, and the versions a client
//! offers.

use super::error::DtlsError;
use super::keys::ExportedKeys;

/// What [`super::Dtls::poll`] returns.
#[derive(Debug, PartialEq, Eq)]
pub enum DtlsEvent {
    /// A datagram to send to the peer: this many bytes at the start of the buffer.
    Datagram(usize),
    /// The handshake is complete and the peer's certificate matched its SDP. Returned once.
    Connected(ExportedKeys),
    /// The association ended without a close alert. If [`Self::Connected`] was not returned before, no keys were
    /// exported.
    Failed(DtlsError),
    /// The peer has closed the association with an alert.
    Closed,
    /// One record of the peer's application data. Returned only after [`Self::Connected`], and only where it is
    /// [expected](super::Dtls::expect_application_data). Records may be missing, duplicated or reordered, as on a
    /// network.
    ApplicationData(Box<[u8]>),
}

/// Why application data was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataRefused {
    /// The association is not connected, is closed, or has given up its engine.
    NotConnected,
    /// Empty, or longer than [`crate::limits::DTLS_APPLICATION_DATA_BYTES_MAX`].
    Length,
    /// The engine holds as many unsent records as it can. Poll first.
    Full,
}

/// The versions a client offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtlsVersions {
    /// 1.3 and 1.2; the server chooses.
    #[default]
    Any,
    /// DTLS 1.2 only.
    Only12,
    /// DTLS 1.3 only.
    Only13,
}
