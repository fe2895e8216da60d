//! The injected random source. Nothing below the worker asks the system for randomness, so one seed replays a whole
//! simulation.

use aws_lc_rs::rand;

/// A source of random bytes.
pub trait Random {
    /// Fills all of `out`.
    fn fill(&mut self, out: &mut [u8]);

    /// 32 random bits, as for an SSRC.
    fn u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_ne_bytes(bytes)
    }

    /// 64 random bits.
    fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_ne_bytes(bytes)
    }
}

/// The node's source: aws-lc's generator, one per thread, seeded by the kernel. Fit for keys and passwords.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, out: &mut [u8]) {
        // Without random bytes no session would be secure, and there is no safe way to continue.
        rand::fill(out).expect("the kernel gives random bytes");
    }
}

/// For tests and simulation: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). Whoever knows the seed knows the output, so
/// it must **never** be used for secrets.
#[derive(Clone, Debug)]
pub struct SeededRandom(u64);

impl SeededRandom {
    /// A source with this seed. The same seed gives the same bytes on every machine. A request that is not a multiple
    /// of eight bytes discards the rest of its last eight-byte word.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for SeededRandom {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    fn u64(&mut self) -> u64 {
        self.next()
    }

    fn u32(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_sequence() {
        let mut random = SeededRandom::new(1_234_567);
        assert_eq!(random.u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.u64(), 3_203_168_211_198_807_973);
        let mut bytes = [0; 16];
        SeededRandom::new(1_234_567).fill(&mut bytes);
        assert_eq!(bytes[..8], 6_457_827_717_110_365_317_u64.to_le_bytes());
    }

    #[test]
    fn the_system_source_does_not_repeat_and_fills_every_byte() {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        SystemRandom.fill(&mut first);
        SystemRandom.fill(&mut second);
        assert_ne!(first, second);
        // Every one of 32 positions stays zero in 16 draws with a chance of 2^-123.
        let mut seen = [0u8; 32];
        for _ in 0..16 {
            SystemRandom.fill(&mut first);
            seen.iter_mut().zip(first).for_each(|(seen, byte)| *seen |= byte);
        }
        assert!(seen.iter().all(|byte| *byte != 0));
    }
}
