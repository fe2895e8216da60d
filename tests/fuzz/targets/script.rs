//! A sequence of steps as bytes: numbers little-endian, byte strings with their length before them. What is missing at
//! the end reads as zero, so that every input is some script.

use arbitrary::Unstructured;

/// Reads steps.
#[derive(Debug)]
pub struct Script<'a>(Unstructured<'a>);

impl<'a> Script<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub fn u16(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub fn u32(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub fn u64(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A byte string; shorter than announced at the end.
    pub fn chunk(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16()).min(self.0.len());
        self.0.bytes(len).unwrap_or(&[])
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }
}

/// Writes what [`Script`] reads, for seeds.
#[derive(Clone, Debug, Default)]
pub struct ScriptWriter(Vec<u8>);

impl ScriptWriter {
    #[must_use]
    pub fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    #[must_use]
    pub fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    #[must_use]
    pub fn chunk(self, bytes: &[u8]) -> Self {
        let mut this = self.u16(u16::try_from(bytes.len()).expect("seeds are short"));
        this.0.extend_from_slice(bytes);
        this
    }

    #[must_use]
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}
