//! A publisher that sends every oddity an RTP header can have: authentic ones under its own keys, and forged ones.

use std::time::Duration;

use corecast::crypto::random::{Random as _, SystemRandom};
use corecast::description::{Direction, MediaKind};
use corecast::lab::peer::OutgoingRtp;

use super::ATTACK;
use super::scene::{Scene, paced};
use crate::hostile::{self, Hostile};

/// Publishes a stream of its own, with a viewer of its own, whom it does not spare either.
pub(crate) fn oddities(scene: &Scene, time: Duration) {
    let mut publisher = Hostile::connect(&scene.node, Direction::Publish, hostile::STREAM);
    let mut viewer = Hostile::connect(&scene.node, Direction::Play, hostile::STREAM);
    let video = publisher.opened.answer.section(MediaKind::Video).unwrap().codecs[0];
    let rtx = video.rtx_payload_type.unwrap_or(video.payload_type);
    let mut index = 1_000;
    let long = [0x55; 255];
    let nine: Vec<(u8, &[u8])> = (0..9).map(|id| (id * 29, &long[..usize::from(id) * 2])).collect();
    let fitting: Vec<(u8, &[u8])> = (1..9).map(|id| (id, &long[..3])).collect();
    let mut payload = [0; 1_400];
    SystemRandom.fill(&mut payload);
    let mut forged = [0; 1_472];
    paced(&scene.node, 2_000, time, |at| {
        index += 1;
        let random = SystemRandom.u64();
        let plain = OutgoingRtp {
            ssrc: publisher.opened.sources.video,
            index,
            timestamp: at as u32 * 45,
            payload_type: video.payload_type,
            payload: &payload[..100 + (random % 1_000) as usize],
            ..OutgoingRtp::default()
        };
        let packet = match at % 16 {
            0 => OutgoingRtp { payload_type: (random & 127) as u8, ..plain },
            1 => OutgoingRtp { ssrc: random as u32, ..plain },
            2 => OutgoingRtp { payload: &[], ..plain },
            3 => OutgoingRtp { payload: &[], padding: 255, ..plain },
            4 => OutgoingRtp { padding: 255, ..plain },
            5 => OutgoingRtp { extensions: &nine, ..plain },
            6 => OutgoingRtp { extensions: &fitting, ..plain },
            // A retransmission of nothing, and of what never was.
            7 => OutgoingRtp {
                ssrc: publisher.opened.sources.video_rtx.unwrap(),
                payload_type: rtx,
                payload: &[1],
                ..plain
            },
            8 => OutgoingRtp { ssrc: publisher.opened.sources.video_rtx.unwrap(), payload_type: rtx, ..plain },
            9 => {
                // As far ahead as the rollover estimate follows, then on from there.
                index += 20_000;
                OutgoingRtp { index, ..plain }
            }
            10 => OutgoingRtp { timestamp: random as u32, marker: random & 1 == 1, ..plain },
            11 => OutgoingRtp { payload: &payload, marker: true, ..plain },
            12 => OutgoingRtp { payload: &payload[..1], ..plain },
            // H.264 that begins and never ends, with lengths that lie.
            13 => OutgoingRtp { payload: &[0x78, 0xff, 0xff, 0x67], ..plain },
            14 => OutgoingRtp { payload: &[0x7c, 0x85, 0x88], ..plain },
            _ => plain,
        };
        publisher.send_rtp(&packet);
        // Version, padding, extension and CSRC bits of every kind, from an address that is believed.
        SystemRandom.fill(&mut forged);
        forged[0] = 0x80 | (random as u8 & 0x3f);
        forged[1] = (random >> 8) as u8;
        publisher.send(&forged[..1 + (random >> 16) as usize % forged.len()]);
        if at % 8 == 0 {
            publisher.step(|_| {});
            viewer.step(|_| {});
        }
    });
    let worker = scene.node.worker();
    let dropped = worker["dropped"].as_object().unwrap();
    for reason in ["uplink_unknown_payload_type", "uplink_unknown_source"] {
        let count = dropped.get(reason).and_then(serde_json::Value::as_u64).unwrap_or(0);
        println!("{reason}: {count}");
    }
    assert!(dropped.len() > 3, "{dropped:?}");
    publisher.leave(&scene.node);
    viewer.leave(&scene.node);
}

#[test]
fn a_publishers_odd_headers_are_its_own_viewers_trouble_only() {
    let scene = Scene::set();
    oddities(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(20));
}
