//! Records of epoch 1 that arrive before their keys exist: a Finished may overtake the messages that it
//! depends on, and usually arrives while its key is looked up. They cannot be authenticated yet.
//!
//! Limits: [`limits::EARLY_BYTES_MAX`] for all, [`limits::EARLY_RECORD_BYTES_MAX`] for each. The earliest
//! records are kept.

use crate::{discard::Discard, limits};

/// Whole records, one after another.
#[derive(Debug, Default)]
pub(crate) struct EarlyRecords {
    bytes: Vec<u8>,
}

impl EarlyRecords {
    /// Keeps one whole record.
    pub(crate) fn keep(&mut self, record: &[u8]) -> Result<(), Discard> {
        let has_room = self.bytes.len() + record.len() <= limits::EARLY_BYTES_MAX;
        if !has_room || record.len() > limits::EARLY_RECORD_BYTES_MAX {
            return Err(Discard::EarlyProtected);
        }
        self.bytes.reserve_exact(record.len());
        self.bytes.extend_from_slice(record);
        Ok(())
    }

    /// Removes and returns all of them, in order of arrival; split them with [`crate::record::split_record`].
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether none is kept.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::split_record;

    fn record(length: u8) -> Vec<u8> {
        let mut record = vec![length; 13 + usize::from(length)];
        record[11] = 0;
        record
    }

    #[test]
    fn records_come_out_as_they_came() {
        let mut early = EarlyRecords::default();
        for length in [30, 0, 80] {
            assert_eq!(early.keep(&record(length)), Ok(()));
        }
        let mut bytes = early.take();
        let mut rest = bytes.as_mut_slice();
        for length in [30, 0, 80] {
            let (first, tail) = split_record(rest).expect("three were kept");
            assert_eq!(first, record(length));
            rest = tail;
        }
        assert!(rest.is_empty() && early.is_empty());
    }

    #[test]
    fn long_records_and_too_many_are_dropped() {
        let mut early = EarlyRecords::default();
        assert_eq!(early.keep(&record(148)), Err(Discard::EarlyProtected));
        let kept = (0..1000).filter(|_| early.keep(&record(40)).is_ok()).count();
        assert_eq!(kept, limits::EARLY_BYTES_MAX / 53);
        assert!(early.heap_bytes() <= limits::EARLY_BYTES_MAX);
    }
}
