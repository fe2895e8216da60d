//! Parses an offer's text into sections with attributes. The number of everything is bounded.
//!
//! The `rtc-sdp` crate splits the text into lines. Their meaning is read here and in the modules beside this one.
//! Nothing is decided here.

use std::io::Cursor;

use rtc_sdp::SessionDescription;
use rtc_sdp::description::common::Attribute;

use super::refused::{Malformed, SdpRefused, Unsupported};
use crate::description::{Direction, MediaKind};
use crate::limits;

/// A list of `a=` lines.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<Attribute>);

impl Attributes {
    fn bounded(lines: Vec<Attribute>) -> Result<Self, SdpRefused> {
        if lines.len() > limits::SDP_ATTRIBUTES_PER_SECTION_MAX {
            return Err(SdpRefused::too_many("attributes in one section", limits::SDP_ATTRIBUTES_PER_SECTION_MAX));
        }
        Ok(Self(lines))
    }

    /// Whether there is an `a=key` or `a=key:…`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|line| line.key == key)
    }

    /// The value of the first `a=key:value`.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|line| line.key == key && line.value.is_some())?.value.as_deref()
    }

    /// The values of every `a=key:value`, in order.
    pub(super) fn values<'a>(&'a self, key: &'static str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |line| line.key == key).filter_map(|line| line.value.as_deref())
    }

    /// Every line as key and value, in order. A flag has an empty value.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|line| (line.key.as_str(), line.value.as_deref().unwrap_or_default()))
    }

    fn flow(&self) -> Option<Flow> {
        self.0.iter().find_map(|line| match line.key.as_str() {
            "sendrecv" => Some(Flow { sends: true, receives: true }),
            "sendonly" => Some(Flow { sends: true, receives: false }),
            "recvonly" => Some(Flow { sends: false, receives: true }),
            "inactive" => Some(Flow { sends: false, receives: false }),
            _ => None,
        })
    }
}

/// What the offerer will do in a section (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) sends: bool,
    pub(super) receives: bool,
}

impl Flow {
    /// Whether this flow is of use to a peer that publishes or plays.
    pub(super) const fn serves(self, direction: Direction) -> bool {
        match direction {
            Direction::Publish => self.sends,
            Direction::Play => self.receives,
        }
    }
}

/// One `m=` section.
#[derive(Debug)]
pub(super) struct MediaSection {
    /// `audio`, `video`, `application`, …
    pub(super) media: String,
    /// Audio or video, if it is one of them.
    pub(super) kind: Option<MediaKind>,
    /// Whether the port is 0. The section is then not in use, unless it is `bundle-only` (RFC 9143 §6).
    pub(super) port_is_zero: bool,
    /// The parts of a profile like `UDP/TLS/RTP/SAVPF`.
    pub(super) protocols: Vec<String>,
    /// The payload types as written.
    pub(super) formats: Vec<String>,
    /// The mid: a token of at most [`limits::SDP_MID_BYTES_MAX`] bytes.
    pub(super) mid: Option<String>,
    /// The section's direction, else the session's, else both (RFC 8866 §6.7).
    pub(super) flow: Flow,
    /// Its `a=` lines.
    pub(super) attributes: Attributes,
}

/// A whole offer.
#[derive(Debug)]
pub(super) struct Offer {
    /// The session's `a=` lines.
    pub(super) attributes: Attributes,
    /// The sections, at most [`limits::SDP_MEDIA_SECTIONS_MAX`].
    pub(super) sections: Vec<MediaSection>,
    /// The mids of each `a=group:BUNDLE` (RFC 9143 §5).
    pub(super) bundles: Vec<Vec<String>>,
}

impl Offer {
    /// Reads an offer.
    pub(super) fn parse(text: &str) -> Result<Self, SdpRefused> {
        let session = lex(text)?;
        if session.media_descriptions.len() > limits::SDP_MEDIA_SECTIONS_MAX {
            return Err(SdpRefused::too_many("media sections", limits::SDP_MEDIA_SECTIONS_MAX));
        }
        let attributes = Attributes::bounded(session.attributes)?;
        let mut sections: Vec<MediaSection> = Vec::with_capacity(session.media_descriptions.len());
        let mut candidates = attributes.values("candidate").count();
        for description in session.media_descriptions {
            let name = description.media_name;
            if name.formats.len() > limits::SDP_PAYLOAD_TYPES_PER_SECTION_MAX {
                return Err(SdpRefused::too_many(
                    "payload types in one section",
                    limits::SDP_PAYLOAD_TYPES_PER_SECTION_MAX,
                ));
            }
            let own = Attributes::bounded(description.attributes)?;
            candidates = candidates.saturating_add(own.values("candidate").count());
            let mid = own.value("mid").map(checked_mid).transpose()?;
            if mid.is_some() && sections.iter().any(|section| section.mid == mid) {
                return Err(Malformed::Mid.into());
            }
            let both = Flow { sends: true, receives: true };
            sections.push(MediaSection {
                kind: match name.media.as_str() {
                    "audio" => Some(MediaKind::Audio),
                    "video" => Some(MediaKind::Video),
                    _ => None,
                },
                media: name.media,
                port_is_zero: name.port.value == 0,
                protocols: name.protos,
                formats: name.formats,
                mid,
                flow: own.flow().or_else(|| attributes.flow()).unwrap_or(both),
                attributes: own,
            });
        }
        if candidates > limits::SDP_CANDIDATES_MAX {
            return Err(SdpRefused::too_many("candidates", limits::SDP_CANDIDATES_MAX));
        }
        let bundles = attributes
            .values("group")
            .filter_map(|group| group.strip_prefix("BUNDLE"))
            .map(|mids| mids.split_ascii_whitespace().map(str::to_owned).collect())
            .collect();
        Ok(Self { attributes, sections, bundles })
    }

    /// The mids of the BUNDLE group that `mid` is in.
    pub(super) fn bundle_of(&self, mid: &str) -> Option<&[String]> {
        self.bundles.iter().find(|group| group.iter().any(|member| member == mid)).map(Vec::as_slice)
    }
}

/// Splits text into lines, after checking the bounds that must hold before anything is read.
fn lex(text: &str) -> Result<SessionDescription, SdpRefused> {
    if text.len() > limits::SDP_BYTES_MAX {
        return Err(SdpRefused::TooLong);
    }
    // RFC 8866 §9 forbids NUL in a value; no other control character has a use either.
    if text.bytes().any(|byte| byte < 0x20 && !matches!(byte, b'\r' | b'\n' | b'\t')) {
        return Err(Malformed::Syntax.into());
    }
    SessionDescription::unmarshal(&mut Cursor::new(text)).map_err(|_| Malformed::Syntax.into())
}

/// The attributes of a fragment (RFC 8840 §9), all sections in one list. A fragment is SDP without session lines; these
/// are prepended, so that the same lexer reads both.
pub(super) fn lex_fragment(text: &str) -> Result<Attributes, SdpRefused> {
    const SESSION_LINES: &str = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    if text.len() > limits::SDP_BYTES_MAX.saturating_sub(SESSION_LINES.len()) {
        return Err(SdpRefused::TooLong);
    }
    let session = lex(&[SESSION_LINES, text].concat())?;
    if session.media_descriptions.len() > limits::SDP_MEDIA_SECTIONS_MAX {
        return Err(SdpRefused::too_many("media sections", limits::SDP_MEDIA_SECTIONS_MAX));
    }
    let mut lines = session.attributes;
    for section in session.media_descriptions {
        lines.extend(section.attributes);
    }
    Attributes::bounded(lines)
}

fn checked_mid(mid: &str) -> Result<String, SdpRefused> {
    if mid.is_empty() || !mid.bytes().all(is_token_byte) {
        return Err(Malformed::Mid.into());
    }
    if mid.len() > limits::SDP_MID_BYTES_MAX {
        return Err(Unsupported::MidTooLong.into());
    }
    Ok(mid.to_owned())
}

/// At most `bytes_max` bytes of `text`, with every byte that is not a token character (RFC 8866 §9) replaced by `-`.
/// Never empty.
pub(super) fn token(text: &str, bytes_max: usize) -> String {
    let written: String =
        text.bytes().take(bytes_max).map(|byte| if is_token_byte(byte) { char::from(byte) } else { '-' }).collect();
    if written.is_empty() { "-".to_owned() } else { written }
}

/// Whether a byte is a `token-char` (RFC 8866 §9).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'~')
}
