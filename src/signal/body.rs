//! Request bodies: read whole, as text, bounded one by one and together.

use std::cell::Cell;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::request_body::RequestBody;
use super::runtime;
use crate::limits;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is longer than [`limits::REQUEST_BODY_BYTES_MAX`].
    TooLong,
    /// It did not arrive within [`limits::REQUEST_BODY_TIME_MAX`].
    TooSlow,
    /// The bodies that are being read take all the room there is ([`limits::REQUEST_BODIES_BYTES_TOTAL`]).
    NoRoom,
    /// It is not UTF-8.
    NotText,
    /// The connection broke.
    Broken,
}

/// The bytes of all bodies that are being read. They are bounded together, because thousands of connections with dozens
/// of streams each may send one.
#[derive(Debug, Default)]
pub(super) struct BodyBytes(Cell<usize>);

/// The part of these bytes that one body has taken. It is freed on drop.
struct Held<'a> {
    all: &'a BodyBytes,
    bytes: usize,
}

impl Held<'_> {
    /// Takes room for more bytes. Returns `false` if there is none.
    fn grow(&mut self, bytes: usize) -> bool {
        let total = self.all.0.get() + bytes;
        let fits = total <= limits::REQUEST_BODIES_BYTES_TOTAL;
        if fits {
            self.all.0.set(total);
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.0.set(self.all.0.get() - self.bytes);
    }
}

/// Reads the whole body as text.
pub(super) async fn read_text(body: RequestBody, all: &BodyBytes) -> Result<String, BodyError> {
    String::from_utf8(read_bytes(body, all).await?).map_err(|_| BodyError::NotText)
}

/// Reads the whole body.
pub(super) async fn read_bytes(body: RequestBody, all: &BodyBytes) -> Result<Vec<u8>, BodyError> {
    use hyper::body::Body as _;
    // A body that is announced as too long is not read at all.
    if body.size_hint().lower() > limits::REQUEST_BODY_BYTES_MAX as u64 {
        return Err(BodyError::TooLong);
    }
    let mut limited = Limited::new(body, limits::REQUEST_BODY_BYTES_MAX);
    let mut held = Held { all, bytes: 0 };
    let collect = async {
        let mut bytes = Vec::new();
        while let Some(frame) = limited.frame().await {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => BodyError::TooLong,
                false => BodyError::Broken,
            })?;
            // Trailers are ignored.
            let Ok(data) = frame.into_data() else { continue };
            if !held.grow(data.len()) {
                return Err(BodyError::NoRoom);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    };
    runtime::timeout(limits::REQUEST_BODY_TIME_MAX, collect).await.ok_or(BodyError::TooSlow)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_bounded_together_and_one_that_ends_makes_room() {
        let all = BodyBytes::default();
        let (mut one, mut other) = (Held { all: &all, bytes: 0 }, Held { all: &all, bytes: 0 });
        assert!(one.grow(limits::REQUEST_BODIES_BYTES_TOTAL - 10) && other.grow(10));
        assert!(!other.grow(1) && !one.grow(1));
        drop(one);
        assert!(other.grow(1_000));
        drop(other);
        assert_eq!(all.0.get(), 0);
    }
}
