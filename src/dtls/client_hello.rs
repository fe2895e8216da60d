//! The parts of a ClientHello, and of a server's answer, that the node must know before an engine reads it: the offered versions, which decide the
//! engine, the offered SRTP protection profiles, from which the node chooses, and random and cookie, which tell a
//! repeated hello from another client's.
//!
//! Only the lengths on the way to these parts are validated; the engine validates the rest.

use std::ops::Range;

/// `supported_versions` (RFC 8446 §4.2.1)
const SUPPORTED_VERSIONS: u16 = 43;
/// `use_srtp` (RFC 5764 §4.1.1)
const USE_SRTP: u16 = 14;
/// `supported_groups` (RFC 8422 §5.1.1)
const SUPPORTED_GROUPS: u16 = 10;
/// The groups of the DTLS 1.2 engine: x25519, secp256r1, secp384r1.
const OUR_GROUPS: [[u8; 2]; 3] = [[0, 29], [0, 23], [0, 24]];
/// `client_version` of DTLS 1.2, and of 1.3 as well.
pub(super) const DTLS_1_2: [u8; 2] = [0xfe, 0xfd];
/// DTLS 1.3 (RFC 9147 §5.3)
const DTLS_1_3: [u8; 2] = [0xfe, 0xfc];

/// What a ClientHello offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// `client_version`: DTLS 1.0 is [0xfe, 0xff], 1.2 and 1.3 are [0xfe, 0xfd].
    pub(super) version: [u8; 2],
    /// `random`
    pub(super) random: [u8; 32],
    /// `cookie`, as a range of the body.
    pub(super) cookie: Range<usize>,
    /// `supported_groups` lists one of the DTLS 1.2 engine's, or is absent.
    pub(super) offers_our_groups: bool,
    /// `supported_versions` lists DTLS 1.3.
    pub(super) offers_dtls_1_3: bool,
    /// The range of the body that holds the `use_srtp` profile numbers, two bytes each. `None` without the extension.
    pub(super) srtp_profiles: Option<Range<usize>>,
}

impl ClientHello {
    /// Reads the body of a ClientHello (RFC 6347 §4.2.1), without the handshake header. `None` when lengths in it
    /// contradict each other.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = RangeReader { bytes: body, at: 0 };
        let version = *body.get(reader.take(2)?)?.first_chunk()?;
        let random = *body.get(reader.take(32)?)?.first_chunk()?;
        reader.vector_8()?; // session_id
        let cookie = reader.vector_8()?;
        reader.vector_16()?; // cipher_suites
        reader.vector_8()?; // compression_methods
        let mut hello = Self { version, random, cookie, offers_our_groups: true, ..Self::default() };
        if reader.at == body.len() {
            return Some(hello); // no extensions at all: legal in DTLS 1.2
        }
        let extensions = reader.vector_16()?;
        if reader.at != body.len() {
            return None;
        }
        let mut reader = RangeReader { bytes: body.get(..extensions.end)?, at: extensions.start };
        while reader.at < extensions.end {
            let kind = u16::from_be_bytes(*body.get(reader.take(2)?)?.first_chunk()?);
            let data = reader.vector_16()?;
            let mut inner = RangeReader { bytes: body.get(..data.end)?, at: data.start };
            match kind {
                SUPPORTED_VERSIONS => {
                    let versions = body.get(inner.vector_8()?)?;
                    hello.offers_dtls_1_3 = versions.chunks_exact(2).any(|version| version == DTLS_1_3);
                }
                USE_SRTP => {
                    let profiles = inner.vector_16()?;
                    inner.vector_8()?; // srtp_mki
                    if profiles.len() % 2 != 0 {
                        return None;
                    }
                    hello.srtp_profiles = Some(profiles);
                }
                SUPPORTED_GROUPS => {
                    let groups = body.get(inner.vector_16()?)?;
                    hello.offers_our_groups = groups.as_chunks().0.iter().any(|group| OUR_GROUPS.contains(group));
                }
                _ => {}
            }
        }
        Some(hello)
    }

    /// The offered profile numbers in the client's order; `body` is what [`Self::parse`] read.
    pub(super) fn profile_ids<'a>(&self, body: &'a [u8]) -> impl Iterator<Item = u16> + Clone + use<'a> {
        let list = self.srtp_profiles.clone().and_then(|range| body.get(range)).unwrap_or_default();
        list.chunks_exact(2).filter_map(|id| Some(u16::from_be_bytes(*id.first_chunk()?)))
    }
}

/// What a ServerHello answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerHello {
    /// `random`
    pub(super) random: [u8; 32],
    /// The version is DTLS 1.2: `server_version` says so, and there is no `supported_versions`.
    pub(super) is_1_2: bool,
    /// The selected profile number.
    pub(super) srtp_profile: Option<u16>,
}

impl ServerHello {
    /// Reads the body of a ServerHello (RFC 5246 §7.4.1.3), without the handshake header. `None` when lengths in it
    /// contradict each other.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = RangeReader { bytes: body, at: 0 };
        let version: [u8; 2] = *body.get(reader.take(2)?)?.first_chunk()?;
        let random = *body.get(reader.take(32)?)?.first_chunk()?;
        reader.vector_8()?; // session_id
        reader.take(2 + 1)?; // cipher_suite, compression_method
        let mut hello = Self { random, is_1_2: version == DTLS_1_2, srtp_profile: None };
        if reader.at == body.len() {
            return Some(hello);
        }
        let extensions = reader.vector_16()?;
        let mut reader = RangeReader { bytes: body.get(..extensions.end)?, at: extensions.start };
        while reader.at < extensions.end {
            let kind = u16::from_be_bytes(*body.get(reader.take(2)?)?.first_chunk()?);
            let data = reader.vector_16()?;
            match kind {
                SUPPORTED_VERSIONS => hello.is_1_2 = false,
                USE_SRTP => {
                    hello.srtp_profile = match *body.get(data)? {
                        // One profile, and an MKI, which is not used.
                        [0, 2, a, b, ..] => Some(u16::from_be_bytes([a, b])),
                        _ => return None,
                    }
                }
                _ => {}
            }
        }
        Some(hello)
    }
}

/// A cursor over a byte string that returns ranges instead of slices.
struct RangeReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl RangeReader<'_> {
    fn take(&mut self, len: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    fn vector_8(&mut self) -> Option<Range<usize>> {
        let len = self.take(1)?;
        let len = usize::from(*self.bytes.get(len.start)?);
        self.take(len)
    }

    fn vector_16(&mut self) -> Option<Range<usize>> {
        let len = self.take(2)?;
        let len = usize::from(u16::from_be_bytes(*self.bytes.get(len)?.first_chunk()?));
        self.take(len)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body of a ClientHello with these extensions, each as (type, data).
    pub(in crate::dtls) fn hello_body(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend_from_slice(&[7; 32]);
        body.extend_from_slice(&[0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
        let mut block = Vec::new();
        for (kind, data) in extensions {
            block.extend_from_slice(&kind.to_be_bytes());
            block.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
            block.extend_from_slice(data);
        }
        body.extend_from_slice(&u16::try_from(block.len()).unwrap().to_be_bytes());
        body.extend_from_slice(&block);
        body
    }

    /// `use_srtp` data that offers `ids`.
    pub(in crate::dtls) fn use_srtp(ids: &[u16]) -> Vec<u8> {
        let mut data = u16::try_from(ids.len() * 2).unwrap().to_be_bytes().to_vec();
        ids.iter().for_each(|id| data.extend_from_slice(&id.to_be_bytes()));
        data.push(0);
        data
    }

    #[test]
    fn versions_and_profiles_are_read_in_the_clients_order() {
        let chromium = use_srtp(&[1, 8, 7]);
        let body = hello_body(&[(10, &[0, 2, 0, 29]), (USE_SRTP, &chromium), (43, &[4, 0xfe, 0xfc, 0xfe, 0xfd])]);
        let hello = ClientHello::parse(&body).unwrap();
        assert!(hello.offers_dtls_1_3);
        assert_eq!(hello.profile_ids(&body).collect::<Vec<_>>(), [1, 8, 7]);
    }

    #[test]
    fn a_1_2_client_names_no_versions_or_names_only_1_2() {
        for extensions in [&[][..], &[(43, &[2, 0xfe, 0xfd][..])][..]] {
            let body = hello_body(extensions);
            let hello = ClientHello::parse(&body).unwrap();
            assert!(!hello.offers_dtls_1_3);
            assert_eq!(hello.profile_ids(&body).count(), 0);
        }
        let mut without_extensions = hello_body(&[]);
        without_extensions.truncate(without_extensions.len() - 2);
        let plain = ClientHello {
            version: DTLS_1_2,
            random: [7; 32],
            cookie: 36..36,
            offers_our_groups: true,
            ..ClientHello::default()
        };
        assert_eq!(ClientHello::parse(&without_extensions), Some(plain));
    }

    #[test]
    fn a_truncated_or_lengthened_hello_is_refused() {
        let srtp = use_srtp(&[7]);
        let body = hello_body(&[(USE_SRTP, &srtp), (43, &[2, 0xfe, 0xfc])]);
        let without_extensions = hello_body(&[]).len() - 2;
        for end in (0..body.len()).filter(|&end| end != without_extensions) {
            assert_eq!(ClientHello::parse(&body[..end]), None, "cut at {end}");
        }
        let mut long = body;
        long.push(0);
        assert_eq!(ClientHello::parse(&long), None);
    }

    #[test]
    fn lengths_inside_an_extension_that_reach_past_it_are_refused() {
        assert_eq!(ClientHello::parse(&hello_body(&[(43, &[200, 0xfe, 0xfc])])), None);
        assert_eq!(ClientHello::parse(&hello_body(&[(USE_SRTP, &[0, 9, 0, 7, 0])])), None);
        assert_eq!(ClientHello::parse(&hello_body(&[(USE_SRTP, &[0, 1, 7, 0])])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(hello) = ClientHello::parse(&bytes) {
                let _ = hello.profile_ids(&bytes).count();
            }
        }

        #[test]
        fn any_change_of_a_valid_hello_is_read_or_refused(at in 34..80_usize, value in any::<u8>()) {
            let srtp = use_srtp(&[1, 8, 7]);
            let mut body = hello_body(&[(10, &[0, 2, 0, 29]), (USE_SRTP, &srtp), (43, &[2, 0xfe, 0xfc])]);
            let at = at % body.len();
            body[at] = value;
            if let Some(hello) = ClientHello::parse(&body) {
                let _ = hello.profile_ids(&body).count();
            }
        }
    }
}
