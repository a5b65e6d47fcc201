//! Bytes of answers that are on their way: an answer is in memory until its peer has taken it, and a peer may
//! take its time. So long ones have a limit together, of which nobody has all.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::{Frame, SizeHint};

use crate::shares::{Full, Holder, Share, ShareMax, Shares};

/// All of them together. A page has some 8 MiB at most.
const BYTES: ShareMax = ShareMax::quarter(128 << 20);
/// Shorter ones do not count: the number of connections is their limit.
const SHORT: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Answers(Arc<Shares>);

impl Default for Answers {
    fn default() -> Self {
        Self(Shares::new(BYTES))
    }
}

impl Answers {
    /// The same answer, which counts for this holder until it is written or its connection ends. One whose
    /// length is not known is made as it is taken, and counts by itself, page by page.
    ///
    /// # Errors
    /// The answer as it was, and who has too much under way.
    pub(crate) fn count(
        &self,
        holder: &Holder,
        response: Response,
    ) -> Result<Response, Box<(Response, Full)>> {
        let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        let Some(bytes) = bytes.filter(|bytes| *bytes > SHORT) else { return Ok(response) };
        match self.0.take(holder, bytes) {
            Ok(share) => {
                let share = Arc::new(share);
                Ok(response.map(|body| Body::new(Counted { body, share })))
            }
            Err(full) => Err(Box::new((response, full))),
        }
    }
}

/// A body whose bytes carry its share with them: they are written after the body has ended.
struct Counted {
    body: Body,
    share: Arc<Share>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(task);
        frame.map_ok(|frame| {
            frame.map_data(|bytes| Bytes::from_owner(Part { bytes, _share: Arc::clone(&self.share) }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes that count for a share until they are written.
pub(crate) fn counted(bytes: impl Into<Bytes>, share: Share) -> Bytes {
    Bytes::from_owner(Part { bytes: bytes.into(), _share: Arc::new(share) })
}

/// A part of such a body, without a copy.
struct Part {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::shares::tests::holder;

    fn answer(bytes: usize) -> Response {
        Response::new(Body::from(vec![7; bytes]))
    }

    #[tokio::test]
    async fn attack_182_long_answers_that_are_not_taken_have_a_limit_together() {
        let answers = Answers::default();
        let (loud, other) = (holder("loud", Some("north")), holder("other", None));
        let page = 8 << 20;
        let mut held = Vec::new();
        let full = loop {
            match answers.count(&loud, answer(page)) {
                Ok(response) => held.push(response),
                Err(refused) => break *refused,
            }
        };
        assert_eq!((held.len(), full.1), (4, Full::Token(32 << 20)));
        assert_eq!(full.0.body().size_hint().exact(), Some(8 << 20), "it is as it was");
        assert!(answers.count(&other, answer(page)).is_ok(), "others have their share");
        assert!(answers.count(&loud, answer(SHORT)).is_ok(), "short ones do not count");
        // Its body has ended, and its bytes are there until they are written.
        let body = held.pop().expect("there are four").into_body();
        assert_eq!(body.size_hint().exact(), Some(8 << 20));
        let bytes = to_bytes(body, usize::MAX).await.expect("it ends");
        assert_eq!((bytes.len(), bytes[page - 1]), (page, 7));
        assert!(answers.count(&loud, answer(page)).is_err());
        drop(bytes);
        assert!(answers.count(&loud, answer(page)).is_ok());
    }
}
