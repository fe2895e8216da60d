//! The viewer's side: who is to be visited next, and each viewer's own numbers.

pub mod fan_out;
pub mod subscription;
