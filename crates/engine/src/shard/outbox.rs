//! Datagrams that wait for the next `sendmmsg`, one after the other in a single buffer.

use crate::path::Path;

/// The datagrams of one turn of the loop.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<Entry>,
}

/// Where a datagram goes, and where it is in the buffer. The buffer is largest with the close_notifys of all
/// sessions: far below 4 GiB.
#[derive(Debug)]
struct Entry {
    path: Path,
    start: u32,
    end: u32,
}

impl Outbox {
    /// Appends one datagram for `path`, written by `write` at the end of the buffer; nothing if it writes
    /// nothing.
    pub(super) fn push_with<R>(&mut self, path: Path, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let start = self.bytes.len() as u32;
        let result = write(&mut self.bytes);
        let end = self.bytes.len() as u32;
        if end > start {
            self.datagrams.push(Entry { path, start, end });
        }
        result
    }

    /// Appends a copy of `datagram`.
    pub fn push(&mut self, path: Path, datagram: &[u8]) {
        self.push_with(path, |bytes| bytes.extend_from_slice(datagram));
    }

    /// The datagrams, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Path, &[u8])> {
        self.iter_from(0)
    }

    /// The datagrams after the first `skipped`.
    pub fn iter_from(&self, skipped: usize) -> impl ExactSizeIterator<Item = (Path, &[u8])> + Clone {
        let bytes = |entry: &Entry| &self.bytes[entry.start as usize..entry.end as usize];
        self.datagrams[skipped..].iter().map(move |entry| (entry.path, bytes(entry)))
    }

    /// Groups the datagrams by source address; those of one path stay in order.
    pub fn group_by_local(&mut self) {
        if !self.datagrams.is_sorted_by_key(|entry| entry.path.local) {
            self.datagrams.sort_by_key(|entry| entry.path.local);
        }
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Removes all datagrams and keeps the memory for the next turn.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}
