//! Data channels: any bytes as a DCEP message, written back where they are one; then as chunks of SCTP packets of a peer
//! whose association is established, with the tag and the checksum that the library asks for. What the node holds stays
//! within its bounds, and it goes on or ends the association.

use std::time::Duration;

use corecast::data::channels::{ChannelEvent, Channels, Facing};
use corecast::data::dcep::{ChannelTerms, DcepMessage, Delivery, Reliability};
use corecast::data::{DataTerms, MessageKind, SCTP_PORT};
use corecast::description::DtlsRole;
use corecast::limits;
use corecast::time::Timestamp;

use super::Seed;
use super::script::Script;

/// Packets of one input.
const PACKETS_MAX: usize = 32;

pub fn run(data: &[u8]) {
    if let Ok(DcepMessage::Open(terms)) = DcepMessage::parse(data) {
        assert!(terms.label.len().max(terms.protocol.len()) <= limits::DATA_NAME_BYTES_MAX);
        assert_eq!(Delivery::from_wire(terms.delivery.to_wire().0, terms.delivery.to_wire().1), Some(terms.delivery));
    }
    let mut end = Ends::established();
    let mut script = Script::new(data);
    for _ in 0..PACKETS_MAX {
        let len = usize::from(script.byte()) * 4;
        let chunks: Vec<u8> = (0..len).map_while(|_| (!script.is_over()).then(|| script.byte())).collect();
        if chunks.is_empty() {
            break;
        }
        end.give(&chunks);
        end.pass(Duration::from_millis(u64::from(script.byte())));
    }
    end.pass(Duration::from_secs(10));
}

struct Ends {
    node: Channels,
    /// What the node expects in a packet's header.
    tag: [u8; 4],
    now: Timestamp,
    opened: usize,
}

impl Ends {
    /// An association with a channel of each end.
    fn established() -> Self {
        let mut now = Timestamp::from_millis(1_000);
        let terms = DataTerms { sctp_port: SCTP_PORT, message_bytes_max: 65_536, may_speak: false };
        let mut node = Channels::new(terms, DtlsRole::Server, Facing::Publisher, 1, now);
        let mut peer = Channels::connecting(DtlsRole::Client, 2, now);
        let delivery = Delivery { ordered: true, reliability: Reliability::Reliable };
        let channel = ChannelTerms { label: "fuzz".to_owned(), protocol: String::new(), delivery };
        let mut tag = [0; 4];
        for round in 0..20 {
            if round == 10 {
                assert!(peer.open(&channel, now).is_some() && node.open(&channel, now).is_some());
            }
            while let Some(packet) = peer.poll_packet() {
                tag.copy_from_slice(&packet[4..8]);
                node.handle_packet(&packet, now);
            }
            while let Some(packet) = node.poll_packet() {
                peer.handle_packet(&packet, now);
            }
            now = now + Duration::from_millis(50);
            node.handle_timeout(now);
            peer.handle_timeout(now);
        }
        assert!(!node.is_over());
        Self { node, tag, now, opened: 0 }
    }

    /// A packet of these chunks.
    fn give(&mut self, chunks: &[u8]) {
        let mut packet = Vec::from(SCTP_PORT.to_be_bytes());
        packet.extend(SCTP_PORT.to_be_bytes());
        packet.extend(self.tag);
        packet.extend([0; 4]);
        packet.extend(chunks);
        let sum = crc32c(&packet).to_le_bytes();
        packet[8..12].copy_from_slice(&sum);
        self.node.handle_packet(&packet, self.now);
        self.node.send(1, MessageKind::Text, b"meanwhile", None, self.now);
        self.check();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for _ in 0..64 {
            if self.node.next_deadline().is_none_or(|at| at > self.now) {
                break;
            }
            self.node.handle_timeout(self.now);
            self.check();
        }
    }

    fn check(&mut self) {
        let mut packets = 0;
        while let Some(packet) = self.node.poll_packet() {
            assert!(packet.len() <= limits::DTLS_APPLICATION_DATA_BYTES_MAX);
            packets += 1;
        }
        assert!(packets <= limits::DATA_PACKETS_WAITING_MAX);
        while let Some(event) = self.node.poll_event() {
            match event {
                ChannelEvent::Opened { .. } => self.opened += 1,
                ChannelEvent::Message { payload, .. } => assert!(payload.len() <= limits::DATA_WINDOW_BYTES_PUBLISHER),
                ChannelEvent::Ended => assert!(self.node.is_over()),
                ChannelEvent::Closed(_) => self.opened = self.opened.saturating_sub(1),
                ChannelEvent::Connected | ChannelEvent::Acknowledged(_) => {}
            }
        }
        while self.node.poll_refused().is_some() {}
        assert!(self.opened <= 2 * limits::DATA_CHANNELS_PER_PEER_MAX);
        assert!(self.node.buffered(1) <= limits::DATA_BUFFERED_BYTES_MAX + 2 * limits::DATA_MESSAGE_BYTES_MAX);
    }
}

/// CRC32c (RFC 9260, appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

/// A chunk of a type with flags and a body, padded.
fn chunk(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend((4 + body.len() as u16).to_be_bytes());
    chunk.extend(body);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

pub fn seeds() -> Vec<Seed> {
    let packet = |chunks: &[Vec<u8>]| {
        let bytes = chunks.concat();
        [vec![(bytes.len() / 4) as u8], bytes, vec![10]].concat()
    };
    let open = |stream: u8| {
        let mut body = vec![0, 0, 0, 1, 0, stream, 0, 0, 0, 0, 0, 50];
        body.extend([3, 0x81, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, b'x']);
        body
    };
    vec![
        (
            "open-and-ack".into(),
            packet(&[chunk(0, 3, &open(4)), chunk(0, 3, &[0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 50, 2])]),
        ),
        ("pieces".into(), packet(&[chunk(0, 2, &[&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 51], &b"four"[..]].concat())])),
        ("sack".into(), packet(&[chunk(3, 0, &[0, 0, 0, 1, 0, 0, 255, 255, 0, 1, 0, 0, 0, 2, 0, 3])])),
        ("forward-tsn".into(), packet(&[chunk(192, 0, &[0, 0, 0, 9, 0, 0, 0, 3])])),
        ("reset".into(), packet(&[chunk(130, 0, &[0, 13, 0, 18, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 1, 0, 0])])),
        ("heartbeat-and-unknown".into(), packet(&[chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4]), chunk(0xff, 0, b"what")])),
        ("init-again".into(), packet(&[chunk(1, 0, &[0, 0, 0, 7, 0, 2, 0, 0, 255, 255, 255, 255, 0, 0, 0, 1])])),
        ("abort".into(), packet(&[chunk(6, 0, &[])])),
        ("shutdown".into(), [packet(&[chunk(7, 0, &[0, 0, 0, 1])]), packet(&[chunk(14, 0, &[])])].concat()),
    ]
}
