//! Viewers and followers over WebSocket. The frames are written and read here, by no line of the library that the node uses.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use corecast::description::Direction;
use corecast::signal::runtime::simulated::random;
use corecast::signal::runtime::{self, simulated};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use serde_json::{Value, json};

use crate::honest::{Client, PLAY, address, ufrag_in};
use crate::node::Node;
use crate::wire::{Caller, Duplex, Speech};
use crate::world::{World, chance, millis};

/// How often a client asks whether its socket lives.
const PING_INTERVAL: Duration = Duration::from_millis(800);

pub(crate) fn handshake() -> String {
    "GET /ws HTTP/1.1\r\nhost: node.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: corecast.v1\r\n\r\n"
        .to_owned()
}

/// What a follower has heard last of its stream.
pub(crate) struct Follower {
    pub(crate) stream: String,
    pub(crate) heard: Cell<Option<bool>>,
    pub(crate) trouble: RefCell<String>,
}

/// A socket that was welcomed.
struct Socket {
    io: Box<dyn Duplex>,
    bytes: Vec<u8>,
    next_id: u64,
    /// Requests that have no answer yet.
    open: Vec<u64>,
    world: Rc<World>,
}

impl Socket {
    async fn open(
        caller: &Caller,
        token: Option<&str>,
        resume: Option<&(String, String)>,
    ) -> io::Result<(Self, Value)> {
        let mut io = caller.connect().await?;
        io.write_all(handshake().as_bytes()).await?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 1_024];
        let head = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let read = io.read(&mut buffer).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&buffer[..read]);
        };
        if !bytes.starts_with(b"HTTP/1.1 101") {
            let status = String::from_utf8_lossy(&bytes[..head]).lines().next().unwrap_or_default().to_owned();
            return Err(io::Error::other(status));
        }
        bytes.drain(..head);
        let mut socket = Self { io, bytes, next_id: 1, open: Vec::new(), world: caller.world.clone() };
        let mut hello = json!({"type": "hello", "version": 1});
        if let Some(token) = token {
            hello["token"] = token.into();
        }
        if let Some((session, secret)) = resume {
            hello["resume"] = json!([{"session": session, "secret": secret}]);
        }
        let welcome = socket.ask(hello).await?;
        Ok((socket, welcome))
    }

    async fn send(&mut self, mut message: Value) -> io::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        message["id"] = id.into();
        self.open.push(id);
        let payload = message.to_string().into_bytes();
        let mut frame = vec![0x81];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
        }
        let mask = random::number().to_be_bytes();
        frame.extend(&mask[..4]);
        frame.extend(payload.iter().zip(mask[..4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.io.write_all(&frame).await?;
        Ok(id)
    }

    /// The next message. An answer to what was not asked, or was answered, breaks a rule.
    async fn next(&mut self) -> io::Result<Value> {
        loop {
            let Some((first, payload)) = self.take_frame() else {
                let mut buffer = [0; 4_096];
                let read = self.io.read(&mut buffer).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.bytes.extend_from_slice(&buffer[..read]);
                continue;
            };
            match first {
                0x81 => {}
                0x89 | 0x8a => continue,
                _ => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
            let message: Value = serde_json::from_slice(&payload).map_err(io::Error::other)?;
            if let Some(id) = message["id"].as_u64() {
                match self.open.iter().position(|open| *open == id) {
                    Some(at) => _ = self.open.remove(at),
                    None => self.world.break_rule("answered once", format!("over a socket: {message}")),
                }
            }
            return Ok(message);
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second, ..] = self.bytes[..] else { return None };
        let (head, len) = match second {
            126 => (4, usize::from(u16::from_be_bytes(self.bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(self.bytes.get(2..10)?.try_into().ok()?) as usize),
            len => (2, usize::from(len)),
        };
        let payload = self.bytes.get(head..head + len)?.to_vec();
        self.bytes.drain(..head + len);
        Some((first, payload))
    }

    /// A request and its answer; what comes in between is told nobody.
    async fn ask(&mut self, message: Value) -> io::Result<Value> {
        let id = self.send(message).await?;
        loop {
            let answer = self.next().await?;
            if answer["id"] == id {
                return Ok(answer);
            }
        }
    }
}

fn caller(world: &Rc<World>, node: &Node, number: usize) -> Caller {
    let speech = if chance(0.5) { Speech::Plain } else { Speech::Tls };
    Caller { world: world.clone(), addresses: node.addresses, address: address(number), speech, is_flood: false }
}

/// Viewers over sockets.
pub(crate) fn start_viewers(world: &Rc<World>, node: &Rc<Node>) -> Vec<Rc<Client>> {
    let mut clients = Vec::new();
    for number in 0..world.scenario.sockets {
        let number = 50 + number;
        let client = Rc::new(Client {
            name: format!("socket {number}"),
            stream: format!("stream-{}", number % world.scenario.publishers),
            direction: Direction::Play,
            token: world.scenario.has_webhook.then(|| format!("good-{number}")),
            address: Cell::new(address(number)),
            session: RefCell::default(),
            trouble: RefCell::default(),
        });
        clients.push(client.clone());
        world.spawn(view(world.clone(), node.clone(), client, number));
    }
    clients
}

async fn view(world: Rc<World>, node: Rc<Node>, client: Rc<Client>, number: usize) {
    runtime::sleep(millis(0, 2_000)).await;
    // The session that a lost socket may have left: its name, its secret, its user fragment.
    let mut kept: Option<(String, String, String)> = None;
    let mut is_there = Rc::new(Cell::new(true));
    while !world.is_over.get() {
        let caller = caller(&world, &node, number);
        let resume = kept.clone().map(|(session, secret, _)| (session, secret));
        let opening = Socket::open(&caller, client.token.as_deref(), resume.as_ref());
        let opened = runtime::timeout(Client::patience(&world), opening).await;
        match opened {
            Some(Ok((mut socket, welcome))) => {
                if welcome["type"] != "welcome" {
                    client.note(&world, &format!("not welcomed: {}", welcome["code"]));
                } else {
                    let resumed = welcome["resumed"].as_array().is_some_and(|resumed| !resumed.is_empty());
                    if resumed {
                        client.note(&world, "resumed");
                    } else if let Some((_, _, ufrag)) = kept.take() {
                        is_there.set(false);
                        client.session.replace(None);
                        if world.is_calm() && world.media.has(&ufrag) {
                            client.note(&world, "a session that lives was not resumed");
                        }
                    }
                    if kept.is_none() {
                        is_there = Rc::new(Cell::new(true));
                        kept = subscribe(&world, &node, &client, &mut socket, &is_there).await;
                    }
                    if let Some((session, ..)) = kept.clone() {
                        let over = watch(&world, &client, &mut socket, &session).await;
                        if over {
                            kept = None;
                            is_there.set(false);
                            client.session.replace(None);
                        }
                    }
                }
            }
            Some(Err(error)) => client.note(&world, &format!("no socket: {error}")),
            None => client.note(&world, "no socket in time"),
        }
        runtime::sleep(millis(100, 400)).await;
    }
    is_there.set(false);
}

async fn subscribe(
    world: &Rc<World>,
    node: &Node,
    client: &Client,
    socket: &mut Socket,
    is_there: &Rc<Cell<bool>>,
) -> Option<(String, String, String)> {
    let asking = socket.ask(json!({"type": "subscribe", "stream": client.stream, "sdp": PLAY}));
    let answer = runtime::timeout(Client::patience(world), asking).await;
    let Some(Ok(answer)) = answer else {
        client.note(world, "no answer");
        return None;
    };
    if answer["type"] != "answer" {
        client.note(world, &format!("{} {}", answer["status"], answer["code"].as_str().unwrap_or_default()));
        return None;
    }
    client.note(world, "joined");
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    let (session, secret) = (text("session")?, text("secret")?);
    let ufrag = ufrag_in(answer["sdp"].as_str()?)?;
    client.session.replace(Some(ufrag.clone()));
    world.media.connect(&ufrag, is_there, &node.notices).await;
    Some((session, secret, ufrag))
}

/// Keeps a socket, until it or its session is gone. Returns whether the session is over.
async fn watch(world: &Rc<World>, client: &Client, socket: &mut Socket, session: &str) -> bool {
    loop {
        if world.is_over.get() {
            if chance(0.5) {
                let closing = socket.ask(json!({"type": "close", "session": session}));
                let _ = runtime::timeout(Duration::from_secs(3), closing).await;
            }
            return true;
        }
        if world.fault(0.03) {
            world.count("fault: socket cut");
            return false;
        }
        if socket.send(json!({"type": "ping"})).await.is_err() {
            client.note(world, "socket broken");
            return false;
        }
        let until = simulated::elapsed() + PING_INTERVAL;
        let mut answered = false;
        loop {
            let left = until.saturating_sub(simulated::elapsed());
            match runtime::timeout(left, socket.next()).await {
                None if answered => break,
                None if simulated::elapsed() > until + Client::patience(world) => {
                    client.note(world, "socket silent");
                    return false;
                }
                None => {
                    // One more chance, as long as a client's patience.
                    let more = runtime::timeout(Client::patience(world), socket.next()).await;
                    match more {
                        Some(Ok(message)) if message["type"] == "pong" => break,
                        Some(Ok(message)) if is_end(&message, session) => return true,
                        Some(Ok(_)) => {}
                        _ => {
                            client.note(world, "socket silent");
                            return false;
                        }
                    }
                }
                Some(Err(_)) => {
                    client.note(world, "socket broken");
                    return false;
                }
                Some(Ok(message)) if is_end(&message, session) => {
                    client.note(world, &format!("ended: {}", message["reason"]));
                    return true;
                }
                Some(Ok(message)) => answered |= message["type"] == "pong",
            }
        }
    }
}

fn is_end(message: &Value, session: &str) -> bool {
    message["type"] == "ended" && message["session"] == session
}

/// Followers of streams.
pub(crate) fn start_followers(world: &Rc<World>, node: &Rc<Node>) -> Vec<Rc<Follower>> {
    let mut followers = Vec::new();
    for number in 0..world.scenario.followers {
        let stream = format!("stream-{}", number % world.scenario.publishers);
        let follower = Rc::new(Follower { stream, heard: Cell::new(None), trouble: RefCell::default() });
        followers.push(follower.clone());
        world.spawn(follow(world.clone(), node.clone(), follower, 80 + number));
    }
    followers
}

async fn follow(world: Rc<World>, node: Rc<Node>, follower: Rc<Follower>, number: usize) {
    let token = world.scenario.has_webhook.then(|| format!("good-{number}"));
    while !world.is_over.get() {
        let caller = caller(&world, &node, number);
        let following = async {
            let (mut socket, _) = Socket::open(&caller, token.as_deref(), None).await?;
            let answer = socket.ask(json!({"type": "follow", "stream": follower.stream})).await?;
            if answer["type"] == "following" { Ok(socket) } else { Err(io::Error::other(answer.to_string())) }
        };
        match runtime::timeout(Client::patience(&world), following).await {
            Some(Ok(mut socket)) => {
                world.count("follower: follows");
                loop {
                    if world.is_over.get() {
                        return;
                    }
                    let Some(next) = runtime::timeout(PING_INTERVAL, socket.next()).await else {
                        let patience = Client::patience(&world);
                        let pinged = runtime::timeout(patience, socket.send(json!({"type": "ping"}))).await;
                        match (pinged, runtime::timeout(patience, socket.next()).await) {
                            (Some(Ok(_)), Some(Ok(message))) => hear(&follower, &message),
                            _ => break,
                        }
                        continue;
                    };
                    match next {
                        Ok(message) => hear(&follower, &message),
                        Err(_) => break,
                    }
                }
                follower.heard.set(None);
                follower.trouble.replace("its socket broke".to_owned());
            }
            Some(Err(error)) => _ = follower.trouble.replace(error.to_string()),
            None => _ = follower.trouble.replace("no answer in time".to_owned()),
        }
        runtime::sleep(millis(100, 400)).await;
    }
}

fn hear(follower: &Follower, message: &Value) {
    if message["type"] == "stream" && message["stream"] == follower.stream.as_str() {
        follower.heard.set(message["live"].as_bool());
    }
}
