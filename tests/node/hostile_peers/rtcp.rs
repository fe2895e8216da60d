//! A viewer that complains: NACK for everything there is, PLI every millisecond, compounds of hundreds of packets.

use std::time::{Duration, Instant};

use corecast::description::{Direction, MediaKind};
use corecast::limits;
use corecast::wire::rtcp::{full_intra_request, nack, picture_loss_indication, receiver_report};

use super::ATTACK;
use super::scene::{Scene, paced};
use crate::honest;
use crate::hostile::Hostile;

/// Watches the honest stream itself, so that what it asks for is there.
pub(crate) fn bombs(scene: &Scene, time: Duration) {
    let mut viewer = Hostile::connect(&scene.node, Direction::Play, honest::STREAM);
    let video = viewer.opened.answer.section(MediaKind::Video).unwrap();
    let ssrc = video.ssrcs[0].media;
    let begun = Instant::now();
    let before = scene.node.worker();
    let mut newest = 0_u16;
    let mut see = |viewer: &mut Hostile| {
        viewer.step(|packet| {
            if packet.header().ssrc == ssrc {
                newest = packet.header().sequence;
            }
        });
        newest
    };
    paced(&scene.node, 1_000, time, |at| {
        let newest = see(&mut viewer);
        match at % 4 {
            // The last two thousand packets, a hundred at a time.
            0 | 1 => {
                let from = newest.wrapping_sub((at as u16 % 20) * 100);
                let sequences: Vec<u16> = (0..100).map(|back| from.wrapping_sub(back)).rev().collect();
                viewer.send_rtcp(|slot| nack::write(slot, 1, ssrc, &sequences));
            }
            2 => viewer.send_rtcp(|slot| picture_loss_indication::write(slot, 1, ssrc)),
            // As many packets as fit: reports without blocks, requests for key frames, of this stream and of none.
            _ => viewer.send_rtcp(|slot| {
                let mut len = 0;
                while let Some(rest) = slot.get_mut(len..).filter(|rest| rest.len() > 100) {
                    len += receiver_report::write(rest, 1, &[])?;
                    let rest = slot.get_mut(len..)?;
                    let entry = full_intra_request::FirEntry { ssrc, command_sequence: len as u8 };
                    len += full_intra_request::write(rest, 1, &[entry])?;
                }
                Some(len)
            }),
        }
    });
    see(&mut viewer);
    let after = scene.node.worker();
    // Longer than the attack where the machine held somebody up.
    let time = begun.elapsed();
    let of =
        |report: &serde_json::Value, path: &str| report.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let bytes = of(&after, "/retransmitted/bytes") - of(&before, "/retransmitted/bytes");
    // Of all viewers' media, so that the bound holds whatever share of it was this one's.
    let forwarded = of(&after, "/forwarded/bytes") - of(&before, "/forwarded/bytes");
    let most = forwarded * limits::REPAIR_PERCENT_MAX / 100 + limits::REPAIR_CREDIT_BYTES_MAX as u64 + 2_000;
    assert!(bytes > 0 && bytes <= most, "{bytes} bytes sent again beside {forwarded}");
    let requests = |report: &serde_json::Value| -> u64 {
        let streams = report["streams"].as_array().unwrap();
        let honest = streams.iter().find(|stream| stream["name"] == honest::STREAM).unwrap();
        honest["encodings"].as_array().unwrap().iter().map(|encoding| of(encoding, "/key_frame_requests")).sum()
    };
    let asked = requests(&after) - requests(&before);
    let bound = (time.as_millis() / limits::KEY_FRAME_REQUEST_INTERVAL.as_millis()) as u64 + 4;
    assert!(asked > 0 && asked <= bound, "{asked} key-frame requests reached the publisher in {time:?}");
    assert!(of(&after, "/dropped/rtcp_compound_too_long") > 0, "{}", after["dropped"]);
    // It asks for everything several times, which nothing but a path without full packets explains.
    let over = ["/dropped/retransmission_over_rate", "/dropped/retransmission_path_too_narrow"];
    assert!(over.iter().any(|reason| of(&after, reason) > 0), "{}", after["dropped"]);
    viewer.leave(&scene.node);
}

#[test]
fn a_viewers_rtcp_bombs_cost_its_publisher_two_key_frames_a_second_and_the_others_nothing() {
    let scene = Scene::set();
    bombs(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(20));
}
