//! Pieces of a JSON text as they were written: members of an object, elements of an array.
//!
//! They are for text that is known to be JSON without a key twice, because it was checked when it came in or
//! is what was stored then. They are cut out without looking at it again, which costs a few instructions for
//! a byte. Of any other text they are what looks like the beginning of an object or array; nothing panics.

use std::borrow::Cow;

/// A JSON value as it was written, without white space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a>(&'a str);

/// The members of an object, in the order in which they were sent.
#[derive(Debug, Clone)]
pub struct Members<'a>(Cursor<'a>);

/// The elements of an array.
#[derive(Debug, Clone)]
pub struct Elements<'a>(Cursor<'a>);

impl<'a> Piece<'a> {
    /// A whole text.
    pub fn of(text: &'a str) -> Self {
        Self(text.trim_matches(is_white_space))
    }

    /// The text.
    pub fn get(self) -> &'a str {
        self.0
    }

    /// The members, if it is an object: decoded keys, values as they were written.
    pub fn members(self) -> Option<Members<'a>> {
        self.0.starts_with('{').then_some(Members(Cursor { text: self.0, at: 1 }))
    }

    /// The elements, if it is an array.
    pub fn elements(self) -> Option<Elements<'a>> {
        self.0.starts_with('[').then_some(Elements(Cursor { text: self.0, at: 1 }))
    }

    /// The members with these names, if it is an object. `None` for one that is absent or `null`.
    pub fn named<const COUNT: usize>(self, names: [&str; COUNT]) -> Option<[Option<Piece<'a>>; COUNT]> {
        let mut found = [None; COUNT];
        for (key, value) in self.members()? {
            let known = names.iter().zip(&mut found).find(|(name, _)| **name == key);
            if let Some((_, place)) = known
                && value.0 != "null"
            {
                *place = Some(value);
            }
        }
        Some(found)
    }

    /// The text of a string; `None` if the value is something else.
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self.0.strip_prefix('"')?.strip_suffix('"') {
            Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
            _ => serde_json::from_str(self.0).ok().map(Cow::Owned),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Piece<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.skip_white_space();
        let key = self.0.string()?.text()?;
        self.0.skip_white_space();
        self.0.skip(b':')?;
        self.0.skip_white_space();
        let value = self.0.value()?;
        self.0.skip_separator();
        Some((key, value))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        self.0.skip_white_space();
        let value = self.0.value()?;
        self.0.skip_separator();
        Some(value)
    }
}

/// A place in a text.
#[derive(Debug, Clone)]
struct Cursor<'a> {
    text: &'a str,
    /// The next byte.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn next_byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while self.next_byte().is_some_and(|byte| is_white_space(char::from(byte))) {
            self.at += 1;
        }
    }

    fn skip(&mut self, wanted: u8) -> Option<()> {
        (self.next_byte()? == wanted).then(|| self.at += 1)
    }

    /// Skips the comma after a value, if there is one.
    fn skip_separator(&mut self) {
        self.skip_white_space();
        let _ = self.skip(b',');
    }

    fn string(&mut self) -> Option<Piece<'a>> {
        if self.next_byte()? != b'"' {
            return None;
        }
        self.piece(end_of_string(self.text.as_bytes(), self.at)?)
    }

    fn value(&mut self) -> Option<Piece<'a>> {
        let bytes = self.text.as_bytes();
        let end = match self.next_byte()? {
            b'"' => end_of_string(bytes, self.at)?,
            b'{' | b'[' => end_of_nested(bytes, self.at)?,
            _ => end_of_plain(bytes, self.at),
        };
        self.piece(end)
    }

    /// What ends before `end`; the cursor is behind it then.
    fn piece(&mut self, end: usize) -> Option<Piece<'a>> {
        let piece = self.text.get(self.at..end).filter(|piece| !piece.is_empty())?;
        self.at = end;
        Some(Piece(piece))
    }
}

/// White space of JSON (RFC 8259, section 2).
fn is_white_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// The end of the string that begins at `at`.
pub(crate) fn end_of_string(bytes: &[u8], at: usize) -> Option<usize> {
    let mut next = at + 1;
    loop {
        match bytes.get(next)? {
            b'"' => return Some(next + 1),
            b'\\' => next += 2,
            _ => next += 1,
        }
    }
}

/// The end of the object or array that begins at `at`.
fn end_of_nested(bytes: &[u8], at: usize) -> Option<usize> {
    let (mut next, mut depth) = (at, 0_usize);
    loop {
        match bytes.get(next)? {
            b'"' => {
                next = end_of_string(bytes, next)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        next += 1;
        if depth == 0 {
            return Some(next);
        }
    }
}

/// The end of the number or literal that begins at `at`.
fn end_of_plain(bytes: &[u8], at: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || is_white_space(char::from(*byte));
    bytes[at..].iter().position(ends).map_or(bytes.len(), |length| at + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn members(text: &str) -> Vec<(String, &str)> {
        let members = Piece::of(text).members().expect("the test gives an object");
        members.map(|(key, value)| (key.into_owned(), value.get())).collect()
    }

    #[test]
    fn members_and_elements_are_what_was_written() {
        assert_eq!(members("{}"), []);
        assert_eq!(
            members(" { \"a\" : 1.50 ,\n\"\\u0062\":\t{\"c}\":\"]\\\"\"} , \"ä\" : [ 1 , [] ] } "),
            [
                ("a".to_owned(), "1.50"),
                ("b".to_owned(), "{\"c}\":\"]\\\"\"}"),
                ("ä".to_owned(), "[ 1 , [] ]"),
            ]
        );
        let elements = Piece::of("[ true,\"a,b\" , {\"x\":[]} ]").elements().expect("it is an array");
        assert_eq!(elements.map(Piece::get).collect::<Vec<_>>(), ["true", "\"a,b\"", "{\"x\":[]}"]);
        for text in ["", "1", "[]", "null", "\"{}\""] {
            assert_eq!(Piece::of(text).members().map(Iterator::count), None, "{text}");
        }
        assert!(Piece::of("{}").elements().is_none());
    }

    #[test]
    fn members_are_found_by_their_decoded_names_and_null_counts_as_absent() {
        let text = "{\"b\":null,\"\\u0061\":7,\"other\":[],\"c\":\"x\"}";
        let found = Piece::of(text).named(["a", "b", "c", "d"]).expect("it is an object");
        assert_eq!(found.map(|piece| piece.map(Piece::get)), [Some("7"), None, Some("\"x\""), None]);
        assert_eq!(Piece::of("[]").named(["a"]), None);
    }

    #[test]
    fn only_strings_are_texts() {
        for (text, plain) in
            [("\"\"", Some("")), ("\"a b\"", Some("a b")), ("\"\\u00e4\"", Some("ä")), ("7", None)]
        {
            assert_eq!(Piece::of(text).text().as_deref(), plain);
        }
        assert_eq!(Piece::of("\"").text(), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
            "[ -~ä\\n\\\\\"{}\\[\\],:]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[ a-cä\"\\\\{}]{0,3}", inner, 0..5)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn pieces_are_what_a_tree_of_the_text_has(value in json(), is_pretty in any::<bool>()) {
            let text = match is_pretty {
                true => serde_json::to_string_pretty(&value),
                false => serde_json::to_string(&value),
            };
            let text = text.expect("a value can be written");
            let piece = Piece::of(&text);
            let read = |piece: Piece<'_>| serde_json::from_str::<Value>(piece.get()).expect("it is JSON");
            match &value {
                Value::Object(map) => {
                    let members = piece.members().expect("it is an object");
                    let members: Map<String, Value> =
                        members.map(|(key, value)| (key.into_owned(), read(value))).collect();
                    prop_assert_eq!(&members, map);
                }
                Value::Array(list) => {
                    let elements = piece.elements().expect("it is an array");
                    prop_assert_eq!(&elements.map(read).collect::<Vec<_>>(), list);
                }
                other => prop_assert_eq!(&read(piece), other),
            }
        }

        #[test]
        fn any_text_is_cut_without_a_panic(text in "[\\[\\]{}:,\"\\\\0-9eä tfn]{0,60}") {
            let piece = Piece::of(&text);
            let _ = piece.text();
            piece.members().into_iter().flatten().for_each(drop);
            piece.elements().into_iter().flatten().for_each(drop);
        }
    }
}
