//! A stream's channels on one worker: the ring of each, and whose turn it is among the viewers that mirror them.

use std::collections::VecDeque;

use crate::data::MessageKind;
use crate::data::dcep::ChannelTerms;
use crate::data::record::{DataNews, DataRecord};
use crate::data::ring::{ChannelRing, RingMessage};
use crate::limits;
use crate::time::Timestamp;
use crate::worker::peer::PeerKey;
use crate::worker::reason::DropReason;

/// A channel with what tells it from others that had its number.
#[derive(Debug)]
pub(super) struct StreamChannel {
    /// Unique among the stream's channels.
    pub(super) serial: u64,
    /// When it was opened here.
    pub(super) opened: Timestamp,
    pub(super) ring: ChannelRing,
}

/// What a viewer says to the publisher.
#[derive(Debug)]
pub(super) struct BackMessage {
    /// The channel's number.
    pub(super) channel: u8,
    pub(super) kind: MessageKind,
    pub(super) payload: Box<[u8]>,
}

/// The channels of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamChannels {
    /// The publisher's session that they are of.
    session: Option<u64>,
    slots: [Option<StreamChannel>; limits::DATA_CHANNELS_MAX],
    next_serial: u64,
    /// Viewers whose association is established.
    members: Vec<PeerKey>,
    /// The member whose turn is next.
    at: usize,
    /// Members that are still to be visited.
    left: usize,
    /// It is in the worker's queue.
    pub(super) is_queued: bool,
    /// What viewers say to the publisher, where it is on this worker.
    back: VecDeque<BackMessage>,
}

impl StreamChannels {
    /// The channels, by their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &StreamChannel> {
        self.slots.iter().flatten()
    }

    /// A channel that a viewer mirrors, unless it is gone.
    pub(super) fn find(&mut self, serial: u64) -> Option<&mut StreamChannel> {
        self.slots.iter_mut().flatten().find(|channel| channel.serial == serial)
    }

    /// The number of a channel that may be opened.
    pub(super) fn free_number(&self) -> Option<u8> {
        let number = self.slots.iter().position(Option::is_none)?;
        u8::try_from(number).ok()
    }

    /// The publisher's session that they are of.
    pub(super) fn session(&self) -> Option<u64> {
        self.session
    }

    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        self.iter().next().is_some()
    }

    /// The number of a channel that a viewer mirrors, unless it is gone.
    pub(super) fn number_of(&self, serial: u64) -> Option<u8> {
        let is_it = |slot: &Option<StreamChannel>| slot.as_ref().is_some_and(|channel| channel.serial == serial);
        u8::try_from(self.slots.iter().position(is_it)?).ok()
    }

    /// Keeps what a viewer says until the publisher's turn.
    ///
    /// # Errors
    /// As much as may waits already.
    pub(super) fn keep_back(&mut self, message: BackMessage) -> Result<(), DropReason> {
        if self.back.len() >= limits::DATA_BACK_WAITING_MAX {
            return Err(DropReason::DataPublisherBehind);
        }
        self.back.push_back(message);
        Ok(())
    }

    /// The next of them.
    pub(super) fn take_back(&mut self) -> Option<BackMessage> {
        self.back.pop_front()
    }

    /// Applies what happened at the publisher; every member is then visited.
    ///
    /// # Errors
    /// It is of another publisher than the one that began last, or of a channel that is not there.
    pub(super) fn apply(&mut self, record: &DataRecord<'_>, now: Timestamp) -> Result<(), DropReason> {
        if matches!(record.what, DataNews::Begin) {
            self.session = Some(record.session);
            self.slots = Default::default();
        } else if self.session != Some(record.session) {
            return Err(DropReason::DataLaneStale);
        }
        match record.what {
            DataNews::Begin => self.back.clear(),
            DataNews::Back { channel, kind, payload } => {
                // Of the publisher's turn, not of the members'.
                return self.keep_back(BackMessage { channel, kind, payload: payload.into() });
            }
            DataNews::End => {
                self.back.clear();
                self.session = None;
                self.slots = Default::default();
            }
            DataNews::Close { channel } => *self.slot(channel)? = None,
            DataNews::Open { channel, delivery, label, protocol } => {
                let serial = self.next_serial;
                self.next_serial += 1;
                let terms = ChannelTerms { label: label.to_owned(), protocol: protocol.to_owned(), delivery };
                *self.slot(channel)? = Some(StreamChannel { serial, opened: now, ring: ChannelRing::new(terms) });
            }
            DataNews::Message { channel, kind, arrival, payload } => {
                let channel = self.slot(channel)?.as_mut().ok_or(DropReason::DataLaneStale)?;
                channel.ring.push(RingMessage { kind, arrival, payload: payload.into() }, now);
            }
        }
        self.left = self.members.len();
        Ok(())
    }

    fn slot(&mut self, number: u8) -> Result<&mut Option<StreamChannel>, DropReason> {
        self.slots.get_mut(usize::from(number)).ok_or(DropReason::DataLaneStale)
    }

    /// What another worker must know before the next record.
    pub(super) fn introduction(&self, session: u64) -> impl Iterator<Item = DataRecord<'_>> {
        let channels = self.slots.iter().enumerate().filter_map(|(number, slot)| {
            let (channel, ring) = (u8::try_from(number).ok()?, &slot.as_ref()?.ring);
            let ChannelTerms { label, protocol, delivery } = &*ring.terms;
            let open = DataNews::Open { channel, delivery: *delivery, label, protocol };
            let retained = ring.retained().map(|last| DataNews::Message {
                channel,
                kind: last.kind,
                arrival: last.arrival,
                payload: &last.payload,
            });
            Some(std::iter::once(open).chain(retained))
        });
        std::iter::once(DataNews::Begin).chain(channels.flatten()).map(move |what| DataRecord { session, what })
    }

    /// A viewer's association is established.
    pub(super) fn join(&mut self, key: PeerKey) {
        self.members.push(key);
    }

    /// A viewer has left.
    pub(super) fn leave(&mut self, key: PeerKey) {
        if let Some(at) = self.members.iter().position(|member| *member == key) {
            self.members.swap_remove(at);
            self.left = self.left.min(self.members.len());
        }
    }

    /// The next member to be visited.
    pub(super) fn next_member(&mut self) -> Option<PeerKey> {
        self.left = self.left.checked_sub(1)?;
        if self.at >= self.members.len() {
            self.at = 0;
        }
        let key = self.members.get(self.at).copied()?;
        self.at += 1;
        Some(key)
    }

    /// Whether members are still to be visited.
    pub(super) fn has_turns(&self) -> bool {
        self.left > 0
    }
}
