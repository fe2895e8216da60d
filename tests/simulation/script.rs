//! What a publisher of the simulation publishes, so that every packet tells by itself which it is, and the log of it that
//! viewers' packets are compared with.
//!
//! Video is the peer's own H.264 ([`corecast::lab::peer::video`]) with the last bytes of each payload overwritten by a
//! [`Tag`]; parameter sets stay as they are. Sound is stamped by the peer's publisher.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::lab::peer::publisher::{Script, ScriptFrame, ScriptPacket};
use corecast::lab::peer::video;
use corecast::time::Timestamp;

const MARK: [u8; 4] = *b"SIMU";
pub(crate) const TAG_BYTES: usize = 24;

/// Packets a log keeps: longer than a packet ring's two seconds.
const LOG_PACKETS: usize = 8_192;

const FRAME_INTERVAL: Duration = Duration::from_micros(33_333);

/// Which packet of which publication a video payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) stream: u32,
    /// Counts the publishers of all streams.
    pub(crate) publication: u32,
    /// Counts the publication's video packets.
    pub(crate) number: u32,
    pub(crate) frame: u32,
    /// Key frames begun, this one included.
    pub(crate) keys: u32,
}

impl Tag {
    fn write(&self, payload: &mut [u8]) {
        let Some(at) = payload.len().checked_sub(TAG_BYTES) else { return };
        let words = [self.stream, self.publication, self.number, self.frame, self.keys];
        payload[at..at + 4].copy_from_slice(&MARK);
        for (word, place) in words.iter().zip(payload[at + 4..].chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    }

    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let tag = payload.get(payload.len().checked_sub(TAG_BYTES)?..)?;
        if !tag.starts_with(&MARK) {
            return None;
        }
        let mut words = tag[4..].chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
        let mut next = || words.next().unwrap_or_default();
        Some(Self { stream: next(), publication: next(), number: next(), frame: next(), keys: next() })
    }
}

/// A packet as it was published.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) payload: Vec<u8>,
    pub(crate) marker: bool,
    /// It is of a key frame.
    pub(crate) in_key: bool,
    /// When it was published.
    pub(crate) at: Timestamp,
}

/// What one publication published.
#[derive(Debug, Default)]
pub(crate) struct Log {
    first: u32,
    packets: VecDeque<Logged>,
    /// The world's time, as its publisher acts.
    pub(crate) now: Timestamp,
    /// Key frames that the node asked for.
    pub(crate) asked: u64,
    /// For the proof that a skip to what is no key frame is found out.
    pub(crate) hides_keys: bool,
}

impl Log {
    /// Number of the next packet.
    pub(crate) fn next(&self) -> u32 {
        self.first + self.packets.len() as u32
    }

    /// A packet; `None` for one so old that it was forgotten, and for one never published.
    pub(crate) fn get(&self, number: u32) -> Option<&Logged> {
        self.packets.get(number.checked_sub(self.first)? as usize)
    }

    pub(crate) fn is_forgotten(&self, number: u32) -> bool {
        number < self.first
    }

    /// For the proof that a changed payload is found out.
    pub(crate) fn falsify(&mut self) {
        for packet in &mut self.packets {
            packet.payload[3] ^= 1;
        }
    }
}

/// Shared by a publisher's script and the checkers, which run on one thread; a script must be `Send`.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().expect("one thread")
    }
}

/// How a publisher's frames look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Packets of a frame, at most; key frames have three times as many.
    pub(crate) fragments: usize,
    /// Frames from one key frame to the next that nobody asked for; zero: none comes unasked.
    pub(crate) key_every: u32,
    /// Whether requests for key frames are followed.
    pub(crate) follows_requests: bool,
    /// From packet to packet of a frame.
    pub(crate) pace: Duration,
}

/// A publication's video.
pub(crate) struct SimScript {
    pub(crate) tag: Tag,
    shape: Shape,
    random: SeededRandom,
    log: SharedLog,
}

impl SimScript {
    pub(crate) fn new(stream: u32, publication: u32, shape: Shape, seed: u64, log: SharedLog) -> Self {
        let tag = Tag { stream, publication, ..Tag::default() };
        Self { tag, shape, random: SeededRandom::new(seed), log }
    }
}

impl Script for SimScript {
    fn frame(&mut self, number: u64, key: bool) -> ScriptFrame {
        let Shape { fragments, key_every, follows_requests, pace } = self.shape;
        let frame = number as u32;
        self.log.lock().asked += u64::from(key && frame > 0);
        let key = key && follows_requests || frame == 0 || (key_every > 0 && frame.is_multiple_of(key_every));
        self.tag.frame = frame;
        self.tag.keys += u32::from(key);
        let fragments = if key { fragments * 3 } else { 1 + self.random.u64() as usize % fragments };
        let unique = u64::from(self.tag.publication) << 32 | u64::from(frame);
        let mut payloads = video::frame(unique, video::bytes_for(fragments), key, true);
        let last = payloads.len() - 1;
        let mut log = self.log.lock();
        for (at, payload) in payloads.iter_mut().enumerate() {
            self.tag.number = log.next();
            // A STAP-A (RFC 6184 §5.7.1) holds the parameter sets.
            if payload[0] & 31 != 24 {
                self.tag.write(payload);
            }
            if log.packets.len() == LOG_PACKETS {
                log.packets.pop_front();
                log.first += 1;
            }
            let in_key = key && !log.hides_keys;
            let published = log.now;
            log.packets.push_back(Logged { payload: payload.clone(), marker: at == last, in_key, at: published });
        }
        let packets = (0..).zip(payloads);
        let packets =
            packets.map(|(at, payload)| ScriptPacket { after: pace * at, payload, stampable: false }).collect();
        ScriptFrame { packets, key }
    }

    fn interval(&self) -> Duration {
        FRAME_INTERVAL
    }
}
