//! The trains that were sampled: which transport-wide numbers, how many bytes, and when they left; and what feedback says of
//! each.
//!
//! A *train* is a run of a frame's packets that leave together, at most [`limits::TRAIN_PACKETS_SAMPLED_MAX`] of them. The node
//! may be visited once per packet while a frame still arrives, so that a train's packets do not always leave at once: its
//! *spread* is how long that took, and says how much of the spread on arrival is the network's.
//!
//! A link may pass the first packets of a train at once: a token bucket does, and the kernel's smallest holds a packet. So a train's
//! rate is that of what comes after [`limits::TRAIN_BYTES_UNRATED`]; a train that is no longer than that is *short*, and its rate
//! is an upper bound.
//!
//! Times are in the ticks of transport-wide feedback (250 µs) of 16 bits, which wrap after 16 s: a train older than
//! [`limits::TRAIN_AGE_MAX`] is forgotten. The receiver's clock is another one, of which only differences count.
//!
//! | What feedback may say | What becomes of it |
//! |---|---|
//! | a number for the first time | counted |
//! | a number again | nothing, except that what was missing has arrived after all |
//! | a number that was sent and is forgotten | it is as late as the oldest that is remembered, at least |
//! | a number that was never sent | ignored, counted |
//! | a train that the kernel refused | nothing: that is this node's loss |

use std::time::Duration;

use super::millis::Millis;
use crate::limits;
use crate::time::Timestamp;
use crate::wire::rtcp::transport_feedback::{REFERENCE_TIME_TICKS, TICK_US, TransportFeedback};

const TRAINS: usize = limits::TRAINS_SAMPLED_MAX;

/// A run of packets that left together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Train {
    /// The number of its first packet.
    first: u16,
    /// Which of its packets feedback has told of: one bit each.
    told: u16,
    /// Which have arrived.
    arrived: u16,
    /// Of the packets after its first: what its spread is the time of.
    bytes: u16,
    /// When its first packet left, in ticks.
    sent: u16,
    packets: u8,
    /// Ticks from its first packet to its last, and [`REFUSED`].
    spread: u8,
}

impl Train {
    /// The index of the packet that completes [`limits::TRAIN_BYTES_UNRATED`], beyond its last where none does.
    fn rated_from(&self) -> u8 {
        let gaps = u16::from(self.packets).saturating_sub(1);
        let Some(each) = self.bytes.checked_div(gaps).filter(|&each| each > 0) else { return u8::MAX };
        // The first, which may be short, is not counted on.
        u8::try_from(limits::TRAIN_BYTES_UNRATED.div_ceil(each)).unwrap_or(u8::MAX)
    }
}

/// The kernel refused a packet of the train.
const REFUSED: u8 = u8::MAX;

const _: () = assert!(size_of::<Train>() == 12);
const _: () = assert!(limits::TRAIN_PACKETS_SAMPLED_MAX <= u16::BITS as usize);
const _: () = assert!(limits::TRAIN_PACKETS_SAMPLED_MAX * limits::DATAGRAM_OUT_BYTES_MAX <= u16::MAX as usize);

/// What one piece of feedback shows of one train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Packets told of for the first time.
    pub told: u8,
    /// Of them, those that did not arrive.
    pub lost: u8,
    /// Packets that were told as lost before and have arrived.
    pub recovered: u8,
    /// Time of arrival less time of sending, in ticks of two clocks: of the first that arrived.
    pub delay: Option<u16>,
    /// When it was sent, in ticks.
    pub sent: u16,
    /// What arrived after the first that is rated, in bytes, and in how many ticks.
    pub spread: Option<Spread>,
    /// Ticks that it is late at least, where it is known no better.
    pub late_by: Option<u16>,
}

/// What became of a piece of feedback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Statuses of numbers that were never sent.
    pub never_sent: u32,
    /// Statuses that were not looked at, because one piece has too many.
    pub left_out: u32,
    /// Nothing of it was looked at: it came too soon after others.
    pub over_rate: bool,
}

/// How far the packets of a train were apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Bytes after the first packet that is rated.
    pub bytes: u32,
    /// Ticks between the first and the last on arrival.
    pub arrival_ticks: u16,
    /// The same when they were sent.
    pub sent_ticks: u16,
    /// The first that is rated came after what a link may pass at once. Without it the rate may be too high.
    pub is_long: bool,
}

/// One viewer's sampled trains.
#[derive(Debug)]
pub struct History {
    trains: [Train; TRAINS],
    /// The place of the newest.
    newest: u8,
    len: u8,
    /// The next number.
    next: u16,
    /// When the newest was begun.
    began: Millis,
    /// When the next frame is to be sampled.
    due: Millis,
    /// A frame is being sampled, and how many trains it may still begin.
    trains_left: u8,
    /// The newest train takes further packets.
    open: bool,
    /// Of how many of the newest packets nothing was told, as far as it counts.
    untold: u8,
    /// How often the pause between two sampled frames is doubled, because feedback comes later than the trains last.
    stretch: u8,
}

fn ticks(now: Timestamp) -> u16 {
    (now.as_nanos() / (TICK_US * 1_000)) as u16
}

impl History {
    pub(super) const fn new(now: Millis) -> Self {
        let none = Train { first: 0, told: 0, arrived: 0, bytes: 0, sent: 0, packets: 0, spread: 0 };
        Self {
            trains: [none; TRAINS],
            newest: 0,
            len: 0,
            next: 1,
            untold: 0,
            began: now,
            due: now,
            trains_left: 0,
            open: false,
            stretch: 0,
        }
    }

    /// See [`super::Bandwidth::samples`].
    #[inline]
    pub(super) fn samples(&mut self, interval: Duration, now: Millis) -> bool {
        if self.is_sampling() {
            return true;
        }
        let interval = interval * (1 << self.stretch);
        // The state may have become alert since it was set.
        let due = now.has_reached(self.due) || now.since(self.began) >= interval.as_millis() as u32;
        if due {
            self.due = now.plus(interval);
            self.trains_left = limits::TRAINS_PER_FRAME_SAMPLED_MAX;
        }
        due
    }

    /// When [`Self::samples`] next says so, while the state stays what it is.
    pub(super) const fn due(&self) -> Millis {
        self.due
    }

    /// See [`super::Bandwidth::is_sampling`].
    #[inline]
    pub(super) const fn is_sampling(&self) -> bool {
        self.open || self.trains_left > 0
    }

    pub(super) const fn next_number(&self) -> u16 {
        self.next
    }

    /// See [`super::Bandwidth::stamp`].
    #[inline]
    pub(super) fn stamp(&mut self, bytes: usize, ends_frame: bool, now: Millis) -> u16 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.untold = self.untold.saturating_add(1);
        let late = now.since(self.began) > limits::TRAIN_SPREAD_MAX.as_millis() as u32;
        if !self.open || late {
            self.begin(number, now);
        }
        if let Some(train) = self.trains.get_mut(usize::from(self.newest)) {
            if train.packets > 0 {
                train.bytes = train.bytes.saturating_add(u16::try_from(bytes).unwrap_or(u16::MAX));
            }
            train.packets = train.packets.saturating_add(1);
            self.open = usize::from(train.packets) < limits::TRAIN_PACKETS_SAMPLED_MAX;
        }
        if ends_frame {
            self.trains_left = 0;
            self.open = false;
        }
        number
    }

    /// See [`super::Bandwidth::asked`].
    #[inline]
    pub(super) const fn untold(&self) -> u16 {
        self.untold as u16
    }

    /// Whether the packet that was stamped last begins a train.
    #[inline]
    pub(super) fn begins_train(&self) -> bool {
        self.trains.get(usize::from(self.newest)).is_some_and(|train| train.packets == 1)
    }

    /// The train that is open ends here: see [`super::Bandwidth::paused`].
    pub(super) fn cut(&mut self) {
        self.open = false;
    }

    fn begin(&mut self, number: u16, now: Millis) {
        let pause = now.since(self.began);
        let longest = limits::TRAIN_AGE_MAX.as_millis() as u32;
        if pause > longest {
            self.len = 0;
        }
        // What is kept spans no more than the longest age, so that no tick of it is ambiguous.
        let at = now.low_bits().wrapping_mul(4);
        while let Some(oldest) = self.oldest()
            && self.trains.get(oldest).is_some_and(|train| u32::from(at.wrapping_sub(train.sent)) / 4 > longest)
        {
            self.len -= 1;
        }
        self.newest = (self.newest + 1) % TRAINS as u8;
        self.len = (self.len + 1).min(TRAINS as u8);
        // Until the kernel has it, it leaves now.
        let train = Train { first: number, sent: at, ..Train::default() };
        if let Some(place) = self.trains.get_mut(usize::from(self.newest)) {
            *place = train;
        }
        self.began = now;
        self.open = true;
        self.trains_left = self.trains_left.saturating_sub(1);
    }

    /// Whether nothing was told of any of as many trains as are remembered.
    pub(super) fn is_unanswered(&self) -> bool {
        usize::from(self.len) == TRAINS && self.trains.iter().all(|train| train.told == 0)
    }

    /// The place of the oldest.
    fn oldest(&self) -> Option<usize> {
        let back = self.len.checked_sub(1)?;
        Some((usize::from(self.newest) + TRAINS - usize::from(back)) % TRAINS)
    }

    /// The place of the train that a number is of, looked for from `hint` on.
    fn find(&self, number: u16, hint: usize) -> Option<usize> {
        let oldest = self.oldest()?;
        let len = usize::from(self.len);
        let from = (hint + TRAINS - oldest) % TRAINS;
        let from = if from < len { from } else { 0 };
        (0..len).map(|step| (oldest + (from + step) % len) % TRAINS).find(|&place| {
            self.trains.get(place).is_some_and(|train| number.wrapping_sub(train.first) < u16::from(train.packets))
        })
    }

    /// See [`super::Bandwidth::left`].
    pub(super) fn left(&mut self, number: u16, taken: bool, now: Timestamp) {
        let Some(train) = self.find(number, usize::from(self.newest)).and_then(|place| self.trains.get_mut(place))
        else {
            return;
        };
        let at = ticks(now);
        if !taken {
            train.spread = REFUSED;
        } else if train.first == number {
            train.sent = at;
        } else if train.spread != REFUSED {
            train.spread = u8::try_from(at.wrapping_sub(train.sent)).unwrap_or(REFUSED - 1).min(REFUSED - 1);
        }
    }

    /// Goes through feedback, and tells what it shows of each train.
    pub(super) fn fold(
        &mut self,
        feedback: &TransportFeedback<'_>,
        now: Timestamp,
        folded: &mut Folded,
        mut tell: impl FnMut(&Observation),
    ) {
        if self.len == 0 || Millis::of(now).since(self.began) > limits::TRAIN_AGE_MAX.as_millis() as u32 {
            // Nothing is remembered that it could be about.
            return;
        }
        let until = feedback.header.base_sequence.wrapping_add(feedback.status_count);
        let left = self.next.wrapping_sub(until);
        self.untold = u8::try_from(left).map_or(self.untold, |left| left.min(self.untold));
        let mut clock = feedback.header.reference_time.wrapping_mul(REFERENCE_TIME_TICKS as u32) as u16;
        let mut pass = Pass::default();
        let mut forgotten = false;
        let read = feedback.statuses().take(limits::TRANSPORT_STATUSES_FOLDED_MAX);
        folded.left_out = u32::from(feedback.status_count).saturating_sub(limits::TRANSPORT_STATUSES_FOLDED_MAX as u32);
        for (number, delta) in read {
            if !pass.covers(number) {
                self.tell(&pass, &mut tell);
                pass = self.pass_of(number);
                if !pass.covers(number) {
                    clock = clock.wrapping_add_signed(delta.unwrap_or(0));
                    if self.is_behind(number) {
                        forgotten |= delta.is_some();
                    } else {
                        folded.never_sent += 1;
                    }
                    continue;
                }
            }
            let index = number.wrapping_sub(pass.first);
            let bit = 1_u16 << index;
            pass.told |= bit;
            if let Some(delta) = delta {
                clock = clock.wrapping_add_signed(delta);
                pass.arrived |= bit;
                // What was overtaken says nothing of the train.
                if pass.told_before & bit == 0 {
                    if pass.packets_timed == 0 {
                        (pass.first_index, pass.first_arrival) = (index as u8, clock);
                    }
                    if index as u8 >= pass.rated_from && !pass.is_rated {
                        (pass.rated_index, pass.rated_arrival, pass.is_rated) = (index as u8, clock, true);
                    }
                    (pass.last_index, pass.last_arrival) = (index as u8, clock);
                    pass.packets_timed = pass.packets_timed.saturating_add(1);
                }
            }
        }
        // Where it comes well within what is remembered, the pause is shorter again.
        if pass.packets > 0 && self.age_of(pass.place) < TRAINS / 3 {
            self.stretch = self.stretch.saturating_sub(1);
        }
        self.tell(&pass, &mut tell);
        // An old number told late is late feedback or a late packet; only packets that arrived are as late as that.
        if forgotten
            && usize::from(self.len) == TRAINS
            && let Some(oldest) = self.oldest().and_then(|place| self.trains.get(place))
        {
            let late_by = ticks(now).wrapping_sub(oldest.sent);
            self.stretch = (self.stretch + 1).min(limits::SAMPLE_STRETCH_MAX);
            tell(&Observation { late_by: Some(late_by), sent: oldest.sent, ..Observation::default() });
        }
    }

    /// How many trains were begun since one.
    const fn age_of(&self, place: usize) -> usize {
        (self.newest as usize + TRAINS - place) % TRAINS
    }

    /// Whether a number was sent not long ago, though no train of it is remembered.
    const fn is_behind(&self, number: u16) -> bool {
        self.next.wrapping_sub(number).wrapping_sub(1) < limits::NUMBERS_REMEMBERED_AS_SENT
    }

    /// The train of a number, to gather what is told of it; one that covers nothing where there is none.
    fn pass_of(&self, number: u16) -> Pass {
        let Some(place) = self.find(number, usize::from(self.newest)) else { return Pass::default() };
        let Some(train) = self.trains.get(place) else { return Pass::default() };
        let (first, packets) = (train.first, train.packets.into());
        Pass { place, first, packets, told_before: train.told, rated_from: train.rated_from(), ..Pass::default() }
    }

    fn tell(&mut self, pass: &Pass, tell: &mut impl FnMut(&Observation)) {
        let Some(train) = self.trains.get_mut(pass.place).filter(|_| pass.told != 0) else { return };
        let new = pass.told & !train.told;
        let recovered = pass.arrived & train.told & !train.arrived;
        train.told |= pass.told;
        train.arrived |= pass.arrived;
        if train.spread == REFUSED || (new == 0 && recovered == 0) {
            return;
        }
        let count = |bits: u16| bits.count_ones() as u8;
        let mut seen = Observation {
            told: count(new),
            lost: count(new & !pass.arrived),
            recovered: count(recovered),
            sent: train.sent,
            ..Observation::default()
        };
        if pass.packets_timed > 0 {
            let gaps = u32::from(train.packets).saturating_sub(1);
            let part = |index: u8| (u32::from(train.spread) * u32::from(index)).checked_div(gaps).unwrap_or(0) as u16;
            seen.sent = train.sent.wrapping_add(part(pass.first_index));
            seen.delay = Some(pass.first_arrival.wrapping_sub(seen.sent));
            let is_long = pass.is_rated && pass.last_index > pass.rated_index;
            let (index, arrival) =
                if is_long { (pass.rated_index, pass.rated_arrival) } else { (pass.first_index, pass.first_arrival) };
            if pass.last_index > index
                && let Ok(arrival_ticks) = u16::try_from(pass.last_arrival.wrapping_sub(arrival).cast_signed())
            {
                // All packets of a train but its first are equally long or nearly: parameter sets are short.
                let between = u32::from(pass.last_index - index);
                let bytes = (u32::from(train.bytes) * between).checked_div(gaps).unwrap_or(0);
                let sent_ticks = part(pass.last_index).saturating_sub(part(index));
                seen.spread = Some(Spread { bytes, arrival_ticks, sent_ticks, is_long });
            }
        }
        tell(&seen);
    }
}

/// What is gathered of one train while feedback is gone through: one bit for each packet, and when the first and the last of
/// those arrived that were told of for the first time.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    place: usize,
    first: u16,
    packets: u16,
    told_before: u16,
    told: u16,
    arrived: u16,
    packets_timed: u8,
    first_index: u8,
    last_index: u8,
    first_arrival: u16,
    last_arrival: u16,
    /// The first packet from which on the train is rated, by its index; and the one that is rated from, where it has arrived.
    rated_from: u8,
    rated_index: u8,
    rated_arrival: u16,
    is_rated: bool,
}

impl Pass {
    #[inline]
    const fn covers(&self, number: u16) -> bool {
        number.wrapping_sub(self.first) < self.packets
    }
}

#[cfg(test)]
mod tests;
