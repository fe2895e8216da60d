//! Two ends in memory: the node's and a peer's.

use super::super::dcep::Reliability;
use super::*;

pub(super) struct Pair {
    pub(super) node: Channels,
    pub(super) peer: Channels,
    pub(super) now: Timestamp,
    /// Whether a packet arrives: to the node, and its number.
    pub(super) arrives: Box<dyn FnMut(bool, u64) -> bool>,
    packets: u64,
    pub(super) at_node: Vec<ChannelEvent>,
    pub(super) at_peer: Vec<ChannelEvent>,
}

impl Pair {
    fn new(facing: Facing) -> Self {
        let now = Timestamp::from_millis(5_000);
        let terms = DataTerms { sctp_port: super::super::SCTP_PORT, message_bytes_max: 65_536, may_speak: false };
        Self {
            node: Channels::new(terms, DtlsRole::Server, facing, 1, now),
            peer: Channels::connecting(DtlsRole::Client, 2, now),
            now,
            arrives: Box::new(|_, _| true),
            packets: 0,
            at_node: Vec::new(),
            at_peer: Vec::new(),
        }
    }

    pub(super) fn connected(facing: Facing) -> Self {
        let mut pair = Self::new(facing);
        pair.run(Duration::from_millis(100));
        assert!(pair.at_node.contains(&ChannelEvent::Connected) && pair.at_peer.contains(&ChannelEvent::Connected));
        pair
    }

    /// Lets time pass with 5 ms one way.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for to_node in [true, false] {
                let from = if to_node { &mut self.peer } else { &mut self.node };
                let sent: Vec<Vec<u8>> = std::iter::from_fn(|| from.poll_packet()).collect();
                for packet in sent {
                    self.packets += 1;
                    assert!(packet.len() <= limits::DTLS_APPLICATION_DATA_BYTES_MAX);
                    if (self.arrives)(to_node, self.packets) {
                        let to = if to_node { &mut self.node } else { &mut self.peer };
                        to.handle_packet(&packet, self.now);
                    }
                }
            }
            for end in [&mut self.node, &mut self.peer] {
                if end.next_deadline().is_some_and(|at| at <= self.now) {
                    end.handle_timeout(self.now);
                }
            }
            self.at_node.extend(std::iter::from_fn(|| self.node.poll_event()));
            self.at_peer.extend(std::iter::from_fn(|| self.peer.poll_event()));
            self.now = self.now + Duration::from_millis(5);
        }
    }

    fn messages(events: &[ChannelEvent]) -> Vec<(u16, Vec<u8>)> {
        let message = |event: &ChannelEvent| match event {
            ChannelEvent::Message { stream, payload, .. } => Some((*stream, payload.clone())),
            _ => None,
        };
        events.iter().filter_map(message).collect()
    }
}

pub(super) fn terms(label: &str, ordered: bool, reliability: Reliability) -> ChannelTerms {
    let delivery = Delivery { ordered, reliability };
    ChannelTerms { label: label.to_owned(), protocol: String::new(), delivery }
}

#[test]
fn channels_of_both_ends_open_on_their_own_streams_and_carry_messages_of_every_kind() {
    let mut pair = Pair::connected(Facing::Publisher);
    let chat = terms("chat", true, Reliability::Reliable);
    let fast = terms("fast", false, Reliability::Retransmits(0));
    let (from_node, from_peer) = (pair.node.open(&chat, pair.now), pair.peer.open(&fast, pair.now));
    assert_eq!((from_node, from_peer), (Some(1), Some(0)));
    pair.run(Duration::from_millis(50));
    assert!(pair.at_peer.contains(&ChannelEvent::Opened { stream: 1, terms: chat }));
    assert!(pair.at_node.contains(&ChannelEvent::Opened { stream: 0, terms: fast }));
    assert!(pair.at_node.contains(&ChannelEvent::Acknowledged(1)), "it is acknowledged");
    assert!(pair.at_peer.contains(&ChannelEvent::Acknowledged(0)), "it is acknowledged");
    pair.at_peer.clear();
    for (kind, payload) in [
        (MessageKind::Text, &b"hello"[..]),
        (MessageKind::Text, b""),
        (MessageKind::Binary, b""),
        (MessageKind::Binary, &[7; 16_000]),
    ] {
        assert!(pair.node.send(1, kind, payload, None, pair.now));
        pair.run(Duration::from_millis(200));
        let expected = ChannelEvent::Message { stream: 1, kind, payload: payload.to_vec() };
        assert_eq!(std::mem::take(&mut pair.at_peer), [expected]);
    }
    // What a browser may send arrives whole, although it is too long to be relayed.
    assert!(pair.peer.send(0, MessageKind::Binary, &vec![9; 65_536], None, pair.now));
    pair.run(Duration::from_millis(500));
    assert!(Pair::messages(&pair.at_node) == [(0, vec![9; 65_536])]);
}

#[test]
fn of_nineteen_packets_one_is_lost_and_what_is_reliable_arrives_complete_and_in_order() {
    let mut pair = Pair::connected(Facing::Viewer);
    let reliable = pair.node.open(&terms("reliable", true, Reliability::Reliable), pair.now).unwrap();
    let fast = pair.node.open(&terms("fast", false, Reliability::Retransmits(0)), pair.now).unwrap();
    pair.run(Duration::from_millis(100));
    pair.arrives = Box::new(|_, number| number % 19 != 0);
    for round in 0..500_u32 {
        for stream in [reliable, fast] {
            assert!(pair.node.send(stream, MessageKind::Binary, &round.to_be_bytes(), None, pair.now));
        }
        pair.run(Duration::from_millis(20));
    }
    pair.run(Duration::from_secs(5));
    let messages = Pair::messages(&pair.at_peer);
    let of = |stream| messages.iter().filter(move |(of, _)| *of == stream).map(|(_, payload)| payload.clone());
    assert!(of(reliable).eq((0..500_u32).map(|round| round.to_be_bytes().to_vec())));
    let arrived = of(fast).count();
    assert!((400..500).contains(&arrived), "some are lost, and nothing waits for them: {arrived}");
}

#[test]
fn a_channel_that_one_end_closes_is_closed_at_both_and_its_stream_is_used_again() {
    let mut pair = Pair::connected(Facing::Viewer);
    for closes_at_node in [true, false] {
        let stream = pair.node.open(&terms("chat", true, Reliability::Reliable), pair.now).unwrap();
        assert_eq!(stream, 1);
        pair.run(Duration::from_millis(100));
        if closes_at_node {
            pair.node.close(stream, pair.now)
        } else {
            pair.peer.close(stream, pair.now)
        }
        assert!(!closes_at_node || !pair.node.send(stream, MessageKind::Text, b"late", None, pair.now));
        pair.run(Duration::from_millis(500));
        assert!(std::mem::take(&mut pair.at_node).contains(&ChannelEvent::Closed(1)));
        assert!(std::mem::take(&mut pair.at_peer).contains(&ChannelEvent::Closed(1)));
    }
}

#[test]
fn idle_for_ten_minutes_it_sends_nothing_and_a_message_arrives_then() {
    let mut pair = Pair::connected(Facing::Viewer);
    let stream = pair.node.open(&terms("chat", true, Reliability::Reliable), pair.now).unwrap();
    pair.run(Duration::from_secs(1));
    let packets = pair.packets;
    pair.run(Duration::from_secs(20));
    assert_eq!(pair.packets, packets, "it is quiet");
    pair.now = pair.now + Duration::from_secs(600);
    assert!(pair.node.send(stream, MessageKind::Text, b"still there", None, pair.now));
    pair.run(Duration::from_millis(100));
    assert_eq!(Pair::messages(&pair.at_peer).len(), 1);
}

#[test]
fn channels_beyond_the_bound_and_unreadable_openings_are_closed_and_counted() {
    let mut pair = Pair::connected(Facing::Publisher);
    let opened = (0..limits::DATA_CHANNELS_PER_PEER_MAX)
        .map(|number| pair.peer.open(&terms(&number.to_string(), true, Reliability::Reliable), pair.now).unwrap());
    assert_eq!(opened.last(), Some(2 * (limits::DATA_CHANNELS_PER_PEER_MAX as u16 - 1)));
    assert_eq!(pair.peer.open(&terms("beyond", true, Reliability::Reliable), pair.now), None);
    // A peer that does not keep to the bound itself.
    let beyond = 2 * limits::DATA_CHANNELS_PER_PEER_MAX as u16;
    assert!(pair.peer.send_dcep(beyond, open_message(&terms("beyond", true, Reliability::Reliable)), pair.now));
    pair.run(Duration::from_millis(500));
    let opened = pair.at_node.iter().filter(|event| matches!(event, ChannelEvent::Opened { .. })).count();
    assert_eq!(opened, limits::DATA_CHANNELS_PER_PEER_MAX);
    assert_eq!(pair.node.poll_refused(), Some(ChannelRefused::Channel));
    // Opened twice, an opening that cannot be read, a message on no channel, one of no kind.
    assert!(pair.peer.send_dcep(2, vec![3, 9], pair.now));
    pair.run(Duration::from_millis(500));
    assert_eq!(pair.node.poll_refused(), Some(ChannelRefused::Dcep(DcepError::Malformed)));
    assert!(pair.at_node.contains(&ChannelEvent::Closed(2)));
    let how = |stream, ppid| Sending {
        stream,
        ppid,
        delivery: terms("", true, Reliability::Reliable).delivery,
        lifetime_max: None,
    };
    for (stream, ppid) in [(200, ppid::STRING), (0, 99)] {
        assert!(pair.peer.association.send(how(stream, ppid), vec![1], pair.now));
        pair.run(Duration::from_millis(100));
        assert_eq!(pair.node.poll_refused(), Some(ChannelRefused::Message));
    }
    assert!(Pair::messages(&pair.at_node).is_empty());
}

#[test]
fn a_peer_that_never_acknowledges_gets_no_more_than_a_window_and_the_rest_is_refused() {
    let mut pair = Pair::connected(Facing::Viewer);
    let stream = pair.node.open(&terms("chat", true, Reliability::Reliable), pair.now).unwrap();
    pair.run(Duration::from_millis(100));
    pair.arrives = Box::new(|to_node, _| !to_node);
    let taken = (0..10_000).take_while(|_| pair.node.send(stream, MessageKind::Binary, &[1; 1_000], None, pair.now));
    let taken = taken.count();
    assert!(taken < 60, "{taken}");
    assert!(pair.node.buffered(stream) <= limits::DATA_BUFFERED_BYTES_MAX + limits::DATA_MESSAGE_BYTES_MAX + 1_000);
    // It is given up in the end, with an event.
    pair.run(Duration::from_secs(180));
    assert!(pair.node.is_over() && pair.at_node.contains(&ChannelEvent::Ended));
    assert_eq!(pair.node.next_deadline(), None);
    assert!(!pair.node.send(stream, MessageKind::Binary, &[1], None, pair.now));
}

#[test]
fn a_peer_that_restarts_the_association_ends_it() {
    let mut pair = Pair::connected(Facing::Viewer);
    pair.node.open(&terms("chat", true, Reliability::Reliable), pair.now).unwrap();
    pair.run(Duration::from_millis(100));
    pair.peer = Channels::connecting(DtlsRole::Client, 77, pair.now);
    pair.run(Duration::from_secs(2));
    assert!(pair.node.is_over() && pair.at_node.contains(&ChannelEvent::Ended));
}
