//! The byte at which a JSON text goes wrong, and the mistake in firmware that causes it.

use std::collections::HashMap;

use narrowgate_api::words::counted;

use super::{hex, shown};

/// Says what is wrong at `at`, where the reader gave up with `words`.
pub(super) fn explain(text: &str, at: usize, words: &str) -> String {
    let what = match words {
        "trailing characters" => return trailing(text, at),
        _ if words.starts_with("EOF") => cut_off(text, words),
        _ if words.starts_with("control character") => in_string(text, at),
        _ if half_surrogate(text, at).is_some() => half_surrogate(text, at).unwrap_or_default(),
        _ if words.contains("escape") || words.contains("surrogate") || words.contains("unicode") => {
            format!(
                "{words} at byte {}: inside a string, \\ begins one of \
                 \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX",
                at + 1
            )
        }
        _ if words.starts_with("a key occurs twice") => twice(text, at),
        _ if words.starts_with("number out of range") => too_large(text, at),
        _ if words.starts_with("invalid number") => wrong_number(text, at),
        _ if is_of_the_reader(words) => slip(&Place::new(text, at), words),
        _ => format!("{words} at byte {}", at + 1),
    };
    format!("the body is not acceptable JSON: {what}")
}

/// Whether the reader met an unexpected byte: the bytes around it then say more than its words.
fn is_of_the_reader(words: &str) -> bool {
    ["expected", "key must be", "trailing comma"].iter().any(|start| words.starts_with(start))
}

/// Something follows the object.
fn trailing(text: &str, at: usize) -> String {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    let count = bytes.len();
    let what = match bytes {
        [0] => "a NUL (0x00): send strlen(body) bytes, not one more".to_owned(),
        [0, ..] if bytes.iter().all(|byte| *byte == 0) => {
            format!("{count} NUL bytes: send strlen(body) bytes, not the whole buffer")
        }
        [0, ..] => format!("a NUL and what the buffer held before ({count} bytes): send strlen(body) bytes"),
        [0x1a, ..] => "Ctrl-Z (0x1A), which ends an AT command: it is not part of the body".to_owned(),
        [b'}' | b']', ..] => format!("one closing bracket too many, {}", shown(rest)),
        [b'{', ..] => "another object: send one in each message, or a batch".to_owned(),
        [b':', ..] if text.trim_ascii_start().starts_with('"') => {
            return "the body is not a JSON object: the braces { } around its members are missing".to_owned();
        }
        _ => format!("{} more, \"{}\": send nothing after the object", counted(count, "byte"), shown(rest)),
    };
    format!("the body is followed, at byte {}, by {what}", at + 1)
}

fn cut_off(text: &str, words: &str) -> String {
    let inside = if words.ends_with("string") { "inside a string" } else { "before its last bracket" };
    let end = text.len();
    let tail = shown(tail(text));
    format!(
        "it is cut off {inside}, after byte {end} (\"{tail}\"): check the size of the buffer \
         and the length that is given"
    )
}

/// The last few characters.
fn tail(text: &str) -> &str {
    let start = text.char_indices().rev().nth(11).map_or(0, |(start, _)| start);
    &text[start..]
}

fn in_string(text: &str, at: usize) -> String {
    let byte = text.as_bytes().get(at).copied().unwrap_or_default();
    let hint = match byte {
        0 => "the length is longer than the text: send strlen(body) bytes",
        b'\n' | b'\r' => "a line break in a string is written \\n, or a quotation mark is missing before it",
        b'\t' => "a tab in a string is written \\t",
        _ => "control characters are written \\uXXXX",
    };
    let name = if byte == 0 { "a NUL (0x00)".to_owned() } else { format!("0x{}", hex(&[byte])) };
    format!("{name} at byte {} inside a string; {hint}", at + 1)
}

/// The reader had begun to read a number.
fn wrong_number(text: &str, at: usize) -> String {
    let bytes = text.as_bytes();
    let start = at - bytes[..at].iter().rev().take_while(|byte| is_part_of_token(byte)).count();
    let end = at + bytes[at..].iter().take_while(|byte| is_part_of_token(byte)).count();
    let token = &text[start..end];
    let words = literal(token).or_else(|| number(token)).unwrap_or("this is not a number");
    format!("{} at byte {}: {words}", shown(token), start + 1)
}

/// The reader has read a number that is beyond the range of a double.
fn too_large(text: &str, at: usize) -> String {
    let bytes = text.as_bytes();
    let start = at - bytes[..at].iter().rev().take_while(|byte| is_part_of_token(byte)).count();
    let end = at + bytes[at..].iter().take_while(|byte| is_part_of_token(byte)).count();
    format!(
        "{} at byte {}: the number is too large; the largest is 1.8e308",
        shown(&text[start..end]),
        start + 1
    )
}

/// The last escape up to `at` is one half of a character beyond U+FFFF, and the reader stopped at it or right
/// behind it.
fn half_surrogate(text: &str, at: usize) -> Option<String> {
    const ESCAPE_BYTES: usize = "\\ud800".len();
    let last = text.get(..=at)?.rfind("\\u")?;
    let halves = |at: usize| {
        text.get(at..at + ESCAPE_BYTES).filter(|it| {
            let digits = it.strip_prefix("\\u").unwrap_or_default();
            u16::from_str_radix(digits, 16).is_ok_and(|unit| (0xd800..=0xdfff).contains(&unit))
        })
    };
    // Where the escape before it is a half too, the pair begins there.
    let before = last.checked_sub(ESCAPE_BYTES).filter(|before| halves(*before).is_some());
    let start = before.unwrap_or(last);
    let half = halves(start).filter(|_| at <= last + ESCAPE_BYTES + 1)?;
    Some(format!(
        "{half} at byte {} is half of a surrogate pair: send both halves, or the character as UTF-8",
        start + 1
    ))
}

/// Every character of a word or number is one byte, so both its ends are boundaries of characters.
fn is_part_of_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.+-#%$()".contains(byte)
}

/// Finds a key that occurs twice in one object. The text is JSON up to `end`.
fn twice(text: &str, end: usize) -> String {
    let bytes = &text.as_bytes()[..(end + 1).min(text.len())];
    let mut open: Vec<HashMap<String, usize>> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => open.push(HashMap::new()),
            b'}' | b']' => drop(open.pop()),
            b'"' => {
                let length = string_length(&bytes[at..]);
                let is_key = bytes[at + length..].trim_ascii_start().starts_with(b":");
                let key = text.get(at..at + length).and_then(|key| serde_json::from_str::<String>(key).ok());
                if let (true, Some(key), Some(keys)) = (is_key, key, open.last_mut()) {
                    let name = shown(&key);
                    if let Some(first) = keys.insert(key, at + 1) {
                        return format!(
                            "a key occurs twice in one object: \"{name}\" at bytes {first} and {}",
                            at + 1
                        );
                    }
                }
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    format!("a key occurs twice in one object, which ends at byte {}", end + 1)
}

/// The bytes of the string that begins here, quotation marks included.
fn string_length(bytes: &[u8]) -> usize {
    let mut escaped = false;
    for (index, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return index + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    bytes.len()
}

/// What stands around the unexpected byte.
struct Place<'a> {
    at: usize,
    /// The character there.
    found: char,
    /// The last byte before it that is not white space; 0 if there is none.
    before: u8,
    /// The word or number around it, and where that begins.
    token: &'a str,
    start: usize,
    /// The text from the token on.
    rest: &'a str,
    /// The last byte before the token that is not white space.
    before_token: u8,
}

impl<'a> Place<'a> {
    fn new(text: &'a str, at: usize) -> Self {
        let bytes = text.as_bytes();
        let length_before = bytes[..at].iter().rev().take_while(|byte| is_part_of_token(byte)).count();
        let length_after = bytes[at..].iter().take_while(|byte| is_part_of_token(byte)).count();
        let start = if length_after == 0 { at } else { at - length_before };
        let last = |end: usize| bytes[..end].trim_ascii_end().last().copied().unwrap_or_default();
        Self {
            at,
            found: text[at..].chars().next().unwrap_or_default(),
            before: last(at),
            token: &text[start..at + length_after],
            start,
            rest: &text[start..],
            before_token: last(start),
        }
    }
}

/// A placeholder as it was sent: `%f`, `$T`, `${T}`, `{{T}}`.
fn placeholder(rest: &str) -> String {
    let in_braces = rest.trim_start_matches('$').starts_with('{');
    let is_end = |(at, c): &(usize, char)| match in_braces {
        true => *c == '}',
        false => *at > 0 && !(c.is_ascii_alphanumeric() || "%._-+".contains(*c)),
    };
    let end = rest.char_indices().find(is_end).map_or(rest.len(), |(at, _)| at + usize::from(in_braces));
    // The reader gives up at the second of two braces.
    let (before, after) = if rest.starts_with('{') { ("{", "}") } else { ("", "") };
    format!("{before}{}{after}", shown(&rest[..end]))
}

/// The mistake that looks like this.
fn slip(place: &Place<'_>, words: &str) -> String {
    if let Some(said) = slip_in_character(place).or_else(|| slip_in_token(place, words)) {
        return said;
    }
    let (at, found) = (place.at + 1, shown(&place.found.to_string()));
    if words.starts_with("expected `,`") {
        return if matches!(place.found, '"' | '{' | '[') {
            format!("a comma is missing before byte {at}")
        } else {
            format!("{found} at byte {at}, where a comma or a closing bracket belongs")
        };
    }
    if words.starts_with("expected `:`") {
        return format!("{found} at byte {at}, where a colon belongs");
    }
    format!("{words} at byte {at}, where {found} is")
}

/// The mistake that the unexpected character shows by itself.
fn slip_in_character(place: &Place<'_>) -> Option<String> {
    let Place { at, found, before, start, .. } = *place;
    let is_comment = at == start;
    let at = at + 1;
    Some(match found {
        '\0' => {
            format!("a NUL (0x00) at byte {at}: the length is longer than the text, send strlen(body) bytes")
        }
        '\'' | '`' => {
            format!("a single quotation mark at byte {at}: JSON has double ones only (\")")
        }
        '\u{2018}'..='\u{201f}' | '«' | '»' => {
            format!("a typographic quotation mark {found} at byte {at}: JSON has the plain one only (\")")
        }
        '\\' => {
            format!(
                "a backslash at byte {at} outside a string: the JSON was escaped twice, send \" without \\"
            )
        }
        '\u{a0}' | '\u{200b}' | '\u{3000}' | '\u{feff}' => {
            format!("an invisible character (U+{:04X}) at byte {at}: use plain spaces", u32::from(found))
        }
        '}' | ']' | ',' if before == b':' => {
            format!(
                "no value before byte {at}: printf prints nothing for %f where the C library \
                 has no floating point"
            )
        }
        '}' | ']' if before == b',' => {
            format!("a trailing comma before byte {at}: leave out the comma before {found}")
        }
        '}' | ']' => format!("{found} at byte {at} closes a bracket of the other kind"),
        ',' => format!("a comma too many at byte {at}"),
        '/' | '#' if is_comment => format!("a comment at byte {at}: JSON has none"),
        _ => return None,
    })
}

/// The mistake in the word or number around the unexpected character.
fn slip_in_token(place: &Place<'_>, words: &str) -> Option<String> {
    let Place { found, token, start, rest, before_token, .. } = *place;
    let start = start + 1;
    let shown_token = shown(token);
    if let Some(words) = literal(token) {
        return Some(format!("{shown_token} at byte {start}: {words}"));
    }
    if before_token == b','
        && words.starts_with("key must be")
        && token.starts_with(|c: char| c.is_ascii_digit())
    {
        return Some(format!("a decimal comma before byte {start}: write the number with a point"));
    }
    if token.starts_with(['%', '$']) || found == '{' && words.starts_with("key must be") {
        return Some(format!("a placeholder ({}) at byte {start} that was not filled in", placeholder(rest)));
    }
    if let Some(words) = number(token) {
        return Some(format!("{shown_token} at byte {start}: {words}"));
    }
    let is_word = token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if is_word && words.starts_with("key must be") {
        return Some(format!("the key {shown_token} at byte {start} has no quotation marks"));
    }
    if is_word && matches!(before_token, b':' | b',' | b'[') {
        return Some(format!("the text {shown_token} at byte {start} has no quotation marks"));
    }
    None
}

/// Literals of other languages.
fn literal(token: &str) -> Option<&'static str> {
    let plain = token.trim_start_matches(['+', '-']).to_ascii_lowercase();
    match plain.as_str() {
        "true" | "false" => Some("JSON writes true and false in small letters"),
        "none" | "null" | "nil" | "undefined" | "na" => {
            Some("JSON has null, in small letters; leave the point out where there is no value")
        }
        "inf" | "infinity" | "nan" | "-nan" => Some(NO_NUMBER),
        _ if plain.starts_with("nan(") || plain.contains(".#") => Some(NO_NUMBER),
        _ => None,
    }
}

const NO_NUMBER: &str = "JSON has no such number; leave the point out where there is no value";

/// What is wrong with the form of a number.
fn number(token: &str) -> Option<&'static str> {
    let plain = token.trim_start_matches(['+', '-']);
    let digits = plain.bytes().take_while(u8::is_ascii_digit).count();
    let is_number = digits > 0 || plain.starts_with('.') && plain.len() > 1;
    if !is_number {
        return None;
    }
    let rest = &plain[digits..];
    let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if plain.starts_with("0x") || plain.starts_with("0X") {
        Some("JSON has no hexadecimal numbers; write it in decimal")
    } else if token.starts_with('+') {
        Some("a number has no plus sign in JSON")
    } else if digits == 0 {
        Some("a number begins with a digit in JSON: 0.5, not .5")
    } else if digits > 1 && plain.starts_with('0') {
        Some("a number has no leading zero in JSON")
    } else if rest.starts_with('.') && !rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
        Some("a digit follows the point in JSON")
    } else if unit.starts_with(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E') || c == '%') {
        Some("a unit is not part of a number; send the number alone")
    } else {
        Some("this is not a number")
    }
}

#[cfg(test)]
mod tests;
