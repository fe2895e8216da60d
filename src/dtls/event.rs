//! What both engines and [`super::Dtls`] name: what an association has to tell, why it takes no data, what a client offers.

use super::error::DtlsError;
use super::keys::ExportedKeys;

/// What [`super::Dtls::poll`] gives.
#[derive(Debug, PartialEq, Eq)]
pub enum DtlsEvent {
    /// So many bytes of the buffer are a datagram to send to the peer.
    Datagram(usize),
    /// The handshake is complete and the peer is who its SDP says. Given once.
    Connected(ExportedKeys),
    /// The association is over without a close alert; before [`Self::Connected`] no keys were ever given.
    Failed(DtlsError),
    /// The peer has closed the association with an alert.
    Closed,
    /// The peer's application data, one record of it, after [`Self::Connected`]; only where it is
    /// [expected](super::Dtls::expect_application_data). As on a network: it may be missing, doubled or out of order.
    ApplicationData(Box<[u8]>),
}

/// Why application data was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataRefused {
    /// The association is not connected, is closed, or has given up its engine.
    NotConnected,
    /// Empty, or longer than [`crate::limits::DTLS_APPLICATION_DATA_BYTES_MAX`].
    Length,
    /// As much waits as an engine holds: poll first.
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
