//! Demultiplexing (RFC 7983, RFC 5761): what a parser accepts is sorted to that parser, and only the first two bytes and
//! the length decide.

use corecast::dtls;
use corecast::wire::demux::{DatagramKind, classify};
use corecast::wire::rtcp::{self, RtcpPacket};
use corecast::wire::rtp::RtpHeader;
use corecast::wire::stun::StunMessage;

use super::{Seed, rtcp as rtcp_target, rtp as rtp_target, stun as stun_target};

pub fn run(data: &[u8]) {
    let kind = classify(data);
    // RFC 7983 §7 leaves STUN the methods that begin with 0 to 3.
    if StunMessage::parse(data).is_ok() && data[0] < 4 {
        assert_eq!(kind, DatagramKind::Stun);
    }
    if dtls::is_whole(data) && data.len() >= 13 && data[0] < 64 {
        assert_eq!(kind, DatagramKind::Dtls);
    }
    if dtls::starts_association(data) {
        assert_eq!(kind, DatagramKind::Dtls);
    }
    match kind {
        DatagramKind::Rtp => assert!((128..192).contains(&data[0]) && !(192..224).contains(&data[1])),
        DatagramKind::Rtcp => assert!((128..192).contains(&data[0]) && (192..224).contains(&data[1])),
        DatagramKind::Stun => assert!(data[0] < 4 && data.len() >= 20),
        DatagramKind::Dtls => assert!((20..64).contains(&data[0]) && data.len() >= 13),
        DatagramKind::Unknown => {
            assert!(RtpHeader::parse(data).is_err());
            let known = rtcp::packets(data).flatten().any(|packet| matches!(packet, RtcpPacket::SenderReport(_)));
            assert!(!known || data.len() < 8);
        }
    }
    if let [first, second, rest @ ..] = data {
        let mut other: Vec<u8> = vec![*first, *second];
        other.extend(rest.iter().map(|byte| !byte));
        assert_eq!(classify(&other), kind);
        other.extend_from_slice(&[0; 32]);
        assert!(kind == DatagramKind::Unknown || classify(&other) == kind);
    }
}

pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (from, name) in [(stun_target::seeds(), "stun"), (rtp_target::seeds(), "rtp"), (rtcp_target::seeds(), "rtcp")] {
        seeds.extend(from.into_iter().take(2).map(|(seed, bytes)| (format!("{name}-{seed}"), bytes)));
    }
    let record = |first: u8| [&[first, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 1][..], &[0; 12]].concat();
    seeds.extend([20, 21, 22, 23, 24, 25, 26, 46].map(|first| (format!("dtls-{first}"), record(first))));
    seeds.extend([0, 4, 16, 64, 127, 192, 255].map(|first| (format!("first-{first}"), vec![first; 40])));
    seeds
}
