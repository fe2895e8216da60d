//! A reload's [`Change`], put in place. It comes through a mailbox from whoever reads the configuration again and takes
//! one turn of the executor: every request sees all of it or nothing.

use std::rc::Rc;

use super::admission::Door;
use super::authorise::Authorisation;
use super::keeper::SessionKeeper;
use super::live::{Change, Settings, Terms};

/// The parts that a change reaches.
pub(super) struct Changes {
    pub(super) settings: Rc<Settings>,
    pub(super) authorisation: Rc<Authorisation>,
    pub(super) door: Rc<Door>,
    pub(super) keeper: Rc<SessionKeeper>,
}

impl Changes {
    /// Puts changes in place, as they come.
    pub(super) async fn hear(self, changes: flume::Receiver<Change>) {
        while let Ok(Change { live, authoriser, in_place }) = changes.recv_async().await {
            let terms = Terms::new(live);
            self.keeper.set_bounds(terms.bounds());
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
