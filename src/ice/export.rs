//! The agent as bytes, for another process of the node that goes on with its session.

use super::agent::IceLite;
use super::validated::Validated;
use crate::description::IceCredentials;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::PathId;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// The format version that [`IceLite::export`] writes.
const STATE_VERSION: u8 = 2;

impl IceLite {
    /// Writes the agent's state, consuming it: credentials, validated paths with what is proven of them, the selected
    /// one, the secret, remembered transactions. A nomination that waits for an answer is left out: the peer repeats it.
    /// `path` writes one path in a form that the other process can read.
    pub fn export(self, now: Timestamp, out: &mut StateWriter, path: &mut dyn FnMut(&mut StateWriter, PathId)) {
        out.version(STATE_VERSION);
        self.local.export(out);
        self.remote.export(out);
        out.option(self.previous, |out, (local, remote)| {
            local.export(out);
            remote.export(out);
        });
        out.count(self.validated.len());
        for validated in &self.validated {
            path(out, validated.path);
            validated.export(now, out);
        }
        out.option(self.selected, |out, selected| path(out, selected));
        out.bool(self.nominated);
        out.bool(self.connected);
        out.bool(self.peer_answers);
        out.raw(&self.secret);
        for transaction in self.recent.transactions {
            out.option(transaction, |out, transaction| out.raw(&transaction));
        }
        out.count(self.recent.next);
    }

    /// Reads what [`Self::export`] wrote; `path` reads one path.
    ///
    /// # Errors
    /// When it is not such a state.
    pub fn import(
        now: Timestamp,
        from: &mut StateReader<'_>,
        path: &mut dyn FnMut(&mut StateReader<'_>) -> Result<PathId, ImportError>,
    ) -> Result<Self, ImportError> {
        from.version("an ICE agent", STATE_VERSION)?;
        let credentials = (IceCredentials::import(from)?, IceCredentials::import(from)?);
        let mut agent = Self::new(credentials.0, credentials.1, [0; limits::ICE_SECRET_BYTES]);
        agent.previous = from.option(|from| Ok((IceCredentials::import(from)?, IceCredentials::import(from)?)))?;
        for _ in 0..from.count(limits::PATHS_PER_SESSION_MAX)? {
            let path = path(from)?;
            agent.validated.push(Validated::import(path, now, from)?);
        }
        agent.selected = from.option(|from| path(from))?;
        agent.nominated = from.bool()?;
        agent.connected = from.bool()?;
        agent.peer_answers = from.bool()?;
        agent.secret = from.array()?;
        for transaction in &mut agent.recent.transactions {
            *transaction = from.option(StateReader::array)?;
        }
        agent.recent.next = from.count(limits::CHECKS_REMEMBERED.saturating_sub(1))?;
        agent.update(now);
        Ok(agent)
    }
}
