//! How an arriving record identifies its session: by the path that it came by, or by a Connection ID (RFC
//! 9146).

use std::{
    hash::{Hash, Hasher},
    num::NonZeroU8,
};

use crate::path::Path;

/// What a session is found by. Each session has one route: one with a Connection ID is not found by its path,
/// which may belong to another device by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Records without a Connection ID: both ends of the path that they came by (RFC 6347, section 4.1).
    Peer(Path),
    /// Records of type tls12_cid: the Connection ID in their header, wherever they came from (RFC 9146,
    /// section 4).
    ConnectionId(ConnectionId),
}

/// By hand, so that a session without a Connection ID does not pay for the distinction.
impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Peer(path) => path.hash(state),
            Self::ConnectionId(id) => id.hash(state),
        }
    }
}

/// A Connection ID of ours: 1 to [`ConnectionId::BYTES_MAX`] bytes, which we choose, so that a session keeps
/// it in eight bytes. (The peer's own may be longer, and is not a route.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    length: NonZeroU8,
    /// Zeros after the end.
    bytes: [u8; Self::BYTES_MAX],
}

impl ConnectionId {
    /// Longest Connection ID of ours, bytes.
    pub const BYTES_MAX: usize = 7;

    /// A Connection ID of these bytes; `None` if it would be empty, which means "no Connection ID" (RFC 9146,
    /// section 3), or too long.
    pub fn new(id: &[u8]) -> Option<Self> {
        let length = NonZeroU8::new(u8::try_from(id.len()).ok()?)?;
        let mut bytes = [0; Self::BYTES_MAX];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { length, bytes })
    }

    /// Its bytes, as they stand in a record.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length.get())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_id_has_one_to_seven_bytes_and_ids_of_two_lengths_differ() {
        assert_eq!(ConnectionId::new(&[]), None);
        assert_eq!(ConnectionId::new(&[1; ConnectionId::BYTES_MAX + 1]), None);
        assert_eq!(ConnectionId::new(&[1; 300]), None);
        for length in 1..=ConnectionId::BYTES_MAX {
            let bytes = vec![0xc5; length];
            assert_eq!(ConnectionId::new(&bytes).expect("a length that fits").as_bytes(), bytes);
        }
        assert_ne!(ConnectionId::new(&[1]), ConnectionId::new(&[1, 0]));
        assert_eq!(size_of::<Option<ConnectionId>>(), 8);
    }
}
