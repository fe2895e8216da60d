//! What a viewer hears of data channels is what its own stream's publisher said: byte for byte; in order where the channel
//! is ordered; each message once; on a reliable channel all of them, within [`WHOLE_WITHIN`], or the channel is closed.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use corecast::data::dcep::ChannelTerms;
use corecast::time::Timestamp;

use super::Violation;
use crate::data::KINDS;

const RULE: &str = "data";

/// A reliable channel has brought what was said so long ago, or is closed: the ring's five seconds, and repeats.
pub(crate) const WHOLE_WITHIN: Duration = Duration::from_secs(9);

/// A message as it was said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) at: Timestamp,
    pub(crate) len: usize,
}

/// What one publication said, by kind of channel.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) publication: u32,
    pub(crate) stream: usize,
    pub(crate) retains: bool,
    pub(crate) said: [Vec<Said>; KINDS.len()],
}

pub(crate) type SharedTalk = Rc<RefCell<Talk>>;

/// What a message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) publication: u32,
    pub(crate) kind: u32,
    pub(crate) number: u64,
}

impl Stamp {
    pub(crate) const BYTES: usize = 16;

    /// The whole message.
    pub(crate) fn message(&self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&self.publication.to_be_bytes());
        bytes.extend_from_slice(&self.kind.to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend((Self::BYTES..len).map(|at| (self.number as u8).wrapping_add(at as u8)));
        bytes
    }

    fn read(message: &[u8]) -> Option<Self> {
        let (publication, rest) = message.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        let (publication, kind) = (u32::from_be_bytes(*publication), u32::from_be_bytes(*kind));
        Some(Self { publication, kind, number: u64::from_be_bytes(*number) })
    }
}

/// One channel of one viewer.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    talk: SharedTalk,
    kind: usize,
    opened: Timestamp,
    first: Option<u64>,
    next: u64,
    /// Below `next`, and not heard: when the gap was seen.
    missing: BTreeMap<u64, Timestamp>,
    /// Those before the first that came later.
    earlier: Vec<u64>,
}

fn broken(what: impl Into<String>) -> Violation {
    Violation::new(RULE, what)
}

impl Heard {
    /// A channel that the node opens.
    pub(crate) fn begin(
        terms: &ChannelTerms,
        talks: &HashMap<u32, SharedTalk>,
        stream: usize,
        now: Timestamp,
    ) -> Result<Self, Violation> {
        let parts = terms
            .label
            .split_once('/')
            .and_then(|(publication, kind)| Some((publication.parse::<u32>().ok()?, kind.parse::<usize>().ok()?)));
        let Some((publication, kind)) = parts else { return Err(broken(format!("a channel {:?}", terms.label))) };
        let talk = talks.get(&publication).filter(|talk| talk.borrow().stream == stream);
        let Some(talk) = talk else {
            return Err(broken(format!("a channel of publication {publication}, not its own")));
        };
        if KINDS.get(kind) != Some(&terms.delivery) {
            return Err(broken(format!("{terms:?} is not as it was opened")));
        }
        let talk = Rc::clone(talk);
        let (first, missing, earlier) = (None, BTreeMap::new(), Vec::new());
        Ok(Self { talk, kind, opened: now, first, next: 0, missing, earlier })
    }

    fn is_reliable(&self) -> bool {
        KINDS[self.kind].is_reliable()
    }

    /// A message came.
    pub(crate) fn hear(&mut self, message: &[u8], now: Timestamp) -> Result<(), Violation> {
        let stamp = Stamp::read(message).ok_or_else(|| broken("a message without a stamp"))?;
        let talk = self.talk.borrow();
        if stamp.publication != talk.publication || stamp.kind != self.kind as u32 {
            return Err(broken(format!("{stamp:?} on channel {} of publication {}", self.kind, talk.publication)));
        }
        let said = talk.said[self.kind].get(stamp.number as usize);
        if said.is_none_or(|said| stamp.message(said.len) != message) {
            return Err(broken(format!("{stamp:?} was not said so")));
        }
        let (number, ordered) = (stamp.number, KINDS[self.kind].ordered);
        let first = *self.first.get_or_insert_with(|| {
            self.next = number;
            number
        });
        if number >= self.next {
            if number > self.next && ordered && self.is_reliable() {
                return Err(broken(format!("{stamp:?} comes where {} should", self.next)));
            }
            for number in self.next..number {
                self.missing.insert(number, now);
            }
            self.next = number + 1;
            return Ok(());
        }
        let is_new = match number < first {
            true if self.earlier.contains(&number) => false,
            true => {
                self.earlier.push(number);
                true
            }
            false => self.missing.remove(&number).is_some(),
        };
        match is_new {
            _ if ordered => Err(broken(format!("{stamp:?} comes behind {}", self.next - 1))),
            false => Err(broken(format!("{stamp:?} comes twice"))),
            true => Ok(()),
        }
    }

    /// Judges what should be there: nothing has disturbed the viewer since `calm`.
    pub(crate) fn is_whole(&self, now: Timestamp, calm: Timestamp) -> Result<(), Violation> {
        let old = now - WHOLE_WITHIN;
        let since = self.opened.max(calm);
        if !self.is_reliable() || since >= old {
            return Ok(());
        }
        let talk = self.talk.borrow();
        let said = &talk.said[self.kind];
        // What was said since it was open and calm, and long enough ago.
        let from = said.partition_point(|said| said.at <= since + Duration::from_secs(1));
        let to = said.partition_point(|said| said.at <= old);
        let wanted = |number: usize| {
            let number = number as u64;
            let is_ahead = self.first.is_none() || number >= self.next;
            (from..to).contains(&(number as usize)) && (is_ahead || self.missing.contains_key(&number))
        };
        match (from..to).find(|number| wanted(*number)) {
            Some(number) => Err(broken(format!(
                "message {number} of channel {} of publication {} did not come, said at {:?}; heard up to {}, open since {:?}",
                self.kind, talk.publication, said[number].at, self.next, self.opened
            ))),
            None => Ok(()),
        }
    }

    /// Messages that did not come.
    pub(crate) fn dropped(&self) -> u64 {
        self.missing.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(kind: usize) -> Heard {
        let said =
            std::array::from_fn(|_| (0..40).map(|at| Said { at: Timestamp::from_millis(at), len: 30 }).collect());
        let talk = Rc::new(RefCell::new(Talk { publication: 7, stream: 0, retains: false, said }));
        let terms = ChannelTerms { label: format!("7/{kind}"), protocol: String::new(), delivery: KINDS[kind] };
        Heard::begin(&terms, &HashMap::from([(7, talk)]), 0, Timestamp::ZERO).unwrap()
    }

    fn hears(kind: usize, numbers: &[u64]) -> bool {
        let mut heard = heard(kind);
        let message = |number| Stamp { publication: 7, kind: kind as u32, number }.message(30);
        numbers.iter().all(|number| heard.hear(&message(*number), Timestamp::ZERO).is_ok())
    }

    #[test]
    fn each_kind_of_channel_has_its_own_order() {
        assert!(hears(0, &[5, 6, 7]) && !hears(0, &[5, 7]) && !hears(0, &[5, 5]));
        assert!(hears(1, &[5, 8, 6, 4, 7]) && !hears(1, &[5, 8, 8]) && !hears(1, &[5, 8, 4, 4]));
        assert!(hears(2, &[5, 9, 11]) && !hears(2, &[5, 9, 7]));
        assert!(hears(3, &[5, 9, 7]) && !hears(3, &[5, 9, 9]));
    }

    #[test]
    fn what_a_reliable_channel_does_not_bring_is_missed() {
        let late = Timestamp::from_millis(3_000) + WHOLE_WITHIN;
        for kind in 0..4 {
            let mut heard = heard(kind);
            assert!(
                heard.is_whole(late, Timestamp::ZERO).is_ok(),
                "what was said in its first second may be before it"
            );
            heard.opened = Timestamp::ZERO;
            heard.talk.borrow_mut().said[kind].push(Said { at: Timestamp::from_millis(1_500), len: 30 });
            assert_eq!(heard.is_whole(late, Timestamp::ZERO).is_err(), kind < 2);
            assert!(heard.is_whole(late, late - Duration::from_secs(1)).is_ok());
        }
    }

    #[test]
    fn what_nobody_said_is_found() {
        let mut heard = heard(0);
        let stamp = Stamp { publication: 7, kind: 0, number: 3 };
        let mut other = stamp.message(30);
        other[29] ^= 1;
        for message in [other, stamp.message(31), Stamp { number: 40, ..stamp }.message(30)] {
            assert!(heard.hear(&message, Timestamp::ZERO).is_err());
        }
        assert!(heard.hear(&stamp.message(30), Timestamp::ZERO).is_ok());
    }
}
