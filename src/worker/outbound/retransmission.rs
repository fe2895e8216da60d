//! Packets that viewers asked for again: RTX (RFC 4588) where it was agreed, else the same packet once more. Video's leave at the
//! viewer's pace, before what is new.
//!
//! Over a connection nothing is repeated: it loses nothing, what was lost on another path before is old, and repeats would fill
//! it so that it refuses media in the middle of a frame.

use crate::description::MediaKind;
use crate::limits;
use crate::time::Timestamp;
use crate::worker::counters::Counters;
use crate::worker::mail::Mail;
use crate::worker::mailbox::Notice;
use crate::worker::narrow_path::{Judged, NarrowPath};
use crate::worker::outbox::{Outbox, SampledRun};
use crate::worker::peer::Role;
use crate::worker::peers::Peers;
use crate::worker::reason::DropReason;
use crate::worker::repairs::{Repairs, Turn};
use crate::worker::streams::Streams;

/// What retransmission touches.
pub(in crate::worker) struct RetransmissionPhase<'a> {
    pub(in crate::worker) repairs: &'a mut Repairs,
    pub(in crate::worker) peers: &'a mut Peers,
    pub(in crate::worker) streams: &'a Streams,
    pub(in crate::worker) outbox: &'a mut Outbox,
    pub(in crate::worker) counters: &'a mut Counters,
    pub(in crate::worker) mail: &'a mut Mail,
}

impl RetransmissionPhase<'_> {
    /// Sends again what was asked for, within bounds.
    pub(in crate::worker) fn run(&mut self, now: Timestamp) {
        for _ in 0..limits::RETRANSMISSIONS_PER_ROUND_MAX {
            if !self.outbox.batch().has_room(limits::DATAGRAM_OUT_BYTES_MAX) {
                return;
            }
            let Some(turn) = self.repairs.pop(now) else { return };
            if let Err(reason) = self.send(turn, now) {
                self.counters.dropped(reason);
            }
        }
    }

    /// Sends one; `Err` is the name in metrics. A viewer that has left asks for nothing any more.
    fn send(&mut self, turn: Turn, now: Timestamp) -> Result<(), DropReason> {
        let repair = turn.repair;
        let Some(peer) = self.peers.get_mut(repair.subscriber.peer) else { return Ok(()) };
        let Role::Viewer(playback) = &mut peer.role else { return Ok(()) };
        let is_probe = repair.probe.is_some();
        let may = is_probe || playback.repairs.turn(peer.sent.bytes.saturating_sub(playback.retransmitted.bytes));
        let Some(track) = playback.tracks.get_mut(usize::from(repair.subscriber.track)) else { return Ok(()) };
        let Some((sender, path)) = peer.session.egress() else { return Ok(()) };
        if path.is_connection() {
            return Err(DropReason::RetransmissionOnConnection);
        }
        let Some(stream) = self.streams.get(peer.stream) else { return Ok(()) };
        let located = track.subscription.locate(repair.sequence_number).ok_or(DropReason::RetransmissionNeverSent)?;
        let encoding = stream.encoding(located.encoding).ok_or(DropReason::RetransmissionNotInRing)?;
        let (_, info, payload) = encoding.ring.find(located.sequence).ok_or(DropReason::RetransmissionNotInRing)?;
        if track.kind == MediaKind::Video && !turn.is_paced && !is_probe {
            // Of what it is not sent any more nothing may delay what comes next.
            let is_of_other = located.encoding != track.encoding();
            if track.is_held || is_of_other && (track.has_let_go || track.pacer.is_waiting(now)) {
                return Err(DropReason::RetransmissionTooLate);
            }
            let due =
                track.pacer.reserve(encoding.pace(), payload.len(), now).ok_or(DropReason::RetransmissionTooLate)?;
            if due > now {
                if self.repairs.put_off(repair, due) {
                    playback.repairs.take_place();
                }
                return Ok(());
            }
        }
        let full = encoding.full_packets;
        let narrow = playback.narrow.get_or_insert_with(|| Box::new(NarrowPath::new(full, now)));
        let judged = if is_probe { Judged::Sent } else { narrow.asked(payload.len(), full, now) };
        if judged == Judged::Found {
            self.mail.notify(Notice::PathTooNarrow { session: peer.id });
        }
        if judged != Judged::Sent {
            return Err(DropReason::RetransmissionPathTooNarrow);
        }
        if !may {
            return Err(DropReason::RetransmissionOverRate);
        }
        let out = self.outbox.batch();
        let slot = out.slot();
        let mut number = None;
        let has_rtx = track.subscription.format().is_some_and(|format| format.rtx_payload_type.is_some());
        let len = if has_rtx {
            let scratch = self.repairs.scratch();
            track.subscription.write_rtx(slot, scratch, located, info, payload).and_then(|(header, len)| {
                if let Some((left, adaptation)) = repair.probe.zip(playback.adaptation.as_deref_mut()) {
                    number = Some(adaptation.probe(left, header.len + len, now));
                    // The last one asks.
                    let asked = adaptation.bandwidth.asked(now);
                    number.map(|number| track.subscription.write_transport_sequence(slot, number, asked));
                }
                sender.seal_rtp(header.index.0, header.len, slot, scratch.get(..len)?, 0)
            })
        } else if is_probe {
            None
        } else {
            let copy = self.repairs.scratch();
            track.subscription.write_repeat(slot, located, info).and_then(|header| {
                let payload = header.renumbering.apply(slot, payload, copy)?;
                sender.seal_rtp(header.index.0, header.len, slot, payload, info.padding)
            })
        };
        let len = len.filter(|&len| len <= limits::DATAGRAM_OUT_BYTES_MAX).ok_or(DropReason::RetransmissionTooLong)?;
        out.commit(path, len);
        if let Some(number) = number {
            let train = out.trains().len() - 1;
            self.outbox.sampled(repair.subscriber.peer, SampledRun { number, from: train, to: train });
        }
        peer.session.note_sealed(1);
        if !is_probe {
            track.repeated.note(now);
            playback.repairs.spend(len);
        }
        playback.retransmitted.add(Some(len));
        peer.sent.add(Some(len));
        self.counters.retransmitted(len);
        Ok(())
    }
}
