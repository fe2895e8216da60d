//! SRTP and SRTCP with the right keys: packets are sealed, damaged, repeated and put out of order by the script, so that
//! what lies behind authentication is reached; and raw bytes. Whatever is accepted is what was sealed, once.

use std::collections::{HashMap, HashSet};

use corecast::limits;
use corecast::srtp::{OpenedRtp, SrtpKeys, SrtpProfile, SrtpReceiver, SrtpSender};
use corecast::wire::rtp::{HeaderFields, RtpHeader};
use corecast::wire::{rtcp, rtp};

use super::Seed;
use super::script::{Script, ScriptWriter};

struct World {
    sender: SrtpSender,
    receiver: SrtpReceiver,
    /// Sealed packets, their plaintext, and whether they were accepted.
    sealed: Vec<Sealed>,
    rtp_seen: HashSet<(u32, u64)>,
    indexes: HashMap<u32, u64>,
}

struct Sealed {
    datagram: Vec<u8>,
    plain: Vec<u8>,
    is_rtp: bool,
    index: u64,
    accepted: bool,
}

/// Steps that one input may take; more would only repeat themselves.
const STEPS_MAX: usize = 200;

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let profile = SrtpProfile::PREFERENCE[usize::from(script.byte()) % 3];
    let exported: Vec<u8> = (0..profile.exported_len()).map(|byte| byte as u8 ^ 0x5a).collect();
    let keys = |is_client| SrtpKeys::from_exported(profile, &exported, is_client).expect("the right length");
    let mut world = World {
        sender: SrtpSender::new(profile, &keys(true).local),
        receiver: SrtpReceiver::new(profile, &keys(false).remote),
        sealed: Vec::new(),
        rtp_seen: HashSet::new(),
        indexes: HashMap::new(),
    };
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        match script.byte() % 8 {
            0 | 1 => world.seal_rtp(&mut script),
            2 => world.seal_rtcp(&mut script),
            3 | 4 => world.deliver(usize::from(script.byte())),
            5 => world.damage(usize::from(script.byte()), usize::from(script.u16()), script.byte()),
            6 => world.cut(usize::from(script.byte()), usize::from(script.u16())),
            _ => world.raw(script.chunk()),
        }
    }
    // Whatever came between, everything sealed is accepted now or has a reason not to be, and never twice.
    for which in 0..world.sealed.len() {
        world.deliver(which);
        world.deliver(which);
        assert!(!world.sealed[which].is_rtp || world.sealed[which].index < 1 << 48);
    }
}

impl World {
    fn seal_rtp(&mut self, script: &mut Script<'_>) {
        let (ssrc, step, padding) = (u32::from(script.byte() % 40), u64::from(script.u16()), script.byte());
        // Numbers rise, by chance through a wrap; each is sealed once.
        let index = self.indexes.entry(ssrc).or_insert(step & 0x7fff);
        *index += 1 + step % 0x4000;
        let index = *index;
        let elements: [(u8, &[u8]); 1] = [(u8::from(padding > 128) * 4 + 1, &[padding])];
        let fields = HeaderFields {
            marker: padding & 1 == 1,
            payload_type: 96,
            sequence: (index & 0xffff) as u16,
            timestamp: step as u32,
            ssrc,
            padding: false,
        };
        let payload = script.chunk();
        let mut slot = [0; 4_096];
        let header_len = rtp::write_header(&mut slot, &fields, &elements).expect("room");
        let sealed = self.sender.seal_rtp(index, header_len, &mut slot, payload, padding);
        let fits = usize::from(padding) <= limits::RTP_PADDING_BYTES_MAX
            && header_len + payload.len() + usize::from(padding) + self.sender.profile().tag_len() <= slot.len();
        assert_eq!(sealed.is_some(), fits);
        let Some(len) = sealed else { return };
        let mut plain = slot[..header_len].to_vec();
        plain.extend_from_slice(payload);
        if padding > 0 {
            plain.resize(plain.len() + usize::from(padding) - 1, 0);
            plain.push(padding);
        }
        self.sealed.push(Sealed { datagram: slot[..len].to_vec(), plain, is_rtp: true, index, accepted: false });
        // Another index than the header's is refused, before anything is sealed under it.
        assert_eq!(self.sender.seal_rtp(index + 1, header_len, &mut slot, payload, 0), None);
    }

    fn seal_rtcp(&mut self, script: &mut Script<'_>) {
        let ssrc = u32::from(script.byte() % 40);
        let mut slot = [0; 4_096];
        let len = rtcp::goodbye::write(&mut slot, &[ssrc, 1, 2], None).expect("room");
        let extra = script.chunk();
        let end = (len + extra.len()).min(slot.len());
        slot[len..end].copy_from_slice(&extra[..end - len]);
        let plain = slot[..end].to_vec();
        let Some(len) = self.sender.seal_rtcp(&mut slot, end) else {
            assert!(end + self.sender.profile().rtcp_overhead() > slot.len());
            return;
        };
        let datagram = slot[..len].to_vec();
        self.sealed.push(Sealed { datagram, plain, is_rtp: false, index: 0, accepted: false });
    }

    fn deliver(&mut self, which: usize) {
        if self.sealed.is_empty() {
            return;
        }
        let which = which % self.sealed.len();
        let mut bytes = self.sealed[which].datagram.clone();
        let sealed = &mut self.sealed[which];
        let plain = if sealed.is_rtp {
            let Ok(opened) = self.receiver.open_rtp(&mut bytes) else { return };
            let OpenedRtp { header: RtpHeader { ssrc, header_len, .. }, packet_index, payload_len } = opened;
            assert_eq!(packet_index, sealed.index, "the sender's own index");
            assert!(self.rtp_seen.insert((ssrc, packet_index)), "accepted twice");
            &bytes[..header_len + payload_len]
        } else {
            let Ok(len) = self.receiver.open_rtcp(&mut bytes) else { return };
            &bytes[..len]
        };
        assert_eq!(plain, sealed.plain);
        assert!(!std::mem::replace(&mut sealed.accepted, true), "accepted twice");
    }

    /// Opens bytes that nobody sealed.
    fn refuse(&mut self, bytes: &[u8]) {
        if self.sealed.iter().any(|sealed| sealed.datagram == bytes) {
            return;
        }
        assert!(self.receiver.open_rtp(&mut bytes.to_vec()).is_err(), "forged RTP");
        assert!(self.receiver.open_rtcp(&mut bytes.to_vec()).is_err(), "forged RTCP");
    }

    fn damage(&mut self, which: usize, at: usize, bits: u8) {
        if self.sealed.is_empty() {
            return;
        }
        let mut bytes = self.sealed[which % self.sealed.len()].datagram.clone();
        let at = at % bytes.len();
        bytes[at] ^= bits;
        self.refuse(&bytes);
    }

    fn cut(&mut self, which: usize, len: usize) {
        if self.sealed.is_empty() {
            return;
        }
        let bytes = self.sealed[which % self.sealed.len()].datagram.clone();
        self.refuse(&bytes[..len % bytes.len()]);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.refuse(bytes);
        let (mut slot, len) = ([0; 2_048], bytes.len().min(2_048));
        slot[..len].copy_from_slice(&bytes[..len]);
        // What is sealed is not looked at beyond its first eight bytes; it must only never panic.
        if let Some(sealed) = self.sender.seal_rtcp(&mut slot, len) {
            assert_eq!(sealed, len + self.sender.profile().rtcp_overhead());
        }
    }
}

pub fn seeds() -> Vec<Seed> {
    let script = |profile: u8| {
        let mut script = ScriptWriter::default().byte(profile);
        for number in 0..4 {
            script = script.byte(0).byte(number % 2).u16(u16::from(number) * 9_000).byte(number).chunk(b"payload");
            script = script.byte(2).byte(number).chunk(&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        }
        script = script.byte(3).byte(4).byte(3).byte(0).byte(3).byte(0).byte(5).byte(2).u16(14).byte(1);
        script.byte(6).byte(1).u16(20).byte(7).chunk(&[0x80; 40]).byte(7).chunk(&[0x80, 200, 0, 6, 1, 2, 3, 4])
    };
    let names = ["gcm-128", "gcm-256", "cm-80"];
    let mut seeds: Vec<Seed> =
        names.iter().zip(0..).map(|(name, profile)| ((*name).to_owned(), script(profile).done())).collect();
    // More sources than a session may have, and a wrap of the sequence number.
    let mut many = ScriptWriter::default().byte(0);
    for ssrc in 0..40 {
        many = many.byte(0).byte(ssrc).u16(0x3fff).byte(0).chunk(b"x").byte(3).byte(ssrc);
    }
    seeds.push(("sources".into(), many.done()));
    let wrap = (0..8).fold(ScriptWriter::default().byte(2), |script, number| {
        script.byte(0).byte(1).u16(0x7fff).byte(16).chunk(b"wrap").byte(3).byte(number)
    });
    seeds.push(("wrap".into(), wrap.done()));
    seeds
}
