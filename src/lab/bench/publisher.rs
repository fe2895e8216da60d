//! The datagrams that the rig's worker receives: a publisher's packets and its viewers' reports, sealed as a client
//! seals them. They are made beforehand, so that making them is not measured.

use std::time::Duration;

use crate::description::MediaKind;
use crate::lab::peer::source::{Source, SourcePacket};
use crate::lab::peer::terms::{MIDS, PUBLISH, Sources};
use crate::lab::peer::{audio, video};
use crate::srtp::{SrtpKeys, SrtpProfile, SrtpSender};
use crate::time::{NtpTime, Timestamp};
use crate::wire::rtcp::sender_report::{self, SenderInfo};
use crate::wire::rtcp::transport_feedback::{self, FeedbackHeader};
use crate::wire::rtcp::{ReportBlock, receiver_report};
use crate::wire::rtp::{HeaderFields, write_header};

/// Room for one datagram.
const SLOT_BYTES: usize = 1_500;

/// A session's keys, the same whenever they are asked for.
#[must_use]
pub fn keys(seed: u64, is_client: bool) -> SrtpKeys {
    let mut material = [0; 56];
    for (at, byte) in material.iter_mut().enumerate() {
        *byte = (seed >> (at % 8 * 8)) as u8 ^ (at as u8).wrapping_mul(37);
    }
    SrtpKeys::from_exported(SrtpProfile::AeadAes128Gcm, &material, is_client)
        .expect("56 bytes are enough for both ends")
}

/// The SSRCs of session `number`.
#[must_use]
pub fn sources(number: usize) -> Sources {
    let base = 0x0100_0000 + number as u32 * 4;
    Sources { audio: base, video: base + 1, video_rtx: Some(base + 2) }
}

/// The publisher's keys and streams.
#[derive(Debug)]
pub struct RigPublisher {
    sender: SrtpSender,
    video: Source,
    audio: Source,
    frames: u64,
    audio_packets: u64,
    transport_sequence: u16,
    report_due: Timestamp,
}

impl RigPublisher {
    /// The publisher of session 0.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let Sources { audio, video, .. } = sources(0);
        Self {
            sender: SrtpSender::new(SrtpProfile::AeadAes128Gcm, &keys(0, true).local),
            video: Source::new(video, PUBLISH.video, None, 1),
            audio: Source::new(audio, PUBLISH.audio, None, 1),
            frames: 0,
            audio_packets: 0,
            transport_sequence: 0,
            report_due: now,
        }
    }

    /// A video frame of so many fragments, and once a second the sender reports.
    pub fn frame(&mut self, fragments: usize, key_frame: bool, now: Timestamp, deliver: &mut impl FnMut(&[u8])) {
        self.frames += 1;
        let payloads = video::frame(self.frames, fragment_bytes(fragments), key_frame, true);
        let (timestamp, last) = (rtp_timestamp(now, 90_000), payloads.len() - 1);
        for (at, payload) in payloads.into_iter().enumerate() {
            let packet = self.video.packet(timestamp, at == last, payload).clone();
            self.seal(MediaKind::Video, &packet, deliver);
        }
        self.reports(now, deliver);
    }

    /// An audio packet.
    pub fn audio(&mut self, now: Timestamp, deliver: &mut impl FnMut(&[u8])) {
        self.audio_packets += 1;
        let payload = audio::opus_payload(self.audio_packets, 120);
        let packet = self.audio.packet(rtp_timestamp(now, 48_000), false, payload).clone();
        self.seal(MediaKind::Audio, &packet, deliver);
    }

    fn seal(&mut self, kind: MediaKind, packet: &SourcePacket, deliver: &mut impl FnMut(&[u8])) {
        let (source, mid) = match kind {
            MediaKind::Audio => (&self.audio, MIDS[0]),
            MediaKind::Video => (&self.video, MIDS[1]),
        };
        let fields = HeaderFields {
            marker: packet.marker,
            padding: false,
            payload_type: source.payload_type,
            sequence: (packet.index & 0xffff) as u16,
            timestamp: packet.timestamp,
            ssrc: source.ssrc,
        };
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        let transport_sequence = self.transport_sequence.to_be_bytes();
        let mut elements: Vec<(u8, &[u8])> = vec![(PUBLISH.mid, mid.as_bytes())];
        elements.extend(PUBLISH.transport_cc.map(|id| (id, &transport_sequence[..])));
        let mut slot = [0; SLOT_BYTES];
        let header = write_header(&mut slot, &fields, &elements).expect("a header fits");
        let len = self.sender.seal_rtp(packet.index, header, &mut slot, &packet.payload, 0).expect("a fragment fits");
        deliver(&slot[..len]);
    }

    fn reports(&mut self, now: Timestamp, deliver: &mut impl FnMut(&[u8])) {
        if now < self.report_due {
            return;
        }
        self.report_due = now + Duration::from_secs(1);
        for (source, rate) in [(&self.audio, 48_000), (&self.video, 90_000)] {
            let info = SenderInfo {
                ntp: NtpTime(1 << 62) + now.since(Timestamp::ZERO),
                rtp_timestamp: rtp_timestamp(now, rate),
                packet_count: source.sent.0,
                octet_count: source.sent.1,
            };
            let mut slot = [0; SLOT_BYTES];
            let len = sender_report::write(&mut slot, source.ssrc, &info, &[]).expect("a report fits");
            let len = self.sender.seal_rtcp(&mut slot, len).expect("a report fits");
            deliver(&slot[..len]);
        }
    }
}

/// Bytes of slice that become so many equal fragments of the longest kind.
fn fragment_bytes(fragments: usize) -> usize {
    fragments * (video::FRAGMENT_BYTES_MAX - 2)
}

fn rtp_timestamp(now: Timestamp, rate: u64) -> u32 {
    (u128::from(now.as_nanos()) * u128::from(rate) / 1_000_000_000) as u32
}

/// The receiver reports of the viewers 1 to N.
#[derive(Debug)]
pub struct Reporters {
    senders: Vec<SrtpSender>,
    next: usize,
}

impl Reporters {
    /// The reporters of this many viewers.
    #[must_use]
    pub fn new(viewers: usize) -> Self {
        let sender = |viewer| SrtpSender::new(SrtpProfile::AeadAes128Gcm, &keys(viewer as u64, true).local);
        Self { senders: (1..=viewers).map(sender).collect(), next: 0 }
    }

    /// The next viewer's report on both its tracks. Called with the viewer's number, 1 to N.
    pub fn report(&mut self, deliver: &mut impl FnMut(usize, &[u8])) {
        let count = self.senders.len();
        let Some(sender) = self.senders.get_mut(self.next) else { return };
        let viewer = self.next + 1;
        self.next = viewer % count;
        let Sources { audio, video, .. } = sources(viewer);
        let block = |ssrc| ReportBlock { ssrc, highest_sequence: 1_000, jitter: 10, ..ReportBlock::default() };
        let mut slot = [0; SLOT_BYTES];
        let len = receiver_report::write(&mut slot, audio + 3, &[block(audio), block(video)]).expect("a report fits");
        let len = sender.seal_rtcp(&mut slot, len).expect("a report fits");
        deliver(viewer, &slot[..len]);
    }

    /// A viewer's report on packets with transport-wide numbers, ascending, and when they arrived.
    pub fn feedback(&mut self, viewer: usize, packets: &[(u16, Timestamp)], deliver: &mut impl FnMut(&[u8])) {
        let (Some(sender), Some(&(base, _))) = (self.senders.get_mut(viewer - 1), packets.first()) else { return };
        let mut arrivals = Vec::with_capacity(packets.len());
        for &(number, at) in packets {
            // What lies between two numbers did not arrive.
            arrivals.resize(usize::from(number.wrapping_sub(base)), None);
            arrivals.push(Some(at.as_nanos() / 1_000));
        }
        let mut statuses = vec![None; arrivals.len()];
        let quantised = transport_feedback::quantise(&arrivals, &mut statuses);
        let Sources { audio, video, .. } = sources(viewer);
        let header = FeedbackHeader {
            sender_ssrc: audio + 3,
            media_ssrc: video,
            base_sequence: base,
            reference_time: quantised.reference_time,
            feedback_count: 0,
        };
        let mut slot = [0; SLOT_BYTES];
        let statuses = statuses.get(..quantised.statuses).unwrap_or_default();
        let Some(written) = transport_feedback::write(&mut slot[..1_200], &header, statuses) else { return };
        let len = sender.seal_rtcp(&mut slot, written.len).expect("a report fits");
        deliver(&slot[..len]);
    }
}
