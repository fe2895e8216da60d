//! A live stream is not silent for long: while publisher, workers and links of a viewer are up, sound comes within
//! [`AUDIO_MAX`] and pictures within [`VIDEO_MAX`].
//!
//! The clock starts anew when an excuse ends: connecting, an outage, a new address, a stalled worker, a jump of the
//! clock, a publisher's absence.

use std::time::Duration;

use corecast::time::Timestamp;

use super::Violation;

/// Sound is 50 packets a second: bursts of loss last tenths of it.
pub(crate) const AUDIO_MAX: Duration = Duration::from_millis(1_500);

/// A viewer that must start anew waits for a key frame: asked for at most every 500 ms, lost perhaps more than once.
pub(crate) const VIDEO_MAX: Duration = Duration::from_millis(3_000);

/// What a viewer heard last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) audio: Timestamp,
    pub(crate) video: Timestamp,
    /// Longest silences so far.
    pub(crate) longest: Duration,
}

impl Heard {
    /// Silence counts from here on.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        (self.audio, self.video) = (now, now);
    }

    /// What the transport before heard was heard by the same viewer.
    pub(crate) fn take_over(&mut self, before: Self) {
        (self.audio, self.video) = (self.audio.max(before.audio), self.video.max(before.video));
    }

    /// Judges a viewer at `now` whose last excuse ended at `calm_since`; `video` says whether its path can carry video, and
    /// `patience` how many times as long it may be silent.
    pub(crate) fn check(
        &mut self,
        now: Timestamp,
        calm_since: Timestamp,
        video: bool,
        patience: u32,
    ) -> Result<(), Violation> {
        let since = |heard: Timestamp| now.since(heard.max(calm_since));
        let (audio, pictures) = (since(self.audio), if video { since(self.video) } else { Duration::ZERO });
        self.longest = self.longest.max(audio).max(pictures);
        if audio > AUDIO_MAX * patience || pictures > VIDEO_MAX * patience {
            let what = format!("at {now:?}: no sound for {audio:?}, no picture for {pictures:?}");
            return Err(Violation::new("silence is bounded", what));
        }
        Ok(())
    }
}
