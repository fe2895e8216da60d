//! Media over TCP on the port of HTTPS, for peers whose network drops UDP (RFC 6544, RFC 4571).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::honest::{self, Honest};
use crate::node::Node;

/// Between a peer that speaks UDP and the node's HTTPS port: puts each datagram into a frame and takes frames apart. Every
/// address that the peer sends from would be a connection; there is one.
struct Bridge {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    /// Bytes a second that are read of the node's; all of them at zero.
    bytes_per_second: AtomicU64,
    frames_in: AtomicU64,
    frames_out: AtomicU64,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Bridge {
    fn build(https: SocketAddr) -> Self {
        let udp = honest::socket_between();
        udp.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&udp).set_recv_buffer_size(4 << 20).unwrap();
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            honest::beside_the_worker();
            carry(&of_thread, &udp, https);
        });
        Self { address, shared, thread: Some(thread) }
    }
}

fn connect(https: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // What a thin link would hold must not lie here.
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&https.into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

fn carry(shared: &Shared, udp: &UdpSocket, https: SocketAddr) {
    let mut tcp = connect(https);
    let (mut peer, mut stream) = (None, Vec::new());
    let mut buffer = [0; 4_096];
    let (mut begun, mut read, mut rate) = (Instant::now(), 0_u64, 0);
    while !shared.ended.load(Ordering::Relaxed) {
        let mut idle = true;
        while let Ok((len, from)) = udp.recv_from(&mut buffer) {
            idle = false;
            peer = Some(from);
            shared.frames_out.fetch_add(1, Ordering::Relaxed);
            let mut frame = (len as u16).to_be_bytes().to_vec();
            frame.extend_from_slice(&buffer[..len]);
            while !frame.is_empty() {
                match tcp.write(&frame) {
                    Ok(written) => drop(frame.drain(..written)),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(_) => return,
                }
            }
        }
        let wanted = shared.bytes_per_second.load(Ordering::Relaxed);
        if wanted != rate {
            (begun, read, rate) = (Instant::now(), 0, wanted);
        }
        if rate == 0 || read < begun.elapsed().as_millis() as u64 * rate / 1_000 {
            match tcp.read(&mut buffer) {
                Ok(0) => return,
                Ok(len) => {
                    idle = false;
                    read += len as u64;
                    stream.extend_from_slice(&buffer[..len]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        while let Some((len, rest)) = stream.split_first_chunk::<2>()
            && let Some(datagram) = rest.get(..usize::from(u16::from_be_bytes(*len)))
        {
            shared.frames_in.fetch_add(1, Ordering::Relaxed);
            if let Some(peer) = peer {
                let _ = udp.send_to(datagram, peer);
            }
            stream.drain(..2 + datagram.len());
        }
        if idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_publisher_and_a_viewer_play_over_connections_to_the_https_port() {
    let _turn = crate::turn();
    let node = Node::start();
    let bridges = [(); 2].map(|()| Bridge::build(node.https));
    let honest = Honest::play(node.doors(), [Some(bridges[0].address), Some(bridges[1].address)]);
    std::thread::sleep(Duration::from_secs(3));
    let mut record = honest.record();
    honest.stop_publishing();
    std::thread::sleep(Duration::from_secs(1));
    record.merge(&honest.record());
    let counts = &record.counts;
    let (sent, received) = (counts.sent_video + counts.sent_audio, counts.received());
    assert!(sent > 100 && received.abs_diff(sent) <= 40, "{sent} sent, {received} received: {counts:?}");
    assert_eq!((counts.lost(), counts.gaps, counts.unauthentic, counts.duplicates), (0, 0, 0, 0), "{counts:?}");
    for bridge in &bridges {
        assert!(bridge.shared.frames_in.load(Ordering::Relaxed) > 20);
        assert!(bridge.shared.frames_out.load(Ordering::Relaxed) > 5);
    }
}

#[test]
fn a_viewer_whose_connection_is_too_slow_skips_and_never_falls_far_behind() {
    let _turn = crate::turn();
    let node = Node::start();
    let bridge = Bridge::build(node.https);
    // The other end of the publisher is UDP: paths of both kinds on one worker.
    let honest = Honest::play(node.doors(), [None, Some(bridge.address)]);
    // 0.5 Mbit/s of a stream of 1 Mbit/s and sound.
    bridge.shared.bytes_per_second.store(64_000, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(2));
    let _ = honest.record();
    std::thread::sleep(Duration::from_secs(10));
    let slow = honest.record();
    let p95_ms = slow.video_latency_us.value_at_quantile(0.95) as f64 / 1e3;
    assert!(slow.counts.received() > 200, "{:?}", slow.counts);
    assert!(slow.counts.received() < slow.counts.sent_video, "nothing was skipped: {:?}", slow.counts);
    assert!(p95_ms < 2_500.0, "p95 {p95_ms} ms");
    let resident = node.memory().0;
    assert!(resident < 64 << 20, "{resident} bytes");
    // The link widens: at the live edge again.
    bridge.shared.bytes_per_second.store(0, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(2));
    let _ = honest.record();
    std::thread::sleep(Duration::from_secs(2));
    let wide = honest.record();
    let p50_ms = wide.video_latency_us.value_at_quantile(0.5) as f64 / 1e3;
    assert!(p50_ms < 1_000.0, "p50 {p50_ms} ms when there is room");
    println!("slow: p95 {p95_ms:.0} ms, {:?}; wide: p50 {p50_ms:.1} ms", slow.counts);
}

#[test]
fn connections_that_begin_like_media_and_are_not_are_closed_soon_and_cost_nothing() {
    let _turn = crate::turn();
    let node = Node::start();
    let honest = Honest::play(node.doors(), [None; 2]);
    let before = node.descriptors();
    let stun = |username: &[u8]| {
        let mut check = [0; 200];
        let len = corecast::wire::stun::StunWriter::binding_request(&mut check, &[7; 12])
            .username(username)
            .fingerprint()
            .finish()
            .unwrap();
        [&(len as u16).to_be_bytes(), &check[..len]].concat()
    };
    // A session that nobody has, on worker 0; on a worker that there is not; a frame without end; a byte.
    let openings = [stun(b"AAabcdefghij:peer"), stun(b"D/abcdefghij:peer"), vec![0, 100, 0, 1], vec![2]];
    for opening in &openings {
        let streams: Vec<TcpStream> = (0..32)
            .map(|_| {
                let mut stream = TcpStream::connect(node.https).unwrap();
                stream.write_all(opening).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
                stream
            })
            .collect();
        for mut stream in streams {
            assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed without a word");
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.descriptors() > before {
        assert!(Instant::now() < deadline, "{} descriptors, {before} before", node.descriptors());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(honest.record().counts.lost(), 0);
}
