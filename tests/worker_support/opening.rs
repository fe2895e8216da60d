//! What a client of a test is opened with.

use super::*;

/// What [`World::open`] may be asked for.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) worker: usize,
    pub(crate) direction: Direction,
    pub(crate) stream: StreamId,
    pub(crate) rtx: bool,
    /// A viewer's packets carry transport-wide numbers, and it reports on them as browsers do.
    pub(crate) transport_cc: bool,
    pub(crate) wrong_fingerprint: bool,
    pub(crate) versions: DtlsVersions,
    /// The node's end of the handshake.
    pub(crate) node_role: DtlsRole,
    /// A publisher's first packet index and timestamp.
    pub(crate) first: (u64, u32),
    /// The client's path is a connection, not UDP.
    pub(crate) tcp: bool,
    /// Data channels are agreed on.
    pub(crate) data: bool,
    /// What it says on them goes to the publisher.
    pub(crate) may_speak: bool,
    /// The payload type under which a viewer takes redundant sound, where it does.
    pub(crate) red: Option<u8>,
    /// What else was agreed than usual.
    pub(crate) terms: fn(&mut Description),
    /// A publisher's rids, named by the header extensions [`RID`] and [`REPAIRED_RID`].
    pub(crate) rids: &'static [&'static str],
}

/// The header extension of a rid.
pub(crate) const RID: u8 = 10;
/// The header extension of the rid that is repaired.
pub(crate) const REPAIRED_RID: u8 = 11;

impl Opening {
    pub(crate) fn publisher(worker: usize) -> Self {
        Self {
            worker,
            direction: Direction::Publish,
            stream: STREAM,
            rtx: true,
            transport_cc: false,
            wrong_fingerprint: false,
            versions: DtlsVersions::Any,
            node_role: DtlsRole::Server,
            first: (1_000, 777_000),
            tcp: false,
            data: false,
            may_speak: false,
            red: None,
            terms: |_| {},
            rids: &[],
        }
    }

    pub(crate) fn viewer(worker: usize) -> Self {
        Self { direction: Direction::Play, ..Self::publisher(worker) }
    }
}
