//! DTLS for SRTP (RFC 5764), versions 1.2 (RFC 6347) and 1.3 (RFC 9147), as a state machine without I/O.
//!
//! A [`Dtls`] takes datagrams and `now`, and returns datagrams and the next deadline. Once in its life it returns the
//! exported SRTP keys, after the peer's certificate matched one of the fingerprints promised in its SDP. Where the
//! peers agreed on data channels it also carries application data, one record a call; otherwise its engine is given up
//! soon after the handshake. It is not a TLS library: two libraries do the cryptography behind it.
//!
//! | engine | serves | why |
//! |---|---|---|
//! | [`modern`]: `dimpl` | every ClientHello that offers DTLS 1.3 | sans-IO, no cookie, 1.3 |
//! | [`classic`]: `rtc-dtls` | a ClientHello that offers only 1.2, and our client role, in 1.2 | takes RSA certificates (GStreamer) |
//!
//! ```text
//!                                                           ┌▶ attempt: modern │ classic ─┐
//!            plaintext   ┌─ front: whole messages ─ hello? ─┼▶ attempt                    ├─▶ the first with keys
//! datagram ──▶ records ───┤                                  └▶ attempt                    │
//!            protected    └──────────── to each of them ───────────────────────────────────┘
//! ```
//!
//! No plaintext record reaches an engine unprocessed, because an engine that was given a forged message is lost.
//! [`front`] reassembles handshake fragments within strict bounds, [`handshake`] keeps an engine for each ClientHello and
//! lets the one win that comes to keys, and [`peer_flight`] and [`server_flight`] find out by their signature which messages of a DTLS 1.2
//! flight are the peer's before the library sees any. So garbage, reordered fragments and forgeries are handled in a few
//! small places, and a handshake that somebody disturbs comes to its end by the peer's next retransmission.
//! `tests/parts/dtls_forged.rs` puts every kind of forgery in at every step.
//!
//! A refusal is told twice: to the peer by an alert (`DtlsError::alert`), where there is a way to, and to the operator by
//! the name of the [`DtlsError`]. What can be forged refuses only after [`crate::limits::DTLS_DOUBT_MAX`] without
//! anything better.
//!
//! The server selects SRTP profiles in the node's order, not the client's: [`mask`] describes how `dimpl` is made to
//! follow it. [`clock`] converts times.
//!
//! Left out, and why:
//! - the cookie exchange of DTLS 1.3 and of `dimpl`: the caller lets nothing through before a valid ICE check.
//!   `rtc-dtls` cannot switch its cookie off, so a 1.2-only client pays one more round trip;
//! - RSA and P-521 certificates from a client that offers 1.3: the certificate is not known when the engine is chosen,
//!   and `dimpl` takes ECDSA with P-256 and P-384 only. Browsers use ECDSA with P-256 unless a page asks for RSA by name;
//! - certificates with P-224 keys (GnuTLS at its lowest level): no library here verifies them, and RFC 8422 has dropped
//!   the curve. The peer is told `unsupported_certificate`;
//! - an alert after ServerHello in 1.3, which would have to be protected: `dimpl` sends none but close_notify. Another
//!   certificate than the promised one is answered by that; other failures only by silence;
//! - DTLS 1.3 in our client role, which is for peers that insist on `setup:passive`. A forged ServerHello of 1.3 shows
//!   only when nothing decrypts after it, and `dimpl` cannot go back; in 1.2 a signature shows it. Nor does `dimpl` take
//!   a server's RSA certificate;
//! - P-521 in our client role: the ClientHello of `rtc-dtls` names P-256, P-384 and X25519, so such a server refuses;
//! - resumption, 0-RTT, connection identifiers: WebRTC uses none;
//! - export of a running engine: neither library gives out record keys and sequence numbers. What can be exported is an
//!   association that has given up its engine ([`Dtls::export`]);
//! - a second association on a live five-tuple: a [`Dtls`] shares nothing with another, so to change keys the caller
//!   makes a second one beside the first. [`crate::session`] does this. A connected association ignores plaintext and
//!   drops what it cannot authenticate, so both may be given every datagram.
//!
//! # Why two libraries and a mask
//!
//! Reviewed in November 2026: `dimpl` 0.9.0 (the newest on crates.io; its changelog from 0.1 and its source), and the
//! issues and pull requests of its repository that can be found.
//!
//! | wanted | `dimpl` 0.9.0 |
//! |---|---|
//! | the server's order of SRTP profiles | none to set: 1.3 takes the client's first (`dtls13/server.rs`), 1.2 a fixed order with AES-256 first (`dtls12/server.rs`); no issue or pull request asks for one |
//! | RSA client certificates in 1.2 | a stated non-goal: removed in 0.1.1 (#3), no longer advertised since 0.7.2 (#157); a crypto provider cannot bring it back, since CertificateRequest offers `ecdsa_sign` only |
//!
//! So no newer version makes either unnecessary. **A patched copy in this tree was decided against.** The patch would be
//! two loops and a setting, but it would carry 35,600 lines of a security protocol that upstream still hardens in each
//! release (most entries of its changelog from 0.6.2 to 0.9.0 are about malformed, late or hostile input), to be merged by
//! hand from then on, and 38 s of compilation that would no longer be a dependency's. [`mask`] is a hundred lines, and **fails closed**: if
//! `dimpl` ever hashed a transcript in another way, every handshake that needed the mask would fail on both ends, in the
//! tests of [`mask`] and of `tests/parts/dtls_handshake.rs` first. The version is pinned for that reason; whoever moves
//! the pin runs those.
//!
//! To be proposed upstream (not sent yet), as one setting with today's behaviour as its default:
//!
//! > `ConfigBuilder::srtp_profiles(&[SrtpProfile])`: the protection profiles in order of preference. A server selects the
//! > first of them that the client offers, a client offers them in this order. RFC 5764 §4.1.1 leaves the choice to the
//! > server. Today a DTLS 1.3 server follows the client's order, so that with Chromium every packet is sealed with AES-CM
//! > and HMAC-SHA1, at four times the price of AES-GCM; and 1.2 and 1.3 choose differently for one ClientHello.
//!
//! With that setting [`mask`] can be removed, and nothing else changes. [`classic`] stays for as long as GStreamer's
//! RSA certificates (1.22) are to be accepted, and as our client: a 1.2 flight can be verified before a library has it.
//! It brings 37 crates and 43 of the 687 seconds of compilation that a build from nothing adds up to, a sixteenth. A
//! feature could leave it out of a build that serves browsers only, with `dimpl`'s own 1.2 server in its place.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod association;
mod classic;
mod classic_client;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod client_hello;
mod clock;
mod engine;
mod error;
mod event;
mod fingerprint;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod front;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod greeting;
mod handshake;
mod identity;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod keys;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod mask;
mod modern;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod peer_flight;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod record;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod server_flight;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod signature;
mod signing;

pub use association::{Dtls, DtlsState};
pub use error::{DtlsError, IdentityError};
pub use event::{DataRefused, DtlsEvent, DtlsVersions};
pub use identity::DtlsIdentity;
pub use keys::ExportedKeys;
pub use record::{is_whole, starts_association};
