//! Sender reports (RFC 3550 §6.4.1): one compound for all of a viewer's tracks, first with its first packet, then by its
//! timer.

use crate::limits;
use crate::time::Timestamp;
use crate::worker::compound_rtcp;
use crate::worker::outbox::Outbox;
use crate::worker::peer::{Peer, PeerKey, Role};
use crate::worker::peers::Peers;
use crate::worker::streams::Streams;

/// Sends the first reports of viewers that just got their first packet.
pub(in crate::worker) fn send_first(
    due: &mut Vec<PeerKey>,
    peers: &mut Peers,
    streams: &Streams,
    outbox: &mut Outbox,
    now: Timestamp,
) {
    while let Some(key) = due.pop() {
        if let Some(peer) = peers.get_mut(key) {
            send(peer, streams, outbox, now);
        }
        peers.arm(key);
    }
}

/// Sends the reports that are due for a viewer. Whether they were due.
pub(in crate::worker) fn send(peer: &mut Peer, streams: &Streams, outbox: &mut Outbox, now: Timestamp) -> bool {
    let Role::Viewer(playback) = &mut peer.role else { return false };
    if playback.next_report.is_none_or(|due| due > now) {
        return false;
    }
    playback.next_report = Some(now + limits::SENDER_REPORT_INTERVAL);
    let Some(stream) = streams.get(peer.stream) else { return true };
    let mut reports = [None; limits::TRACKS_PER_SESSION_MAX];
    for (slot, track) in reports.iter_mut().zip(&playback.tracks) {
        // Before the publisher has told its clock, nothing is claimed.
        let Some(clock) = stream.encoding(track.encoding()).and_then(|encoding| encoding.clock()) else { continue };
        let (ntp, timestamp) = clock.at(now);
        *slot = track.subscription.sender_report(ntp, timestamp);
    }
    if reports.iter().all(Option::is_none) {
        // Nothing to tell yet: look again soon.
        playback.next_report = Some(now + limits::SENDER_REPORT_RETRY);
        return true;
    }
    let cname = peer.cname.as_str();
    let sent = peer
        .session
        .send_rtcp(outbox.batch(), |slot| compound_rtcp::sender_reports(slot, reports.iter().flatten(), cname));
    if sent.is_none() {
        // The batch is full: hundreds of viewers start with the same key frame.
        playback.next_report = Some(now + limits::SENDER_REPORT_RETRY);
    }
    peer.sent.add(sent);
    true
}
