//! Each rule fires: in a world where nothing else goes wrong, one deliberate defect is found out, by the rule it breaks.

use std::net::SocketAddr;
use std::time::Duration;

use corecast::description::Direction;
use corecast::worker::mailbox::{Control, EndReason};
use corecast::worker::timers::NEVER;

use crate::check::addresses::own_path;
use crate::client::{Agent, ClientId};
use crate::runner::broken_rule;
use crate::scenario::{Sabotage, Scenario};
use crate::world::{Flight, World};

/// A defect comes with this sealed packet: everyone has joined by then.
const DEFECT_AT_PACKET: u64 = 2_000;

/// Everyone has played for long enough by then for an end to have no excuse.
const END_AT_PACKET: u64 = 12_000;

impl World {
    /// The deliberate faults that act on a sealed packet.
    pub(crate) fn sabotage(&mut self, id: ClientId, datagram: &[u8]) {
        let Some(sabotage) = self.scenario.sabotage else { return };
        let at = if sabotage == Sabotage::EndEarly { END_AT_PACKET } else { DEFECT_AT_PACKET };
        if self.totals.sealed != at {
            return;
        }
        match sabotage {
            Sabotage::SealTwice => {
                let mut other = datagram.to_vec();
                let last = other.len() - 1;
                other[last] ^= 1;
                if let Err(violation) = self.clients[id].sealed.observe(&other) {
                    self.break_rule(violation);
                }
            }
            Sabotage::OtherViewer => {
                let other = self.clients.iter().position(|client| {
                    let agent = matches!(&client.agent, Some(Agent::Viewer(viewer)) if viewer.is_connected());
                    agent && client.session != self.clients[id].session
                });
                // With an SSRC of its own, as only the key is to be wrong.
                let Some(other) = other else { return };
                let mut copy = datagram.to_vec();
                copy[8..12].copy_from_slice(&self.clients[other].sources.audio.to_be_bytes());
                copy[1] = corecast::lab::peer::terms::PLAY.audio;
                // Wherever its numbers are, some are ahead of them; what is behind is not looked at.
                for number in (0..128_u16).map(|step| step * 509) {
                    copy[2..4].copy_from_slice(&number.to_be_bytes());
                    let buffer = self.buffer(&copy);
                    self.fly(self.now, Flight::ToClient { client: other, len: copy.len(), buffer });
                }
            }
            Sabotage::InventGap => self.clients[id].sealed.invented = 100_000,
            Sabotage::TurnBack => self.clients.iter_mut().for_each(|client| client.content.turned_back = 90_000),
            Sabotage::TornBatch => self.nodes[0].io.torn_batches += 1,
            Sabotage::Falsify => self.publications.iter().for_each(|published| published.log.lock().falsify()),
            Sabotage::Blackhole => {
                for client in self.clients.iter_mut().filter(|client| client.is_connected) {
                    client.down.out_until = NEVER;
                }
            }
            Sabotage::Mute => {
                for client in self.clients.iter_mut().filter(|client| client.direction == Direction::Play) {
                    client.up.out_until = NEVER;
                }
            }
            Sabotage::EndEarly => {
                let session = self.clients[id].session;
                let message = Control::Close { session, reason: EndReason::TimedOut };
                self.nodes[self.clients[id].worker].control(message, &mut self.faults);
            }
            Sabotage::WrongAddress => {
                let ssrc = self.clients[id].sources.audio;
                if let Err(violation) = own_path(ssrc, self.clients[id].address, Some(id + 1)) {
                    self.break_rule(violation);
                }
            }
            Sabotage::Amplify => {
                let nobody = SocketAddr::from(([192, 0, 2, 77], 9));
                self.accounts.arrived(nobody, 100);
                if let Err(violation) = self.accounts.sent(nobody, 301) {
                    self.break_rule(violation);
                }
            }
            Sabotage::CloseForeign => {
                let session = self.clients[id].session;
                let message = Control::Close { session, reason: EndReason::DtlsFailed };
                self.nodes[self.clients[id].worker].control(message, &mut self.faults);
            }
            // What acts elsewhere.
            Sabotage::SmallLimit
            | Sabotage::ForeignTag
            | Sabotage::EndTwice
            | Sabotage::LeaveOne
            | Sabotage::Swallow
            | Sabotage::NoQueue
            | Sabotage::RefuseMedia
            | Sabotage::ForgetKeys
            | Sabotage::KeepOpen
            | Sabotage::OpenRelay
            | Sabotage::LoseMessage
            | Sabotage::RepeatMessage
            | Sabotage::ForeignTalk
            | Sabotage::UndeadKeys
            | Sabotage::OtherTimeline => {}
        }
    }
}

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
fn time_that_goes_back_is_found() {
    assert_eq!(found_by(Sabotage::TurnBack, Scenario::calm(1)), Some("time goes on"));
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
    let scenario = Scenario { duration: Duration::from_secs(15), ..Scenario::calm(1) };
    assert_eq!(found_by(Sabotage::EndEarly, scenario), Some("liveness"));
}

#[test]
fn consent_that_ends_while_its_client_is_there_is_found() {
    // What viewers send is lost without an excuse, what they receive is not.
    let scenario = Scenario { duration: Duration::from_secs(45), ..Scenario::calm(1) };
    assert_eq!(found_by(Sabotage::Mute, scenario), Some("silence is bounded"));
}

#[test]
fn media_that_goes_to_another_sessions_address_is_found() {
    assert_eq!(found_by(Sabotage::WrongAddress, Scenario::calm(1)), Some("own path"));
}

#[test]
fn an_address_that_is_sent_more_than_three_times_its_bytes_is_found() {
    assert_eq!(found_by(Sabotage::Amplify, Scenario::calm(1)), Some("three times"));
}

#[test]
fn a_session_that_ends_for_what_its_client_did_not_do_is_found() {
    assert_eq!(found_by(Sabotage::CloseForeign, Scenario::calm(1)), Some("nobody else ends it"));
}

#[test]
fn a_session_that_ends_twice_is_found() {
    assert_eq!(found_by(Sabotage::EndTwice, Scenario::calm(1)), Some("ended once"));
}

#[test]
fn a_session_that_is_left_behind_is_found() {
    assert_eq!(found_by(Sabotage::LeaveOne, Scenario::calm(1)), Some("nothing is left"));
}

#[test]
fn nothing_is_found_where_everybody_is_on_connections() {
    assert_eq!(broken_rule(Scenario::on_connections(1)), None);
}

#[test]
fn what_waits_in_a_thin_connection_is_found_to_be_old() {
    assert_eq!(found_by(Sabotage::Swallow, Scenario::on_connections(1)), Some("never old"));
}

#[test]
fn bytes_that_wait_beyond_the_bound_are_found() {
    assert_eq!(found_by(Sabotage::NoQueue, Scenario::on_connections(1)), Some("queues within limits"));
}

#[test]
fn frames_that_are_cut_by_a_connection_are_found() {
    assert_eq!(found_by(Sabotage::RefuseMedia, Scenario::on_connections(1)), Some("whole frames"));
}

#[test]
fn a_skip_to_what_is_no_key_frame_is_found() {
    assert_eq!(found_by(Sabotage::ForgetKeys, Scenario::on_connections(1)), Some("whole frames"));
}

#[test]
fn a_connection_that_outlives_its_session_is_found() {
    assert_eq!(found_by(Sabotage::KeepOpen, Scenario::on_connections(1)), Some("nothing after the end"));
}

#[test]
fn a_foreign_peer_that_is_reached_is_found() {
    assert_eq!(found_by(Sabotage::OpenRelay, Scenario::on_connections(1)), Some("no open relay"));
}

#[test]
fn a_message_that_is_lost_repeated_or_of_another_stream_is_found() {
    for sabotage in [Sabotage::LoseMessage, Sabotage::RepeatMessage, Sabotage::ForeignTalk] {
        assert_eq!(found_by(sabotage, Scenario::on_connections(1)), Some("data"), "{sabotage:?}");
    }
}
