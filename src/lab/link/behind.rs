//! A client behind a link: what it is sent comes through one direction, what it sends goes through the other. Sans I/O, as the
//! client itself: in virtual time and in a load thread alike.

use std::collections::VecDeque;
use std::sync::Arc;

use super::model::{Fate, Link};
use super::script::{Script, Way};
use crate::lab::peer::fleet::Agent;
use crate::lab::peer::record::LoadRecord;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::PathId;
use crate::transport::train::TrainBatch;

#[derive(Debug)]
struct Waiting {
    at: Timestamp,
    bytes: Vec<u8>,
}

/// A client and its link.
#[derive(Debug)]
pub struct Behind<A> {
    agent: A,
    down: Link,
    up: Link,
    /// On their way to the client, and from it; ascending by time.
    coming: VecDeque<Waiting>,
    going: VecDeque<Waiting>,
}

impl<A: Agent> Behind<A> {
    /// Puts a client behind a link whose script begins now.
    #[must_use]
    pub fn new(agent: A, script: &Arc<Script>, seed: u64, now: Timestamp) -> Self {
        let link = |way, seed| Link::new(Arc::clone(script), way, seed, now);
        Self {
            agent,
            down: link(Way::Down, seed),
            up: link(Way::Up, seed ^ 0x5bd1_e995),
            coming: VecDeque::new(),
            going: VecDeque::new(),
        }
    }

    /// The client.
    pub fn agent(&self) -> &A {
        &self.agent
    }

    /// The client.
    pub fn agent_mut(&mut self) -> &mut A {
        &mut self.agent
    }

    fn carry(link: &mut Link, waiting: &mut VecDeque<Waiting>, bytes: &[u8], now: Timestamp, record: &mut LoadRecord) {
        if waiting.len() == limits::LINK_DATAGRAMS_MAX {
            record.counts.link_dropped += 1;
            return;
        }
        match link.carry(now, bytes.len()) {
            Fate::Arrives { at, .. } => waiting.push_back(Waiting { at, bytes: bytes.to_vec() }),
            Fate::Lost => record.counts.link_lost += 1,
            Fate::Dropped => record.counts.link_dropped += 1,
        }
    }

    /// Lets the client do something, and puts what it sends onto the link. What is in the batch before has left the link.
    fn act(
        &mut self,
        now: Timestamp,
        out: &mut TrainBatch,
        record: &mut LoadRecord,
        what: impl FnOnce(&mut A, &mut TrainBatch, &mut LoadRecord),
    ) {
        let left = datagrams(out);
        out.clear();
        what(&mut self.agent, out, record);
        for datagram in datagrams(out) {
            Self::carry(&mut self.up, &mut self.going, &datagram, now, record);
        }
        out.clear();
        left.iter().for_each(|datagram| put(out, datagram));
    }

    /// Hands over what has arrived at either end.
    fn deliver(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        while is_due(&self.coming, now)
            && let Some(mut arrived) = self.coming.pop_front()
        {
            let (bytes, at) = (&mut arrived.bytes, arrived.at);
            self.act(now, out, record, |agent, out, record| agent.handle_datagram(bytes, at, out, record));
        }
        while out.has_room(limits::DATAGRAM_OUT_BYTES_MAX)
            && is_due(&self.going, now)
            && let Some(arrived) = self.going.pop_front()
        {
            put(out, &arrived.bytes);
        }
    }
}

fn is_due(waiting: &VecDeque<Waiting>, now: Timestamp) -> bool {
    waiting.front().is_some_and(|first| first.at <= now)
}

fn datagrams(out: &TrainBatch) -> Vec<Vec<u8>> {
    let trains = out.trains().iter();
    trains
        .flat_map(|train| out.bytes(train).chunks(usize::from(train.segment_size).max(1)).map(<[u8]>::to_vec))
        .collect()
}

fn put(out: &mut TrainBatch, datagram: &[u8]) {
    let Some(slot) = out.slot().get_mut(..datagram.len()) else { return };
    slot.copy_from_slice(datagram);
    out.commit(PathId::default(), datagram.len());
}

impl<A: Agent> Agent for Behind<A> {
    fn handle_datagram(
        &mut self,
        bytes: &mut [u8],
        received: Timestamp,
        out: &mut TrainBatch,
        record: &mut LoadRecord,
    ) {
        Self::carry(&mut self.down, &mut self.coming, bytes, received, record);
        self.deliver(received, out, record);
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        self.deliver(now, out, record);
        if self.agent.next_deadline().is_some_and(|due| due <= now) {
            self.act(now, out, record, |agent, out, record| agent.handle_timeout(now, out, record));
            self.deliver(now, out, record);
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let waiting = [self.coming.front(), self.going.front()].into_iter().flatten().map(|waiting| waiting.at);
        waiting.chain(self.agent.next_deadline()).min()
    }

    /// What it says goes past the link: nobody is left to hand it over later.
    fn leave(&mut self, now: Timestamp, out: &mut TrainBatch) {
        self.agent.leave(now, out);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Says back what it hears, and something of its own at 5 ms.
    #[derive(Debug, Default)]
    struct Echo {
        heard: Vec<(Timestamp, Vec<u8>)>,
        spoke: bool,
    }

    impl Agent for Echo {
        fn handle_datagram(&mut self, bytes: &mut [u8], at: Timestamp, out: &mut TrainBatch, _: &mut LoadRecord) {
            self.heard.push((at, bytes.to_vec()));
            out.slot()[..bytes.len()].copy_from_slice(bytes);
            out.commit(PathId::default(), bytes.len());
        }

        fn handle_timeout(&mut self, _: Timestamp, out: &mut TrainBatch, _: &mut LoadRecord) {
            self.spoke = true;
            out.slot()[..1].copy_from_slice(&[9]);
            out.commit(PathId::default(), 1);
        }

        fn next_deadline(&self) -> Option<Timestamp> {
            (!self.spoke).then_some(Timestamp::from_millis(5))
        }

        fn leave(&mut self, _: Timestamp, _: &mut TrainBatch) {}
    }

    #[test]
    fn what_comes_and_what_goes_takes_the_links_time() {
        let script = Arc::new(Script::parse("0s rate=1M delay=10ms up.delay=20ms").unwrap());
        let mut behind = Behind::new(Echo::default(), &script, 1, Timestamp::ZERO);
        let (mut out, mut record) = (TrainBatch::new(), LoadRecord::default());
        for value in [1, 2] {
            behind.handle_datagram(&mut [value; 972], Timestamp::ZERO, &mut out, &mut record);
        }
        let (mut sent, mut rounds) = (Vec::new(), 0);
        while let Some(now) = behind.next_deadline() {
            behind.handle_timeout(now, &mut out, &mut record);
            for train in out.trains() {
                sent.extend(out.bytes(train).chunks(usize::from(train.segment_size)).map(|bytes| (now, bytes[0])));
            }
            out.clear();
            rounds += 1;
            assert!(rounds < 20);
        }
        let ms = Timestamp::from_millis;
        let heard: Vec<_> = behind.agent().heard.iter().map(|(at, bytes)| (*at, bytes[0])).collect();
        assert_eq!(heard, [(ms(18), 1), (ms(26), 2)]);
        assert_eq!(sent, [(ms(25), 9), (ms(38), 1), (ms(46), 2)]);
    }

    #[test]
    fn datagrams_that_wait_are_bounded() {
        let script = Arc::new(Script::parse("0s delay=10s").unwrap());
        let mut behind = Behind::new(Echo::default(), &script, 1, Timestamp::ZERO);
        let (mut out, mut record) = (TrainBatch::new(), LoadRecord::default());
        for _ in 0..limits::LINK_DATAGRAMS_MAX + 3 {
            behind.handle_datagram(&mut [0; 10], Timestamp::ZERO + Duration::from_millis(1), &mut out, &mut record);
        }
        assert_eq!((record.counts.link_dropped, behind.coming.len()), (3, limits::LINK_DATAGRAMS_MAX));
    }
}
