//! JSON that may hold secrets: wiped when its memory is given back.

use std::io;

use axum::{
    body::{Body, Bytes, HttpBody as _},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use serde::Serialize;
use zeroize::Zeroizing;

/// Writes JSON into one piece of memory, which is wiped when dropped. It is written twice, first to be
/// measured: a piece that grows would leave its beginnings behind.
///
/// # Errors
/// Those of `value`, as of [`serde_json::to_vec`].
pub fn secret_json(value: &impl Serialize) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *json, value)?;
    Ok(json)
}

/// Reads a body into memory that is wiped when the last that holds a part of it is gone; `None` if it is
/// longer, or does not come. A body that says its length gets one piece of memory; another one that grows
/// wipes what it leaves.
pub(crate) async fn collect(body: Body, bytes_max: usize) -> Option<Bytes> {
    let expected = usize::try_from(body.size_hint().lower()).ok().filter(|bytes| *bytes <= bytes_max)?;
    let mut whole = Zeroizing::new(Vec::with_capacity(expected));
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.ok()?;
        let bytes = whole.len() + part.len();
        if bytes > bytes_max {
            return None;
        }
        if bytes > whole.capacity() {
            let mut longer = Zeroizing::new(Vec::with_capacity((2 * bytes).min(bytes_max)));
            longer.extend_from_slice(&whole);
            whole = longer;
        }
        whole.extend_from_slice(&part);
        // Where nobody else reads from the same memory.
        if let Ok(mut part) = part.try_into_mut() {
            part.fill(0);
        }
    }
    Some(Bytes::from_owner(whole))
}

struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer with a secret: 200. Its body goes to the socket from where it was written, without a copy.
pub(crate) struct Secretive<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Secretive<T> {
    fn into_response(self) -> Response {
        match secret_json(&self.0) {
            Ok(json) => {
                let body = Body::from(Bytes::from_owner(json));
                ([(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            // Structures of numbers and texts can always be written.
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_testkit::memory::Needle;

    use super::*;

    /// A body in parts of 100 bytes, which does not say its length.
    fn in_parts(bytes: &[u8]) -> Body {
        let parts: Vec<_> = bytes.chunks(100).map(|part| io::Result::Ok(part.to_vec())).collect();
        Body::from_stream(futures_util::stream::iter(parts))
    }

    #[tokio::test]
    async fn a_body_is_collected_whole_up_to_its_limit() {
        let long: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
        for body in [Body::from(long.clone()), in_parts(&long)] {
            assert_eq!(collect(body, 1000).await.as_deref(), Some(&long[..]));
        }
        for body in [Body::from(long.clone()), in_parts(&long)] {
            assert_eq!(collect(body, 999).await, None);
        }
        assert_eq!(collect(Body::empty(), 0).await.as_deref(), Some(&[][..]));
    }

    #[tokio::test]
    async fn a_body_that_was_read_is_wiped() {
        for says_its_length in [true, false] {
            let needle = Needle::new(74 + u64::from(says_its_length), 400);
            let text = Zeroizing::new(needle.text());
            let body = if says_its_length {
                Body::from(text.as_bytes().to_vec())
            } else {
                in_parts(text.as_bytes())
            };
            let collected = collect(body, 1 << 20).await.expect("it is short");
            assert_eq!(collected, text.as_bytes());
            drop((collected, text));
            assert_eq!(needle.copies(), 0, "{says_its_length}");
        }
    }

    #[test]
    fn it_is_the_same_json_in_a_piece_of_its_size() {
        let value = serde_json::json!({"deviceSecret": "s3cret", "more": [1, 2.5, null, "ä"]});
        let json = secret_json(&value).expect("it can be written");
        assert_eq!(*json, serde_json::to_vec(&value).expect("so can this"));
        assert_eq!(json.capacity(), json.len());
    }
}
