//! What both ends of a connection know and nobody else: keying material of its TLS (RFC 8446 §7.5, RFC 5705).

use std::fmt;

use rustls::{ClientConnection, Error, ServerConnection};
use zeroize::Zeroizing;

/// The label by which it is exported, without a context (RFC 5705 §4).
const LABEL: &[u8] = b"EXPORTER-corecast-link";

/// Bytes of it.
pub const LINK_SECRET_BYTES: usize = 32;

/// The secret of one connection, which is another with each. It is wiped when it is dropped.
#[derive(Clone)]
pub struct LinkSecret(Zeroizing<[u8; LINK_SECRET_BYTES]>);

impl LinkSecret {
    /// Of a connection that was taken.
    ///
    /// # Errors
    /// The handshake is not over.
    pub(super) fn of_accepted(connection: &ServerConnection) -> Result<Self, Error> {
        let mut secret = Zeroizing::new([0; LINK_SECRET_BYTES]);
        connection.export_keying_material(&mut secret[..], LABEL, None)?;
        Ok(Self(secret))
    }

    /// Of a connection that was dialled.
    ///
    /// # Errors
    /// The handshake is not over.
    pub(super) fn of_dialled(connection: &ClientConnection) -> Result<Self, Error> {
        let mut secret = Zeroizing::new([0; LINK_SECRET_BYTES]);
        connection.export_keying_material(&mut secret[..], LABEL, None)?;
        Ok(Self(secret))
    }

    /// Its bytes, to derive keys from.
    #[must_use]
    pub fn bytes(&self) -> &[u8; LINK_SECRET_BYTES] {
        &self.0
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret")
    }
}
