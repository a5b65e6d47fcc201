//! Bytes that may hold a secret: those of a payload, and of the message that carries it.

use std::{fmt, ops::Deref};

use zeroize::Zeroize as _;

/// Bytes that are wiped before their memory is given back, if they are marked as secret. Copies and messages
/// made of them are marked as well. Nothing makes them grow, which would leave a copy behind.
///
/// `Debug` shows their number alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload {
    bytes: Vec<u8>,
    is_secret: bool,
}

impl Payload {
    /// No bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), is_secret: false }
    }

    /// These bytes, marked.
    #[must_use]
    pub const fn secret(bytes: Vec<u8>) -> Self {
        Self { bytes, is_secret: true }
    }

    /// Whether they are marked.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Leaves the first `bytes` of them.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.bytes.truncate(bytes);
    }

    /// Other bytes that hold a part of these or all of them: marked if these are.
    pub(crate) const fn mark(&self, bytes: Vec<u8>) -> Self {
        Self { bytes, is_secret: self.is_secret }
    }

    /// The bytes, which nobody wipes from now on.
    pub(crate) fn take(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if self.is_secret {
            self.bytes.zeroize();
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, is_secret: false }
    }
}

impl PartialEq<[u8]> for Payload {
    fn eq(&self, other: &[u8]) -> bool {
        self.bytes == other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Payload {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.bytes == other
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

/// Gives a list exactly this capacity; `wiped`: what it held is not left behind.
pub(crate) fn resize(list: &mut Vec<u8>, capacity: usize, wiped: bool) {
    if !wiped {
        return if capacity > list.capacity() {
            list.reserve_exact(capacity - list.len());
        } else {
            list.shrink_to(capacity);
        };
    }
    let mut moved = Vec::with_capacity(capacity.max(list.len()));
    moved.extend_from_slice(list);
    std::mem::replace(list, moved).zeroize();
}
