//! Classes of retention: how long the reports of a product are kept. A product names its class, and the
//! configuration says how long each lasts.

use std::fmt;

/// Most classes of a store, the standard one among them: a batch may touch a file of each.
pub const CLASSES_MAX: usize = 4;
/// Longest name.
const NAME_MAX: usize = 8;

/// A class by its name: a letter, then up to 7 letters or digits, in lower case. The standard class, which a
/// product has that names none, has no name of its own here; people call it `standard`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RetentionClass([u8; NAME_MAX]);

impl RetentionClass {
    /// That of a product that names none.
    pub const STANDARD: Self = Self([0; NAME_MAX]);
    /// What people call [`Self::STANDARD`].
    const STANDARD_NAME: &'static str = "standard";

    /// Reads a name; `None`: it is none.
    pub fn parse(name: &str) -> Option<Self> {
        if name == Self::STANDARD_NAME {
            return Some(Self::STANDARD);
        }
        let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let mut bytes = [0; NAME_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        is_name.then_some(Self(bytes))
    }

    /// Whether it is the standard class.
    pub fn is_standard(self) -> bool {
        self == Self::STANDARD
    }

    /// The name.
    pub fn name(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
        match std::str::from_utf8(&self.0[..end]) {
            Ok("") | Err(_) => Self::STANDARD_NAME,
            Ok(name) => name,
        }
    }
}

impl fmt::Display for RetentionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for RetentionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_none() {
        for name in ["standard", "a", "short", "year10", "abcdefgh", "z9999999"] {
            assert_eq!(RetentionClass::parse(name).map(|class| class.to_string()).as_deref(), Some(name));
        }
        for name in ["", "Short", "1a", "a-b", "a.b", "abcdefghi", "a b", "é", "../x"] {
            assert_eq!(RetentionClass::parse(name), None, "{name}");
        }
        assert!(RetentionClass::STANDARD.is_standard() && RetentionClass::default().is_standard());
    }
}
