//! JSON as it was written. A number that passes through a `f64` may come out with other digits, and a tree of
//! values may reorder the keys of an object; what devices send is shown as they sent it.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use super::json_piece::Piece;

/// A valid JSON text, to the last digit.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// The text as it stands; `null` where it is not JSON.
    pub fn new(text: &str) -> Self {
        Self(RawValue::from_string(text.to_owned()).unwrap_or_default())
    }

    /// The text as JSON inside a document.
    pub fn into_raw(self) -> Box<RawValue> {
        self.0
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl From<Piece<'_>> for JsonText {
    fn from(piece: Piece<'_>) -> Self {
        Self::new(piece.get())
    }
}

impl PartialEq for JsonText {
    /// Whether the texts are the same: `1.0` and `1` are not.
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_to_the_last_digit_inside_any_document() {
        #[derive(Serialize)]
        struct Document {
            value: JsonText,
        }
        for text in [
            "123456789012345678901234567890",
            "23.308445025757262",
            "1.0",
            "-0",
            "1E+2",
            r#"{"z":1.50,"a":"\u00e9"}"#,
        ] {
            let document = Document { value: JsonText::new(text) };
            let written = serde_json::to_string(&document).expect("it can be written");
            assert_eq!(written, format!(r#"{{"value":{text}}}"#));
        }
        assert_eq!(JsonText::new("no JSON").get(), "null");
    }
}
