//! Whose an answer is, in plain CoAP: `rest of the digest, 6 bytes | which endpoint u8`. An answer that is
//! left to the next endpoint of a peer answers the very same request alone there, told by 64 bits.

use crate::fingerprint::{Digest, Fingerprint};

/// Bytes of it.
pub(super) const OWNER_BYTES: usize = 7;

/// The endpoint's own, which ends with it.
const OWN: u8 = 0;
/// The endpoint's own, which is left to the next one.
const TO_BE_LEFT: u8 = 1;
/// That of an earlier endpoint.
const LEFT: u8 = 2;

/// The request that an answer is stored for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(super) mid: u16,
    pub(super) request: Fingerprint,
    /// Its digest, where the next endpoint of the peer must know the answer too.
    left: Option<Digest>,
}

impl Asked {
    /// One whose answer ends with the endpoint.
    pub(crate) const fn here(mid: u16, request: Fingerprint) -> Self {
        Self { mid, request, left: None }
    }

    /// One that ran. It must not run again in a later endpoint of the peer, unless it is safe.
    pub(crate) fn of(mid: u16, request: Digest, is_safe: bool) -> Self {
        Self { mid, request: request.fingerprint(), left: (!is_safe).then_some(request) }
    }

    pub(super) fn owner(self) -> [u8; OWNER_BYTES] {
        let which = if self.left.is_some() { TO_BE_LEFT } else { OWN };
        let [a, b, c, d, e, f] = self.left.map_or([0; 6], Digest::below);
        [a, b, c, d, e, f, which]
    }
}

/// Whether an earlier endpoint gave the answer. Outside of plain CoAP none did.
pub(super) fn is_left(owner: &[u8]) -> bool {
    owner.last() == Some(&LEFT)
}

/// Whether an earlier endpoint gave the answer to this request, or to one with the same fingerprint.
pub(super) fn is_left_for(owner: &[u8], request: Digest) -> bool {
    is_left(owner) && owner.starts_with(&request.below())
}

/// Makes it one that is left; `false` if it ends here.
pub(super) fn leave(owner: &mut [u8]) -> bool {
    match owner.last_mut() {
        Some(which) if *which != OWN => {
            *which = LEFT;
            true
        }
        _ => false,
    }
}
