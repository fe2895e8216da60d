//! Sessions that have ended, by the last part of their URLs. Whoever knows such a URL owned the session: it may learn how
//! the session ended, and its `DELETE` of what is gone already is no error (RFC 9110 §9.2.2: it is idempotent).
//!
//! The newest are kept, so many and no more. There is no clock here.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use crate::description::Direction;
use crate::limits;
use crate::signal::stream_name::StreamName;
use crate::worker::mailbox::EndReason;

/// What remains of a session with a URL.
#[derive(Debug)]
struct Former {
    name: StreamName,
    direction: Direction,
    reason: EndReason,
}

/// The newest former URLs.
#[derive(Default)]
pub(super) struct FormerUrls {
    by_token: HashMap<String, Former>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl FormerUrls {
    /// A session has lost its URL. The oldest one makes room.
    pub(super) fn add(&mut self, token: String, name: StreamName, direction: Direction, reason: EndReason) {
        if self.order.len() >= limits::FORMER_SESSIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_token.remove(&oldest);
        }
        self.order.push_back(token.clone());
        self.by_token.insert(token, Former { name, direction, reason });
    }

    /// How the session at a URL ended. Token, stream and direction must all match.
    pub(super) fn find(&self, token: &str, stream_name: &str, direction: Direction) -> Option<EndReason> {
        let former = self.by_token.get(token)?;
        (former.direction == direction && former.name.as_str() == stream_name).then_some(former.reason)
    }
}

/// Tokens are secrets, and are not shown.
impl fmt::Debug for FormerUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormerUrls").field("count", &self.order.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_found_by_all_three() {
        let mut former = FormerUrls::default();
        let name = StreamName::parse("live").unwrap();
        for number in 0..=limits::FORMER_SESSIONS_MAX {
            former.add(format!("t{number}"), name.clone(), Direction::Publish, EndReason::Replaced);
        }
        assert_eq!(former.find("t0", "live", Direction::Publish), None, "the oldest made room");
        assert_eq!(former.find("t1", "live", Direction::Publish), Some(EndReason::Replaced));
        assert_eq!(former.find("t1", "other", Direction::Publish), None);
        assert_eq!(former.find("t1", "live", Direction::Play), None);
        assert_eq!(former.by_token.len(), limits::FORMER_SESSIONS_MAX);
        assert!(!format!("{former:?}").contains("t1"));
    }
}
