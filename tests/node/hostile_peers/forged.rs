//! Source addresses that are not the sender's: with valid credentials of its own an attacker sends checks in the name of
//! another client's address, to have that one's path, and of a third party's, to have media sent there.
//!
//! To forge an address takes no privilege here. A victim's datagrams pass through a socket of this test ([`OnPath`]), so that
//! what is sent from it comes from the victim's address; the third party is a socket that never answers.

use std::net::SocketAddr;
use std::time::Duration;

use corecast::description::Direction;
use corecast::wire::rtcp::receiver_report;

use super::ATTACK;
use super::replays::OnPath;
use super::scene::{Scene, paced};
use super::stun::{check, drain};
use crate::honest::{self, Honest};
use crate::hostile::{self, Hostile};

/// The name and the password with which the node believes a check of this peer's session.
fn credentials(hostile: &Hostile) -> (String, String) {
    let peer = &hostile.opened.peer;
    (format!("{}:{}", peer.remote_ice.ufrag, peer.local_ice.ufrag), peer.remote_ice.password.clone())
}

#[test]
fn a_check_with_credentials_of_its_own_takes_neither_the_publishers_path_nor_the_viewers() {
    let mut on_path = Vec::new();
    let scene = Scene::with(|node| {
        on_path.extend([OnPath::stand(node.media), OnPath::stand(node.media)]);
        Honest::play(node.doors(), [Some(on_path[0].address), Some(on_path[1].address)])
    });
    let mut attacker = Hostile::connect(&scene.node, Direction::Play, hostile::STREAM);
    let (user, password) = credentials(&attacker);
    let mut out = [0; 512];
    paced(&scene.node, 100, 2 * ATTACK, |_| {
        let len = check(&mut out, &user, &password);
        on_path.iter().for_each(|victim| victim.forge(&out[..len]));
        attacker.step(|_| {});
    });
    // That it leaves must not take anything along.
    attacker.leave(&scene.node);
    std::thread::sleep(Duration::from_secs(1));
    scene.assert_undisturbed();
    let disputed = scene.node.dropped("path_disputed");
    assert!(disputed > 100, "{disputed} checks in dispute");
    scene.assert_released(Duration::from_secs(20));
}

#[test]
fn a_third_party_is_sent_at_most_three_times_the_bytes_that_seemed_to_come_from_it() {
    let scene = Scene::set();
    let third_party = hostile::socket(SocketAddr::from(([127, 66, 0, 200], 0)), scene.node.media);
    let mut attacker = Hostile::connect(&scene.node, Direction::Play, honest::STREAM);
    let (user, password) = credentials(&attacker);
    let (mut from, mut to, mut at_home) = (0_u64, 0_u64, 0);
    let mut out = [0; 512];
    // After a while nothing comes from its own address any more: is the other one where it has gone to?
    paced(&scene.node, 20, 5 * ATTACK, |at| {
        if at < 40 {
            attacker.step(|_| at_home += 1);
        }
        let len = check(&mut out, &user, &password);
        from += third_party.send(&out[..len]).unwrap_or(0) as u64;
        from += attacker.send_rtcp_from(&third_party, |slot| receiver_report::write(slot, 1, &[]));
        to += drain(&third_party).1;
    });
    std::thread::sleep(Duration::from_millis(300));
    to += drain(&third_party).1;
    println!("third party: {to} bytes for {from}, {at_home} packets to the attacker itself");
    assert!(at_home > 50, "the attacker had media to divert");
    assert!(from > 10_000 && to <= 3 * from, "{to} bytes for {from}");
    assert!(scene.node.dropped("path_unproven") > 0 || to < from, "{}", scene.node.worker()["dropped"]);
    attacker.leave(&scene.node);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(20));
}
