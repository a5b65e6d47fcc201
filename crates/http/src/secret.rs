//! JSON that may hold secrets: wiped when its memory is given back.

use std::io;

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
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

/// An answer with a secret. Its body goes to the socket from where it was written, without a copy.
pub(crate) struct Secretive<T>(pub(crate) StatusCode, pub(crate) T);

impl<T: Serialize> IntoResponse for Secretive<T> {
    fn into_response(self) -> Response {
        let Self(status, value) = self;
        match secret_json(&value) {
            Ok(json) => {
                let body = Body::from(Bytes::from_owner(json));
                (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
            }
            // Structures of numbers and texts can always be written.
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_json_in_a_piece_of_its_size() {
        let value = serde_json::json!({"deviceSecret": "s3cret", "more": [1, 2.5, null, "ä"]});
        let json = secret_json(&value).expect("it can be written");
        assert_eq!(*json, serde_json::to_vec(&value).expect("so can this"));
        assert_eq!(json.capacity(), json.len());
    }
}
