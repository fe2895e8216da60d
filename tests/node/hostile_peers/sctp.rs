//! Data channels of peers who mean harm: associations made by hand, so that anything can be said on them.

use std::time::{Duration, Instant};

use corecast::data::SCTP_PORT;
use corecast::description::Direction;
use corecast::limits;

use super::ATTACK;
use super::scene::{Scene, paced};
use crate::honest;
use crate::hostile::{self, Hostile};

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const SACK: u8 = 3;
const SHUTDOWN: u8 = 7;
const ERROR: u8 = 9;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const RE_CONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
const DCEP: u32 = 50;
const BINARY: u32 = 53;
/// A whole message; the beginning of one; a piece from its middle (RFC 9260 §3.3.1, with the flag of no order).
const WHOLE: u8 = 7;
const BEGINNING: u8 = 6;
const MIDDLE: u8 = 4;

/// A peer whose association is its own doing.
struct Associated {
    peer: Hostile,
    /// What the node expects in a packet's header, and the number of the next piece of user data.
    tag: [u8; 4],
    tsn: u32,
}

impl Associated {
    fn new(scene: &Scene, direction: Direction, stream: &str) -> Self {
        let mut peer = Hostile::connect_with(&scene.node, direction, stream, true);
        assert!(peer.opened.answer.data, "the node takes data channels");
        let deadline = Instant::now() + Duration::from_secs(20);
        let answer = |peer: &mut Hostile, packet: &[u8], kind: u8| loop {
            peer.send_data(packet);
            let again = Instant::now() + Duration::from_millis(500);
            while Instant::now() < again {
                peer.step(|_| {});
                let found = std::iter::from_fn(|| peer.peer.poll_data()).find(|packet| packet.get(12) == Some(&kind));
                if let Some(found) = found {
                    return found;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(Instant::now() < deadline, "no answer to its handshake");
        };
        let ack = answer(&mut peer, &packet([0; 4], &[init(0x1111_1111, 1)]), INIT_ACK);
        let tag = ack[16..20].try_into().unwrap();
        // Parameters begin behind tag, window, streams and TSN; the cookie's type is 7.
        let mut parameters = &ack[32..];
        let cookie = loop {
            let len = usize::from(u16::from_be_bytes([parameters[2], parameters[3]]));
            if parameters[..2] == [0, 7] {
                break parameters[4..len].to_vec();
            }
            parameters = &parameters[len.next_multiple_of(4)..];
        };
        answer(&mut peer, &packet(tag, &[chunk(COOKIE_ECHO, 0, &cookie)]), COOKIE_ACK);
        Self { peer, tag, tsn: 1 }
    }

    fn say(&mut self, chunks: &[Vec<u8>]) {
        self.peer.send_data(&packet(self.tag, chunks));
    }

    /// A piece of a message.
    fn piece(&mut self, flags: u8, stream: u16, ppid: u32, payload: &[u8]) -> Vec<u8> {
        let piece = data(self.tsn, flags, stream, ppid, payload);
        self.tsn = self.tsn.wrapping_add(1);
        piece
    }

    /// Reads what came, and does nothing with it.
    fn ignore(&mut self) {
        self.peer.step(|_| {});
        while self.peer.peer.poll_data().is_some() {}
    }
}

fn packet(tag: [u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = [SCTP_PORT.to_be_bytes(), SCTP_PORT.to_be_bytes()].concat();
    packet.extend(tag);
    packet.extend([0; 4]);
    packet.extend(chunks.concat());
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// CRC32c (RFC 9260, appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

fn chunk(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend((4 + body.len() as u16).to_be_bytes());
    chunk.extend(body);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// An INIT with every stream there is, and the extensions of browsers: FORWARD-TSN, RE-CONFIG.
fn init(tag: u32, tsn: u32) -> Vec<u8> {
    let mut body = tag.to_be_bytes().to_vec();
    body.extend(0x0010_0000_u32.to_be_bytes());
    body.extend([0xff; 4]);
    body.extend(tsn.to_be_bytes());
    body.extend([0xc0, 0, 0, 4, 0x80, 8, 0, 6, FORWARD_TSN, RE_CONFIG]);
    chunk(INIT, 0, &body)
}

fn data(tsn: u32, flags: u8, stream: u16, ppid: u32, payload: &[u8]) -> Vec<u8> {
    let mut body = tsn.to_be_bytes().to_vec();
    body.extend(stream.to_be_bytes());
    body.extend([0; 2]);
    body.extend(ppid.to_be_bytes());
    body.extend(payload);
    chunk(DATA, flags, &body)
}

/// `DATA_CHANNEL_OPEN` (RFC 8832 §5.1), with a label of so many bytes.
fn open(label_bytes: u16) -> Vec<u8> {
    let mut message = vec![3, 0, 1, 0, 0, 0, 0, 0];
    message.extend(label_bytes.to_be_bytes());
    message.extend([0; 2]);
    message.resize(12 + usize::from(label_bytes), b'x');
    message
}

/// A viewer of the honest stream: INITs without end, user data that nobody wants, pieces of messages that never end,
/// acknowledgements of what was never sent, and numbers that jump.
pub(crate) fn of_a_viewer(scene: &Scene, time: Duration) {
    let mut viewer = Associated::new(scene, Direction::Play, honest::STREAM);
    paced(&scene.node, 2 * limits::DATA_PACKETS_PER_SECOND, time / 2, |at| {
        viewer.peer.send_data(&packet([0; 4], &[init(at as u32 + 1, at as u32)]));
        if at % 64 == 0 {
            viewer.ignore();
        }
    });
    // A tester that was held up was no faster than a peer may be: then all at once.
    let deadline = Instant::now() + Duration::from_secs(30);
    while scene.node.dropped("data_packets_over_rate") == 0 {
        assert!(Instant::now() < deadline, "as many packets as it likes");
        (0..2 * limits::DATA_PACKETS_BURST).for_each(|tag| viewer.peer.send_data(&packet([0; 4], &[init(tag + 1, 1)])));
        viewer.ignore();
    }
    paced(&scene.node, 1_000, time / 2, |at| {
        let (tag, number) = (viewer.tag, at as u32);
        let mut gaps = Vec::new();
        (0..200_u16)
            .for_each(|gap| gaps.extend([2 * gap + 1, 2 * gap + 2].iter().flat_map(|number| number.to_be_bytes())));
        let chunks = match at % 8 {
            0 => vec![viewer.piece(WHOLE, at as u16, BINARY, &[7; 900])],
            // Pieces far apart, of messages that have no end.
            1 => vec![data(viewer.tsn.wrapping_add(number * 97), BEGINNING, 3, BINARY, &[7; 1_000])],
            2 => vec![data(viewer.tsn.wrapping_add(number), MIDDLE, 3, BINARY, &[7; 3])],
            // Everything is acknowledged, sent or not; with two hundred gaps.
            3 => vec![chunk(SACK, 0, &[number.to_be_bytes().as_slice(), &[0; 4], &[0, 200, 0, 0], &gaps].concat())],
            4 => vec![chunk(FORWARD_TSN, 0, &[number.wrapping_mul(0x0101_0101).to_be_bytes(), [0, 3, 0, 9]].concat())],
            5 => vec![
                chunk(FORWARD_TSN, 0, &[[0xff; 4], [0xff; 4]].concat()),
                chunk(ERROR, 0, &[0, 1, 0, 8, 0, 9, 0, 0]),
            ],
            // Reset streams that are not there; a request that is a response; one with a length of its own.
            6 => vec![chunk(RE_CONFIG, 0, &[0, 13, 0, 18, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 1, 0, 0])],
            _ => vec![chunk(RE_CONFIG, 0, &[0, 16, 255, 255, 0, 0, 0, 1]), vec![DATA, 3, 0, 0], vec![0xff; 40]],
        };
        viewer.peer.send_data(&packet(tag, &chunks));
        if at % 64 == 0 {
            viewer.ignore();
        }
    });
    assert!(scene.node.dropped("data_packet_refused") > 0, "{}", scene.node.worker()["dropped"]);
    viewer.say(&[chunk(SHUTDOWN, 0, &[0, 0, 0, 1])]);
    viewer.peer.leave(&scene.node);
}

/// A publisher: channels on every stream there is, names as long as they get, messages without end and above every length.
pub(crate) fn of_a_publisher(scene: &Scene, time: Duration) {
    let mut publisher = Associated::new(scene, Direction::Publish, hostile::STREAM);
    paced(&scene.node, 1_000, time / 2, |at| {
        // Those above the last stream are refused by their packets; the rest take the peer's few places, then none.
        let stream = if at % 4 == 0 { at as u16 | 0x8000 } else { (at % 256) as u16 };
        let name = if at % 5 == 0 { 700 } else { 3 };
        let piece = publisher.piece(3, stream, DCEP, &open(name));
        publisher.say(&[piece]);
        if at % 4 == 0 {
            // What was refused with its packet leaves no hole in the numbers.
            publisher.tsn = publisher.tsn.wrapping_sub(1);
        }
        if at % 64 == 0 {
            publisher.ignore();
        }
    });
    let worker = scene.node.worker();
    for reason in ["data_packet_refused", "data_channels_full", "data_channel_malformed"] {
        assert!(worker["dropped"][reason].as_u64() > Some(0), "{reason}: {}", worker["dropped"]);
    }
    let before = scene.node.memory().0;
    paced(&scene.node, 1_000, time / 2, |at| {
        // A message without an end, a kilobyte a piece.
        let flags = if at == 0 { BEGINNING } else { MIDDLE };
        let piece = publisher.piece(flags, 1, BINARY, &[7; 1_000]);
        publisher.say(&[piece]);
        if at % 64 == 0 {
            publisher.ignore();
        }
    });
    let after = scene.node.memory().0;
    // Its window is the most that is kept of it; the rest is noise of a process that does other things.
    let most = 4 * limits::DATA_WINDOW_BYTES_PUBLISHER as u64 + (1 << 20);
    assert!(after <= before + most, "{before} bytes before an endless message, {after} after");
    publisher.peer.leave(&scene.node);
}

/// A viewer of the honest stream that has its channel and acknowledges nothing: it loses that channel, and nobody else
/// anything.
pub(crate) fn of_one_that_never_acknowledges(scene: &Scene, _: Duration) {
    let mut viewer = Associated::new(scene, Direction::Play, honest::STREAM);
    let deadline = Instant::now() + Duration::from_secs(60);
    while scene.node.dropped("data_channel_lagged") == 0 {
        assert!(Instant::now() < deadline, "{}", scene.node.worker()["dropped"]);
        for _ in 0..50 {
            viewer.ignore();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    viewer.peer.leave(&scene.node);
}

#[test]
fn a_viewers_sctp_floods_and_tricks_cost_the_others_nothing() {
    let scene = Scene::set();
    of_a_viewer(&scene, 2 * ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(30));
}

#[test]
fn a_publishers_channels_and_messages_without_end_cost_the_others_nothing() {
    let scene = Scene::set();
    of_a_publisher(&scene, 2 * ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(30));
}

#[test]
fn a_viewer_that_never_acknowledges_a_message_loses_its_channel_and_the_others_nothing() {
    let scene = Scene::set();
    of_one_that_never_acknowledges(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(30));
}
