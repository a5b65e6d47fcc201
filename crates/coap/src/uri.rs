//! Path and query of a request as text in URI form (RFC 7252, sections 6.4 and 6.5; RFC 3986, section 3.3).
//!
//! A request's Uri-Path options are kept as one string, `/topic/sys/…`, in one allocation. What could be
//! mistaken for a separator is percent-encoded, so two requests have equal text only if they have equal
//! options (one empty Uri-Path, which section 6.5 makes equal to none, excepted).

use std::{borrow::Cow, fmt};

/// The path of a request: the values of its Uri-Path options.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct UriPath {
    /// `/` before each segment; empty without segments.
    text: String,
}

/// The query of a request: the values of its Uri-Query options.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct UriQuery {
    /// `&` before each argument, the first one too; empty without arguments.
    text: String,
}

impl UriPath {
    /// Reads a path in URI form. `/` and the empty string have no segment; a `%` that starts no escape stands
    /// for itself.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut path = Self { text: String::with_capacity(text.len() + 1) };
        let text = text.strip_prefix('/').unwrap_or(text);
        if !text.is_empty() {
            text.split('/').for_each(|segment| path.push(&decode(segment)));
        }
        path
    }

    /// Adds a segment, given as plain text: a `/` in it does not separate.
    pub fn push(&mut self, segment: &str) {
        self.text.push('/');
        encode(segment, is_pchar, &mut self.text);
    }

    /// Adds as much of a segment as keeps the URI form within `bytes_max` bytes.
    pub(crate) fn push_within(&mut self, segment: &str, bytes_max: usize) {
        if self.text.len() >= bytes_max {
            return;
        }
        self.text.push('/');
        for character in segment.chars() {
            let before = self.text.len();
            encode(character.encode_utf8(&mut [0; 4]), is_pchar, &mut self.text);
            if self.text.len() > bytes_max {
                return self.text.truncate(before);
            }
        }
    }

    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes) }
    }

    /// The path in URI form, with a `/` in front.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if self.text.is_empty() { "/" } else { &self.text }
    }

    /// The segments as plain text; only those with escapes allocate.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        parts(&self.text, b'/').skip(1).map(decode)
    }
}

impl UriQuery {
    /// Reads a query in URI form, without the `?`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        if !text.is_empty() {
            text.split('&').for_each(|argument| query.push(&decode(argument)));
        }
        query
    }

    /// Adds an argument, given as plain text: an `&` in it does not separate.
    pub fn push(&mut self, argument: &str) {
        self.text.push('&');
        encode(
            argument,
            |byte| byte != b'&' && (is_pchar(byte) || matches!(byte, b'/' | b'?')),
            &mut self.text,
        );
    }

    /// The query in URI form, without the `?`; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.strip_prefix('&').unwrap_or_default()
    }

    /// The arguments as plain text; only those with escapes allocate.
    pub fn arguments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        parts(&self.text, b'&').skip(1).map(decode)
    }

    /// Whether there is no argument.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

macro_rules! shown_as_text {
    ($($type:ty),*) => { $(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    )* };
}

shown_as_text!(UriPath, UriQuery);

/// Which bytes need no escape in a path segment: `pchar` of RFC 3986 without the escapes.
const PCHARS: [bool; 256] = {
    let marks = b"-._~:@!$&'()*+,;=";
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};

fn is_pchar(byte: u8) -> bool {
    PCHARS[usize::from(byte)]
}

/// The parts of a text between separators. Parts are short, and `str::split` has a cost for each.
fn parts(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    debug_assert!(separator.is_ascii());
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = all.bytes().position(|byte| byte == separator);
        let (part, behind) = end.map_or((all, None), |end| (&all[..end], Some(&all[end + 1..])));
        rest = behind;
        Some(part)
    })
}

fn encode(plain: &str, stands_for_itself: impl Fn(u8) -> bool, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if plain.bytes().all(&stands_for_itself) {
        return out.push_str(plain);
    }
    for byte in plain.bytes() {
        if stands_for_itself(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        match after {
            [high, low, others @ ..]
                if *first == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                plain.push(hex_digit(*high) << 4 | hex_digit(*low));
                rest = others;
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

/// The value of an ASCII hexadecimal digit.
const fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segments(path: &UriPath) -> Vec<String> {
        path.segments().map(Cow::into_owned).collect()
    }

    #[test]
    fn the_examples_of_appendix_b_are_decomposed() {
        assert_eq!(segments(&UriPath::parse("/")), [""; 0]);
        assert_eq!(segments(&UriPath::parse("/.well-known/core")), [".well-known", "core"]);
        let path = UriPath::parse("/%E3%81%93%E3%82%93%E3%81%AB%E3%81%A1%E3%81%AF");
        assert_eq!(segments(&path), ["こんにちは"]);
        assert_eq!(path.as_str(), "/%E3%81%93%E3%82%93%E3%81%AB%E3%81%A1%E3%81%AF");

        let path = UriPath::parse("//%2F//");
        assert_eq!(segments(&path), ["", "/", "", ""]);
        assert_eq!(path.as_str(), "//%2F//");
        let query = UriQuery::parse("%2F%2F&?%26");
        assert_eq!(query.arguments().collect::<Vec<_>>(), ["//", "?&"]);
        assert_eq!(query.as_str(), "//&?%26");
    }

    #[test]
    fn a_slash_inside_a_segment_is_not_a_separator() {
        let mut forged = UriPath::default();
        forged.push("topic/sys");
        assert_eq!(forged.as_str(), "/topic%2Fsys");
        assert_ne!(forged, UriPath::parse("/topic/sys"));
    }

    #[test]
    fn a_percent_sign_that_starts_no_escape_stands_for_itself() {
        assert_eq!(segments(&UriPath::parse("/50%/%4/%zz")), ["50%", "%4", "%zz"]);
    }

    proptest! {
        #[test]
        fn what_was_pushed_comes_back(plain in proptest::collection::vec(".{0,12}", 0..6)) {
            let mut path = UriPath::default();
            let mut query = UriQuery::default();
            for part in &plain {
                path.push(part);
                query.push(part);
            }
            prop_assert_eq!(segments(&path), plain.clone());
            prop_assert_eq!(query.arguments().map(Cow::into_owned).collect::<Vec<_>>(), plain.clone());
            prop_assert!(path.as_str().is_ascii() && query.as_str().is_ascii());
            if plain != [""] {
                prop_assert_eq!(UriPath::parse(path.as_str()), path);
            }
        }
    }
}
