//! What is held against the rules as it passes: each packet that a viewer opens, its age on a connection, and each one that a
//! worker sealed.

use corecast::description::MediaKind;
use corecast::time::Timestamp;
use corecast::transport::SendResult;
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtp::{RtpHeader, RtpPacket};

use super::World;
use crate::check::content::{Received, Told};
use crate::check::{Violation, over_tcp};
use crate::client::{self, Agent, ClientId};

impl World {
    pub(super) fn check_packet(&mut self, id: ClientId, bytes: &[u8], opened: Option<corecast::srtp::OpenedRtp>) {
        let client = &mut self.clients[id];
        let ssrc = bytes.get(8..12).map_or(0, |ssrc| u32::from_be_bytes([ssrc[0], ssrc[1], ssrc[2], ssrc[3]]));
        let (kind, is_repair) = if ssrc == client.sources.audio {
            client.heard.audio = self.now;
            (MediaKind::Audio, false)
        } else if ssrc == client.sources.video {
            client.heard.video = self.now;
            (MediaKind::Video, false)
        } else if Some(ssrc) == client.sources.video_rtx {
            (MediaKind::Video, true)
        } else {
            let what = format!("viewer {id} got SSRC {ssrc:#x}, which is not its own");
            self.break_rule(Violation::new("own key", what));
            return;
        };
        let Some(opened) = opened else { return };
        self.totals.opened += 1;
        let plain = bytes.get(..opened.plain_len()).unwrap_or_default();
        let Ok(packet) = RtpPacket::parse(plain) else {
            self.break_rule(Violation::new("content", "a packet that is not whole"));
            return;
        };
        let asked = match &client.agent {
            Some(Agent::Viewer(viewer)) => viewer.key_frames_asked(),
            _ => 0,
        };
        let received = Received { kind, is_repair, index: opened.packet_index, packet, asked, now: self.now };
        match client.content.observe(&received, client.stream as u32, &self.publications) {
            Ok(Told::Media { publication, number, published }) => {
                self.check_age(id, published);
                if let Some(all) = &mut self.received {
                    all.insert((id, kind == MediaKind::Video, publication, number));
                }
            }
            Ok(Told::ParameterSets | Told::Unknown) => {}
            Err(violation) => {
                self.break_rule(Violation { what: format!("viewer {id}: {}", violation.what), ..violation })
            }
        }
    }

    /// A viewer on a connection is not played what is old.
    pub(super) fn check_age(&mut self, id: ClientId, published: Timestamp) {
        let Some(number) = self.clients[id].connection else { return };
        self.totals.over_tcp += 1;
        let age = self.now.since(published);
        let bound =
            over_tcp::age_max(self.connections[number as usize].tcp.borrow().profile(), self.scenario.ways.data > 0.0);
        // What was written before the last disturbance has left the connection as well.
        if self.calm_since(id) + bound + over_tcp::SETTLED > self.now || self.scenario.slower > over_tcp::SLOWER_MAX {
            return;
        }
        self.totals.oldest = self.totals.oldest.max(age);
        if age > bound {
            let what = format!("viewer {id} was played what is {age:?} old, at most {bound:?}");
            self.break_rule(Violation::new("never old", what));
        }
    }

    /// What was sealed for a connection, which has a way of its own to the client.
    pub(super) fn watch_sealed<'d>(
        &mut self,
        number: Option<u32>,
        result: SendResult,
        datagrams: impl Iterator<Item = &'d [u8]>,
    ) {
        for datagram in datagrams {
            let media = RtpHeader::parse(datagram).ok().filter(|_| demux::classify(datagram) == DatagramKind::Rtp);
            let id = match (number, media) {
                (Some(number), _) => self.connections[number as usize].tcp.borrow().client,
                (None, Some(header)) => client::owner_of_source(header.ssrc),
                // Nobody is left to get it.
                (None, None) => continue,
            };
            if media.is_some() && result == SendResult::Full {
                let what = format!("media of session {id} was refused by its connection in the middle of a frame");
                self.break_rule(Violation::new("whole frames", what));
            }
            match self.clients[id].sealed.observe(datagram) {
                Ok(crate::check::sealed_once::Sealed::Rtp { .. }) => {
                    self.totals.sealed += 1;
                    self.sabotage(id, datagram);
                }
                Ok(_) => {}
                Err(violation) => {
                    self.break_rule(Violation { what: format!("client {id}: {}", violation.what), ..violation });
                }
            }
        }
    }
}
