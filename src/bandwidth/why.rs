//! Why a viewer is sent the encoding that it is sent: one word for metrics and logs, one sentence for people.

/// Declares the reasons: what each means, the variant, its name.
macro_rules! whys {
    ($($(#[doc = $meaning:literal])+ $Variant:ident = $name:literal, $sentence:literal;)+) => {
        /// Why a viewer is sent this encoding and no other.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Why {
            $($(#[doc = $meaning])+ $Variant,)+
        }

        impl Why {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),+];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in metrics, JSON and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// What it means, in Markdown: its documentation.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$Variant => concat!($($meaning),+).trim_ascii(),)+
                }
            }

            /// The same for who asks why.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$Variant => $sentence,)+
                }
            }
        }
    };
}

whys! {
    /// It has just come, and nothing is known of its network.
    Start = "start", "it has just come, and nothing is known of its network yet";
    /// The network had room for more for two seconds.
    Room = "room", "its network has room for it";
    /// The queue grew in two samples.
    Queue = "queue", "what was sent before queued in its network";
    /// Too much was lost, more than this path usually loses.
    Loss = "loss", "too much of what was sent before was lost";
    /// A trial of a higher one ended with a queue or loss.
    TrialFailed = "trial_failed", "a higher one was tried, and its network did not carry it";
    /// A higher one sent no key frame in time.
    NoKeyFrame = "no_key_frame", "a higher one sent no key frame to begin with";
    /// The receiver's own estimate (REMB) was lower.
    Ceiling = "ceiling", "the receiver's own estimate is lower than what was sent before";
    /// The encoding stopped coming from the publisher, or may not be sent any more.
    Stopped = "stopped", "the publisher stopped sending the other one";
    /// Not even the lowest one fitted.
    SoundOnly = "sound_only", "not even the lowest one fits its network, so that it has sound only";
    /// After a time of sound only the picture is tried again.
    PictureAgain = "picture_again", "after a time of sound only the picture is tried again";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_its_own_place_in_the_list_and_has_a_name_of_its_own() {
        for (index, &why) in Why::ALL.iter().enumerate() {
            assert_eq!(why as usize, index);
            assert!(why.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{why:?}");
            assert!(Why::ALL.iter().filter(|other| other.name() == why.name()).count() == 1);
            assert!(!why.sentence().is_empty() && why.meaning().ends_with('.'));
        }
    }
}
