//! A publication as versioned bytes, to go on in another process.

use super::{Binding, Publication, Role, Track};
use crate::description::{CodecFormat, NegotiatedMedia};
use crate::limits;
use crate::relay::publish::numbering::Numbering;
use crate::relay::publish::reception::Reception;
use crate::relay::publish::source::TrackSource;
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::sender_clock::NtpOffset;
use crate::relay::store::timeline::Incarnation;
use crate::time::Timestamp;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// The layout of [`Publication::export`].
const VERSION: u8 = 1;

impl Publication {
    /// Writes what another process needs to go on with this publisher's numbers. What was negotiated is not in it. Left out
    /// because it is learnt again: parameter sets, arrival times, the newest clock and the round-trip time.
    pub fn export(&self, now: Timestamp, out: &mut StateWriter) {
        out.version(VERSION);
        out.u64(self.next_incarnation);
        out.option(self.ntp_offset.to_node_clock(), StateWriter::u64);
        out.u8(self.full_intra_requests);
        out.count(self.bindings.len());
        for binding in &self.bindings {
            out.u32(binding.ssrc);
            out.count(binding.track);
            out.bool(binding.role == Role::Repair);
        }
        out.count(self.tracks.len());
        for track in &self.tracks {
            track.export(now, out);
        }
    }

    /// Goes on where [`Self::export`] was called, with the same `media` as agreed then.
    ///
    /// # Errors
    /// It was written by another version or for other media, is cut short, or no publication can be so.
    pub fn import(
        media: &[NegotiatedMedia],
        feedback_ssrc: u32,
        now: Timestamp,
        from: &mut StateReader<'_>,
    ) -> Result<Self, ImportError> {
        from.version("a publication", VERSION)?;
        let mut publication = Self::new(media, 0, feedback_ssrc);
        publication.next_incarnation = from.u64()?;
        publication.ntp_offset = NtpOffset::from_node_clock(from.option(StateReader::u64)?);
        publication.full_intra_requests = from.u8()?;
        publication.bindings.clear();
        let tracks = publication.tracks.len();
        for _ in 0..from.count(limits::SOURCES_PER_TRACK_MAX * 2 * tracks)? {
            let (ssrc, track) = (from.u32()?, from.count(tracks.saturating_sub(1))?);
            let role = if from.bool()? { Role::Repair } else { Role::Media };
            let declared = publication
                .tracks
                .get(track)
                .and_then(|track| track.media.ssrcs.iter().find(|pair| pair.rtx == Some(ssrc)).map(|pair| pair.media));
            publication.bindings.push(Binding { ssrc, track, role, repairs: declared });
        }
        if from.count(tracks)? != tracks {
            return Err(ImportError::Malformed);
        }
        for track in &mut publication.tracks {
            track.import(now, from)?;
        }
        Ok(publication)
    }
}

impl Track {
    fn export(&self, now: Timestamp, out: &mut StateWriter) {
        out.u8(self.encoding.number());
        out.option(self.ssrc(), StateWriter::u32);
        out.u64(self.incarnation.0);
        // The profile that was seen in the stream itself: another one would be another codec for every viewer.
        let profile = match self.published.format {
            CodecFormat::H264 { profile_level_id, .. } => Some(profile_level_id),
            _ => None,
        };
        out.option(profile, StateWriter::u32);
        self.numbering.export(out);
        self.reception.export(now, out);
    }

    /// Goes on with what [`Self::export`] wrote, in a track that was made anew.
    fn import(&mut self, now: Timestamp, from: &mut StateReader<'_>) -> Result<(), ImportError> {
        self.encoding = EncodingId::from_number(from.u8()?).ok_or(ImportError::Malformed)?;
        self.source = TrackSource::imported(from.option(StateReader::u32)?, now);
        self.incarnation = Incarnation(from.u64()?);
        let seen = from.option(StateReader::u32)?;
        if let (CodecFormat::H264 { profile_level_id, .. }, Some(seen)) = (&mut self.published.format, seen) {
            *profile_level_id = seen;
        }
        self.numbering = Numbering::import(from)?;
        self.reception = Reception::import(self.codec.clock_rate_hz, self.codec.nack, now, from)?;
        Ok(())
    }
}
