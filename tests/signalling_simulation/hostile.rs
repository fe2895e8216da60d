//! Clients that want harm: floods of connections, bytes, frames, joins and questions. Each has an address of its own.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use corecast::signal::runtime;
use corecast::signal::runtime::simulated::random;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::honest::{PLAY, PUBLISH};
use crate::node::Node;
use crate::wire::{Caller, Request, Speech, text_of};
use crate::world::{World, millis};

/// Connections that one of them holds.
const HELD_MAX: usize = 60;

pub(crate) fn start(world: &Rc<World>, node: &Rc<Node>) {
    for number in 0..world.scenario.hostile {
        let kind = random::below(9);
        let caller = Caller {
            world: world.clone(),
            addresses: node.addresses,
            address: IpAddr::from([203, 0, 113, 1 + number as u8]),
            is_flood: true,
            speech: [Speech::Plain, Speech::Tls, Speech::Http2][random::below(3)],
        };
        world.count(format!("hostile: {}", KINDS[kind]));
        world.spawn(flood(caller, kind));
    }
}

const KINDS: [&str; 9] = [
    "hoards connections",
    "sends nonsense",
    "sends slowly",
    "joins and never connects",
    "shows bad tokens",
    "floods HTTP/2 frames",
    "floods a socket",
    "takes names",
    "leaves in the middle",
];

async fn flood(caller: Caller, kind: usize) {
    let world = caller.world.clone();
    let mut held = Vec::new();
    loop {
        if world.is_over.get() || world.is_calm() && !world.scenario.hostile_stay {
            return;
        }
        runtime::sleep(millis(20, 160)).await;
        match kind {
            0 => {
                held.extend(caller.dial(caller.addresses.https).await.ok());
                if held.len() > HELD_MAX {
                    held.remove(0);
                }
            }
            1 => {
                if let Ok(mut io) = caller.dial(caller.addresses.https).await {
                    let mut bytes = vec![0; random::below(400)];
                    random::fill(&mut bytes);
                    // Half of it begins as a TLS record does, some as a frame of media does.
                    match random::below(4) {
                        0 | 1 => bytes.splice(0..0, [0x16, 3, 1, 1, 0]).for_each(drop),
                        2 => bytes.splice(0..0, [0, 40, 0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42]).for_each(drop),
                        _ => {}
                    }
                    let _ = io.write_all(&bytes).await;
                    held.push(io);
                    if held.len() > HELD_MAX / 4 {
                        held.remove(0);
                    }
                }
            }
            2 => {
                if held.len() < HELD_MAX / 4 {
                    held.extend(caller.dial(caller.addresses.http).await.ok());
                }
                let request = Request { method: "POST", path: "/whep/slow", headers: &[], body: PLAY };
                let text = text_of(&request).into_bytes();
                for io in &mut held {
                    let at = random::below(text.len());
                    let _ = runtime::timeout(Duration::from_millis(10), io.write_all(&text[at..at + 1])).await;
                }
            }
            3 => {
                let name = format!("/whep/stream-{}", random::below(2));
                let headers = [("content-type", "application/sdp"), ("authorization", "Bearer good-hostile")];
                let request = Request { method: "POST", path: &name, headers: &headers, body: PLAY };
                caller.ask(request, Duration::from_secs(2)).await;
            }
            4 => {
                let token = format!("Bearer bad-{}", random::below(1_000));
                let headers = [("content-type", "application/sdp"), ("authorization", token.as_str())];
                let request = Request { method: "POST", path: "/whep/stream-0", headers: &headers, body: PLAY };
                caller.ask(request, Duration::from_secs(2)).await;
            }
            5 => {
                let flooding = async {
                    let mut io = caller.secure(b"h2").await.ok()?;
                    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok()?;
                    // One kind may be a fault for the library; many of a kind that is none have to be counted.
                    let kinds = [[6, 6, 6], [8, 6, 8], [4, 6, 0], [9, 3, 2]][random::below(4)];
                    let mut frames = Vec::new();
                    for _ in 0..700 {
                        let kind = kinds[random::below(3)];
                        let len = if kind == 8 { 4 } else { 8 };
                        frames.extend([0, 0, len, kind, 0, 0, 0, 0, 0]);
                        frames.extend(&[0, 0, 0, 1, 5, 6, 7, 8][..usize::from(len)]);
                    }
                    io.write_all(&frames).await.ok()?;
                    io.read(&mut [0; 64]).await.ok()
                };
                runtime::timeout(Duration::from_secs(2), flooding).await;
            }
            6 => {
                let flooding = async {
                    let mut io = caller.connect().await.ok()?;
                    let handshake = crate::sockets::handshake();
                    io.write_all(handshake.as_bytes()).await.ok()?;
                    // Pings, pongs, texts, fragments, nonsense; masked with zeros.
                    let kinds = [[0x89, 0x8a, 0x89], [0x01, 0x00, 0x00], [0x81, 0x81, 0xff]][random::below(3)];
                    let mut frames = Vec::new();
                    for _ in 0..300 {
                        frames.extend([kinds[random::below(3)], 0x84, 0, 0, 0, 0, b'{', b'"', b'"', b'}']);
                    }
                    io.write_all(&frames).await.ok()?;
                    io.read(&mut [0; 64]).await.ok()
                };
                runtime::timeout(Duration::from_secs(2), flooding).await;
            }
            7 => {
                let name = format!("/whip/taken-{}", random::below(1_000));
                let headers = [("content-type", "application/sdp"), ("authorization", "Bearer good-hostile")];
                let request = Request { method: "POST", path: &name, headers: &headers, body: PUBLISH };
                caller.ask(request, Duration::from_secs(2)).await;
            }
            _ => {
                let headers = [("content-type", "application/sdp"), ("authorization", "Bearer good-hostile")];
                let request = Request { method: "POST", path: "/whep/stream-0", headers: &headers, body: PLAY };
                caller.ask(request, millis(1, 80)).await;
            }
        }
    }
}
