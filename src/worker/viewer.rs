//! The viewer's side of a worker: its feedback in, sender reports and retransmissions out.

use crate::limits;
use crate::time::Timestamp;
use crate::wire::rtcp::{ReportBlock, RtcpPacket};
use crate::worker::feedback;
use crate::worker::peer::{PeerKey, Role, Subscriber, Viewer};
use crate::worker::round::{Retransmission, Worker};
use crate::worker::stream::{EncodingKey, encoding_index};

impl Worker {
    /// Takes one RTCP packet of a viewer.
    pub(super) fn handle_viewer_rtcp(&mut self, key: PeerKey, packet: &RtcpPacket<'_>, now: Timestamp) {
        let ntp_middle = self.wall_clock(now).middle();
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Role::Viewer(viewer) = &mut peer.role else { return };
        match packet {
            RtcpPacket::ReceiverReport(report) => {
                for block in report.reports {
                    take_report(viewer, &block, ntp_middle);
                }
            }
            RtcpPacket::SenderReport(report) => {
                for block in report.reports {
                    take_report(viewer, &block, ntp_middle);
                }
            }
            RtcpPacket::Nack(nack) => {
                let Some(index) = track_of(viewer, nack.media_ssrc) else { return };
                let mut asked = 0;
                for sequence_number in nack.sequences().take(limits::NACKS_PER_PACKET_MAX) {
                    asked += 1;
                    if viewer.retransmissions_waiting >= limits::RETRANSMISSIONS_WAITING_PER_VIEWER_MAX {
                        self.counters.dropped("retransmission_viewer_over_share");
                        continue;
                    }
                    if self.retransmissions.len() >= limits::RETRANSMISSIONS_WAITING_MAX {
                        self.counters.dropped("retransmission_queue_full");
                        break;
                    }
                    viewer.retransmissions_waiting += 1;
                    let subscriber = Subscriber { peer: key, track: index as u8 };
                    self.retransmissions.push_back(Retransmission { subscriber, sequence_number });
                }
                viewer.tracks[index].nacks_received += asked;
            }
            RtcpPacket::PictureLossIndication(request) => {
                if let Some(index) = track_of(viewer, request.media_ssrc) {
                    let encoding = encoding_index(viewer.tracks[index].kind);
                    self.streams.want_key_frame(EncodingKey { stream: peer.stream, encoding });
                }
            }
            RtcpPacket::FullIntraRequest(request) => {
                for entry in request.entries() {
                    if let Some(index) = track_of(viewer, entry.ssrc) {
                        let encoding = encoding_index(viewer.tracks[index].kind);
                        self.streams.want_key_frame(EncodingKey { stream: peer.stream, encoding });
                    }
                }
            }
            _ => {}
        }
    }

    /// Sends the sender reports that are due for a viewer: one compound for all its tracks.
    pub(super) fn send_sender_report(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Role::Viewer(viewer) = &mut peer.role else { return };
        if viewer.next_report.is_none_or(|due| due > now) {
            return;
        }
        viewer.next_report = Some(now + limits::SENDER_REPORT_INTERVAL);
        let Some(stream) = self.streams.get(peer.stream) else { return };
        let mut reports = [None; limits::TRACKS_PER_SESSION_MAX];
        for (slot, track) in reports.iter_mut().zip(&viewer.tracks) {
            // Before the publisher has told its clock, nothing is claimed.
            let Some(clock) = stream.encodings[encoding_index(track.kind)].clock() else { continue };
            let (ntp, timestamp) = clock.at(now);
            *slot = track.subscription.sender_report(ntp, timestamp);
        }
        if reports.iter().all(Option::is_none) {
            // Nothing to tell yet: look again soon.
            viewer.next_report = Some(now + limits::SENDER_REPORT_RETRY);
            return;
        }
        let cname = peer.cname.as_str();
        let sent = peer
            .session
            .send_rtcp(&mut self.out, |slot| feedback::sender_reports(slot, reports.iter().flatten(), cname));
        match sent {
            Some(len) => {
                peer.sent.packets += 1;
                peer.sent.bytes += len as u64;
            }
            // The batch is full: hundreds of viewers start with the same key frame.
            None => viewer.next_report = Some(now + limits::SENDER_REPORT_RETRY),
        }
    }

    /// Sends again what was asked for, within bounds.
    pub(super) fn retransmit(&mut self, now: Timestamp) {
        for _ in 0..limits::RETRANSMISSIONS_PER_ROUND_MAX {
            if !self.out.has_room(limits::DATAGRAM_OUT_BYTES_MAX) {
                return;
            }
            let Some(request) = self.retransmissions.pop_front() else { return };
            self.retransmit_one(request, now);
        }
    }

    fn retransmit_one(&mut self, request: Retransmission, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(request.subscriber.peer) else { return };
        let Role::Viewer(viewer) = &mut peer.role else { return };
        viewer.retransmissions_waiting = viewer.retransmissions_waiting.saturating_sub(1);
        refill(viewer, now);
        if viewer.retransmission_credit <= 0 {
            self.counters.dropped("retransmission_over_rate");
            return;
        }
        let Some(track) = viewer.tracks.get_mut(usize::from(request.subscriber.track)) else { return };
        let Some((sender, path)) = peer.session.egress() else { return };
        let Some(stream) = self.streams.get(peer.stream) else { return };
        let ring = &stream.encodings[encoding_index(track.kind)].ring;
        let Some(located) = track.subscription.locate(request.sequence_number) else {
            self.counters.dropped("retransmission_never_sent");
            return;
        };
        let Some((_, info, payload)) = ring.find(located.sequence) else {
            self.counters.dropped("retransmission_not_in_ring");
            return;
        };
        let slot = self.out.slot();
        let has_rtx = track.subscription.format().is_some_and(|format| format.rtx_payload_type.is_some());
        let len = if has_rtx {
            track
                .subscription
                .write_rtx(slot, &mut self.scratch, located, info, payload)
                .and_then(|(header, len)| sender.seal_rtp(header.index, header.len, slot, self.scratch.get(..len)?, 0))
        } else {
            track
                .subscription
                .write_repeat(slot, located, info)
                .and_then(|header| sender.seal_rtp(header.index, header.len, slot, payload, info.padding))
        };
        let Some(len) = len.filter(|&len| len <= limits::DATAGRAM_OUT_BYTES_MAX) else {
            self.counters.dropped("retransmission_too_long");
            return;
        };
        self.out.commit(path, len);
        peer.session.note_sealed(1);
        viewer.retransmission_credit -= len as i64;
        viewer.retransmitted.packets += 1;
        viewer.retransmitted.bytes += len as u64;
        peer.sent.packets += 1;
        peer.sent.bytes += len as u64;
        self.counters.retransmitted.packets += 1;
        self.counters.retransmitted.bytes += len as u64;
    }
}

fn track_of(viewer: &Viewer, ssrc: u32) -> Option<usize> {
    viewer.tracks.iter().position(|track| track.subscription.ssrc() == ssrc)
}

fn refill(viewer: &mut Viewer, now: Timestamp) {
    let passed_ms = i64::try_from(now.since(viewer.credit_at).as_millis()).unwrap_or(i64::MAX).min(1_000);
    if passed_ms > 0 {
        let credit = limits::RETRANSMISSION_BYTES_PER_SECOND_MAX * passed_ms / 1_000;
        viewer.retransmission_credit =
            (viewer.retransmission_credit + credit).min(limits::RETRANSMISSION_BYTES_PER_SECOND_MAX);
        viewer.credit_at = now;
    }
}

/// Round-trip time from a report block (RFC 3550 §6.4.1, figure 2): arrival less LSR less DLSR, in 1/65,536 s.
fn take_report(viewer: &mut Viewer, block: &ReportBlock, ntp_middle: u32) {
    let Some(index) = track_of(viewer, block.ssrc) else { return };
    viewer.tracks[index].fraction_lost = block.fraction_lost;
    if block.last_sender_report == 0 {
        return;
    }
    let round_trip =
        ntp_middle.wrapping_sub(block.last_sender_report).wrapping_sub(block.delay_since_last_sender_report);
    // Clocks of peers are theirs to set: more than ten seconds is not a round trip.
    if round_trip < 10 << 16 {
        viewer.rtt_us = u64::from(round_trip) * 1_000_000 / 65_536;
    }
}
