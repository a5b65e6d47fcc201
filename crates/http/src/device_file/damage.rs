//! Recognises keys and secrets that a spreadsheet has damaged. The damaged text may be a valid key and would
//! be registered, but the device that has the original could never connect.

/// What the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    /// Any text; so more of what looks like damage may be intended.
    Secret,
}

/// What happened to the text, in words, if it looks damaged.
pub(super) fn damage(kind: Kind, text: &str) -> Option<&'static str> {
    if is_rounded(text) {
        Some(
            "a spreadsheet has turned it into a rounded number, and its last digits are lost: \
             take it from its source, into a column that is formatted as text",
        )
    } else if has_exponent(text) {
        Some(
            "it is a number with an exponent, and some of its digits may be lost: \
             take it from its source, into a column that is formatted as text",
        )
    } else if has_fraction(text) {
        Some("a spreadsheet has turned it into a number and has added .0: format the column as text")
    } else if has_point(kind, text) {
        Some("it ends with a decimal point: remove the point, and format the column as text")
    } else if matches!(text, "TRUE" | "FALSE") {
        Some("a spreadsheet has turned it into a truth value; take it from its source")
    } else if text == "-" {
        Some("it is a dash, which stands for nothing in a table; give the value itself")
    } else if is_error(text) {
        Some("it is an error value of a spreadsheet; take the value from its source")
    } else if is_formula(kind, text) {
        Some("it is a spreadsheet formula; give the value alone, without = and without quotes around it")
    } else if has_apostrophe(kind, text) {
        Some("it begins with the apostrophe with which a spreadsheet marks text; remove the apostrophe")
    } else {
        None
    }
}

/// `8.67725E+14`. Only with the sign: `12E4` may be hexadecimal.
fn is_rounded(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else { return false };
    let Some(exponent) = exponent.strip_prefix('+') else { return false };
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    whole.len() == 1 && [whole, fraction, exponent].into_iter().all(is_digits)
}

/// `8.67725E14`, `1.23E05`: with a point, which no hexadecimal number has.
fn has_exponent(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else { return false };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    mantissa.split_once(['.', ',']).is_some_and(|(whole, fraction)| {
        whole.len() <= 3 && [whole, fraction, exponent].into_iter().all(is_digits)
    })
}

/// `867725030096439.`
fn has_point(kind: Kind, text: &str) -> bool {
    kind == Kind::Key && text.strip_suffix('.').is_some_and(|whole| whole.len() >= 4 && is_digits(whole))
}

/// `867725030096430.0`. Short ones may be intended: `3.0` beside `3.1`.
fn has_fraction(text: &str) -> bool {
    text.split_once('.').is_some_and(|(whole, fraction)| {
        whole.len() >= 4
            && is_digits(whole)
            && fraction.bytes().all(|byte| byte == b'0')
            && !fraction.is_empty()
    })
}

/// `#N/A`, `#REF!`, `#####`
fn is_error(text: &str) -> bool {
    const ERRORS: [&str; 7] = ["#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!"];
    ERRORS.contains(&text) || text.len() >= 3 && text.bytes().all(|byte| byte == b'#')
}

/// `="867725030096432"`
fn is_formula(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Key => text.starts_with('='),
        Kind::Secret => text.len() >= 3 && text.starts_with("=\"") && text.ends_with('"'),
    }
}

/// `'867725030096431`
fn has_apostrophe(kind: Kind, text: &str) -> bool {
    text.strip_prefix('\'').is_some_and(|rest| kind == Kind::Key || is_digits(rest))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_does_is_recognised() {
        for (text, said) in [
            ("8.67725E+14", "last digits are lost"),
            ("8,67725E+14", "last digits are lost"),
            ("9E+19", "last digits are lost"),
            ("8.9490200001e+19", "last digits are lost"),
            ("8.67725030096431E14", "number with an exponent"),
            ("8.67725E14", "number with an exponent"),
            ("1.23E05", "number with an exponent"),
            ("86,7725e13", "number with an exponent"),
            ("TRUE", "truth value"),
            ("FALSE", "truth value"),
            ("-", "stands for nothing"),
            ("867725030096430.0", "has added .0"),
            ("867725030096430.00", "has added .0"),
            ("#N/A", "error value of a spreadsheet"),
            ("########", "error value of a spreadsheet"),
            ("=\"867725030096432\"", "formula"),
            ("'867725030096431", "apostrophe"),
        ] {
            for kind in [Kind::Key, Kind::Secret] {
                assert!(
                    damage(kind, text).is_some_and(|what| what.contains(said)),
                    "{text}: {:?}",
                    damage(kind, text)
                );
            }
        }
        for text in ["=A1&B1", "'abc", "867725030096439."] {
            assert!(damage(Kind::Key, text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_can_be_meant_is_let_alone() {
        for text in [
            "867725030096431",
            "112233E45566",
            "12E4",
            "8E14",
            "1.2.3E4",
            "true",
            "--",
            "1.",
            "1E-05",
            "4e+",
            "E+14",
            "a8.6E+14",
            "3.0",
            "10.0",
            "1001.5",
            "1.2.3.0",
            "+491701234567",
            "#1",
            "d'1",
            "a=b",
            "",
        ] {
            for kind in [Kind::Key, Kind::Secret] {
                assert_eq!(damage(kind, text), None, "{text}");
            }
        }
        for secret in ["=k7%Tq!z9.Lw(2}Vb@e1&", "867725030096439.", "'k7%Tq!z9", "=\""] {
            assert_eq!(damage(Kind::Secret, secret), None, "{secret}");
        }
    }
}
