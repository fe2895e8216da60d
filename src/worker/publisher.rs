//! The publisher's side of a worker: its packets to the stream and to the other workers, its feedback back to it.

use crate::limits;
use crate::relay::publish::publication::KeyFrameFeedback;
use crate::relay::store::record::{Record, RecordAddress};
use crate::session::SessionState;
use crate::time::Timestamp;
use crate::wire::rtcp::{self, RtcpPacket};
use crate::worker::feedback;
use crate::worker::lane::{Lanes, Upstream};
use crate::worker::mailbox::{StreamId, WorkerIndex};
use crate::worker::peer::{PeerKey, Role};
use crate::worker::reason::DropReason;
use crate::worker::round::Worker;
use crate::worker::stream::{EncodingKey, Streams, encoding_index};

/// Gives a record to this worker's own encoding and, once each, to every other worker with viewers of the stream.
pub(super) fn distribute(streams: &mut Streams, lanes: &mut Lanes, key: EncodingKey, record: &Record<'_>) {
    if !streams.apply(key, record) {
        return;
    }
    let address = RecordAddress { stream: key.stream.0, encoding: key.encoding as u32 };
    let Some(stream) = streams.get_mut(key.stream) else { return };
    let Some(encoding) = stream.encodings.get(key.encoding) else { return };
    for audience in &mut stream.audience {
        let worker = audience.listener.worker;
        let Some(introduced) = audience.introduced.get_mut(key.encoding) else { return };
        // Without it the rest is of no use there.
        *introduced = *introduced || introduce(lanes, worker, address, encoding.codec().copied().map(Record::Format));
        if *introduced {
            let sent = lanes.send(worker, address, record);
            // A packet that found no room is a gap that nobody can fill: what follows begins anew, so that the viewers there
            // see no hole and one request for a key frame is made for all of them.
            *introduced = sent || matches!(record, Record::Clock { .. });
        }
    }
}

/// Tells a worker that begins to listen what it must know before an encoding's next packet. Whether all of it found room.
pub(super) fn introduce(
    lanes: &mut Lanes,
    to: WorkerIndex,
    address: RecordAddress,
    introduction: impl IntoIterator<Item = Record<'static>>,
) -> bool {
    std::iter::once(Record::Begin).chain(introduction).all(|record| lanes.send(to, address, &record))
}

impl Worker {
    /// Takes one RTCP packet of a publisher.
    pub(super) fn handle_publisher_rtcp(&mut self, key: PeerKey, packet: &RtcpPacket<'_>, now: Timestamp) {
        let wall_clock = self.wall_clock(now);
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Role::Publisher(publication) = &mut peer.role else { return };
        match packet {
            RtcpPacket::SenderReport(report) => {
                let stream = peer.stream;
                let Some(track) = publication.sender_report(report.ssrc, &report.info, wall_clock, now) else { return };
                let Some(track) = publication.tracks.get(track) else { return };
                let encoding = EncodingKey { stream, encoding: encoding_index(track.kind) };
                // The format again with every clock: a worker whose lane was full may have lost it.
                for record in track.introduction() {
                    distribute(&mut self.streams, &mut self.lanes, encoding, &record);
                }
            }
            RtcpPacket::Goodbye(_) => self.counters.dropped(DropReason::PublisherGoodbye),
            _ => {}
        }
    }

    /// Sends a publisher what is due: transport-wide feedback, NACKs, receiver reports.
    pub(super) fn send_publisher_feedback(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.session.state() != SessionState::Connected {
            return;
        }
        let Role::Publisher(publication) = &mut peer.role else { return };
        let own = publication.feedback_ssrc;
        let media = publication.tracks.iter().find_map(|track| track.ssrc()).unwrap_or(0);
        while let Some(arrivals) = publication.arrivals.as_mut().and_then(|arrivals| arrivals.poll(now)) {
            let len = peer.session.send_rtcp(&mut self.out, |slot| feedback::arrivals(slot, own, media, &arrivals));
            peer.sent.add(len);
        }
        let rtt = publication.rtt;
        for track in &mut publication.tracks {
            let Some(ssrc) = track.ssrc() else { continue };
            if track.reception.next_deadline().is_some_and(|deadline| deadline <= now) {
                let mut wanted = [0u16; limits::NACKS_PER_PACKET_MAX];
                let count = track.reception.poll_nack(rtt, now, &mut wanted);
                if let Some(wanted) = wanted.get(..count).filter(|wanted| !wanted.is_empty()) {
                    let len = peer.session.send_rtcp(&mut self.out, |slot| rtcp::nack::write(slot, own, ssrc, wanted));
                    peer.sent.add(len);
                }
            }
            if track.next_report() <= now {
                track.reported(now);
                if let Some(block) = track.reception.report(ssrc, now) {
                    let cname = peer.cname.as_str();
                    let len = peer
                        .session
                        .send_rtcp(&mut self.out, |slot| feedback::receiver_report(slot, own, &block, cname));
                    peer.sent.add(len);
                }
            }
        }
    }

    /// Asks for the key frames that are due: the publisher itself, or the worker that has it.
    pub(super) fn poll_key_frame_requests(&mut self, now: Timestamp) {
        while let Some(Upstream { stream, encoding }) = self.lanes.receive_upstream() {
            self.streams.want_key_frame(EncodingKey { stream, encoding: encoding as usize });
        }
        let mut due: Vec<(EncodingKey, Option<PeerKey>, Option<WorkerIndex>)> = Vec::new();
        self.streams.poll_key_frame_requests(now, |key, stream| due.push((key, stream.publisher, stream.origin)));
        for (key, publisher, origin) in due {
            match (publisher, origin) {
                (Some(publisher), _) => self.request_key_frame(publisher, key.encoding),
                (None, Some(origin)) if origin != self.config.index => {
                    let message = Upstream { stream: key.stream, encoding: key.encoding as u32 };
                    self.lanes.send_upstream(origin, message);
                }
                _ => {}
            }
        }
    }

    fn request_key_frame(&mut self, publisher: PeerKey, encoding: usize) {
        let Some(peer) = self.peers.get_mut(publisher) else { return };
        let Role::Publisher(publication) = &mut peer.role else { return };
        let own = publication.feedback_ssrc;
        let sequence = publication.next_full_intra_request();
        let Some(track) = publication.tracks.iter().find(|track| encoding_index(track.kind) == encoding) else {
            return;
        };
        let Some(ssrc) = track.ssrc() else { return };
        match track.key_frame_feedback() {
            KeyFrameFeedback::PictureLossIndication => {
                peer.session.send_rtcp(&mut self.out, |slot| rtcp::picture_loss_indication::write(slot, own, ssrc));
            }
            KeyFrameFeedback::FullIntraRequest => {
                peer.session.send_rtcp(&mut self.out, |slot| feedback::full_intra_request(slot, own, ssrc, sequence));
            }
            KeyFrameFeedback::None => {}
        }
    }

    /// Reads what other workers sent. Returns whether more waits.
    pub(super) fn receive_lanes(&mut self) -> bool {
        let (lanes, streams, counters) = (&mut self.lanes, &mut self.streams, &mut self.counters);
        lanes.receive(limits::LANE_RECORDS_PER_ROUND_MAX, |address, record| {
            let key = EncodingKey { stream: StreamId(address.stream), encoding: address.encoding as usize };
            if let Err(reason) = streams.apply_from_lane(key, &record) {
                counters.dropped(reason);
            }
        })
    }
}
