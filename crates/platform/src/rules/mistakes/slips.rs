//! The right derivation from a secret that was copied wrongly: by eye, by hand, or into too short a field.

use super::{Mistake, texts::derived};
use crate::secret::Secret;

use zeroize::Zeroizing;

/// Characters of a secret whose slips are tried: each costs a few candidates.
const CHARACTERS_MAX: usize = 40;
/// Characters that look alike.
const ALIKE: [&[u8]; 2] = [b"1lI", b"0O"];

/// The secret with one slip, or cut to 16 characters.
pub(super) fn of(secret: &Secret) -> Vec<Mistake> {
    let bytes = secret.expose().as_bytes();
    let mut mistakes = Vec::new();
    if bytes.len() > 16 {
        mistakes.push(derived(
            &bytes[..16],
            "only the first 16 characters of the secret were hashed; hash all of it, and look at the size of \
             the buffer it is copied to",
        ));
    }
    let with = |at: usize, byte: u8| {
        let mut text = Zeroizing::new(bytes.to_vec());
        text[at] = byte;
        text
    };
    for (at, byte) in bytes.iter().copied().enumerate().take(CHARACTERS_MAX) {
        let place = at + 1;
        let alike = ALIKE.iter().filter(|group| group.contains(&byte)).copied().flatten();
        for other in alike.filter(|other| **other != byte) {
            mistakes.push(derived(
                &with(at, *other),
                format!(
                    "the secret was hashed with its character {place} mistaken for one that looks alike \
                     (1 l I, 0 O); copy the secret instead of typing it"
                ),
            ));
        }
        if byte.is_ascii_alphabetic() {
            mistakes.push(derived(
                &with(at, byte ^ 0x20),
                format!(
                    "the secret was hashed with its character {place} in the other case; copy the secret \
                     instead of typing it"
                ),
            ));
        }
        if bytes.get(place).is_some_and(|next| *next != byte) {
            let mut text = Zeroizing::new(bytes.to_vec());
            text.swap(at, place);
            mistakes.push(derived(
                &text,
                format!(
                    "the secret was hashed with its characters {place} and {} exchanged; copy the secret \
                     instead of typing it",
                    place + 1
                ),
            ));
        }
    }
    mistakes
}
