//! Damaged offers: whatever is done to a real one, it is answered or refused, and an answer is whole.

use proptest::prelude::*;
use rtc_sdp::SessionDescription;

use super::*;
use crate::limits;

/// One act of damage. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Damage {
    DeleteLine(usize),
    DuplicateLine(usize),
    SwapLines(usize, usize),
    /// A line of another fixture.
    InsertLine(usize, usize, usize),
    ChangeByte(usize, u8),
    DeleteByte(usize),
    /// What parsers stumble over, put in at a byte.
    InsertText(usize, usize),
    ChangeNumber(usize, u64),
    Truncate(usize),
}

const STUMBLING_BLOCKS: &[&str] = &[
    "",
    ":",
    "=",
    "/",
    ";",
    " ",
    "\r",
    "\n",
    "\r\n\r\n",
    "\0",
    "\u{fffd}",
    "é",
    "-1",
    "4294967296",
    "18446744073709551616",
    "999999999999999999999999",
    "\r\na=",
    "\r\nm=audio 0 / ",
    "\r\nm=video 9 UDP/TLS/RTP/SAVPF",
    "a=fmtp:",
    "apt=",
    "=;=;",
    "*",
    "\r\na=group:BUNDLE",
    "\r\na=rtcp-fb:* ",
    "\r\na=extmap:0/ ",
    "\r\na=ssrc-group:FID 1 1",
    "\r\nr=7d 1h 0 25h",
    "\r\nz=1 -1h",
];

fn damage() -> impl Strategy<Value = Damage> {
    let n = any::<usize>;
    prop_oneof![
        3 => n().prop_map(Damage::DeleteLine),
        3 => n().prop_map(Damage::DuplicateLine),
        2 => (n(), n()).prop_map(|(a, b)| Damage::SwapLines(a, b)),
        3 => (n(), n(), n()).prop_map(|(a, b, c)| Damage::InsertLine(a, b, c)),
        3 => (n(), any::<u8>()).prop_map(|(a, b)| Damage::ChangeByte(a, b)),
        2 => n().prop_map(Damage::DeleteByte),
        3 => (n(), n()).prop_map(|(a, b)| Damage::InsertText(a, b)),
        3 => (n(), any::<u64>()).prop_map(|(a, b)| Damage::ChangeNumber(a, b)),
        1 => n().prop_map(Damage::Truncate),
    ]
}

impl Damage {
    fn apply(&self, text: String) -> String {
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let mut bytes = text.clone().into_bytes();
        if lines.is_empty() {
            return text;
        }
        let (count, length) = (lines.len(), bytes.len());
        match *self {
            Self::DeleteLine(at) => _ = lines.remove(at % count),
            Self::DuplicateLine(at) => lines.insert(at % count, lines[at % count].clone()),
            Self::SwapLines(a, b) => lines.swap(a % count, b % count),
            Self::InsertLine(at, fixture, line) => {
                let other: Vec<&str> = FIXTURES[fixture % FIXTURES.len()].2.split_inclusive('\n').collect();
                lines.insert(at % count, other[line % other.len()].to_owned());
            }
            Self::ChangeNumber(at, value) => {
                let line = &mut lines[at % count];
                // Small values meet bounds, large ones overflow.
                let value = if value % 2 == 0 { value % 300 } else { value };
                if let Some(start) = line.find(|c: char| c.is_ascii_digit()) {
                    let digits = line[start..].bytes().take_while(u8::is_ascii_digit).count();
                    line.replace_range(start..start + digits, &value.to_string());
                }
            }
            Self::ChangeByte(at, value) => {
                bytes[at % length] = value;
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::DeleteByte(at) => {
                bytes.remove(at % length);
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::InsertText(at, which) => {
                let at = at % length;
                bytes.splice(at..at, STUMBLING_BLOCKS[which % STUMBLING_BLOCKS.len()].bytes());
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::Truncate(at) => {
                bytes.truncate(at % length);
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        lines.concat()
    }
}

/// What holds of every answer, whatever the offer was.
fn check(offer: &str, direction: Direction) -> Result<(), TestCaseError> {
    let answer = match answered(offer, direction) {
        Ok(answer) => answer,
        Err(refused) => {
            prop_assert!(matches!(refused.status(), 400 | 406 | 413 | 422));
            prop_assert!(!refused.to_string().is_empty());
            return Ok(());
        }
    };
    let parse = |text: &str| SessionDescription::unmarshal(&mut std::io::Cursor::new(text));
    let (offered, written) = (parse(offer).unwrap(), parse(&answer.sdp).unwrap());
    prop_assert_eq!(offered.media_descriptions.len(), written.media_descriptions.len());
    let media = &answer.description.media;
    prop_assert!((1..=2).contains(&media.len()));
    let mut accepted = media.iter();
    let mut data_sections = 0;
    for (offered, written) in offered.media_descriptions.iter().zip(&written.media_descriptions) {
        prop_assert_eq!(&offered.media_name.media, &written.media_name.media);
        if written.media_name.port.value == 0 {
            continue;
        }
        if written.media_name.media == "application" {
            data_sections += 1;
            prop_assert!(written.attribute("sctp-port").is_some());
            continue;
        }
        let media = accepted.next().unwrap();
        // A section alone need not have one (RFC 9429 §5.3.1).
        let is_alone = answer.description.media.len() == 1;
        let mid = written.attribute("mid").flatten();
        prop_assert!(mid.is_some() || is_alone);
        prop_assert_eq!(mid.unwrap_or_default(), media.mid.as_str());
        let payload_types: Vec<String> = media
            .codecs
            .iter()
            .flat_map(|codec| [Some(codec.payload_type), codec.rtx_payload_type])
            .flatten()
            .map(|number| number.to_string())
            .collect();
        prop_assert_eq!(&written.media_name.formats, &payload_types);
        let offered: Vec<Option<u8>> = offered.media_name.formats.iter().map(|format| format.parse().ok()).collect();
        for number in &payload_types {
            prop_assert!(offered.contains(&number.parse().ok()), "{} was not offered", number);
        }
        let is_name =
            |rid: &String| crate::relay::store::ladder::RidName::new(rid.as_bytes()).is_some() && !rid.is_empty();
        prop_assert!(media.rids.len() <= limits::ENCODINGS_PER_TRACK_MAX && media.rids.iter().all(is_name));
        prop_assert!(media.rids.is_empty() || direction == Direction::Publish && media.extensions.rid.is_some());
        prop_assert!(!media.codecs.is_empty() && media.mid.len() <= limits::SDP_MID_BYTES_MAX);
        match direction {
            Direction::Publish => prop_assert_eq!(media.codecs.len(), 1),
            Direction::Play => prop_assert_eq!(media.ssrcs.len(), 1),
        }
    }
    prop_assert!(accepted.next().is_none());
    prop_assert_eq!(data_sections, usize::from(answer.description.data.is_some()));
    prop_assert!(!answer.description.remote_fingerprints.is_empty());
    // Nothing of the offer became a line of its own: the answer has only lines this node writes.
    let keys = [
        "candidate",
        "end-of-candidates",
        "extmap",
        "extmap-allow-mixed",
        "fingerprint",
        "fmtp",
        "group",
        "ice-lite",
        "ice-options",
        "ice-pwd",
        "ice-ufrag",
        "inactive",
        "max-message-size",
        "mid",
        "msid",
        "recvonly",
        "rid",
        "rtcp-fb",
        "rtcp-mux",
        "rtcp-rsize",
        "rtpmap",
        "sctp-port",
        "sendonly",
        "setup",
        "simulcast",
        "ssrc",
        "ssrc-group",
    ];
    let attributes =
        written.attributes.iter().chain(written.media_descriptions.iter().flat_map(|media| &media.attributes));
    for attribute in attributes {
        prop_assert!(keys.contains(&attribute.key.as_str()), "{}", attribute.key);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_offer_is_answered_whole_or_refused(fixture in 0..FIXTURES.len(), damages in prop::collection::vec(damage(), 1..6)) {
        let (_, direction, offer) = FIXTURES[fixture];
        let damaged = damages.iter().fold(offer.to_owned(), |text, damage| damage.apply(text));
        check(&damaged, direction)?;
        check(&damaged, match direction { Direction::Publish => Direction::Play, Direction::Play => Direction::Publish })?;
    }

    #[test]
    fn any_text_is_refused_or_answered(text in "(v=0\r\n)?(o=- 1 1 IN IP4 0\r\n)?(s=-\r\n)?(t=0 0\r\n)?([amtbkrz]=[ -~]{0,40}(\r|\n|\r\n)){0,20}") {
        check(&text, Direction::Publish)?;
        check(&text, Direction::Play)?;
        _ = Fragment::parse(&text);
    }

    #[test]
    fn a_damaged_fragment_is_read_or_refused(damages in prop::collection::vec(damage(), 1..6)) {
        let fragment = sections(CHROMIUM_PUBLISH)[0].join("\r\n") + "\r\n";
        let damaged = damages.iter().fold(fragment, |text, damage| damage.apply(text));
        if let Ok(fragment) = Fragment::parse(&damaged) {
            prop_assert!(fragment.candidates <= limits::SDP_CANDIDATES_MAX);
            prop_assert!(fragment.credentials.is_none_or(|ice| ice.ufrag.len() >= 4 && ice.password.len() >= 22));
        }
    }
}
