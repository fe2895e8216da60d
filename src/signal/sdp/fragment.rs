//! The bodies of `PATCH`: `application/trickle-ice-sdpfrag` (RFC 8840 §9, RFC 9725 §4.3).
//!
//! An ICE-lite node needs no candidates from its peer, so a trickle fragment only has to be correct. A fragment with
//! other credentials restarts ICE; the caller compares them.

use super::offer::{Attributes, lex_fragment};
use super::refused::{Malformed, SdpRefused};
use super::transport::credentials;
use super::write::ICE_OPTIONS;
use crate::description::{Description, IceCredentials, MediaKind};
use crate::limits;
use crate::transport::Candidate;

/// The content of a peer's fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The credentials, which identify the ICE generation. Some clients leave them out of trickle fragments; a restart
    /// always has them.
    pub credentials: Option<IceCredentials>,
    /// How many candidates it has, of any kind.
    pub candidates: usize,
    /// `a=end-of-candidates` (RFC 8838 §13).
    pub end_of_candidates: bool,
}

impl Fragment {
    /// Reads the body of a `PATCH`.
    ///
    /// # Errors
    /// [`SdpRefused::TooLong`]; [`SdpRefused::Malformed`] when it cannot be read, has only one of the two credentials,
    /// or has sections that disagree about them; [`SdpRefused::Unsupported`] when it has too many lines.
    pub fn parse(body: &str) -> Result<Self, SdpRefused> {
        let lines = lex_fragment(body)?;
        let mut ufrags = lines.values("ice-ufrag");
        let credentials = match ufrags.next() {
            None if lines.has("ice-pwd") => return Err(Malformed::IceCredentialsMissing.into()),
            None => None,
            Some(ufrag) => {
                // One transport has one generation. Sections may repeat it, but not differ.
                let repeated = |key, first: &str| lines.values(key).all(|value| value == first);
                let credentials = credentials(&lines, &Attributes::default())?;
                if !repeated("ice-ufrag", ufrag) || !repeated("ice-pwd", &credentials.password) {
                    return Err(Malformed::IceCredentials.into());
                }
                Some(credentials)
            }
        };
        let candidates = lines.values("candidate").count();
        if candidates > limits::SDP_CANDIDATES_MAX {
            return Err(SdpRefused::too_many("candidates", limits::SDP_CANDIDATES_MAX));
        }
        Ok(Self { credentials, candidates, end_of_candidates: lines.has("end-of-candidates") })
    }
}

/// The body of the `200` response to a `PATCH` that restarts ICE (RFC 9725 §4.3.3): this node's new credentials and
/// all its candidates, for the sections agreed in `description`.
#[must_use]
pub fn restart_answer(description: &Description, ice: &IceCredentials, candidates: &[Candidate]) -> String {
    let mut body = format!("a=ice-lite\r\na=ice-options:{ICE_OPTIONS}\r\n");
    let mids: Vec<&str> = description.media.iter().map(|media| media.mid.as_str()).collect();
    // A section alone may have no mid.
    if mids != [""] {
        body.push_str(&format!("a=group:BUNDLE {}\r\n", mids.join(" ")));
    }
    // RFC 8840 §9: a pseudo m= line for the section that has the group's transport.
    if let Some(media) = description.media.first() {
        let kind = match media.kind {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        };
        let payload_type = media.codecs.first().map_or(0, |codec| codec.payload_type);
        body.push_str(&format!("m={kind} 9 UDP/TLS/RTP/SAVPF {payload_type}\r\n"));
        if !media.mid.is_empty() {
            body.push_str(&format!("a=mid:{}\r\n", media.mid));
        }
    }
    body.push_str(&format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.ufrag, ice.password));
    for candidate in candidates {
        body.push_str(&format!("a=candidate:{candidate}\r\n"));
    }
    body.push_str("a=end-of-candidates\r\n");
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Direction;
    use crate::signal::sdp::{LocalParameters, Unsupported, answer};

    /// RFC 9725 figure 5, as Chromium's candidates look.
    const TRICKLE: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
        a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
        a=candidate:3471623853 1 udp 2122194687 6d1d3c1b-9f0a.local 61765 typ host generation 0\r\n\
        a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn a_trickle_fragment_is_read_whatever_its_candidates_are() {
        let fragment = Fragment::parse(TRICKLE).unwrap();
        assert_eq!(fragment.candidates, 3);
        assert!(fragment.end_of_candidates);
        let ice = fragment.credentials.unwrap();
        assert_eq!((ice.ufrag.as_str(), ice.password.as_str()), ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1"));
    }

    #[test]
    fn credentials_may_stand_before_the_sections_or_be_left_out() {
        let early = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n";
        assert_eq!(Fragment::parse(early).unwrap().credentials.unwrap().ufrag, "EsAw");
        let bare = Fragment::parse("a=end-of-candidates").unwrap();
        assert_eq!(bare, Fragment { credentials: None, candidates: 0, end_of_candidates: true });
        assert_eq!(Fragment::parse("").unwrap().candidates, 0);
    }

    #[test]
    fn a_fragment_with_half_or_two_credentials_is_malformed() {
        for (body, expected) in [
            ("a=ice-ufrag:EsAw\r\n", Malformed::IceCredentialsMissing),
            ("a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n", Malformed::IceCredentialsMissing),
            ("a=ice-ufrag:EsAw\r\na=ice-pwd:tooShort\r\n", Malformed::IceCredentials),
            (
                "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=ice-ufrag:Other\r\n",
                Malformed::IceCredentials,
            ),
            ("not a fragment", Malformed::Syntax),
        ] {
            assert_eq!(Fragment::parse(body), Err(SdpRefused::Malformed(expected)), "{body}");
        }
    }

    #[test]
    fn the_size_of_a_fragment_is_bounded() {
        let many = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n".repeat(limits::SDP_CANDIDATES_MAX + 1);
        assert!(matches!(Fragment::parse(&many), Err(SdpRefused::Unsupported(Unsupported::TooMany { .. }))));
        assert_eq!(Fragment::parse(&"a".repeat(limits::SDP_BYTES_MAX)), Err(SdpRefused::TooLong));
    }

    #[test]
    fn a_restart_is_answered_with_new_credentials_and_every_candidate() {
        let offer = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sdp/chromium-publish.sdp"));
        let ice = IceCredentials { ufrag: "ysXw".to_owned(), password: "vw5LmwG4y/e6dPP/zAP9Gp5k".to_owned() };
        let ips: [std::net::IpAddr; 2] = ["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()];
        let candidates: Vec<_> = Candidate::udp_hosts(ips.map(|ip| (ip, 20_003).into())).collect();
        let local = LocalParameters {
            ice: &ice,
            fingerprint_sha256: [0; 32],
            candidates: &candidates,
            cname: "c",
            stream_id: "s",
            session_id: 1,
            session_version: 1,
            data: true,
        };
        let agreed = answer(offer, Direction::Publish, &local, &mut || 0).unwrap();
        let body = restart_answer(&agreed.description, &ice, &candidates);
        assert_eq!(
            body,
            "a=ice-lite\r\na=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
             a=mid:0\r\na=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
             a=candidate:1 1 udp 2130706431 192.0.2.10 20003 typ host\r\n\
             a=candidate:2 1 udp 2130706175 2001:db8::10 20003 typ host\r\na=end-of-candidates\r\n"
        );
        // It is itself a fragment.
        let read = Fragment::parse(&body).unwrap();
        assert_eq!((read.credentials, read.candidates, read.end_of_candidates), (Some(ice), 2, true));
    }
}
