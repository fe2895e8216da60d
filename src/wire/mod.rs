//! Bytes ↔ values. No state, no clock, no I/O, no allocation.

pub mod codec;
