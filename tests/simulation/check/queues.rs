//! Every table, set and queue of a worker is within its limit at every step, and empty at the end.

use corecast::limits;
use corecast::worker::holdings::{DataHoldings, Holdings};

use super::Violation;

const RULE: &str = "queues within limits";

/// Entries of the timer heap per session: one that lives and those it superseded, which stay until their time.
const TIMERS_PER_SESSION_MAX: usize = 64;

/// What fan-out sets may hold beside two tracks of each viewer: they are cleared of those who left when they have doubled.
const SUBSCRIBERS_SPARE: usize = limits::DEPARTED_SUBSCRIBERS_MAX * 2;

/// Compares what a worker holds with what it may; `sessions_max` is the worker's.
pub(crate) fn within_limits(holdings: &Holdings, sessions_max: usize) -> Result<(), Violation> {
    let Holdings {
        sessions,
        session_names,
        user_fragments,
        flows,
        timers,
        streams,
        viewers,
        subscribers,
        queued_encodings,
        retransmissions,
        reports_due,
        notices,
        ring_bytes,
        ring_packets,
    } = *holdings;
    let tracks = limits::TRACKS_PER_SESSION_MAX;
    let stream_bytes = limits::VIDEO_RING_BYTES_MAX + limits::AUDIO_RING_BYTES_MAX;
    let stream_packets = limits::VIDEO_RING_PACKETS_MAX + limits::AUDIO_RING_PACKETS_MAX;
    // A session whose keys change has two transports, each a session of the tables.
    let second = sessions.saturating_sub(session_names);
    let (sessions_max, viewers_max) = (sessions_max + second, viewers + second);
    let rules = [
        ("sessions", sessions, sessions_max),
        ("sessions by name", session_names, sessions),
        ("user fragments", user_fragments, 2 * sessions),
        ("flows", flows, limits::PATHS_PER_SESSION_MAX * sessions),
        ("timers", timers, TIMERS_PER_SESSION_MAX * (sessions + 16)),
        ("streams", streams, sessions),
        ("viewers", viewers, sessions),
        ("fan-out sets", subscribers, 2 * tracks * viewers_max + SUBSCRIBERS_SPARE * streams),
        // An encoding can be in a work queue, held and wanting; one that was dropped leaves them when it is met.
        ("queued encodings", queued_encodings, 3 * tracks * (streams + 4)),
        ("retransmissions", retransmissions, limits::RETRANSMISSIONS_WAITING_MAX),
        ("reports due", reports_due, sessions),
        ("notices", notices, 2 * sessions_max),
        ("bytes of packet rings", ring_bytes, stream_bytes * streams),
        ("packets of packet rings", ring_packets, stream_packets * streams),
    ];
    match rules.into_iter().find(|&(_, held, limit)| held > limit) {
        None => Ok(()),
        Some((name, held, limit)) => Err(Violation::new(RULE, format!("{held} {name}, at most {limit}: {holdings:?}"))),
    }
}

/// Compares what a worker holds for data channels with what it may.
pub(crate) fn data_within_limits(holdings: &DataHoldings) -> Result<(), Violation> {
    let DataHoldings { ring_bytes_max, buffered_bytes_max, channels_max } = *holdings;
    let rules = [
        ("bytes of a channel's ring", ring_bytes_max, limits::DATA_RING_BYTES_MAX),
        (
            "bytes of a viewer's channel",
            buffered_bytes_max,
            limits::DATA_BUFFERED_BYTES_MAX + limits::DATA_MESSAGE_BYTES_MAX,
        ),
        ("channels of a peer", channels_max, limits::DATA_CHANNELS_PER_PEER_MAX),
    ];
    match rules.into_iter().find(|&(_, held, limit)| held > limit) {
        None => Ok(()),
        Some((name, held, limit)) => Err(Violation::new(RULE, format!("{held} {name}, at most {limit}"))),
    }
}

/// After everyone left.
pub(crate) fn nothing_left(worker: usize, holdings: &Holdings) -> Result<(), Violation> {
    if *holdings == Holdings::default() {
        return Ok(());
    }
    Err(Violation::new("nothing is left", format!("worker {worker} still holds {holdings:?}")))
}
