//! Which worker serves a session, and how a datagram tells which worker that was.
//!
//! [`choose`] uses rendezvous hashing (Thaler and Ravishankar, 1998): every worker gets a score from the session's
//! number and its own index. The worker with the highest score serves the session; the second highest is asked when
//! the first is full. The answer depends on the arguments only, so every thread, test and other node computes the same.
//!
//! The worker's index is written into this node's ICE user fragment, as two ice-chars (RFC 8839 §5.4) before the random
//! part. A worker that receives another worker's STUN check recognises it by this index.
//!
//! [`stream_id`] gives every stream the same id on all workers and nodes.
//!
//! Placement does not look at load. Sessions are many and small, so hashing alone spreads them evenly, and a worker that
//! is full refuses.

use crate::crypto::digest;
use crate::relay::store::address::{StreamId, WorkerIndex};

/// Names a session on every core and in the operator's reports (not the secret in its URL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// The ice-char alphabet (RFC 8839 §5.4: ALPHA / DIGIT / "+" / "/"), in base64 order: 6 bits a character.
pub const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Characters of a user fragment that name the worker: 12 bits, for at most 256 workers.
const INDEX_CHARS: usize = 2;

/// Random characters a user fragment must have beside the index: 48 bits (RFC 8445 §5.3 asks for 24).
pub const UFRAG_RANDOM_CHARS_MIN: usize = 8;

const _: () = assert!(crate::limits::WORKERS_MAX <= 1 << 12);

/// The worker that serves `session`, out of `workers`, and the worker to ask when that one is full (`None` when there is
/// only one).
///
/// # Panics
/// When `workers` is zero: a node has at least one.
#[must_use]
pub fn choose(session: SessionId, workers: u16) -> (WorkerIndex, Option<WorkerIndex>) {
    assert!(workers > 0, "a node has at least one worker");
    let mut first = (score(session, 0), 0);
    let mut second: Option<(u64, u16)> = None;
    for index in 1..workers {
        let candidate = (score(session, index), index);
        if candidate > first {
            second = Some(first);
            first = candidate;
        } else if second.is_none_or(|second| candidate > second) {
            second = Some(candidate);
        }
    }
    (WorkerIndex(first.1), second.map(|(_, index)| WorkerIndex(index)))
}

/// SplitMix64's finaliser over session and worker: well mixed, and the same on every machine.
fn score(session: SessionId, worker: u16) -> u64 {
    let mut x = session.0 ^ (u64::from(worker) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A stream's id, the same on every core and node: the first 128 bits of SHA-256 over its name. Finding two names with
/// the same id takes about 2^64 attempts, so no client can take another's stream by choosing a name.
#[must_use]
pub fn stream_id(name: &str) -> StreamId {
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest::sha_256(name.as_bytes());
    StreamId(u128::from_be_bytes(id))
}

/// A user fragment that carries `worker`: two ice-chars, then `random`, which must be ice-chars.
#[must_use]
pub fn ufrag(worker: WorkerIndex, random: &str) -> String {
    debug_assert!(random.len() >= UFRAG_RANDOM_CHARS_MIN && random.bytes().all(|byte| ICE_CHARS.contains(&byte)));
    let index = usize::from(worker.0);
    let mut text = String::with_capacity(INDEX_CHARS + random.len());
    text.push(char::from(ICE_CHARS[(index >> 6) & 63]));
    text.push(char::from(ICE_CHARS[index & 63]));
    text.push_str(random);
    text
}

/// The worker a user fragment names; `None` when this node cannot have made it. Takes bytes from the network.
#[must_use]
pub fn worker_of(ufrag: &str) -> Option<WorkerIndex> {
    let ([high, low], random) = ufrag.as_bytes().split_first_chunk::<INDEX_CHARS>()?;
    if random.len() < UFRAG_RANDOM_CHARS_MIN {
        return None;
    }
    let index = (ice_char_value(*high)? << 6) | ice_char_value(*low)?;
    (usize::from(index) < crate::limits::WORKERS_MAX).then_some(WorkerIndex(index))
}

/// The 6 bits that one ice-char stands for.
fn ice_char_value(byte: u8) -> Option<u16> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u16::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_index_survives_the_user_fragment() {
        for index in 0..crate::limits::WORKERS_MAX as u16 {
            let text = ufrag(WorkerIndex(index), "abcdefgh12");
            assert_eq!(worker_of(&text), Some(WorkerIndex(index)), "{text}");
        }
    }

    #[test]
    fn a_foreign_user_fragment_names_no_worker() {
        for foreign in ["", "A", "AB", "AAshort", "A-abcdefgh", "é8abcdefgh", "//abcdefghij", ":Aabcdefgh"] {
            assert_eq!(worker_of(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn both_choices_differ_and_stay_in_range() {
        for workers in 1..9_u16 {
            for session in 0..2_000 {
                let (first, second) = choose(SessionId(session), workers);
                assert!(first.0 < workers);
                assert_eq!(second.is_some(), workers > 1);
                assert!(second.is_none_or(|second| second != first && second.0 < workers));
            }
        }
    }

    #[test]
    fn a_stream_has_the_same_id_everywhere() {
        // SHA-256 of "abc" (FIPS 180-4).
        assert_eq!(stream_id("abc"), StreamId(0xba78_16bf_8f01_cfea_4141_40de_5dae_2223));
        assert_ne!(stream_id("abd"), stream_id("abc"));
    }

    #[test]
    fn sessions_spread_evenly_even_when_their_numbers_are_consecutive() {
        let mut counts = [[0_u32; 8]; 2];
        for session in 0..80_000 {
            let (first, second) = choose(SessionId(session), 8);
            counts[0][usize::from(first.0)] += 1;
            counts[1][usize::from(second.unwrap().0)] += 1;
        }
        for count in counts.as_flattened() {
            assert!((9_500..10_500).contains(count), "{counts:?}");
        }
    }

    #[test]
    fn an_added_worker_moves_only_the_sessions_it_takes() {
        for session in 0..5_000 {
            let (before, _) = choose(SessionId(session), 4);
            let (after, _) = choose(SessionId(session), 5);
            assert!(after == before || after == WorkerIndex(4));
        }
    }
}
