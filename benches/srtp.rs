//! What sealing and opening cost: each backend and profile, 1,200 and 120 bytes of payload, a different one of 1,000
//! contexts for every packet, as in fan-out. `cargo bench --bench srtp`.
//!
//! The rows to compare are those of one group; the first is what the node uses. The SHA1 profile does not depend on the
//! AEAD backend and is measured once.

use std::hint::black_box;

use corecast::crypto::aead::{AeadKey, AwsLcKey, RingKey, RustCryptoKey};
use corecast::crypto::random::{Random, SeededRandom};
use corecast::srtp::{MasterKey, SrtpProfile, SrtpReceiver, SrtpSender};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CONTEXTS: usize = 1_000;
const PAYLOAD_BYTES: [usize; 2] = [1_200, 120];
const HEADER_BYTES: usize = 20;

fn masters(profile: SrtpProfile) -> Vec<MasterKey> {
    let mut random = SeededRandom::new(1);
    let mut bytes = |len| {
        let mut bytes = vec![0; len];
        random.fill(&mut bytes);
        bytes
    };
    (0..CONTEXTS)
        .map(|_| MasterKey::new(profile, &bytes(profile.key_len()), &bytes(profile.salt_len())).expect("their lengths"))
        .collect()
}

/// A header with an extension of one word.
fn header(index: u64) -> [u8; HEADER_BYTES] {
    let [.., s0, s1] = index.to_be_bytes();
    [0x90, 96, s0, s1, 0, 0, 0, 1, 0, 0, 0, 5, 0xbe, 0xde, 0, 1, 0x10, b'0', 0, 0]
}

/// The packets of a run: every context in turn, each with its own next index.
#[derive(Default)]
struct Turn(usize);

impl Turn {
    fn next(&mut self) -> (usize, u64) {
        let turn = (self.0 % CONTEXTS, (self.0 / CONTEXTS) as u64);
        self.0 += 1;
        turn
    }
}

fn seal<A: AeadKey>(c: &mut Criterion, profile: SrtpProfile, payload_bytes: usize) {
    let senders: Vec<SrtpSender<A>> = masters(profile).iter().map(|master| SrtpSender::new(profile, master)).collect();
    let payload = vec![7; payload_bytes];
    let mut slots = vec![0; 64 * 2_048];
    let mut turn = Turn::default();
    let mut group = c.benchmark_group(format!("seal/{payload_bytes}"));
    group.throughput(Throughput::Bytes(payload_bytes as u64));
    group.bench_function(BenchmarkId::new(profile.name(), A::NAME), |b| {
        b.iter(|| {
            let (context, index) = turn.next();
            let slot = &mut slots[context % 64 * 2_048..][..2_048];
            slot[..HEADER_BYTES].copy_from_slice(&header(index));
            black_box(senders[context].seal_rtp(index, HEADER_BYTES, slot, black_box(&payload), 0)).expect("it fits")
        });
    });
}

fn open<A: AeadKey>(c: &mut Criterion, profile: SrtpProfile, payload_bytes: usize) {
    let masters = masters(profile);
    let senders: Vec<SrtpSender<A>> = masters.iter().map(|master| SrtpSender::new(profile, master)).collect();
    let mut receivers: Vec<SrtpReceiver<A>> = masters.iter().map(|master| SrtpReceiver::new(profile, master)).collect();
    let payload = vec![7; payload_bytes];
    let mut turn = Turn::default();
    let mut group = c.benchmark_group(format!("open/{payload_bytes}"));
    group.throughput(Throughput::Bytes(payload_bytes as u64));
    group.bench_function(BenchmarkId::new(profile.name(), A::NAME), |b| {
        b.iter_batched_ref(
            || {
                let (context, index) = turn.next();
                let mut packet = vec![0; 2_048];
                packet[..HEADER_BYTES].copy_from_slice(&header(index));
                let len = senders[context].seal_rtp(index, HEADER_BYTES, &mut packet, &payload, 0).expect("it fits");
                packet.truncate(len);
                (context, packet)
            },
            |(context, packet)| black_box(receivers[*context].open_rtp(packet)).expect("it is new and whole"),
            BatchSize::SmallInput,
        );
    });
}

fn benches(c: &mut Criterion) {
    for payload_bytes in PAYLOAD_BYTES {
        for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm] {
            seal::<AwsLcKey>(c, profile, payload_bytes);
            seal::<RingKey>(c, profile, payload_bytes);
            seal::<RustCryptoKey>(c, profile, payload_bytes);
            open::<AwsLcKey>(c, profile, payload_bytes);
            open::<RingKey>(c, profile, payload_bytes);
            open::<RustCryptoKey>(c, profile, payload_bytes);
        }
        seal::<AwsLcKey>(c, SrtpProfile::AesCm128HmacSha1_80, payload_bytes);
        open::<AwsLcKey>(c, SrtpProfile::AesCm128HmacSha1_80, payload_bytes);
    }
}

criterion_group!(srtp, benches);
criterion_main!(srtp);
