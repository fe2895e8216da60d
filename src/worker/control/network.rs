//! What a viewer's network carries, and why it is sent the encoding that it is sent: for an operator's report.

use crate::bandwidth::estimator::{Estimator, Source};
use crate::bandwidth::rate::Rate;
use crate::description::MediaKind;
use crate::relay::store::ladder::Ladder;
use crate::relay::store::numbers::EncodingId;
use crate::time::Timestamp;
use crate::worker::peer::{Playback, StreamKey};
use crate::worker::report::{NetworkReport, SwitchReport};
use crate::worker::stream::Stream;
use crate::worker::streams::Streams;

/// The report; `None` where nothing is measured.
pub(super) fn report(
    stream: StreamKey,
    playback: &Playback,
    streams: &Streams,
    now: Timestamp,
) -> Option<NetworkReport> {
    let adaptation = playback.adaptation.as_deref()?;
    let track = playback.tracks.iter().find(|track| track.kind == MediaKind::Video)?;
    let stream = streams.get(stream)?;
    let name = |encoding: EncodingId| layer_name(stream, encoding);
    let estimator = adaptation.bandwidth.estimator();
    let sent = (!track.is_withheld).then(|| track.encoding());
    let why = adaptation.bandwidth.controller().why();
    let switches = adaptation.switches().map(|switch| SwitchReport {
        ago_ms: now.since(switch.at).as_millis() as u64,
        from: name(switch.from),
        to: switch.to.map(name).unwrap_or_default(),
        reason: switch.why.name(),
    });
    Some(NetworkReport {
        layer: sent.map(name).unwrap_or_default(),
        wanted: track.awaited().map(name).unwrap_or_default(),
        why_layer: sentence(why.sentence(), estimator, &stream.ladder_for(track), sent),
        source: match estimator.source() {
            Source::Nothing => "",
            Source::Reports => "receiver reports",
            Source::Transport => "transport-cc",
        },
        capacity_bits_per_second: bits(estimator.capacity()),
        free_bits_per_second: bits(estimator.free_share()),
        delivered_bits_per_second: estimator.delivered().bits_per_second(),
        queue_ms: estimator.queue_ms()[0],
        loss_permille: estimator.loss_permille(),
        switches: switches.collect(),
    })
}

fn bits(rate: Option<Rate>) -> u64 {
    rate.map_or(0, Rate::bits_per_second)
}

/// An encoding's rid, or its number where it has none.
fn layer_name(stream: &Stream, encoding: EncodingId) -> String {
    let rid = stream.encoding(encoding).and_then(|encoding| encoding.measured()).map(|measured| measured.rid.as_str());
    rid.filter(|rid| !rid.is_empty()).map_or_else(|| encoding.rid().to_string(), str::to_owned)
}

/// `360p, 520 kbit/s: its network has room for it (carries 1,200 kbit/s, queue 3 ms, loss 0.0 %); next: 1,740 kbit/s`
fn sentence(why: &str, estimator: &Estimator, ladder: &Ladder, sent: Option<EncodingId>) -> String {
    let kbps = |bits: u64| format!("{} kbit/s", bits / 1_000);
    let mut text = String::new();
    let living: Vec<_> = ladder.living().collect();
    let at = living.iter().position(|rung| Some(rung.encoding) == sent);
    match at.and_then(|at| living.get(at)) {
        Some(rung) if rung.height > 0 => {
            text.push_str(&format!("{}p, {}: ", rung.height, kbps(rung.bits_per_second.into())))
        }
        Some(rung) => text.push_str(&format!("{}: ", kbps(rung.bits_per_second.into()))),
        None if sent.is_none() => text.push_str("sound only: "),
        None => {}
    }
    text.push_str(if living.len() == 1 && sent.is_some() { "the publisher sends no other" } else { why });
    if estimator.source() != Source::Nothing {
        let loss = estimator.loss_permille();
        let carries =
            estimator.free_share().map_or_else(|| "unknown".to_owned(), |share| kbps(share.bits_per_second()));
        text.push_str(&format!(
            " (its network has {carries} for it, queue {} ms, loss {}.{} %)",
            estimator.queue_ms()[0],
            loss / 10,
            loss % 10
        ));
    }
    if let Some(next) = at.and_then(|at| living.get(at + 1)) {
        text.push_str(&format!("; the next takes {}", kbps(next.bits_per_second.into())));
    }
    text
}
