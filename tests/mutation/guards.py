#!/usr/bin/env python3
"""Breaks one guard of the node at a time, in a copy of the tree, and shows that the test named for it fails.

    tests/mutation/guards.py               every guard (some minutes: the library is compiled once per guard)
    tests/mutation/guards.py --only NAME   those whose name contains NAME; may be repeated
    tests/mutation/guards.py --list        guards and their tests, and whether each guard is where it was (in tests/run)

A guard is broken by replacing exact text, so that one whose code has moved says so instead of testing nothing. First every
named test is run on the unchanged copy and must pass. The exit code is 0 when every mutant was caught; 1 when one
survived, did not compile, or its text is not there any more (exactly once).

The copy and its build are in target/mutation/; the build begins with what target/debug holds already.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "target" / "mutation"
TREE, BUILD = SCRATCH / "tree", SCRATCH / "build"
TEST_TIME_MAX_S = 120  # and four times what it took unchanged, so that on a busy machine slow is not taken for caught


class Guard(NamedTuple):
    name: str
    file: str
    text: str
    broken: str
    test: str  # a program under tests/ or "lib", and the test in it


GUARDS = [
    Guard(
        "keys: in place rollover counters of what is sent begin anew",
        "src/relay/play/rewriter.rs",
        "run.index_offset = run.index_offset.wrapping_sub(rounds);",
        "run.index_offset = run.index_offset.wrapping_sub(0);",
        "lib relay::play::rewriter::tests::under_other_keys_the_round_of_sequence_numbers_becomes_the_first",
    ),
    Guard(
        "keys: in place what comes keeps the numbers that follow",
        "src/session/rekey.rs",
        "newer.continue_from(older);",
        "_ = (newer, older);",
        "parts worker_in_place::a_publisher_whose_sequence_numbers_went_round_goes_on_under_other_keys_on_one_timeline",
    ),
    Guard(
        "keys: in place the old association's close does not end the session",
        "src/session/peer.rs",
        "EpochNews::Closed if self.waits_for_hello(now) => {}",
        "EpochNews::Closed if false && self.waits_for_hello(now) => {}",
        "parts worker_in_place::a_viewer_that_says_hello_again_plays_on_with_other_keys",
    ),
    Guard(
        "keys: in place who closes and says no hello has left",
        "src/session/drive.rs",
        "self.close_if_due(now);",
        "",
        "parts worker_in_place::a_viewer_that_closes_and_says_no_hello_has_left",
    ),
    Guard(
        "keys: in place a hello has its place among the handshakes under way",
        "src/worker/in_place.rs",
        "handshakes.began(peer);",
        "",
        "parts worker_in_place::a_strangers_hello_changes_nothing_and_the_clients_own_comes_through",
    ),
    Guard(
        "keys: a viewer's two transports have one timeline",
        "src/worker/rekey.rs",
        "track.subscription.begin_with_timestamp_offset(timestamp_offset);",
        "let _ = timestamp_offset;",
        "parts worker_rekey::a_viewers_transports_both_play_until_it_says_that_it_has_switched_and_they_are_one_session",
    ),
    Guard(
        "bandwidth: feedback on request is asked for once for each packet",
        "src/bandwidth/history.rs",
        "self.untold = u8::try_from(left).map_or(self.untold, |left| left.min(self.untold));",
        "let _ = left;",
        "parts worker_bandwidth::a_calm_viewer_is_asked_for_feedback_thrice_a_second_and_one_that_has_just_come_more_often",
    ),
    Guard(
        "bandwidth: a lost request is made again with the next frame",
        "src/bandwidth/mod.rs",
        "if self.is_sampling() { is_repeat }",
        "if self.is_sampling() { false }",
        "parts worker_bandwidth::each_of_three_viewers_is_sent_what_its_link_carries_and_follows_it",
    ),
    Guard(
        "bandwidth: feedback on request is answered only where it was offered",
        "src/signal/sdp/extensions.rs",
        "TRANSPORT_CC_ON_REQUEST => &mut on_request,",
        "TRANSPORT_CC => &mut on_request,",
        "lib signal::sdp::tests::answers::feedback_on_request_is_agreed_with_viewers_that_offer_it_and_then_alone",
    ),
    Guard(
        "twin: a viewer is sent a codec that it decodes",
        "src/relay/store/ladder.rs",
        "rung.codec.is_some_and(&decodes)",
        "rung.codec.is_some()",
        "parts worker_twin::each_viewer_is_sent_the_first_codec_that_it_decodes",
    ),
    Guard(
        "twin: the second codec while the first is not sent",
        "src/relay/store/ladder.rs",
        "(!rung.alive, rung.encoding)",
        "rung.encoding",
        "parts worker_twin::each_viewer_is_sent_the_first_codec_that_it_decodes",
    ),
    Guard(
        "twin: another camera is no twin",
        "src/signal/sdp/twin.rs",
        "first.mid.as_deref() == Some(mid)",
        "first.mid.is_some()",
        "lib signal::sdp::tests::simulcast::a_second_picture_that_is_no_twin_is_another_camera_and_is_left_out",
    ),
    Guard(
        "twin: it is of another codec",
        "src/signal/sdp/codecs.rs",
        "&& Some(answered.codec.codec) != except",
        "",
        "lib signal::sdp::tests::simulcast::a_second_picture_that_is_no_twin_is_another_camera_and_is_left_out",
    ),
    Guard(
        "twin: no more encodings than a track has places",
        "src/signal/sdp/negotiate.rs",
        "limits::ENCODINGS_PER_TRACK_MAX.saturating_sub(taken)",
        "limits::ENCODINGS_PER_TRACK_MAX",
        "lib signal::sdp::tests::simulcast::a_twin_has_as_many_encodings_as_its_picture_has_left",
    ),
    Guard(
        "layers: a picture of VP8 that is left out leaves no gap in their numbers",
        "src/relay/play/subscription.rs",
        "if takes_a_number { renumbering.with_a_picture_less() } else { renumbering }",
        "if takes_a_number { renumbering } else { renumbering }",
        "lib relay::play::simulcast_tests::a_viewer_that_switches_between_three_encodings_sees_one_unbroken_stream",
    ),
    Guard(
        "layers: a picture is counted once however its packets come",
        "src/relay/play/leaving_out.rs",
        "picture.is_some_and(|picture| selection.is_another_picture(picture))",
        "picture.is_some()",
        "lib relay::play::simulcast_tests::a_viewer_that_switches_between_three_encodings_sees_one_unbroken_stream",
    ),
    Guard(
        "layers: picture numbers go on across a switch",
        "src/relay/play/subscription.rs",
        "sent.renumbering.continued(codec, last_payload, first_payload)",
        "Renumbering::NONE.continued(codec, first_payload, first_payload)",
        "lib relay::play::simulcast_tests::a_viewer_that_switches_between_three_encodings_sees_one_unbroken_stream",
    ),
    Guard(
        "layers: a retransmission has the numbers of what it repeats",
        "src/relay/play/subscription.rs",
        "located.renumbering.apply_in_place(slot, rest);",
        "",
        "lib relay::play::subscription::tests::a_retransmission_has_the_picture_numbers_of_the_packet_that_it_repeats",
    ),
    Guard(
        "layers: who is sent no picture asks for no key frame",
        "src/worker/inbound/feedback.rs",
        "get_mut(index).filter(|track| !track.is_paused)",
        "get_mut(index)",
        "parts worker_layers::sound_only_stops_the_picture_and_a_choice_brings_it_back",
    ),
    Guard(
        "layers: sound only is on no list",
        "src/worker/outbound/layers.rs",
        "streams.remove_subscriber(EncodingKey { stream, encoding }, subscriber);",
        "let _ = (stream, encoding, subscriber);",
        "parts worker_layers::sound_only_stops_the_picture_and_a_choice_brings_it_back",
    ),
    Guard(
        "layers: how often a session may ask",
        "src/signal/keeper.rs",
        "if open.kept.layer_requests.take(at_once, pause, self.clock.now()) {",
        "if open.kept.layer_requests.take(at_once, pause, self.clock.now()) || true {",
        "parts signal_layers::a_session_that_asks_too_often_is_told_so_and_others_may_ask",
    ),
    Guard(
        "layers: only the socket's own sessions",
        "src/signal/socket/requests.rs",
        "let chosen = match self.own(layer.session) {",
        "let chosen = match Ok::<_, Problem>(layer.session.0) {",
        "parts signal_layers::a_choice_that_cannot_be_followed_is_refused_with_what_there_is",
    ),
    Guard(
        "layers: requests for events that wait are bounded",
        "src/signal/layer_events.rs",
        "if self.waiters.len() == limits::EVENTS_WAITING_MAX {",
        "if false {",
        "lib signal::layer_events::tests::of_those_who_wait_a_bounded_number_is_kept_and_the_end_ends_them",
    ),
    Guard(
        "redundant sound: only who is far away",
        "src/worker/redundant_sound.rs",
        "&& round_trip >= limits::RED_ROUND_TRIP_MIN;",
        ";",
        "parts worker_sound::who_is_near_has_what_it_lost_repeated_and_who_is_far_and_loses_nothing_has_neither",
    ),
    Guard(
        "redundant sound: its format counts from its first packet on",
        "src/worker/outbound/payload_type.rs",
        "if track.encoding() != encoding.id() {",
        "if false {",
        "parts worker_sound::who_is_far_and_loses_sound_gets_it_redundant_until_nothing_is_lost_any_more",
    ),
    Guard(
        "simulcast: a source nobody named is nobody's",
        "src/relay/publish/publication.rs",
        "if first.rid.is_none() {",
        "if true {",
        "lib relay::publish::publication::tests::simulcast::each_rid_is_a_track_and_its_source_is_known_once_it_was_named",
    ),
    Guard(
        "simulcast: four rids at most",
        "src/signal/sdp/simulcast.rs",
        "if accepted.len() < most && ",
        "if ",
        "lib signal::sdp::tests::simulcast::two_to_four_encodings_are_accepted_as_obs_names_them_and_of_more_the_first_four",
    ),
    Guard(
        "simulcast: an encoding left behind has stopped",
        "src/relay/publish/meter.rs",
        "            && now.since(self.last_picture) >= limits::ENCODING_SILENCE_MAX\n",
        "            && false\n",
        "lib relay::publish::meter::tests::an_encoding_has_stopped_when_its_siblings_go_on_without_it",
    ),
    Guard(
        "simulcast: viewers are looked at now and then",
        "src/worker/streams/wishes.rs",
        "|walked| walked + limits::LADDER_CHANGE_PAUSE",
        "|_| now",
        "lib worker::streams::tests::viewers_are_looked_at_now_and_then_however_often_an_encoding_stops_and_comes_back",
    ),
    Guard(
        "simulcast: what nobody wants does not cross",
        "src/worker/distribution.rs",
        "&& !audience.wanted.contains(key.encoding)",
        "&& false",
        "parts worker_simulcast::packets_of_an_encoding_cross_only_to_workers_whose_viewers_want_it",
    ),
    Guard(
        "simulcast: no requests for what nobody wants",
        "src/worker/streams.rs",
        "            if !is_wanted {",
        "            if false {",
        "parts worker_simulcast::nobody_is_asked_for_key_frames_of_an_encoding_that_no_viewer_wants_any_more",
    ),
    Guard(
        "laboratory: a full queue of a link drops",
        "src/lab/link/bottleneck.rs",
        "if self.free_at > at && self.waiting_bytes(at) > now.queue.bytes(now.rate) {",
        "if false {",
        "lib lab::link::model::tests::what_the_queue_has_no_room_for_is_dropped",
    ),
    Guard(
        "laboratory: what is on a link is bounded",
        "src/lab/link/behind.rs",
        "if waiting.len() == limits::LINK_DATAGRAMS_MAX {",
        "if false {",
        "lib lab::link::behind::tests::datagrams_that_wait_are_bounded",
    ),
    Guard(
        "laboratory: a picture that stands is a freeze",
        "src/lab/peer/decoder.rs",
        "interval > (mean * 3).max(mean + FREEZE_MORE)",
        "interval > Duration::from_secs(60)",
        "lib lab::peer::decoder::tests::a_late_frame_freezes_the_picture_for_as_long_as_it_stood",
    ),
    Guard(
        "laboratory: a hole that is filled is told again",
        "src/lab/peer/feedback.rs",
        "self.told_until.is_none_or(|until| extended < until)",
        "self.told_until.is_none()",
        "lib lab::peer::feedback::tests::one_that_comes_late_is_told_again_with_what_came_since",
    ),
    Guard(
        "laboratory: no feedback that was not agreed on",
        "src/lab/peer/feedback.rs",
        "number.filter(|_| agreed.transport_cc.is_some())",
        "number.filter(|_| true)",
        "lib lab::peer::feedback::tests::what_was_not_agreed_on_is_not_said",
    ),
    Guard(
        "bandwidth: a status counts once",
        "src/bandwidth/history.rs",
        "let new = pass.told & !train.told;",
        "let new = pass.told;",
        "lib bandwidth::history::tests::a_status_counts_once_and_what_was_lost_may_come_after_all",
    ),
    Guard(
        "bandwidth: the node's own loss",
        "src/bandwidth/history.rs",
        "if train.spread == REFUSED || (new == 0 && recovered == 0) {",
        "if new == 0 && recovered == 0 {",
        "lib bandwidth::history::tests::what_the_kernel_refused_is_nobodys_loss",
    ),
    Guard(
        "bandwidth: statuses of one report",
        "src/bandwidth/history.rs",
        ".take(limits::TRANSPORT_STATUSES_FOLDED_MAX);",
        ".take(usize::MAX);",
        "lib bandwidth::history::tests::numbers_that_were_never_sent_are_counted_and_nothing_else",
    ),
    Guard(
        "bandwidth: feedback of the forgotten is late",
        "src/bandwidth/history.rs",
        "forgotten |= delta.is_some();",
        "",
        "lib bandwidth::history::tests::feedback_of_what_is_forgotten_says_that_it_is_late_and_makes_room_for_later",
    ),
    Guard(
        "bandwidth: reports a viewer may send",
        "src/bandwidth/mod.rs",
        "if !self.estimator.may_be_told(millis) {",
        "if false {",
        "parts worker_bandwidth::one_that_lies_about_what_arrives_harms_nobody_but_itself",
    ),
    Guard(
        "bandwidth: loss that is usual",
        "src/bandwidth/controller.rs",
        "estimator.usual_loss().saturating_add(permille)",
        "permille",
        "lib bandwidth::tests::loss_that_a_path_always_has_keeps_nobody_down",
    ),
    Guard(
        "bandwidth: what a token bucket passes at once is not rated",
        "src/bandwidth/history.rs",
        "if index as u8 >= pass.rated_from && !pass.is_rated {",
        "if !pass.is_rated {",
        "lib bandwidth::history::tests::what_a_token_bucket_passes_at_once_is_no_part_of_a_trains_rate",
    ),
    Guard(
        "bandwidth: a short train says what a link carries at most",
        "src/bandwidth/estimator.rs",
        "if !spread.is_long && self.newest_rate().is_none_or(|known| rate >= known) {",
        "if false {",
        "lib bandwidth::tests::a_small_token_bucket_hides_from_nobody_what_a_link_carries",
    ),
    Guard(
        "bandwidth: trials wait longer and longer",
        "src/bandwidth/controller.rs",
        "self.wait_s = self.wait_s.saturating_mul(2).min(limits::TRIAL_WAIT_S_MAX);",
        "",
        "lib bandwidth::tests::a_token_bucket_shows_more_than_it_carries_and_trials_find_it_out_less_and_less_often",
    ),
    Guard(
        "bandwidth: the picture comes back",
        "src/bandwidth/controller.rs",
        "let due = now.has_reached(self.next_trial);",
        "let due = false;",
        "lib bandwidth::tests::what_carries_no_picture_gets_sound_only_and_the_picture_again_when_it_does",
    ),
    Guard(
        "bandwidth: no picture where none fits",
        "src/worker/outbound/visit.rs",
        "track.subscription.format().is_none() || track.is_withheld || track.is_held",
        "track.subscription.format().is_none() || track.is_held",
        "parts worker_bandwidth::what_carries_no_picture_gets_sound_alone_and_the_picture_again",
    ),
    Guard(
        "bandwidth: sound has no numbers",
        "src/worker/outbound/visit.rs",
        "            && is_video\n            && track.unsampled_until",
        "            && track.unsampled_until",
        "parts worker_bandwidth::sound_carries_no_numbers",
    ),
    Guard(
        "bandwidth: what is spread comes after the first",
        "src/bandwidth/history.rs",
        "if train.packets > 0 {",
        "if true {",
        "lib bandwidth::history::tests::the_spread_is_of_what_comes_after_the_first",
    ),
    Guard(
        "bandwidth: the pace of the path",
        "src/worker/outbound/adapt.rs",
        "track.pacer.set_capacity(Some(u32::try_from(capacity.bits_per_second()).unwrap_or(u32::MAX)));",
        "",
        "parts worker_bandwidth::a_key_frame_leaves_at_the_pace_of_the_path_when_that_is_known",
    ),
    Guard(
        "bandwidth: sound only keeps no encoding coming",
        "src/worker/peer.rs",
        "if self.listed.is_empty() || self.is_withheld {",
        "if self.listed.is_empty() {",
        "parts worker_bandwidth::what_carries_no_picture_gets_sound_alone_and_the_picture_again",
    ),
    Guard(
        "bandwidth: who will be known begins at the lowest",
        "src/worker/outbound/ladder.rs",
        "lowest().filter(|_| will_be_known)",
        "lowest().filter(|_| false)",
        "parts worker_simulcast::a_viewer_whose_network_will_be_known_begins_at_the_lowest",
    ),
    Guard(
        "bandwidth: the lowest, though a higher one came first",
        "src/worker/outbound/ladder.rs",
        "if is_new || !viewer.has_begun() {",
        "if !viewer.has_begun() {",
        "parts worker_bandwidth::who_waits_for_a_publisher_begins_at_the_lowest_though_a_higher_one_comes_first",
    ),
    Guard(
        "bandwidth: what is asked for again counts once",
        "src/bandwidth/missed.rs",
        "            // Once more.\n            return false;",
        "",
        "lib bandwidth::missed::tests::what_is_asked_for_again_and_again_counts_once_and_a_long_time_later_anew",
    ),
    Guard(
        "bandwidth: an outage is no narrow network",
        "src/bandwidth/missed.rs",
        "            && self.runs >= limits::MISSED_RUNS_MIN",
        "",
        "lib bandwidth::missed::tests::usual_loss_and_one_outage_are_not",
    ),
    Guard(
        "bandwidth: nothing into a full queue",
        "src/worker/outbound/adapt.rs",
        "track.is_held = true;",
        "",
        "parts worker_bandwidth::a_network_that_becomes_far_too_narrow_is_sent_nothing_until_it_has_drained",
    ),
    Guard(
        "bandwidth: a network is drained first",
        "src/relay/play/pacing.rs",
        "        if self.drained > now {",
        "        if false {",
        "lib relay::play::pacing::tests::a_path_that_has_become_narrow_is_sent_nothing_until_it_has_drained",
    ),
    Guard(
        "SDP: no numbers where repeats are the packets themselves",
        "src/signal/sdp/negotiate.rs",
        "if extensions.ids.transport_cc.is_none() || repeats {",
        "if extensions.ids.transport_cc.is_none() {",
        "lib signal::sdp::tests::answers::a_viewer_whose_repeats_are_the_packets_themselves_gets_no_numbers_on_them",
    ),
    Guard(
        "pacing: a key frame leaves in trains",
        "src/relay/play/pacing.rs",
        "if self.sent_until <= now {",
        "if true {",
        "parts worker_encodings::a_key_frame_is_sent_in_trains_and_sound_does_not_wait",
    ),
    Guard(
        "pacing: an ordinary frame is not cut, however large the stream's frames are",
        "src/relay/play/pacing.rs",
        "let at_once = at_once.clamp(limits::PACED_TRAIN_PACKETS, limits::PACED_PACKETS_AT_ONCE_MAX);",
        "let at_once = at_once.min(limits::PACED_TRAIN_PACKETS).max(limits::PACED_TRAIN_PACKETS);",
        "lib relay::play::pacing::tests::an_ordinary_frame_never_waits_however_large_the_streams_frames_are",
    ),
    Guard(
        "pacing: who lost packets is not hurried",
        "src/relay/play/pacing.rs",
        "if self.by_catching_up != SLOWEST || self.hurry.take().is_some() {",
        "if false {",
        "lib relay::play::pacing::tests::who_is_behind_is_hurried_until_it_is_at_the_edge_or_loses_packets",
    ),
    Guard(
        "pacing: repeats wait for their turn",
        "src/worker/outbound/retransmission.rs",
        "if track.kind == MediaKind::Video && !turn.is_paced && !is_probe {",
        "if false {",
        "parts worker_joins::a_repeat_of_what_was_squeezed_says_what_was_said",
    ),
    Guard(
        "pacing: a repeat that waits is not queued twice",
        "src/worker/inbound/feedback.rs",
        "if self.repairs.is_waiting(&repair) {",
        "if false {",
        "parts worker_joins::a_repeat_of_what_was_squeezed_says_what_was_said",
    ),
    Guard(
        "pacing: nothing is given back before its time",
        "src/relay/play/wheel.rs",
        "at.as_nanos().div_ceil(NANOS_PER_TICK)",
        "(at.as_nanos() / NANOS_PER_TICK)",
        "lib relay::play::wheel::tests::nothing_comes_before_its_time_and_nothing_a_millisecond_late",
    ),
    Guard(
        "join: from a key frame of the past",
        "src/worker/starts.rs",
        "else { limits::KEY_FRAME_AGE_MAX }",
        "else { limits::CONNECTION_KEY_FRAME_AGE_MAX }",
        "parts worker_joins::a_hundred_joins_ask_for_nothing_while_a_key_frame_is_there_and_then_for_one",
    ),
    Guard(
        "join: on a connection nothing begins in the past",
        "src/worker/starts.rs",
        "if by_connection { limits::CONNECTION_KEY_FRAME_AGE_MAX }",
        "if by_connection { limits::KEY_FRAME_AGE_MAX }",
        "parts worker_joins::who_comes_on_a_connection_begins_with_a_key_frame_of_now",
    ),
    Guard(
        "join: the ring keeps the newest key frame",
        "src/relay/store/packet_ring.rs",
        "let kept = if is_key_frame { limits::KEY_FRAME_AGE_MAX } else { limits::RING_HISTORY };",
        "let kept = if is_key_frame { limits::RING_HISTORY } else { limits::RING_HISTORY };",
        "lib relay::store::packet_ring::tests::the_newest_key_frame_stays_longer_than_other_packets_and_no_longer_than_anybody_starts_with_it",
    ),
    Guard(
        "join: timestamps are squeezed",
        "src/worker/outbound/visit.rs",
        "track.subscription.squeeze(&encoding.ring, start, lasts, newest, encoding.clock_rate_hz());",
        "let _ = (start, lasts, newest);",
        "parts worker_joins::who_comes_in_the_middle_sees_a_picture_at_once_and_is_at_the_live_edge_in_six_tenths_of_a_second",
    ),
    Guard(
        "join: who is behind is hurried",
        "src/worker/outbound/visit.rs",
        "        track.pacer.catch_up(pacing::catch_up_bits_per_second(encoding.rate(), bytes, time), from);\n",
        "        let _ = (from, time);\n",
        "parts worker_joins::who_comes_in_the_middle_sees_a_picture_at_once_and_is_at_the_live_edge_in_six_tenths_of_a_second",
    ),
    Guard(
        "join: time goes on where one that catches up is led on",
        "src/relay/play/subscription.rs",
        "if let Some(newest) = newest {",
        "if let Some(newest) = newest.filter(|_| false) {",
        "lib relay::play::subscription::tests::time_goes_on_where_one_that_is_catching_up_is_led_to_another_key_frame",
    ),
    Guard(
        "join: a repeat says what was said",
        "src/relay/play/rewriter.rs",
        "squeeze: run.squeeze_of(run.sequence_of(index)),",
        "squeeze: Squeeze::NONE,",
        "lib relay::play::subscription::tests::who_starts_in_the_past_is_told_that_it_is_now_and_repeats_say_the_same",
    ),
    Guard(
        "join: a squeeze ends",
        "src/relay/play/subscription.rs",
        "&& squeeze.before_edge(info.timestamp) < -limits::SQUEEZE_OVER_TICKS",
        "&& false && squeeze.before_edge(info.timestamp) < -limits::SQUEEZE_OVER_TICKS",
        "lib relay::play::subscription::tests::who_starts_in_the_past_is_told_that_it_is_now_and_repeats_say_the_same",
    ),
    Guard(
        "join: who is on its way asks nobody for a key frame",
        "src/worker/inbound/feedback.rs",
        "            Some(Wished::OnItsWay) => {\n                self.counters.dropped(DropReason::KeyFrameOnItsWay);\n                return;",
        "            Some(Wished::OnItsWay) => {\n                self.counters.dropped(DropReason::KeyFrameOnItsWay);",
        "parts worker_joins::a_viewer_that_has_just_started_asks_nobody_for_a_key_frame_and_afterwards_it_may",
    ),
    Guard(
        "join: who lost its first packets is started again",
        "src/worker/outbound/visit.rs",
        "} else if is_video && starts.is_due() {",
        "} else if false {",
        "parts worker_joins::who_lost_its_first_packets_is_started_again_from_the_ring_and_the_publisher_is_asked_for_nothing",
    ),
    Guard(
        "join: nobody is started again after it has gone over",
        "src/worker/starts.rs",
        "if self.is_later || !has_passed",
        "if !has_passed",
        "lib worker::starts::tests::who_has_gone_over_and_asks_is_sent_nothing_a_second_time",
    ),
    Guard(
        "bandwidth: room that was probed is made sure of",
        "src/limits/bandwidth.rs",
        "pub const RATES_FOR_TRIAL_MIN: usize = 2;",
        "pub const RATES_FOR_TRIAL_MIN: usize = 1;",
        "lib bandwidth::tests::a_receiver_that_is_busy_for_a_moment_makes_hardly_a_trial_behind_a_thin_link",
    ),
    Guard(
        "bandwidth: what makes sure is long",
        "src/bandwidth/controller.rs",
        "(limits::PROBE_SURE_PAUSE, limits::PROBE_PACKETS_SURE)",
        "(limits::PROBE_SURE_PAUSE, limits::PROBE_PACKETS)",
        "lib bandwidth::tests::a_receiver_that_is_busy_for_a_moment_makes_hardly_a_trial_behind_a_thin_link",
    ),
    Guard(
        "bandwidth: nothing is tried while probes can tell",
        "src/bandwidth/controller.rs",
        "if share.is_none() && place.can_probe && estimator.was_rated(now) {",
        "if false {",
        "lib bandwidth::tests::where_feedback_is_lost_nothing_is_tried_that_the_last_rate_says_not_to_fit",
    ),
    Guard(
        "bandwidth: a nearly full network is sampled more often",
        "src/bandwidth/mod.rs",
        "Room::Tight => limits::SAMPLE_INTERVAL_TIGHT,",
        "Room::Tight => limits::SAMPLE_INTERVAL_CALM,",
        "scoreboard a_network_that_is_nearly_full_is_watched_closely",
    ),
    Guard(
        "bandwidth: a network that looks wrong on and on is sampled less",
        "src/bandwidth/estimator.rs",
        "self.is_suspect(now) && self.suspect_signs <= limits::SUSPECT_SIGNS_NEW_MAX",
        "self.is_suspect(now)",
        "lib bandwidth::tests::a_viewer_whose_network_looks_wrong_on_and_on_is_sampled_as_one_whose_network_is_nearly_full",
    ),
    Guard(
        "pacing: who reports is not hurried before it has",
        "src/worker/outbound/visit.rs",
        "let from = if reports { now + limits::HURRIED_UNHEARD_AFTER } else { now };",
        "let from = now;",
        "scoreboard a_join_overruns_no_small_queue",
    ),
    Guard(
        "pacing: a known capacity ends the hurry",
        "src/relay/play/pacing.rs",
        "        if bits_per_second.is_some() {\n            self.unhurried();",
        "        if false {\n            self.unhurried();",
        "lib relay::play::pacing::tests::who_is_behind_is_hurried_until_it_is_at_the_edge_or_loses_packets",
    ),
    Guard(
        "bandwidth: what is heard makes a visit look again",
        "src/worker/outbound/adapt.rs",
        "        track.unsampled_until = Timestamp::ZERO;\n",
        "",
        "scoreboard a_network_that_is_nearly_full_is_watched_closely",
    ),
    Guard(
        "bandwidth: packets left when the kernel was handed them",
        "src/worker/outbox.rs",
        "self.tell_estimates(handed_over, peers);",
        "self.tell_estimates(io.now().max(handed_over), peers);",
        "parts worker_bandwidth::a_worker_that_stalls_when_the_kernel_has_its_packets_takes_nobody_to_be_late",
    ),
    Guard(
        "bandwidth: what a failed trial sent leaves first",
        "src/bandwidth/controller.rs",
        "if self.phase == Phase::Trial && estimator.queue_ms()[0] >= limits::QUEUE_DOWN_MS {",
        "if false {",
        "scoreboard what_a_trial_sent_leaves_before_what_follows_it",
    ),
    Guard(
        "bandwidth: jitter is no queue",
        "src/bandwidth/controller.rs",
        "limits::QUEUE_UP_MS + jitter_ms.min(limits::QUEUE_UP_MS)",
        "limits::QUEUE_UP_MS + 0 * jitter_ms",
        "scoreboard jitter_is_no_queue",
    ),
    Guard(
        "bandwidth: nothing is repeated of what a narrow link was let go of",
        "src/worker/outbound/retransmission.rs",
        "is_of_other && (track.has_let_go || track.pacer.is_waiting(now))",
        "is_of_other && track.pacer.is_waiting(now)",
        "scoreboard where_a_link_becomes_narrow_the_picture_stands_once",
    ),
    Guard(
        "join: started again at once",
        "src/worker/inbound/feedback.rs",
        "self.streams.wake(wanted, Subscriber { peer: from.key, track: index as u8 });",
        "",
        "parts worker_joins::who_has_caught_up_is_started_again_before_the_next_picture_comes",
    ),
    Guard(
        "join: not started again before the key frame has left",
        "src/worker/inbound/feedback.rs",
        "Cursor::At(position) => position > start.position && !is_of_key_frame(position),",
        "Cursor::At(_) => true,",
        "parts worker_joins::who_asks_while_its_key_frame_is_being_sent_is_not_started_again",
    ),
    Guard(
        "join: started again twice and no oftener",
        "src/worker/starts.rs",
        "|| self.again >= limits::STARTS_AGAIN_MAX {",
        "{",
        "lib worker::starts::tests::who_asks_when_it_has_just_started_is_started_twice_more_and_no_oftener",
    ),
    Guard(
        "join: one wish starts a viewer again once",
        "src/worker/starts.rs",
        "let is_answer = self.again == 0 || since >= limits::START_AGAIN_PAUSE;",
        "let is_answer = true;",
        "lib worker::starts::tests::who_asks_when_it_has_just_started_is_started_twice_more_and_no_oftener",
    ),
    Guard(
        "join: the first viewer of another worker is given the past",
        "src/worker/streams/wishes.rs",
        "self.replays.push(replay);",
        "let _ = replay;",
        "parts worker_joins::the_first_viewer_of_another_worker_starts_at_once_and_so_does_the_next_first_one",
    ),
    Guard(
        "join: another worker's past is whole before somebody starts",
        "src/relay/store/encoding.rs",
        "&& !self.is_replayed())?;",
        ")?;",
        "lib relay::store::encoding::tests::what_is_replayed_begins_when_it_is_whole_also_where_it_was_here_before",
    ),
    Guard(
        "join: what is replayed is not told twice",
        "src/worker/distribution.rs",
        "if audience.replayed.contains(key.encoding) {",
        "if false {",
        "lib worker::distribution::tests::what_comes_while_a_worker_is_given_the_past_is_not_told_it_before_its_turn",
    ),
    Guard(
        "join: another worker is given the past every second at most",
        "src/worker/replay.rs",
        ".filter(|_| !lately.contains(id))",
        "",
        "lib worker::streams::tests::another_workers_wish_for_a_picture_is_met_from_the_ring_and_no_oftener_than_every_second",
    ),
    Guard(
        "join: another worker that is given the past asks for nothing",
        "src/worker/streams/wishes.rs",
        "&& now.since(at) <= limits::REPLAY_TIME_MAX",
        "&& false && now.since(at) <= limits::REPLAY_TIME_MAX",
        "lib worker::streams::tests::another_workers_wish_for_a_picture_is_met_from_the_ring_and_no_oftener_than_every_second",
    ),
    Guard(
        "join: pictures are counted on where a viewer is started again",
        "src/relay/play/subscription.rs",
        "self.rewriter.go_over((encoding.id, start.sequence), timestamp_offset, renumbering.unwrap_or(before), now);",
        "let _ = renumbering;\n        self.rewriter.go_over((encoding.id, start.sequence), timestamp_offset, before, now);",
        "lib relay::play::subscription::tests::who_is_started_again_sees_new_numbers_new_pictures_and_later_times",
    ),
    Guard(
        "session: timers of what is sent wait for a path",
        "src/session/drive.rs",
        "self.ice.selected().map(|_| [",
        "Some(()).map(|()| [",
        "lib session::tests::lost_path::without_a_path_no_timer_is_due_for_ever_and_with_the_next_one_they_run_again",
    ),
    Guard(
        "connections: nothing for one that is full",
        "src/worker/outbound/visit.rs",
        "let is_full = self.peer.full_path == Some(path);",
        "let is_full = false;",
        "simulation proofs::nothing_is_found_where_everybody_is_on_connections",
    ),
    Guard(
        "connections: nothing is repeated over them",
        "src/worker/outbound/retransmission.rs",
        "if path.is_connection() {",
        "if false {",
        "simulation runner::the_committed_seeds_break_no_rule",
    ),
    Guard(
        "connections: who lags goes on at a key frame",
        "src/relay/play/subscription.rs",
        "let target = if is_video { ring.key_frame() } else { ring.newest() };",
        "let target = ring.newest();",
        "simulation proofs::nothing_is_found_where_everybody_is_on_connections",
    ),
    Guard(
        "turns: requests already read",
        "src/signal/turns.rs",
        "self.requests.get() > 0 && self.has_lasted_too_long()",
        "false",
        "lib signal::turns::tests::requests_that_have_been_read_already_are_begun_one_turn_after_the_other",
    ),
    Guard(
        "announced ports: each worker has its own",
        "src/transport/announced.rs",
        "|first| first.checked_add(worker))?;",
        "Some)?;",
        "lib transport::announced::tests::ports_are_those_that_clients_reach_and_count_up_by_worker",
    ),
    Guard(
        "announced ports: TURN reaches the UDP port that clients are told",
        "src/signal/turn_server.rs",
        "filter_map(|address| address.udp(worker.index.0, worker.media_port)));",
        "map(|address| SocketAddr::new(address.ip, worker.media_port)));",
        "node reach::a_network_that_maps_ports_is_announced_and_every_way_leads_through_it",
    ),
    Guard(
        "candidates: TCP only where HTTPS listens",
        "src/server/announce.rs",
        "if listens { AnnouncedTransports::Both } else { AnnouncedTransports::Udp };",
        "if listens { AnnouncedTransports::Both } else { AnnouncedTransports::Both };",
        "lib server::announce::tests::loopback_is_announced_only_where_it_is_served",
    ),
    Guard(
        "doctor --from: a session is ended before the next",
        "src/lab/reach/mod.rs",
        "        node.end(&session);\n",
        "",
        "node reach::every_way_is_tried_alone_and_none_leaves_a_session",
    ),
    Guard(
        "proxies: only trusted ones are believed",
        "src/signal/forwarded.rs",
        "if !is_proxy(peer) {",
        "if !is_proxy(peer) && !is_passed_on {",
        "parts proxies::who_is_no_trusted_proxy_cannot_be_another_client",
    ),
    Guard(
        "proxies: the last address that is none",
        "src/signal/forwarded.rs",
        "if !is_proxy(client) {",
        "if false {",
        "parts proxies::what_a_client_behind_the_proxy_writes_itself_changes_nothing",
    ),
    Guard(
        "proxies: quotes that a client leaves open",
        "src/signal/forwarded.rs",
        "text.iter().enumerate().rev()",
        "text.iter().enumerate()",
        "lib signal::forwarded::tests::the_client_is_the_last_address_that_is_no_trusted_proxy",
    ),
    Guard(
        "proxies: two headers that differ",
        "src/signal/forwarded.rs",
        "[Some(one), Some(other)] if one != other => return Err(ambiguous()),",
        "[Some(one), Some(other)] if one != other && one == peer => return Err(ambiguous()),",
        "parts proxies::what_a_client_behind_the_proxy_writes_itself_changes_nothing",
    ),
    Guard(
        "proxies: sockets too",
        "src/signal/socket/handshake.rs",
        "let from = service.opener.authorisation.sender(headers, request.extensions())?;",
        "let from = service.opener.authorisation.sender(&HeaderMap::new(), request.extensions())?;",
        "parts proxies::sockets_and_their_sessions_are_counted_for_the_client_too",
    ),
    Guard(
        "DNS rebinding: a stranger's name",
        "src/signal/host_names.rs",
        "match cors::is_local(authority) || self.has(authority, live) {",
        "match true || cors::is_local(authority) || self.has(authority, live) {",
        "parts host_names::where_nothing_judges_a_page_under_a_strangers_name_opens_reads_and_ends_nothing",
    ),
    Guard(
        "DNS rebinding: where some clients are not judged",
        "src/auth/mod.rs",
        "self.require && self.can_judge()",
        "self.can_judge()",
        "parts host_names::where_every_client_is_judged_the_name_does_not_matter_and_where_some_are_not_it_does",
    ),
    Guard(
        "DNS rebinding: a port that is none",
        "src/signal/cors.rs",
        "let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());",
        "let is_port = |_: &str| true;",
        "lib signal::cors::tests::a_name_that_a_name_server_answers_for_is_not_local",
    ),
    Guard(
        "paths: empty segments",
        "src/signal/router.rs",
        "path.strip_prefix('/').filter(",
        "Some(path.trim_start_matches('/')).filter(",
        "parts signal_http::every_refusal_has_its_status_its_code_and_a_way_out",
    ),
    Guard(
        "paths: encoded slashes",
        "src/signal/router.rs",
        "path.as_bytes().windows(3).any(is_slash)",
        "path.as_bytes().windows(3).any(is_slash) && path.len() > 99",
        "parts signal_http::every_refusal_has_its_status_its_code_and_a_way_out",
    ),
    Guard(
        "the webhook's questions: lines take turns",
        "src/auth/webhook/queue.rs",
        "        if line.may_ask() {\n            self.turns.push_back(address);",
        "        if line.may_ask() {\n            self.turns.push_front(address);",
        "lib auth::webhook::queue::tests::a_crowd_of_one_address_delays_another_ones_question_by_one_round",
    ),
    Guard(
        "the webhook's questions: a full queue has room for another address",
        "src/auth/webhook/queue.rs",
        "if line.questions.len() <= own + 1 {",
        "if line.questions.len() > own {",
        "lib auth::webhook::queue::tests::when_the_places_are_full_the_newest_question_of_the_longest_line_goes",
    ),
    Guard(
        "the webhook's questions: half of the threads for one address",
        "src/auth/webhook/queue.rs",
        "self.asked < limits::WEBHOOK_IN_FLIGHT_PER_ADDRESS_MAX",
        "self.asked < limits::WEBHOOK_IN_FLIGHT_MAX",
        "parts authorisation_fair::a_crowd_of_one_address_at_a_slow_endpoint_leaves_room_for_another_clients_question",
    ),
    Guard(
        "follows: the rate of an address",
        "src/auth/mod.rs",
        "return self.take_join(access).map(|()| None);",
        "return Ok(None);",
        "parts authorisation_fair::an_address_follows_at_the_rate_at_which_it_may_join",
    ),
    Guard(
        "follows: the rate of the node",
        "src/signal/admission.rs",
        "match self.follows.borrow().take(now) {",
        "match self.follows.borrow().take(now) || true {",
        "parts authorisation_fair::follows_of_all_clients_have_a_rate_and_take_nothing_from_the_sessions",
    ),
    Guard(
        "joins under a memory limit",
        "src/signal/admission.rs",
        "if self.memory.is_full() {",
        "if self.memory.is_full() && now == Timestamp::ZERO {",
        "operator stuck::a_node_in_a_small_control_group_refuses_joins_before_the_kernel_ends_it",
    ),
    Guard(
        "turns: bytes of one turn",
        "src/signal/turns.rs",
        "if self.turn.is_over() {",
        "if false {",
        "lib signal::turns::tests::one_turn_reads_so_many_bytes_and_the_next_one_goes_on",
    ),
    Guard(
        "turns: time of one turn",
        "src/signal/turns.rs",
        "clock::now().saturating_duration_since(self.began.get()) >= limits::TURN_TIME_MAX",
        "false",
        "lib signal::turns::tests::a_turn_that_lasts_too_long_reads_no_more",
    ),
    Guard(
        "turns: a network that has used its part waits",
        "src/signal/turns.rs",
        "if ticket.is_none() && turns.ledger.borrow().is_over(site, clock::now()) {",
        "if false {",
        "lib signal::turns::tests::who_has_used_its_part_waits_for_turns_and_others_do_not",
    ),
    Guard(
        "turns: sites of one /48",
        "src/signal/turns.rs",
        "is_over(site) || region_of(site).is_some_and(is_over)",
        "is_over(site)",
        "lib signal::turns::tests::a_network_has_a_burst_and_then_its_part_of_the_thread",
    ),
    Guard(
        "turns go round the networks",
        "src/signal/turns.rs",
        "                self.sites.push_back(site);",
        "                self.sites.push_front(site);",
        "lib signal::turns::tests::turns_go_round_the_networks_and_not_round_the_connections",
    ),
    Guard(
        "busy tasks and the kernel's news",
        "src/signal/runtime/mod.rs",
        ".preempt_timer(limits::EXECUTOR_POLL_INTERVAL)",
        "",
        "lib signal::runtime::tests::tasks_that_are_always_ready_do_not_keep_timers_and_io_waiting",
    ),
    Guard(
        "accepting: others have their turn",
        "src/signal/http.rs",
        "if accepted.is_multiple_of(limits::ACCEPTS_PER_TURN) {",
        "if false {",
        "lib signal::http::tests::connections_that_wait_are_not_all_accepted_before_others_have_their_turn",
    ),
    Guard(
        "HTTP/2 control frames: counted",
        "src/signal/http2_frames.rs",
        "self.allowed = self.allowed.checked_sub(1).ok_or(TooMany)?;",
        "self.allowed = self.allowed.saturating_sub(1);",
        "lib signal::http2_frames::tests::frames_that_ask_for_nothing_end_the_connection_after_a_burst",
    ),
    Guard(
        "HTTP/2 control frames: of the real node",
        "src/signal/http2_frames.rs",
        "this.frames.arrived(buffer.get(..bytes).unwrap_or_default(), clock::now()).is_err()",
        "bytes > buffer.len()",
        "node hostile_peers::floods::frames_that_ask_for_nothing_end_their_connection_and_hold_nobody_up",
    ),
    Guard(
        "a full table: the oldest that asked for nothing",
        "src/signal/connections.rs",
        "if self.few_left() {",
        "if false {",
        "lib signal::connections::tests::over_three_quarters_the_oldest_that_asked_for_nothing_gives_way_in_the_network_that_has_most",
    ),
    Guard(
        "a full table: the network that has most",
        "src/signal/connections.rs",
        "count.cmp(other).then(older.cmp(oldest))",
        "older.cmp(oldest).then(count.cmp(other))",
        "lib signal::connections::tests::over_three_quarters_the_oldest_that_asked_for_nothing_gives_way_in_the_network_that_has_most",
    ),
    Guard(
        "a full table: who has only just come",
        "src/signal/connections.rs",
        "|| self.displace(Displaced::Unfinished, |row| row.phase.get() == Phase::Unfinished)",
        "|| false",
        "lib signal::connections::tests::who_has_only_just_come_loses_its_place_when_there_is_no_other",
    ),
    Guard(
        "places by /56 and /48",
        "src/signal/admission.rs",
        "std::iter::once((own, max)).chain(wider)",
        "std::iter::once((own, max)).chain(wider.take(0))",
        "lib signal::admission::tests::the_networks_around_an_ipv6_client_have_bounds_that_grow_with_them",
    ),
    Guard(
        "handshake places: by address",
        "src/signal/handshake_places.rs",
        "all / limits::HANDSHAKES_ADDRESS_DIVISOR, exempt)",
        "all, exempt)",
        "lib signal::handshake_places::tests::neither_one_address_nor_one_token_has_all_places",
    ),
    Guard(
        "handshake places: by token",
        "src/signal/handshake_places.rs",
        "if count >= self.of_tokens.max {",
        "if false {",
        "lib signal::handshake_places::tests::neither_one_address_nor_one_token_has_all_places",
    ),
    Guard(
        "handshake places: given back",
        "src/signal/keeper.rs",
        "open.kept.handshake = None;",
        "let _ = &open.kept.handshake;",
        "parts signal_admission::an_address_has_a_part_of_the_places_for_who_is_not_connected_and_gets_them_back",
    ),
    Guard(
        "a session's ICE restarts",
        "src/signal/keeper.rs",
        "if !open.kept.restarts.take(at_once, pause, self.clock.now()) {",
        "if !open.kept.restarts.take(u32::MAX, pause, self.clock.now()) {",
        "parts signal_http::a_session_that_restarts_ice_in_a_loop_is_429_and_costs_its_worker_nothing",
    ),
    Guard(
        "silent signalling does not end media",
        "src/server/watchdog.rs",
        "!silent.iter().any(|one| one.carries_media)",
        "silent.is_empty()",
        "lib server::watchdog::tests::signalling_that_is_silent_is_told_and_does_not_end_media",
    ),
    Guard(
        "a kept key belongs to this user",
        "src/signal/tls/self_signed.rs",
        "check_owned(&pair.key, 0o077)?;",
        "",
        "lib signal::tls::tests::a_kept_key_that_somebody_else_may_have_put_there_is_refused_with_the_fix",
    ),
    Guard(
        "a secret in a file that everybody reads",
        "src/config/mod.rs",
        "metadata.is_file() && mode & 0o007 != 0",
        "metadata.is_file() && mode & 0o000 != 0",
        "operator authorisation::check_config_shows_neither_the_secret_nor_urls_that_may_hold_one",
    ),
    Guard(
        "a client error of the webhook",
        "src/auth/webhook/answers.rs",
        "(400..500).contains(&status) && !matches!(status, 408 | 429)",
        "(400..400).contains(&status)",
        "parts authorisation_webhook::a_client_error_refuses_its_own_question_and_never_pauses_the_endpoint",
    ),
    Guard(
        "readiness costs no report",
        "src/signal/admin.rs",
        "self.figures.keeper.workers().answering().await;",
        "self.figures.keeper.workers().reports().await.len();",
        "parts signal_http::readiness_costs_no_report_and_everybody_gets_the_same_report_for_a_second",
    ),
    Guard(
        "one report for all who ask",
        "src/signal/workers.rs",
        "&& self.is_fresh(*at, limits::REPORT_AGE_MAX)",
        "&& self.is_fresh(*at, std::time::Duration::ZERO)",
        "parts signal_http::readiness_costs_no_report_and_everybody_gets_the_same_report_for_a_second",
    ),
    Guard(
        "a report takes a bounded part of a round",
        "src/worker/control/reporting.rs",
        "for _ in 0..limits::REPORT_SESSIONS_PER_ROUND {",
        "for _ in 0..usize::MAX {",
        "parts worker_sessions::a_report_of_many_sessions_is_made_in_several_rounds_and_all_who_ask_get_it",
    ),
    Guard(
        "names that nobody publishes are no labels",
        "src/metrics/worker.rs",
        ".filter(|(_, (_, is_published))| *is_published)",
        ".filter(|(_, (_, is_published))| *is_published || true)",
        "lib metrics::tests::names_that_nobody_publishes_are_no_labels_and_published_ones_have_a_bound",
    ),
    Guard(
        "one viewer's key-frame requests",
        "src/worker/inbound/feedback.rs",
        "if !playback.key_frame_requests.take(at_once, pause, now) {",
        "if !playback.key_frame_requests.take(u32::MAX, pause, now) {",
        "parts worker_recovery::one_viewer_does_not_set_the_rate_of_everybodys_key_frames",
    ),
    Guard(
        "a close before the keys ends no handshake",
        "src/dtls/handshake.rs",
        "Some(DtlsEvent::Closed) if self.identity.is_none() => return Some(Outcome::Closed),",
        "Some(DtlsEvent::Closed) if self.now >= Timestamp::ZERO => return Some(Outcome::Closed),",
        "parts dtls_forged::a_strangers_close_before_his_certificate_ends_nothing",
    ),
    Guard(
        "what is squeezed is not sent as it is stored",
        "src/relay/play/rewriter.rs",
        "is_some_and(|passed| passed >= u64::from(run.squeezed));",
        "is_some_and(|passed| passed >= u64::from(run.squeezed & 1));",
        "lib relay::play::rewriter::tests::what_is_placed_as_it_is_stored_is_placed_as_everything_is",
    ),
    Guard(
        "a cursor before another codec is looked at",
        "src/relay/store/encoding.rs",
        "true => newest.max(Position(self.starts_from.0 + 1)),",
        "true => newest.max(Position(self.starts_from.0 & 1)),",
        "lib relay::store::encoding::tests::where_a_cursor_needs_no_look_everything_is_there_and_new_and_goes_on",
    ),
    Guard(
        "a client's own hello keeps its place",
        "src/dtls/handshake.rs",
        "let others = self.attempts.iter().enumerate().skip(1);",
        "let others = self.attempts.iter().enumerate().skip(0);",
        "parts dtls_forged::strangers_hellos_without_end_do_not_take_the_place_of_the_clients_own",
    ),
    Guard(
        "a publisher's ceiling",
        "src/relay/publish/publication.rs",
        "if !is_admitted {",
        "if false {",
        "parts worker_fairness::a_publisher_over_its_ceiling_is_told_and_what_is_over_it_goes_nowhere",
    ),
    Guard(
        "repeats relative to what was sent",
        "src/worker/repair_budget.rs",
        "self.credit > 0\n",
        "true\n",
        "parts worker_fairness::a_viewer_has_half_of_what_it_is_sent_again_and_a_lossy_one_lacks_nothing",
    ),
    Guard(
        "a path that passes no full packet",
        "src/worker/outbound/retransmission.rs",
        "if judged != Judged::Sent {",
        "if false {",
        "parts worker_fairness::a_path_that_passes_no_full_packet_is_named_once_and_no_longer_repeated_for",
    ),
    Guard(
        "sound from before a stop",
        "src/relay/play/subscription.rs",
        "if !is_video && ring.newest().and_then(|newest| ring.get(newest.position)).is_some_and(is_late) {",
        "if false && ring.newest().and_then(|newest| ring.get(newest.position)).is_some_and(is_late) {",
        "parts worker_fairness::after_a_stop_of_the_node_no_sound_is_sent_that_lay_in_its_socket_for_longer_than_a_viewer_may_lag",
    ),
    Guard(
        "a clock for a publisher without reports",
        "src/relay/publish/arrival_clock.rs",
        "if sent_us >= passed_us || jumped {",
        "if false {",
        "lib relay::publish::arrival_clock::tests::a_clock_that_jumps_is_followed",
    ),
    Guard(
        "a publisher's changes of profile",
        "src/relay/publish/publication/track.rs",
        "if self.changes.take(limits::CODEC_CHANGES_AT_ONCE, limits::CODEC_CHANGE_PAUSE, now) {",
        "if self.changes.take(u32::MAX, limits::CODEC_CHANGE_PAUSE, now) {",
        "lib relay::publish::publication::tests::a_profile_that_alternates_is_told_a_few_times_and_media_goes_on",
    ),
    Guard(
        "a log that nobody reads",
        "src/server/log.rs",
        "fmt::layer().with_writer(log_queue::of_process())",
        "fmt::layer().with_writer(stderr)",
        "operator stuck::a_log_that_nobody_reads_stops_neither_joins_nor_the_end_of_the_node",
    ),
    Guard(
        "a path has one owner",
        "src/transport/path_table.rs",
        "Some(owner) if owner != key => {",
        "Some(owner) if owner != key && known.others.len() > 1_000 => {",
        "parts worker_paths::a_forged_check_takes_neither_a_publishers_path_nor_a_viewers",
    ),
    Guard(
        "a path in dispute passes on only when its owner is silent",
        "src/worker/disputes.rs",
        "if owners > since {\n                    self.peers.settle_path(path);\n                } else if "
        "claimant.is_some_and(|at| at >= since) && now.since(since) >= limits::PATH_DISPUTE {",
        "if now.since(since) >= limits::PATH_DISPUTE {",
        "parts worker_paths::a_forged_check_takes_neither_a_publishers_path_nor_a_viewers",
    ),
    Guard(
        "a path has one owner, in the program",
        "src/transport/path_table.rs",
        "Some(owner) if owner != key => {",
        "Some(owner) if owner != key && known.others.len() > 1_000 => {",
        "node hostile_peers::forged::a_check_with_credentials_of_its_own_takes_neither_the_publishers_path_nor_the_viewers",
    ),
    Guard(
        "media moves when the new path has answered",
        "src/ice/checks.rs",
        "        if self.connected {\n            return self.nominate(path, now);",
        "        if self.connected && self.validated.is_empty() {\n            return self.nominate(path, now);",
        "lib ice::consent::tests::a_forged_source_address_gets_at_most_three_times_its_bytes_and_no_media",
    ),
    Guard(
        "a path has one owner, by the forger",
        "src/transport/path_table.rs",
        "Some(owner) if owner != key => {",
        "Some(owner) if owner != key && known.others.len() > 1_000 => {",
        "simulation forger::tests::a_forger_costs_nobody_a_packet",
    ),
    Guard(
        "a path has one owner, by pairs",
        "src/transport/path_table.rs",
        "Some(owner) if owner != key => {",
        "Some(owner) if owner != key && known.others.len() > 1_000 => {",
        "fuzz_corpora pairs",
    ),
    Guard(
        "a handshake proves the path that it was sent on",
        "src/session/peer.rs",
        "self.ice.handshake_completed(now);",
        "self.ice.adopt(path, now);",
        "parts worker_paths::the_last_flight_of_a_handshake_from_a_forged_address_proves_nothing_of_it",
    ),
    Guard(
        "a handshake sent on two paths proves neither",
        "src/ice/consent.rs",
        "HandshakeSent::On(_) | HandshakeSent::OnSeveral => HandshakeSent::OnSeveral,",
        "HandshakeSent::On(_) | HandshakeSent::OnSeveral => HandshakeSent::On(path),",
        "lib ice::consent::tests::a_handshake_that_was_sent_on_two_paths_proves_neither",
    ),
    Guard(
        "a connection takes nothing from a UDP path that lives",
        "src/ice/consent.rs",
        "if validated.confirmed(self.peer_answers).is_some_and(|confirmed| confirmed >= since) {",
        "if false {",
        "lib ice::consent::tests::a_nominated_connection_takes_nothing_from_a_udp_path_that_lives_and_all_from_one_that_is_silent",
    ),
    Guard(
        "a connection waits for a UDP path to be silent",
        "src/ice/consent.rs",
        "if validated.proven.is_some() && validated.unanswered() < limits::PATH_SILENT_REQUESTS_MIN {",
        "if false {",
        "lib ice::consent::tests::a_nominated_connection_takes_nothing_from_a_udp_path_that_lives_and_all_from_one_that_is_silent",
    ),
    Guard(
        "a connection nominated during the handshake gives way to UDP",
        "src/ice/checks.rs",
        "self.nomination = Some(Nomination { path: before, since: now });",
        "",
        "lib ice::consent::tests::during_the_handshake_a_nominated_connection_gives_way_to_a_nominated_udp_path_that_answers",
    ),
    Guard(
        "an answer counts once",
        "src/ice/consent.rs",
        "validated.answered = number;",
        "validated.answered = number - 1;",
        "lib ice::consent::tests::an_answer_counts_once_on_its_own_path_and_cannot_be_guessed",
    ),
    Guard(
        "consent is per path",
        "src/ice/consent.rs",
        "self.is_confirmed(path, limits::PATH_CONSENT, now)",
        "self.is_confirmed(path, limits::PATH_CONSENT * 100, now)",
        "lib ice::consent::tests::consent_ends_after_fifteen_seconds_although_checks_go_on_and_comes_back_with_an_answer",
    ),
    Guard(
        "media falls back to a path that lives",
        "src/ice/consent.rs",
        ".or_else(|| self.fall_back(now))",
        "",
        "lib ice::consent::tests::media_falls_back_to_a_living_path_within_ten_seconds_nominated_or_not",
    ),
    Guard(
        "an unproven address gets three times its bytes",
        "src/session/epoch.rs",
        "DtlsEvent::Datagram(len) if len <= ice.allowance(path) as usize => {",
        "DtlsEvent::Datagram(len) if len <= 1_000_000 + ice.allowance(path) as usize => {",
        "parts worker_paths::a_handshake_with_a_forged_address_is_given_no_more_than_it_sends",
    ),
    Guard(
        "replay window",
        "src/srtp/replay.rs",
        "if self.seen.get(word).is_some_and(|bits| bits & mask != 0) { Err(SrtpError::Replayed) } else { Ok(()) }",
        "if self.seen.get(word).is_some_and(|bits| bits & mask != 0) { Ok(()) } else { Ok(()) }",
        "parts worker_refusals::a_replayed_packet_is_counted_and_not_forwarded",
    ),
    Guard(
        "a profile is no gate",
        "src/description/codec_match.rs",
        ".map(|(distance, index)| (index, fit(distance)))",
        ".filter(|&(distance, _)| distance < UNDECODABLE).map(|(distance, index)| (index, fit(distance)))",
        "parts worker_encodings::a_viewer_of_constrained_baseline_is_sent_high_and_everyone_is_told",
    ),
    Guard(
        "Opus without its channels",
        "src/signal/sdp/codecs.rs",
        '(MediaKind::Audio, "OPUS/48000/2" | "OPUS/48000") =>',
        '(MediaKind::Audio, "OPUS/48000/2") =>',
        "lib signal::sdp::tests::leniency::gstreamers_players_that_leave_channels_and_packetisation_mode_out_are_answered_with_both_media",
    ),
    Guard(
        "a name and its publisher's subject",
        "src/auth/grant.rs",
        "self.who != Who::Unknown && self.who == other.who",
        "self.who != Who::Unknown",
        "parts takeover::a_name_is_taken_over_by_the_tokens_subject_and_from_a_silent_publisher_by_all_who_may_publish",
    ),
    Guard(
        "a proxy's address is nobody's",
        "src/auth/grant.rs",
        "self.who = Who::Unknown;",
        "self.who = self.who.clone();",
        "parts takeover::the_address_of_a_proxy_says_nothing_of_who_its_clients_are",
    ),
    Guard(
        "a publisher that lives",
        "src/worker/control/messages.rs",
        "now.since(last_heard) >= silence",
        "now.since(last_heard) <= silence",
        "parts worker_sessions::a_publisher_that_was_silent_for_two_seconds_yields_and_one_that_sends_does_not",
    ),
    Guard(
        "a refused offer replaces nobody",
        "src/signal/takeover.rs",
        "answers.answer(offer, Direction::Publish, worker, &random::token(), name).map_err(NotFreed::Refused)?;",
        "let _ = answers.answer(offer, Direction::Publish, worker, &random::token(), name).map_err(NotFreed::Refused);",
        "parts takeover::an_offer_that_is_refused_replaces_nobody",
    ),
    Guard(
        "the codec of what is published",
        "src/signal/opening.rs",
        "&& !of_kind.clone().any(is_offered)",
        "&& media.codecs.is_empty()",
        "parts signal_http::a_viewer_without_the_codec_of_what_is_published_is_told_so_and_not_served_silence",
    ),
    Guard(
        "one of several encodings",
        "src/relay/publish/publication.rs",
        "Standing::Other => return Err(NotForwarded::OtherEncoding),",
        "Standing::Other => is_successor = true,",
        "lib relay::publish::publication::tests::of_several_encodings_the_first_living_is_forwarded_and_only_its_own_repairs",
    ),
    Guard(
        "parameter sets of the offer",
        "src/relay/publish/publication.rs",
        "parameter_sets.begin_with(codec.codec, &media.parameter_sets)",
        "parameter_sets.begin_with(codec.codec, &[])",
        "lib relay::publish::publication::tests::parameter_sets_of_the_offer_are_put_before_key_frames_until_the_stream_brings_its_own",
    ),
    Guard(
        "the default route's address first",
        "src/server/announce.rs",
        "(Reach::of(address, route != usize::MAX), route)",
        "(Reach::of(address, false), 0)",
        "lib server::announce::tests::the_default_routes_address_comes_first_and_bridges_of_containers_last",
    ),
    Guard(
        "the end of what has just ended",
        "src/signal/resource.rs",
        "Err(_) if self.keeper.was_at_url(token, stream_name, direction) => return Ok(Response::default()),",
        "Err(_) if self.keeper.was_at_url(token, stream_name, direction) && token.is_empty() => return Ok(Response::default()),",
        "parts signal_http::the_end_of_a_session_that_has_just_ended_is_200_and_a_strangers_404",
    ),
    Guard(
        "one section without a group",
        "src/signal/sdp/negotiate.rs",
        "None => shared.sections.push((first, section)),",
        "None => return Err(Unsupported::NoMedia.into()),",
        "lib signal::sdp::tests::leniency::a_section_alone_needs_no_group_and_no_mid",
    ),
    Guard(
        "an old epoch of keys ends",
        "src/session/rekey.rs",
        "Stage::Retiring { until } if until <= now =>",
        "Stage::Retiring { until } if until <= now && now == Timestamp::ZERO =>",
        "lib session::tests::media_flows_both_ways_under_both_epochs_and_the_old_one_ends",
    ),
    Guard(
        "an old epoch seals no more",
        "src/session/epoch.rs",
        "self.sender = None;",
        "self.sealed_packets += 0;",
        "lib session::tests::an_explicit_call_ends_the_old_epoch_and_an_overlap_has_a_bound",
    ),
    Guard(
        "a sender goes on behind its last index",
        "src/srtp/sender.rs",
        "out.u32(self.next_rtcp_index);",
        "out.u32(0);",
        "lib srtp::tests::an_imported_sender_continues_above_its_last_index",
    ),
    Guard(
        "a replay window moves with its receiver",
        "src/srtp/replay.rs",
        "self.seen.iter().for_each(|word| out.u64(*word));",
        "self.seen.iter().for_each(|_| out.u64(0));",
        "lib srtp::tests::an_imported_receiver_refuses_what_was_accepted_before_export",
    ),
    Guard(
        "liveness expiry",
        "src/session/peer.rs",
        "let silent = self.last_heard + limits::SESSION_SILENCE_MAX;",
        "let silent = self.last_heard + limits::SESSION_SILENCE_MAX * 1_000;",
        "parts worker_sessions::thirty_seconds_of_silence_end_a_session_and_release_what_it_held",
    ),
    Guard(
        "fingerprint check",
        "src/dtls/fingerprint.rs",
        "if matches { Ok(()) }",
        "if matches || !der.is_empty() { Ok(()) }",
        "parts worker_refusals::a_wrong_fingerprint_ends_the_session_before_any_media",
    ),
    Guard(
        "another ClientHello begins another handshake",
        "src/dtls/handshake.rs",
        "let known = self.attempts.iter_mut().find(|attempt| {",
        "let known = self.attempts.iter_mut().find(|attempt| !attempt.random.is_empty() || {",
        "parts dtls_forged::no_forged_datagram_keeps_a_server_from_its_client",
    ),
    Guard(
        "a forged DTLS flight is not final",
        "src/dtls/peer_flight.rs",
        "(Err(Unverified::Signature), true) => verdict = Verdict::Doubtful(DtlsError::PeerMisbehaved),",
        "(Err(Unverified::Signature), true) => return Verdict::Refused(DtlsError::PeerMisbehaved),",
        "parts dtls_forged::no_forged_datagram_keeps_a_server_from_its_client",
    ),
    Guard(
        "a forged DTLS server flight is not final",
        "src/dtls/server_flight.rs",
        "(Err(_), false) => verdict = Verdict::Doubtful(DtlsError::FingerprintMismatch),",
        "(Err(_), false) => return Verdict::Refused(DtlsError::FingerprintMismatch),",
        "parts dtls_forged::no_forged_datagram_keeps_the_node_as_a_client_from_its_server",
    ),
    Guard(
        "a forged DTLS cookie is not the last",
        "src/dtls/classic_client.rs",
        "greeting.rival = Some((message.clone(), due));",
        "let _ = due;",
        "parts dtls_forged::no_forged_datagram_keeps_the_node_as_a_client_from_its_server",
    ),
    Guard(
        "consent survives a stop of the machine",
        "src/ice/consent.rs",
        "|| self.open && self.peer_answers && validated.proven.is_some() && !was_asked",
        "|| false && !was_asked",
        "lib ice::consent::tests::a_stop_of_the_machine_ends_no_consent_before_the_peer_was_asked",
    ),
    Guard(
        "a gap's time begins when it is looked at",
        "src/relay/publish/reception.rs",
        "(gap.seen, gap.next_request) = (now, now + limits::NACK_GRACE);",
        "let _ = now;",
        "lib relay::publish::reception::tests::what_fills_a_gap_is_taken_after_a_stop_however_long_it_waited",
    ),
    Guard(
        "no handshake on a contested path",
        "src/worker/inbound/datagram.rs",
        "if is_contested && peer.session.confirmed(path).is_none() {",
        "if false {",
        "parts worker_paths::a_stranger_who_claims_an_address_first_gets_none_of_its_handshake",
    ),
    Guard(
        "a stranger's whole handshake is not final",
        "src/dtls/handshake.rs",
        "let is_peers = attempt.engine.is_peer_proven() || error == DtlsError::Timeout;",
        "let is_peers = true;",
        "parts dtls_forged::a_strangers_whole_handshake_ends_nothing",
    ),
    Guard(
        "a refused ClientHello is not final",
        "src/dtls/handshake.rs",
        "self.refusal.get_or_insert((error, self.now + limits::DTLS_DOUBT_MAX));",
        "self.over = Some(error);",
        "parts dtls_forged::no_forged_datagram_keeps_a_server_from_its_client",
    ),
    Guard(
        "a DTLS cookie is compared before the library does",
        "src/dtls/classic.rs",
        "ClassicStage::Cookie if right && message.sequence == 1 => {",
        "ClassicStage::Cookie if message.sequence == 1 => {",
        "parts dtls_forged::a_hello_with_another_cookie_asks_for_the_right_one_again",
    ),
    Guard(
        "handshakes of one session are bounded",
        "src/dtls/handshake.rs",
        "if self.attempts.len() >= limits::DTLS_ATTEMPTS_MAX {",
        "if self.attempts.len() >= 1_000 {",
        "parts dtls_forged::handshakes_begun_in_a_peers_name_are_bounded_and_end",
    ),
    Guard(
        "a forged DTLS record number hides nothing",
        "src/dtls/record.rs",
        "(sequence, fragment).hash(&mut hasher);",
        "sequence.hash(&mut hasher);",
        "lib dtls::record::tests::a_record_is_accepted_once_and_a_forged_number_blocks_nothing",
    ),
    Guard(
        "a DTLS refusal is told by an alert",
        "src/dtls/handshake.rs",
        "            self.alert = error.alert();",
        "            self.alert = None;",
        "parts dtls_openssl::a_refused_client_is_told_by_an_alert_and_the_operator_by_a_name",
    ),
    Guard(
        "a fatal alert in plaintext ends nothing by itself",
        "src/dtls/handshake.rs",
        "let gave_up = matches!(error, DtlsError::PeerAlert(_)) && self.heard + limits::DTLS_DOUBT_MAX <= due;",
        "let gave_up = matches!(error, DtlsError::PeerAlert(_));",
        "parts dtls_forged::a_fatal_alert_ends_a_handshake_only_when_nothing_follows_it",
    ),
    Guard(
        "a DTLS fragment holds its own bytes",
        "src/dtls/front.rs",
        "[] => self.runs.insert(first, Run { start: offset, bytes: data.to_vec() }),",
        "[] => self.runs.insert(first, Run { start: offset, bytes: { let mut whole = Vec::with_capacity(self.length); "
        "whole.extend_from_slice(data); whole } }),",
        "lib dtls::front::tests::a_fragment_holds_its_own_bytes_and_not_what_its_header_announces",
    ),
    Guard(
        "incomplete DTLS messages are bounded",
        "src/dtls/front.rs",
        "while self.held_bytes() > DTLS_REASSEMBLY_BYTES_MAX {",
        "while self.held_bytes() > 8 * DTLS_REASSEMBLY_BYTES_MAX {",
        "lib dtls::front::tests::incomplete_messages_are_bounded_and_the_one_being_sent_stays",
    ),
    Guard(
        "ICE gate before DTLS: the worker's",
        "src/worker/inbound/datagram.rs",
        'peers.find_path(from).ok_or(DropReason::UnknownAddress)?;',
        'peers.find_path(from).or(peers.keys().first().map(|key| (Default::default(), *key))).ok_or(DropReason::UnknownAddress)?;',
        "parts worker_refusals::dtls_is_not_answered_before_a_valid_check",
    ),
    Guard(
        "ICE gate before DTLS: the session's",
        "src/session/drive.rs",
        "if !self.ice.is_validated(from.path) && !self.other_has_validated(from.path) {",
        "if !self.ice.is_validated(from.path) && !self.other_has_validated(from.path) && kind == DatagramKind::Unknown {",
        "parts session_gate::dtls_and_media_are_taken_from_validated_paths_only",
    ),
    Guard(
        "MESSAGE-INTEGRITY",
        "src/ice/checks.rs",
        "if !message.verify_integrity(password) {",
        "if !message.verify_integrity(password) && password.is_empty() {",
        "parts worker_refusals::a_forged_check_opens_no_path",
    ),
    Guard(
        "a check is believed once",
        "src/ice/checks.rs",
        "if !is_new && !self.is_validated(path) {",
        "if !is_new && !self.is_validated(path) && password.is_empty() {",
        "node hostile_peers::replays::media_and_checks_that_are_sent_again_move_nothing_and_reach_nobody",
    ),
    Guard(
        "lane bound",
        "src/worker/lane.rs",
        "let (producer, consumer) = RingBuffer::new(bytes);",
        "let (producer, consumer) = RingBuffer::new(bytes * 64);",
        "parts worker_recovery::a_full_lane_is_counted_and_its_viewers_go_on_from_a_key_frame_without_a_hole",
    ),
    Guard(
        "gap that nobody can fill",
        "src/relay/store/encoding.rs",
        "self.gap = self.starts_from > Position(0);",
        "self.gap = false;",
        "parts worker_recovery::a_viewer_that_has_sent_all_before_a_gap_goes_on_from_a_key_frame",
    ),
    Guard(
        "a listener that was away",
        "src/worker/control/routes.rs",
        "audience.listener == listener",
        "audience.listener.worker == listener.worker",
        "parts worker_recovery::a_worker_that_lost_its_last_viewer_and_got_another_unnoticed_is_introduced_again",
    ),
    Guard(
        "cursor lag skip",
        "src/relay/play/subscription.rs",
        "if now.since(info.arrival) > limits::CURSOR_LAG_MAX && self.packets > 0 {",
        "if false {",
        "parts worker_recovery::a_viewer_that_lags_skips_to_a_key_frame_without_a_hole_in_its_numbers",
    ),
    Guard(
        "RTX rewriting run",
        "src/relay/play/rewriter.rs",
        "self.earlier.get(after.checked_sub(1)?)?",
        "&self.current",
        "parts worker_recovery::what_was_sent_before_a_skip_is_still_repeated_by_the_numbers_it_had",
    ),
    Guard(
        "seal once: retransmissions",
        "src/relay/play/subscription.rs",
        "        self.rtx_index = index.next();\n",
        "",
        "parts worker_recovery::a_nack_is_answered_with_rtx_of_the_same_payload",
    ),
    Guard(
        "seal once: after a skip",
        "src/relay/play/rewriter.rs",
        "self.next_index = self.next_index.max(index.next());",
        "self.next_index = self.next_index.max(index);",
        "parts worker_recovery::a_viewer_that_lags_skips_to_a_key_frame_without_a_hole_in_its_numbers",
    ),
    Guard(
        "per-address limit",
        "src/signal/admission.rs",
        "networks(client, self.max.get());",
        "networks(client, self.max.get() * 1_000);",
        "parts signal_admission::an_address_with_as_many_sessions_as_it_may_is_429_until_one_has_ended",
    ),
    Guard(
        "handshake work per round",
        "src/worker/handshakes.rs",
        "let may = self.left > 0 && self.waiting.is_empty();\n        self.left -= usize::from(may);",
        "let may = true;",
        "parts worker_sessions::a_join_storm_waits_for_its_turn_and_everybody_connects",
    ),
    Guard(
        "handshakes under way",
        "src/worker/handshakes.rs",
        "self.under_way < limits::HANDSHAKES_PER_WORKER_MAX",
        "self.under_way < limits::HANDSHAKES_PER_WORKER_MAX * 1_000",
        "parts worker_sessions::as_many_handshakes_as_may_be_are_refused_by_name_until_one_is_over",
    ),
    # Who may do what.
    Guard(
        "a token's action",
        "src/auth/token.rs",
        "            return Err(Fault::WrongAction);\n",
        "",
        "parts authorisation::every_fault_of_a_token_is_refused_by_its_name_at_every_door_before_anything_is_read_or_taken",
    ),
    Guard(
        "a token's stream",
        "src/auth/token.rs",
        "            return Err(Fault::WrongStream);\n",
        "",
        "parts authorisation::every_fault_of_a_token_is_refused_by_its_name_at_every_door_before_anything_is_read_or_taken",
    ),
    Guard(
        "a token's end",
        "src/auth/token.rs",
        "        validation.validate_nbf = true;\n",
        "        validation.validate_nbf = true;\n        validation.validate_exp = false;\n",
        "parts authorisation::every_fault_of_a_token_is_refused_by_its_name_at_every_door_before_anything_is_read_or_taken",
    ),
    Guard(
        "critical extensions of a token",
        "src/auth/token.rs",
        "if header.crit.is_some() {",
        "if header.crit.is_some() && token.is_empty() {",
        "parts authorisation_keys::another_librarys_tokens_are_believed_by_their_keys_algorithm_and_by_nothing_a_token_says",
    ),
    Guard(
        "a token's pages",
        "src/auth/token.rs",
        "            origins.values().iter().find(means).ok_or(Fault::WrongOrigin)?;\n",
        "            let _ = origins.values().iter().find(means);\n",
        "parts authorisation::a_token_for_pages_of_an_origin_is_for_them_only",
    ),
    Guard(
        "a webhook that gives no answer",
        "src/auth/mod.rs",
        "Err(webhook::NoAnswer) => Err(Denied::Unavailable(\"the operator's authorisation service gives no answer\")),",
        "Err(webhook::NoAnswer) => Ok((None, None)),",
        "parts authorisation_webhook::an_answer_that_cannot_be_believed_lets_nobody_in",
    ),
    Guard(
        "too many failures",
        "src/auth/mod.rs",
        "wait.map_or(denied, Denied::TooManyFailures)",
        "wait.map_or(denied.clone(), |_| denied)",
        "parts authorisation::who_fails_too_often_is_429_and_a_good_token_from_the_same_address_is_not",
    ),
    Guard(
        "pages of other origins",
        "src/signal/router.rs",
        "if source == RequestOrigin::Foreign && route != \"page\" {",
        "if source == RequestOrigin::Foreign && route.is_empty() {",
        "parts signal_http::only_own_and_listed_pages_may_call",
    ),
    Guard(
        "figures for a token",
        "src/signal/admin.rs",
        "if self.is_remote || self.authorisation",
        "if self.authorisation",
        "parts authorisation::the_operators_port_off_loopback_is_tls_and_shows_figures_to_an_admin_token_only",
    ),
    Guard(
        "figures by no other name",
        "src/signal/admin.rs",
        "!cors::is_local(authority)",
        "authority.is_empty()",
        "parts authorisation::the_operators_port_on_loopback_shows_no_figures_to_a_page_that_reaches_it_under_a_name_of_its_own",
    ),
    Guard(
        "resuming by secret",
        "src/signal/sessions/table.rs",
        "if !bool::from(secret.as_bytes().ct_eq(given_secret.as_bytes())) {",
        "if secret.is_empty() && !bool::from(secret.as_bytes().ct_eq(given_secret.as_bytes())) {",
        "parts signal_sockets::lost::a_wrong_secret_resumes_nothing_and_takes_nothing_away",
    ),
    Guard(
        "signalling in simulation: given up is closed",
        "src/signal/keeper.rs",
        "if let Some(worker) = asked {",
        "if let Some(worker) = asked.filter(|_| false) {",
        "signalling_simulation runner::the_committed_seeds_break_no_rule",
    ),
    Guard(
        "signalling in simulation: a way back for the webhook",
        "src/limits/authorisation.rs",
        "pub const WEBHOOK_PAUSE: Duration = Duration::from_secs(2);",
        "pub const WEBHOOK_PAUSE: Duration = Duration::from_secs(20);",
        "signalling_simulation proofs::nothing_is_found_where_a_webhook_that_failed_always_answers_again",
    ),
    Guard(
        "data: high streams",
        "src/data/chunks.rs",
        "if u16::from_be_bytes(stream) < limits::DATA_STREAMS_MAX {",
        "if stream.len() == 2 {",
        "lib data::chunks::tests::high_streams_short_pieces_and_endless_chunks_are_refused_wherever_they_stand",
    ),
    Guard(
        "data: a channel is acknowledged",
        "src/data/channels.rs",
        "self.send_dcep(stream, ACK_MESSAGE.to_vec(), now);",
        "let _ = ACK_MESSAGE;",
        "lib data::channels::tests::channels_of_both_ends_open_on_their_own_streams_and_carry_messages_of_every_kind",
    ),
    Guard(
        "data: a restart ends the association",
        "src/data/association.rs",
        " | SocketEvent::OnConnectionRestarted() => {",
        " => {",
        "lib data::channels::tests::a_peer_that_restarts_the_association_ends_it",
    ),
    Guard(
        "data: the last message is retained",
        "src/data/ring.rs",
        "let kept = usize::from(self.retains());",
        "let kept = 0;",
        "lib data::ring::tests::the_last_message_stays_where_the_channel_retains_it_whatever_its_age",
    ),
    Guard(
        "data: a reliable channel never loses silently",
        "src/worker/channels/mirror.rs",
        "if missed > 0 && is_reliable {",
        "if missed > u64::MAX - 1 && is_reliable {",
        "parts worker_channels::a_stalled_viewer_lags_alone_loses_its_reliable_channel_and_gets_a_new_one_when_it_is_back",
    ),
    Guard(
        "data: messages a second",
        "src/worker/channels/uplink.rs",
        "} else if !rate.take(burst, pause, now) {",
        "} else if !rate.take(u32::MAX.max(burst), pause, now) {",
        "parts worker_channels::what_a_publisher_sends_too_much_of_is_refused_and_counted",
    ),
    Guard(
        "data: who may speak to the publisher",
        "src/worker/channels/mirror.rs",
        "mirror.filter(|_| may_speak)",
        "mirror.filter(|_| may_speak || true)",
        "parts worker_channels::what_a_viewer_may_say_reaches_the_publisher_and_nobody_else_from_every_worker",
    ),
    Guard(
        "data: how much a viewer says",
        "src/worker/channels/mirror.rs",
        "} else if !data.back.take(limits::DATA_BACK_VIEWER_BURST, pause, now) {",
        "} else if !data.back.take(limits::DATA_BACK_VIEWER_BURST * 100, pause, now) {",
        "parts worker_channels::what_viewers_say_is_bounded_for_each_and_for_their_publisher",
    ),
    Guard(
        "data: how much waits for a publisher",
        "src/worker/channels/back.rs",
        "<= limits::DATA_BUFFERED_BYTES_MAX;",
        "<= limits::DATA_BUFFERED_BYTES_MAX * 100;",
        "parts worker_channels::what_viewers_say_is_bounded_for_each_and_for_their_publisher",
    ),
    Guard(
        "data: turned off",
        "src/signal/sdp/negotiate.rs",
        "filter(|_| data && shared.data.is_none())",
        "filter(|_| (data || true) && shared.data.is_none())",
        "lib signal::sdp::tests::answers::a_node_that_takes_no_data_channels_refuses_their_section_and_accepts_the_others",
    ),
    Guard(
        "data: a peer causes no line of the log",
        "src/server/log.rs",
        '.with_target("dcsctp", LevelFilter::OFF)',
        '.with_target("dcsctp", LevelFilter::WARN)',
        "lib server::log::tests::the_level_is_this_programs_only_and_no_peer_causes_a_line",
    ),
    Guard(
        "data: whose token lets it speak",
        "src/auth/mod.rs",
        "access.action == Action::Play && claims.as_ref().is_some_and(|claims| claims.messages)",
        "access.action == Action::Play && claims.as_ref().is_some_and(|claims| !claims.messages)",
        "lib auth::tests::who_may_speak_to_the_publisher_is_the_tokens_word_and_nobodys_where_nobody_judges",
    ),
    Guard(
        "data: SCTP packets a second",
        "src/worker/peer_channels.rs",
        "if !take(&mut self.packets, limits::DATA_PACKETS_BURST,",
        "if !take(&mut self.packets, u32::MAX.max(limits::DATA_PACKETS_BURST),",
        "node hostile_peers::sctp::a_viewers_sctp_floods_and_tricks_cost_the_others_nothing",
    ),
    Guard(
        "data: what a viewer may send",
        "src/worker/peer_channels.rs",
        "if !(0..chunks).all(|_| take(",
        "if chunks > u32::MAX - 1 && !(0..chunks).all(|_| take(",
        "parts worker_channels::what_a_viewer_sends_goes_nowhere_and_is_counted_and_a_flood_of_it_is_cut",
    ),
    Guard(
        "data: a full lane is told of",
        "src/worker/channels/uplink.rs",
        "audience.knows_channels = knows && self.lanes.send(worker, address, &Record::Data(record));",
        "audience.knows_channels = knows | self.lanes.send(worker, address, &Record::Data(record));",
        "parts worker_channels::a_viewer_sees_that_one_message_is_missing_for_which_a_lane_had_no_room",
    ),
    Guard(
        "TURN: peers that are not this node's own media",
        "src/turn/requests.rs",
        "match self.peers.iter().any(|peer| is_it(peer.address)) {",
        "match self.peers.iter().any(|peer| is_it(peer.address) || true) {",
        "lib turn::tests::no_peer_but_this_nodes_own_media_is_permitted_or_bound",
    ),
    Guard(
        "TURN: IPv4 within IPv6",
        "src/turn/client.rs",
        "SocketAddr::new(address.ip().to_canonical(), address.port())",
        "address",
        "lib turn::tests::no_peer_but_this_nodes_own_media_is_permitted_or_bound",
    ),
    Guard(
        "TURN: expired credentials",
        "src/turn/greeting.rs",
        ".filter(|claim| claim.expires_s > unix_s)",
        ".filter(|claim| claim.expires_s > 0 * unix_s)",
        "lib turn::tests::who_has_no_wrong_expired_foreign_or_ended_credentials_gets_401_and_a_nonce",
    ),
    Guard(
        "TURN: credentials of an ended session",
        "src/turn/greeting.rs",
        "if lives(session) => {",
        "if lives(session) || true => {",
        "lib turn::tests::who_has_no_wrong_expired_foreign_or_ended_credentials_gets_401_and_a_nonce",
    ),
    Guard(
        "TURN: the password",
        "src/turn/greeting.rs",
        "if !message.verify_integrity(&key) {",
        "if false {",
        "lib turn::tests::who_has_no_wrong_expired_foreign_or_ended_credentials_gets_401_and_a_nonce",
    ),
    Guard(
        "TURN: the nonce",
        "src/turn/greeting.rs",
        "if given != nonce.as_bytes() {",
        "if false {",
        "lib turn::tests::requests_need_the_same_user_its_key_and_the_nonce_of_the_hour",
    ),
    Guard(
        "TURN: requests of strangers",
        "src/turn/greeting.rs",
        "|| self.requests > limits::TURN_GREETING_REQUESTS_MAX",
        "",
        "lib turn::tests::strangers_may_ask_a_few_times_and_send_nothing_else",
    ),
    Guard(
        "TURN: data without a permission",
        "src/turn/inbound.rs",
        "peer.address == to && now < peer.permitted_until",
        "peer.address == to",
        "lib turn::tests::datagrams_go_both_ways_by_indication_and_by_channel_while_they_are_permitted",
    ),
    Guard(
        "TURN: channels that have run out",
        "src/turn/inbound.rs",
        "bound == number && now < until",
        "bound == number",
        "lib turn::tests::datagrams_go_both_ways_by_indication_and_by_channel_while_they_are_permitted",
    ),
    Guard(
        "TURN: a flood of requests",
        "src/turn/inbound.rs",
        "if !self.requests.take(at_once, pause, now) {",
        "if !self.requests.take(at_once, pause, now) && false {",
        "lib turn::tests::who_floods_with_requests_or_has_too_many_allocations_is_closed",
    ),
    Guard(
        "TURN: clients that carry nothing",
        "src/net/connections.rs",
        "if relay.client.kept_until() <= now {",
        "if relay.client.kept_until() <= Timestamp::ZERO {",
        "lib net::connections::tests::a_turn_client_that_carries_nothing_is_closed_after_a_while_and_gives_way_to_newcomers",
    ),
    Guard(
        "TURN: allocations of one session",
        "src/net/connections.rs",
        "of_session.len() >= limits::TURN_ALLOCATIONS_PER_SESSION_MAX",
        "of_session.len() >= usize::MAX",
        "lib net::connections::tests::a_turn_client_that_carries_nothing_is_closed_after_a_while_and_gives_way_to_newcomers",
    ),
    Guard(
        "TURN: clients of one worker",
        "src/net/connections.rs",
        "self.clients >= limits::TURN_CLIENTS_PER_WORKER_MAX",
        "self.clients >= usize::MAX",
        "lib net::connections::tests::a_turn_client_that_carries_nothing_is_closed_after_a_while_and_gives_way_to_newcomers",
    ),
    Guard(
        "viewers on connections come last",
        "src/relay/play/fan_out.rs",
        "Carried::ByConnection => &mut self.connections,",
        "Carried::ByConnection => &mut self.datagrams,",
        "lib relay::play::fan_out::tests::connections_come_after_all_others_and_are_not_forgotten_where_there_is_no_end_to_them",
    ),
    Guard(
        "viewers on connections are not forgotten",
        "src/relay/play/fan_out.rs",
        "if self.passed_over >= limits::CONNECTION_VISIT_EVERY {",
        "if false {",
        "lib relay::play::fan_out::tests::connections_come_after_all_others_and_are_not_forgotten_where_there_is_no_end_to_them",
    ),
    Guard(
        "TURN: connections end with their session",
        "src/worker/outbox.rs",
        "io.close_of(session.0);",
        "let _ = session;",
        "node over_turn::nothing_is_relayed_elsewhere_and_credentials_end_with_their_session",
    ),
    Guard(
        "TURN: TLS is told from HTTP inside",
        "src/signal/http.rs",
        "if early.first().is_some_and(|first| *first <= 3) {",
        "if false {",
        "node over_turn::nothing_is_relayed_elsewhere_and_credentials_end_with_their_session",
    ),
    Guard(
        "keys: the old transport ends with its keys when the client has switched",
        "src/worker/rekey.rs",
        "let Some(mut before) = self.remove_transport(old, now) else { return };",
        "let Some(mut before) = self.remove_transport(PeerKey::default(), now) else { return };",
        "parts worker_rekey::a_viewers_transports_both_play_until_it_says_that_it_has_switched_and_they_are_one_session",
    ),
    Guard(
        "keys: a second transport is not a second session in the report",
        "src/worker/control/reporting.rs",
        "let Some(peer) = peers.get(key).filter(|peer| !peer.rekeying.is_new()) else { continue };",
        "let Some(peer) = peers.get(key) else { continue };",
        "parts worker_rekey::a_viewers_transports_both_play_until_it_says_that_it_has_switched_and_they_are_one_session",
    ),
    Guard(
        "keys: the time of both transports is bounded",
        "src/worker/rekey.rs",
        "let is_over = peer.overlap_ends().is_some_and(|ends| ends <= now);",
        "let is_over = peer.overlap_ends().is_some_and(|ends| ends < ends);",
        "parts worker_rekey::a_publishers_transport_without_a_key_frame_is_given_up_and_the_old_one_was_never_interrupted",
    ),
    Guard(
        "keys: a publisher's old transport stores nothing beside the new one",
        "src/worker/next_publisher.rs",
        "return if self.has(encoding) { Passage::Dropped } else { Passage::Passes };",
        "return Passage::Passes;",
        "lib worker::next_publisher::tests::each_encoding_goes_over_with_its_own_key_frame_and_sound_with_the_first",
    ),
    Guard(
        "keys: what a publisher's old transport sent meanwhile is a gap when it takes its stream back",
        "src/worker/rekey.rs",
        "self.streams.interrupt(EncodingKey { stream, encoding });",
        "let _ = EncodingKey { stream, encoding };",
        "parts worker_rekey::a_publishers_new_transport_that_fails_after_it_took_over_gives_the_stream_back_with_a_key_frame",
    ),
    Guard(
        "keys: a second offer carries what the first one does",
        "src/signal/keeper/rekey.rs",
        "if carried(&open.kept.description) != carried(&next.description) {",
        "if carried(&open.kept.description) != carried(&next.description) && cfg!(any()) {",
        "parts signal_rekey::what_cannot_be_answered_changes_nothing",
    ),
    Guard(
        "keys: who joins comes before who is asked for other keys",
        "src/worker/handshakes.rs",
        "self.may_rekey() && self.asked_for_keys",
        "self.asked_for_keys",
        "parts worker_rekey::who_joins_comes_before_who_is_asked_for_other_keys",
    ),
    Guard(
        "keys: no more packets under a key than may be",
        "src/worker/rekey.rs",
        "if used >= policy.packets_max {",
        "if used >= policy.packets_max && cfg!(any()) {",
        "parts worker_rekey::no_more_packets_are_sent_under_a_key_than_may_be",
    ),
    Guard(
        "keys: a client without a socket is ended only where the operator says so",
        "src/signal/keeper/rekey.rs",
        "else if has_url && self.plain_clients.get() == PlainClients::End {",
        "else if has_url {",
        "parts signal_rekey::a_client_that_has_only_a_url_is_counted_and_ended_where_the_operator_says_so",
    ),
    Guard(
        "keys: the load tester counts what neither of two transports brought",
        "src/lab/peer/viewer/handover.rs",
        "let has = |number: &i64| old.came.contains(number) || self.came.contains(number);",
        "let has = |_: &i64| true;",
        "lib lab::peer::viewer::handover::tests::what_either_brought_is_not_lost",
    ),
    Guard(
        "keys in simulation: a transport that is told to be over is over",
        "src/worker/rekey.rs",
        "let Some(mut before) = self.remove_transport(old, now) else { return };",
        "if let Some(is) = self.peers.get(old).map(|peer| peer.id) { self.told_outcome(is, outcome) }\n        let Some(mut before) = self.remove_transport(PeerKey::default(), now) else { return };",
        "simulation rekeys::tests::every_plan_comes_out_as_it_should_for_viewers_and_publishers_at_once",
    ),
    Guard(
        "keys in simulation: the time of both transports is bounded",
        "src/worker/rekey.rs",
        "overlap_ends: Some(now + limits::EPOCH_OVERLAP_MAX) };",
        "overlap_ends: Some(now + limits::EPOCH_OVERLAP_MAX * 2) };",
        "simulation rekeys::tests::every_plan_comes_out_as_it_should_for_viewers_and_publishers_at_once",
    ),
    Guard(
        "keys in simulation: a viewer's two transports have one timeline",
        "src/worker/rekey.rs",
        "track.subscription.begin_with_timestamp_offset(timestamp_offset);",
        "let _ = timestamp_offset;",
        "simulation rekeys::tests::every_plan_comes_out_as_it_should_for_viewers_and_publishers_at_once",
    ),
    Guard(
        "keys in simulation: a publisher's next transport goes on in time",
        "src/relay/store/timeline.rs",
        "let passed_ms = arrival.since(last.arrival).as_millis().max(1);",
        "let passed_ms = arrival.since(last.arrival).as_millis().max(5_000);",
        "simulation rekeys::tests::every_plan_comes_out_as_it_should_for_viewers_and_publishers_at_once",
    ),
    Guard(
        "keys in simulation: a stream that is given back goes on",
        "src/worker/rekey.rs",
        "taken_back.iter().for_each(|encoding| publication.begin_anew(encoding));",
        "let _ = (&taken_back, publication);",
        "simulation rekeys::tests::every_plan_comes_out_as_it_should_for_viewers_and_publishers_at_once",
    ),
    Guard(
        "keys in simulation: TURN of a transport ends with it",
        "src/worker/rekey.rs",
        "self.peers.leave_relays(&peer, other);",
        "let _ = other;",
        "simulation rekeys::tests::turn_and_connections_of_a_transport_end_with_it",
    ),
    Guard(
        "keys in simulation: a second transport is let go of with its session",
        "src/worker/rekey.rs",
        "self.end_new_transport(new, Rekeyed::SessionEnded, now);",
        "let _ = (new, Rekeyed::SessionEnded);",
        "simulation rekeys::tests::every_plan_comes_out_as_it_should_for_viewers_and_publishers_at_once",
    ),
    Guard(
        "keys in simulation: a word that comes twice changes nothing",
        "src/worker/rekey.rs",
        "if old.rekeying != Rekeying::No {",
        "if old.rekeying != Rekeying::No && cfg!(any()) {",
        "simulation rekeys::tests::every_plan_comes_out_as_it_should_for_viewers_and_publishers_at_once",
    ),
    Guard(
        "keys: a publisher's picture numbers go on with its second transport",
        "src/worker/picture_counts.rs",
        "(shift != NumberShift::default()).then_some((codec, shift))",
        "(shift != NumberShift::default() && cfg!(any())).then_some((codec, shift))",
        "parts worker_rekey_pictures::viewers_see_one_run_of_picture_numbers_whichever_transport_of_the_publisher_they_are_of",
    ),
    Guard(
        "keys: what is left of a publisher's numbers before is not taken for a new beginning",
        "src/worker/picture_counts.rs",
        "Some(run) if run.retired == Some(media.incarnation) => return None,",
        "Some(run) if run.retired == Some(media.incarnation) && cfg!(any()) => return None,",
        "lib worker::picture_counts::tests::a_late_packet_of_the_numbers_before_changes_nothing",
    ),
    Guard(
        "keys: a viewer's channels pass on when all before has been acknowledged",
        "src/worker/channels/handover.rs",
        "if before.channels.as_ref().is_some_and(|channels| !channels.is_drained()) {",
        "if before.channels.is_none() {",
        "parts worker_channels::a_viewers_channels_open_anew_where_the_old_transport_ends_with_messages_on_their_way",
    ),
    Guard(
        "keys: a viewer's channels are given nothing by the old transport when the new one has them",
        "src/worker/channels/handover.rs",
        "before.is_replaced = true;",
        "before.is_replaced = false;",
        "parts worker_channels::a_viewers_channels_pass_to_its_second_transport_with_every_message_once_and_in_order",
    ),
    Guard(
        "keys: a viewer's channels are the old transport's again when the new one is given up",
        "src/worker/rekey.rs",
        "data.is_replaced = false;",
        "data.is_replaced = true;",
        "parts worker_channels::a_viewers_channels_are_its_first_transports_again_where_the_second_is_given_up",
    ),
    Guard(
        "keys: a viewer's channels that waited for the old transport open when it has ended",
        "src/worker/rekey.rs",
        "self.list_channels(new);",
        "let _ = new;",
        "parts worker_channels::a_viewers_channels_open_anew_where_the_old_transport_ends_with_messages_on_their_way",
    ),
]


def copy_tree():
    """The files git knows or would know, in a tree of their own; unchanged ones keep their time."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    wanted = {name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()}
    for name in sorted(wanted):
        source, target = ROOT / name, TREE / name
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    for path in sorted(TREE.rglob("*"), reverse=True):
        if path.is_file() and str(path.relative_to(TREE)) not in wanted:
            path.unlink()
    seed = ROOT / "target" / "debug"
    if not BUILD.exists() and seed.exists():
        # Dependencies only: what this crate compiled to there is of no use here, and large.
        for directory in ("build", "deps", ".fingerprint"):
            shutil.copytree(seed / directory, BUILD / "debug" / directory, symlinks=True, ignore=of_this_crate)


def of_this_crate(directory, names):
    """What to leave out of the copied build: this crate's own results, and test programs, which have no suffix."""
    in_deps = Path(directory).name == "deps"
    programs = {name for name in names if in_deps and "." not in name}
    return programs | {name for name in names if "corecast" in name}


def run(test, jobs, time_max_s):
    """Runs one test: "passed", "failed" or what went wrong, and how long it took, building included."""
    binary, name = test.split(" ")
    started = time.monotonic()
    # This crate unoptimised compiles in a third of the time; its dependencies are as they were.
    environment = {**os.environ, "CARGO_TARGET_DIR": str(BUILD), "CARGO_PROFILE_DEV_OPT_LEVEL": "0"}
    environment.pop("CORECAST_BIN", None)
    program = ["--lib"] if binary == "lib" else ["--test", binary]
    base = ["cargo", "test", "--quiet", "--offline", "-p", "corecast", *program, "-j", str(jobs)]
    built = subprocess.run([*base, "--no-run"], cwd=TREE, env=environment, capture_output=True, text=True)
    if built.returncode:
        return "does not compile:\n" + built.stderr[-3000:], time.monotonic() - started
    command = [*base, "--", "--exact", name]
    try:
        done = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True, timeout=time_max_s)
    except subprocess.TimeoutExpired:
        return "failed", time.monotonic() - started
    if "running 1 test" not in done.stdout:
        return f"there is no test {name} in {binary}\n" + done.stdout[-500:], time.monotonic() - started
    return ("failed" if done.returncode else "passed"), time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="may be repeated")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    parts = arguments.only or [""]
    for part in parts:
        if not any(part in guard.name for guard in GUARDS):
            parser.error(f"--only {part}: no such guard")
    guards = [guard for guard in GUARDS if any(part in guard.name for part in parts)]
    gone = [guard for guard in guards if (ROOT / guard.file).read_text().count(guard.text) != 1]
    for guard in gone:
        print(f"{guard.name}: its text is not in {guard.file} exactly once: the guard has moved, follow it", file=sys.stderr)
    if arguments.list:
        for guard in guards:
            print(f"{guard.name:<32} {guard.file:<28} {guard.test}")
    if gone or arguments.list:
        return 1 if gone else 0
    copy_tree()
    bad = 0
    time_max_s = {}
    for test in dict.fromkeys(guard.test for guard in guards):
        result, seconds = run(test, arguments.jobs, 5 * TEST_TIME_MAX_S)
        time_max_s[test] = max(TEST_TIME_MAX_S, 4 * seconds)
        if result != "passed":
            bad += 1
            print(f"unchanged, {test}: {result} ({seconds:.0f} s)", file=sys.stderr)
    if bad:
        return 1
    print(f"{'guard':<32} caught    s  test that must fail", flush=True)
    for guard in guards:
        file = TREE / guard.file
        whole = file.read_text()
        try:
            file.write_text(whole.replace(guard.text, guard.broken))
            result, seconds = run(guard.test, arguments.jobs, time_max_s[guard.test])
        finally:
            file.write_text(whole)
        caught = result == "failed"
        bad += not caught
        print(f"{guard.name:<32} {'yes' if caught else 'NO':<6} {seconds:>4.0f}  {guard.test}", flush=True)
        if result not in ("failed", "passed"):
            print(result, file=sys.stderr)
    print(f"{len(guards) - bad} of {len(guards)} caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
