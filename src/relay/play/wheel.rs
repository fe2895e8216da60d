//! What waits for its time, to the millisecond: filed and taken out at the same cost however many wait. With 5,000 viewers in
//! the middle of a key frame a heap costs several times as much (`cargo bench --bench relay later`).
//!
//! A slot is a millisecond, and there are 64; what is due later than that waits in the last slot, and is filed anew when that
//! one's time has come. Those of one slot are taken out in the order in which they were filed. Nothing is given back before its
//! time, and a millisecond later at most.

use crate::time::Timestamp;

const SLOTS: u64 = 64;
const NONE: u32 = u32::MAX;
const NANOS_PER_TICK: u64 = 1_000_000;

/// Items with the times at which they are due.
#[derive(Debug)]
pub struct Wheel<T> {
    entries: Vec<Entry<T>>,
    /// The first of the entries that are not in use.
    free: u32,
    slots: [Chain; SLOTS as usize],
    /// One bit for each slot that holds anything.
    occupied: u64,
    /// The tick of the first slot: nothing is due before.
    first: u64,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    tick: u64,
    next: u32,
    item: T,
}

#[derive(Clone, Copy, Debug)]
struct Chain {
    head: u32,
    tail: u32,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        let slots = [Chain { head: NONE, tail: NONE }; SLOTS as usize];
        Self { entries: Vec::new(), free: NONE, slots, occupied: 0, first: 0, len: 0 }
    }
}

impl<T: Copy> Wheel<T> {
    /// Files an item.
    pub fn push(&mut self, at: Timestamp, item: T) {
        let entry = Entry { tick: at.as_nanos().div_ceil(NANOS_PER_TICK), next: NONE, item };
        let index = match self.entries.get_mut(self.free as usize) {
            Some(unused) => {
                let index = std::mem::replace(&mut self.free, unused.next);
                *unused = entry;
                index
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.len += 1;
        self.file(index, entry.tick);
    }

    fn file(&mut self, index: u32, tick: u64) {
        let slot = (tick.clamp(self.first, self.first + SLOTS - 1) % SLOTS) as usize;
        let chain = &mut self.slots[slot];
        let before = std::mem::replace(&mut chain.tail, index);
        if before == NONE {
            chain.head = index;
            self.occupied |= 1 << slot;
        } else {
            self.entries[before as usize].next = index;
        }
    }

    /// The tick of the first slot that holds anything.
    fn next_tick(&self) -> Option<u64> {
        let ahead = self.occupied.rotate_right((self.first % SLOTS) as u32);
        (ahead != 0).then(|| self.first + u64::from(ahead.trailing_zeros()))
    }

    /// When to ask [`Self::pop_due`] again; `None` where nothing waits. Where all that waits is due in more than 64 ms, it is
    /// sooner than that.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next_tick().map(Timestamp::from_millis)
    }

    /// Takes out one whose time has come. To be called until it says `None`: then the wheel has turned to `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<T> {
        let now = now.as_nanos() / NANOS_PER_TICK;
        while let Some(tick) = self.next_tick().filter(|&tick| tick <= now) {
            self.first = tick;
            let (index, entry) = self.take_first(tick)?;
            if entry.tick > now {
                // It was due later than the wheel reaches. All of them may be, and the time far ahead.
                self.entries[index as usize].next = NONE;
                self.file(index, entry.tick);
                continue;
            }
            self.give_back(index);
            return Some(entry.item);
        }
        self.first = self.first.max(now);
        None
    }

    fn take_first(&mut self, tick: u64) -> Option<(u32, Entry<T>)> {
        let slot = (tick % SLOTS) as usize;
        let chain = &mut self.slots[slot];
        let index = chain.head;
        let entry = *self.entries.get(index as usize)?;
        chain.head = entry.next;
        if entry.next == NONE {
            chain.tail = NONE;
            self.occupied &= !(1 << slot);
        }
        Some((index, entry))
    }

    fn give_back(&mut self, index: u32) {
        self.entries[index as usize].next = self.free;
        self.free = index;
        self.len -= 1;
        if self.len == 0 {
            // A key frame of thousands of viewers is over.
            self.entries.clear();
            self.free = NONE;
        }
    }

    /// Takes out one whether its time has come or not, in the order of their times as far as the wheel reaches.
    pub fn pop(&mut self) -> Option<T> {
        let (index, entry) = self.take_first(self.next_tick()?)?;
        self.give_back(index);
        Some(entry.item)
    }

    /// Keeps those for which `keep` says so.
    pub fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        let mut kept = Vec::with_capacity(self.len);
        while let Some(tick) = self.next_tick() {
            let Some((index, entry)) = self.take_first(tick) else { break };
            self.give_back(index);
            if keep(&entry.item) {
                kept.push(entry);
            }
        }
        kept.into_iter().for_each(|entry| self.push(Timestamp::from_millis(entry.tick), entry.item));
    }

    /// All that wait.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let entry = |index: u32| self.entries.get(index as usize);
        let chain = move |head| std::iter::successors(entry(head), move |before| entry(before.next));
        self.slots.iter().flat_map(move |slot| chain(slot.head)).map(|entry| &entry.item)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Timestamp {
        Timestamp::from_nanos(micros * 1_000)
    }

    fn due<T: Copy>(wheel: &mut Wheel<T>, now: Timestamp) -> Vec<T> {
        std::iter::from_fn(|| wheel.pop_due(now)).collect()
    }

    #[test]
    fn nothing_comes_before_its_time_and_nothing_a_millisecond_late() {
        let mut wheel = Wheel::default();
        let mut random = 7_u64;
        let mut waiting = Vec::new();
        for step in 0..20_000_u64 {
            let now = micros(5_000_000 + step * 130);
            for at in due(&mut wheel, now) {
                assert!(at <= now && now.since(at).as_micros() < 1_000 + 130, "{at:?} at {now:?}");
                waiting.retain(|other| *other != at);
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = now + std::time::Duration::from_micros(random >> 47);
            wheel.push(at, at);
            waiting.push(at);
            assert_eq!(wheel.len(), waiting.len());
            assert!(
                wheel
                    .next_due()
                    .is_some_and(|due| waiting.iter().all(|at| due <= *at + std::time::Duration::from_millis(1)))
            );
        }
        assert!(wheel.entries.len() < 3_000, "entries are used again: {}", wheel.entries.len());
        assert_eq!(due(&mut wheel, micros(60_000_000)).len(), waiting.len());
        assert!(wheel.is_empty() && wheel.next_due().is_none() && wheel.entries.is_empty());
    }

    #[test]
    fn those_of_one_millisecond_come_in_the_order_in_which_they_were_filed() {
        let mut wheel = Wheel::default();
        for (item, at) in [(1, 2_900), (2, 1_000), (3, 2_100), (4, 0)] {
            wheel.push(micros(at), item);
        }
        assert_eq!(wheel.next_due(), Some(micros(0)));
        assert_eq!(due(&mut wheel, micros(2_999)), [4, 2]);
        assert_eq!(due(&mut wheel, micros(3_000)), [1, 3]);
    }

    #[test]
    fn what_is_due_later_than_the_wheel_reaches_waits_for_its_own_time() {
        let mut wheel = Wheel::default();
        let at = Timestamp::from_millis;
        assert!(due(&mut wheel, at(1_000_000)).is_empty());
        wheel.push(at(1_000_500), 'b');
        wheel.push(at(1_000_020), 'a');
        let mut woken = 0;
        while let Some(next) = wheel.next_due() {
            woken += 1;
            let came = due(&mut wheel, next);
            assert!(came.iter().all(|item| next == at(if *item == 'a' { 1_000_020 } else { 1_000_500 })), "{came:?}");
        }
        assert!(woken < 12, "{woken}");
        // A long sleep in between.
        wheel.push(at(1_090_000), 'c');
        assert!(due(&mut wheel, at(1_080_000)).is_empty());
        assert_eq!(due(&mut wheel, at(1_090_000)), ['c']);
    }

    #[test]
    fn one_may_be_taken_out_of_the_middle_and_all_at_once() {
        let mut wheel = Wheel::default();
        (0..100).for_each(|item| wheel.push(Timestamp::from_millis(item), item));
        wheel.retain(|item| item % 3 == 0);
        assert_eq!(wheel.len(), 34);
        assert_eq!(due(&mut wheel, Timestamp::from_millis(6)), [0, 3, 6]);
        assert_eq!(std::iter::from_fn(|| wheel.pop()).count(), 31);
        assert!(wheel.is_empty());
    }
}
