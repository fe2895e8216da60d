//! A datagram arrives: whose is it, is it authentic, and what is in it.

use crate::session::Inbound;
use crate::time::Timestamp;
use crate::transport::Datagram;
use crate::wire::demux::{self, DatagramKind};
use crate::worker::inbound::binding::{self, Addressee};
use crate::worker::inbound::{feedback, media};
use crate::worker::lane::Lanes;
use crate::worker::lifecycle::Lifecycle;
use crate::worker::plain_bindings::PlainBindings;
use crate::worker::repairs::Repairs;

/// What a datagram may change.
pub(in crate::worker) struct DatagramPhase<'a> {
    pub(in crate::worker) lifecycle: Lifecycle<'a>,
    pub(in crate::worker) lanes: &'a mut Lanes,
    pub(in crate::worker) repairs: &'a mut Repairs,
    pub(in crate::worker) plain_bindings: &'a mut PlainBindings,
}

impl DatagramPhase<'_> {
    /// Takes one datagram: sorts it (RFC 7983), finds its session, lets the session open it, and acts on what it was.
    pub(in crate::worker) fn handle(&mut self, datagram: Datagram<'_>, now: Timestamp) {
        let Datagram { bytes, path, received } = datagram;
        let Lifecycle { config, peers, outbox, counters, handshakes, streams, .. } = &mut self.lifecycle;
        let kind = demux::classify(bytes);
        let key = match kind {
            DatagramKind::Stun => match binding::addressee(bytes, peers, config.index) {
                Ok(Addressee::Session(key)) => key,
                Ok(Addressee::Node(transaction)) => {
                    let answered = binding::answer(self.plain_bindings, &transaction, &path, outbox.batch(), now);
                    if !answered {
                        counters.dropped("plain_bindings_over_rate");
                    }
                    return;
                }
                Err(reason) => {
                    counters.dropped(reason);
                    return;
                }
            },
            DatagramKind::Unknown => {
                counters.dropped("not_demultiplexed");
                return;
            }
            // An address that no valid check came from may only do STUN.
            _ => match peers.find_path(&path) {
                Some(key) => key,
                None => {
                    counters.dropped("unknown_address");
                    return;
                }
            },
        };
        let Some(peer) = peers.get_mut(key) else { return };
        if kind == DatagramKind::Dtls && handshakes.defer(key, peer, &path, bytes, counters) {
            return;
        }
        match peer.session.handle_datagram(&peer.identity, kind, &path, bytes, outbox.batch(), now) {
            Ok(Inbound::Handled) => {
                self.lifecycle.handle_events(key, now);
                self.lifecycle.peers.arm(key);
            }
            Ok(Inbound::Rtp(opened)) => {
                let end = opened.header_len + opened.payload_len;
                if let Some(packet) = bytes.get(..end) {
                    media::receive(peer, packet, received, streams, self.lanes, counters);
                    peers.arm(key);
                }
            }
            Ok(Inbound::Rtcp(len)) => {
                if let Some(compound) = bytes.get(..len) {
                    let mut feedback = feedback::Feedback {
                        wall_clock: config.wall_clock.at(now),
                        streams,
                        lanes: self.lanes,
                        repairs: self.repairs,
                        counters,
                    };
                    feedback.handle(key, peer, compound, now);
                }
            }
            Err(rejected) => counters.dropped(rejected.name()),
        }
    }
}
