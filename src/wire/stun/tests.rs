//! RFC 5769 vectors, refusals, and the properties of reader and writer.

use std::net::{Ipv6Addr, SocketAddrV6};

use proptest::prelude::*;

use super::*;

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

const TRANSACTION_ID: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

/// RFC 5769 §2.1
#[rustfmt::skip]
const SAMPLE_REQUEST: [u8; 108] = [
    0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42,
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74,
    0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
    0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36,
    0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20,
    0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2,
    0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
];

/// RFC 5769 §2.2
#[rustfmt::skip]
const SAMPLE_IPV4_RESPONSE: [u8; 80] = [
    0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42,
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20,
    0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
    0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7,
    0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
];

/// RFC 5769 §2.3
#[rustfmt::skip]
const SAMPLE_IPV6_RESPONSE: [u8; 92] = [
    0x01, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42,
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20,
    0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47,
    0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
    0x00, 0x08, 0x00, 0x14, 0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6, 0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, 0x82, 0x92, 0xc2, 0x75, 0xbf, 0xe3, 0xed, 0x41,
    0x80, 0x28, 0x00, 0x04, 0xc8, 0xfb, 0x0b, 0x4c,
];

#[test]
fn rfc5769_2_1_sample_request() {
    let message = StunMessage::parse(&SAMPLE_REQUEST).unwrap();
    assert_eq!(message.class(), StunClass::Request);
    assert_eq!(message.method(), BINDING);
    assert_eq!(message.transaction_id(), &TRANSACTION_ID);
    assert_eq!(message.software(), Some(&b"STUN test client"[..]));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.ice_controlled(), Some(0x932f_f9b1_5126_3b36));
    assert_eq!(message.ice_controlling(), None);
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.bytes(), SAMPLE_REQUEST);
    assert!(!message.use_candidate());
    assert!(message.has_integrity());
    assert!(message.verify_integrity(PASSWORD));
    assert_eq!(message.fingerprint_valid(), Some(true));
    assert_eq!(message.unknown_comprehension_required().count(), 0);
}

#[test]
fn rfc5769_2_2_sample_ipv4_response() {
    let message = StunMessage::parse(&SAMPLE_IPV4_RESPONSE).unwrap();
    assert_eq!(message.class(), StunClass::Success);
    assert_eq!(message.software(), Some(&b"test vector"[..]));
    assert_eq!(message.xor_mapped_address(), Some("192.0.2.1:32853".parse().unwrap()));
    assert!(message.verify_integrity(PASSWORD));
    assert_eq!(message.fingerprint_valid(), Some(true));
}

#[test]
fn rfc5769_2_3_sample_ipv6_response() {
    let message = StunMessage::parse(&SAMPLE_IPV6_RESPONSE).unwrap();
    assert_eq!(message.class(), StunClass::Success);
    let address = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
    assert_eq!(message.xor_mapped_address(), Some(address));
    assert!(message.verify_integrity(PASSWORD));
    assert_eq!(message.fingerprint_valid(), Some(true));
}

#[test]
fn a_flipped_bit_anywhere_breaks_the_sample_request() {
    for at in 0..SAMPLE_REQUEST.len() {
        let mut bytes = SAMPLE_REQUEST;
        bytes[at] ^= 0x04;
        let Ok(message) = StunMessage::parse(&bytes) else { continue };
        // A changed FINGERPRINT type makes it an unknown attribute; what it covered is still authenticated.
        let accepted = message.verify_integrity(PASSWORD) && message.fingerprint_valid() == Some(true);
        assert!(!accepted, "byte {at}");
    }
}

#[test]
fn another_password_does_not_verify() {
    let message = StunMessage::parse(&SAMPLE_REQUEST).unwrap();
    assert!(!message.verify_integrity(b"VOkJxbRl1RmTxUk/WvJxBT"));
    assert!(!message.verify_integrity(b""));
}

#[test]
fn a_message_without_trailer_has_neither() {
    let mut out = [0; 64];
    let len = StunWriter::binding_request(&mut out, &TRANSACTION_ID).finish().unwrap();
    let message = StunMessage::parse(&out[..len]).unwrap();
    assert!(!message.has_integrity());
    assert!(!message.verify_integrity(b""));
    assert_eq!(message.fingerprint_valid(), None);
}

#[test]
fn framing_errors_are_told_apart() {
    let changed = |at: usize, value: u8| {
        let mut bytes = SAMPLE_REQUEST;
        bytes[at] = value;
        StunMessage::parse(&bytes).map(drop).unwrap_err()
    };
    assert_eq!(changed(0, 0x80), StunError::NotStun);
    assert_eq!(changed(3, 0x54), StunError::Length);
    assert_eq!(changed(4, 0x20), StunError::Cookie);
    assert_eq!(changed(22, 0xff), StunError::AttributeBounds);
    for len in 0..SAMPLE_REQUEST.len() {
        assert_eq!(StunMessage::parse(&SAMPLE_REQUEST[..len]).map(drop), Err(StunError::Length), "{len} bytes");
    }
    let mut longer = SAMPLE_REQUEST.to_vec();
    longer.extend([0; 4]);
    assert_eq!(StunMessage::parse(&longer).map(drop), Err(StunError::Length));
}

#[test]
fn nothing_may_follow_the_fingerprint() {
    // RFC 8489 §14.7.
    let mut out = [0; 128];
    let writer = StunWriter::binding_request(&mut out, &TRANSACTION_ID).fingerprint().use_candidate();
    let len = writer.finish().unwrap();
    assert_eq!(StunMessage::parse(&out[..len]).map(drop), Err(StunError::BadTrailer));
}

#[test]
fn an_integrity_of_another_size_is_refused() {
    let mut out = [0; 128];
    let writer = StunWriter::binding_request(&mut out, &TRANSACTION_ID);
    let len = writer.attribute(attribute::MESSAGE_INTEGRITY, &[0; 16]).finish().unwrap();
    assert_eq!(StunMessage::parse(&out[..len]).map(drop), Err(StunError::BadTrailer));
}

#[test]
fn attributes_after_the_integrity_are_ignored() {
    // RFC 8489 §14.5: an on-path attacker can append to a message, and it still verifies.
    let mut out = [0; 128];
    let writer = StunWriter::binding_request(&mut out, &TRANSACTION_ID).username(b"a:b").integrity(PASSWORD);
    let len = writer.use_candidate().priority(1).attribute(0x7777, b"").finish().unwrap();
    let message = StunMessage::parse(&out[..len]).unwrap();
    assert!(message.verify_integrity(PASSWORD));
    assert!(!message.use_candidate());
    assert_eq!(message.priority(), None);
    assert_eq!(message.unknown_comprehension_required().count(), 0);
}

#[test]
fn of_two_integrities_the_first_counts() {
    // RFC 8489 §14: else what an on-path attacker appends would move the end of what is covered.
    let mut out = [0; 128];
    let writer = StunWriter::binding_request(&mut out, &TRANSACTION_ID).username(b"a:b").integrity(PASSWORD);
    let len = writer.use_candidate().attribute(attribute::MESSAGE_INTEGRITY, &[7; 20]).finish().unwrap();
    let message = StunMessage::parse(&out[..len]).unwrap();
    assert!(message.verify_integrity(PASSWORD));
    assert!(!message.use_candidate());
}

#[test]
fn an_unknown_required_attribute_is_named_and_answered_with_420() {
    // RFC 8489 §6.3.1.
    let mut out = [0; 128];
    let writer = StunWriter::binding_request(&mut out, &TRANSACTION_ID).attribute(0x0042, b"x");
    let len = writer.attribute(0x8042, b"optional").attribute(0x7fff, b"").finish().unwrap();
    let request = StunMessage::parse(&out[..len]).unwrap();
    let unknown: Vec<u16> = request.unknown_comprehension_required().collect();
    assert_eq!(unknown, [0x0042, 0x7fff]);

    let mut out = [0; 128];
    let writer = StunWriter::binding_error(&mut out, &TRANSACTION_ID).error_code(420, "Unknown Attribute");
    let len = writer.unknown_attributes(unknown.iter().copied()).fingerprint().finish().unwrap();
    let response = StunMessage::parse(&out[..len]).unwrap();
    assert_eq!(response.class(), StunClass::Error);
    assert_eq!(response.error_code(), Some(420));
    assert_eq!(response.error_reason(), Some(&b"Unknown Attribute"[..]));
    assert_eq!(response.unknown_attributes().collect::<Vec<_>>(), unknown);
}

#[test]
fn error_codes_outside_the_range_are_refused_both_ways() {
    for code in [0, 299, 700, 65_535] {
        let mut out = [0; 64];
        assert_eq!(StunWriter::binding_error(&mut out, &TRANSACTION_ID).error_code(code, "").finish(), None);
    }
    let mut out = [0; 64];
    let writer = StunWriter::binding_error(&mut out, &TRANSACTION_ID);
    let len = writer.attribute(attribute::ERROR_CODE, &[0, 0, 4, 100]).finish().unwrap();
    assert_eq!(StunMessage::parse(&out[..len]).unwrap().error_code(), None);
}

#[test]
fn a_message_that_does_not_fit_is_not_finished() {
    let mut out = [0; 256];
    let write = |out: &mut [u8]| {
        let writer = StunWriter::binding_request(out, &TRANSACTION_ID).username(b"abcd:efgh").priority(7);
        writer.integrity(PASSWORD).fingerprint().finish()
    };
    let len = write(&mut out).unwrap();
    for short in 0..len {
        assert_eq!(write(&mut out[..short]), None, "{short} of {len} bytes");
    }
    assert_eq!(write(&mut out[..len]), Some(len));
}

#[test]
fn crc32_check_value() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

fn socket_addr() -> impl Strategy<Value = SocketAddr> {
    let v6 = |(ip, port): (u128, u16)| SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from_bits(ip), port, 0, 0));
    let v4 = |(ip, port): ([u8; 4], u16)| SocketAddr::from((ip, port));
    prop_oneof![any::<([u8; 4], u16)>().prop_map(v4), any::<(u128, u16)>().prop_map(v6)]
}

fn read_everything(bytes: &[u8]) {
    let Ok(message) = StunMessage::parse(bytes) else { return };
    let _ = (message.class(), message.method(), message.username(), message.priority(), message.use_candidate());
    let _ = (message.ice_controlled(), message.ice_controlling(), message.xor_mapped_address());
    let _ = (message.error_code(), message.error_reason(), message.unknown_attributes().count());
    let _ = (message.unknown_comprehension_required().count(), message.fingerprint_valid());
    assert!(!message.verify_integrity(b"guess"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        read_everything(&bytes);
    }

    #[test]
    fn any_attributes_are_read_without_panic(
        kind in 0_u16..0x4000,
        attributes in prop::collection::vec(
            (prop_oneof![Just(0x20_u16), Just(9), Just(8), Just(0x8028), 0_u16..0x30], 0_u16..28, any::<[u8; 28]>()),
            0..8,
        ),
    ) {
        let mut bytes = Vec::new();
        for (kind, len, value) in attributes {
            bytes.extend(kind.to_be_bytes());
            bytes.extend(len.to_be_bytes());
            bytes.extend(&value[..usize::from(len).next_multiple_of(4)]);
        }
        let mut message = kind.to_be_bytes().to_vec();
        message.extend((bytes.len() as u16).to_be_bytes());
        message.extend(MAGIC_COOKIE.to_be_bytes());
        message.extend(TRANSACTION_ID);
        message.extend(bytes);
        read_everything(&message);
    }

    #[test]
    fn message_types_read_back(method in 0_u16..0x1000, class in 0_usize..4) {
        let class = [StunClass::Request, StunClass::Indication, StunClass::Success, StunClass::Error][class];
        let mut out = [0; 32];
        let len = StunWriter::new(&mut out, class, method, &TRANSACTION_ID).finish().unwrap();
        let message = StunMessage::parse(&out[..len]).unwrap();
        prop_assert_eq!((message.class(), message.method()), (class, method));
    }

    #[test]
    fn a_written_message_reads_back(
        transaction_id: [u8; 12],
        username in prop::collection::vec(any::<u8>(), 0..40),
        priority: u32,
        tie_breaker: u64,
        address in socket_addr(),
        (code, reason) in (300_u16..700, "[a-z ]{0,20}"),
        key in prop::collection::vec(any::<u8>(), 0..100),
        controlling: bool,
    ) {
        let mut out = [0; 512];
        let mut writer = StunWriter::binding_request(&mut out, &transaction_id)
            .username(&username)
            .priority(priority)
            .xor_mapped_address(address)
            .error_code(code, &reason)
            .software(&reason);
        writer = if controlling {
            writer.ice_controlling(tie_breaker).use_candidate()
        } else {
            writer.ice_controlled(tie_breaker)
        };
        let len = writer.integrity(&key).fingerprint().finish().unwrap();

        let message = StunMessage::parse(&out[..len]).unwrap();
        prop_assert_eq!(message.transaction_id(), &transaction_id);
        prop_assert_eq!(message.username(), Some(username.as_slice()));
        prop_assert_eq!(message.priority(), Some(priority));
        prop_assert_eq!(message.xor_mapped_address(), Some(address));
        prop_assert_eq!(message.error_code(), Some(code));
        prop_assert_eq!(message.error_reason(), Some(reason.as_bytes()));
        prop_assert_eq!(message.software(), Some(reason.as_bytes()));
        prop_assert_eq!(message.use_candidate(), controlling);
        prop_assert_eq!(message.ice_controlling(), controlling.then_some(tie_breaker));
        prop_assert_eq!(message.ice_controlled(), (!controlling).then_some(tie_breaker));
        prop_assert!(message.verify_integrity(&key));
        prop_assert_eq!(message.fingerprint_valid(), Some(true));
    }
}
