//! The parts of the library together, without the program: workers on a simulated network, the front end over real
//! sockets, DTLS and SRTP against other implementations, I/O over loopback.
//!
//! One program, because each costs seconds to link. `cargo test --test parts NAME::` runs one file of it.

#[path = "../auth_support/mod.rs"]
mod auth_support;
#[path = "../dtls_support/mod.rs"]
mod dtls_support;
#[path = "../signal_support/mod.rs"]
mod signal_support;
#[path = "../worker_support/mod.rs"]
mod worker_support;

mod authorisation;
mod authorisation_fair;
mod authorisation_keys;
mod authorisation_sockets;
mod authorisation_webhook;
mod documents;
mod dtls_faults;
mod dtls_forged;
mod dtls_handshake;
mod dtls_judge;
mod dtls_openssl;
mod host_names;
mod net_io;
mod proxies;
mod session_gate;
mod signal_admission;
mod signal_connections;
mod signal_elsewhere;
mod signal_http;
mod signal_layers;
mod signal_ownership;
mod signal_rekey;
mod signal_sockets;
mod srtp_oracle;
mod takeover;
mod worker_bandwidth;
mod worker_channels;
mod worker_encodings;
mod worker_fairness;
mod worker_in_place;
mod worker_joins;
mod worker_layers;
mod worker_media;
mod worker_paths;
mod worker_recovery;
mod worker_refusals;
mod worker_rekey;
mod worker_rekey_keys;
mod worker_rekey_pictures;
mod worker_sessions;
mod worker_simulcast;
mod worker_sound;
mod worker_twin;
