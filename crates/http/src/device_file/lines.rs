//! The physical lines of a file, with their numbers, as a stream: only the current line and those read ahead
//! are held in memory.
//!
//! A line ends with a line feed; one carriage return before it is dropped. So the numbers match those of
//! editors and `sed -n`. UTF-16, which spreadsheets save as "Unicode text", is read too, with or without a
//! byte order mark. Limit: [`LINE_BYTES_MAX`].

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, BufReader, Chain, Cursor, Read},
};

/// The rest of a longer line is dropped.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Replaces invalid UTF-16, so that the line is not valid UTF-8 either.
const NO_TEXT: u8 = 0xff;

/// How two bytes make a code unit.
type UnitOf = fn([u8; 2]) -> u16;

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// UTF-8, if the file is valid.
    pub(super) bytes: Vec<u8>,
    /// Whether it was longer than [`LINE_BYTES_MAX`].
    pub(super) is_cut: bool,
}

/// Reads lines.
pub(super) struct Lines<R> {
    input: BufReader<Chain<Cursor<Vec<u8>>, R>>,
    /// `None`: UTF-8.
    utf16: Option<UnitOf>,
    number: u64,
    /// Lines to be read again, in their order.
    ahead: VecDeque<Line>,
}

impl<R: Read> Lines<R> {
    /// Detects the encoding.
    pub(super) fn open(mut input: R) -> io::Result<Self> {
        let mut start = Vec::with_capacity(3);
        input.by_ref().take(3).read_to_end(&mut start)?;
        let (utf16, mark_bytes): (Option<UnitOf>, _) = match start[..] {
            [0xef, 0xbb, 0xbf] => (None, 3),
            [0xff, 0xfe, ..] => (Some(u16::from_le_bytes), 2),
            [0xfe, 0xff, ..] => (Some(u16::from_be_bytes), 2),
            [1..=0x7f, 0, ..] => (Some(u16::from_le_bytes), 0),
            [0, 1..=0x7f, ..] => (Some(u16::from_be_bytes), 0),
            _ => (None, 0),
        };
        start.drain(..mark_bytes);
        let input = BufReader::new(Cursor::new(start).chain(input));
        Ok(Self { input, utf16, number: 0, ahead: VecDeque::new() })
    }

    /// The lines of a text, whose encoding is known.
    pub(super) fn of_text(text: R) -> Self {
        let input = BufReader::new(Cursor::new(Vec::new()).chain(text));
        Self { input, utf16: None, number: 0, ahead: VecDeque::new() }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.ahead.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Line { number: self.number + 1, bytes: Vec::new(), is_cut: false };
        let found = match self.utf16 {
            None => self.read_utf8(&mut line)?,
            Some(unit_of) => self.read_utf16(unit_of, &mut line)?,
        };
        if !found {
            return Ok(None);
        }
        self.number += 1;
        if line.bytes.last() == Some(&b'\r') {
            line.bytes.pop();
        }
        Ok(Some(line))
    }

    /// Puts lines back, to be read again in this order.
    pub(super) fn unread(&mut self, lines: Vec<Line>) {
        lines.into_iter().rev().for_each(|line| self.ahead.push_front(line));
    }

    /// Reads a line; returns whether there was one.
    fn read_utf8(&mut self, line: &mut Line) -> io::Result<bool> {
        let mut found = false;
        loop {
            let buffered = self.input.fill_buf()?;
            if buffered.is_empty() {
                return Ok(found);
            }
            found = true;
            let end = buffered.iter().position(|byte| *byte == b'\n');
            line.push(&buffered[..end.unwrap_or(buffered.len())]);
            let read = end.map_or(buffered.len(), |end| end + 1);
            self.input.consume(read);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// Reads a line; returns whether there was one.
    fn read_utf16(&mut self, unit_of: UnitOf, line: &mut Line) -> io::Result<bool> {
        let mut found = false;
        let mut high = None;
        loop {
            let mut pair = [0; 2];
            let unit = match read_pair(&mut self.input, &mut pair)? {
                0 => None,
                // Half a unit.
                1 => Some(0xdc00),
                _ => Some(unit_of(pair)),
            };
            if let Some(first) = high.take() {
                match char::decode_utf16([Some(first), unit].into_iter().flatten()).next() {
                    Some(Ok(character)) => {
                        line.push(character.encode_utf8(&mut [0; 4]).as_bytes());
                        continue;
                    }
                    _ => line.push(&[NO_TEXT]),
                }
            }
            let Some(unit) = unit else { return Ok(found) };
            found = true;
            match unit {
                0x0a => return Ok(true),
                0xd800..=0xdbff => high = Some(unit),
                _ => match char::from_u32(unit.into()) {
                    Some(character) => line.push(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => line.push(&[NO_TEXT]),
                },
            }
        }
    }
}

/// Reads two bytes; returns how many there were.
fn read_pair(input: &mut impl Read, pair: &mut [u8; 2]) -> io::Result<usize> {
    let mut length = 0;
    while length < 2 {
        match input.read(&mut pair[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl Line {
    /// Whether there is nothing in it.
    pub(super) fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    /// Adds it to a text, of which it is read as the same line.
    pub(super) fn emit(&self, text: &mut Vec<u8>) {
        let begin = text.len();
        text.extend_from_slice(&self.bytes);
        if self.is_cut {
            text.resize(begin + LINE_BYTES_MAX + 1, NO_TEXT);
        }
        text.push(b'\n');
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX - self.bytes.len();
        self.is_cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(u64, String)> {
        let mut lines = Lines::open(bytes).unwrap();
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, String::from_utf8_lossy(&line.bytes).into_owned()));
        }
        found
    }

    fn utf16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes_of).collect()
    }

    #[test]
    fn a_line_ends_with_a_line_feed_and_is_numbered_as_in_an_editor() {
        let expected = [(1, "a".to_owned()), (2, String::new()), (3, "b\rc".to_owned()), (4, "d".to_owned())];
        assert_eq!(lines(b"a\r\n\nb\rc\r\nd"), expected);
        assert_eq!(lines(b"\xef\xbb\xbfa\n\nb\rc\nd\n"), expected);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn utf_16_is_read_with_a_mark_and_without() {
        let text = "deviceKey,name\r\nd1,Zähler 😀\n";
        let expected = [(1, "deviceKey,name".to_owned()), (2, "d1,Zähler 😀".to_owned())];
        for mark in ["\u{feff}", ""] {
            let text = format!("{mark}{text}");
            assert_eq!(lines(&utf16(&text, u16::to_le_bytes)), expected);
            assert_eq!(lines(&utf16(&text, u16::to_be_bytes)), expected);
        }
    }

    #[test]
    fn broken_utf_16_breaks_its_line_only() {
        let broken = [&b"a\0\n\0"[..], b"\x00\xd8b\0\n\0", b"\x00\xdc\n\0", b"c\0\n\0", b"\x00\xd8"].concat();
        assert_eq!(
            lines(&broken).iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["a", "\u{fffd}b", "\u{fffd}", "c", "\u{fffd}"]
        );
        assert_eq!(lines(b"a\0\n\0b").last().unwrap().1, "\u{fffd}");
    }

    #[test]
    fn the_rest_of_a_long_line_is_dropped_and_counted_as_that_line() {
        let text = [vec![b'x'; 3 * LINE_BYTES_MAX], b"\nb\n".to_vec()].concat();
        let mut lines = Lines::open(&text[..]).unwrap();
        let long = lines.next().unwrap().unwrap();
        assert_eq!((long.bytes.len(), long.is_cut), (LINE_BYTES_MAX, true));
        let next = lines.next().unwrap().unwrap();
        assert_eq!((next.number, &*next.bytes, next.is_cut), (2, &b"b"[..], false));
    }

    #[test]
    fn lines_that_were_read_ahead_are_read_again() {
        let mut lines = Lines::open(&b"a\nb\nc\n"[..]).unwrap();
        let ahead: Vec<Line> = (0..2).map(|_| lines.next().unwrap().unwrap()).collect();
        lines.unread(ahead);
        let numbers: Vec<u64> =
            std::iter::from_fn(|| lines.next().unwrap()).map(|line| line.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
