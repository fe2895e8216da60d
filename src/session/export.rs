//! Export of a session as bytes, and import in another process of the node that continues it (live upgrade, migration).
//!
//! **The types prevent sealing twice.** [`Session::export`] consumes the session, so the exporting process has no
//! sender any more, and every index it used is below those in the bytes. [`Session::import`] consumes the bytes, which
//! cannot be cloned. The index of RTP packets belongs to the relay: its subscriptions are exported
//! beside the session, and go on behind the last index they gave out.
//!
//! Times are written relative to `now`, because the importing process may have another clock. The caller writes and
//! reads paths, because it knows what they mean to the other process.
//!
//! DTLS engines cannot be exported: neither library gives out its state. A connected association is first reduced to
//! its close alert ([`crate::dtls::Dtls::export`]). A session whose association carries application data or is still in
//! its handshake cannot be exported and stays in this process.

use std::fmt;

use super::epoch::{Epoch, EpochNumber};
use super::event::SessionState;
use super::other::{Other, Stage};
use super::peer::Session;
use crate::description::DtlsRole;
use crate::dtls::Dtls;
use crate::ice::IceLite;
use crate::limits;
use crate::srtp::{SrtpReceiver, SrtpSender};
use crate::time::Timestamp;
use crate::transport::PathId;
use crate::wire::bytes::{ImportError, StateBytes, StateReader, StateWriter};

/// The format version that [`Session::export`] writes.
const SESSION_STATE_VERSION: u8 = 1;
/// The format version that [`Epoch::export`] writes.
const EPOCH_STATE_VERSION: u8 = 1;

/// Why a session was not exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportRefused {
    /// It is not connected, or no longer.
    NotConnected,
    /// One of its handshakes is under way.
    Handshaking,
    /// One of its associations carries application data, which would be lost without notice.
    CarriesData,
    /// It has events or retired user fragments that the caller has not taken yet.
    EventsWaiting,
}

/// A session that was not exported. The caller keeps it.
#[derive(Debug)]
pub struct NotExported {
    /// The session.
    pub session: Session,
    /// Why.
    pub reason: ExportRefused,
}

impl fmt::Display for ExportRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "the session is not connected",
            Self::Handshaking => "a DTLS handshake is under way",
            Self::CarriesData => "its DTLS association carries application data",
            Self::EventsWaiting => "it has events that were not polled",
        })
    }
}

impl Epoch {
    /// Whether the epoch can be exported: it has keys, and its association can give up its engine.
    fn may_be_exported(&self) -> Result<(), ExportRefused> {
        match &self.dtls {
            _ if !self.is_connected() => Err(ExportRefused::Handshaking),
            Some(dtls) if dtls.expects_application_data() => Err(ExportRefused::CarriesData),
            Some(dtls) if dtls.next_deadline().is_some() => Err(ExportRefused::Handshaking),
            _ => Ok(()),
        }
    }

    /// Writes an epoch whose association is shrunk, closed or absent. Consumes it.
    fn export(self, now: Timestamp, out: &mut StateWriter) {
        out.version(EPOCH_STATE_VERSION);
        out.u32(self.number.0);
        out.option(self.sender, |out, sender| sender.export(out));
        out.option(self.receiver, |out, receiver| receiver.export(out));
        out.age(self.began, now);
        out.u64(self.sealed_packets);
        out.u64(self.opened_packets);
        out.u64(self.opened_bytes);
        out.option(self.unread_since, |out, since| out.age(since, now));
        // An association that has ended has nothing left to send, so it is not written.
        out.option(self.dtls.filter(|dtls| dtls.is_shrunk()), |out, dtls| {
            let exported = dtls.export(out);
            debug_assert!(exported.is_ok(), "a shrunk association can be exported");
        });
    }

    fn import(now: Timestamp, from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        from.version("an epoch of keys", EPOCH_STATE_VERSION)?;
        let mut epoch = Self::new(EpochNumber(from.u32()?), DtlsRole::Server, Vec::new(), now);
        epoch.sender = from.option(SrtpSender::import)?.map(Box::new);
        epoch.receiver = from.option(SrtpReceiver::import)?.map(Box::new);
        epoch.began = from.age(now)?;
        epoch.sealed_packets = from.u64()?;
        epoch.opened_packets = from.u64()?;
        epoch.opened_bytes = from.u64()?;
        epoch.unread_since = from.option(|from| from.age(now))?;
        epoch.dtls = from.option(Dtls::import)?.map(Box::new);
        if epoch.is_connected() { Ok(epoch) } else { Err(ImportError::Malformed) }
    }
}

impl Session {
    /// Exports a connected session and ends it here. `path` writes one path.
    ///
    /// # Errors
    /// The unchanged session, and why it was not exported.
    pub fn export(
        mut self,
        now: Timestamp,
        path: &mut dyn FnMut(&mut StateWriter, PathId),
    ) -> Result<StateBytes, Box<NotExported>> {
        if let Err(reason) = self.may_be_exported() {
            return Err(Box::new(NotExported { session: self, reason }));
        }
        let mut out = StateWriter::new();
        out.version(SESSION_STATE_VERSION);
        self.ice.export(now, &mut out, path);
        self.current.shrink_now(now);
        self.current.export(now, &mut out);
        out.option(self.other, |out, mut other| {
            match other.stage {
                Stage::Next { .. } => out.u8(0),
                Stage::Retiring { until } => {
                    out.u8(1);
                    out.wait(until, now);
                }
            }
            out.option(other.ice, |out, ice| ice.export(now, out, path));
            other.epoch.shrink_now(now);
            other.epoch.export(now, out);
        });
        out.age(self.last_heard, now);
        out.u64(self.retired_packets);
        out.u64(self.retired_bytes);
        out.u64(self.rejected);
        Ok(out.finish())
    }

    fn may_be_exported(&self) -> Result<(), ExportRefused> {
        if self.state != SessionState::Connected {
            return Err(ExportRefused::NotConnected);
        }
        if !self.events.is_empty() || self.retired_ice.is_some() {
            return Err(ExportRefused::EventsWaiting);
        }
        self.current.may_be_exported()?;
        self.other.as_ref().map_or(Ok(()), |other| other.epoch.may_be_exported())
    }

    /// Continues a session that was [exported](Self::export). `path` reads one path.
    ///
    /// # Errors
    /// When the bytes are not an exported session.
    pub fn import(
        bytes: StateBytes,
        now: Timestamp,
        path: &mut dyn FnMut(&mut StateReader<'_>) -> Result<PathId, ImportError>,
    ) -> Result<Self, ImportError> {
        let mut from = StateReader::new(bytes.as_slice());
        from.version("a session", SESSION_STATE_VERSION)?;
        let ice = IceLite::import(now, &mut from, path)?;
        let current = Epoch::import(now, &mut from)?;
        let other = from.option(|from| {
            let stage = match from.u8()? {
                0 => Stage::Next { until: now },
                1 => Stage::Retiring { until: from.wait(now, limits::EPOCH_OVERLAP_MAX)? },
                _ => return Err(ImportError::Malformed),
            };
            let ice = from.option(|from| IceLite::import(now, from, path))?;
            Ok(Box::new(Other::new(Epoch::import(now, from)?, stage, ice)))
        })?;
        let session = Self {
            ice,
            current,
            other,
            in_place: None,
            retired_ice: None,
            state: SessionState::Connected,
            last_heard: from.age(now)?,
            events: std::collections::VecDeque::new(),
            retired_packets: from.u64()?,
            retired_bytes: from.u64()?,
            rejected: from.u64()?,
        };
        from.finish()?;
        // The current epoch of a connected session always has a sender.
        if session.current.sender.is_none() { Err(ImportError::Malformed) } else { Ok(session) }
    }
}
