//! The body of an import: taken by the server's own task, and read by a thread.

use std::{
    io::{self, Read},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use futures_util::StreamExt as _;
use narrowgate_api::problem::{Code, Problem};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::TITLE;
use crate::{connection::SILENCE_MAX, secret::time_of};

/// Bytes of a file: 100,000 rows with the longest keys, secrets and names.
pub(super) const FILE_BYTES_MAX: usize = 96 << 20;

/// Bytes of a list of keys, which is held whole.
pub(super) const LIST_BYTES_MAX: usize = 16 << 20;

/// Why a file cannot be read that did not come whole.
pub(super) const CUT_OFF: &str = "the rest of the file did not arrive";

/// Why a body did not come to its end.
pub(super) enum Unfed {
    /// Its sender has gone.
    CutOff,
    /// It takes too long.
    Late,
    /// It has more than so many bytes.
    TooLong(usize),
}

impl Unfed {
    /// What is told of it.
    pub(super) fn problem(&self) -> Problem {
        let (status, code) = match self {
            Self::CutOff => (StatusCode::BAD_REQUEST, Code::Malformed),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, Code::Malformed),
            Self::TooLong(max) => return too_long(&format!("is longer than {max} bytes")),
        };
        Problem { detail: Some(CUT_OFF.to_owned()), ..Problem::new(status.as_u16(), code, TITLE) }
    }

    /// Whether the same file can come whole another time.
    pub(super) fn is_worth_a_repetition(&self) -> bool {
        matches!(self, Self::CutOff | Self::Late)
    }
}

/// A file that is too long.
pub(super) fn too_long(what: &str) -> Problem {
    let status = StatusCode::PAYLOAD_TOO_LARGE.as_u16();
    let (detail, hint) = (Some(format!("the file {what}")), Some("split it".to_owned()));
    Problem { detail, hint, ..Problem::new(status, Code::TooLarge, TITLE) }
}

/// A part of a body.
pub(super) enum Piece {
    /// Some of it.
    Bytes(Bytes),
    /// There is no more.
    End,
}

/// Sends a body of at most so many bytes on until it ends, or nobody takes it any more.
pub(super) async fn feed(body: Body, bytes_max: usize, parts: mpsc::Sender<Piece>) -> Result<(), Unfed> {
    let (mut body, mut bytes) = (body.into_data_stream(), 0);
    // What the store takes does not count: only for how long nothing came.
    let mut waited = Duration::ZERO;
    loop {
        let silent = SILENCE_MAX.min((SILENCE_MAX + time_of(bytes)).saturating_sub(waited));
        let began = Instant::now();
        let next = timeout(silent, body.next()).await;
        waited += began.elapsed();
        let part = match next {
            Err(_) => return Err(Unfed::Late),
            Ok(Some(Err(_))) => return Err(Unfed::CutOff),
            Ok(Some(Ok(part))) => part,
            Ok(None) => {
                // Ignored: the import may have ended, with a fault.
                let _ = parts.send(Piece::End).await;
                return Ok(());
            }
        };
        bytes += part.len();
        if bytes > bytes_max {
            return Err(Unfed::TooLong(bytes_max));
        }
        if parts.send(Piece::Bytes(part)).await.is_err() {
            return Ok(());
        }
    }
}

/// A body as a thread reads it. What was read of it is wiped.
pub(super) struct Incoming {
    parts: mpsc::Receiver<Piece>,
    part: Bytes,
    /// Bytes of the part that were read.
    read: usize,
    has_ended: bool,
}

impl Read for Incoming {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.part.len() {
            self.wipe();
            if self.has_ended {
                return Ok(0);
            }
            match self.parts.blocking_recv() {
                Some(Piece::Bytes(part)) => (self.part, self.read) = (part, 0),
                Some(Piece::End) => {
                    self.has_ended = true;
                    return Ok(0);
                }
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, CUT_OFF)),
            }
        }
        let left = &self.part[self.read..];
        let length = left.len().min(out.len());
        out[..length].copy_from_slice(&left[..length]);
        self.read += length;
        Ok(length)
    }
}

impl Incoming {
    /// A body whose parts come here.
    pub(super) fn new(parts: mpsc::Receiver<Piece>) -> Self {
        Self { parts, part: Bytes::new(), read: 0, has_ended: false }
    }

    /// Where nobody else reads from the same memory.
    fn wipe(&mut self) {
        if let Ok(mut part) = std::mem::take(&mut self.part).try_into_mut() {
            part.fill(0);
        }
        self.read = 0;
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_file_may_come_slowly_and_not_for_ever() {
        // A part of so many bytes each minute but a second: 16 KiB a second, or nearly nothing.
        for (bytes, is_taken) in [(1 << 20, true), (1, false)] {
            let parts = futures_util::stream::unfold(0, move |sent| async move {
                tokio::time::sleep(SILENCE_MAX - Duration::from_secs(1)).await;
                (sent < 8).then(|| (io::Result::Ok(vec![7_u8; bytes]), sent + 1))
            });
            let (send, _taken) = mpsc::channel(16);
            let fed = feed(Body::from_stream(parts), FILE_BYTES_MAX, send).await;
            assert_eq!(fed.is_ok(), is_taken, "{bytes}");
            assert!(is_taken || matches!(fed, Err(Unfed::Late)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_takes_its_time_is_not_the_fault_of_the_sender() {
        let parts = futures_util::stream::iter((0..8).map(|_| io::Result::Ok(vec![7_u8; 1])));
        let (send, mut taken) = mpsc::channel(1);
        let takes = async {
            while taken.recv().await.is_some() {
                tokio::time::sleep(SILENCE_MAX).await;
            }
        };
        let (fed, ()) = tokio::join!(feed(Body::from_stream(parts), FILE_BYTES_MAX, send), takes);
        assert!(fed.is_ok());
    }
}
