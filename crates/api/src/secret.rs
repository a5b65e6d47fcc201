//! Secrets on their way in or out.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret inside a request or an answer: wiped when dropped, never printed. Its JSON is its text.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretText(#[schemars(with = "String")] Zeroizing<String>);

impl SecretText {
    /// Takes `text` as a secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the few places that use it or show it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Hands the text over, without a copy that would stay behind.
    pub fn into_text(mut self) -> String {
        std::mem::take(&mut *self.0)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_as_its_text_and_never_debugged() {
        let secret = SecretText::new("can\"ary\n".into());
        assert!(!format!("{secret:?}").contains("ary"));
        let json = serde_json::to_string(&secret).expect("it can be written");
        assert_eq!(json, r#""can\"ary\n""#);
        let back: SecretText = serde_json::from_str(&json).expect("it can be read");
        assert_eq!(back.into_text(), "can\"ary\n");
    }
}
