//! Goes on with what is given to other workers of the past: see [`crate::worker::replay`].

use std::time::Duration;

use crate::limits;
use crate::relay::store::address::RecordAddress;
use crate::relay::store::encoding::Encoding;
use crate::relay::store::record::Record;
use crate::time::Timestamp;
use crate::worker::distribution::introduce;
use crate::worker::lane::Lanes;
use crate::worker::replay::Replay;
use crate::worker::stream::{Audience, EncodingKey};
use crate::worker::streams::Streams;

/// How soon a round goes on with what did not fit.
const PAUSE: Duration = Duration::from_millis(1);

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// More is to come.
    GoesOn,
    /// The reader has all there is.
    Done,
    /// It cannot be done.
    GivenUp,
}

fn turn(replay: &mut Replay, encoding: &Encoding, address: RecordAddress, lanes: &mut Lanes, now: Timestamp) -> Turn {
    let is_there = replay.next.unwrap_or(replay.start.position) >= encoding.ring.tail();
    let is_old = now.since(replay.began) > limits::REPLAY_TIME_MAX;
    if !is_there || is_old || !encoding.may_start_at(replay.start.position) {
        return Turn::GivenUp;
    }
    let mut next = match replay.next {
        Some(next) => next,
        None if !lanes.is_half_empty(replay.worker) => return Turn::GoesOn,
        None => {
            let format = encoding.codec().copied().map(Record::Format);
            let told = format.into_iter().chain([Record::Replay(replay.packets)]);
            if !introduce(lanes, replay.worker, address, told) {
                return Turn::GivenUp;
            }
            replay.start.position
        }
    };
    for _ in 0..limits::REPLAYED_PER_ROUND_MAX {
        if next >= encoding.ring.head() || !lanes.is_half_empty(replay.worker) {
            break;
        }
        if let Some(record) = encoding.record_at(next, replay.start)
            && !lanes.send(replay.worker, address, &Record::Media(record))
        {
            return Turn::GivenUp;
        }
        next = next.next();
    }
    replay.next = Some(next);
    if next < encoding.ring.head() {
        return Turn::GoesOn;
    }
    if let Some(clock) = encoding.clock_record() {
        lanes.send(replay.worker, address, &clock);
    }
    Turn::Done
}

/// Goes on with what is to be replayed.
pub(in crate::worker) fn run(streams: &mut Streams, lanes: &mut Lanes, now: Timestamp) {
    if streams.replays.is_empty() {
        return;
    }
    let mut replays = std::mem::take(&mut streams.replays);
    replays.retain_mut(|replay| {
        let EncodingKey { stream, encoding: id } = replay.key;
        let Some(stream) = streams.get_mut(stream) else { return false };
        let address = RecordAddress { stream: stream.id, encoding: id };
        let is_it = |audience: &Audience| audience.listener.worker == replay.worker && audience.replayed.contains(id);
        let Some(place) = stream.audience.iter().position(is_it) else { return false };
        let is_wanted = stream.audience.get(place).is_some_and(|audience| audience.wanted.contains(id));
        let turn = match stream.encoding(id).filter(|_| is_wanted) {
            Some(encoding) => turn(replay, encoding, address, lanes, now),
            None => Turn::GivenUp,
        };
        if turn == Turn::GoesOn {
            return true;
        }
        let Some(audience) = stream.audience.get_mut(place) else { return false };
        audience.replayed.remove(id);
        audience.introduced.set(id, turn == Turn::Done);
        false
    });
    streams.replays_due = (!replays.is_empty()).then(|| now + PAUSE);
    streams.replays = replays;
}
