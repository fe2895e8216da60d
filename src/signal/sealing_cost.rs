//! What sealing alone costs on this machine, measured in some milliseconds at the node's start: a dashboard compares what
//! the workers spend with it. `corecast bench` measures the whole floor, sending included, and takes its time for it.

use std::hint::black_box;

use serde::Serialize;

use crate::crypto::aead::{AeadKey, AwsLcKey, NONCE_LEN, TAG_LEN};
use crate::net::process::thread_cpu_time;

/// Keys in turn: with their tables more than the first-level cache holds, as with a worker's viewers.
const KEYS: u8 = 255;

/// The two lengths measured; what lies between and beyond is on the line through both.
const OCTETS: [usize; 2] = [100, 1_100];

/// The CPU time that sealing one packet for one viewer takes, with many viewers' keys in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SealingCost {
    /// For a packet of no octets, in nanoseconds.
    pub packet_ns: f64,
    /// More for each octet, in nanoseconds.
    pub octet_ns: f64,
}

impl SealingCost {
    /// Measures it on the calling thread.
    #[must_use]
    pub fn measure() -> Self {
        let keys: Vec<_> = (0..KEYS).map(|key| AwsLcKey::aes_128_gcm(&[key; 16])).collect();
        let [short, long] = OCTETS.map(|octets| seal_all(&keys, octets));
        let octet_ns = ((long - short) / (OCTETS[1] - OCTETS[0]) as f64).max(0.0);
        Self { packet_ns: (short - octet_ns * OCTETS[0] as f64).max(0.0), octet_ns }
    }
}

/// Nanoseconds of CPU time for a packet of so many octets.
fn seal_all(keys: &[AwsLcKey], octets: usize) -> f64 {
    let (payload, mut sealed) = (vec![0; octets], vec![0; octets + TAG_LEN]);
    // The best of several rounds: what disturbs only adds, and the first one warms the caches up.
    let rounds = (0..8_u8).map(|round| {
        let before = thread_cpu_time();
        for key in keys {
            let nonce = [round; NONCE_LEN];
            key.seal_out_of_place(&nonce, &[0; 20], &payload, &[], &mut sealed).expect("the lengths add up");
            black_box(&sealed);
        }
        (thread_cpu_time() - before).as_nanos() as f64 / keys.len() as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_packet_costs_more_than_a_short_one() {
        let cost = SealingCost::measure();
        assert!(cost.octet_ns > 0.0 && cost.octet_ns.is_finite(), "{cost:?}");
        assert!((0.0..1e6).contains(&cost.packet_ns), "{cost:?}");
    }
}
