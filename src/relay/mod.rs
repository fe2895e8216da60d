//! Streams without I/O: what is published, kept once, and read by any number of viewers at their own pace.
//!
//! One packet, from the publisher's session (opened, in plaintext) to a viewer's (a header, and a payload to seal):
//!
//! ```text
//!  the publisher's worker                                       every worker with viewers, that one included
//!
//!  opened packet                                                 one encoding per track
//!       │                                                       ┌────────────────────────────────────────────┐
//!       ▼                                                       │ timeline: the publisher's numbers become   │
//!  publication ── which track? new? a probe?                    │           the encoding's, without a break  │
//!       │  │                                                    │     │                                      │
//!       │  └─▶ reception, arrivals ─▶ NACK, reports,            │     ▼                                      │
//!       │                             transport-wide feedback   │ packet ring  … │ 41 │ 42 │ 43 │ 44 │ ◀ head │
//!       ▼                                                       │                  ▲         ▲        ▲      │
//!  numbering, parameter sets, padding                           │                  A         B        C      │
//!       │                                                       │ fan-out: cursors A and B are behind and    │
//!       ▼                          the same bytes               │          visited in turn; C costs nothing  │
//!  record ═══════════════════╤═════ over a lane ═══════════════▶└─────┬──────────────────────────────────────┘
//!                            └═════ or within the worker ══════▶      │ a bounded run of packets per visit
//!                                                                     ▼
//!                                                               subscription: this viewer's SSRC, sequence,
//!                                                               timestamp and payload type, written into its
//!                                                               slot; the payload sealed beside it by the worker
//! ```
//!
//! A retransmission goes the same way from the ring down: [`subscription`] says which packet a NACK means, the ring
//! still has it. Requests for key frames go up: [`key_frame`] makes one of many.
//!
//! | Read | For |
//! |---|---|
//! | [`publication`] | whose packet it is, and what of it is forwarded; calls the next five |
//! | [`reception`] | loss on the uplink: receiver reports, NACKs |
//! | [`arrivals`] | transport-wide feedback, which lets the publisher send at full quality |
//! | [`numbering`] | no holes where probes were left out |
//! | [`parameter_sets`] | SPS, PPS and VPS put before a key frame that lacks them |
//! | [`padding`] | fragments of one frame made equal, so that they leave as one train |
//! | [`record`] | the bytes that cross to another worker, and one day to another machine |
//! | [`encoding`] | a track on one worker: joins the next five |
//! | [`timeline`] | a publisher that leaves and returns, on one unbroken sequence |
//! | [`packet_ring`] | the packets themselves, stored once |
//! | [`fan_out`] | who is to be visited next |
//! | [`key_frame`] | when to ask the publisher for a key frame |
//! | [`sender_clock`] | which wall-clock time an RTP timestamp stands for: audio and video in sync |
//! | [`subscription`] | a viewer's cursor and its own numbers, the same again for every retransmission |
//!
//! Everything takes `now` and bytes; there is no clock, socket, lock or random source here. It knows neither sessions
//! nor cryptography: it names [`description`](crate::description), which is plain data,
//! and [`crate::worker`] joins the two. Bounds are in [`crate::limits`].
//!
//! Left out for now: several encodings of one track (rid simulcast) and choosing a layer per viewer (every viewer gets
//! what the publisher sends), pacing per viewer, data channels.

pub mod play;
pub mod publish;
pub mod store;
