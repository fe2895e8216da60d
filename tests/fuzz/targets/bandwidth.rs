//! What a viewer says of its network, and what the node makes of it: whatever is claimed, the estimate stays within its bounds,
//! numbers that were never sent count for nothing, and every decision names an encoding that there is.

use corecast::bandwidth::Bandwidth;
use corecast::bandwidth::controller::{Place, Step};
use corecast::bandwidth::rate::Rate;
use corecast::limits;
use corecast::relay::store::numbers::{EncodingId, TrackId};
use corecast::time::Timestamp;
use corecast::wire::rtcp::transport_feedback::{self, FeedbackHeader};
use corecast::wire::rtcp::{self, RtcpPacket};
use std::time::Duration;

use super::Seed;
use super::script::{Script, ScriptWriter};

fn encoding(rid: usize) -> EncodingId {
    TrackId::new(1).expect("a track").encoding(rid % limits::ENCODINGS_PER_TRACK_MAX).expect("an encoding")
}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut now = Timestamp::from_millis(script.u32().into());
    let mut bandwidth = Bandwidth::new(now);
    let (mut sent_bytes, mut sent, mut awaited, mut silent) = (0_u64, 0_usize, None, false);
    while !script.is_over() {
        now = now + Duration::from_millis(script.byte().into());
        match script.byte() % 8 {
            0 => {
                let packets = script.byte() % 40;
                let first = bandwidth.next_number();
                if bandwidth.samples(now) {
                    for packet in 0..packets {
                        if bandwidth.is_sampling() {
                            bandwidth.stamp(1_200, packet + 1 == packets, now);
                        }
                        sent_bytes += 1_200;
                    }
                }
                bandwidth.left(first, !script.byte().is_multiple_of(8), now);
            }
            1 => now = now + Duration::from_millis(script.u16().into()),
            2 => feedback(&mut bandwidth, script.chunk(), sent_bytes, now),
            3 => {
                // As a browser would tell: the newest numbers, and how far apart they arrived.
                let count = u16::from(script.byte() % 64) + 1;
                let base_sequence = bandwidth.next_number().wrapping_sub(count).wrapping_add(script.byte().into());
                let header =
                    FeedbackHeader { base_sequence, reference_time: script.u16().into(), ..FeedbackHeader::default() };
                let statuses: Vec<_> =
                    (0..count).map(|_| script.byte()).map(|gap| (gap != 7).then_some(gap.into())).collect();
                let mut out = [0; 1_200];
                let Some(written) = transport_feedback::write(&mut out, &header, &statuses) else { continue };
                feedback(&mut bandwidth, &out[..written.len], sent_bytes, now);
            }
            4 => bandwidth.remb(script.u64(), now),
            5 => bandwidth.receiver_report(script.u32().into(), script.byte(), now),
            6 => bandwidth.blocked(script.byte().is_multiple_of(2), now),
            _ => {
                let rungs = usize::from(script.byte()) % (limits::ENCODINGS_PER_TRACK_MAX + 1);
                let step = |rid| {
                    let rate = Rate::from_bits_per_second(u64::from(script.u16()) * 1_000);
                    Step { encoding: encoding(rid), rate }
                };
                let ladder: Vec<Step> = (0..rungs).map(step).collect();
                let place = Place {
                    ladder: &ladder,
                    sent: encoding(sent),
                    awaited: awaited.map(encoding),
                    can_probe: script.byte().is_multiple_of(2),
                    is_sound_only: silent,
                };
                assert!(bandwidth.probe(&place, now) <= limits::PROBE_PACKETS_SURE);
                if let Some(decision) = bandwidth.decide(&place, now) {
                    silent = decision.encoding.is_none();
                    let has = |encoding| ladder.iter().any(|step| step.encoding == encoding);
                    assert!(decision.encoding.is_none_or(|to| has(to) || to == encoding(sent)), "{decision:?}");
                    awaited = decision.encoding.map(EncodingId::rid).filter(|&rid| rid != sent);
                }
                if script.byte().is_multiple_of(4)
                    && let Some(rid) = awaited.take()
                {
                    sent = rid;
                }
            }
        }
        let estimator = bandwidth.estimator();
        assert!(estimator.loss_permille() <= 1_000 && estimator.usual_loss() <= limits::USUAL_LOSS_PERMILLE_MAX);
        assert!(estimator.free_share() <= estimator.capacity() || estimator.capacity().is_none());
    }
}

fn feedback(bandwidth: &mut Bandwidth, bytes: &[u8], sent_bytes: u64, now: Timestamp) {
    for packet in rtcp::packets(bytes) {
        let Ok(RtcpPacket::TransportFeedback(feedback)) = packet else { continue };
        let folded = bandwidth.transport_feedback(&feedback, sent_bytes, now);
        assert!(folded.never_sent as usize <= limits::TRANSPORT_STATUSES_FOLDED_MAX);
        assert!(folded.never_sent + folded.left_out <= u32::from(feedback.status_count));
    }
}

pub fn seeds() -> Vec<Seed> {
    let visit = |script: ScriptWriter| script.byte(33).byte(0).byte(8).byte(1);
    let told = |script: ScriptWriter, gap: u8| {
        let script = script.byte(60).byte(3).byte(7).byte(0).u16(9);
        (0..8).fold(script, |script, _| script.byte(gap))
    };
    let decide = |script: ScriptWriter| script.byte(0).byte(7).byte(3).u16(150).u16(500).u16(1_700).byte(0).byte(0);
    let calm = (0..40).fold(ScriptWriter::default().u32(1_000), |script, _| decide(told(visit(script), 8)));
    let narrow = (0..40).fold(calm.clone(), |script, _| decide(told(visit(script), 200)));
    let header = FeedbackHeader { base_sequence: 65_530, ..FeedbackHeader::default() };
    let mut lie = [0; 1_200];
    let written = transport_feedback::write(&mut lie, &header, &[Some(0); 700]).expect("room");
    let lies = (0..20).fold(visit(ScriptWriter::default().u32(1_000)), |script, _| {
        decide(script.byte(30).byte(2).chunk(&lie[..written.len]))
    });
    let reports = (0..30_u8).fold(ScriptWriter::default().u32(1_000), |script, n| {
        decide(script.byte(255).byte(5).u32(50_000 * u32::from(n)).byte(n).byte(9).byte(4).u32(1_000_000).u32(0))
    });
    vec![
        ("calm".into(), calm.done()),
        ("narrows".into(), narrow.done()),
        ("lies".into(), lies.done()),
        ("reports".into(), reports.done()),
    ]
}
