//! One way to the node: the carrier, then a peer on it until media comes, or until it is clear that none will.

use std::time::Duration;

use super::Way;
use super::carrier::{ANSWER_WITHIN, Carrier};
use super::node::{Node, Session};
use crate::lab::peer::{ClientPeer, PeerEvent};
use crate::net;
use crate::session::Inbound;
use crate::time::Timestamp;
use crate::transport::TrainBatch;

/// How long media is waited for on a connection that stands.
const MEDIA_WITHIN: Duration = Duration::from_secs(1);

/// A way that works. Times are from the beginning of the attempt.
pub(super) struct Attempt {
    /// The node's first answer to an ICE check.
    pub(super) first_packet: Duration,
    /// The end of the DTLS handshake.
    pub(super) connected: Duration,
    /// The first packet of media, where there is some.
    pub(super) media: Option<Duration>,
    /// Where the node was reached.
    pub(super) at: String,
}

/// Tries one way. `None` where the node does not offer it.
pub(super) fn attempt(way: Way, node: &Node, session: &Session) -> Option<Result<Attempt, String>> {
    let began = net::now();
    let udp = |is_wanted: fn(&std::net::SocketAddr) -> bool| session.udp.iter().copied().find(is_wanted);
    // A relay sends to a UDP port of the node's.
    let relayed = udp(|to| to.is_ipv4()).or_else(|| udp(|_| true));
    let failed = |error: std::io::Error| error.to_string();
    let (carrier, at) = match way {
        Way::Udp4 | Way::Udp6 => {
            let to = udp(if way == Way::Udp4 { |to| to.is_ipv4() } else { |to| to.is_ipv6() })?;
            (Carrier::udp(to).map_err(failed), to.to_string())
        }
        Way::Tcp => {
            let to = *session.tcp.first()?;
            (
                Carrier::frames(to, ANSWER_WITHIN).map_err(|error| format!("no connection to {to}: {error}")),
                to.to_string(),
            )
        }
        Way::TurnTcp | Way::TurnTls => {
            let (server, peer) = (session.turn(way == Way::TurnTls)?, relayed?);
            let tls = (way == Way::TurnTls).then(|| node.tls());
            (Carrier::channel(&server, tls, peer, ANSWER_WITHIN), format!("{peer} by {server}"))
        }
    };
    let peer = session.peer(relayed.unwrap_or_else(|| ([192, 0, 2, 1], 9).into()), net::now());
    Some(carrier.and_then(|carrier| play(peer, carrier, began, at)))
}

/// Plays until media comes, or has had its time.
fn play(mut peer: ClientPeer, mut carrier: Carrier, began: Timestamp, at: String) -> Result<Attempt, String> {
    let mut out = TrainBatch::new();
    let (mut first_packet, mut connected, mut media) = (None, None, None);
    let broken = |error: std::io::Error| error.to_string();
    loop {
        let now = net::now();
        peer.handle_timeout(&mut out, now);
        flush(&mut carrier, &mut out).map_err(broken)?;
        while let Some(event) = peer.poll_event() {
            match event {
                PeerEvent::PathValidated(_) => first_packet = first_packet.or(Some(now)),
                PeerEvent::Connected => connected = connected.or(Some(now)),
                PeerEvent::Closed => return Err("the node ended the session".to_owned()),
                PeerEvent::Failed(error) => return Err(format!("checks are answered, and DTLS fails: {error:?}")),
            }
        }
        let until = connected.map_or(began + ANSWER_WITHIN, |connected| connected + MEDIA_WITHIN);
        if media.is_some() || now >= until {
            break;
        }
        let due = peer.next_deadline().map_or(until, |deadline| deadline.min(until));
        if let Some(mut datagram) = carrier.receive(due.since(now)).map_err(broken)? {
            let inbound = peer.handle_datagram(&mut datagram, &mut out, net::now());
            if matches!(inbound, Ok(Inbound::Rtp(_))) {
                media = Some(net::now());
            }
        }
    }
    peer.close(&mut out, net::now());
    // Nothing is owed to a node that cannot be told goodbye: the session is deleted over HTTP as well.
    let _ = flush(&mut carrier, &mut out);
    let after = |at: Timestamp| at.since(began);
    match (first_packet, connected) {
        (Some(first_packet), Some(connected)) => {
            let (first_packet, connected) = (after(first_packet), after(connected));
            Ok(Attempt { first_packet, connected, media: media.map(after), at })
        }
        (Some(_), None) => Err(format!("checks are answered at {at}, and the DTLS handshake does not end")),
        (None, _) => Err(format!("no answer within {} s, at {at}", ANSWER_WITHIN.as_secs())),
    }
}

fn flush(carrier: &mut Carrier, out: &mut TrainBatch) -> std::io::Result<()> {
    for train in out.trains() {
        for datagram in out.bytes(train).chunks(usize::from(train.segment_size).max(1)) {
            carrier.send(datagram)?;
        }
    }
    out.clear();
    Ok(())
}
