//! The messages about encodings: what a viewer's page asks for, and what it is told. The socket's `layer` and `layers` and WHEP's
//! resources `layer` and `events` (draft-ietf-wish-whep-02, "Core Extensions") say the same in two forms.

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use super::names::{Id, SessionName};
use crate::limits;
use crate::relay::play::selection::HighestLayers;
use crate::relay::store::ladder::RidName;
use crate::worker::layers::{LayerChoice, LayerRequest, LayerTold, LayersTold};

/// The name of an encoding as a page writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::signal) struct Rid(RidName);

impl TryFrom<String> for Rid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let max = limits::RID_BYTES_MAX;
        RidName::new(text.as_bytes())
            .map(Self)
            .ok_or_else(|| format!("a rid is at most {max} letters, digits, - and _: send one that `layers` lists"))
    }
}

/// What a person chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::signal) enum Chosen {
    Auto,
    None,
    Rid(Rid),
    Height(u16),
}

impl From<Chosen> for LayerChoice {
    fn from(chosen: Chosen) -> Self {
        match chosen {
            Chosen::Auto => Self::Auto,
            Chosen::None => Self::SoundOnly,
            Chosen::Rid(Rid(name)) => Self::Rid(name),
            Chosen::Height(height) => Self::HeightMax(height),
        }
    }
}

/// The socket's `layer`.
#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Layer {
    pub(in crate::signal) id: Id,
    pub(in crate::signal) session: SessionName,
    layer: Option<Chosen>,
    shown_height: Option<u16>,
    temporal_max: Option<u8>,
    spatial_max: Option<u8>,
}

impl Layer {
    /// What it asks of the worker.
    pub(in crate::signal) fn request(&self) -> LayerRequest {
        let all = HighestLayers::ALL;
        let highest = (self.temporal_max.is_some() || self.spatial_max.is_some() || self.layer.is_some()).then(|| {
            HighestLayers {
                temporal: self.temporal_max.unwrap_or(all.temporal),
                spatial: self.spatial_max.unwrap_or(all.spatial),
            }
        });
        LayerRequest { choice: self.layer.map(LayerChoice::from), shown_height: self.shown_height, highest }
    }
}

/// The body of a `POST` to WHEP's `layer`. The draft's fields, and `soundOnly` and `shownHeight`, which it does not have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::signal) struct WhepLayer {
    rid: Option<Rid>,
    /// The draft before called it so, and players of today do.
    encoding_id: Option<Rid>,
    spatial_layer_id: Option<u8>,
    temporal_layer_id: Option<u8>,
    max_spatial_layer_id: Option<u8>,
    max_temporal_layer_id: Option<u8>,
    max_height: Option<u16>,
    sound_only: bool,
    shown_height: Option<u16>,
}

impl WhepLayer {
    /// What it asks of the worker. A field that is left out takes the limit away, as the draft has it.
    pub(in crate::signal) fn request(&self) -> LayerRequest {
        let choice = match (self.sound_only, self.rid.or(self.encoding_id), self.max_height) {
            (true, _, _) => LayerChoice::SoundOnly,
            (_, Some(Rid(name)), _) => LayerChoice::Rid(name),
            (_, _, Some(height)) => LayerChoice::HeightMax(height),
            _ => LayerChoice::Auto,
        };
        let least = |one: Option<u8>, other: Option<u8>| one.into_iter().chain(other).min().unwrap_or(u8::MAX);
        let highest = HighestLayers {
            temporal: least(self.temporal_layer_id, self.max_temporal_layer_id),
            spatial: least(self.spatial_layer_id, self.max_spatial_layer_id),
        };
        LayerRequest { choice: Some(choice), shown_height: self.shown_height, highest: Some(highest) }
    }
}

/// An encoding in the socket's `layers`.
#[derive(Debug, Serialize)]
pub(in crate::signal) struct LayerShown<'a> {
    id: usize,
    rid: &'a str,
    width: u16,
    height: u16,
    bits_per_second: u32,
    frames_per_second: u8,
    alive: bool,
}

impl<'a> LayerShown<'a> {
    /// All of them.
    pub(in crate::signal) fn all(told: &'a LayersTold) -> Vec<Self> {
        let shown = |(id, layer): (usize, &'a LayerTold)| {
            let LayerTold { rid, width, height, bits_per_second, frames_per_second, alive } = layer;
            let (width, height, alive) = (*width, *height, *alive);
            let (bits_per_second, frames_per_second) = (*bits_per_second, *frames_per_second);
            Self { id, rid, width, height, bits_per_second, frames_per_second, alive }
        };
        told.layers.iter().enumerate().map(shown).collect()
    }
}

/// A choice as `layer` has it.
#[derive(Debug)]
pub(in crate::signal) struct ChoiceShown(pub(in crate::signal) LayerChoice);

impl Serialize for ChoiceShown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            LayerChoice::Auto => serializer.serialize_str("auto"),
            LayerChoice::SoundOnly => serializer.serialize_str("none"),
            LayerChoice::Rid(name) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("rid", name.as_str())?;
                map.end()
            }
            LayerChoice::HeightMax(height) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("height", height)?;
                map.end()
            }
        }
    }
}

/// The `data` of WHEP's event `layers`: by the index of the m-line its layers, and beside them what is sent and why.
pub(in crate::signal) fn whep_layers(section: usize, told: &LayersTold) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown<'a> {
        rid: &'a str,
        spatial_layer_id: u8,
        bitrate: u32,
        width: u16,
        height: u16,
        frames_per_second: u8,
        current: bool,
    }
    let shown = |(index, layer): (usize, &LayerTold)| {
        let is_current = told.current.map(usize::from) == Some(index);
        serde_json::to_value(Shown {
            rid: &layer.rid,
            spatial_layer_id: 0,
            // A layer that is not sent has none.
            bitrate: if layer.alive { layer.bits_per_second.max(1) } else { 0 },
            width: layer.width,
            height: layer.height,
            frames_per_second: layer.frames_per_second,
            current: is_current,
        })
    };
    let layers: Vec<_> = told.layers.iter().enumerate().filter_map(|layer| shown(layer).ok()).collect();
    let mut data = serde_json::Map::new();
    data.insert(section.to_string(), layers.into());
    data.insert("choice".into(), serde_json::to_value(ChoiceShown(told.choice)).unwrap_or_default());
    data.insert("why".into(), told.why.into());
    data.insert("detail".into(), told.because.into());
    serde_json::Value::Object(data).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rid(name: &str) -> LayerChoice {
        LayerChoice::Rid(RidName::new(name.as_bytes()).unwrap())
    }

    fn told() -> LayersTold {
        let layer = |rid: &str, height, alive| LayerTold {
            rid: rid.into(),
            width: height * 16 / 9,
            height,
            bits_per_second: u32::from(height) * 1_000,
            frames_per_second: 30,
            alive,
        };
        let layers = vec![layer("q", 180, true), layer("f", 720, false)];
        LayersTold { layers, current: Some(0), choice: rid("f"), why: "stopped", because: "it stopped" }
    }

    #[test]
    fn a_socket_asks_for_one_thing_or_the_other() {
        let request = |fields: &str| {
            let text = format!(r#"{{"id":1,"session":"7",{fields}}}"#);
            serde_json::from_str::<Layer>(&text).map(|layer| layer.request()).map_err(|error| error.to_string())
        };
        for (fields, choice) in [
            (r#""layer":"auto""#, LayerChoice::Auto),
            (r#""layer":"none""#, LayerChoice::SoundOnly),
            (r#""layer":{"rid":"h"}"#, rid("h")),
            (r#""layer":{"height":360}"#, LayerChoice::HeightMax(360)),
        ] {
            let expected =
                LayerRequest { choice: Some(choice), highest: Some(HighestLayers::ALL), ..Default::default() };
            assert_eq!(request(fields), Ok(expected), "{fields}");
        }
        let only_height = LayerRequest { shown_height: Some(540), ..LayerRequest::default() };
        assert_eq!(request(r#""shown_height":540"#), Ok(only_height), "the choice stays");
        let temporal = request(r#""temporal_max":1"#).unwrap();
        assert_eq!((temporal.choice, temporal.highest), (None, Some(HighestLayers::temporal(1))));
        for (fields, part) in [
            (r#""layer":"720p""#, "unknown variant `720p`, expected one of `auto`, `none`, `rid`, `height`"),
            (r#""layer":{"rid":"a b"}"#, "letters, digits"),
            (r#""layer":{"height":-1}"#, "u16"),
            (r#""layer":{"height":65536}"#, "u16"),
            (r#""shown_height":"all""#, "u16"),
        ] {
            let refused = request(fields).unwrap_err();
            assert!(refused.contains(part), "{fields}: {refused}");
        }
    }

    #[test]
    fn whep_asks_as_the_draft_has_it() {
        let request = |body: &str| serde_json::from_str::<WhepLayer>(body).unwrap().request();
        for (body, choice) in [
            ("{}", LayerChoice::Auto),
            (r#"{"mediaId":"0"}"#, LayerChoice::Auto),
            (r#"{"mediaId":"0","rid":"hd"}"#, rid("hd")),
            (r#"{"encodingId":"hd","maxHeight":3}"#, rid("hd")),
            (r#"{"maxHeight":360}"#, LayerChoice::HeightMax(360)),
            (r#"{"soundOnly":true}"#, LayerChoice::SoundOnly),
        ] {
            let request = request(body);
            assert_eq!((request.choice, request.highest), (Some(choice), Some(HighestLayers::ALL)), "{body}");
        }
        let layers = request(r#"{"maxTemporalLayerId":1,"temporalLayerId":2,"spatialLayerId":0}"#);
        assert_eq!(layers.highest, Some(HighestLayers { temporal: 1, spatial: 0 }));
    }

    #[test]
    fn layers_are_told_in_both_forms() {
        let text = serde_json::to_string(&LayerShown::all(&told())).unwrap();
        let first = r#"{"id":0,"rid":"q","width":320,"height":180,"bits_per_second":180000,"frames_per_second":30,"alive":true}"#;
        assert!(text.starts_with(&format!("[{first},")), "{text}");
        let data: serde_json::Value = serde_json::from_str(&whep_layers(1, &told())).unwrap();
        assert_eq!((&data["1"][0]["current"], &data["1"][0]["bitrate"]), (&true.into(), &180_000.into()));
        assert_eq!((&data["1"][1]["bitrate"], &data["choice"]["rid"]), (&0.into(), &"f".into()));
        assert_eq!((&data["why"], &data["detail"]), (&"stopped".into(), &"it stopped".into()));
        let shown = [LayerChoice::Auto, LayerChoice::SoundOnly, LayerChoice::HeightMax(360)]
            .map(|choice| serde_json::to_string(&ChoiceShown(choice)).unwrap());
        assert_eq!(shown, [r#""auto""#, r#""none""#, r#"{"height":360}"#]);
    }
}
