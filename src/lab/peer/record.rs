//! What a load thread measured since the last time it was asked: counters and histograms, to be merged with those of
//! other threads.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::time::Timestamp;

/// A picture that is not older than this is live.
pub const LIVE: Duration = Duration::from_millis(500);

/// Microseconds from 1 to 120 s, to three digits.
fn histogram() -> Histogram<u64> {
    // The bounds are constants that the library takes.
    Histogram::new_with_bounds(1, 120_000_000, 3).unwrap_or_else(|_| unreachable!())
}

/// Sums since the last time it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Viewers whose DTLS handshake completed.
    pub connected: u64,
    /// Viewers and publishers that ended before they were told to: DTLS failed, the server closed, or no check was
    /// answered for 30 s.
    pub ended_early: u64,
    /// Publishers connected.
    pub publishing: u64,
    /// RTP packets that a publisher sent for the first time, and their datagrams' bytes.
    pub sent_video: u64,
    /// As above, audio.
    pub sent_audio: u64,
    /// Bytes of both.
    pub sent_bytes: u64,
    /// Packets a publisher sent again.
    pub sent_again: u64,
    /// Key frames a publisher sent because it was asked.
    pub key_frames_asked: u64,
    /// RTP packets received by viewers, without duplicates and retransmission streams.
    pub received_video: u64,
    /// As above, audio.
    pub received_audio: u64,
    /// Bytes of all RTP datagrams received.
    pub received_bytes: u64,
    /// Packets that came by retransmission (RFC 4588), each of which is also received.
    pub recovered: u64,
    /// Packets that came late and not by a retransmission stream.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets too old to be tracked.
    pub too_old: u64,
    /// Runs of missing packets.
    pub gaps: u64,
    /// Packets skipped.
    pub missing: u64,
    /// Of those, packets that came later.
    pub filled: u64,
    /// Packets opened: decrypted and authenticated.
    pub opened: u64,
    /// Packets that could not be opened.
    pub unauthentic: u64,
    /// Datagrams of no known stream or kind.
    pub unknown: u64,
    /// NACKs sent.
    pub nacks: u64,
    /// Key-frame requests sent.
    pub plis: u64,
    /// Sender reports received.
    pub sender_reports: u64,
    /// Transport-wide feedback sent.
    pub feedbacks: u64,
    /// REMB sent.
    pub rembs: u64,
    /// Frames shown to viewers that watch their picture, and how many of them were of which encoding of a simulcast.
    pub frames: u64,
    /// Of encoding 0, the lowest that the load tester publishes.
    pub frames_of_0: u64,
    /// Of encoding 1.
    pub frames_of_1: u64,
    /// Of encoding 2.
    pub frames_of_2: u64,
    /// Of encoding 3 and above.
    pub frames_of_3: u64,
    /// Times the picture went over to another encoding.
    pub switches: u64,
    /// Times the picture stood still.
    pub freezes: u64,
    /// How long, in milliseconds, all viewers together.
    pub frozen_ms: u64,
    /// Datagrams that the kernel refused to send, for lack of room.
    pub sends_failed: u64,
    /// Messages that sockets dropped because their receive buffer was full. A coalesced train is one message.
    pub socket_drops: u64,
    /// Datagrams that links of the laboratory lost at random, either way.
    pub link_lost: u64,
    /// Those for which their queues had no room.
    pub link_dropped: u64,
    /// Data messages that publishers sent.
    pub data_sent: u64,
    /// Viewers whose SCTP association was established.
    pub data_connected: u64,
    /// Data messages received by viewers.
    pub data_received: u64,
    /// Data messages skipped.
    pub data_missing: u64,
    /// Of those, messages that came later.
    pub data_filled: u64,
    /// Of the received, those that were older than [`super::data::LATE`].
    pub data_late: u64,
    /// Channels that the server closed.
    pub data_closed: u64,
    /// Second transports whose DTLS handshake completed.
    pub seconds_connected: u64,
    /// Viewers whose keys have changed: the server has ended the first transport, and what came was added up.
    pub rekeyed: u64,
    /// Packets that neither of two transports brought.
    pub rekey_lost: u64,
    /// Viewers of whose losses nothing can be said, because their packets bear no numbers of the publisher.
    pub rekey_unnumbered: u64,
    /// Packets of media that the server sent by a transport which it had ended.
    pub rekey_after_end: u64,
    /// Second transports that were given up.
    pub rekeys_given_up: u64,
}

impl Counts {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        for (sum, value) in self.fields_mut().into_iter().zip(other.fields()) {
            *sum += value;
        }
    }

    /// Every counter with its name, for reports.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        NAMES.into_iter().zip(self.fields()).collect()
    }

    /// Received packets of both kinds.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received_video + self.received_audio
    }

    /// Packets that were skipped and never came.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.missing.saturating_sub(self.filled)
    }

    /// Data messages that were skipped and never came.
    #[must_use]
    pub const fn data_lost(&self) -> u64 {
        self.data_missing.saturating_sub(self.data_filled)
    }
}

macro_rules! fields {
    ($($name:ident),* $(,)?) => {
        const NAMES: [&str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];
        impl Counts {
            fn fields(&self) -> [u64; NAMES.len()] {
                [$(self.$name),*]
            }

            fn fields_mut(&mut self) -> [&mut u64; NAMES.len()] {
                [$(&mut self.$name),*]
            }
        }
    };
}

fields!(
    connected,
    ended_early,
    publishing,
    sent_video,
    sent_audio,
    sent_bytes,
    sent_again,
    key_frames_asked,
    received_video,
    received_audio,
    received_bytes,
    recovered,
    reordered,
    duplicates,
    too_old,
    gaps,
    missing,
    filled,
    opened,
    unauthentic,
    unknown,
    nacks,
    plis,
    sender_reports,
    feedbacks,
    rembs,
    frames,
    frames_of_0,
    frames_of_1,
    frames_of_2,
    frames_of_3,
    switches,
    freezes,
    frozen_ms,
    sends_failed,
    socket_drops,
    link_lost,
    link_dropped,
    data_sent,
    data_connected,
    data_received,
    data_missing,
    data_filled,
    data_late,
    data_closed,
    seconds_connected,
    rekeyed,
    rekey_lost,
    rekey_unnumbered,
    rekey_after_end,
    rekeys_given_up,
);

/// Counters and histograms.
#[derive(Clone, Debug)]
pub struct LoadRecord {
    /// Sums.
    pub counts: Counts,
    /// When a viewer connected last.
    pub last_connected: Option<Timestamp>,
    /// From a viewer's intended start to its SRTP keys, µs.
    pub connect_us: Histogram<u64>,
    /// From a viewer's intended start to its first RTP packet, µs.
    pub first_packet_us: Histogram<u64>,
    /// From a viewer's intended start to the last packet of its first complete key frame, µs.
    pub key_frame_us: Histogram<u64>,
    /// From a viewer's intended start to its first frame that is shown less than [`LIVE`] after it was sent, µs; of viewers that
    /// watch their picture.
    pub live_us: Histogram<u64>,
    /// From a second transport's intended start to its SRTP keys, µs.
    pub second_connect_us: Histogram<u64>,
    /// How long a session had two connected transports, µs.
    pub overlap_us: Histogram<u64>,
    /// One way, from the publisher's send to the kernel's receive, video, µs.
    pub video_latency_us: Histogram<u64>,
    /// As above, audio.
    pub audio_latency_us: Histogram<u64>,
    /// One way, from a data message's send to when a viewer's association gave it out, µs.
    pub data_latency_us: Histogram<u64>,
    /// How late a publisher's packets left, by its own clock, µs.
    pub send_late_us: Histogram<u64>,
    /// How long arrived datagrams waited in the kernel for this thread, µs.
    pub read_late_us: Histogram<u64>,
}

impl Default for LoadRecord {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            last_connected: None,
            connect_us: histogram(),
            first_packet_us: histogram(),
            key_frame_us: histogram(),
            live_us: histogram(),
            second_connect_us: histogram(),
            overlap_us: histogram(),
            video_latency_us: histogram(),
            audio_latency_us: histogram(),
            data_latency_us: histogram(),
            send_late_us: histogram(),
            read_late_us: histogram(),
        }
    }
}

impl LoadRecord {
    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.last_connected = self.last_connected.max(other.last_connected);
        for (sum, other) in [
            (&mut self.connect_us, &other.connect_us),
            (&mut self.first_packet_us, &other.first_packet_us),
            (&mut self.key_frame_us, &other.key_frame_us),
            (&mut self.live_us, &other.live_us),
            (&mut self.second_connect_us, &other.second_connect_us),
            (&mut self.overlap_us, &other.overlap_us),
            (&mut self.video_latency_us, &other.video_latency_us),
            (&mut self.audio_latency_us, &other.audio_latency_us),
            (&mut self.data_latency_us, &other.data_latency_us),
            (&mut self.send_late_us, &other.send_late_us),
            (&mut self.read_late_us, &other.read_late_us),
        ] {
            // Both have the same bounds.
            let _ = sum.add(other);
        }
    }
}

/// Records a duration; what lies outside the bounds is recorded as the bound.
pub fn note(histogram: &mut Histogram<u64>, duration: Duration) {
    histogram.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_two_threads_add_up() {
        let (mut one, mut two) = (LoadRecord::default(), LoadRecord::default());
        note(&mut one.connect_us, Duration::from_millis(3));
        note(&mut two.connect_us, Duration::from_secs(1_000));
        note(&mut two.connect_us, Duration::ZERO);
        (one.counts.missing, two.counts.missing, two.counts.filled) = (3, 4, 5);
        one.merge(&two);
        assert_eq!((one.counts.missing, one.counts.lost(), one.connect_us.len()), (7, 2, 3));
        assert!(one.counts.named().contains(&("filled", 5)));
        assert!((119_000_000..121_000_000).contains(&one.connect_us.max()));
    }
}
