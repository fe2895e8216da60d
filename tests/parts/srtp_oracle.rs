//! SRTP against libsrtp (through `pylibsrtp`): what one seals the other opens, for RTP and RTCP, in every profile, with
//! every form of header, across wraps of the sequence number; and what one refuses the other refuses.
//!
//! The other end is `tests/oracle/srtp_oracle.py`, run by the Python that `CORECAST_TEST_PYTHON` names.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use corecast::crypto::aead::{AeadKey, AwsLcKey, RingKey, RustCryptoKey};
use corecast::crypto::random::{Random, SeededRandom};
use corecast::srtp::{MasterKey, SrtpError, SrtpProfile, SrtpReceiver, SrtpSender};

/// The Python process; ended when dropped.
pub(crate) struct Oracle {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    pub(crate) fn start() -> Self {
        let python = std::env::var_os("CORECAST_TEST_PYTHON").expect(
            "CORECAST_TEST_PYTHON is not set: run tests/run, which installs tests/oracle/requirements.txt and sets it",
        );
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/srtp_oracle.py");
        let mut process =
            Command::new(&python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(
                |error| panic!("CORECAST_TEST_PYTHON = {python:?} does not run ({error}): run tests/run"),
            );
        let (input, output) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, input, output }
    }

    /// Sends a command; `Err` is libsrtp's refusal.
    pub(crate) fn ask(&mut self, command: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.input.as_mut().unwrap(), "{command} {hex}").expect("the oracle reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the oracle writes");
        match line.trim_end().split_once(' ') {
            None if line == "ok\n" => Ok(Vec::new()),
            Some(("ok", hex)) => Ok((0..hex.len() / 2)
                .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal"))
                .collect()),
            Some(("error", text)) => Err(text.to_owned()),
            _ => panic!("the oracle ended (see its message above): run tests/run, which installs what it needs"),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

fn key_and_salt(random: &mut SeededRandom, profile: SrtpProfile) -> (Vec<u8>, MasterKey) {
    let mut bytes = vec![0; profile.key_len() + profile.salt_len()];
    random.fill(&mut bytes);
    let (key, salt) = bytes.split_at(profile.key_len());
    let master = MasterKey::new(profile, key, salt).unwrap();
    (bytes, master)
}

/// A packet of any form: CSRCs, an extension, a payload, padding. Returns header, payload and padding length.
fn rtp(random: &mut SeededRandom, sequence: u16, ssrc: u32) -> (Vec<u8>, Vec<u8>, u8) {
    let csrcs = (random.u32() % 16) as u8;
    let extension_words = (random.u32().is_multiple_of(2)).then_some((random.u32() % 8) as u16);
    let mut header = vec![0x80 | csrcs | u8::from(extension_words.is_some()) << 4, 0x80 | 96];
    header.extend(sequence.to_be_bytes());
    header.extend(random.u32().to_be_bytes());
    header.extend(ssrc.to_be_bytes());
    for _ in 0..csrcs {
        header.extend(random.u32().to_be_bytes());
    }
    if let Some(words) = extension_words {
        header.extend([0xbe, 0xde]);
        header.extend(words.to_be_bytes());
        // One-byte elements of three bytes of data each (RFC 8285 §4.2).
        header.extend((0..words).flat_map(|word| [0x12 | (word as u8) << 4 & 0xf0, 7, 8, 9]));
    }
    let mut payload = vec![0; (random.u32() % 1_200) as usize + 1];
    random.fill(&mut payload);
    let padding = if random.u32().is_multiple_of(2) { 0 } else { (random.u32() % 16 + 1) as u8 };
    (header, payload, padding)
}

/// What an RTP packet looks like in plaintext, padding included.
fn plain(header: &[u8], payload: &[u8], padding: u8) -> Vec<u8> {
    let mut packet = [header, payload].concat();
    if padding > 0 {
        packet[0] |= 0x20;
        packet.resize(packet.len() + usize::from(padding) - 1, 0);
        packet.push(padding);
    }
    packet
}

fn seal<A: AeadKey>(sender: &SrtpSender<A>, index: u64, header: &[u8], payload: &[u8], padding: u8) -> Vec<u8> {
    let mut slot = [header, &[0; 1_500]].concat();
    let len = sender.seal_rtp(index, header.len(), &mut slot, payload, padding).expect("it fits");
    slot.truncate(len);
    slot
}

fn report(random: &mut SeededRandom, ssrc: u32) -> Vec<u8> {
    let words = random.u32() % 60 + 1;
    let mut packet = vec![0; words as usize * 4 + 4];
    random.fill(&mut packet);
    packet[..4].copy_from_slice(&[0x80, 200, 0, words as u8]);
    packet[4..8].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

/// Packet indexes of one source: from a start in the lower half of the sequence numbers through two wraps, dense near
/// them, with neighbours swapped here and there.
fn indexes() -> Vec<u64> {
    let mut indexes: Vec<u64> = [0x7000..0x7004, 0xc000..0xc001, 0xfff8..0x1_0008, 0x1_7000..0x1_7001]
        .into_iter()
        .chain([0x1_d000..0x1_d001, 0x1_fff0..0x2_0010])
        .flatten()
        .collect();
    let len = indexes.len();
    for i in (5..len - 1).step_by(3) {
        if indexes[i] + 1 == indexes[i + 1] {
            indexes.swap(i, i + 1);
        }
    }
    indexes
}

fn corecast_seals<A: AeadKey>(oracle: &mut Oracle, random: &mut SeededRandom, profile: SrtpProfile) {
    let (bytes, master) = key_and_salt(random, profile);
    let mut sender: SrtpSender<A> = SrtpSender::new(profile, &master);
    oracle.ask(&format!("new peer {} in", profile.name()), &bytes).unwrap();
    for index in indexes() {
        for ssrc in [0x1234_5678, 0xfedc_ba98] {
            let (header, payload, padding) = rtp(random, index as u16, ssrc);
            let sealed = seal(&sender, index, &header, &payload, padding);
            let opened = oracle.ask("unprotect peer", &sealed);
            let expected = plain(&header, &payload, padding);
            assert!(opened.as_ref() == Ok(&expected), "{} {} {index:x}: {opened:?}", A::NAME, profile.name());
        }
    }
    for _ in 0..50 {
        for ssrc in [1, 0x1234_5678] {
            let plain = report(random, ssrc);
            let mut slot = [&plain[..], &[0; 20]].concat();
            let len = sender.seal_rtcp(&mut slot, plain.len()).unwrap();
            assert_eq!(oracle.ask("unprotect_rtcp peer", &slot[..len]), Ok(plain), "{} {}", A::NAME, profile.name());
        }
    }
}

fn libsrtp_seals<A: AeadKey>(oracle: &mut Oracle, random: &mut SeededRandom, profile: SrtpProfile) {
    let (bytes, master) = key_and_salt(random, profile);
    let mut receiver: SrtpReceiver<A> = SrtpReceiver::new(profile, &master);
    oracle.ask(&format!("new peer {} out", profile.name()), &bytes).unwrap();
    // libsrtp seals in rising order and counts rollovers itself; the network swaps.
    let mut in_order = indexes();
    in_order.sort_unstable();
    let mut sealed = std::collections::BTreeMap::new();
    for index in in_order {
        for ssrc in [0x1234_5678, 0xfedc_ba98] {
            let (header, payload, padding) = rtp(random, index as u16, ssrc);
            let plain = plain(&header, &payload, padding);
            sealed.insert((index, ssrc), (oracle.ask("protect peer", &plain).unwrap(), plain, header.len()));
        }
    }
    for index in indexes() {
        for ssrc in [0x1234_5678, 0xfedc_ba98] {
            let (mut packet, plain, header_len) = sealed[&(index, ssrc)].clone();
            let opened = receiver.open_rtp(&mut packet).unwrap();
            assert_eq!((opened.header.ssrc, opened.packet_index, opened.header.header_len), (ssrc, index, header_len));
            assert_eq!(packet[..opened.plain_len()], plain, "{} {}", A::NAME, profile.name());
        }
    }
    for _ in 0..50 {
        for ssrc in [1, 0x1234_5678] {
            let plain = report(random, ssrc);
            let mut packet = oracle.ask("protect_rtcp peer", &plain).unwrap();
            let len = receiver.open_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..len], plain, "{} {}", A::NAME, profile.name());
        }
    }
}

#[test]
fn libsrtp_opens_what_corecast_seals() {
    let (mut oracle, mut random) = (Oracle::start(), SeededRandom::new(1));
    for profile in SrtpProfile::PREFERENCE {
        corecast_seals::<AwsLcKey>(&mut oracle, &mut random, profile);
        corecast_seals::<RingKey>(&mut oracle, &mut random, profile);
        corecast_seals::<RustCryptoKey>(&mut oracle, &mut random, profile);
    }
}

#[test]
fn corecast_opens_what_libsrtp_seals() {
    let (mut oracle, mut random) = (Oracle::start(), SeededRandom::new(2));
    for profile in SrtpProfile::PREFERENCE {
        libsrtp_seals::<AwsLcKey>(&mut oracle, &mut random, profile);
        libsrtp_seals::<RingKey>(&mut oracle, &mut random, profile);
        libsrtp_seals::<RustCryptoKey>(&mut oracle, &mut random, profile);
    }
}

#[test]
fn both_refuse_replays_and_damage() {
    let (mut oracle, mut random) = (Oracle::start(), SeededRandom::new(3));
    for profile in SrtpProfile::PREFERENCE {
        let (bytes, master) = key_and_salt(&mut random, profile);
        let sender: SrtpSender = SrtpSender::new(profile, &master);
        let mut receiver: SrtpReceiver = SrtpReceiver::new(profile, &master);
        oracle.ask(&format!("new peer {} in", profile.name()), &bytes).unwrap();
        let (header, payload, padding) = rtp(&mut random, 9, 5);
        let sealed = seal(&sender, 9, &header, &payload, padding);
        let mut damaged = sealed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(oracle.ask("unprotect peer", &damaged).is_err());
        assert_eq!(receiver.open_rtp(&mut damaged), Err(SrtpError::Authentication));
        assert!(oracle.ask("unprotect peer", &sealed).is_ok());
        assert!(receiver.open_rtp(&mut sealed.clone()).is_ok());
        assert_eq!(oracle.ask("unprotect peer", &sealed), Err("replay check failed (bad index)".to_owned()));
        assert_eq!(receiver.open_rtp(&mut sealed.clone()), Err(SrtpError::Replayed));
    }
}
