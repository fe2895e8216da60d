//! The signalling front end: HTTPS in, one message to one worker out.
//!
//! One executor on one thread terminates TLS; speaks WHIP (RFC 9725), WHEP and the node's own protocol over WebSocket;
//! and serves the pages and the operator's endpoints. It asks [`crate::auth`] who may do what, hashes every session to
//! a worker, and tells the workers who publishes and who plays. Media never passes through it.
//!
//! # A WHEP `POST`, file to file
//!
//! The order is that of the calls. No two of these files name each other: what two of them need stands in a third.
//!
//! ```text
//! start.rs            the listeners; the parts behind them, put together
//!   http.rs           a connection: TLS, HTTP/1.1 or 2, bounds, one request at a time
//!   router.rs         what the path names; which pages may call (cors.rs), by which name (host_names.rs); who asks (forwarded.rs)
//!     resource.rs     WHEP: the body (body.rs), the conditions, the 201 with its URL; what of the picture is sent (layers.rs)
//!                       a second offer for a session that is open (rekey_over_http.rs)
//!     socket/         the same requests over WebSocket
//!       opening.rs    authorise.rs ▸ admission.rs ▸ the table (▸ takeover.rs) ▸ ownership/ ▸ answers.rs ▸ a worker
//!         answers.rs    the answer: negotiator.rs ▸ sdp/
//!         keeper.rs  what happens to sessions, and who is told
//!           sessions/     the table of sessions and its indexes
//!           workers.rs    the workers' mailboxes  ──────────────────────────▶ worker
//!           messages/     what sockets are told  ─────────────────────────▶ client
//!       rekey.rs      other keys for a session that is open: a second transport on its worker
//! notices.rs          what workers tell  ▸ keeper.rs: served, connected, moved, ended
//! ```
//!
//! So the request goes `http ▸ router ▸ resource ▸ opening`, which admits it in `keeper` and sends it by `workers`. The worker's answer comes in by
//! `notices ▸ keeper`, which completes the one future that [`opening`] waits for.
//!
//! In a cluster a stream may come from another node, or go to one: [`fetched`].
//!
//! What a connection may take lies beside it: [`connections`] gives it a place, [`turns`] its time on this thread, and
//! [`http2_frames`] counts what asks for nothing.
//!
//! In a cluster a request may be for another node's session: `router ▸ forwarding ▸ elsewhere`, and there `forwarding ▸ router` again.
//!
//! Beside this path, [`admin`] and [`redirect`] are the other two ports, [`changes`] applies a reload, and [`code`]
//! lists every machine-readable name of a refusal. [`runtime`] is the only folder that names the executor, and holds the
//! other one, on which a test runs all of this in virtual time.

mod admin;
mod admission;
mod alarm;
mod answers;
mod authorise;
mod body;
mod changes;
mod clock;
pub mod code;
mod connections;
mod cors;
pub mod elsewhere;
pub mod fetched;
mod forwarded;
mod forwarding;
mod handshake_places;
mod host_names;
mod http;
mod http2_frames;
mod ice_tcp;
mod identity;
mod keeper;
mod layer_events;
mod layers;
pub mod live;
mod memory;
mod messages;
pub mod negotiator;
mod next_transport;
mod node_info;
mod notices;
mod opening;
pub mod ownership;
mod problem;
mod random;
mod redirect;
mod rekey;
mod rekey_over_http;
mod request_body;
mod resource;
mod router;
pub mod runtime;
pub mod sdp;
pub mod sealing_cost;
mod sessions;
mod shutdown;
mod socket;
mod start;
pub mod stream_name;
mod takeover;
pub mod tls;
mod turn_server;
mod turns;
mod workers;

pub use node_info::NodeInfo;
pub use start::{Setup, Signalling, StartError, start};
#[cfg(feature = "simulation")]
pub use start::{Simulated, start_simulated};
