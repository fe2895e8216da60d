//! The targets as a library, for the libFuzzer binaries beside it.

#[path = "../targets/mod.rs"]
pub mod targets;
