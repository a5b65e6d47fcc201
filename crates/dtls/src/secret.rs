//! Secrets as newtypes: zeroed on drop, printed as `…`, compared in constant time.

use std::{array, fmt};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{error::PskError, limits::PSK_BYTES_MAX};

/// A pre-shared key of 1 to 64 bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Psk {
    bytes: [u8; PSK_BYTES_MAX],
    length: u8,
}

impl Psk {
    /// Makes a key of raw bytes. Fails if there are none, or more than 64.
    pub fn new(key: &[u8]) -> Result<Self, PskError> {
        if key.is_empty() {
            return Err(PskError::Empty);
        }
        let mut psk = Self { bytes: [0; PSK_BYTES_MAX], length: key.len() as u8 };
        let too_long = PskError::TooLong { bytes: key.len(), max: PSK_BYTES_MAX };
        psk.bytes.get_mut(..key.len()).ok_or(too_long)?.copy_from_slice(key);
        Ok(psk)
    }

    /// A placeholder for a key that is selected later: as long as a real one, and public. Not all zeros,
    /// which processors store faster (visible in the example `timing`).
    pub(crate) fn placeholder() -> Self {
        let mut bytes = [0; PSK_BYTES_MAX];
        bytes[..16].copy_from_slice(b"no key of anyone");
        Self { bytes, length: 16 }
    }

    /// Selects the first key, or the other one if `second` is set, without a branch.
    pub(crate) fn select(first: &Self, other: &Self, second: Choice) -> Self {
        let bytes =
            array::from_fn(|index| u8::conditional_select(&first.bytes[index], &other.bytes[index], second));
        Self { bytes, length: u8::conditional_select(&first.length, &other.length, second) }
    }

    /// The raw bytes. For showing a key to its owner, and for deriving from it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl PartialEq for Psk {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Psk {}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(…)")
    }
}

/// The server's own secret from which the keys of unknown identities are derived, so that an unknown identity
/// looks like a wrong key (RFC 4279, section 2). Kept as the state of an HMAC keyed with it, zeroed on drop.
pub struct DecoySecret(Hmac<Sha256>);

impl DecoySecret {
    /// Takes 32 random bytes. They should survive a restart of the process; otherwise answers could differ
    /// after it.
    pub fn new(mut bytes: [u8; 32]) -> Self {
        let keyed = <Hmac<Sha256> as KeyInit>::new_from_slice(&bytes).expect("HMAC takes any key length");
        bytes.zeroize();
        Self(keyed)
    }

    /// The key of an identity that has none: as long as a real one.
    pub(crate) fn psk(&self, identity: &[u8]) -> Psk {
        let mut mac = self.0.clone();
        mac.update(identity);
        let mut digest: [u8; 32] = mac.finalize().into_bytes().into();
        let psk = Psk::new(&digest[..16]).expect("16 bytes are within 1 to 64");
        digest.zeroize();
        psk
    }
}

impl fmt::Debug for DecoySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecoySecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_64_bytes() {
        assert_eq!(Psk::new(&[]), Err(PskError::Empty));
        assert!(Psk::new(&[7; 64]).is_ok());
        assert_eq!(Psk::new(&[7; 65]), Err(PskError::TooLong { bytes: 65, max: 64 }));
        assert!(Psk::new(&[7; 1 << 12]).is_err());
    }

    #[test]
    fn a_selected_key_is_one_of_the_two() {
        let (short, long) = (Psk::new(b"abc").expect("3 bytes"), Psk::new(&[7; 64]).expect("64 bytes"));
        assert_eq!(Psk::select(&short, &long, Choice::from(0)), short);
        assert_eq!(Psk::select(&short, &long, Choice::from(1)), long);
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        assert_eq!(format!("{:?}", Psk::placeholder()), "Psk(…)");
    }

    #[test]
    fn decoys_differ_by_identity_and_stay_the_same() {
        let decoy = DecoySecret::new([3; 32]);
        assert_eq!(decoy.psk(b"a"), decoy.psk(b"a"));
        assert_ne!(decoy.psk(b"a"), decoy.psk(b"b"));
        assert_eq!(decoy.psk(b"a").as_bytes().len(), Psk::placeholder().as_bytes().len());
    }
}
