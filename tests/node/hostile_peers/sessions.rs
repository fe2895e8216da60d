//! Sessions that are opened and abandoned, candidates and restarts without end, and one address that wants them all.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use corecast::description::Direction;
use corecast::dtls::DtlsIdentity;
use corecast::limits;

use super::ATTACK;
use super::scene::Scene;
use crate::client::{self, Http};
use crate::hostile::{self, Hostile};

/// An address that is counted, unlike this host's own.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Opens as fast as it is let and never comes, under ever new names; by the thousand, or as many as go into three times
/// `time`.
pub(crate) fn open_and_abandon(scene: &Scene, time: Duration) {
    let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
    let mut http = Http::to(scene.node.http);
    let candidate = SocketAddr::from(([127, 0, 0, 1], 9));
    let end = Instant::now() + time * 3;
    let latest = end + Duration::from_secs(20);
    let (mut opened, mut refused) = (0, 0);
    // On a busy machine as long as it takes to open some hundred.
    while opened < 3_000 && (Instant::now() < end || opened <= 300 && Instant::now() < latest) {
        let stream = format!("abandoned-{}", opened % 500);
        match client::open(&mut http, &identity, Direction::Play, &stream, candidate) {
            Ok(_) => opened += 1,
            Err(status) => {
                assert!(matches!(status, 503 | 0), "{status}");
                refused += 1;
            }
        }
    }
    println!("{opened} sessions opened and abandoned, {refused} refused");
    assert!(opened > 300, "{opened}");
}

/// PATCH after PATCH: candidates by the hundred, and restarts that are never followed by a check.
pub(crate) fn trickle_without_end(scene: &Scene, time: Duration) {
    let hostile = Hostile::connect(&scene.node, Direction::Play, hostile::STREAM);
    let mut http = Http::to(scene.node.http);
    let mut candidates = String::new();
    for at in 0..limits::SDP_CANDIDATES_MAX {
        candidates.push_str(&format!(
            "a=candidate:{at} 1 udp 2130706431 192.0.2.{} {} typ host\r\n",
            at % 256,
            1_024 + at
        ));
    }
    let end = Instant::now() + time;
    let head = |ufrag: &str, password: &str| {
        format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n")
    };
    let ice = &hostile.opened.peer.local_ice;
    let mut generation = head(&ice.ufrag, &ice.password);
    let mut standing = generation.clone();
    let (mut patches, mut restarts, mut entity_tag) = (0, 0, hostile.opened.entity_tag.clone());
    let begun = Instant::now();
    let mut refused = 0;
    while Instant::now() < end || restarts <= 5 {
        let headers = [("content-type", "application/trickle-ice-sdpfrag"), ("if-match", entity_tag.as_str())];
        let status =
            http.ask("PATCH", &hostile.opened.location, &headers, &format!("{generation}{candidates}")).unwrap().status;
        assert_eq!(status, 204);
        patches += 1;
        if patches % 4 == 0 {
            generation = head(&format!("u{restarts:08}"), &format!("{restarts:024}"));
            let headers = [("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "*")];
            let answer = http.ask("PATCH", &hostile.opened.location, &headers, &generation).unwrap();
            if answer.status == 429 {
                // The candidates go on under the credentials that stand.
                refused += 1;
                generation.clear();
                generation.push_str(&standing);
                continue;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
            entity_tag = answer.header("etag").to_owned();
            standing.clone_from(&generation);
            restarts += 1;
        }
    }
    println!("{patches} fragments of {} candidates, {restarts} restarts", limits::SDP_CANDIDATES_MAX);
    let pauses = begun.elapsed().as_millis() / limits::ICE_RESTART_PAUSE.as_millis();
    assert!(restarts as u128 <= u128::from(limits::ICE_RESTARTS_AT_ONCE) + pauses + 1 && refused > 0);
    assert!(patches > 20);
    hostile.leave(&scene.node);
}

#[test]
fn thousands_of_sessions_opened_and_abandoned_are_gone_after_their_time() {
    let scene = Scene::set();
    open_and_abandon(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(limits::SESSION_SETUP_MAX + Duration::from_secs(10));
}

#[test]
fn candidates_and_restarts_without_end_cost_their_sender_its_time_only() {
    let scene = Scene::set();
    trickle_without_end(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(20));
}

#[test]
fn one_address_gets_the_sessions_it_may_have_and_everybody_else_is_served() {
    let scene = Scene::set();
    let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
    let (mut elsewhere, mut here) = (Http::to(scene.node.http).from(ELSEWHERE), Http::to(scene.node.http));
    let candidate = SocketAddr::from(([127, 0, 0, 2], 9));
    let end = Instant::now() + ATTACK;
    // Before the first of them is given up, whose place is then another's.
    let latest = Instant::now() + limits::SESSION_SETUP_MAX * 3 / 4;
    let mut statuses = std::collections::BTreeMap::new();
    let mut sessions = Vec::new();
    while Instant::now() < end || statuses.is_empty() && Instant::now() < latest {
        match client::open(&mut elsewhere, &identity, Direction::Play, hostile::STREAM, candidate) {
            Ok(opened) => sessions.push(opened.location),
            Err(status) => {
                *statuses.entry(status).or_insert(0) += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert_eq!(sessions.len(), 100, "sessions_per_address_max of this node; {statuses:?}");
    assert!(statuses.keys().all(|status| *status == 429) && !statuses.is_empty(), "{statuses:?}");
    // Others join as ever.
    let honest = Hostile::connect(&scene.node, Direction::Play, crate::honest::STREAM);
    honest.leave(&scene.node);
    scene.assert_undisturbed();
    // What it gives back it may have again.
    for location in &sessions {
        assert_eq!(here.ask("DELETE", location, &[], "").unwrap().status, 200);
    }
    assert!(client::open(&mut elsewhere, &identity, Direction::Play, hostile::STREAM, candidate).is_ok());
    scene.assert_released(limits::SESSION_SETUP_MAX + Duration::from_secs(10));
}
