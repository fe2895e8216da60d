use super::*;

fn info(sequence: u64, at_ms: u64) -> PacketInfo {
    PacketInfo {
        sequence: Sequence(sequence),
        timestamp: 0,
        arrival: Timestamp::from_millis(at_ms),
        marker: false,
        key_frame: false,
        padding: 0,
        layers: Layers::UNKNOWN,
    }
}

#[test]
fn a_layer_is_a_byte() {
    for (up_here, up_after) in [(false, false), (true, false), (false, true)] {
        for (temporal, spatial) in [(0, 0), (2, 1), (7, 3)] {
            let layer = LayerIds { temporal, spatial, up_here, up_after };
            assert_eq!(Layers::new(layer).known(), Some(layer));
            assert_eq!(Layers::from_byte(Layers::new(layer).to_byte()), Layers::new(layer));
        }
    }
    assert_eq!((Layers::from_byte(0x45), Layers::UNKNOWN.known()), (Layers::UNKNOWN, None));
    let higher = Layers::new(LayerIds { spatial: 6, ..LayerIds::default() });
    assert_eq!(higher.known().map(|layer| layer.spatial), Some(3));
}

/// A ring of a stream of 40 packets of 2,000 bytes a second that began so long ago, and had one key frame, 2 s later.
fn with_key_frame_at_two(seconds: u64) -> PacketRing {
    let mut ring = PacketRing::new(4096, 4 * 1024 * 1024);
    for n in 0..seconds * 40 {
        let position = ring.store(info(n, n * 25), &payload(n, 2_000)).unwrap();
        if n == 80 {
            ring.set_key_frame(position, Position(0));
        }
    }
    ring
}

#[test]
fn the_newest_key_frame_stays_longer_than_other_packets_and_no_longer_than_anybody_starts_with_it() {
    let age = limits::KEY_FRAME_AGE_MAX.as_secs();
    for seconds in 3..=2 + age {
        assert!(with_key_frame_at_two(seconds).key_frame().is_some(), "{seconds}");
    }
    let ring = with_key_frame_at_two(60);
    assert!(ring.key_frame().is_none());
    // A ring that was made for five seconds holds at most twice as much.
    assert!(ring.allocated_bytes() < 2_000 * 40 * 2 * age as usize, "{}", ring.allocated_bytes());
    assert_eq!(ring.bytes_from(Position(ring.head().0 - 3)), 6_000 + 3 * limits::SENT_OVERHEAD_BYTES as u64);
    assert_eq!((ring.bytes_from(ring.head()), ring.bytes_from(Position(0))), (0, ring.len() as u64 * 2_040));
}

fn payload(sequence: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (sequence as usize * 31 + i) as u8).collect()
}

#[test]
fn every_packet_in_the_ring_reads_back_what_was_stored() {
    let mut ring = PacketRing::new(1024, 256 * 1024);
    let mut random = 12345u64;
    for sequence in 0..3_000u64 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let len = 1 + (random >> 33) as usize % 1400;
        ring.store(info(sequence, sequence), &payload(sequence, len)).unwrap();
        // More often than the ring turns over, so that each packet is read once at least.
        if sequence % 150 == 0 {
            for position in (ring.tail().0..ring.head().0).map(Position) {
                let (info, bytes) = ring.get(position).unwrap();
                assert_eq!(bytes, payload(info.sequence.0, bytes.len()));
            }
        }
    }
    assert!(ring.allocated_bytes() <= 256 * 1024);
    assert!(ring.len() as u64 > 100);
}

#[test]
fn history_is_kept_for_its_time_when_bytes_allow() {
    let mut ring = PacketRing::new(4096, 4 * 1024 * 1024);
    // 260 packets a second of 1,200 bytes: 312 kB a second.
    for sequence in 0..2600u64 {
        ring.store(info(sequence, sequence * 1000 / 260), &payload(sequence, 1200)).unwrap();
    }
    let (oldest, _) = ring.get(ring.tail()).unwrap();
    assert!(Timestamp::from_millis(10_000).since(oldest.arrival) >= limits::RING_HISTORY);
    assert!(ring.allocated_bytes() <= 2 * 1024 * 1024, "{}", ring.allocated_bytes());
}

#[test]
fn a_ring_holds_packets_up_to_its_last_byte() {
    let held = limits::RING_BYTES_INITIAL as u64 / 1_024;
    let mut ring = PacketRing::new(1_024, limits::RING_BYTES_INITIAL);
    for sequence in 0..held * 3 {
        ring.store(info(sequence, 0), &payload(sequence, 1_024)).unwrap();
        assert_eq!(ring.len() as u64, held.min(sequence + 1));
        assert!(ring.is_disjoint());
    }
    for position in (ring.tail().0..ring.head().0).map(Position) {
        let (info, bytes) = ring.get(position).unwrap();
        assert_eq!(bytes, payload(info.sequence.0, 1_024));
    }
    assert_eq!(ring.allocated_bytes(), limits::RING_BYTES_INITIAL);
}

#[test]
fn a_ring_doubles_while_its_history_is_too_short_and_no_longer() {
    let initial = limits::RING_BYTES_INITIAL;
    let mut ring = PacketRing::new(1_024, 4 * initial);
    let mut fill = |packets: u64, arrival: Timestamp| {
        for _ in 0..packets {
            let sequence = ring.newest_sequence().map_or(0, |newest| newest.next().0);
            ring.store(PacketInfo { arrival, ..info(sequence, 0) }, &[7; 1_024]).unwrap();
        }
        (ring.allocated_bytes() / initial, ring.len() as u64)
    };
    let full = initial as u64 / 1_024;
    let (start, kept) = (Timestamp::from_millis(1_000), Timestamp::from_millis(1_000) + limits::RING_HISTORY);
    assert_eq!(fill(full, start), (1, full));
    assert_eq!(fill(1, start), (2, full + 1));
    assert_eq!(fill(full - 1, start), (2, 2 * full));
    assert_eq!(fill(2 * full, kept), (2, 2 * full), "the oldest is old enough to go");
    assert_eq!(fill(1, kept), (4, 2 * full + 1));
    assert_eq!(fill(2 * full, kept), (4, 4 * full), "it may not grow any more");
}

#[test]
fn packets_that_share_a_byte_are_noticed() {
    let mut ring = PacketRing::new(64, 64 * 1024);
    for sequence in 0..3 {
        ring.store(info(sequence, 0), &payload(sequence, 100)).unwrap();
    }
    assert!(ring.is_disjoint());
    ring.packets[1].offset -= 1;
    assert!(!ring.is_disjoint());
    ring.packets[1].offset = ring.buffer.len() as u32 - 99;
    assert!(!ring.is_disjoint(), "it reaches behind the buffer");
    ring.packets[1].offset -= 1;
    assert!(ring.is_disjoint());
}

#[test]
fn a_late_packet_is_found_by_sequence_and_sent_by_position() {
    let mut ring = PacketRing::new(64, 64 * 1024);
    for sequence in [10, 11, 13, 12] {
        ring.store(info(sequence, 0), &payload(sequence, 100)).unwrap();
    }
    assert_eq!(ring.find(Sequence(12)).unwrap().0, Position(3));
    assert_eq!(ring.get(Position(2)).unwrap().0.sequence, Sequence(13));
    assert!(ring.find(Sequence(14)).is_none());
}

#[test]
fn a_sequence_is_stored_once_even_after_its_bytes_are_gone() {
    let mut ring = PacketRing::new(64, limits::RING_BYTES_INITIAL);
    for sequence in 0..200 {
        ring.store(info(sequence, sequence * 10_000), &payload(sequence, 1400)).unwrap();
    }
    assert_eq!(ring.store(info(199, 0), &[1]), Err(NotStored::Duplicate));
    assert_eq!(ring.store(info(140, 0), &[1]), Err(NotStored::Duplicate));
    assert_eq!(ring.store(info(135, 0), &[1]), Err(NotStored::TooOld));
    assert_eq!(ring.store(info(0, 0), &[1]), Err(NotStored::TooOld));
    // A jump leaves the jumped-over sequences free, and only them.
    ring.store(info(250, 0), &[1]).unwrap();
    assert_eq!(ring.newest_sequence(), Some(Sequence(250)));
    assert!(ring.store(info(220, 0), &[1]).is_ok());
    for sequence in [187, 198, 199, 220, 250] {
        assert_eq!(ring.store(info(sequence, 0), &[1]), Err(NotStored::Duplicate));
    }
    for sequence in [200, 249] {
        assert!(ring.find(Sequence(sequence)).is_none());
        assert!(ring.store(info(sequence, 0), &[1]).is_ok());
    }
    // So does one over more than there are slots.
    ring.store(info(1_000, 0), &[1]).unwrap();
    for sequence in 1_000 - 63..1_000 {
        assert!(ring.store(info(sequence, 0), &[1]).is_ok());
    }
    assert_eq!(ring.newest_sequence(), Some(Sequence(1_000)));
}

#[test]
fn payloads_without_a_usable_length_are_refused() {
    let mut ring = PacketRing::new(64, 64 * 1024);
    assert_eq!(ring.store(info(1, 0), &[]), Err(NotStored::BadLength));
    assert_eq!(ring.store(info(1, 0), &vec![0; limits::DATAGRAM_IN_BYTES_MAX + 1]), Err(NotStored::BadLength));
    assert_eq!(ring.newest_sequence(), None);
    assert!(ring.store(info(1, 0), &vec![0; limits::DATAGRAM_IN_BYTES_MAX]).is_ok());
}

#[test]
fn who_starts_at_a_key_frame_meets_what_overtook_its_first_packet() {
    let mut ring = PacketRing::new(64, 64 * 1024);
    for sequence in [10, 12, 13, 11, 14] {
        ring.store(info(sequence, 0), &[1]).unwrap();
    }
    ring.set_key_frame(Position(3), Position(0));
    assert_eq!(ring.key_frame(), Some(Start { position: Position(1), sequence: Sequence(11) }));
    ring.set_key_frame(Position(3), Position(2));
    assert_eq!(
        ring.key_frame(),
        Some(Start { position: Position(2), sequence: Sequence(11) }),
        "not what lies before a gap"
    );
}

#[test]
fn the_newest_packet_is_newest_by_sequence() {
    let mut ring = PacketRing::new(64, 64 * 1024);
    assert_eq!(ring.newest(), None);
    ring.store(info(10, 0), &[1]).unwrap();
    assert_eq!(ring.newest(), Some(Start { position: Position(0), sequence: Sequence(10) }));
    ring.store(info(9, 0), &[1]).unwrap();
    assert_eq!(ring.newest(), None, "who started there would have a hole behind it");
}

#[test]
fn the_key_frame_is_forgotten_when_it_leaves() {
    let mut ring = PacketRing::new(64, 64 * 1024);
    let position = ring.store(info(0, 0), &[1]).unwrap();
    ring.set_key_frame(position, Position(0));
    assert_eq!(ring.key_frame(), Some(Start { position: Position(0), sequence: Sequence(0) }));
    for sequence in 1..=64 {
        ring.store(info(sequence, 0), &[1]).unwrap();
    }
    assert_eq!(ring.key_frame(), None);
}
