//! The viewer's side: who is to be visited next, what of a track a viewer is sent, and each viewer's own numbers.

pub mod alignment;
pub mod broadcast;
pub mod extension;
pub mod fan_out;
pub mod leaving_out;
pub mod pacing;
pub mod renumbering;
pub mod rewriter;
pub mod selection;
pub mod squeeze;
pub mod subscription;
pub mod wheel;
pub mod wish;

#[cfg(test)]
mod simulcast_tests;
