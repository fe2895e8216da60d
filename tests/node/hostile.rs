//! A peer with a real session whose intentions are not honest: it connects as it should, then says what it is told to.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use corecast::description::Direction;
use corecast::dtls::DtlsIdentity;
use corecast::lab::peer::{ClientPeer, OutgoingRtp};
use corecast::net;
use corecast::session::Inbound;
use corecast::transport::TrainBatch;
use corecast::wire::rtp::RtpPacket;

use crate::client::{self, Http, Opened};
use crate::node::Node;

/// The name hostile peers use.
pub(crate) const STREAM: &str = "hostile";

/// See the module.
pub(crate) struct Hostile {
    pub(crate) socket: UdpSocket,
    pub(crate) peer: ClientPeer,
    pub(crate) opened: Opened,
    out: TrainBatch,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// A socket that does not wait, towards `to`.
pub(crate) fn socket(from: SocketAddr, to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(from).unwrap();
    socket.connect(to).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

impl Hostile {
    /// Opens a session and does no more.
    pub(crate) fn open(
        node: &Node,
        http: &mut Http,
        identity: &DtlsIdentity,
        direction: Direction,
        stream: &str,
    ) -> Result<Self, u16> {
        Self::open_with(node, http, identity, direction, stream, false)
    }

    /// The same, with data channels where `data` says so.
    pub(crate) fn open_with(
        node: &Node,
        http: &mut Http,
        identity: &DtlsIdentity,
        direction: Direction,
        stream: &str,
        data: bool,
    ) -> Result<Self, u16> {
        let socket = socket(SocketAddr::from(([127, 0, 0, 1], 0)), node.media);
        let candidate = socket.local_addr().unwrap();
        let opened = client::open_with(http, identity, direction, stream, candidate, data)?;
        let mut peer = ClientPeer::new(identity, opened.peer.clone(), net::now());
        if data {
            peer.carry_data();
        }
        Ok(Self { socket, peer, opened, out: TrainBatch::new(), bytes_in: 0, bytes_out: 0 })
    }

    /// Opens a session and connects.
    pub(crate) fn connect(node: &Node, direction: Direction, stream: &str) -> Self {
        Self::connect_with(node, direction, stream, false)
    }

    /// The same, with data channels where `data` says so.
    pub(crate) fn connect_with(node: &Node, direction: Direction, stream: &str, data: bool) -> Self {
        let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
        let mut http = Http::to(node.http);
        let mut hostile = Self::open_with(node, &mut http, &identity, direction, stream, data).expect("201");
        let deadline = Instant::now() + Duration::from_secs(20);
        while !hostile.peer.is_connected() {
            assert!(Instant::now() < deadline, "a hostile peer did not even connect");
            hostile.step(|_| {});
            std::thread::sleep(Duration::from_millis(1));
        }
        hostile
    }

    /// Does what a peer does: timers, and what has arrived. `media` is shown every RTP packet.
    pub(crate) fn step(&mut self, mut media: impl FnMut(&RtpPacket<'_>)) {
        let now = net::now();
        if self.peer.next_deadline().is_some_and(|due| due <= now) {
            self.peer.handle_timeout(&mut self.out, now);
        }
        self.flush();
        let mut buffer = [0; 2_048];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            self.bytes_in += len as u64;
            let bytes = &mut buffer[..len];
            if let Ok(Inbound::Rtp(opened)) = self.peer.handle_datagram(bytes, &mut self.out, now)
                && let Some(plain) = bytes.get(..opened.plain_len())
                && let Ok(packet) = RtpPacket::parse(plain)
            {
                media(&packet);
            }
            self.flush();
        }
    }

    /// Sends what the peer has queued.
    fn flush(&mut self) {
        for train in self.out.trains() {
            for datagram in self.out.bytes(train).chunks(usize::from(train.segment_size).max(1)) {
                self.bytes_out += datagram.len() as u64;
                let _ = self.socket.send(datagram);
            }
        }
        self.out.clear();
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.bytes_out += bytes.len() as u64;
        let _: io::Result<usize> = self.socket.send(bytes);
    }

    /// Seals and sends a compound RTCP packet.
    pub(crate) fn send_rtcp(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let _ = self.peer.send_rtcp(&mut self.out, write);
        self.flush();
    }

    /// Seals a compound RTCP packet and sends it from another socket; its bytes.
    pub(crate) fn send_rtcp_from(&mut self, socket: &UdpSocket, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> u64 {
        let _ = self.peer.send_rtcp(&mut self.out, write);
        let trains = self.out.trains().iter().map(|train| self.out.bytes(train));
        let sent = trains.map(|bytes| socket.send(bytes).unwrap_or(0) as u64).sum();
        self.out.clear();
        sent
    }

    /// Seals and sends an RTP packet.
    pub(crate) fn send_rtp(&mut self, packet: &OutgoingRtp<'_>) {
        let _ = self.peer.send_rtp(&mut self.out, packet);
        self.flush();
    }

    /// Sends a record of application data.
    pub(crate) fn send_data(&mut self, packet: &[u8]) {
        self.peer.send_data(packet, &mut self.out, net::now());
        self.flush();
    }

    /// Closes DTLS.
    #[allow(dead_code)] // The soak does.
    pub(crate) fn close(&mut self) {
        self.peer.close(&mut self.out, net::now());
        self.flush();
    }

    /// `DELETE`.
    pub(crate) fn leave(self, node: &Node) {
        let answer = Http::to(node.http).ask("DELETE", &self.opened.location, &[], "").unwrap();
        assert!(answer.status == 200 || answer.status == 404, "{answer:?}");
    }
}
