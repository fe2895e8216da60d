//! Those who must not notice anything: a publisher of 1 Mbit/s, sound and messages, and a viewer who opens every packet.

use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corecast::description::Direction;
use corecast::dtls::DtlsIdentity;
use corecast::lab::peer::ClientPeer;
use corecast::lab::peer::data::{DataScript, DataViewer};
use corecast::lab::peer::fleet::{Agent, Fleet};
use corecast::lab::peer::publisher::{Encoding, Publisher, PublisherConfig, Script, ScriptFrame, ScriptPacket};
use corecast::lab::peer::record::LoadRecord;
use corecast::lab::peer::video;
use corecast::lab::peer::viewer::{Viewer, ViewerConfig};
use corecast::net::lab::fleet_sockets::FleetSocket;
use corecast::net::{self, process};
use corecast::time::{NtpTime, Timestamp};
use corecast::transport::TrainBatch;

use crate::client::{self, Http};

/// The name they meet at.
pub(crate) const STREAM: &str = "honest";

/// Beside them, what a chat of some people is. Reliable: that every message comes is asked.
const MESSAGES: DataScript = DataScript { rate: 10.0, bytes: 200, reliable: true };

/// Thirty frames a second of four packets, a key frame of twelve every two seconds and whenever one is asked for.
struct Frames;

impl Script for Frames {
    fn frame(&mut self, number: u64, key: bool) -> ScriptFrame {
        let key = key || number.is_multiple_of(60);
        let payloads = video::frame(number, video::bytes_for(if key { 12 } else { 4 }), key, true);
        let packet = |payload: Vec<u8>| ScriptPacket {
            after: Duration::ZERO,
            // Parameter sets stay whole.
            stampable: payload.first().is_some_and(|byte| byte & 0x1f != 24),
            payload,
        };
        ScriptFrame { packets: payloads.into_iter().map(packet).collect(), key }
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / 30
    }
}

pub(crate) enum Client {
    Viewer(Box<Viewer>),
    Publisher(Box<Publisher>),
}

impl Client {
    /// Whether it is a viewer that has a whole key frame.
    pub(crate) fn has_picture(&self) -> bool {
        matches!(self, Self::Viewer(viewer) if viewer.has_picture())
    }

    fn agent(&mut self) -> &mut dyn Agent {
        match self {
            Self::Viewer(viewer) => viewer.as_mut(),
            Self::Publisher(publisher) => publisher.as_mut(),
        }
    }
}

impl Agent for Client {
    fn handle_datagram(
        &mut self,
        bytes: &mut [u8],
        received: Timestamp,
        out: &mut TrainBatch,
        record: &mut LoadRecord,
    ) {
        self.agent().handle_datagram(bytes, received, out, record);
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        self.agent().handle_timeout(now, out, record);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Viewer(viewer) => viewer.next_deadline(),
            Self::Publisher(publisher) => publisher.next_deadline(),
        }
    }

    fn leave(&mut self, now: Timestamp, out: &mut TrainBatch) {
        self.agent().leave(now, out);
    }
}

enum Order {
    Tell(flume::Sender<(LoadRecord, bool)>),
    StopPublishing,
}

/// Where a node takes sessions, and where their datagrams.
#[derive(Clone, Copy)]
pub(crate) struct Doors {
    pub(crate) http: SocketAddr,
    pub(crate) media: SocketAddr,
}

/// The two, on a thread of their own.
pub(crate) struct Honest {
    orders: Option<flume::Sender<Order>>,
    waker: net::Waker,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.orders = None;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ntp_at_zero() -> NtpTime {
    /// Seconds from 1900 to 1970 (RFC 5905 §6).
    const UNIX_TO_NTP: u64 = 2_208_988_800;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    NtpTime(UNIX_TO_NTP << 32) + since_1970.saturating_sub(net::now().since(Timestamp::ZERO))
}

/// Makes a client on the thread that it stays on: its channels cannot leave it.
pub(crate) type MakeClient = Box<dyn FnOnce() -> Client + Send>;

/// The socket on which somebody between an honest peer and the node hears the peer: whoever sends there is it. Therefore it has
/// an address that no node was ever told of. Of 127.0.0.1 the ports go round: a node that is not yet over with the peers of a
/// test before still asks for them, and would be taken for the peer until the peer speaks again.
pub(crate) fn socket_between() -> UdpSocket {
    UdpSocket::bind("127.67.0.1:0").unwrap()
}

/// Opens a session and makes its socket, which talks to `via` where there is somebody on the path.
pub(crate) fn join(
    node: Doors,
    identity: &DtlsIdentity,
    direction: Direction,
    via: Option<SocketAddr>,
) -> (FleetSocket, MakeClient) {
    let remote = via.unwrap_or(node.media);
    let socket = FleetSocket::towards(remote, 1 << 20).unwrap();
    // Before anybody else is heard.
    socket.connect(remote).unwrap();
    let candidate = socket.local_address().unwrap();
    let mut http = Http::to(node.http);
    let opened = client::open_with(&mut http, identity, direction, STREAM, candidate, true).expect("201");
    let (now, seed) = (net::now(), opened.peer.seed);
    let peer = ClientPeer::new(identity, corecast::lab::peer::PeerConfig { node: remote, ..opened.peer }, now);
    let make: MakeClient = match direction {
        Direction::Play => {
            let config = ViewerConfig {
                answer: opened.answer,
                intended: now,
                verify_fraction: 1.0,
                seed,
                data: Some(DataViewer::Reads),
                watches: false,
            };
            Box::new(move || Client::Viewer(Box::new(Viewer::new(peer, config, now))))
        }
        Direction::Publish => {
            let config = PublisherConfig {
                answer: opened.answer,
                encodings: vec![Encoding::only(&opened.sources, Box::new(Frames))],
                sources: opened.sources,
                cname: opened.cname,
                audio: true,
                data: Some(MESSAGES),
                ntp_at_zero: ntp_at_zero(),
                seed,
            };
            Box::new(move || Client::Publisher(Box::new(Publisher::new(peer, config, now))))
        }
    };
    (socket, make)
}

impl Honest {
    /// Publishes and watches; returns when the viewer has a picture. `via` is who stands on the path of each of the two.
    pub(crate) fn play(node: Doors, via: [Option<SocketAddr>; 2]) -> Self {
        let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
        let mut joined = vec![join(node, &identity, Direction::Publish, via[0])];
        joined.push(join(node, &identity, Direction::Play, via[1]));
        let (orders, inbox) = flume::unbounded::<Order>();
        let (started, waker) = flume::bounded(1);
        let thread = std::thread::spawn(move || {
            beside_the_worker();
            let mut fleet = Fleet::new(2).unwrap();
            started.send(fleet.waker()).unwrap();
            for (socket, make) in joined {
                assert!(fleet.add(socket, make()).is_ok(), "there is a place for each");
            }
            loop {
                fleet.round(net::now() + Duration::from_millis(20)).unwrap();
                match inbox.try_recv() {
                    Ok(Order::Tell(reply)) => {
                        let sees = fleet.agents().any(|(_, client): (u32, &Client)| client.has_picture());
                        let _ = reply.send((fleet.take_record(), sees));
                    }
                    Ok(Order::StopPublishing) => {
                        if let Some(Client::Publisher(publisher)) = fleet.agent_mut(0) {
                            publisher.stop();
                        }
                        if let Some(Client::Publisher(publisher)) = fleet.agent_mut(1) {
                            publisher.stop();
                        }
                    }
                    Err(flume::TryRecvError::Empty) => {}
                    Err(flume::TryRecvError::Disconnected) => break,
                }
            }
            for client in [0, 1] {
                fleet.remove(client);
            }
        });
        let honest = Self { orders: Some(orders), waker: waker.recv().unwrap(), thread: Some(thread) };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !honest.ask().1 {
            assert!(Instant::now() < deadline, "the honest viewer sees nothing, attacked by nobody");
            std::thread::sleep(Duration::from_millis(20));
        }
        honest
    }

    fn order(&self, order: Order) {
        let orders = self.orders.as_ref().expect("taken only when it is dropped");
        assert!(orders.send(order).is_ok(), "the honest peers' thread has ended");
        self.waker.wake();
    }

    fn ask(&self) -> (LoadRecord, bool) {
        let (reply, answer) = flume::bounded(1);
        self.order(Order::Tell(reply));
        answer.recv_timeout(Duration::from_secs(20)).expect("the honest peers' thread answers")
    }

    /// What was measured since the last time it was asked.
    pub(crate) fn record(&self) -> LoadRecord {
        self.ask().0
    }

    /// Nothing new is published from now on; what is missing may still be repaired.
    pub(crate) fn stop_publishing(&self) {
        self.order(Order::StopPublishing);
    }
}

/// The cores this process was given; the first is the worker's.
pub(crate) fn cores() -> &'static [u16] {
    static CORES: OnceLock<Vec<u16>> = OnceLock::new();
    CORES.get_or_init(|| process::allowed_cores().expect("the kernel says which cores there are"))
}

/// Leaves the worker's core to the worker, where there is another.
pub(crate) fn beside_the_worker() {
    if let [_, others @ ..] = cores()
        && !others.is_empty()
    {
        let _ = process::pin_current_thread(others);
    }
}
