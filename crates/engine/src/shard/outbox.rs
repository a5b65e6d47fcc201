//! Datagrams that wait for the next `sendmmsg`, one after the other in a single buffer. What the socket does
//! not take stays at the front of it.

use crate::path::Path;

/// The datagrams of one turn of the loop.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<Entry>,
    /// So many of the first datagrams are sent. They stay until they are the larger part.
    sent: usize,
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
        self.datagrams[self.sent + skipped..].iter().map(move |entry| (entry.path, bytes(entry)))
    }

    /// Groups the datagrams by source address; those of one path stay in order.
    pub fn group_by_local(&mut self) {
        let waiting = &mut self.datagrams[self.sent..];
        if !waiting.is_sorted_by_key(|entry| entry.path.local) {
            waiting.sort_by_key(|entry| entry.path.local);
        }
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.datagrams.len() - self.sent
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all datagrams and keeps the memory for the next turn.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
        self.sent = 0;
    }

    /// Removes the first `count` datagrams, which were sent. The others wait.
    pub fn remove_first(&mut self, count: usize) {
        self.sent += count.min(self.len());
        if self.sent > self.datagrams.len() / 2 {
            self.compact();
        }
    }

    /// Removes all but the first `count` datagrams; returns how many these are.
    pub fn truncate(&mut self, count: usize) -> usize {
        let dropped = self.len().saturating_sub(count);
        if dropped > 0 {
            self.datagrams.truncate(self.sent + count);
            self.compact();
        }
        dropped
    }

    /// Frees the bytes of what is gone.
    fn compact(&mut self) {
        let mut bytes = Vec::new();
        self.datagrams.drain(..self.sent);
        self.sent = 0;
        for entry in &mut self.datagrams {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(&self.bytes[entry.start as usize..entry.end as usize]);
            (entry.start, entry.end) = (start, bytes.len() as u32);
        }
        self.bytes = bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Datagrams `0`, `1`, … of growing length, each for a port of its own.
    fn filled(count: u16) -> Outbox {
        let mut outbox = Outbox::default();
        for number in 0..count {
            outbox.push(path(number), &vec![number as u8; usize::from(number) + 1]);
        }
        outbox
    }

    fn path(number: u16) -> Path {
        SocketAddr::from(([127, 0, 0, 1], 1000 + number)).into()
    }

    /// The numbers of the datagrams that wait; each goes to its path, with its bytes.
    fn waiting(outbox: &Outbox) -> Vec<u16> {
        let numbers: Vec<u16> = outbox
            .iter()
            .map(|(to, datagram)| {
                let number = u16::from(datagram[0]);
                assert_eq!((to, datagram.len()), (path(number), usize::from(number) + 1));
                number
            })
            .collect();
        assert_eq!((outbox.len(), outbox.is_empty()), (numbers.len(), numbers.is_empty()));
        numbers
    }

    #[test]
    fn what_was_not_sent_waits_in_its_order_and_what_comes_follows_it() {
        let mut outbox = filled(100);
        for (sent, first) in [(0, 0), (3, 3), (60, 63)] {
            outbox.remove_first(sent);
            assert_eq!(waiting(&outbox), (first..100).collect::<Vec<_>>());
        }
        outbox.push(path(100), &[100; 101]);
        assert_eq!(outbox.iter_from(36).next().map(|(path, _)| path), Some(path(99)));
        outbox.group_by_local();
        assert_eq!(outbox.truncate(37), 1);
        assert_eq!(outbox.truncate(37), 0);
        assert_eq!(waiting(&outbox), (63..100).collect::<Vec<_>>());
        outbox.remove_first(37);
        assert!(waiting(&outbox).is_empty());
        assert!(outbox.bytes.is_empty() && outbox.datagrams.is_empty());
    }
}
