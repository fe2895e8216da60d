//! A crowd comes within five seconds, to a stream with a key frame every two seconds: the publisher is asked for none.
//!
//! `cargo test --release --test node joins:: -- --ignored --nocapture` has a thousand of them, and tells how soon they had a
//! picture. Every test run has 150: what two cores can shake hands with while others use them.

use std::time::{Duration, Instant, SystemTime};

use corecast::description::Direction;
use corecast::dtls::DtlsIdentity;
use corecast::lab::peer::fleet::Fleet;
use corecast::net;

use crate::honest::{self, Client, Honest};
use crate::node::Node;

const WITHIN: Duration = Duration::from_secs(5);
/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_crowd_that_joins_asks_the_publisher_for_no_key_frame() {
    crowd(150);
}

#[test]
#[ignore = "a thousand handshakes in five seconds need a machine of their own"]
fn a_thousand_that_join_ask_the_publisher_for_no_key_frame() {
    crowd(1_000);
}

fn crowd(joins: u32) {
    let _turn = crate::turn();
    let node = Node::start();
    let honest = Honest::play(node.doors(), [None; 2]);
    // Its first key frame was asked for; the next comes by itself.
    std::thread::sleep(Duration::from_millis(2_500));
    honest.record();
    honest::beside_the_worker();
    let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
    let mut fleet = Fleet::new(joins).unwrap();
    let began = Instant::now();
    let sees = |fleet: &Fleet<Client>| fleet.agents().filter(|(_, client)| client.has_picture()).count() as u32;
    for join in 0..joins {
        let due = began + WITHIN * join / joins;
        while Instant::now() < due {
            fleet.round(net::now() + due.saturating_duration_since(Instant::now())).unwrap();
        }
        let (socket, make) = honest::join(node.doors(), &identity, Direction::Play, None);
        assert!(fleet.add(socket, make()).is_ok(), "there is a place for each");
    }
    let came_in = began.elapsed();
    while sees(&fleet) < joins {
        assert!(began.elapsed() < PATIENCE, "{} of {joins} have a picture", sees(&fleet));
        fleet.round(net::now() + Duration::from_millis(20)).unwrap();
    }
    let (record, published) = (fleet.take_record(), honest.record());
    let first_picture = [0.5, 0.99].map(|quantile| record.key_frame_us.value_at_quantile(quantile) / 1_000);
    println!("{joins} joins in {came_in:.1?}; ms to a whole key frame, 50 and 99 %: {first_picture:?}");
    assert_eq!(published.counts.key_frames_asked, 0, "{:?}", node.worker()["streams"]);
    (0..joins).for_each(|client| drop(fleet.remove(client)));
}
