//! What a viewer says to the node: reports, feedback of its network, requests for packets and key frames.

use std::time::Duration;

use super::Viewer;
use crate::description::MediaKind;
use crate::lab::peer::record::LoadRecord;
use crate::time::Timestamp;
use crate::transport::train::TrainBatch;
use crate::wire::rtcp::{ReportBlock, nack, picture_loss_indication, receiver_report, source_description};

const PLI_INTERVAL: Duration = Duration::from_millis(1_000);
/// How long a viewer waits for a key frame before it asks for one; a server may send one unasked.
const PLI_PATIENCE: Duration = Duration::from_millis(200);
const NACK_REPEAT_MIN: Duration = Duration::from_millis(20);

impl Viewer {
    pub(super) fn send_reports(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let mut blocks = Vec::with_capacity(self.tracks.len());
        for track in self.tracks.iter_mut().filter(|track| !track.is_rtx) {
            let (fraction_lost, cumulative_lost, highest_sequence, jitter) = track.reception.report();
            let (last_sender_report, since) = track.sender_report.unwrap_or((0, now));
            blocks.push(ReportBlock {
                ssrc: track.ssrc,
                fraction_lost,
                cumulative_lost,
                highest_sequence,
                jitter,
                last_sender_report,
                delay_since_last_sender_report: (now.since(since).as_nanos() * 65_536 / 1_000_000_000) as u32,
            });
        }
        let (ssrc, cname) = (self.ssrc, &self.cname);
        self.peer.send_rtcp(out, |slot| {
            let report = receiver_report::write(slot, ssrc, &blocks)?;
            Some(report + source_description::write(slot.get_mut(report..)?, ssrc, cname)?)
        });
    }

    pub(super) fn send_feedback(&mut self, out: &mut TrainBatch, now: Timestamp, record: &mut LoadRecord) {
        let Self { peer, feedback, ssrc: own, tracks, .. } = self;
        let report = peer.send_rtcp(out, |slot| feedback.write_report(slot, *own, now));
        record.counts.feedbacks += u64::from(report.is_some());
        let ssrcs: Vec<u32> = tracks.iter().filter(|track| !track.is_rtx).map(|track| track.ssrc).collect();
        let remb = peer.send_rtcp(out, |slot| feedback.write_remb(slot, *own, &ssrcs, now));
        record.counts.rembs += u64::from(remb.is_some());
    }

    pub(super) fn nack_repeat(&self) -> Duration {
        self.peer.rtt.unwrap_or_default().max(NACK_REPEAT_MIN)
    }

    pub(super) fn ask_again(&mut self, out: &mut TrainBatch, now: Timestamp, record: &mut LoadRecord) {
        let (repeat, own) = (self.nack_repeat(), self.ssrc);
        self.next_request = None;
        for track in self.tracks.iter_mut().filter(|track| track.nack && !track.is_rtx) {
            let (sequences, given_up) = track.reception.requests(repeat, now);
            if given_up > 0 && track.kind == MediaKind::Video {
                // Chromium asks for a key frame when it gives up a packet.
                self.needs_key_frame.get_or_insert(now);
            }
            if !sequences.is_empty() {
                let ssrc = track.ssrc;
                self.peer.send_rtcp(out, |slot| nack::write(slot, own, ssrc, &sequences));
                record.counts.nacks += 1;
            }
            let next = track.reception.next_request(repeat);
            self.next_request = [self.next_request, next].into_iter().flatten().min();
        }
    }

    /// When a key frame must be asked for.
    pub(super) fn next_pli(&self) -> Option<Timestamp> {
        let since = self.needs_key_frame?;
        Some(self.pli_sent.map_or(since + PLI_PATIENCE, |sent| sent + PLI_INTERVAL))
    }

    pub(super) fn ask_for_key_frame(&mut self, out: &mut TrainBatch, now: Timestamp, record: &mut LoadRecord) {
        self.pli_sent = Some(now);
        let own = self.ssrc;
        let video = self.tracks.iter().find(|track| track.kind == MediaKind::Video && !track.is_rtx);
        if let Some(ssrc) = video.map(|track| track.ssrc) {
            self.peer.send_rtcp(out, |slot| picture_loss_indication::write(slot, own, ssrc));
            record.counts.plis += 1;
            self.plis += 1;
        }
    }
}
