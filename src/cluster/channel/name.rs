//! What a node is called, and how its certificate says so: a subject alternative name of the form `corecast://CLUSTER/REGION/NODE`
//! (a URI, RFC 5280 §4.2.1.6).
//!
//! It is read as text and strictly: no other case, no escapes, no port, no closing slash. A certificate has exactly one; DNS names and
//! addresses beside it mean nothing here.

use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

use crate::limits;

const SCHEME: &str = "corecast://";

/// The name of a node in its cluster and region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeName {
    /// The cluster's name.
    pub cluster: String,
    /// The region's name.
    pub region: String,
    /// The node's name.
    pub node: String,
}

/// Why a certificate names no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoName {
    /// It is no X.509, or its names cannot be read.
    Unreadable,
    /// None of its names begins with `corecast:`.
    None,
    /// One does, and is not of this form.
    Malformed,
    /// There are several.
    Several,
}

impl NodeName {
    /// Reads `corecast://CLUSTER/REGION/NODE`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(SCHEME)?.split('/');
        let (cluster, region, node) = (parts.next()?, parts.next()?, parts.next()?);
        let is_whole = parts.next().is_none() && [cluster, region, node].into_iter().all(is_name);
        is_whole.then(|| Self { cluster: cluster.to_owned(), region: region.to_owned(), node: node.to_owned() })
    }

    /// Reads a certificate's name.
    ///
    /// # Errors
    /// When it names no node.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, NoName> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| NoName::Unreadable)?;
        let names = parsed.subject_alternative_name().map_err(|_| NoName::Unreadable)?;
        let mut ours = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) if is_ours(uri) => Some(*uri),
            _ => None,
        });
        match (ours.next(), ours.next()) {
            (None, _) => Err(NoName::None),
            (Some(uri), None) => Self::parse(uri).ok_or(NoName::Malformed),
            (Some(_), Some(_)) => Err(NoName::Several),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, region, node } = self;
        write!(f, "{SCHEME}{cluster}/{region}/{node}")
    }
}

/// Whether a URI claims to be such a name, well-formed or not.
fn is_ours(uri: &str) -> bool {
    uri.get(..SCHEME.len() - 2).is_some_and(|scheme| scheme.eq_ignore_ascii_case("corecast:"))
}

fn is_name(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=limits::CLUSTER_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_good)
}

/// What a certificate says of itself, for people: its names, or its subject. It may be a stranger's, so it is cut short, and what is
/// not printable is left out.
#[must_use]
pub fn described(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return "(unreadable)".to_owned() };
    let names = parsed.subject_alternative_name().ok().flatten();
    let uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) if is_ours(uri) => Some(*uri),
        _ => None,
    });
    let uris: Vec<&str> = uris.take(3).collect();
    match uris.is_empty() {
        true => shown(&parsed.subject().to_string()),
        false => shown(&uris.join(", ")),
    }
}

/// Text of a stranger, for people.
#[must_use]
pub fn shown(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    let shown: String = printable.take(limits::CHANNEL_SHOWN_CHARS_MAX).collect();
    if shown.trim().is_empty() { "(without a name)".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::channel::tests::authority::{Authority, Certificate};

    fn name(cluster: &str, region: &str, node: &str) -> NodeName {
        NodeName { cluster: cluster.into(), region: region.into(), node: node.into() }
    }

    #[test]
    fn a_name_is_read_as_it_is_written_and_nothing_like_it_is() {
        let text = "corecast://live/eu-1/edge_1.example";
        assert_eq!(NodeName::parse(text), Some(name("live", "eu-1", "edge_1.example")));
        assert_eq!(NodeName::parse(text).unwrap().to_string(), text);
        assert_eq!(
            NodeName::parse(&format!("corecast://c/r/{}", "n".repeat(64))).map(|name| name.node.len()),
            Some(64)
        );
        for wrong in [
            "",
            "corecast://",
            "corecast://c/r",
            "corecast://c/r/",
            "corecast://c//n",
            "corecast:///r/n",
            "corecast://c/r/n/",
            "corecast://c/r/n/m",
            "corecast://c/r/n ",
            "corecast://c/r/n?x",
            "corecast://c/r/n#x",
            "corecast://c/r/n%2d",
            "corecast://c:1/r/n",
            "corecast://u@c/r/n",
            "CORECAST://c/r/n",
            "corecast:/c/r/n",
            "corecast:c/r/n",
            "https://c/r/n",
            " corecast://c/r/n",
            "corecast://c/r/n\0",
            "corecast://c/r/\u{e4}",
            &format!("corecast://c/r/{}", "n".repeat(65)),
        ] {
            assert_eq!(NodeName::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_certificate_has_exactly_one_such_name() {
        let authority = Authority::new("a");
        let read = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            NodeName::of(&authority.issue(&Certificate { names, ..Certificate::default() }).der)
        };
        assert_eq!(read(&["corecast://c/r/n"]), Ok(name("c", "r", "n")));
        assert_eq!(read(&["https://example.org/", "corecast://c/r/n"]), Ok(name("c", "r", "n")));
        assert_eq!(read(&[]), Err(NoName::None));
        assert_eq!(read(&["https://example.org/"]), Err(NoName::None));
        assert_eq!(read(&["corecast://c/r/n", "corecast://c/r/m"]), Err(NoName::Several));
        assert_eq!(read(&["corecast://c/r/n", "CoreCast:x"]), Err(NoName::Several));
        for malformed in ["corecast://c/r", "Corecast://c/r/n", "corecast:"] {
            assert_eq!(read(&[malformed]), Err(NoName::Malformed), "{malformed}");
        }
        assert_eq!(NodeName::of(&CertificateDer::from(vec![0x30, 3, 1, 2])), Err(NoName::Unreadable));
    }

    #[test]
    fn what_a_stranger_says_is_short_and_printable() {
        assert_eq!(shown("a\nb\u{1b}[31mc\u{e4}"), "a?b?[31mc?");
        assert_eq!(shown(&"x".repeat(10_000)).len(), limits::CHANNEL_SHOWN_CHARS_MAX);
        assert_eq!(shown("  "), "(without a name)");
        assert_eq!(described(&CertificateDer::from(vec![1])), "(unreadable)");
    }
}
