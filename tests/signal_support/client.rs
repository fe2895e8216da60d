//! A WebSocket client that sends exactly the frames it is told to, also wrong ones, and shows exactly what comes back.
//! Written for these tests alone: it shares no line with the library the node uses.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{Node, PATIENCE};

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;
pub(crate) const CLOSE: u8 = 0x88;

trait Duplex: Read + Write + Send {}
impl<S: Read + Write + Send> Duplex for S {}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    Message(Value),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16),
    /// The connection ended.
    End,
    /// Nothing, in time.
    Nothing,
}

pub(crate) struct Socket {
    stream: Box<dyn Duplex>,
    tcp: TcpStream,
    bytes: Vec<u8>,
    /// Events that came before the answer that was waited for.
    events: VecDeque<Value>,
    ids: u64,
}

/// The request of a correct handshake, with headers more.
pub(crate) fn handshake(headers: &[(&str, &str)]) -> String {
    let mut text = "GET /ws HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        .to_owned();
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str("host: node.test\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

impl Socket {
    /// A TLS connection, upgraded; no `hello` yet.
    pub(crate) fn connect(node: &Node) -> Self {
        let stream = node.tls_stream(&[b"http/1.1"]);
        let tcp = stream.sock.try_clone().unwrap();
        Self::upgrade(Box::new(stream), tcp, &[]).unwrap()
    }

    /// The same over plain HTTP, or the status it was refused with.
    pub(crate) fn connect_plain(node: &Node, headers: &[(&str, &str)]) -> Result<Self, String> {
        Self::over(TcpStream::connect(node.http).unwrap(), headers)
    }

    /// The same over any connection.
    pub(crate) fn over(tcp: TcpStream, headers: &[(&str, &str)]) -> Result<Self, String> {
        Self::upgrade(Box::new(tcp.try_clone().unwrap()), tcp, headers)
    }

    fn upgrade(mut stream: Box<dyn Duplex>, tcp: TcpStream, headers: &[(&str, &str)]) -> Result<Self, String> {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let headers = [&[("sec-websocket-protocol", "corecast.v1")], headers].concat();
        // A listener that is full closes, perhaps before this is sent.
        stream.write_all(handshake(&headers).as_bytes()).map_err(|error| error.to_string())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).map_err(|error| error.to_string())?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        if !head.starts_with("http/1.1 101") {
            return Err(head.lines().next().unwrap().to_owned());
        }
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        assert!(head.contains("sec-websocket-protocol: corecast.v1\r\n"), "{head}");
        Ok(Self { stream, tcp, bytes: Vec::new(), events: VecDeque::new(), ids: 0 })
    }

    /// Connected and welcomed.
    pub(crate) fn open(node: &Node) -> Self {
        let mut socket = Self::connect(node);
        let welcome = socket.ask(json!({"type": "hello", "version": 1}));
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        socket
    }

    /// Connected, resuming one session; the welcome is returned too.
    pub(crate) fn resume(node: &Node, session: &Value, secret: &Value) -> (Self, Value) {
        let mut socket = Self::connect(node);
        let resume = json!([{"session": session, "secret": secret}]);
        let welcome = socket.ask(json!({"type": "hello", "version": 1, "resume": resume}));
        (socket, welcome)
    }

    /// A masked frame: first byte as it is, payload as it is.
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8]) {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..126 => bytes.push(0x80 | len as u8),
            len @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(0x80 | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.raw(&bytes);
    }

    /// Bytes as they are. The node may have closed already.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
        let _ = self.stream.flush();
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.frame(TEXT, message.to_string().as_bytes());
    }

    /// Sends a request under a number of its own and returns its answer.
    pub(crate) fn ask(&mut self, mut message: Value) -> Value {
        self.ids += 1;
        message["id"] = self.ids.into();
        self.send(&message);
        loop {
            match self.receive() {
                Received::Message(answer) if answer["id"] == self.ids => return answer,
                Received::Message(event) => self.events.push_back(event),
                Received::Ping(_) => {}
                other => panic!("{message} was answered by {other:?}"),
            }
        }
    }

    /// A session over this socket: the answer.
    pub(crate) fn start(&mut self, kind: &str, stream: &str) -> Value {
        let answer = self.ask(json!({"type": kind, "stream": stream, "sdp": "ok"}));
        assert_eq!(answer["type"], "answer", "{answer}");
        answer
    }

    /// The next event, which is expected to come.
    pub(crate) fn event(&mut self) -> Value {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        loop {
            match self.receive() {
                Received::Message(event) => return event,
                Received::Ping(_) => {}
                other => panic!("{other:?} in place of an event"),
            }
        }
    }

    /// Nothing has come that was not asked for: a ping overtakes nothing.
    pub(crate) fn assert_silent(&mut self) {
        assert_eq!(self.ask(json!({"type": "ping"}))["type"], "pong");
        assert!(self.events.is_empty(), "{:?}", self.events);
    }

    /// The code the node closes with, whatever comes before.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            match self.receive() {
                Received::Close(code) => return code,
                Received::Message(_) | Received::Ping(_) | Received::Pong(_) => {}
                other => panic!("{other:?} in place of a close frame"),
            }
        }
    }

    /// Cuts the connection without a word.
    pub(crate) fn cut(self) {
        self.tcp.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// The next frame.
    pub(crate) fn receive(&mut self) -> Received {
        loop {
            if let Some(received) = self.take_frame() {
                return received;
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Received::End,
                Ok(read) => self.bytes.extend_from_slice(&buffer[..read]),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    return Received::Nothing;
                }
                Err(_) => return Received::End,
            }
        }
    }

    fn take_frame(&mut self) -> Option<Received> {
        let [first, second, ..] = self.bytes[..] else { return None };
        assert_eq!((first & 0x70, second & 0x80), (0, 0), "no reserved bits, no mask (RFC 6455 §5.1)");
        let (head, len) = match second {
            126 => (4, usize::from(u16::from_be_bytes(self.bytes.get(2..4)?.try_into().unwrap()))),
            127 => (10, u64::from_be_bytes(self.bytes.get(2..10)?.try_into().unwrap()) as usize),
            len => (2, usize::from(len)),
        };
        let payload = self.bytes.get(head..head + len)?.to_vec();
        self.bytes.drain(..head + len);
        Some(match first {
            TEXT => Received::Message(serde_json::from_slice(&payload).unwrap()),
            PING => Received::Ping(payload),
            PONG => Received::Pong(payload),
            CLOSE => Received::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))),
            other => panic!("the node sent a frame that begins with {other:#x}"),
        })
    }
}
