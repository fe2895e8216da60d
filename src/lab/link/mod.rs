//! A link for the laboratory: rate, queue, delay, jitter, loss and other traffic, changing by a script. It has neither clock nor
//! sockets, so the same scripts drive the scoreboard in virtual time (`tests/scoreboard/`), the viewers of the load tester
//! (`--link`), and a forwarder of UDP for foreign clients (`corecast-loadtest link`).
//!
//! | File | Holds |
//! |---|---|
//! | [`script`] | the text form of a script, and what holds at a time |
//! | `bottleneck` | the queue in front of the rate |
//! | [`model`] | one direction: when a packet arrives, if it does |
//! | `traffic` | other traffic in the same queue: constant, and TCP |
//! | [`behind`] | a client of a fleet behind such a link |

pub mod behind;
mod bottleneck;
pub mod model;
pub mod script;
mod traffic;
