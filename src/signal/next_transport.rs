//! A session's second transport as signalling knows it, while the session's keys change.

use crate::description::Description;
use crate::dtls::DtlsIdentity;

/// What becomes the session's when its first transport has ended.
pub(super) struct NextTransport {
    /// The certificate that it uses for DTLS.
    pub(super) identity: DtlsIdentity,
    /// What was negotiated.
    pub(super) description: Description,
}
