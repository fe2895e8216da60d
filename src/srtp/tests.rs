//! Sealing and opening as a session does them: the packets of the RFCs, and everything that must be refused.

use super::key_derivation::SessionKeys;
use super::*;
use crate::crypto::aead::{AeadKey, AwsLcKey, RingKey, RustCryptoKey};
use crate::crypto::hex;
use crate::crypto::hmac_sha1::HmacSha1;
use crate::crypto::random::{Random, SeededRandom};
use crate::limits;
use crate::wire::bytes::{ImportError, StateBytes, StateReader, StateWriter, refuses_damage};

fn master(profile: SrtpProfile) -> MasterKey {
    let key: Vec<u8> = (1..=profile.key_len() as u8).collect();
    let salt: Vec<u8> = (101..=100 + profile.salt_len() as u8).collect();
    MasterKey::new(profile, &key, &salt).unwrap()
}

fn pair(profile: SrtpProfile) -> (SrtpSender, SrtpReceiver) {
    (SrtpSender::new(profile, &master(profile)), SrtpReceiver::new(profile, &master(profile)))
}

/// A header with `csrcs` CSRCs and an extension of `extension_words`, where there is one.
fn header(sequence: u16, ssrc: u32, csrcs: u8, extension_words: Option<u16>) -> Vec<u8> {
    let mut header = vec![0x80 | csrcs, 96];
    header.extend(sequence.to_be_bytes());
    header.extend(7_u32.to_be_bytes());
    header.extend(ssrc.to_be_bytes());
    header.extend((0..csrcs).flat_map(|csrc| [0, 0, 1, csrc]));
    if let Some(words) = extension_words {
        header[0] |= 0x10;
        header.extend([0xbe, 0xde]);
        header.extend(words.to_be_bytes());
        header.extend((0..words).flat_map(|word| [0x12, 1, 2, word as u8]));
    }
    header
}

fn seal_padded<A: AeadKey>(sender: &SrtpSender<A>, index: u64, header: &[u8], payload: &[u8], padding: u8) -> Vec<u8> {
    let mut slot = [header, &[0xee; 1_500]].concat();
    let len = sender.seal_rtp(index, header.len(), &mut slot, payload, padding).expect("it fits");
    assert!(slot[len..].iter().all(|byte| *byte == 0xee), "wrote behind the packet");
    slot.truncate(len);
    slot
}

fn seal(sender: &SrtpSender, ssrc: u32, index: u64) -> Vec<u8> {
    seal_padded(sender, index, &header(index as u16, ssrc, 0, None), &index.to_be_bytes(), 0)
}

fn open(receiver: &mut SrtpReceiver, packet: &[u8]) -> Result<OpenedRtp, SrtpError> {
    receiver.open_rtp(&mut packet.to_vec())
}

fn index(opened: Result<OpenedRtp, SrtpError>) -> Result<u64, SrtpError> {
    opened.map(|opened| opened.packet_index)
}

/// A sender report of 28 bytes from `ssrc`.
fn report(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 200, 0, 6];
    packet.extend(ssrc.to_be_bytes());
    packet.extend(1..=20);
    packet
}

fn seal_report(sender: &mut SrtpSender, ssrc: u32) -> Vec<u8> {
    let plain = report(ssrc);
    let mut slot = [&plain[..], &[0xee; 40]].concat();
    let len = sender.seal_rtcp(&mut slot, plain.len()).expect("it fits");
    assert!(slot[len..].iter().all(|byte| *byte == 0xee), "wrote behind the packet");
    slot.truncate(len);
    slot
}

/// RFC 7714 §16 and §17 give session keys: nothing is derived.
fn rfc_7714_keys() -> SessionKeys {
    let mut keys = SessionKeys { cipher_key: [0; 32], auth_key: [0; 20], salt: [0; 14] };
    keys.cipher_key.copy_from_slice(&(0..32).collect::<Vec<u8>>());
    keys.salt[..12].copy_from_slice(b"Quid pro quo");
    keys
}

fn rfc_7714_vectors<A: AeadKey>() {
    let header = hex("8040f17b 8041f8d3 5501a0b2");
    let payload = b"Gallia est omnis divisa in partes tres";
    let rtcp = hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                    deadbeef deadbeef deadbeef deadbeef deadbeef");
    let cases = [
        (
            SrtpProfile::AeadAes128Gcm,
            // §16.1.1
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b
             36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
            // §17.1
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46
             86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
            // §17.3, tagged only: the E flag is cleared
            "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef
             deadbeef deadbeef 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4",
        ),
        (
            SrtpProfile::AeadAes256Gcm,
            // §16.2.1
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f
             1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
            // §17.2
            "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658
             c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
            "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef
             deadbeef deadbeef 841dd968 3dd78ec9 2ae58790 125f62b3 000005d4",
        ),
    ];
    for (profile, sealed_rtp, sealed_rtcp, tagged_rtcp) in cases {
        let mut sender = SrtpSender::<A>::from_session_keys(profile, &rfc_7714_keys(), &rfc_7714_keys());
        let mut receiver = SrtpReceiver::<A>::from_session_keys(profile, &rfc_7714_keys(), &rfc_7714_keys());
        let mut packet = seal_padded(&sender, 0xf17b, &header, payload, 0);
        assert_eq!(packet, hex(sealed_rtp), "{} {}", A::NAME, profile.name());
        let opened = receiver.open_rtp(&mut packet).unwrap();
        assert_eq!(packet[opened.header.header_len..][..opened.payload_len], payload[..]);

        sender.skip_to_rtcp_index(0x5d4);
        let mut packet = [&rtcp[..], &[0; 20]].concat();
        assert_eq!(sender.seal_rtcp(&mut packet, rtcp.len()), Some(rtcp.len() + 20));
        assert_eq!(packet, hex(sealed_rtcp), "{} {}", A::NAME, profile.name());
        assert_eq!(receiver.open_rtcp(&mut hex(tagged_rtcp)), Err(SrtpError::Unencrypted));
        assert_eq!(receiver.open_rtcp(&mut packet), Ok(rtcp.len()));
        assert_eq!(packet[..rtcp.len()], rtcp);
    }
}

#[test]
fn gcm_packets_are_those_of_rfc_7714_16_and_17_with_each_backend() {
    rfc_7714_vectors::<AwsLcKey>();
    rfc_7714_vectors::<RingKey>();
    rfc_7714_vectors::<RustCryptoKey>();
}

#[test]
fn cm_packets_are_those_of_libsrtps_self_test() {
    // RFC 3711 gives no packets. These well-known ones use the master key of its appendix B.3.
    let profile = SrtpProfile::AesCm128HmacSha1_80;
    let master =
        MasterKey::new(profile, &hex("E1F97A0D3E018BE0D64FA32C06DE4139"), &hex("0EC675AD498AFEEBB6960B3AABE6"))
            .unwrap();
    let mut sender: SrtpSender = SrtpSender::new(profile, &master);
    let packet = seal_padded(&sender, 0x1234, &hex("800f1234 decafbad cafebabe"), &[0xab; 16], 0);
    assert_eq!(packet, hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb"));

    sender.skip_to_rtcp_index(1);
    let mut slot = hex("81c8000b cafebabe abababababababababababababababab 00000000 00000000000000000000");
    assert_eq!(sender.seal_rtcp(&mut slot, 24), Some(38));
    assert_eq!(slot, hex("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798"));
}

#[test]
fn the_tag_of_cm_covers_the_rollover_counter_that_is_not_sent() {
    // RFC 3711 §4.2: the authenticated portion is followed by the ROC.
    let profile = SrtpProfile::AesCm128HmacSha1_80;
    let (sender, _) = pair(profile);
    let keys = SessionKeys::derive(profile, &master(profile), key_derivation::PacketKind::Rtp);
    for rollover in [0_u32, 1, 0x1_0203, u32::MAX] {
        let packet = seal(&sender, 5, u64::from(rollover) << 16 | 7);
        let (authenticated, tag) = packet.split_last_chunk::<10>().unwrap();
        let expected = HmacSha1::new(&keys.auth_key).tag(&[authenticated, &rollover.to_be_bytes()]);
        assert_eq!(tag[..], expected[..10], "{rollover:x}");
    }
}

#[test]
fn exported_keys_are_taken_apart_as_rfc_5764_4_2_orders_them() {
    for (profile, len) in SrtpProfile::PREFERENCE.into_iter().zip([56, 88, 60]) {
        assert_eq!(profile.exported_len(), len);
        let exported: Vec<u8> = (0..len as u8).collect();
        let (key, salt) = (profile.key_len(), profile.salt_len());
        let client = SrtpKeys::from_exported(profile, &exported, true).unwrap();
        let server = SrtpKeys::from_exported(profile, &exported, false).unwrap();
        assert_eq!(client.local.key()[..key], exported[..key]);
        assert_eq!(client.remote.key()[..key], exported[key..2 * key]);
        assert_eq!(client.local.salt()[..salt], exported[2 * key..2 * key + salt]);
        assert_eq!(client.remote.salt()[..salt], exported[2 * key + salt..]);
        // What one side sends, the other opens.
        let sender: SrtpSender = SrtpSender::new(profile, &client.local);
        let mut receiver: SrtpReceiver = SrtpReceiver::new(profile, &server.remote);
        assert_eq!(index(open(&mut receiver, &seal(&sender, 1, 9))), Ok(9));
        assert_eq!(
            index(open(&mut SrtpReceiver::new(profile, &server.local), &seal(&sender, 1, 9))),
            Err(SrtpError::Authentication)
        );
        assert!(SrtpKeys::from_exported(profile, &exported[1..], true).is_none());
        assert!(SrtpKeys::from_exported(profile, &[&exported[..], &[0]].concat(), true).is_none());
        assert_eq!(format!("{:?}", client.local), "MasterKey(..)");
        assert_eq!(SrtpProfile::from_dtls_number(profile.dtls_number()), Some(profile));
    }
    assert_eq!(SrtpProfile::from_dtls_number(0x0002), None, "the 32-bit tag is not offered");
}

#[test]
fn every_header_payload_and_padding_length_opens_to_what_was_sealed() {
    for profile in SrtpProfile::PREFERENCE {
        let (sender, mut receiver) = pair(profile);
        let mut random = SeededRandom::new(1);
        for round in 0..300_u16 {
            let header = header(round, 5, (round % 16) as u8, (round % 3 > 0).then_some(round % 7));
            let mut payload = vec![0; usize::from(round) * 4];
            random.fill(&mut payload);
            let padding = round % 17;
            let mut packet = seal_padded(&sender, round.into(), &header, &payload, padding as u8);
            assert_eq!(packet.len(), header.len() + payload.len() + usize::from(padding) + profile.tag_len());
            let opened = receiver.open_rtp(&mut packet).unwrap();
            assert_eq!(
                (opened.header.ssrc, opened.packet_index, opened.header.header_len),
                (5, round.into(), header.len())
            );
            let plain = &packet[header.len()..][..opened.payload_len];
            assert_eq!(plain[..payload.len()], payload);
            assert_eq!(packet[0] & 0x20 != 0, padding > 0, "the padding bit");
            if padding > 0 {
                assert_eq!(plain.len(), payload.len() + usize::from(padding));
                assert_eq!(plain.last().copied(), Some(padding as u8), "RFC 3550 §5.1: the last byte counts them");
            }
        }
    }
}

#[test]
fn the_backends_seal_the_same_packets() {
    for profile in [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm] {
        let header = header(40_000, 5, 1, Some(2));
        for padding in [0, 1, 16] {
            let a =
                seal_padded(&SrtpSender::<AwsLcKey>::new(profile, &master(profile)), 40_000, &header, b"x", padding);
            let b = seal_padded(&SrtpSender::<RingKey>::new(profile, &master(profile)), 40_000, &header, b"x", padding);
            let c = seal_padded(
                &SrtpSender::<RustCryptoKey>::new(profile, &master(profile)),
                40_000,
                &header,
                b"x",
                padding,
            );
            assert!(a == b && b == c);
        }
    }
}

#[test]
fn packets_that_cannot_be_sealed_are_refused() {
    for profile in SrtpProfile::PREFERENCE {
        let (mut sender, _) = pair(profile);
        let fits = 12 + 10 + profile.tag_len();
        let slot = || [header(7, 5, 0, None), vec![0; fits - 12]].concat();
        assert_eq!(sender.seal_rtp(7, 12, &mut slot(), &[1; 10], 0), Some(fits));
        assert_eq!(sender.seal_rtp(7, 12, &mut slot(), &[1; 11], 0), None, "no room for the payload");
        assert_eq!(sender.seal_rtp(7, 12, &mut slot(), &[1; 10], 1), None, "no room for the padding");
        assert_eq!(sender.seal_rtp(7, 12, &mut vec![0x80; 400], &[1; 10], 17), None, "too much padding");
        assert_eq!(sender.seal_rtp(8, 12, &mut slot(), &[1; 10], 0), None, "another packet's index");
        assert_eq!(sender.seal_rtp(1 << 48 | 7, 12, &mut slot(), &[1; 10], 0), None, "index used up");
        assert_eq!(sender.seal_rtp((1 << 48) - 0x10000 + 7, 12, &mut slot(), &[1; 10], 0), Some(fits));
        let mut last = [header(0xffff, 5, 0, None), vec![0; fits - 12]].concat();
        assert_eq!(sender.seal_rtp((1 << 48) - 1, 12, &mut last, &[1; 10], 0), Some(fits), "the last index there is");
        assert_eq!(sender.seal_rtp(7, 11, &mut slot(), &[1; 10], 0), None, "no whole header");

        let len = report(1).len();
        let mut slot = [report(1), vec![0; profile.rtcp_overhead()]].concat();
        assert_eq!(sender.seal_rtcp(&mut slot[..len + profile.rtcp_overhead() - 1], len), None);
        assert_eq!(sender.seal_rtcp(&mut slot, 7), None);
        assert_eq!(sender.seal_rtcp(&mut slot, len), Some(slot.len()));
        let at = if profile == SrtpProfile::AesCm128HmacSha1_80 { len } else { len + 16 };
        assert_eq!(slot[at..at + 4], [0x80, 0, 0, 0], "what was not sealed used up no index");
    }
}

#[test]
fn the_srtcp_index_ends_at_31_bits() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
    sender.skip_to_rtcp_index((1 << 31) - 1);
    let mut last = seal_report(&mut sender, 1);
    assert_eq!(last.last_chunk(), Some(&[0xff; 4]), "E flag and the highest index");
    assert_eq!(receiver.open_rtcp(&mut last), Ok(28));
    let mut slot = [report(1), vec![0; 20]].concat();
    assert_eq!(sender.seal_rtcp(&mut slot, 28), None);
    assert_eq!(sender.seal_rtcp(&mut slot, 28), None);
    assert_eq!(slot[..28], report(1), "and the plaintext is not touched");
}

#[test]
fn a_replayed_packet_is_refused_and_a_late_one_accepted_once() {
    for profile in SrtpProfile::PREFERENCE {
        let (sender, mut receiver) = pair(profile);
        let packets: Vec<_> = (0..2_000).map(|index| seal(&sender, 5, index)).collect();
        assert_eq!(index(open(&mut receiver, &packets[10])), Ok(10));
        assert_eq!(index(open(&mut receiver, &packets[10])), Err(SrtpError::Replayed));
        assert_eq!(index(open(&mut receiver, &packets[3])), Ok(3));
        assert_eq!(index(open(&mut receiver, &packets[3])), Err(SrtpError::Replayed));
        assert_eq!(index(open(&mut receiver, &packets[1_027])), Ok(1_027));
        assert_eq!(index(open(&mut receiver, &packets[3])), Err(SrtpError::TooOld));
        assert_eq!(index(open(&mut receiver, &packets[10])), Err(SrtpError::Replayed));
        assert_eq!(index(open(&mut receiver, &packets[4])), Ok(4));
        assert_eq!(index(open(&mut receiver, &packets[4])), Err(SrtpError::Replayed));
        assert_eq!(index(open(&mut receiver, &packets[1_999])), Ok(1_999));
        assert_eq!(index(open(&mut receiver, &packets[975])), Err(SrtpError::TooOld));
        assert_eq!(index(open(&mut receiver, &packets[976])), Ok(976));
    }
}

#[test]
fn a_forged_packet_moves_no_window() {
    for profile in SrtpProfile::PREFERENCE {
        let (sender, mut receiver) = pair(profile);
        assert_eq!(index(open(&mut receiver, &seal(&sender, 5, 10))), Ok(10));
        let mut forged = seal(&sender, 5, 30_000);
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(open(&mut receiver, &forged), Err(SrtpError::Authentication));
        assert_eq!(index(open(&mut receiver, &seal(&sender, 5, 9))), Ok(9));
        let mut damaged = seal(&sender, 5, 11);
        damaged[14] ^= 1;
        assert_eq!(open(&mut receiver, &damaged), Err(SrtpError::Authentication));
        assert_eq!(index(open(&mut receiver, &seal(&sender, 5, 11))), Ok(11), "a damaged copy uses up nothing");
    }
}

#[test]
fn a_header_bit_changed_on_the_way_is_noticed() {
    for profile in SrtpProfile::PREFERENCE {
        let (sender, _) = pair(profile);
        let sealed = seal_padded(&sender, 9, &header(9, 5, 1, Some(1)), b"payload", 0);
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (_, mut receiver) = pair(profile);
            assert!(open(&mut receiver, &damaged).is_err(), "{} bit {bit}", profile.name());
        }
    }
}

#[test]
fn the_rollover_counter_is_followed_in_and_out_of_order() {
    for profile in SrtpProfile::PREFERENCE {
        let (sender, mut receiver) = pair(profile);
        let mut wrap = |indexes: &[u64]| {
            for &i in indexes {
                assert_eq!(index(open(&mut receiver, &seal(&sender, 5, i))), Ok(i), "{} {i:x}", profile.name());
            }
        };
        wrap(&[0x7ff0, 0xfff0, 0xfffd, 0xfffe, 0xffff, 0x1_0000, 0x1_0001]);
        // At the next wrap, packets from before it also arrive late, after the first ones from past it.
        wrap(&[0x1_8000, 0x1_fffc, 0x2_0001, 0x1_fffe, 0x2_0000, 0x1_ffff, 0x1_fffd, 0x2_0002]);
        wrap(&[0x2_7fff, 0x2_ffff, 0x3_7ffe]);
    }
}

#[test]
fn each_ssrc_has_its_own_rollover_counter_and_window() {
    let (sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
    for i in [0x7000, 0xe000, 0x1_0000] {
        assert_eq!(index(open(&mut receiver, &seal(&sender, 5, i))), Ok(i));
    }
    for i in [0, 1] {
        assert_eq!(index(open(&mut receiver, &seal(&sender, 6, i))), Ok(i));
    }
    assert_eq!(index(open(&mut receiver, &seal(&sender, 5, 0x1_0001))), Ok(0x1_0001));
}

#[test]
fn only_authenticated_packets_add_sources_up_to_the_bound() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
    for ssrc in 0..1_000 {
        let mut forged = seal(&sender, ssrc, 1);
        forged[12] ^= 1;
        assert_eq!(open(&mut receiver, &forged), Err(SrtpError::Authentication));
        let mut forged = seal_report(&mut sender, ssrc);
        forged[12] ^= 1;
        assert_eq!(receiver.open_rtcp(&mut forged), Err(SrtpError::Authentication));
    }
    assert!(format!("{receiver:?}").contains("rtp_sources: 0, rtcp_sources: 0"));
    let max = limits::SRTP_SOURCES_PER_SESSION_MAX as u32;
    for ssrc in 0..max + 3 {
        let (rtp, rtcp) = (open(&mut receiver, &seal(&sender, ssrc, 1)), seal_report(&mut sender, ssrc));
        let rtcp = receiver.open_rtcp(&mut rtcp.clone());
        if ssrc < max {
            assert_eq!((index(rtp), rtcp), (Ok(1), Ok(28)));
        } else {
            assert_eq!((index(rtp), rtcp), (Err(SrtpError::TooManySources), Err(SrtpError::TooManySources)));
        }
    }
    assert_eq!(index(open(&mut receiver, &seal(&sender, 0, 2))), Ok(2), "those that are known go on");
}

#[test]
fn every_truncation_of_a_valid_packet_is_refused() {
    for profile in SrtpProfile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let rtp = seal_padded(&sender, 9, &header(9, 5, 2, Some(3)), b"some payload", 2);
        let rtcp = seal_report(&mut sender, 5);
        for len in 0..rtp.len() {
            assert!(open(&mut receiver, &rtp[..len]).is_err(), "{} RTP cut to {len}", profile.name());
        }
        for len in 0..rtcp.len() {
            assert!(receiver.open_rtcp(&mut rtcp[..len].to_vec()).is_err(), "{} RTCP cut to {len}", profile.name());
        }
        assert_eq!(open(&mut receiver, &rtp[..11]), Err(SrtpError::Malformed));
        assert_eq!(receiver.open_rtcp(&mut rtcp[..11].to_vec()), Err(SrtpError::Malformed));
        assert_eq!(index(open(&mut receiver, &rtp)), Ok(9), "after all of them the whole one opens");
        assert_eq!(receiver.open_rtcp(&mut rtcp.clone()), Ok(28));
        for version in [0, 1, 3] {
            let (mut rtp, mut rtcp) = (rtp.clone(), rtcp.clone());
            rtp[0] = rtp[0] & 0x3f | version << 6;
            rtcp[0] = rtcp[0] & 0x3f | version << 6;
            assert_eq!(open(&mut receiver, &rtp), Err(SrtpError::Malformed));
            assert_eq!(receiver.open_rtcp(&mut rtcp), Err(SrtpError::Malformed));
        }
    }
}

#[test]
fn the_shortest_packets_open_and_one_byte_less_is_malformed() {
    // RTP without a payload, and a receiver report without blocks (RFC 3550 §6.4.2).
    for profile in SrtpProfile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let rtp = seal_padded(&sender, 9, &header(9, 5, 0, None), &[], 0);
        let opened = open(&mut receiver, &rtp).unwrap();
        assert_eq!((opened.header.header_len, opened.payload_len), (12, 0));
        let mut rtcp = [&[0x80, 201, 0, 1, 0, 0, 0, 5][..], &[0; 20]].concat();
        let len = sender.seal_rtcp(&mut rtcp, 8).unwrap();
        assert_eq!(receiver.open_rtcp(&mut rtcp[..len].to_vec()), Ok(8));
        // The length is checked before the replay window: both packets were accepted before.
        assert_eq!(open(&mut receiver, &rtp[..rtp.len() - 1]), Err(SrtpError::Malformed));
        assert_eq!(receiver.open_rtcp(&mut rtcp[..len - 1].to_vec()), Err(SrtpError::Malformed));
    }
}

#[test]
fn random_bytes_open_to_nothing_and_never_panic() {
    let mut random = SeededRandom::new(99);
    for profile in SrtpProfile::PREFERENCE {
        let (_, mut receiver) = pair(profile);
        for len in (0..120).cycle().take(3_000) {
            let mut bytes = vec![0; len];
            random.fill(&mut bytes);
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            assert!(open(&mut receiver, &bytes).is_err());
            assert!(receiver.open_rtcp(&mut bytes).is_err());
        }
    }
}

#[test]
fn rtcp_opens_once_in_any_order_and_is_encrypted() {
    for profile in SrtpProfile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let mut sealed: Vec<_> = (0..200).map(|i| seal_report(&mut sender, i % 2)).collect();
        assert_eq!(sealed[0].len(), 28 + profile.rtcp_overhead());
        assert_ne!(sealed[0][8..28], report(0)[8..], "the report is not in plaintext");
        for i in [2, 0, 4, 1, 3] {
            let mut packet = sealed[i].clone();
            assert_eq!(receiver.open_rtcp(&mut packet), Ok(28));
            assert_eq!(packet[..28], report(i as u32 % 2));
        }
        assert_eq!(receiver.open_rtcp(&mut sealed[4].clone()), Err(SrtpError::Replayed));
        assert_eq!(receiver.open_rtcp(&mut sealed[198].clone()), Ok(28));
        assert_eq!(receiver.open_rtcp(&mut sealed[70].clone()), Err(SrtpError::TooOld));
        assert_eq!(receiver.open_rtcp(&mut sealed[72].clone()), Ok(28));
        assert_eq!(receiver.open_rtcp(&mut sealed[71].clone()), Ok(28), "the other SSRC has its own window");
        // The E flag is checked before anything else.
        let at = sealed[199].len() - if profile == SrtpProfile::AesCm128HmacSha1_80 { 14 } else { 4 };
        sealed[199][at] &= 0x7f;
        assert_eq!(receiver.open_rtcp(&mut sealed[199]), Err(SrtpError::Unencrypted));
    }
}

#[test]
fn contexts_stay_small() {
    // The module's documentation states these sizes. aws-lc's own heap is not measured here.
    assert!(size_of::<transform::Transform<AwsLcKey>>() <= 40);
    assert!(size_of::<SrtpSender<AwsLcKey>>() <= 136);
    assert!(size_of::<SrtpReceiver<AwsLcKey>>() <= 184);
    assert!(size_of::<transform::AesCmHmac>() <= 320);
    assert!(size_of::<receiver::ReceivedSource<{ limits::SRTP_REPLAY_WINDOW_PACKETS / 64 }>>() <= 144);
    assert!(size_of::<receiver::ReceivedSource<{ limits::SRTCP_REPLAY_WINDOW_PACKETS / 64 }>>() <= 32);
    // The other backends keep their keys inline, sized for 256 bits.
    assert!(size_of::<SrtpSender<RingKey>>() <= 1_152 + 48);
    assert!(size_of::<SrtpSender<RustCryptoKey>>() <= 1_328 + 48);
}

#[test]
fn a_viewer_that_sends_no_rtp_has_no_rtp_context() {
    let (mut sender, mut receiver) = pair(SrtpProfile::AeadAes128Gcm);
    assert_eq!(receiver.open_rtcp(&mut seal_report(&mut sender, 1)), Ok(28));
    assert!(!receiver.has_rtp_context());
    assert_eq!(index(open(&mut receiver, &seal(&sender, 1, 1))), Ok(1));
    assert!(receiver.has_rtp_context());
}

fn exported(export: impl FnOnce(&mut StateWriter)) -> StateBytes {
    let mut writer = StateWriter::new();
    export(&mut writer);
    writer.finish()
}

fn imported<T>(
    bytes: &[u8],
    import: impl Fn(&mut StateReader<'_>) -> Result<T, ImportError>,
) -> Result<T, ImportError> {
    let mut reader = StateReader::new(bytes);
    let value = import(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

#[test]
fn an_imported_sender_continues_above_its_last_index() {
    for profile in SrtpProfile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let before: Vec<_> = (0..3).map(|_| seal_report(&mut sender, 9)).collect();
        let rtp = seal(&sender, 1, 70_000);
        let bytes = exported(|out| sender.export(out));
        refuses_damage(&bytes, |bytes| imported(bytes, SrtpSender::<AwsLcKey>::import));
        let mut sender: SrtpSender = imported(bytes.as_slice(), SrtpSender::import).unwrap();
        assert_eq!(sender.profile(), profile);
        assert_eq!(seal(&sender, 1, 70_000), rtp, "the same keys");
        let after = seal_report(&mut sender, 9);
        for mut packet in before.into_iter().chain([after]) {
            assert_eq!(receiver.open_rtcp(&mut packet), Ok(28), "an index was used twice");
        }
    }
}

#[test]
fn an_imported_receiver_refuses_what_was_accepted_before_export() {
    for profile in SrtpProfile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let (seen, late) = (seal(&sender, 1, 131_072), seal(&sender, 1, 131_070));
        // The rollover counter is at two.
        for at in [10, 32_000, 64_000, 80_000, 110_000, 131_000] {
            assert_eq!(index(open(&mut receiver, &seal(&sender, 1, at))), Ok(at));
        }
        assert!(open(&mut receiver, &seen).is_ok());
        let reports = [seal_report(&mut sender, 4), seal_report(&mut sender, 4)];
        assert_eq!(receiver.open_rtcp(&mut reports[0].clone()), Ok(28));
        let bytes = exported(|out| receiver.export(out));
        refuses_damage(&bytes, |bytes| imported(bytes, SrtpReceiver::<AwsLcKey>::import));
        let mut receiver = imported(bytes.as_slice(), SrtpReceiver::import).unwrap();
        assert_eq!(open(&mut receiver, &seen), Err(SrtpError::Replayed));
        assert_eq!(index(open(&mut receiver, &late)), Ok(131_070), "its rollover counter is known");
        assert_eq!(receiver.open_rtcp(&mut reports[0].clone()), Err(SrtpError::Replayed));
        assert_eq!(receiver.open_rtcp(&mut reports[1].clone()), Ok(28));
    }
}

#[test]
fn an_exhausted_sender_stays_exhausted_when_imported() {
    let (mut sender, _) = pair(SrtpProfile::AeadAes128Gcm);
    sender.skip_to_rtcp_index(1 << 31);
    let bytes = exported(|out| sender.export(out));
    let mut sender: SrtpSender = imported(bytes.as_slice(), SrtpSender::import).unwrap();
    assert_eq!(sender.seal_rtcp(&mut [report(1), vec![0; 40]].concat(), 28), None);
    // An index that no sender can have.
    let mut beyond = bytes.as_slice().to_vec();
    *beyond.last_mut().unwrap() = 0x81;
    assert_eq!(imported(&beyond, SrtpSender::<AwsLcKey>::import).err(), Some(ImportError::Malformed));
}
