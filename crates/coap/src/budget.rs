//! The memory that all endpoints of a shard may hold together.

/// A count of the bytes in stored answers, open exchanges and undelivered messages of all endpoints that
/// share it.
///
/// At the limit new requests are refused; nothing that is already held is dropped. Answers to requests that
/// were admitted are stored even if they pass the limit a little, so the true bound is the limit plus one
/// answer for each open exchange.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    bytes_used: usize,
}

impl Budget {
    /// A budget of `bytes_max` bytes, of which none are used.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes_used: 0 }
    }

    /// The bytes that are held now.
    #[must_use]
    pub const fn bytes_used(&self) -> usize {
        self.bytes_used
    }

    /// The bytes that may be held.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Whether `bytes` more would stay within the limit.
    pub(crate) const fn has_room(&self, bytes: usize) -> bool {
        self.bytes_used.saturating_add(bytes) <= self.bytes_max
    }

    pub(crate) const fn charge(&mut self, bytes: usize) {
        self.bytes_used = self.bytes_used.saturating_add(bytes);
    }

    pub(crate) const fn refund(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes_used, "more was given back than taken");
        self.bytes_used = self.bytes_used.saturating_sub(bytes);
    }
}
