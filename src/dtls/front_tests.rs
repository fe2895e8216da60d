use proptest::prelude::*;

use super::super::record::write_plain;
use super::*;

/// One fragment of `message`: bytes `offset..offset + len`, as a record numbered `number`.
fn fragment(message: &HandshakeMessage, offset: usize, len: usize, number: u64) -> Vec<u8> {
    let u24 = |value: usize| u32::try_from(value).unwrap().to_be_bytes()[1..].to_vec();
    let fragment = [
        vec![message.kind],
        u24(message.body.len()),
        message.sequence.to_be_bytes().to_vec(),
        u24(offset),
        u24(len),
        message.body[offset..offset + len].to_vec(),
    ]
    .concat();
    let mut out = Vec::new();
    write_plain(&mut out, content::HANDSHAKE, number, &fragment);
    out
}

fn hello() -> HandshakeMessage {
    HandshakeMessage { kind: CLIENT_HELLO, sequence: 0, body: (0..=255).cycle().take(1_400).collect() }
}

fn take(front: &mut Front, datagram: &[u8]) {
    front.take(datagram, |record| panic!("{record:?}"));
}

#[test]
fn a_hello_in_two_datagrams_arrives_whole_in_either_order() {
    let hello = hello();
    for order in [[0, 1], [1, 0]] {
        let pieces = [fragment(&hello, 0, 1_150, 0), fragment(&hello, 1_150, 250, 1)];
        let mut front = Front::default();
        take(&mut front, &pieces[order[0]]);
        assert_eq!(front.next_message(), None);
        take(&mut front, &pieces[order[1]]);
        assert_eq!(front.next_message(), Some(hello.clone()));
        assert_eq!(front.next_message(), None);
    }
}

#[test]
fn messages_come_out_in_order_however_they_came_in() {
    let messages: Vec<_> =
        (0..3).map(|sequence| HandshakeMessage { kind: 11, sequence, body: vec![sequence as u8; 300] }).collect();
    let mut front = Front::default();
    for (number, message) in messages.iter().rev().enumerate() {
        let mut record = Vec::new();
        write_plain(&mut record, content::HANDSHAKE, number as u64, &message.encode());
        take(&mut front, &record);
    }
    assert_eq!(std::iter::from_fn(|| front.next_message()).collect::<Vec<_>>(), messages);
}

#[test]
fn a_retransmission_comes_out_again_and_a_duplicated_datagram_does_not() {
    let hello = hello();
    let mut front = Front::default();
    take(&mut front, &fragment(&hello, 0, 1_400, 0));
    assert!(front.next_message().is_some());
    take(&mut front, &fragment(&hello, 0, 1_400, 0));
    assert_eq!(front.next_message(), None, "the same record again");
    take(&mut front, &fragment(&hello, 0, 700, 1));
    take(&mut front, &fragment(&hello, 700, 700, 2));
    assert_eq!(front.next_message(), Some(hello), "new records with the same message");
    assert_eq!(front.next_message(), None, "once, not once per piece");
}

#[test]
fn a_whole_forged_message_takes_the_place_of_no_other() {
    let hello = hello();
    let forged = HandshakeMessage { body: vec![0; 1_400], ..hello.clone() };
    let mut front = Front::default();
    take(&mut front, &fragment(&forged, 0, 1_400, 0));
    assert_eq!(front.next_message(), Some(forged));
    take(&mut front, &fragment(&hello, 0, 1_400, 0));
    assert_eq!(front.next_message(), Some(hello));
}

#[test]
fn messages_in_order_come_out_once_and_a_repeated_one_is_told() {
    let message = |sequence| HandshakeMessage { kind: 11, sequence, body: vec![1] };
    let mut in_order = InOrder::default();
    assert!(!in_order.put(message(1)));
    assert_eq!(in_order.next(), None);
    assert!(!in_order.put(message(0)));
    assert_eq!(std::iter::from_fn(|| in_order.next()).collect::<Vec<_>>(), [message(0), message(1)]);
    assert!(in_order.put(message(0)) && in_order.put(message(1)));
}

#[test]
fn a_retransmission_replaces_a_damaged_fragment() {
    let hello = hello();
    let mut forged = hello.clone();
    forged.body = vec![0; 900];
    let mut front = Front::default();
    take(&mut front, &fragment(&forged, 0, 100, 0));
    take(&mut front, &fragment(&hello, 0, 1_150, 1));
    take(&mut front, &fragment(&hello, 1_150, 250, 2));
    assert_eq!(front.next_message(), Some(hello));
}

#[test]
fn fragments_outside_the_bounds_allocate_nothing() {
    let mut front = Front::default();
    let message = |sequence, length| HandshakeMessage { kind: 1, sequence, body: vec![0; length] };
    take(&mut front, &fragment(&message(DTLS_HANDSHAKE_MESSAGES_MAX, 10), 0, 10, 0));
    take(&mut front, &fragment(&message(0, DTLS_HANDSHAKE_MESSAGE_BYTES_MAX + 1), 0, 10, 1));
    // A fragment that reaches past the message's length.
    let mut past = fragment(&message(0, 40), 0, 40, 2);
    past[13 + 3] = 20;
    take(&mut front, &past);
    assert!(front.partial.is_empty());
}

#[test]
fn a_message_in_too_many_pieces_is_bounded() {
    let message = HandshakeMessage { kind: 1, sequence: 0, body: vec![1; DTLS_HANDSHAKE_MESSAGE_BYTES_MAX] };
    let mut front = Front::default();
    for (number, offset) in (0..DTLS_HANDSHAKE_MESSAGE_BYTES_MAX).step_by(2).enumerate() {
        take(&mut front, &fragment(&message, offset, 1, number as u64));
    }
    assert_eq!(front.partial[0].runs.len(), DTLS_FRAGMENT_RUNS_MAX);
}

#[test]
fn a_fragment_holds_its_own_bytes_and_not_what_its_header_announces() {
    let mut front = Front::default();
    for sequence in 0..DTLS_HANDSHAKE_MESSAGES_MAX {
        let message = HandshakeMessage { kind: 1, sequence, body: vec![0; DTLS_HANDSHAKE_MESSAGE_BYTES_MAX] };
        take(&mut front, &fragment(&message, DTLS_HANDSHAKE_MESSAGE_BYTES_MAX - 1, 1, u64::from(sequence)));
    }
    assert_eq!(front.partial.len(), usize::from(DTLS_HANDSHAKE_MESSAGES_MAX));
    let allocated: usize = front.partial.iter().flat_map(|partial| &partial.runs).map(|run| run.bytes.capacity()).sum();
    assert!(allocated < 64 * front.partial.len(), "{allocated} bytes for as many one-byte fragments");
}

#[test]
fn incomplete_messages_are_bounded_and_the_one_being_sent_stays() {
    let long = |sequence| HandshakeMessage { kind: 11, sequence, body: vec![7; DTLS_HANDSHAKE_MESSAGE_BYTES_MAX] };
    let mut front = Front::default();
    let mut number = 0;
    for sequence in (1..DTLS_HANDSHAKE_MESSAGES_MAX).chain([0]) {
        // All but the last byte.
        for offset in (0..DTLS_HANDSHAKE_MESSAGE_BYTES_MAX - 1).step_by(1_023) {
            let len = (DTLS_HANDSHAKE_MESSAGE_BYTES_MAX - 1 - offset).min(1_023);
            take(&mut front, &fragment(&long(sequence), offset, len, number));
            assert!(front.held_bytes() <= DTLS_REASSEMBLY_BYTES_MAX);
            number += 1;
        }
    }
    take(&mut front, &fragment(&long(0), DTLS_HANDSHAKE_MESSAGE_BYTES_MAX - 1, 1, number));
    assert_eq!(front.next_message(), Some(long(0)));
}

#[test]
fn several_messages_in_one_record_are_taken_apart() {
    let two = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xaa, 11, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let mut record = Vec::new();
    write_plain(&mut record, content::HANDSHAKE, 0, &two);
    let mut front = Front::default();
    take(&mut front, &record);
    assert_eq!(front.next_message(), Some(HandshakeMessage { kind: 1, sequence: 0, body: vec![0xaa] }));
    assert_eq!(front.next_message(), Some(HandshakeMessage { kind: 11, sequence: 1, body: vec![] }));
}

#[test]
fn a_fatal_alert_is_remembered_and_ends_nothing() {
    let mut front = Front::default();
    let mut record = Vec::new();
    write_plain(&mut record, content::ALERT, 0, &[2, 40]);
    take(&mut front, &record);
    assert_eq!(front.alert, Some(40));
    take(&mut front, &fragment(&hello(), 0, 1_400, 1));
    assert_eq!(front.next_message(), Some(hello()));
}

proptest! {
    #[test]
    fn any_pieces_in_any_order_make_the_message(
        cuts in proptest::collection::btree_set(1..1_400_usize, 0..60),
        overlap in 0..40_usize,
        seed in any::<u64>(),
    ) {
        let hello = hello();
        let bounds: Vec<_> = std::iter::once(0).chain(cuts).chain([1_400]).collect();
        let mut pieces: Vec<_> = bounds
            .windows(2)
            .map(|pair| (pair[0].saturating_sub(overlap), pair[1]))
            .collect();
        let mut state = seed | 1;
        for at in (1..pieces.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pieces.swap(at, (state >> 33) as usize % (at + 1));
        }
        let mut front = Front::default();
        for (number, &(start, end)) in pieces.iter().enumerate() {
            prop_assert!(front.next_message().is_none());
            take(&mut front, &fragment(&hello, start, end - start, number as u64));
            if front.partial.iter().any(Partial::is_whole) { break }
        }
        prop_assert_eq!(front.next_message(), Some(hello));
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut front = Front::default();
        let mut record = Vec::new();
        write_plain(&mut record, content::HANDSHAKE, 0, &bytes);
        front.take(&record, |_| {});
        front.take(&bytes, |_| {});
        while front.next_message().is_some() {}
    }
}
