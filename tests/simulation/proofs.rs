//! Each rule fires: in a world where nothing else goes wrong, one deliberate defect is found out, by the rule it breaks.

use std::time::Duration;

use crate::runner::broken_rule;
use crate::scenario::{Sabotage, Scenario};

fn found_by(sabotage: Sabotage, scenario: Scenario) -> Option<&'static str> {
    broken_rule(Scenario { sabotage: Some(sabotage), ..scenario }).map(|violation| violation.rule)
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(broken_rule(Scenario::calm(1)), None);
}

#[test]
fn a_packet_sealed_twice_with_different_bytes_is_found() {
    assert_eq!(found_by(Sabotage::SealTwice, Scenario::calm(1)), Some("sealed once"));
}

#[test]
fn a_packet_sealed_for_another_viewer_is_found() {
    assert_eq!(found_by(Sabotage::OtherViewer, Scenario::calm(1)), Some("own key"));
}

#[test]
fn a_packet_of_another_stream_is_found() {
    assert_eq!(found_by(Sabotage::ForeignTag, Scenario::calm(1)), Some("content"));
}

#[test]
fn a_payload_that_was_not_published_so_is_found() {
    assert_eq!(found_by(Sabotage::Falsify, Scenario::calm(1)), Some("content"));
}

#[test]
fn indexes_that_nobody_lost_are_found_missing() {
    assert_eq!(found_by(Sabotage::InventGap, Scenario::calm(1)), Some("no invented gap"));
}

#[test]
fn a_worker_that_holds_more_than_it_may_is_found() {
    assert_eq!(found_by(Sabotage::SmallLimit, Scenario::calm(1)), Some("queues within limits"));
}

#[test]
fn a_byte_with_two_owners_is_found() {
    assert_eq!(found_by(Sabotage::TornBatch, Scenario::calm(1)), Some("one owner"));
}

#[test]
fn a_stream_that_falls_silent_is_found() {
    assert_eq!(found_by(Sabotage::Blackhole, Scenario::calm(1)), Some("silence is bounded"));
}

#[test]
fn a_session_that_ends_while_its_client_is_there_is_found() {
    // What viewers send is lost without an excuse, what they receive is not.
    let scenario = Scenario { duration: Duration::from_secs(45), ..Scenario::calm(1) };
    assert_eq!(found_by(Sabotage::Mute, scenario), Some("liveness"));
}

#[test]
fn a_session_that_ends_twice_is_found() {
    assert_eq!(found_by(Sabotage::EndTwice, Scenario::calm(1)), Some("ended once"));
}

#[test]
fn a_session_that_is_left_behind_is_found() {
    assert_eq!(found_by(Sabotage::LeaveOne, Scenario::calm(1)), Some("nothing is left"));
}
