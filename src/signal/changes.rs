//! Applies the [`Change`] of a reload. It comes through a mailbox from the code that reads the configuration again.
//! Applying it takes one turn of the executor, so every request sees all of it or nothing.

use std::rc::Rc;

use super::admission::Door;
use super::authorise::Authorisation;
use super::keeper::SessionKeeper;
use super::live::{Change, LiveSettings, Terms};

/// The parts that a change affects.
pub(super) struct Changes {
    pub(super) settings: Rc<LiveSettings>,
    pub(super) authorisation: Rc<Authorisation>,
    pub(super) door: Rc<Door>,
    pub(super) keeper: Rc<SessionKeeper>,
}

impl Changes {
    /// Applies changes as they arrive.
    pub(super) async fn hear(self, changes: flume::Receiver<Change>) {
        while let Ok(Change { live, authoriser, in_place }) = changes.recv_async().await {
            let terms = Terms::new(live);
            self.keeper.set_bounds(terms.bounds());
            self.keeper.set_plain_clients(terms.live.plain_clients);
            self.door.change(&terms.live.admission);
            self.settings.replace(terms);
            if let Some(authoriser) = authoriser {
                self.authorisation.replace(authoriser);
            }
            self.authorisation.now().limit_joins(&self.settings.now().live.admission);
            let _ = in_place.try_send(());
        }
    }
}
