//! What an admitted client sends: requests, which are answered, and data for this node.

use std::ops::Range;

use super::answer;
use super::attribute::{DATA, SEND, XOR_PEER_ADDRESS};
use super::client::{Client, Peer, Received, canonical};
use super::frame::CHANNEL_HEAD_BYTES;
use crate::limits;
use crate::time::Timestamp;
use crate::wire::stun::{StunClass, StunMessage};

impl Client {
    /// Takes a whole message, and appends the response to a request.
    pub fn receive<'a>(&mut self, message: &'a mut [u8], now: Timestamp, out: &mut Vec<u8>) -> Received<'a> {
        match message.first() {
            Some(0x40..=0x7f) => self.receive_channel_data(message, now),
            _ => match StunMessage::parse(message) {
                Err(_) => Received::Closed,
                Ok(request) if request.class() == StunClass::Request => {
                    let (at_once, pause) = (limits::TURN_REQUESTS_AT_ONCE, limits::TURN_REQUEST_PAUSE);
                    if !self.requests.take(at_once, pause, now) {
                        return Received::Closed;
                    }
                    self.answer(&request, now, out)
                }
                Ok(sent) if sent.class() == StunClass::Indication && sent.method() == SEND => {
                    let place = self.place_of_sent(&sent, now);
                    place.map_or(Received::Nothing, |(peer, place)| self.hand_over(peer, message, place, now))
                }
                Ok(_) => Received::Nothing,
            },
        }
    }

    fn receive_channel_data<'a>(&mut self, message: &'a mut [u8], now: Timestamp) -> Received<'a> {
        let Some((&[n0, n1, l0, l1], _)) = message.split_first_chunk() else { return Received::Closed };
        let (number, len) = (u16::from_be_bytes([n0, n1]), usize::from(u16::from_be_bytes([l0, l1])));
        let bound = |peer: &Peer| peer.channel.is_some_and(|(bound, until)| bound == number && now < until);
        match self.peers.iter().position(bound).filter(|_| self.is_allocated(now)) {
            Some(peer) => {
                self.hand_over(peer, message, CHANNEL_HEAD_BYTES..CHANNEL_HEAD_BYTES.saturating_add(len), now)
            }
            // RFC 8656 §12.6: silently discarded.
            None => Received::Nothing,
        }
    }

    fn place_of_sent(&self, sent: &StunMessage<'_>, now: Timestamp) -> Option<(usize, Range<usize>)> {
        if !self.is_allocated(now) || answer::unknown(sent).next().is_some() {
            return None;
        }
        let to = canonical(sent.xor_address(sent.attribute(XOR_PEER_ADDRESS)?)?);
        let peer = self.peers.iter().position(|peer| peer.address == to && now < peer.permitted_until)?;
        Some((peer, sent.place_of(DATA)?))
    }

    fn hand_over<'a>(
        &mut self,
        peer: usize,
        message: &'a mut [u8],
        place: Range<usize>,
        now: Timestamp,
    ) -> Received<'a> {
        let (Some(peer), Some(bytes)) = (self.peers.get_mut(peer), message.get_mut(place)) else {
            return Received::Closed;
        };
        peer.used = true;
        self.last_data = now;
        Received::Datagram { local_ip: peer.address.ip(), bytes }
    }
}
