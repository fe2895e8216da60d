//! Answers of the operator's webhook: which are accepted, and for how long one is remembered.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::super::client;
use super::TimedVerdict;
use crate::limits;
use crate::net::clock;

/// What the endpoint decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The action is allowed.
    Allow {
        /// When the session has to end.
        expires: Option<Instant>,
        /// How many sessions may play at once.
        viewers_max: Option<u32>,
    },
    /// The action is refused.
    Deny {
        /// The reason for the client, printable and short.
        reason: String,
    },
}

/// The body of an answer. Unknown fields are an error, because they may be limits that the operator meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    allow: bool,
    reason: Option<String>,
    expires_in_s: Option<u32>,
    viewers_max: Option<u32>,
}

/// Reads the verdict from an answer. The error says why there is none, without quoting the answer.
pub(super) fn parse(answer: &mut ureq::http::Response<ureq::Body>) -> Result<TimedVerdict, String> {
    if refuses_the_question(answer.status().as_u16()) {
        // The reason is not shown: the body of an error page is nobody's promise.
        let reason = format!("the authorisation service answers {}", answer.status().as_u16());
        return Ok(TimedVerdict { verdict: Verdict::Deny { reason }, remembered_until: None });
    }
    if answer.status() != 200 {
        return Err(format!("it answers {}, not 200", answer.status().as_u16()));
    }
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = header("content-type").split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err("its answer is not application/json".to_owned());
    }
    let max_age = max_age(header("cache-control"));
    let body = answer.body_mut().with_config().limit(limits::WEBHOOK_ANSWER_BYTES_MAX).read_to_vec();
    let body = body.map_err(|error| client::words(&error))?;
    let verdict = verdict(&body, clock::now())?;
    let now = clock::now();
    let remembered_until = max_age.map(|age| now + age);
    // A permission is not remembered for longer than it lasts.
    let remembered_until = match verdict {
        Verdict::Allow { expires: Some(expires), .. } => remembered_until.map(|until| until.min(expires)),
        _ => remembered_until,
    };
    Ok(TimedVerdict { verdict, remembered_until })
}

/// Whether a status says that this question is wrong (RFC 9110 §15.5), and not that the endpoint cannot answer now. It is
/// the asker's doing then, and must not count against the endpoint: four bad tokens a second would shut everybody out.
fn refuses_the_question(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 408 | 429)
}

fn verdict(body: &[u8], now: Instant) -> Result<Verdict, String> {
    // serde's text may quote the answer, so only line and column are passed on.
    let body: AnswerBody = serde_json::from_slice(body).map_err(|error| {
        format!("its answer is not one this node understands (line {}, column {})", error.line(), error.column())
    })?;
    match body {
        AnswerBody { allow: true, reason: None, expires_in_s, viewers_max }
            if expires_in_s != Some(0) && viewers_max != Some(0) =>
        {
            let expires = expires_in_s.map(|seconds| now + Duration::from_secs(seconds.into()));
            Ok(Verdict::Allow { expires, viewers_max })
        }
        AnswerBody { allow: false, reason, expires_in_s: None, viewers_max: None } => {
            let reason = reason.unwrap_or_default();
            let shown = reason.chars().filter(|char| !char.is_control());
            let mut bytes = 0;
            let short = shown.take_while(|char| {
                bytes += char.len_utf8();
                bytes <= limits::WEBHOOK_REASON_BYTES_MAX
            });
            Ok(Verdict::Deny { reason: short.collect() })
        }
        _ => {
            Err("its answer contradicts itself: a reason beside allow, a limit beside a refusal, or a limit of 0"
                .into())
        }
    }
}

/// How long an answer may be remembered (RFC 9111 §5.2.2).
fn max_age(cache_control: &str) -> Option<Duration> {
    let mut age = None;
    for directive in cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase()) {
        match directive.split_once('=') {
            Some(("max-age", seconds)) => age = seconds.trim_matches('"').parse().ok(),
            None if directive == "no-store" || directive == "no-cache" => return None,
            _ => {}
        }
    }
    let age = Duration::from_secs(age.unwrap_or(0)).min(limits::WEBHOOK_CACHE_TIME_MAX);
    (!age.is_zero()).then_some(age)
}

/// The remembered answers, by a keyed hash of the question.
#[derive(Debug, Default)]
pub(super) struct AnswerCache(HashMap<u64, (Verdict, Instant)>);

impl AnswerCache {
    /// The remembered answer about `key`, if it is still valid.
    pub(super) fn get(&self, key: u64, now: Instant) -> Option<Verdict> {
        let (verdict, until) = self.0.get(&key)?;
        (now < *until).then(|| verdict.clone())
    }

    /// Remembers an answer. If there is no room, expired answers are removed; if none is expired, this one is not
    /// remembered.
    pub(super) fn put(&mut self, key: u64, verdict: Verdict, until: Instant, now: Instant) {
        if self.0.len() >= limits::WEBHOOK_CACHE_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, (_, until)| now < *until);
            if self.0.len() >= limits::WEBHOOK_CACHE_MAX {
                return;
            }
        }
        self.0.insert(key, (verdict, until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_exactly_as_specified_is_refused() {
        let now = Instant::now();
        let allow = |expires: Option<u64>, viewers_max| Verdict::Allow {
            expires: expires.map(|seconds| now + Duration::from_secs(seconds)),
            viewers_max,
        };
        for (body, expected) in [
            (r#"{"allow": true}"#, allow(None, None)),
            (r#"{"allow": true, "expires_in_s": 60, "viewers_max": 2}"#, allow(Some(60), Some(2))),
            (r#"{"allow": true, "reason": null}"#, allow(None, None)),
            (r#"{"allow": false}"#, Verdict::Deny { reason: String::new() }),
            ("{\"allow\": false, \"reason\": \"no\\r\\nway\"}", Verdict::Deny { reason: "noway".into() }),
        ] {
            assert_eq!(verdict(body.as_bytes(), now), Ok(expected), "{body}");
        }
        for body in [
            "",
            "<html>yes</html>",
            "true",
            "{}",
            r#"{"allow": "true"}"#,
            r#"{"allow": 1}"#,
            r#"{"allow": null}"#,
            r#"{"allow": false, "allow": true}"#,
            r#"{"allow": true, "reason": "banned"}"#,
            r#"{"allow": false, "viewers_max": 3}"#,
            r#"{"allow": true, "expires_in_s": 0}"#,
            r#"{"allow": true, "expires_in_s": -1}"#,
            r#"{"allow": true, "viewers_max": 0}"#,
            r#"{"allow": true, "viewers_max": 1.5}"#,
            r#"{"allow": true, "expires_in": 60}"#,
            r#"{"allow": true} {"allow": false}"#,
        ] {
            assert!(verdict(body.as_bytes(), now).is_err(), "{body}");
        }
        let Ok(Verdict::Deny { reason }) =
            verdict(format!(r#"{{"allow": false, "reason": "{}"}}"#, "ä".repeat(500)).as_bytes(), now)
        else {
            panic!("a long reason is cut, not refused")
        };
        assert_eq!(reason.len(), limits::WEBHOOK_REASON_BYTES_MAX);
    }

    #[test]
    fn an_answer_is_remembered_only_as_long_as_its_own_header_says() {
        for (header, expected) in [
            ("max-age=60", Some(60)),
            ("private, MAX-AGE=60", Some(60)),
            ("max-age=999999999", Some(limits::WEBHOOK_CACHE_TIME_MAX.as_secs())),
            ("max-age=0", None),
            ("max-age=60, no-store", None),
            ("no-cache, max-age=60", None),
            ("s-maxage=60", None),
            ("max-age=-1", None),
            ("max-age=soon", None),
            ("", None),
        ] {
            assert_eq!(max_age(header).map(|age| age.as_secs()), expected, "{header}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_answers_make_room() {
        let now = Instant::now();
        let until = now + Duration::from_secs(10);
        let verdict = Verdict::Deny { reason: String::new() };
        let mut answers = AnswerCache::default();
        for key in 0..limits::WEBHOOK_CACHE_MAX as u64 + 5 {
            answers.put(key, verdict.clone(), until, now);
        }
        assert_eq!(answers.0.len(), limits::WEBHOOK_CACHE_MAX);
        assert_eq!(answers.get(0, now), Some(verdict.clone()));
        assert_eq!(answers.get(0, until), None);
        answers.put(u64::MAX, verdict, until + Duration::from_secs(10), until);
        assert_eq!(answers.0.len(), 1);
    }
}
