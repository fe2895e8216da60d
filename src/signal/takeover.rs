//! A publisher takes over a name that has a publisher: who may, and when.
//!
//! An encoder that was killed says no goodbye, and comes back within a second. Its own session would keep its name for half a
//! minute. `publish.takeover` says whether the present publisher is ended for whom; whatever it says, but for `never`, one
//! that was silent for [`limits::PUBLISHER_SILENCE_MAX`](crate::limits::PUBLISHER_SILENCE_MAX) yields to everyone who may
//! publish the name. Viewers stay: they wait for a publisher, and the next one continues their numbers and their time.
//!
//! Not here: who a client is ([`Grant::is_of_same_client`]), and names that other nodes own ([`super::ownership`]).

use super::answers::Answers;
use super::keeper::SessionKeeper;
use super::problem::Problem;
use super::random;
use super::stream_name::StreamName;
use crate::auth::Grant;
use crate::config::Takeover;
use crate::description::Direction;
use crate::placement;
use crate::worker::mailbox::SessionId;

/// Who wants a name, and what with.
pub(super) struct Newcomer<'a> {
    pub(super) grant: &'a Grant,
    pub(super) session: SessionId,
    pub(super) name: &'a StreamName,
    pub(super) offer: &'a str,
}

/// Why a name was not freed.
pub(super) enum NotFreed {
    /// Its publisher does not yield.
    Taken,
    /// The newcomer's offer cannot be served.
    Refused(Problem),
}

/// Frees a name that has a publisher, if that one has to yield to the newcomer.
///
/// Nothing happens to the publisher unless the offer that is to replace it can be served.
pub(super) async fn free_name(
    keeper: &SessionKeeper,
    answers: &Answers,
    takeover: Takeover,
    newcomer: Newcomer<'_>,
) -> Result<(), NotFreed> {
    let Newcomer { grant, session, name, offer } = newcomer;
    // One that still opens is nobody's to replace: it is as new as this one.
    let (publisher, is_same) = keeper.publisher_of(name, grant).ok_or(NotFreed::Taken)?;
    let only_if_silent = match takeover {
        Takeover::Never => return Err(NotFreed::Taken),
        Takeover::SameSubject => !is_same,
        Takeover::Any => false,
    };
    let (worker, _) = placement::choose(session, keeper.workers().count());
    let worker = keeper.workers().handle(worker);
    answers.answer(offer, Direction::Publish, worker, &random::token(), name).map_err(NotFreed::Refused)?;
    if !keeper.replace(publisher, only_if_silent).await {
        return Err(NotFreed::Taken);
    }
    tracing::info!(stream = %name, from = publisher.0, to = session.0, "the name was taken over");
    Ok(())
}
