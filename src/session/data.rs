//! Application data of a session: the records of its DTLS association, for the data channels above it (RFC 8831).
//!
//! A record is a datagram: it may be lost, duplicated or reordered, and the SCTP association above it repairs that.
//! Each epoch has an association of its own. Data that was queued in one epoch is not carried over into the next. A
//! session that did not agree on data has no inbox, and gives up its DTLS engine after the handshake.

use super::epoch::EpochNumber;
use super::peer::Session;
use crate::dtls::DataRefused;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::TrainBatch;

impl Session {
    /// Agrees to carry application data (`m=application`). Call this before the first check: it applies to handshakes
    /// that begin afterwards, those of later epochs included.
    pub fn carry_data(&mut self) {
        self.current.data = Some(Box::default());
    }

    /// Sends one record of application data on the session's path, under the current epoch.
    ///
    /// # Errors
    /// The reason it was not taken; the session is unchanged. [`DataRefused::Full`] is also returned when the batch has
    /// no room.
    pub fn send_data(&mut self, data: &[u8], out: &mut TrainBatch, now: Timestamp) -> Result<(), DataRefused> {
        let path = self.ice.selected().ok_or(DataRefused::NotConnected)?;
        if !out.has_room(limits::DATAGRAM_OUT_BYTES_MAX) {
            return Err(DataRefused::Full);
        }
        let dtls = self.current.dtls.as_mut().ok_or(DataRefused::NotConnected)?;
        dtls.send_application_data(data, now)?;
        self.drain_current(path, out, now);
        Ok(())
    }

    /// Takes the next received record and the epoch it belongs to.
    pub fn poll_data(&mut self) -> Option<(EpochNumber, Box<[u8]>)> {
        let other = self.other.as_mut().map(|other| &mut other.epoch);
        [Some(&mut self.current), other].into_iter().flatten().find_map(|epoch| {
            let data = epoch.data.as_mut()?.take()?;
            Some((epoch.number, data))
        })
    }

    /// How many records of the current epoch were dropped because [`limits::DTLS_INBOX_MAX`] records were waiting.
    #[must_use]
    pub fn data_dropped(&self) -> u64 {
        self.current.data.as_ref().map_or(0, |data| data.dropped())
    }
}
