//! Nodes on virtual time, with a network between each two.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::link_worker::{LinkMail, LinkWorker};
use super::super::mailbox::{LinkControl, LinkNotice, OpenLink};
use super::super::packet::Handle;
use super::super::report::LinkReport;
use crate::crypto::random::{Random as _, SeededRandom};
use crate::data::record::{DataNews, DataRecord};
use crate::description::CodecFormat;
use crate::limits;
use crate::net::lab::simulated::SimulatedIo;
use crate::net::{Io as _, Waker};
use crate::relay::store::address::{Origin, RecordAddress, StreamId, WorkerIndex};
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::relay::store::packet_ring::Layers;
use crate::relay::store::record::{MediaRecord, PublishedCodec, Record};
use crate::relay::store::timeline::Incarnation;
use crate::relay::store::upstream::{Upstream, Wish};
use crate::srtp::{SrtpKeys, SrtpProfile};
use crate::time::{NtpTime, Timestamp};
use crate::transport::{PathAddress, UdpPath};
use crate::wire::codec::Codec;
use crate::worker::config::WallClock;
use crate::worker::lane::Lanes;
use crate::worker::mailbox::{Control, Listener};

pub(super) const STREAM: StreamId = StreamId(77);
pub(super) const LINKS: WorkerIndex = WorkerIndex(1);
pub(super) const WORKER: WorkerIndex = WorkerIndex(0);

pub(super) fn video() -> EncodingId {
    EncodingId::from_number(4).unwrap()
}

pub(super) fn set(id: EncodingId) -> EncodingSet {
    [id].into_iter().collect()
}

pub(super) fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// What a viewer's worker was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Begin,
    Format(Codec),
    Replay(u16),
    Packet { incarnation: u64, sequence: u64, age: Duration },
    Channel(String),
    Message(Vec<u8>),
    ChannelsBegin,
    Other,
}

pub(super) struct Node {
    pub(super) worker: LinkWorker,
    pub(super) io: SimulatedIo,
    pub(super) address: SocketAddr,
    pub(super) lanes: Lanes,
    pub(super) control: flume::Sender<Control>,
    pub(super) links: flume::Sender<LinkControl>,
    pub(super) notices: flume::Receiver<LinkNotice>,
    /// How far its clock is ahead of the world's.
    pub(super) ahead: Duration,
    pub(super) seen: Vec<Seen>,
}

impl Node {
    pub(super) fn new(number: u8, ahead: Duration) -> Self {
        let mut lanes = Lanes::connect(&[Waker::noop(), Waker::noop()]);
        let (of_links, own) = (lanes.pop().unwrap(), lanes.pop().unwrap());
        let (control, control_receiver) = flume::unbounded();
        let (links, links_receiver) = flume::unbounded();
        let (notices_sender, notices) = flume::unbounded();
        let mail = LinkMail { control: control_receiver, links: links_receiver, notices: notices_sender };
        let wall_clock = WallClock { at_zero: NtpTime(u64::from(number) << 40) };
        Self {
            worker: LinkWorker::new(LINKS, wall_clock, of_links, mail),
            io: SimulatedIo::new(at(0) + ahead),
            address: SocketAddr::from(([10, 0, 0, number], 8446)),
            lanes: own,
            control,
            links,
            notices,
            ahead,
            seen: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, now: Timestamp) {
        self.io.set_now(now + self.ahead);
        for _ in 0..4 {
            self.worker.round(&mut self.io);
        }
        let now = self.io.now();
        let seen = &mut self.seen;
        self.lanes.receive(usize::MAX, |_, record| {
            seen.push(match record {
                Record::Media(media) => Seen::Packet {
                    incarnation: media.incarnation.0,
                    sequence: media.sequence,
                    age: now.since(media.arrival),
                },
                Record::Begin => Seen::Begin,
                Record::Format(published) => Seen::Format(published.codec),
                Record::Replay(packets) => Seen::Replay(packets),
                Record::Data(DataRecord { what: DataNews::Begin, .. }) => Seen::ChannelsBegin,
                Record::Data(DataRecord { what: DataNews::Open { label, .. }, .. }) => Seen::Channel(label.to_owned()),
                Record::Data(DataRecord { what: DataNews::Message { payload, .. }, .. }) => {
                    Seen::Message(payload.to_vec())
                }
                _ => Seen::Other,
            });
        });
    }

    /// Its worker's viewers want this.
    pub(super) fn wants(&mut self, wanted: EncodingSet) {
        assert!(self.lanes.send_upstream(LINKS, Upstream { stream: STREAM, wish: Wish::Encodings(wanted) }));
    }

    pub(super) fn wishes(&mut self) -> Vec<Wish> {
        std::iter::from_fn(|| self.lanes.receive_upstream().map(|(_, Upstream { wish, .. })| wish)).collect()
    }

    pub(super) fn route(&self, origin: Option<WorkerIndex>, audience: &[WorkerIndex]) {
        let audience = audience.iter().map(|&worker| Listener { worker, membership: 1 }).collect();
        self.control.send(Control::Route { stream: STREAM, origin: origin.map(Origin::Worker), audience }).unwrap();
    }

    pub(super) fn packets(&self) -> Vec<u64> {
        let packets = self.seen.iter().filter_map(|seen| match seen {
            Seen::Packet { sequence, .. } => Some(*sequence),
            _ => None,
        });
        packets.collect()
    }

    pub(super) fn report(&mut self) -> Vec<LinkReport> {
        let (reply, answer) = flume::bounded(1);
        self.links.send(LinkControl::Report(reply)).unwrap();
        self.worker.round(&mut self.io);
        answer.try_recv().unwrap()
    }

    pub(super) fn publish(&mut self, incarnation: u64, sequence: u64, key_frame: bool) {
        let payload = vec![sequence as u8; 900];
        let arrival = self.io.now();
        let media = MediaRecord {
            incarnation: Incarnation(incarnation),
            sequence,
            timestamp: sequence as u32 * 3_000,
            arrival,
            marker: true,
            key_frame,
            padding: 0,
            layers: Layers::UNKNOWN,
            payload: &payload,
        };
        assert!(self.tell(&Record::Media(media)));
    }

    pub(super) fn tell(&mut self, record: &Record<'_>) -> bool {
        self.lanes.send(LINKS, RecordAddress { stream: STREAM, encoding: video() }, record)
    }

    pub(super) fn introduce(&mut self) {
        let codec = PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };
        assert!(self.tell(&Record::Begin) && self.tell(&Record::Format(codec)));
    }
}

/// Nodes with a network between each two.
pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) now: Timestamp,
    pub(super) delay: Duration,
    pub(super) loss_percent: u64,
    pub(super) cut: bool,
    /// A node that sends nothing and hears nothing.
    pub(super) silent: Option<usize>,
    /// Two between which nothing passes.
    pub(super) apart: Option<(usize, usize)>,
    pub(super) random: SeededRandom,
    /// Every datagram that was ever sent: a packet that is sent again must be the same.
    pub(super) sent: std::collections::HashMap<(usize, SocketAddr, u32, u16), Vec<u8>>,
    pub(super) crossed: usize,
    pub(super) links: u8,
}

impl World {
    pub(super) fn new(nodes: u8) -> Self {
        // Clocks that differ by hours: nothing may depend on that.
        let ahead = |number: u8| Duration::from_secs(5_000 * u64::from(number));
        Self {
            nodes: (0..nodes).map(|number| Node::new(number, ahead(number))).collect(),
            now: at(1_000),
            delay: Duration::from_millis(25),
            loss_percent: 0,
            cut: false,
            silent: None,
            apart: None,
            random: SeededRandom::new(5),
            sent: std::collections::HashMap::new(),
            crossed: 0,
            links: 0,
        }
    }

    /// Links `child` to `parent`.
    pub(super) fn link(&mut self, parent: usize, child: usize) -> (Handle, Handle) {
        let (of_parent, of_child) = (Handle(100 + child as u32), Handle(200 + parent as u32));
        // Other keys with each.
        self.links += 1;
        self.sent.clear();
        let exported: Vec<u8> = (0..56).map(|byte| byte ^ self.links).collect();
        let profile = SrtpProfile::AeadAes128Gcm;
        let open = |handle, remote, is_child| OpenLink {
            handle,
            remote,
            node: "other".into(),
            stream: STREAM,
            stream_name: "s".into(),
            keys: SrtpKeys::from_exported(profile, &exported, is_child).unwrap(),
        };
        let control = LinkControl::Child(Box::new(open(of_parent, of_child, false)));
        self.nodes[parent].links.send(control).unwrap();
        let address = self.nodes[parent].address;
        let control = LinkControl::Parent(Box::new(open(of_child, of_parent, true)), address);
        self.nodes[child].links.send(control).unwrap();
        (of_parent, of_child)
    }

    pub(super) fn step(&mut self) {
        self.now = self.now + Duration::from_millis(1);
        for number in 0..self.nodes.len() {
            self.nodes[number].step(self.now);
            let from = self.nodes[number].address;
            for train in self.nodes[number].io.take_sent() {
                let PathAddress::Udp(UdpPath { remote, .. }) = train.path else { panic!("a link is of UDP") };
                for datagram in train.datagrams {
                    self.cross(number, from, remote, datagram);
                }
            }
        }
    }

    pub(super) fn cross(&mut self, number: usize, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        assert!(datagram.len() <= limits::DATAGRAM_OUT_BYTES_MAX);
        let sequence = u16::from_be_bytes([datagram[2], datagram[3]]);
        let ssrc = u32::from_be_bytes(*datagram[8..12].first_chunk().unwrap());
        let before = self.sent.insert((number, to, ssrc, sequence), datagram.clone());
        assert!(before.is_none_or(|before| before == datagram), "two packets under one index of one key");
        self.crossed += 1;
        let is_silent = self.silent.is_some_and(|silent| silent == number || self.nodes[silent].address == to);
        let is_apart = self.apart.is_some_and(|(one, other)| {
            (number == one && self.nodes[other].address == to) || (number == other && self.nodes[one].address == to)
        });
        if self.cut || is_silent || is_apart || self.random.u64() % 100 < self.loss_percent {
            return;
        }
        let delay = self.delay;
        let Some(node) = self.nodes.iter_mut().find(|node| node.address == to) else { return };
        let at = self.now + node.ahead + delay;
        node.io.deliver_at(at, PathAddress::Udp(UdpPath::to(from)), datagram);
    }

    pub(super) fn run(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step());
    }

    /// A publisher at the first node, viewers at the second: a frame of four packets each 40 ms, every tenth a key frame's first.
    pub(super) fn play(&mut self, frames: u64, first: u64) -> u64 {
        for frame in 0..frames {
            for packet in 0..4 {
                let sequence = first + 4 * frame + packet;
                self.nodes[0].publish(1, sequence, packet == 0 && frame % 10 == 0);
            }
            self.run(40);
        }
        first + 4 * frames
    }
}
