//! JSON that may hold secrets: wiped when its memory is given back.

use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody as _},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use narrowgate_platform::secret::Secret;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::{
    connection::SILENCE_MAX,
    places::Seat,
    shares::{Full, Share},
};

/// After the first [`SILENCE_MAX`], a body comes at least so fast.
const BYTES_PER_SECOND_MIN: usize = 16 << 10;

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

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotCollected {
    /// It is longer than it may be.
    TooLong,
    /// It ended before its end, or is no body.
    Broken,
    /// The rest of it did not come, or too slowly.
    Silent,
    /// Others that are being read leave no room for it.
    NoRoom(Full),
}

/// Reads a body into memory that is wiped when the last that holds a part of it is gone. A body that says its
/// length gets one piece of memory; another one that grows wipes what it leaves. The memory counts as part of
/// `share`, and what comes as progress of the connection.
///
/// # Errors
/// Why it was not read.
pub(crate) async fn collect(
    body: Body,
    bytes_max: usize,
    mut share: Share,
    seat: Option<&Seat>,
) -> Result<Bytes, NotCollected> {
    let began = Instant::now();
    let expected = usize::try_from(body.size_hint().lower()).ok().filter(|bytes| *bytes <= bytes_max);
    let expected = expected.ok_or(NotCollected::TooLong)?;
    share.more(expected).map_err(NotCollected::NoRoom)?;
    let mut whole = Zeroizing::new(Vec::with_capacity(expected));
    let mut parts = body.into_data_stream();
    loop {
        let silent = Instant::now() + SILENCE_MAX;
        let end = silent.min(began + SILENCE_MAX + time_of(whole.len()));
        let Some(part) = timeout_at(end, parts.next()).await.map_err(|_| NotCollected::Silent)? else {
            break;
        };
        let part = part.map_err(|_| NotCollected::Broken)?;
        let bytes = whole.len() + part.len();
        if bytes > bytes_max {
            return Err(NotCollected::TooLong);
        }
        if bytes > whole.capacity() {
            let capacity = (2 * bytes).min(bytes_max);
            share.more(capacity - whole.capacity()).map_err(NotCollected::NoRoom)?;
            let mut longer = Zeroizing::new(Vec::with_capacity(capacity));
            longer.extend_from_slice(&whole);
            whole = longer;
        }
        whole.extend_from_slice(&part);
        // Where nobody else reads from the same memory.
        if let Ok(mut part) = part.try_into_mut() {
            part.fill(0);
        }
        if let Some(seat) = seat {
            seat.note_progress();
        }
    }
    Ok(Bytes::from_owner(Collected { whole, _share: share }))
}

/// How long so many bytes may take, beyond the first [`SILENCE_MAX`].
pub(crate) fn time_of(bytes: usize) -> Duration {
    Duration::from_secs((bytes / BYTES_PER_SECOND_MIN) as u64)
}

/// A body, and its part of what all may have.
struct Collected {
    whole: Zeroizing<Vec<u8>>,
    _share: Share,
}

impl AsRef<[u8]> for Collected {
    fn as_ref(&self) -> &[u8] {
        &self.whole
    }
}

/// The text of a body, in a piece of memory of its size; `None`: it is none.
pub(crate) fn secret_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A secret as a body, which is wiped when it was sent.
pub(crate) fn bytes_of(secret: Secret) -> Bytes {
    struct Owned(Secret);
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            self.0.expose().as_bytes()
        }
    }
    Bytes::from_owner(Owned(secret))
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
    use crate::shares::{Holder, ShareMax, Shares};

    /// Reads a body where all together have 4000 bytes.
    async fn read(body: Body, bytes_max: usize) -> Result<Bytes, NotCollected> {
        let shares = Shares::new(ShareMax::quarter(4000));
        let share = shares.take(&Holder::default(), 0).expect("nothing is taken");
        collect(body, bytes_max, share, None).await
    }

    /// A body in parts of 100 bytes, which does not say its length.
    fn in_parts(bytes: &[u8]) -> Body {
        let parts: Vec<_> = bytes.chunks(100).map(|part| io::Result::Ok(part.to_vec())).collect();
        Body::from_stream(futures_util::stream::iter(parts))
    }

    #[tokio::test]
    async fn a_body_is_collected_whole_up_to_its_limit() {
        let long: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
        for body in [Body::from(long.clone()), in_parts(&long)] {
            assert_eq!(read(body, 1000).await.as_deref(), Ok(&long[..]));
        }
        for body in [Body::from(long.clone()), in_parts(&long)] {
            assert_eq!(read(body, 999).await, Err(NotCollected::TooLong));
        }
        assert_eq!(read(Body::empty(), 0).await.as_deref(), Ok(&[][..]));
    }

    #[tokio::test]
    async fn attack_182_all_bodies_together_have_a_limit_and_give_it_back() {
        let shares = Shares::new(ShareMax::quarter(4000));
        let holder = crate::shares::tests::holder("loud", None);
        let read = async |body| {
            let share = shares.take(&holder, 0).expect("nothing is taken");
            collect(body, 4000, share, None).await
        };
        for body in [Body::from(vec![7; 1001]), in_parts(&[7; 1001])] {
            assert_eq!(read(body).await, Err(NotCollected::NoRoom(Full::Token(1000))));
        }
        let held = read(Body::from(vec![7; 1000])).await.expect("that is its share");
        assert_eq!(read(Body::from("7")).await, Err(NotCollected::NoRoom(Full::Token(1000))));
        drop(held);
        read(Body::from("7")).await.expect("there is room again");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_too_long() {
        let parts = [Ok(vec![1]), Err(io::Error::from(io::ErrorKind::InvalidData))];
        let body = Body::from_stream(futures_util::stream::iter(parts));
        assert_eq!(read(body, 1000).await, Err(NotCollected::Broken));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_come_slowly_and_not_for_ever() {
        // A part of so many bytes each minute but a second: 16 KiB a second, or nearly nothing.
        for (bytes, number, expected) in [(1 << 20, 4, Ok(4 << 20)), (1, 4, Err(NotCollected::Silent))] {
            let parts = futures_util::stream::unfold(0, move |sent| async move {
                tokio::time::sleep(SILENCE_MAX - Duration::from_secs(1)).await;
                (sent < number).then(|| (io::Result::Ok(vec![7; bytes]), sent + 1))
            });
            let shares = Shares::new(ShareMax::quarter(64 << 20));
            let share = shares.take(&Holder::default(), 0).expect("nothing is taken");
            let read = collect(Body::from_stream(parts), 4 << 20, share, None).await;
            assert_eq!(read.map(|bytes| bytes.len()), expected, "{bytes}");
        }
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
            let collected = read(body, 1000).await.expect("it is short");
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
