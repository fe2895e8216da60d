//! What the double of a worker has of a picture: two encodings, the better of which is paused.

use corecast::worker::layers::{LayerChoice, LayerRequest, LayerTold, LayersTold, NotChosen};

/// The answer to a page's request. One that wants the encoding `x` is refused.
pub fn answer(request: &LayerRequest) -> Result<LayersTold, NotChosen> {
    let choice = request.choice.unwrap_or_default();
    if matches!(choice, LayerChoice::Rid(name) if name.as_str() == "x") {
        return Err(NotChosen::NoSuchRid(vec!["q".into(), "h".into()]));
    }
    let layer = |rid: &str, height, alive| LayerTold { rid: rid.into(), height, alive, ..LayerTold::default() };
    let layers = vec![layer("q", 180, true), layer("h", 360, false)];
    Ok(LayersTold { layers, current: Some(0), choice, why: "stopped", because: "the publisher stopped the better one" })
}
