//! Real video from a file, played in a loop: H.264 as an Annex B byte stream (ITU-T H.264 §B.1), or VP8 in IVF.
//!
//! H.264 is packetised as RFC 6184 says, mode 1: small units alone, large ones in FU-A fragments of even size. Each
//! frame is preceded by an SEI with the send time. VP8 (RFC 7741) has no place for one, so no latency is measured for
//! it.
//!
//! Left out: B-frames (frames are sent in the file's order, with rising timestamps); frame boundaries that
//! `first_mb_in_slice` does not show; the file's frame times (the frame rate asked for is used).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corecast::lab::peer::publisher::{Script, ScriptFrame, ScriptPacket};
use corecast::lab::peer::stamp::Stamp;
use corecast::lab::peer::video::FRAGMENT_BYTES_MAX;
use corecast::time::Timestamp;
use corecast::wire::codec::Codec;

/// Why a file cannot be sent.
#[derive(Debug)]
pub(crate) enum FileError {
    Read(PathBuf, std::io::Error),
    /// The file is of neither kind.
    Kind(PathBuf),
    NoKeyFrame(PathBuf),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "--file {}: {error}", path.display()),
            Self::Kind(path) => {
                write!(f, "--file {}: neither an H.264 byte stream nor VP8 in IVF", path.display())
            }
            Self::NoKeyFrame(path) => write!(f, "--file {}: it holds no key frame", path.display()),
        }
    }
}

/// A file's frames.
#[derive(Clone, Debug)]
pub(crate) struct Pictures {
    pub(crate) codec: Codec,
    /// Frames from the first key frame on: whether each is a key frame, and its RTP payloads.
    frames: Vec<(bool, Vec<Vec<u8>>)>,
}

impl Pictures {
    /// Reads and packetises a file.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let bytes = std::fs::read(path).map_err(|error| FileError::Read(path.to_owned(), error))?;
        let (codec, mut frames) = if bytes.starts_with(b"DKIF") && bytes.get(8..12) == Some(b"VP80") {
            (Codec::Vp8, vp8_frames(&bytes))
        } else if bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1]) {
            (Codec::H264, h264_frames(&bytes))
        } else {
            return Err(FileError::Kind(path.to_owned()));
        };
        let first = frames.iter().position(|(key, _)| *key).ok_or_else(|| FileError::NoKeyFrame(path.to_owned()))?;
        frames.drain(..first);
        Ok(Self { codec, frames })
    }

    /// A source that plays the frames.
    pub(crate) fn script(&self, frames_per_second: u32) -> FileScript {
        FileScript { pictures: self.clone(), interval: Duration::from_secs(1) / frames_per_second, next: 0 }
    }
}

/// Plays a file in a loop. A requested key frame is the file's next one.
#[derive(Debug)]
pub(crate) struct FileScript {
    pictures: Pictures,
    interval: Duration,
    next: usize,
}

impl Script for FileScript {
    fn frame(&mut self, _: u64, key: bool) -> ScriptFrame {
        let frames = &self.pictures.frames;
        if key {
            let ahead = (0..frames.len()).map(|ahead| (self.next + ahead) % frames.len());
            self.next = ahead.into_iter().find(|at| frames[*at].0).unwrap_or(0);
        }
        let (key, payloads) = &frames[self.next % frames.len()];
        self.next = (self.next + 1) % frames.len();
        let packets = payloads.iter().map(|payload| ScriptPacket {
            after: Duration::ZERO,
            payload: payload.clone(),
            stampable: self.pictures.codec == Codec::H264 && Stamp::read(payload).is_some(),
        });
        ScriptFrame { packets: packets.collect(), key: *key }
    }

    fn interval(&self) -> Duration {
        self.interval
    }
}

/// The NAL units of a byte stream.
fn nal_units(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.windows(3).position(|window| window == [0, 0, 1])) {
        at += found + 3;
        starts.push(at);
    }
    let ends = starts.iter().skip(1).map(|start| start - 3).chain([bytes.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let mut unit = &bytes[*start..end];
            // trailing_zero_8bits, and the first byte of a four-byte start code.
            while let Some((0, rest)) = unit.split_last() {
                unit = rest;
            }
            unit
        })
        .filter(|unit| !unit.is_empty())
        .collect()
}

fn h264_frames(bytes: &[u8]) -> Vec<(bool, Vec<Vec<u8>>)> {
    let mut frames: Vec<(bool, Vec<Vec<u8>>)> = Vec::new();
    let mut ahead: Vec<&[u8]> = Vec::new();
    for unit in nal_units(bytes) {
        let kind = unit[0] & 0x1f;
        match kind {
            // A slice whose first macroblock is 0 (ue(v) of one set bit) begins a picture.
            1 | 5 if unit.get(1).is_some_and(|byte| byte & 0x80 != 0) || frames.is_empty() => {
                let stamp = Stamp { sent: Timestamp::ZERO, layer: 0, number: 0 }.sei();
                let mut payloads = vec![stamp];
                for unit in ahead.drain(..).chain([unit]) {
                    payloads.extend(fragments(unit));
                }
                frames.push((kind == 5, payloads));
            }
            1 | 5 => {
                if let Some((_, payloads)) = frames.last_mut() {
                    payloads.extend(fragments(unit));
                }
            }
            // Delimiters, ends of sequence and filler data are dropped; a receiver of RTP does not need them.
            9..=12 => {}
            _ => ahead.push(unit),
        }
    }
    frames
}

/// A unit alone, or in FU-A fragments (RFC 6184 §5.8).
fn fragments(unit: &[u8]) -> Vec<Vec<u8>> {
    if unit.len() <= FRAGMENT_BYTES_MAX {
        return vec![unit.to_vec()];
    }
    let (header, body) = (unit[0], &unit[1..]);
    let count = body.len().div_ceil(FRAGMENT_BYTES_MAX - 2);
    let size = body.len().div_ceil(count);
    let last = body.chunks(size).count() - 1;
    let fragment = |(at, part): (usize, &[u8])| {
        let bits = u8::from(at == 0) << 7 | u8::from(at == last) << 6;
        [&[(header & 0xe0) | 28, bits | (header & 0x1f)][..], part].concat()
    };
    body.chunks(size).enumerate().map(fragment).collect()
}

/// IVF: a 32-byte header, then a length (32 bits) and a time (64 bits) before each frame, all little-endian.
fn vp8_frames(bytes: &[u8]) -> Vec<(bool, Vec<Vec<u8>>)> {
    let mut frames = Vec::new();
    let mut rest = bytes.get(32..).unwrap_or_default();
    while let Some((head, body)) = rest.split_first_chunk::<12>() {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some((frame, after)) = body.split_at_checked(len) else { break };
        rest = after;
        let Some(first) = frame.first() else { continue };
        let count = frame.len().div_ceil(FRAGMENT_BYTES_MAX);
        let picture = (frames.len() & 0x7fff) as u16 | 0x8000;
        let [high, low] = picture.to_be_bytes();
        let payloads = frame.chunks(frame.len().div_ceil(count)).enumerate().map(|(at, part)| {
            // RFC 7741 §4.2: X, S on the first; I; a 15-bit picture id.
            [&[0x80 | u8::from(at == 0) << 4, 0x80, high, low][..], part].concat()
        });
        // RFC 6386 §9.1: the lowest bit of a frame is clear in a key frame.
        frames.push((first & 1 == 0, payloads.collect()));
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast::wire::codec::inspect;

    fn write(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (directory, path)
    }

    #[test]
    fn a_byte_stream_becomes_frames_with_a_send_time_ahead() {
        let slice = |header: u8, len: usize| [&[header, 0x88][..], &vec![0x55; len]].concat();
        let mut stream = Vec::new();
        // A delta frame without its key frame, then parameter sets, a key frame in two slices, a delta frame.
        let second_slice = [0x65, 0x40, 1, 2, 3].to_vec();
        for unit in
            [slice(0x41, 9), vec![0x67, 0x42, 1], vec![0x68, 2], slice(0x65, 3_000), second_slice, slice(0x41, 50)]
        {
            stream.extend([0, 0, 0, 1]);
            stream.extend(unit);
        }
        let (_directory, path) = write("x.h264", &stream);
        let pictures = Pictures::open(&path).unwrap();
        assert_eq!((pictures.codec, pictures.frames.len()), (Codec::H264, 2));
        let mut script = pictures.script(30);
        let frame = script.frame(0, false);
        assert!(frame.key && frame.packets[0].stampable);
        let lens: Vec<_> = frame.packets[1..].iter().map(|packet| packet.payload.len()).collect();
        assert_eq!(lens, [3, 2, 1_003, 1_003, 1_001, 5]);
        let starts = frame.packets.iter().filter(|packet| inspect(Codec::H264, &packet.payload).key_frame_start);
        assert_eq!(starts.count(), 1);
        assert!(!script.frame(1, false).key);
        assert!(script.frame(2, false).key, "round again");
        assert!(script.frame(3, true).key, "asked for");
    }

    #[test]
    fn vp8_frames_are_split_and_begin_once() {
        let mut ivf = b"DKIF\0\0\x20\0VP80".to_vec();
        ivf.resize(32, 0);
        for (len, first) in [(5_000_u32, 0x10_u8), (100, 0x11)] {
            ivf.extend(len.to_le_bytes());
            ivf.extend([0; 8]);
            ivf.push(first);
            ivf.extend(std::iter::repeat_n(7, len as usize - 1));
        }
        let (_directory, path) = write("x.ivf", &ivf);
        let pictures = Pictures::open(&path).unwrap();
        let kinds: Vec<_> = pictures.frames.iter().map(|(key, payloads)| (*key, payloads.len())).collect();
        assert_eq!(kinds, [(true, 5), (false, 1)]);
        let (_, payloads) = &pictures.frames[0];
        let starts = payloads.iter().filter(|payload| inspect(Codec::Vp8, payload).frame_start);
        assert_eq!(starts.count(), 1);
    }

    #[test]
    fn an_unusable_file_is_refused_with_the_reason() {
        let (_directory, path) = write("x.mp4", b"\0\0\0\x18ftypmp42");
        assert!(Pictures::open(&path).unwrap_err().to_string().contains("x.mp4: neither"));
        let (_directory, path) = write("x.h264", &[0, 0, 1, 0x41, 0x88]);
        assert!(Pictures::open(&path).unwrap_err().to_string().contains("no key frame"));
        assert!(Pictures::open(Path::new("/nonexistent")).is_err());
    }
}
