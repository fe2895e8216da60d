//! The program with an honest publisher and viewer on it, over real sockets on loopback: attacked, left and joined by
//! many, given other certificates. Each asks that nobody who plays notices.
//!
//! One program for the three, because they share the honest two and may not be each other's noise ([`turn`]).
//! `cargo test --test node NAME::` runs one of them.

mod certificates;
mod client;
mod honest;
mod hostile;
mod hostile_peers;
mod joins;
mod node;
mod over_tcp;
mod over_turn;
#[path = "../support/ports.rs"]
mod ports;
mod reach;
mod soak;
mod stalls;

use std::sync::{Mutex, MutexGuard, PoisonError};

use corecast::net::process;

/// The machine for oneself, with all of its cores: a loss is then the doing of who holds it.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // A process inherits its parent's cores: the node gets all of them, and only then does a test step aside.
    let _ = process::pin_current_thread(honest::cores());
    turn
}
