//! Datagrams that wait for the next `sendmmsg`, one after the other in a single buffer.

use std::ops::Range;

use crate::path::Path;

/// The datagrams of one turn of the loop.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<(Path, Range<usize>)>,
}

impl Outbox {
    /// Appends one datagram for `path`, written by `write` at the end of the buffer; nothing when it writes
    /// nothing.
    pub fn push_with<R>(&mut self, path: Path, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let start = self.bytes.len();
        let result = write(&mut self.bytes);
        if self.bytes.len() > start {
            self.datagrams.push((path, start..self.bytes.len()));
        }
        result
    }

    /// Appends a copy of `datagram`.
    pub fn push(&mut self, path: Path, datagram: &[u8]) {
        self.push_with(path, |bytes| bytes.extend_from_slice(datagram));
    }

    /// The datagrams, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Path, &[u8])> {
        self.datagrams.iter().map(|(path, range)| (*path, &self.bytes[range.clone()]))
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Forgets everything and keeps the memory for the next turn.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}
