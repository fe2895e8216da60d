//! DTLS for SRTP (RFC 5764), versions 1.2 (RFC 6347) and 1.3 (RFC 9147), as a state machine without I/O.
//!
//! A [`Dtls`] takes datagrams and `now`, and gives datagrams, the next deadline, and once: the exported SRTP keys,
//! after the peer's certificate was found to have one of the fingerprints its SDP promised. Where the peers agreed on
//! data channels it also carries application data, a record a call; else its engine is given up soon after the
//! handshake. It is not a TLS library: two libraries do the cryptography and hide behind it.
//!
//! | engine | serves | why |
//! |---|---|---|
//! | [`modern`]: `dimpl` | every ClientHello that offers DTLS 1.3, and all of our client role | sans-IO, no cookie, 1.3 |
//! | [`classic`]: `rtc-dtls` | a ClientHello that offers only 1.2 | takes RSA client certificates (GStreamer) |
//!
//! ```text
//!            plaintext   ┌─ front: whole messages, in order ─▶ ClientHello decides ─┐
//! datagram ──▶ records ───┤                                                        ├─▶ modern │ classic ─▶ events
//!            protected    └────────────────────────────────────────────────────────┘
//! ```
//!
//! Nothing in plaintext reaches an engine as it came. [`front`] takes handshake fragments apart within strict
//! bounds, puts whole messages together and drops everything else, so garbage, fragments in any order, and forged
//! plaintext on a live association are dealt with in one small place.
//!
//! The server's order of SRTP profiles is the node's, not the client's: see [`mask`] for how `dimpl` is made to
//! follow it. Time is mapped in [`clock`].
//!
//! Left out, and why:
//! - the cookie exchange of DTLS 1.3 and of `dimpl`: the caller lets nothing through before a valid ICE check.
//!   `rtc-dtls` cannot switch its cookie off, so a 1.2-only client pays one more round trip;
//! - RSA certificates from a client that offers 1.3: the certificate is not known when the engine is chosen, and
//!   `dimpl` takes ECDSA only. Browsers use ECDSA unless a page asks for RSA by name;
//! - resumption, 0-RTT, connection identifiers: WebRTC uses none;
//! - **a second association on a live five-tuple.** A plaintext record on a connected association is dropped here.
//!   To re-key, the session looks at it first ([`starts_association`]): where it is true, it makes a second `Dtls`
//!   with the new fingerprints, feeds it every plaintext record and, until it is connected, both of them every
//!   protected one (the old drops what it cannot authenticate), and switches keys at its `Connected`. Nothing in
//!   a `Dtls` is shared with another.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod association;
mod classic;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod client_hello;
mod clock;
mod error;
mod fingerprint;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod front;
mod identity;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod keys;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod mask;
mod modern;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod record;
mod signing;

pub use association::{DataRefused, Dtls, DtlsEvent, DtlsState, DtlsVersions};
pub use error::{DtlsError, IdentityError};
pub use identity::DtlsIdentity;
pub use keys::ExportedKeys;
pub use record::{is_whole, starts_association};
