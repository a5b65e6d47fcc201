//! What a password of a user must be. There are no rules of composition: they make passwords worse.

use crate::secret::Secret;

/// Fewest characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Most bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    /// It can be guessed.
    #[error("has fewer than {PASSWORD_CHARACTERS_MIN} characters")]
    TooShort,
    /// It is no password of a person.
    #[error("has more than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
}

/// Checks a new password.
///
/// # Errors
/// It is too short or too long.
pub fn check(password: &Secret) -> Result<(), PasswordFault> {
    if is_too_long(password) {
        Err(PasswordFault::TooLong)
    } else if password.expose().chars().count() < PASSWORD_CHARACTERS_MIN {
        Err(PasswordFault::TooShort)
    } else {
        Ok(())
    }
}

/// Whether it can be nobody's.
pub fn is_too_long(password: &Secret) -> bool {
    password.expose().len() > PASSWORD_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_measured_in_characters_from_below_and_in_bytes_from_above() {
        let checked = |text: &str| check(&Secret::new(text.to_owned()));
        assert_eq!(checked("elf Zeichen"), Err(PasswordFault::TooShort));
        assert_eq!(checked("äöüäöüäöüäö"), Err(PasswordFault::TooShort), "22 bytes are 11 characters");
        for text in ["aaaaaaaaaaaa", "zwölf Zeichn", &"é".repeat(512)] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
        assert_eq!(checked(&format!("{}a", "é".repeat(512))), Err(PasswordFault::TooLong));
    }
}
