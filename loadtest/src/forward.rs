//! A link for foreign clients: a forwarder of UDP between clients and a server, on loopback or between network namespaces. What
//! comes from one end leaves for the other when the link's model says so ([`corecast::lab::link`]).
//!
//! Each client has a socket of its own towards the server, as behind a NAT, and a link of its own, unless all are to share one.
//! A client that has been silent for a minute is forgotten.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corecast::lab::link::model::{Fate, Link, LinkCounts};
use corecast::lab::link::script::{Script, Way};
use corecast::limits;
use corecast::net;
use corecast::time::Timestamp;

use crate::load::random;

/// How long a thread waits before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(200);
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Clients at a time. More: their datagrams are dropped.
const CLIENTS_MAX: usize = 256;
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// What the forwarder is made with.
pub(crate) struct Forward {
    pub(crate) listen: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) script: Arc<Script>,
    /// All clients are behind one link.
    pub(crate) shared: bool,
}

/// A datagram on the link.
struct Waiting {
    bytes: Vec<u8>,
    socket: Arc<UdpSocket>,
    /// `None` for a socket that is connected.
    to: Option<SocketAddr>,
}

#[derive(Default)]
struct Queue {
    order: BinaryHeap<Reverse<(Timestamp, u64)>>,
    waiting: BTreeMap<u64, Waiting>,
    serial: u64,
}

/// What the threads share.
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    stop: Arc<AtomicBool>,
    overflowed: Mutex<u64>,
}

type Ways = [Arc<Mutex<Link>>; 2];

struct Client {
    socket: Arc<UdpSocket>,
    links: Ways,
    heard: Arc<Mutex<Timestamp>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Puts a datagram onto a link.
    fn carry(&self, link: &Mutex<Link>, bytes: &[u8], socket: &Arc<UdpSocket>, to: Option<SocketAddr>) {
        let Fate::Arrives { at, .. } = lock(link).carry(net::now(), bytes.len()) else { return };
        let mut queue = lock(&self.queue);
        if queue.waiting.len() >= limits::LINK_DATAGRAMS_MAX {
            *lock(&self.overflowed) += 1;
            return;
        }
        queue.serial += 1;
        let serial = queue.serial;
        queue.order.push(Reverse((at, serial)));
        queue.waiting.insert(serial, Waiting { bytes: bytes.to_vec(), socket: Arc::clone(socket), to });
        self.changed.notify_one();
    }

    /// Sends what has arrived at the link's end, until it is over.
    fn deliver(&self) {
        let mut queue = lock(&self.queue);
        while !self.is_over() {
            let now = net::now();
            match queue.order.peek() {
                Some(Reverse((at, _))) if *at <= now => {
                    let Some(Reverse((_, serial))) = queue.order.pop() else { continue };
                    let Some(Waiting { bytes, socket, to }) = queue.waiting.remove(&serial) else { continue };
                    drop(queue);
                    // What the kernel does not take is lost, as on any link.
                    let _ = match to {
                        Some(to) => socket.send_to(&bytes, to),
                        None => socket.send(&bytes),
                    };
                    queue = lock(&self.queue);
                }
                next => {
                    let wait = next.map_or(LOOK, |Reverse((at, _))| at.since(now).min(LOOK));
                    queue = self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

/// Waits for a datagram; `None` where none came for [`LOOK`].
fn receive(socket: &UdpSocket, bytes: &mut [u8]) -> Option<(usize, SocketAddr)> {
    match socket.recv_from(bytes) {
        Ok(received) => Some(received),
        Err(error) => {
            // A port that nobody has open says so to who sends to it; it may be opened yet.
            if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
                std::thread::sleep(Duration::from_millis(1));
            }
            None
        }
    }
}

fn links(script: &Arc<Script>) -> Ways {
    let (seed, now) = (random(), net::now());
    [Way::Up, Way::Down].map(|way| Arc::new(Mutex::new(Link::new(Arc::clone(script), way, seed, now))))
}

/// Forwards until `stop` is set, or for so long; what the links did, from the clients and to them, and how many clients there
/// were.
pub(crate) fn run(
    forward: &Forward,
    stop: &Arc<AtomicBool>,
    seconds: Option<Duration>,
    ready: impl FnOnce(SocketAddr),
) -> Result<([LinkCounts; 2], usize), String> {
    let Forward { listen, to, script, shared: is_shared } = forward;
    let told = |error: io::Error| format!("--listen {listen}: {error}");
    let door = Arc::new(UdpSocket::bind(listen).map_err(told)?);
    door.set_read_timeout(Some(LOOK)).map_err(told)?;
    ready(door.local_addr().map_err(told)?);
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        changed: Condvar::new(),
        stop: Arc::clone(stop),
        overflowed: Mutex::default(),
    });
    let deliverer = {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || shared.deliver())
    };
    let one = is_shared.then(|| links(script));
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut all: Vec<Ways> = one.iter().cloned().collect();
    let (mut threads, mut count) = (Vec::new(), 0);
    let end = seconds.map(|seconds| net::now() + seconds);
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    while !shared.is_over() && end.is_none_or(|end| net::now() < end) {
        let Some((len, from)) = receive(&door, &mut bytes) else {
            let now = net::now();
            clients.retain(|_, client| now.since(*lock(&client.heard)) < SILENCE_MAX);
            continue;
        };
        if !clients.contains_key(&from) {
            if clients.len() >= CLIENTS_MAX {
                continue;
            }
            let links = one.clone().unwrap_or_else(|| links(script));
            if !is_shared {
                all.push(links.clone());
            }
            let client = client(*to, links).map_err(|error| format!("--to {to}: {error}"))?;
            let (shared, door) = (Arc::clone(&shared), Arc::clone(&door));
            let (socket, link) = (Arc::clone(&client.socket), Arc::clone(&client.links[1]));
            let heard = Arc::clone(&client.heard);
            threads.push(std::thread::spawn(move || {
                let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
                while !shared.is_over() && net::now().since(*lock(&heard)) < SILENCE_MAX {
                    if let Some((len, _)) = receive(&socket, &mut bytes) {
                        shared.carry(&link, &bytes[..len], &door, Some(from));
                    }
                }
            }));
            clients.insert(from, client);
            count += 1;
        }
        let Some(client) = clients.get(&from) else { continue };
        *lock(&client.heard) = net::now();
        shared.carry(&client.links[0], &bytes[..len], &client.socket, None);
    }
    stop.store(true, Ordering::Relaxed);
    shared.changed.notify_all();
    let _ = deliverer.join();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    let mut counts = [LinkCounts::default(); 2];
    for ways in &all {
        for (sum, link) in counts.iter_mut().zip(ways) {
            sum.add(&lock(link).counts);
        }
    }
    counts[1].dropped += *lock(&shared.overflowed);
    Ok((counts, count))
}

fn client(to: SocketAddr, links: Ways) -> io::Result<Client> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(LOOK))?;
    Ok(Client { socket: Arc::new(socket), links, heard: Arc::new(Mutex::new(net::now())) })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn datagrams_take_the_links_time_both_ways_and_each_client_has_its_own_address() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let script = Arc::new(Script::parse("0s delay=100ms up.delay=50ms").unwrap());
        let to = server.local_addr().unwrap();
        let forward = Forward { listen: ([127, 0, 0, 1], 0).into(), to, script, shared: false };
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, at) = flume::bounded(1);
        let thread = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || run(&forward, &stop, None, |address| ready.send(address).unwrap()))
        };
        let at = at.recv().unwrap();
        let clients = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut bytes = [0; 100];
        let mut seen = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let began = Instant::now();
            client.send_to(&[number as u8; 10], at).unwrap();
            let (len, from) = server.recv_from(&mut bytes).unwrap();
            assert_eq!(bytes[..len], [number as u8; 10]);
            seen.push(from);
            server.send_to(&[7; 20], from).unwrap();
            assert_eq!(client.recv_from(&mut bytes).unwrap(), (20, at));
            // A busy machine makes it later, never sooner.
            assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
        }
        assert_ne!(seen[0], seen[1]);
        stop.store(true, Ordering::Relaxed);
        let ([up, down], count) = thread.join().unwrap().unwrap();
        assert_eq!((up.passed, up.bytes, down.passed, down.bytes, count), (2, 20, 2, 40, 2));
    }
}
