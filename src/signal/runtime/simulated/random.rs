//! The random numbers of a simulated thread: SplitMix64 from the run's seed.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<Option<u64>> = const { Cell::new(None) };
}

pub(super) fn start(seed: u64) {
    STATE.set(Some(seed));
}

pub(super) fn end() {
    STATE.set(None);
}

/// A random number. Zero on a thread that is not simulated.
pub fn number() -> u64 {
    let Some(state) = STATE.get() else { return 0 };
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(Some(state));
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A number below `bound`; zero if that is zero.
pub fn below(bound: usize) -> usize {
    (number() % bound.max(1) as u64) as usize
}

/// Fills `bytes`. Returns `false`, and fills nothing, on a thread that is not simulated.
pub fn fill(bytes: &mut [u8]) -> bool {
    if STATE.get().is_none() {
        return false;
    }
    for chunk in bytes.chunks_mut(8) {
        let number = number().to_le_bytes();
        chunk.iter_mut().zip(number).for_each(|(byte, random)| *byte = random);
    }
    true
}
