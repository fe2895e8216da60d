//! What a viewer is given of a stream's channels: they are opened and closed as the publisher's are, and messages follow
//! as there is room.

use std::time::Duration;

use crate::data::MessageKind;
use crate::data::channels::{ChannelEvent, Channels};
use crate::limits;
use crate::time::Timestamp;
use crate::worker::counters::Counters;
use crate::worker::peer_channels::{Mirror, MirrorState, PeerChannels, Side};
use crate::worker::reason::DropReason;
use crate::worker::stream_channels::{StreamChannel, StreamChannels};

/// What a viewer said on a channel of the publisher's.
pub(super) struct Said {
    /// Which channel.
    pub(super) serial: u64,
    pub(super) kind: MessageKind,
    pub(super) payload: Vec<u8>,
}

/// Acts on what happened to a viewer's channels. Returns whether its association was established just now, and what it
/// said that goes to the publisher.
pub(super) fn take_events(data: &mut PeerChannels, counters: &mut Counters, now: Timestamp) -> (bool, Vec<Said>) {
    let (mut joined, mut said) = (false, Vec::new());
    let may_speak = data.may_speak();
    let Side::Viewer(mirrors) = &mut data.side else { return (false, said) };
    while let Some(event) = data.channels.as_mut().and_then(|channels| channels.poll_event()) {
        match event {
            ChannelEvent::Connected => {
                data.joined = Some(now);
                joined = true;
            }
            ChannelEvent::Opened { .. } | ChannelEvent::Acknowledged(_) => {}
            ChannelEvent::Message { stream, kind, payload } => {
                let mirror = mirrors.iter().find(|mirror| mirror.state == MirrorState::Open(stream));
                let Some(mirror) = mirror.filter(|_| may_speak) else {
                    counters.dropped(DropReason::DataFromViewer);
                    continue;
                };
                let pause = Duration::from_secs(1) / limits::DATA_BACK_VIEWER_PER_SECOND;
                if payload.len() > limits::DATA_BACK_MESSAGE_BYTES_MAX {
                    counters.dropped(DropReason::DataMessageTooLong);
                } else if !data.back.take(limits::DATA_BACK_VIEWER_BURST, pause, now) {
                    counters.dropped(DropReason::DataMessagesOverRate);
                } else {
                    said.push(Said { serial: mirror.serial, kind, payload });
                }
            }
            ChannelEvent::Closed(stream) => {
                for mirror in mirrors.iter_mut().filter(|mirror| mirror.state == MirrorState::Open(stream)) {
                    mirror.state = MirrorState::Unwanted;
                }
                // A new one is opened at the next visit.
                mirrors.retain(|mirror| mirror.state != MirrorState::Lagged(stream));
            }
            ChannelEvent::Ended => mirrors.clear(),
        }
    }
    (joined, said)
}

/// Gives a viewer what it has room for.
pub(super) fn give(data: &mut PeerChannels, stream: &mut StreamChannels, counters: &mut Counters, now: Timestamp) {
    let (Side::Viewer(mirrors), Some(channels)) = (&mut data.side, &mut data.channels) else { return };
    let Some(joined) = data.joined.filter(|_| !channels.is_over() && !data.is_replaced) else { return };
    mirrors.retain(|mirror| {
        let is_there = stream.find(mirror.serial).is_some();
        if let (false, MirrorState::Open(stream)) = (is_there, mirror.state) {
            channels.close(stream, now);
        }
        is_there
    });
    for channel in stream.iter() {
        if mirrors.iter().all(|mirror| mirror.serial != channel.serial) {
            let state = channels.open(&channel.ring.terms, now).map_or(MirrorState::Unwanted, MirrorState::Open);
            // Who was there when it was opened gets all of it, however late the turn comes.
            let was_there = joined <= channel.opened && !data.lagged.contains(&channel.serial);
            let follows = data.follows.iter().find(|(serial, _)| *serial == channel.serial);
            let cursor = match follows {
                Some((_, cursor)) => *cursor,
                None if was_there => 0,
                None => channel.ring.cursor_of_newcomer(),
            };
            mirrors.push(Mirror { serial: channel.serial, cursor, state });
        }
    }
    data.lagged.retain(|serial| stream.find(*serial).is_some());
    for mirror in mirrors {
        let MirrorState::Open(id) = mirror.state else { continue };
        let Some(channel) = stream.find(mirror.serial) else { continue };
        let given = give_channel(channels, id, mirror, channel, counters, now);
        channel.ring.forwarded += given;
        data.sent += given;
        counters.channel_messages_sent(given);
        if mirror.state != MirrorState::Open(id) {
            data.lagged.push(mirror.serial);
        }
    }
}

/// Gives a viewer messages of one channel; how many.
fn give_channel(
    channels: &mut Channels,
    id: u16,
    mirror: &mut Mirror,
    channel: &StreamChannel,
    counters: &mut Counters,
    now: Timestamp,
) -> u64 {
    let ring = &channel.ring;
    let is_reliable = ring.terms.delivery.is_reliable();
    let mut given = 0;
    let missed = ring.first().saturating_sub(mirror.cursor);
    if missed > 0 && is_reliable {
        counters.dropped(DropReason::DataChannelLagged);
        mirror.state = MirrorState::Lagged(id);
        channels.close(id, now);
        return 0;
    }
    counters.dropped_many(DropReason::DataViewerBehind, missed);
    mirror.cursor += missed;
    while let Some(message) = ring.get(mirror.cursor) {
        let age = now.since(message.arrival);
        let buffered = channels.buffered(id);
        let has_room = buffered == 0 || buffered + message.payload.len() <= limits::DATA_BUFFERED_BYTES_MAX;
        // What is retained for those who come later is as old as it is.
        let is_late = !is_reliable && !ring.retains() && age > limits::DATA_UNRELIABLE_AGE_MAX;
        if is_reliable && !has_room {
            break;
        }
        if !has_room || is_late {
            counters.dropped(DropReason::DataViewerBehind);
        } else {
            let lifetime_max = (!is_reliable).then(|| limits::DATA_UNRELIABLE_AGE_MAX.saturating_sub(age));
            let lifetime_max = if ring.retains() { None } else { lifetime_max };
            if !channels.send(id, message.kind, &message.payload, lifetime_max, now) {
                // Longer than the viewer takes, or its association is over: nothing can be lost silently.
                counters.dropped(DropReason::DataChannelLagged);
                mirror.state = MirrorState::Lagged(id);
                channels.close(id, now);
                break;
            }
            given += 1;
        }
        mirror.cursor += 1;
    }
    given
}
