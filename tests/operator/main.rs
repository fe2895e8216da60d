//! The program as an operator meets it: its command line, `doctor`, authorisation, a service manager. Each test starts what
//! it needs and looks at output, exit codes and the log; media is the business of `tests/node`.
//!
//! `cargo test --test operator NAME::` runs one file of it.

#[path = "../support/ports.rs"]
mod ports;
#[path = "../signal_support/mod.rs"]
mod signal_support;

mod authorisation;
mod cli;
mod doctor;
mod service_manager;
mod stuck;

/// The program built from this tree.
const BINARY: &str = env!("CARGO_BIN_EXE_corecast");
