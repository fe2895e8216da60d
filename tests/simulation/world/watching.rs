//! What is held against the rules as it passes: each packet that a viewer opens, its age on a connection, and each one that a
//! worker sealed.

use std::time::Duration;

use corecast::description::{Direction, MediaKind};
use corecast::time::Timestamp;
use corecast::transport::SendResult;
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtp::{RtpHeader, RtpPacket};

use super::World;
use crate::check::content::{Media, Received, Told};
use crate::check::timeline::{self, NoGap, Related};
use crate::check::{Violation, over_tcp};
use crate::client::{self, Agent, ClientId};
use crate::scenario::Sabotage;

/// From the end of a disturbance until a viewer is as far as its publisher again.
const LIVE_AGAIN: Duration = Duration::from_secs(3);

impl World {
    /// Prints a datagram of the client that is watched.
    pub(super) fn watch(&self, id: ClientId, what: &str, bytes: &[u8]) {
        if self.watched != Some(id) {
            return;
        }
        let (at, kind, len) = (self.now.as_nanos() as f64 / 1e9, demux::classify(bytes), bytes.len());
        match RtpHeader::parse(bytes) {
            Ok(header) if kind == DatagramKind::Rtp => {
                println!("{at:.6} client {id} {what} Rtp {:#x} {} of {len} bytes", header.ssrc, header.sequence);
            }
            _ => println!("{at:.6} client {id} {what} {kind:?} of {len} bytes"),
        }
    }

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
        // Time goes on by arrival from one transport of a publisher to another.
        let is_steady = self.scenario.ways.share == 0.0 && self.ahead.get().is_zero() && self.scenario.slower == 1;
        let slack = if is_steady { Duration::from_millis(600) } else { Duration::from_secs(20) };
        let received = Received { kind, is_repair, index: opened.packet_index, packet, asked, now: self.now, slack };
        match client.content.observe(&received, client.stream as u32, &self.publications) {
            Ok(Told::Media(media)) => {
                let (publication, number) = (media.publication, media.number);
                self.check_age(id, media.published);
                if self.scenario.rekeys > 0.0 {
                    self.check_timeline(id, kind, &media);
                }
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

    /// What comes by one of its session's transports.
    fn check_timeline(&mut self, id: ClientId, kind: MediaKind, media: &Media) {
        let over = self.publications[media.publication].over;
        if over.is_some_and(|over| media.published > over) {
            let what = format!("viewer {id} got {media:?}, sent on a transport that was over at {over:?}");
            return self.break_rule(Violation::new(timeline::DEAD_RULE, what));
        }
        let first = self.clients[id].first;
        let shift = u32::from(self.scenario.sabotage == Some(Sabotage::OtherTimeline) && first != id);
        let media = &Media { timestamp: media.timestamp.wrapping_add(shift), ..*media };
        let is_calm = self.calm_since(id) + LIVE_AGAIN < self.now && self.scenario.slower <= over_tcp::SLOWER_MAX;
        let (publications, clients) = (&self.publications, &self.clients);
        let related = |former: usize, latter: usize| {
            let [former, latter] = [former, latter].map(|publication| &publications[publication]);
            let next = &clients[former.client];
            match former.session == latter.session {
                true => Related::OfOneSession {
                    goes_back: latter.client < former.client,
                    given_up: next.over.is_some() || next.is_leaving || next.agent.is_none(),
                },
                false => Related::No,
            }
        };
        let up = &clients[publications[media.publication].client].up.profile;
        let is_lossy = up.loss > 0 || up.burst.is_some();
        let mut continuity = self.clients[id].continuity;
        let goes_on = continuity.observe(kind, media, is_calm, is_lossy, related);
        self.clients[id].continuity = continuity;
        let is_one = self.keys.timelines.entry(first).or_default().observe(kind, id, media);
        if let Err(violation) = goes_on.and(is_one) {
            self.break_rule(Violation { what: format!("viewer {id}: {}", violation.what), ..violation });
        }
    }

    /// A viewer's old transport has ended.
    pub(crate) fn no_gap(&mut self, NoGap { over, new, calm, at }: NoGap) {
        let [old, next] = [over, new].map(|id| &self.clients[id].continuity);
        if !calm || self.clients[over].direction == Direction::Publish {
            return;
        }
        if let Err(violation) = timeline::no_gap(old, next) {
            let what = format!("transports {over} and {new} at {at:?}: {}", violation.what);
            self.break_rule(Violation { what, ..violation });
        }
    }

    /// A datagram that was sealed for a transport: whether that may still be.
    pub(super) fn watch_epoch(&mut self, id: ClientId, datagram: &[u8]) {
        if self.scenario.rekeys == 0.0 || !matches!(demux::classify(datagram), DatagramKind::Rtp | DatagramKind::Rtcp) {
            return;
        }
        let client = &mut self.clients[id];
        if client.sealed_since.is_none() {
            (client.sealed_since, client.sealed_ahead) = (Some(self.now), self.ahead.get());
        }
        let client = &self.clients[id];
        if let Some(over) = client.over {
            let what = format!("transport {id} was over at {over:?}, and is sealed for at {:?}", self.now);
            self.break_rule(Violation::new(timeline::DEAD_RULE, what));
        } else if let Some(at) = self.ends_by(id)
            && at < self.now
        {
            let what = format!("transport {id} should have ended at {at:?}, and is sealed for at {:?}", self.now);
            self.break_rule(Violation::new(timeline::DEAD_RULE, what));
        }
    }

    /// When a transport that is the older of two ends at the latest.
    fn ends_by(&self, id: ClientId) -> Option<Timestamp> {
        let client = &self.clients[id];
        let first = &self.clients[client.first];
        let next = first.next.filter(|_| first.transport == id)?;
        // While notices wait to be read the two may have ended already, either way.
        let excused = self.nodes[client.worker].excused.max(self.notices_from);
        Some(timeline::ends_by(self.clients[next].sealed_since?, excused))
    }

    /// Whether a transport may end at any time, by its client's wish or because its time is over.
    pub(crate) fn is_about_to_end(&self, id: ClientId) -> bool {
        let client = &self.clients[id];
        // The node's clock, which may have jumped since, says when the older one's time is over.
        let jumped = self.clients[client.first].next.map(|next| self.ahead.get() - self.clients[next].sealed_ahead);
        let soon = self.now + Duration::from_secs(2) + jumped.unwrap_or_default();
        // A change that has begun says that the one before it is over, also where that was not read yet.
        let mut begun = self.keys.changes.iter().filter(|change| change.first == client.first && change.has_begun());
        client.is_leaving || begun.nth(1).is_some() || self.ends_by(id).is_some_and(|at| at < soon)
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
            self.watch_epoch(id, datagram);
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
