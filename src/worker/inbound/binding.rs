//! STUN messages: a connectivity check names its session by the user fragment; a binding request without credentials is
//! answered by the node itself, as the STUN server of its own clients (RFC 8489 §2).

use crate::limits;
use crate::placement;
use crate::time::Timestamp;
use crate::transport::{Arrival, TrainBatch};
use crate::wire::stun::{self, StunClass, StunMessage, StunWriter};
use crate::worker::mailbox::WorkerIndex;
use crate::worker::peer::PeerKey;
use crate::worker::peers::Peers;
use crate::worker::plain_bindings::PlainBindings;
use crate::worker::reason::DropReason;

/// Whom a STUN message is for.
pub(super) enum Addressee {
    /// A session, by its user fragment.
    Session(PeerKey),
    /// Nobody in particular: the sender asks for its address.
    Node,
}

/// Reads whom a message is for.
///
/// # Errors
/// It is for nobody here; the name in metrics.
pub(super) fn addressee(message: &StunMessage<'_>, peers: &Peers, own: WorkerIndex) -> Result<Addressee, DropReason> {
    let Some(username) = message.username() else {
        if message.class() != StunClass::Request || message.method() != stun::BINDING {
            return Err(DropReason::StunNotARequest);
        }
        return Ok(Addressee::Node);
    };
    // RFC 8445 §7.2.2: our user fragment, a colon, the peer's.
    let username = std::str::from_utf8(username).unwrap_or_default();
    let session = username.split_once(':').and_then(|(ufrag, _)| peers.find_ufrag(ufrag));
    if let Some(key) = session {
        return Ok(Addressee::Session(key));
    }
    let worker = placement::worker_of(username.split(':').next().unwrap_or_default());
    let elsewhere = worker.is_some_and(|worker| worker != own);
    Err(if elsewhere { DropReason::StunWrongWorker } else { DropReason::StunUnknownUser })
}

/// Answers a plain binding request, at a bounded rate.
///
/// # Errors
/// It was one too many.
pub(super) fn answer(
    rate: &mut PlainBindings,
    request: &StunMessage<'_>,
    from: Arrival,
    out: &mut TrainBatch,
    now: Timestamp,
) -> Result<(), DropReason> {
    if !rate.may_answer(now) || !out.has_room(limits::STUN_REPLY_BYTES_MAX) {
        return Err(DropReason::PlainBindingsOverRate);
    }
    rate.answered();
    let reply = StunWriter::binding_success(out.slot(), request.transaction_id())
        .xor_mapped_address(from.remote)
        .fingerprint()
        .finish();
    if let Some(len) = reply {
        out.commit(from.path, len);
    }
    Ok(())
}
