//! Each rule fires: in a world where nothing else goes wrong, one deliberate defect is found out, by the rule it breaks.

use std::time::Duration;

use crate::runner::run;
use crate::scenario::{Sabotage, Scenario};

fn found_by(sabotage: Sabotage) -> Option<&'static str> {
    run(Scenario { sabotage: Some(sabotage), ..Scenario::calm(3) }).violation.map(|violation| violation.rule)
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let outcome = run(Scenario::calm(3));
    assert_eq!(outcome.violation, None, "{:#?}", outcome.counts);
    assert!(outcome.elapsed > Duration::from_secs(100));
}

/// Questions fail one after the other until faults stop, so that the endpoint is not asked for a while when it answers again.
#[test]
fn nothing_is_found_where_a_webhook_that_failed_always_answers_again() {
    for seed in 1..=4 {
        let outcome = run(Scenario { webhook_faults: 1.0, storm: Duration::from_secs(10), ..Scenario::calm(seed) });
        assert_eq!(outcome.violation, None, "{:#?}", outcome.counts);
    }
}

#[test]
fn clients_that_a_silent_webhook_keeps_out_are_found() {
    assert_eq!(found_by(Sabotage::SilentWebhook), Some("liveness"));
}

#[test]
fn a_publishers_worker_that_is_not_told_of_viewers_is_found() {
    assert_eq!(found_by(Sabotage::LosesRoutes), Some("liveness"));
}

#[test]
fn a_session_that_the_book_has_and_no_worker_is_found() {
    assert_eq!(found_by(Sabotage::LosesNotices), Some("counts agree"));
}

#[test]
fn a_session_that_is_opened_twice_is_found() {
    assert_eq!(found_by(Sabotage::OpensTwice), Some("opened once"));
}

#[test]
fn a_name_with_two_publishers_is_found() {
    // Not in every world does a publisher come to a name that is taken.
    let found = |seed| {
        let scenario = Scenario { sabotage: Some(Sabotage::GivesNameTwice), ..Scenario::calm(seed) };
        run(scenario).violation.map(|violation| violation.rule)
    };
    let found: Vec<_> = (1..=8).filter_map(found).collect();
    assert!(found.contains(&"one publisher"), "{found:?}");
}

#[test]
fn a_thread_that_stands_still_is_found() {
    assert_eq!(found_by(Sabotage::StandsStill), Some("answers in time"));
}
