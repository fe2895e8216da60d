//! The other executor, for tests: one seed is one run of everything that signalling does.
//!
//! Time stands still while a task runs, except for what its work is said to cost, and jumps to the next sleep that ends when
//! nobody is ready. Tasks that are ready are polled in an order that the seed chooses. Streams lie in memory ([`net`]): bytes
//! are cut anywhere, delayed, stalled, reset, swallowed. Random numbers, those of tokens and secrets among them, come from
//! the seed ([`random`]).
//!
//! What is simulated is the thread that calls [`run`], and nothing of another thread. TLS's own random numbers stay the
//! system's; they change no length and no time.

mod executor;
pub mod net;
pub mod random;

pub use executor::{Ran, Task, World, elapsed, is_running, jump, run, spawn, spawn_in, stall, trace};
