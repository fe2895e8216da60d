//! Bodies of requests and answers between nodes: whole, bounded one by one and together, and in time.

use std::cell::Cell;
use std::fmt;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};

use crate::limits;
use crate::signal::runtime;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than [`limits::CHANNEL_BODY_BYTES_MAX`].
    TooLong,
    /// It did not come in time.
    TooSlow,
    /// Those that are being read take all the room there is.
    NoRoom,
    /// The connection broke.
    Broken,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a body is longer than nodes send them",
            Self::TooSlow => "a body did not come in time",
            Self::NoRoom => "as many bodies are being read as may",
            Self::Broken => "the connection broke",
        })
    }
}

/// The bytes of all bodies that are being read.
#[derive(Debug, Default)]
pub(super) struct Bodies(Cell<usize>);

/// The part of them that one body has.
struct Held<'a> {
    all: &'a Bodies,
    bytes: usize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.0.set(self.all.0.get().saturating_sub(self.bytes));
    }
}

impl Bodies {
    /// Reads a body to its end.
    pub(super) async fn read(&self, body: Incoming) -> Result<Bytes, Unread> {
        if body.size_hint().lower() > limits::CHANNEL_BODY_BYTES_MAX as u64 {
            return Err(Unread::TooLong);
        }
        let reading = runtime::timeout(limits::CHANNEL_BODY_TIME_MAX, self.collect(body)).await;
        reading.unwrap_or(Err(Unread::TooSlow))
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, Unread> {
        let mut body = Limited::new(body, limits::CHANNEL_BODY_BYTES_MAX);
        let mut held = Held { all: self, bytes: 0 };
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => Unread::TooLong,
                false => Unread::Broken,
            })?;
            // Trailers are ignored.
            let Ok(data) = frame.into_data() else { continue };
            let total = self.0.get().saturating_add(data.len());
            if total > limits::CHANNEL_BODIES_BYTES_TOTAL {
                return Err(Unread::NoRoom);
            }
            self.0.set(total);
            held.bytes += data.len();
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }
}
