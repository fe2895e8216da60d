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
//! A retransmission goes the same way from the ring down: [`play::subscription`] says which packet a NACK means, and the ring
//! still has it. Requests for key frames go up: [`store::key_frame`] makes one request of many.
//!
//! | Read | For |
//! |---|---|
//! | [`publish::publication`] | whose packet it is, and what of it is forwarded; calls the next five |
//! | [`publish::reception`] | loss on the uplink: receiver reports, NACKs |
//! | [`publish::arrivals`] | transport-wide feedback, which lets the publisher send at full quality |
//! | [`publish::meter`] | rate and size of each encoding, and whether it is being sent |
//! | [`publish::numbering`] | no holes where probes were left out |
//! | [`publish::parameter_sets`] | SPS, PPS and VPS put before a key frame that lacks them |
//! | [`publish::padding`] | fragments of one frame made equal, so that they leave as one train |
//! | [`store::record`] | the bytes that cross to another worker or machine; [`store::address`] what they are called there, [`store::clock_map`] what becomes of their times |
//! | [`store::upstream`] | the way back: key frames, packets, encodings that are wanted |
//! | [`store::numbers`] | position, sequence, packet index; tracks and encodings |
//! | [`store::encoding`] | an encoding on one worker: joins the next four |
//! | [`store::ladder`] | a track's encodings to choose from |
//! | [`store::timeline`] | a publisher that leaves and returns, on one unbroken sequence |
//! | [`store::packet_ring`] | the packets themselves, stored once |
//! | [`store::key_frame`] | when to ask the publisher for a key frame |
//! | [`store::redundancy`] | sound that repeats itself (RED), made from another encoding |
//! | [`store::sender_clock`] | which wall-clock time an RTP timestamp stands for: audio and video in sync |
//! | [`play::broadcast`] | an encoding and its viewers here |
//! | [`play::fan_out`] | who of them is to be visited next, and who not before its time ([`play::pacing`]) |
//! | [`play::selection`] | which encoding and layers a viewer is sent |
//! | [`play::subscription`] | a viewer's cursor and headers, the same again for every retransmission |
//! | [`play::rewriter`] | its numbers: which packet of which encoding has which index, both ways |
//! | [`play::alignment`] | its timestamps where it goes from one encoding to another |
//! | [`play::extension`] | its header extensions |
//!
//! `store` names neither of the others; `publish` and `play` name `store` and not each other.
//!
//! # Tracks and encodings
//!
//! A stream has tracks (media sections), a track has encodings (one, or one per rid), and each encoding has a timeline, a
//! packet ring and a clock of its own. A viewer plays a track: its subscription has one cursor, in one encoding at a time,
//! and one stream of numbers for life. Going over to another encoding happens at a key frame of it: the cursor moves to
//! the other ring, the rewriter begins another run of numbers there, timestamps are aligned by the publisher's sender
//! reports or, before those, by arrival. A run is a stretch of packets whose
//! numbers differ from the encoding's by the same amount. Leaving packets out begins another run as well, so that what was
//! sent has no holes and every number leads back to its packet for as long as the rings remember it.
//!
//! State that must outlive the process (rewriter, subscription, numbering, reception, publication) has a pair of functions,
//! `export` and `import`, beside its type.
//!
//! Everything takes `now` and bytes; there is no clock, socket, lock or random source here. It knows neither sessions
//! nor cryptography: it names [`description`](crate::description), which is plain data,
//! and [`crate::worker`] joins the two. Bounds are in [`crate::limits`].
//!
//! Which encodings a track has, what each takes and shows, and whether it is being sent now, is its ladder
//! ([`store::ladder`]): measured where the publisher is ([`publish::meter`]), known on every worker.
//!
//! Not here: data channels ([`crate::data`]), and what a viewer's network carries ([`crate::bandwidth`]).

pub mod play;
pub mod publish;
pub mod store;
