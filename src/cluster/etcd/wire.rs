//! The JSON of etcd's gateway (version 3): what is sent and what comes back. Numbers of 64 bits are strings in it, zero is left out, and
//! keys and values are in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::cluster::engine::{Change, EngineError, Entry, Revision};

/// Bytes in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl Base64 {
    pub(super) fn of(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }

    /// The first key that does not begin with `prefix` any more.
    pub(super) fn end_of(prefix: &str) -> Self {
        let mut end = prefix.as_bytes().to_vec();
        if let Some(last) = end.last_mut() {
            // Prefixes end in a slash.
            *last += 1;
        }
        Self(end)
    }

    fn text(self) -> Option<String> {
        String::from_utf8(self.0).ok()
    }
}

impl Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

/// A number that is written as a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Number(pub(super) i64);

impl Number {
    fn revision(self) -> Revision {
        Revision(self.0.try_into().unwrap_or(0))
    }
}

impl From<Revision> for Number {
    fn from(revision: Revision) -> Self {
        Self(revision.0.try_into().unwrap_or(i64::MAX))
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<'a> {
            Text(#[serde(borrow)] std::borrow::Cow<'a, str>),
            Number(i64),
        }
        match Either::deserialize(deserializer)? {
            Either::Text(text) => text.parse().map(Self).map_err(D::Error::custom),
            Either::Number(number) => Ok(Self(number)),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Header {
    #[serde(default)]
    revision: Number,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct KeyValue {
    key: Base64,
    #[serde(default)]
    value: Base64,
    #[serde(default)]
    mod_revision: Number,
}

impl KeyValue {
    fn entry(self) -> Option<Entry> {
        Some(Entry { key: self.key.text()?, value: self.value.0, modified: self.mod_revision.revision() })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Range {
    pub(super) key: Base64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Base64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<Number>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Ranged {
    #[serde(default)]
    header: Header,
    #[serde(default)]
    kvs: Vec<KeyValue>,
    #[serde(default)]
    pub(super) more: bool,
}

impl Ranged {
    pub(super) fn revision(&self) -> Revision {
        self.header.revision.revision()
    }

    pub(super) fn entries(self) -> impl Iterator<Item = Entry> {
        self.kvs.into_iter().filter_map(KeyValue::entry)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Put {
    pub(super) key: Base64,
    pub(super) value: Base64,
    pub(super) lease: Number,
}

#[derive(Debug, Serialize)]
pub(super) struct Compare {
    target: &'static str,
    result: &'static str,
    key: Base64,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_revision: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mod_revision: Option<Number>,
}

impl Compare {
    /// There is no such key.
    pub(super) fn absent(key: &str) -> Self {
        let key = Base64::of(key);
        Self { target: "CREATE", result: "EQUAL", key, create_revision: Some(Number(0)), mod_revision: None }
    }

    /// It was put last at that revision.
    pub(super) fn put_at(key: &str, revision: Revision) -> Self {
        let key = Base64::of(key);
        Self { target: "MOD", result: "EQUAL", key, create_revision: None, mod_revision: Some(revision.into()) }
    }
}

#[derive(Debug, Serialize)]
pub(super) enum Operation {
    #[serde(rename = "requestPut")]
    Put(Put),
    #[serde(rename = "requestRange")]
    Range(Range),
    #[serde(rename = "requestDeleteRange")]
    Delete { key: Base64 },
}

#[derive(Debug, Serialize)]
pub(super) struct Transaction {
    pub(super) compare: [Compare; 1],
    pub(super) success: [Operation; 1],
    pub(super) failure: [Operation; 1],
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Transacted {
    #[serde(default)]
    header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Debug, Default, Deserialize)]
struct Response {
    response_range: Option<Ranged>,
}

impl Transacted {
    pub(super) fn revision(&self) -> Revision {
        self.header.revision.revision()
    }

    /// What is there.
    pub(super) fn there(self) -> Option<Entry> {
        self.responses.into_iter().find_map(|response| response.response_range)?.entries().next()
    }
}

#[derive(Debug, Serialize)]
pub(super) struct LeaseGrant {
    #[serde(rename = "TTL")]
    pub(super) seconds: Number,
}

#[derive(Debug, Serialize)]
pub(super) struct LeaseId {
    #[serde(rename = "ID")]
    pub(super) id: Number,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Leased {
    #[serde(rename = "ID", default)]
    pub(super) id: Number,
    /// Missing where there is no such lease.
    #[serde(rename = "TTL", default)]
    pub(super) seconds: Number,
}

#[derive(Debug, Serialize)]
pub(super) struct Watch {
    pub(super) create_request: WatchCreate,
}

#[derive(Debug, Serialize)]
pub(super) struct WatchCreate {
    pub(super) key: Base64,
    pub(super) range_end: Base64,
    pub(super) start_revision: Number,
}

/// One part of an answer that does not end.
#[derive(Debug, Deserialize)]
pub(super) struct Streamed<T> {
    pub(super) result: Option<T>,
    error: Option<Failure>,
}

impl<T> Streamed<T> {
    pub(super) fn answer(self) -> Result<T, EngineError> {
        match (self.result, self.error) {
            (Some(result), _) => Ok(result),
            (None, Some(failure)) => Err(failure.meaning()),
            (None, None) => Err(EngineError::Unavailable("an answer without a result".into())),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Watched {
    #[serde(default)]
    canceled: bool,
    #[serde(default)]
    compact_revision: Number,
    #[serde(default)]
    cancel_reason: String,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Deserialize)]
struct Event {
    /// Left out for a put, which is number zero.
    #[serde(rename = "type", default)]
    kind: String,
    kv: KeyValue,
}

impl Watched {
    pub(super) fn changes(self) -> Result<Vec<Change>, EngineError> {
        if self.compact_revision.0 > 0 {
            return Err(EngineError::Compacted);
        }
        if self.canceled {
            return Err(EngineError::Unavailable(format!("the watch was cancelled: {}", self.cancel_reason)));
        }
        let change = |event: Event| {
            let is_deleted = event.kind == "DELETE";
            let entry = event.kv.entry()?;
            Some(if is_deleted { Change::Deleted { key: entry.key, at: entry.modified } } else { Change::Put(entry) })
        };
        Ok(self.events.into_iter().filter_map(change).collect())
    }
}

/// A refusal.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Failure {
    #[serde(default, alias = "grpc_code")]
    code: u32,
    /// The gateway writes the same text twice; streams have the second only.
    #[serde(default)]
    error: String,
    #[serde(default)]
    message: String,
}

impl Failure {
    /// What it means, by gRPC's status codes.
    pub(super) fn meaning(self) -> EngineError {
        const NOT_FOUND: u32 = 5;
        const PERMISSION_DENIED: u32 = 7;
        const RESOURCE_EXHAUSTED: u32 = 8;
        const OUT_OF_RANGE: u32 = 11;
        const UNAUTHENTICATED: u32 = 16;
        let text = if self.message.is_empty() { self.error } else { self.message };
        match self.code {
            NOT_FOUND if text.contains("lease") => EngineError::LeaseGone,
            OUT_OF_RANGE if text.contains("compacted") => EngineError::Compacted,
            PERMISSION_DENIED | RESOURCE_EXHAUSTED | UNAUTHENTICATED => EngineError::Refused(text),
            _ => EngineError::Unavailable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_written_as_the_gateway_reads_it() {
        let put = Put { key: Base64::of("k"), value: Base64::of("v"), lease: Number(7) };
        let range = Range { key: Base64::of("k"), range_end: None, limit: None, revision: None };
        let transaction = Transaction {
            compare: [Compare::absent("k")],
            success: [Operation::Put(put)],
            failure: [Operation::Range(range)],
        };
        let text = serde_json::to_string(&transaction).unwrap();
        assert_eq!(
            text,
            r#"{"compare":[{"target":"CREATE","result":"EQUAL","key":"aw==","create_revision":"0"}],"success":[{"requestPut":{"key":"aw==","value":"dg==","lease":"7"}}],"failure":[{"requestRange":{"key":"aw=="}}]}"#
        );
        assert_eq!(Base64::end_of("/a/").0, b"/a0");
    }

    #[test]
    fn what_there_is_is_read_from_a_transaction_that_failed() {
        let text = r#"{"header":{"cluster_id":"1","revision":"12","raft_term":"2"},"responses":[{"response_range":{"header":{"revision":"12"},"kvs":[{"key":"aw==","create_revision":"9","mod_revision":"11","version":"2","value":"dg==","lease":"3"}],"count":"1"}}]}"#;
        let done: Transacted = serde_json::from_str(text).unwrap();
        assert!(!done.succeeded);
        assert_eq!(done.revision(), Revision(12));
        assert_eq!(done.there(), Some(Entry { key: "k".into(), value: b"v".to_vec(), modified: Revision(11) }));
    }

    #[test]
    fn a_watch_tells_of_puts_and_removals_and_that_it_has_forgotten() {
        let read = |text| serde_json::from_str::<Streamed<Watched>>(text).unwrap().answer().and_then(Watched::changes);
        assert_eq!(read(r#"{"result":{"header":{"revision":"3"},"created":true}}"#), Ok(vec![]));
        let events = r#"{"result":{"events":[{"kv":{"key":"aw==","mod_revision":"4","value":"dg=="}},{"type":"DELETE","kv":{"key":"aw==","mod_revision":"5"}}]}}"#;
        assert_eq!(
            read(events),
            Ok(vec![
                Change::Put(Entry { key: "k".into(), value: b"v".to_vec(), modified: Revision(4) }),
                Change::Deleted { key: "k".into(), at: Revision(5) },
            ])
        );
        assert_eq!(read(r#"{"result":{"canceled":true,"compact_revision":"9"}}"#), Err(EngineError::Compacted));
        assert!(matches!(read(r#"{"result":{"canceled":true}}"#), Err(EngineError::Unavailable(_))));
        assert!(matches!(
            read(r#"{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}"#),
            Err(EngineError::Unavailable(why)) if why.contains("no leader")
        ));
    }

    #[test]
    fn refusals_are_told_apart() {
        let read = |text| serde_json::from_str::<Failure>(text).unwrap().meaning();
        let gone = r#"{"error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found","code":5}"#;
        assert_eq!(read(gone), EngineError::LeaseGone);
        assert_eq!(read(r#"{"message":"x compacted","code":11}"#), EngineError::Compacted);
        assert!(matches!(read(r#"{"error":"mvcc: database space exceeded","code":8}"#), EngineError::Refused(_)));
        assert!(matches!(read(r#"{"code":14}"#), EngineError::Unavailable(_)));
    }
}
