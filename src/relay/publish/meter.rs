//! What one encoding of a publisher takes and shows: rate, pictures a second, picture size, and whether it is being sent.
//!
//! A browser pauses its larger encodings when its uplink or its processor does not suffice, without a word, and sends them
//! again seconds later. Encodings of one picture arrive one after the other; so one has stopped when its siblings have gone on
//! for some pictures and nothing came of it ([`limits::ENCODING_SILENCE_MAX`]). Without a sibling that goes on, time alone
//! tells, because a still picture is sent seldom.
//!
//! Everything is asked for when a packet comes: there is no timer, and nothing is noticed while nothing at all arrives.

use std::time::Duration;

use crate::limits;
use crate::relay::store::ladder::{Measured, RidName};
use crate::time::Timestamp;
use crate::wire::codec::Codec;

/// How many parts the time has that rates are the mean of.
const PARTS: usize = 4;

/// One part of it.
const PART: Duration = Duration::from_millis(limits::RATE_WINDOW.as_millis() as u64 / PARTS as u64);

/// Packets of one part.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    bytes: u64,
    frames: u32,
}

/// The meter of one encoding.
#[derive(Debug, Default)]
pub struct Meter {
    measured: Measured,
    /// The part that is being filled, and when it began.
    filling: Part,
    since: Option<Timestamp>,
    /// Complete parts, the oldest first.
    parts: [Part; PARTS],
    complete: usize,
    /// When its newest picture began.
    last_picture: Timestamp,
    /// RTP timestamp of the newest picture.
    picture: Option<u32>,
    /// Pictures of siblings since then.
    passed_over: u8,
    /// What was told last, and when.
    told: Option<(Measured, Timestamp)>,
}

impl Meter {
    /// A meter of an encoding of that codec that is called so; empty without simulcast.
    #[must_use]
    pub fn new(rid: RidName, codec: Codec) -> Self {
        Self { measured: Measured { rid, codec: Some(codec), ..Measured::default() }, ..Self::default() }
    }

    /// What is known now; `None` before anything was sent.
    #[must_use]
    pub fn measured(&self) -> Option<&Measured> {
        self.since.map(|_| &self.measured)
    }

    /// Takes note of a packet that is forwarded. Whether a picture begins with it.
    #[inline]
    pub fn packet(&mut self, payload_len: usize, timestamp: u32, now: Timestamp) -> bool {
        let begins = self.picture.is_none_or(|newest| timestamp.wrapping_sub(newest).cast_signed() > 0);
        if begins {
            if !self.measured.alive {
                self.began(now);
            }
            self.picture = Some(timestamp);
            self.filling.frames += 1;
            self.last_picture = now;
            self.passed_over = 0;
        }
        // What is repaired late is counted, and is no sign of life.
        self.filling.bytes += (payload_len + limits::VIEWER_PACKET_OVERHEAD_BYTES) as u64;
        begins
    }

    /// Another source sends it from now on, on numbers of its own.
    pub fn source_changed(&mut self) {
        self.picture = None;
    }

    /// It is sent, for the first time or again: what was sent before says nothing of its rate.
    fn began(&mut self, now: Timestamp) {
        self.measured.alive = true;
        (self.filling, self.complete, self.since) = (Part::default(), 0, Some(now));
    }

    /// Takes note of the size of a key frame.
    pub fn size(&mut self, (width, height): (u16, u16)) {
        (self.measured.width, self.measured.height) = (width, height);
    }

    /// A picture of a sibling began.
    pub fn sibling_went_on(&mut self, now: Timestamp) {
        self.passed_over = self.passed_over.saturating_add(1);
        if self.measured.alive
            && self.passed_over >= limits::ENCODING_SILENCE_FRAMES
            && now.since(self.last_picture) >= limits::ENCODING_SILENCE_MAX
        {
            self.measured.alive = false;
        }
    }

    /// Its publisher says that it sends no more of it (RFC 3550 §6.6).
    pub fn goodbye(&mut self) {
        self.measured.alive = false;
    }

    /// What is to be told of it now: at once when it has come to life, stopped or changed its size, later its rate, and now
    /// and then all of it, for who has missed it.
    pub fn poll(&mut self, now: Timestamp) -> Option<Measured> {
        let since = self.since?;
        if self.measured.alive && now.since(self.last_picture) > limits::ENCODING_SILENCE_ALONE_MAX {
            self.measured.alive = false;
        }
        if self.measured.alive && now.since(since) >= PART {
            self.turn(now, since);
        }
        let is_due = self.told.is_none_or(|(told, at)| {
            let (before, now_measured) = (told.bits_per_second, self.measured.bits_per_second);
            let is_other = |told: &Measured| {
                (told.alive, told.width, told.height)
                    != (self.measured.alive, self.measured.width, self.measured.height)
            };
            is_other(&told)
                || before.abs_diff(now_measured) > before / limits::RATE_CHANGE_DIVISOR
                || now.since(at) >= limits::RUNG_REPEAT
        });
        is_due.then(|| {
            self.told = Some((self.measured, now));
            self.measured
        })
    }

    /// A part is complete. One that took longer than it should, because nothing arrived, counts by its length.
    fn turn(&mut self, now: Timestamp, since: Timestamp) {
        let took = now.since(since).as_millis().max(1) as u64;
        let per_part = |count: u64| count * PART.as_millis() as u64 / took;
        let part = Part { bytes: per_part(self.filling.bytes), frames: per_part(self.filling.frames.into()) as u32 };
        self.parts.rotate_left(1);
        self.parts[PARTS - 1] = part;
        self.complete = (self.complete + 1).min(PARTS);
        (self.filling, self.since) = (Part::default(), Some(now));
        let counted = self.parts.iter().skip(PARTS - self.complete);
        let (bytes, frames) = counted.fold((0, 0), |(bytes, frames), part| (bytes + part.bytes, frames + part.frames));
        let time_ms = PART.as_millis() as u64 * self.complete as u64;
        self.measured.bits_per_second = u32::try_from(bytes * 8_000 / time_ms).unwrap_or(u32::MAX);
        self.measured.frames_per_second =
            u8::try_from((u64::from(frames) * 1_000 + time_ms / 2) / time_ms).unwrap_or(u8::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// Pictures of two packets, 40 ms apart, in `[from, to)`; what is told meanwhile.
    fn send(meter: &mut Meter, from: u64, to: u64, payload_len: usize) -> Vec<Measured> {
        let mut told = Vec::new();
        for ms in (from..to).step_by(40) {
            for begins in [true, false] {
                assert_eq!(meter.packet(payload_len, ms as u32 * 90, at(ms)), begins);
                told.extend(meter.poll(at(ms)));
            }
        }
        told
    }

    /// A sibling's pictures meanwhile.
    fn sibling(meter: &mut Meter, from: u64, to: u64) -> Vec<(u64, bool)> {
        let mut told = Vec::new();
        for ms in (from..to).step_by(40) {
            meter.sibling_went_on(at(ms));
            told.extend(meter.poll(at(ms)).map(|measured| (ms, measured.alive)));
        }
        told
    }

    #[test]
    fn a_rate_is_the_mean_of_two_seconds_and_told_when_it_changes() {
        let mut meter = Meter::new(RidName::new(b"h").unwrap(), Codec::H264);
        assert_eq!((meter.poll(at(0)), meter.measured().copied()), (None, None), "nothing was sent");
        let told = send(&mut meter, 0, 4_000, 1_000 - limits::VIEWER_PACKET_OVERHEAD_BYTES);
        // 50 packets of 1,000 bytes a second.
        assert!(told[0].alive && told[0].bits_per_second == 0 && told[0].rid.as_str() == "h");
        let rates: Vec<_> = told.iter().map(|told| (told.bits_per_second, told.frames_per_second)).collect();
        assert!(rates[1..].iter().all(|&(rate, frames)| rate.abs_diff(400_000) < 20_000 && (25..27).contains(&frames)));
        assert!(told.len() <= 4, "a rate that stays is told now and then: {rates:?}");
        // Twice as much: half of it is known after a second, all of it after two.
        let more = send(&mut meter, 4_000, 7_000, 2_000 - limits::VIEWER_PACKET_OVERHEAD_BYTES);
        let rates: Vec<_> = more.iter().map(|told| told.bits_per_second).collect();
        assert!(rates.is_sorted() && rates.last().unwrap().abs_diff(800_000) < 40_000, "{rates:?}");
    }

    #[test]
    fn an_encoding_has_stopped_when_its_siblings_go_on_without_it() {
        let mut meter = Meter::new(RidName::default(), Codec::H264);
        send(&mut meter, 0, 1_000, 1_000);
        // Its last packet came at 960.
        let silence = limits::ENCODING_SILENCE_MAX.as_millis() as u64;
        let told = sibling(&mut meter, 1_000, 2_000);
        let died = told.iter().find(|(_, alive)| !alive).unwrap().0;
        assert!((960 + silence..960 + silence + 40).contains(&died), "{told:?}");
        let back = send(&mut meter, 5_000, 5_040, 1_000);
        assert!(back[0].alive, "it is back with its first packet");
        // One late picture of it is not its end, whatever comes at once.
        for _ in 0..100 {
            meter.sibling_went_on(at(5_100));
        }
        assert!(meter.measured().unwrap().alive);
    }

    #[test]
    fn one_without_siblings_lives_while_a_still_picture_is_sent_seldom_and_ends_in_the_end() {
        let mut meter = Meter::new(RidName::default(), Codec::H264);
        meter.packet(100, 0, at(0));
        meter.poll(at(0));
        let alone = limits::ENCODING_SILENCE_ALONE_MAX.as_millis() as u64;
        meter.poll(at(alone));
        assert!(meter.measured().unwrap().alive);
        assert_eq!(meter.poll(at(alone + 1)).map(|measured| measured.alive), Some(false));
        // A goodbye is heard at once.
        meter.packet(100, 1, at(9_000));
        assert_eq!(meter.poll(at(9_000)).map(|measured| measured.alive), Some(true));
        meter.goodbye();
        assert_eq!(meter.poll(at(9_000)).map(|measured| measured.alive), Some(false));
    }

    #[test]
    fn a_rate_after_a_pause_is_that_of_today_and_a_size_is_told_at_once() {
        let mut meter = Meter::new(RidName::default(), Codec::H264);
        send(&mut meter, 0, 3_000, 2_000);
        meter.goodbye();
        meter.poll(at(3_000));
        let told = send(&mut meter, 60_000, 61_000, 1_000 - limits::VIEWER_PACKET_OVERHEAD_BYTES);
        assert!(told.last().unwrap().bits_per_second.abs_diff(400_000) < 40_000, "{told:?}");
        meter.size((1_280, 720));
        let sized = meter.poll(at(61_000)).unwrap();
        assert_eq!((sized.width, sized.height), (1_280, 720));
        assert_eq!(meter.poll(at(61_000)), None);
    }
}
