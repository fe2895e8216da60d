//! What a publisher is told of its uplink: arrival times, what is missing, receiver reports.

use crate::limits;
use crate::session::SessionState;
use crate::time::Timestamp;
use crate::wire::rtcp;
use crate::worker::compound_rtcp;
use crate::worker::counters::Counters;
use crate::worker::outbox::Outbox;
use crate::worker::peer::{Peer, Role};
use crate::worker::reason::DropReason;

/// Sends a publisher what is due: transport-wide feedback, NACKs, receiver reports.
pub(in crate::worker) fn send(peer: &mut Peer, outbox: &mut Outbox, counters: &mut Counters, now: Timestamp) {
    if peer.session.state() != SessionState::Connected {
        return;
    }
    let Role::Publisher(publication) = &mut peer.role else { return };
    let out = outbox.batch();
    let own = publication.feedback_ssrc;
    let media = publication.tracks.iter().find_map(|track| track.ssrc()).unwrap_or(0);
    while let Some(arrivals) = publication.arrivals.as_mut().and_then(|arrivals| arrivals.poll(now)) {
        let len = peer.session.send_rtcp(out, |slot| compound_rtcp::arrivals(slot, own, media, &arrivals));
        peer.sent.add(len);
    }
    let pace = publication.round_trip.pace();
    let ceiling = publication.ceiling.bits_per_second_max();
    let is_near = publication.tracks.iter().any(|track| track.next_report() <= now) && publication.ceiling.take_near();
    for track in &mut publication.tracks {
        let Some(ssrc) = track.ssrc() else { continue };
        if track.reception.next_deadline().is_some_and(|deadline| deadline <= now) {
            let mut wanted = [0u16; limits::NACKS_PER_PACKET_MAX];
            let count = track.reception.poll_nack(pace, now, &mut wanted);
            if let Some(wanted) = wanted.get(..count).filter(|wanted| !wanted.is_empty()) {
                let len = peer.session.send_rtcp(out, |slot| rtcp::nack::write(slot, own, ssrc, wanted));
                peer.sent.add(len);
            }
        }
        if track.next_report() <= now {
            track.reported(now);
            counters.dropped_many(DropReason::CodecChangesOverRate, track.take_changes_ignored().into());
            if let Some(block) = track.reception.report(ssrc, now) {
                let cname = peer.cname.as_str();
                let len = peer.session.send_rtcp(out, |slot| compound_rtcp::receiver_report(slot, own, &block, cname));
                peer.sent.add(len);
            }
            if is_near && track.takes_remb() {
                let len = peer.session.send_rtcp(out, |slot| rtcp::remb::write(slot, own, ceiling, &[ssrc]));
                peer.sent.add(len);
            }
        }
    }
}
