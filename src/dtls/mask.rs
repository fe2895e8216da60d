//! Makes `dimpl` choose the SRTP protection profile that the node prefers.
//!
//! RFC 5764 §4.1.1 leaves the choice to the server. In DTLS 1.3 `dimpl` 0.9 takes the client's first profile
//! (Chromium's is AES-CM with HMAC-SHA1, which costs four to five times as much as AES-GCM); in 1.2 it prefers AES-256.
//! There is no setting for it. So the ClientHello given to `dimpl` lists only the profile it shall choose: the numbers
//! of the others are replaced, in place, by unassigned numbers, which it skips.
//!
//! The handshake's transcript must hash the ClientHello that the client sent. `dimpl` hashes through its provider's
//! [`HashProvider`]; [`UNMASKING`] puts the true numbers back on the way into the hash. The replacement is its own
//! inverse and needs no state: it flips fixed bits of the three numbers, and only in the `use_srtp` list of a
//! ClientHello.
//!
//! This is safe because the handshake still proves all of it to both ends. The transcript contains the client's offer
//! as the client sent it, EncryptedExtensions contains the server's choice, and the choice is among the offered
//! profiles. A client that itself offers a replacement number gets a wrong hash and a failed handshake.

use std::fmt;

use dimpl::HashAlgorithm;
use dimpl::crypto::{Buf, CryptoProvider, HashContext, HashProvider, aws_lc_rs};

use super::client_hello::ClientHello;
use crate::srtp::SrtpProfile;

/// The bits that are flipped in a profile's number to hide it. 0x5a01, 0x5a07 and 0x5a08 are unassigned (IANA,
/// DTLS-SRTP Protection Profiles).
const MASK: u16 = 0x5a00;

/// ClientHello's handshake type.
const CLIENT_HELLO: u8 = 1;
/// The synthetic first message of a transcript after HelloRetryRequest (RFC 8446 §4.4.1).
const MESSAGE_HASH: u8 = 254;

/// Hides every profile but `keep` in the body of a ClientHello.
pub(super) fn hide_all_but(keep: SrtpProfile, body: &mut [u8], hello: &ClientHello) {
    let Some(list) = hello.srtp_profiles.clone().and_then(|range| body.get_mut(range)) else { return };
    for id in list.as_chunks_mut::<2>().0 {
        let value = u16::from_be_bytes(*id);
        if value != keep.dtls_number() && SrtpProfile::PREFERENCE.iter().any(|profile| profile.dtls_number() == value) {
            *id = (value ^ MASK).to_be_bytes();
        }
    }
}

/// The true number of a replaced one. Any other number is returned unchanged.
fn reveal(id: u16) -> u16 {
    let true_id = id ^ MASK;
    if SrtpProfile::PREFERENCE.iter().any(|profile| profile.dtls_number() == true_id) { true_id } else { id }
}

/// `provider` with hashes that see transcripts as the client sent them.
pub(super) fn unmasking(provider: CryptoProvider) -> CryptoProvider {
    CryptoProvider { hash_provider: &UNMASKING, ..provider }
}

/// `aws-lc-rs` hashes over data whose ClientHellos are unmasked first.
#[derive(Debug)]
struct UnmaskingHashes;

static UNMASKING: UnmaskingHashes = UnmaskingHashes;

impl HashProvider for UnmaskingHashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(UnmaskingContext(aws_lc_rs::default_provider().hash_provider.create_hash(algorithm)))
    }
}

struct UnmaskingContext(Box<dyn HashContext>);

impl fmt::Debug for UnmaskingContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnmaskingContext(..)")
    }
}

impl HashContext for UnmaskingContext {
    fn update(&mut self, data: &[u8]) {
        // In the flights up to the server's Finished, where the offer still matters, `dimpl` hashes the whole
        // transcript at once, from its first message on: type, three bytes of length, body (RFC 8446 §4.4.1).
        if !matches!(data.first(), Some(&(CLIENT_HELLO | MESSAGE_HASH))) {
            return self.0.update(data);
        }
        let mut rest = data;
        while let Some((&[kind, a, b, c], after)) = rest.split_first_chunk() {
            let Some((body, next)) = after.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize) else { break };
            self.0.update(&[kind, a, b, c]);
            let list = (kind == CLIENT_HELLO).then(|| ClientHello::parse(body)?.srtp_profiles).flatten();
            match list.and_then(|list| Some((body.get(..list.start)?, body.get(list.clone())?, body.get(list.end..)?)))
            {
                Some((before, ids, after)) => {
                    self.0.update(before);
                    ids.as_chunks::<2>().0.iter().for_each(|id| {
                        self.0.update(&reveal(u16::from_be_bytes(*id)).to_be_bytes());
                    });
                    self.0.update(after);
                }
                None => self.0.update(body),
            }
            rest = next;
        }
        self.0.update(rest);
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_hello::tests::{hello_body, use_srtp};
    use super::super::front::Front;
    use super::super::record::{Record, content, write_plain};
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    fn hash(provider: &dyn HashProvider, data: &[u8]) -> Vec<u8> {
        let mut context = provider.create_hash(HashAlgorithm::SHA256);
        context.update(data);
        let mut out = Buf::new();
        context.clone_and_finalize(&mut out);
        out.to_vec()
    }

    fn masked(body: &[u8], keep: SrtpProfile) -> Vec<u8> {
        let mut masked = body.to_vec();
        hide_all_but(keep, &mut masked, &ClientHello::parse(body).unwrap());
        masked
    }

    #[test]
    fn only_the_chosen_profile_stays_visible() {
        let srtp = use_srtp(&[1, 8, 7, 2]);
        let body = hello_body(&[(14, &srtp), (43, &[2, 0xfe, 0xfc])]);
        let masked = masked(&body, SrtpProfile::AeadAes128Gcm);
        let hello = ClientHello::parse(&masked).unwrap();
        assert_eq!(hello.profile_ids(&masked).collect::<Vec<_>>(), [0x5a01, 0x5a08, 7, 2]);
        assert_eq!(masked.len(), body.len());
    }

    #[test]
    fn the_transcript_hashes_as_the_client_sent_it() {
        let plain = aws_lc_rs::default_provider().hash_provider;
        let srtp = use_srtp(&[1, 8, 7, 2]);
        let body = hello_body(&[(14, &srtp), (43, &[2, 0xfe, 0xfc])]);
        for keep in SrtpProfile::PREFERENCE {
            let masked = message(1, &masked(&body, keep));
            let sent = message(1, &body);
            let server_hello = message(2, &[9; 70]);
            // First hello alone, with what follows, and a second hello after HelloRetryRequest.
            for (head, tail) in [(vec![], vec![]), (vec![], server_hello.clone()), (message(254, &[3; 32]), vec![])] {
                let true_transcript = [head.clone(), sent.clone(), tail.clone()].concat();
                let ours = [head, masked.clone(), tail].concat();
                assert_ne!(hash(plain, &ours), hash(plain, &true_transcript));
                assert_eq!(hash(&UNMASKING, &ours), hash(plain, &true_transcript));
            }
        }
    }

    #[test]
    fn other_data_is_hashed_untouched() {
        let plain = aws_lc_rs::default_provider().hash_provider;
        let replaced = use_srtp(&[0x5a07]);
        let not_a_hello = message(2, &hello_body(&[(14, &replaced)]));
        let cut = &message(1, &hello_body(&[(14, &replaced)]))[..50];
        for data in [&b""[..], b"\x01", b"\x01\xff\xff\xff", &not_a_hello, cut] {
            assert_eq!(hash(&UNMASKING, data), hash(plain, data));
        }
    }

    /// Moves what `from` has to send to `to`, masking ClientHellos on the way; the keys that `from` exported, if any.
    fn exchange(
        from: &mut dimpl::Dtls,
        to: &mut dimpl::Dtls,
        front: Option<&mut Front>,
        hellos: &mut usize,
    ) -> Option<(Vec<u8>, dimpl::SrtpProfile)> {
        let (mut out, mut keys, mut datagrams) = ([0; 2_000], None, Vec::new());
        loop {
            match from.poll_output(&mut out) {
                dimpl::Output::Packet(bytes) => datagrams.push(bytes.to_vec()),
                dimpl::Output::KeyingMaterial(material, profile) => keys = Some((material.to_vec(), profile)),
                dimpl::Output::Timeout(_) => break,
                _ => {}
            }
        }
        match front {
            None => datagrams.iter().for_each(|datagram| to.handle_packet(datagram).unwrap()),
            Some(front) => datagrams.iter().for_each(|datagram| {
                let mut protected = Vec::new();
                front.take(datagram, |record| protected.push(record));
                while let Some(mut message) = front.next_message() {
                    let hello = ClientHello::parse(&message.body).unwrap();
                    hide_all_but(SrtpProfile::AeadAes128Gcm, &mut message.body, &hello);
                    let mut record = Vec::new();
                    write_plain(&mut record, content::HANDSHAKE, *hellos as u64, &message.encode());
                    *hellos += 1;
                    to.handle_packet(&record).unwrap();
                }
                for record in protected {
                    let Record::Protected13 { bytes } = record else { panic!("{record:?}") };
                    to.handle_packet(bytes).unwrap();
                }
            }),
        }
        keys
    }

    #[test]
    fn a_second_hello_after_a_retry_request_is_masked_as_well() {
        let at = std::time::Instant::now();
        let certificate = || dimpl::certificate::generate_self_signed_certificate().unwrap();
        let config = |provider| {
            // The cookie is what makes the server ask for a second hello here (RFC 8446 §4.1.4).
            let builder = dimpl::Config::builder().use_server_cookie(true).with_crypto_provider(provider);
            std::sync::Arc::new(builder.build().unwrap())
        };
        let mut client = dimpl::Dtls::new_13(config(aws_lc_rs::default_provider()), certificate(), at);
        let mut server = dimpl::Dtls::new_13(config(unmasking(aws_lc_rs::default_provider())), certificate(), at);
        client.set_active(true);
        client.handle_timeout(at).unwrap();
        server.handle_timeout(at).unwrap();
        let (mut front, mut hellos) = (Front::default(), 0);
        let (mut clients, mut servers) = (None, None);
        for _ in 0..6 {
            clients = clients.or(exchange(&mut client, &mut server, Some(&mut front), &mut hellos));
            servers = servers.or(exchange(&mut server, &mut client, None, &mut hellos));
        }
        assert_eq!(hellos, 2);
        let (material, profile) = servers.expect("the server's keys");
        assert_eq!(profile, dimpl::SrtpProfile::AEAD_AES_128_GCM);
        assert_eq!(clients, Some((material, profile)));
    }
}
