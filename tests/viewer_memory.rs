//! Bytes that a worker keeps of a viewer whose network it knows, by a counting allocator: the Rust heap.

#[path = "support/counting.rs"]
mod counting;

use corecast::lab::bench::adapting;
use corecast::net::IoKind;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

#[test]
fn a_viewer_whose_network_is_known_takes_half_a_kilobyte_more_at_most() {
    let bytes = adapting::memory(IoKind::default(), 500, counting::allocated).unwrap();
    println!("a viewer with feedback: {bytes:.0} bytes more than one without");
    assert!((200.0..512.0).contains(&bytes), "{bytes}");
}
