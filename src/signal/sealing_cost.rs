//! The cost of sealing alone on this machine. It is measured at the node's start, in some milliseconds, so that a
//! dashboard can compare the workers' CPU time with it. `corecast bench` measures the whole lower bound, including
//! sending, and takes longer for it.

use std::hint::black_box;

use serde::Serialize;

use crate::crypto::aead::{AeadKey, AwsLcKey, NONCE_LEN, TAG_LEN};
use crate::net::process::thread_cpu_time;

/// Number of keys, used in turn. With their tables they exceed the first-level cache, like the keys of a worker's
/// viewers.
const KEYS: u8 = 255;

/// The two lengths that are measured. The cost is taken to be linear in the length.
const OCTETS: [usize; 2] = [100, 1_100];

/// The CPU time of sealing one packet for one viewer, with many viewers' keys in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SealingCost {
    /// The cost of a packet without octets, in nanoseconds.
    pub packet_ns: f64,
    /// The additional cost of each octet, in nanoseconds.
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

/// The nanoseconds of CPU time for a packet with this number of octets.
fn seal_all(keys: &[AwsLcKey], octets: usize) -> f64 {
    let (payload, mut sealed) = (vec![0; octets], vec![0; octets + TAG_LEN]);
    // The best of several rounds counts, because disturbances only add time, and the first round warms the caches.
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
