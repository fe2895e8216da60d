//! Refusals as they are sent: `application/problem+json` (RFC 9457). `detail` says what is wrong and what to do.
//!
//! `type` is left out, which means `about:blank`: the status says what kind of problem it is. `code` is the exact
//! machine-readable name.

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde::Serialize;

use super::code::Code;
use super::http::Response;
use super::stream_name::BadStreamName;
use crate::limits;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: Code,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    /// A refusal with `status`. `code` is for programs. `detail` tells people what is wrong and what to do.
    pub(super) fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new() }
    }

    /// 405 with the methods that are allowed.
    pub(super) fn method(allow: &'static str) -> Self {
        let detail = format!("this resource answers {allow} only");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, detail)
            .with(ALLOW, HeaderValue::from_static(allow))
    }

    /// 503 with the time to wait.
    pub(super) fn unavailable(code: Code, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with(RETRY_AFTER, limits::RETRY_AFTER.as_secs().into())
    }

    /// 429 (RFC 6585 §4) with the time to wait.
    pub(super) fn too_many(code: Code, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail).with(RETRY_AFTER, limits::RETRY_AFTER.as_secs().into())
    }

    /// 404 for a session that has ended or never was.
    pub(super) fn no_session() -> Self {
        let detail = "the session has ended or never was: open another with a new offer";
        Self::new(StatusCode::NOT_FOUND, Code::NoSuchSession, detail)
    }

    /// 410 for a publisher's session whose name another one took over.
    pub(super) fn replaced() -> Self {
        let detail = "another publisher took the stream's name over: do not come back by yourself, or you replace each other \
                      in turn";
        Self::new(StatusCode::GONE, Code::Replaced, detail)
    }

    /// 503 while the node ends.
    pub(super) fn shutting_down() -> Self {
        Self::unavailable(Code::ShuttingDown, "the node is ending: try again later or elsewhere")
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The kind of problem, for people.
    pub(super) fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Refused")
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong and what to do.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// How long to wait before asking again.
    pub(super) fn retry_after_s(&self) -> Option<u64> {
        let (_, value) = self.headers.iter().find(|(name, _)| name == RETRY_AFTER)?;
        value.to_str().ok()?.parse().ok()
    }

    /// The machine-readable name.
    pub(super) fn code(&self) -> Code {
        self.code
    }
}

impl From<BadStreamName> for Problem {
    fn from(bad: BadStreamName) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadStreamName, bad.to_string())
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let body = ProblemBody {
            title: problem.title(),
            status: problem.status.as_u16(),
            code: problem.code.name(),
            detail: &problem.detail,
        };
        // Text and numbers can always be written as JSON.
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Self::new(Full::new(Bytes::from(json)));
        *response.status_mut() = problem.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(problem.headers);
        response
    }
}
