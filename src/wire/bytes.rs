//! Writes a node's own state as bytes and reads it back: little-endian, versioned, with every step checked.
//!
//! This is not a network protocol (those are big-endian, see [`super::cursor`]). The bytes go from one process of the
//! node to another: to the next version on the same machine, or over an authenticated link. They are still read like
//! untrusted input: truncated, foreign or impossible bytes are an [`ImportError`].
//!
//! Each type writes itself: a version byte first, then its fields in order. A type that changes its format takes the
//! next version, and documents which earlier ones it still reads. Some of the bytes are keys, so all of them are wiped:
//! by the writer when its buffer is replaced by a larger one, and by [`StateBytes`] on drop.
//!
//! Records between workers and nodes are not state: they are written into a buffer that exists already ([`fixed`]).

pub mod fixed;

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::time::Timestamp;
use crate::wire::bytes::fixed::ByteReader;

/// Why bytes are not the state they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportError {
    /// They end too early.
    Cut,
    /// They were written by a version that is not known here.
    Version {
        /// What they hold.
        of: &'static str,
        /// The version found.
        found: u8,
    },
    /// A value that the type cannot have, or bytes behind its end.
    Malformed,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the state's bytes end too early"),
            Self::Version { of, found } => write!(f, "the state of {of} was written in version {found}, unknown here"),
            Self::Malformed => f.write_str("the state's bytes hold an impossible value"),
        }
    }
}

impl std::error::Error for ImportError {}

/// State as bytes. Wiped on drop; `Debug` shows the length only. Not `Clone`: state that is imported twice would seal
/// the same packet indexes twice.
#[derive(Default, PartialEq, Eq)]
pub struct StateBytes(Zeroizing<Vec<u8>>);

impl StateBytes {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for StateBytes {
    /// Bytes that came from another process.
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for StateBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateBytes({} bytes)", self.0.len())
    }
}

/// Appends to a buffer that grows.
#[derive(Default)]
pub struct StateWriter(Zeroizing<Vec<u8>>);

impl fmt::Debug for StateWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateWriter({} bytes)", self.0.len())
    }
}

impl StateWriter {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> StateBytes {
        StateBytes(self.0)
    }

    /// These bytes, whose number the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) {
        let needed = self.0.len().saturating_add(bytes.len());
        if needed > self.0.capacity() {
            // Grown by hand, because a vector that grows by itself leaves a copy of its contents behind, keys included.
            let mut larger = Vec::with_capacity(needed.next_power_of_two().max(256));
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
    }

    /// The format version; each type writes it first.
    pub fn version(&mut self, version: u8) {
        self.u8(version);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// How long ago `at` was, which stays valid on another clock.
    pub fn age(&mut self, at: Timestamp, now: Timestamp) {
        self.u64(now.as_nanos().saturating_sub(at.as_nanos()));
    }

    /// How far in the future `at` is.
    pub fn wait(&mut self, at: Timestamp, now: Timestamp) {
        self.u64(at.as_nanos().saturating_sub(now.as_nanos()));
    }

    /// One byte: 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// A number of elements that follow.
    pub fn count(&mut self, count: usize) {
        debug_assert!(u32::try_from(count).is_ok(), "no state has so many elements");
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// The length, then the bytes.
    pub fn block(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// Whether there is a value, then the value.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Reads from the front.
#[derive(Clone)]
pub struct StateReader<'a>(ByteReader<'a>);

impl fmt::Debug for StateReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateReader({} bytes)", self.0.rest().len())
    }
}

impl<'a> StateReader<'a> {
    /// A reader of all of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(ByteReader::new(bytes))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When something is left.
    pub fn finish(self) -> Result<(), ImportError> {
        if self.0.rest().is_empty() { Ok(()) } else { Err(ImportError::Malformed) }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], ImportError> {
        self.0.take(len).ok_or(ImportError::Cut)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        self.0.array().ok_or(ImportError::Cut)
    }

    /// The version of what follows, which must be `known`.
    ///
    /// # Errors
    /// When it is another one, or there is none.
    pub fn version(&mut self, of: &'static str, known: u8) -> Result<(), ImportError> {
        let found = self.u8()?;
        if found == known { Ok(()) } else { Err(ImportError::Version { of, found }) }
    }

    /// One byte.
    ///
    /// # Errors
    /// When there is none.
    pub fn u8(&mut self) -> Result<u8, ImportError> {
        self.0.u8().ok_or(ImportError::Cut)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn u16(&mut self) -> Result<u16, ImportError> {
        self.0.u16().ok_or(ImportError::Cut)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn u32(&mut self) -> Result<u32, ImportError> {
        self.0.u32().ok_or(ImportError::Cut)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn u64(&mut self) -> Result<u64, ImportError> {
        self.0.u64().ok_or(ImportError::Cut)
    }

    /// The time that was as long ago as [`StateWriter::age`] wrote.
    ///
    /// # Errors
    /// When the bytes end.
    pub fn age(&mut self, now: Timestamp) -> Result<Timestamp, ImportError> {
        Ok(Timestamp::from_nanos(now.as_nanos().saturating_sub(self.u64()?)))
    }

    /// The time that is as far away as [`StateWriter::wait`] wrote, at most `max`.
    ///
    /// # Errors
    /// When it is further away, or the bytes end.
    pub fn wait(&mut self, now: Timestamp, max: Duration) -> Result<Timestamp, ImportError> {
        let wait = self.u64()?;
        if Duration::from_nanos(wait) > max {
            return Err(ImportError::Malformed);
        }
        Ok(Timestamp::from_nanos(now.as_nanos().saturating_add(wait)))
    }

    /// One byte that is 0 or 1.
    ///
    /// # Errors
    /// When it is neither, or there is none.
    pub fn bool(&mut self) -> Result<bool, ImportError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ImportError::Malformed),
        }
    }

    /// A number of elements, at most `max`.
    ///
    /// # Errors
    /// When there are more, or none is written.
    pub fn count(&mut self, max: usize) -> Result<usize, ImportError> {
        let count = usize::try_from(self.u32()?).map_err(|_| ImportError::Malformed)?;
        if count <= max { Ok(count) } else { Err(ImportError::Malformed) }
    }

    /// A length of at most `max`, then so many bytes.
    ///
    /// # Errors
    /// When it is longer, or cut.
    pub fn block(&mut self, max: usize) -> Result<&'a [u8], ImportError> {
        let len = self.count(max)?;
        self.raw(len)
    }

    /// A text of at most `max` bytes.
    ///
    /// # Errors
    /// When it is longer, cut, or not UTF-8.
    pub fn text(&mut self, max: usize) -> Result<String, ImportError> {
        std::str::from_utf8(self.block(max)?).map(str::to_owned).map_err(|_| ImportError::Malformed)
    }

    /// A value where one was written.
    ///
    /// # Errors
    /// Those of `read`, and when the byte before it is neither 0 nor 1.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ImportError>,
    ) -> Result<Option<T>, ImportError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }
}

/// For the round-trip tests: every cut of `bytes`, and a version that nobody wrote, must be refused by `import`.
#[cfg(test)]
pub(crate) fn refuses_damage<T>(bytes: &StateBytes, import: impl Fn(&[u8]) -> Result<T, ImportError>) {
    let bytes = bytes.as_slice();
    for end in 0..bytes.len() {
        assert!(import(&bytes[..end]).is_err(), "cut at {end} of {}", bytes.len());
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(import(&longer).err(), Some(ImportError::Malformed));
    let mut foreign = bytes.to_vec();
    foreign[0] = 0xee;
    assert!(matches!(import(&foreign), Err(ImportError::Version { found: 0xee, .. })));
    // Any other change is either read or refused, and never panics.
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[at] ^= change;
            let _ = import(&changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> StateBytes {
        let mut writer = StateWriter::new();
        writer.version(3);
        writer.u8(7);
        writer.u16(0x0102);
        writer.u32(0x0102_0304);
        writer.u64(u64::MAX - 1);
        writer.bool(true);
        writer.block(b"block");
        writer.option(Some(5_u32), StateWriter::u32);
        writer.option(None, StateWriter::u32);
        writer.raw(&[9; 300]);
        writer.finish()
    }

    fn read(bytes: &[u8]) -> Result<(), ImportError> {
        let mut reader = StateReader::new(bytes);
        reader.version("a test", 3)?;
        let numbers = (reader.u8()?, reader.u16()?, reader.u32()?, reader.u64()?);
        let rest = (reader.bool()?, reader.text(5)?);
        let options = (reader.option(StateReader::u32)?, reader.option(StateReader::u32)?);
        let raw = reader.array::<300>()?;
        reader.finish()?;
        // A changed byte may give other values, but those of the test give these.
        if bytes == written().as_slice() {
            assert_eq!(numbers, (7, 0x0102, 0x0102_0304, u64::MAX - 1));
            assert_eq!((rest, options, raw), ((true, "block".to_owned()), (Some(5), None), [9; 300]));
        }
        Ok(())
    }

    #[test]
    fn state_round_trips_and_damaged_bytes_are_refused() {
        let bytes = written();
        assert_eq!(read(bytes.as_slice()), Ok(()));
        assert_eq!(bytes.as_slice()[1..4], [7, 2, 1], "little-endian");
        refuses_damage(&bytes, read);
    }

    #[test]
    fn lengths_beyond_their_bound_and_impossible_values_are_refused() {
        let mut writer = StateWriter::new();
        writer.block(b"block");
        let bytes = writer.finish();
        assert_eq!(StateReader::new(bytes.as_slice()).block(4), Err(ImportError::Malformed));
        assert_eq!(StateReader::new(&[0xff; 4]).block(usize::MAX), Err(ImportError::Cut));
        assert_eq!(StateReader::new(&[2]).bool(), Err(ImportError::Malformed));
        assert_eq!(StateReader::new(&[2]).option(StateReader::u64), Err(ImportError::Malformed));
        assert_eq!(StateReader::new(&[1, 0, 0, 0, 0xff]).text(9), Err(ImportError::Malformed), "not UTF-8");
    }

    #[test]
    fn times_hold_on_another_clock() {
        let [now, then] = [50_000, 7_000_000].map(Timestamp::from_millis);
        let mut writer = StateWriter::new();
        writer.age(Timestamp::from_millis(49_000), now);
        writer.wait(Timestamp::from_millis(52_000), now);
        // A time on the wrong side of `now` reads as `now`.
        writer.age(Timestamp::from_millis(50_001), now);
        writer.wait(Timestamp::from_millis(49_999), now);
        let bytes = writer.finish();
        let mut reader = StateReader::new(bytes.as_slice());
        let second = Duration::from_secs(1);
        assert_eq!(reader.age(then), Ok(then - second));
        assert_eq!(reader.clone().wait(then, second), Err(ImportError::Malformed));
        assert_eq!(reader.wait(then, second * 2), Ok(then + second * 2));
        assert_eq!((reader.age(then), reader.wait(then, second)), (Ok(then), Ok(then)));
    }

    #[test]
    fn debug_output_shows_no_bytes() {
        let mut writer = StateWriter::new();
        writer.raw(b"secret");
        assert_eq!(format!("{writer:?}"), "StateWriter(6 bytes)");
        assert_eq!(format!("{:?}", writer.finish()), "StateBytes(6 bytes)");
    }
}
