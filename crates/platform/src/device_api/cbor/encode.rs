//! JSON text into CBOR, in one pass without a stack: the smallest encodings, definite lengths.

use super::number::{bytes_of_decimal, to_half};
use crate::model::json_piece::end_of_string;

/// The number that stands for a key, in an object that lies in so many other objects; `None`: it stays a
/// text.
pub type NumberOf<'n> = &'n dyn Fn(usize, &str) -> Option<u64>;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// A JSON text as CBOR: objects as maps with their keys in the order in which they stand, numbers with a
/// fraction or an exponent as the shortest float that has exactly the value of the double that they are,
/// other numbers as integers or bignums. What is not JSON becomes what its beginning looks like; nothing
/// panics.
pub fn from_json(json: &[u8]) -> Vec<u8> {
    Encoder::new(json, None).run()
}

/// The same, with numbers in the place of keys.
pub fn from_json_with_numbers(json: &[u8], number_of: NumberOf<'_>) -> Vec<u8> {
    Encoder::new(json, Some(number_of)).run()
}

/// An array or an object that is open.
struct Open {
    is_map: bool,
    /// Where its head stands, a byte as long as its length is not known.
    head: usize,
    /// Items in it; of an object keys and values.
    items: usize,
}

struct Encoder<'a, 'n> {
    json: &'a [u8],
    at: usize,
    number_of: Option<NumberOf<'n>>,
    open: Vec<Open>,
    /// How many of them are objects.
    maps: usize,
    cbor: Vec<u8>,
}

impl<'a, 'n> Encoder<'a, 'n> {
    fn new(json: &'a [u8], number_of: Option<NumberOf<'n>>) -> Self {
        let cbor = Vec::with_capacity(json.len());
        Self { json, at: 0, number_of, open: Vec::new(), maps: 0, cbor }
    }

    fn run(mut self) -> Vec<u8> {
        while let Some(byte) = self.json.get(self.at).copied() {
            match byte {
                b'{' | b'[' => self.begin(byte == b'{'),
                b'}' | b']' => self.end(),
                b'"' => self.string(),
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => self.number_or_literal(),
            }
        }
        while !self.open.is_empty() {
            self.end();
        }
        self.cbor
    }

    /// Counts an item in what is open; `true`: it is a key.
    fn count(&mut self) -> bool {
        let Some(open) = self.open.last_mut() else { return false };
        open.items += 1;
        open.is_map && open.items % 2 == 1
    }

    fn begin(&mut self, is_map: bool) {
        self.count();
        self.open.push(Open { is_map, head: self.cbor.len(), items: 0 });
        self.maps += usize::from(is_map);
        self.cbor.push(0);
        self.at += 1;
    }

    fn end(&mut self) {
        self.at += 1;
        let Some(Open { is_map, head, items }) = self.open.pop() else { return };
        self.maps -= usize::from(is_map);
        let (major, length) = if is_map { (MAP, items.div_ceil(2)) } else { (ARRAY, items) };
        if is_map && items % 2 == 1 {
            push_head(&mut self.cbor, SIMPLE, 22);
        }
        if length < 24 {
            self.cbor[head] = major << 5 | length as u8;
            return;
        }
        let mut whole = Vec::with_capacity(9);
        push_head(&mut whole, major, length as u64);
        self.cbor.splice(head..=head, whole);
    }

    fn string(&mut self) {
        let is_key = self.count();
        let start = self.at;
        let end = end_of_string(self.json, start).filter(|end| *end <= self.json.len());
        self.at = end.unwrap_or(self.json.len());
        let written = &self.json[start..self.at];
        let plain = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
        let text = match plain.contains(&b'\\') {
            false => String::from_utf8_lossy(plain),
            true => serde_json::from_slice::<String>(written).unwrap_or_default().into(),
        };
        let number = self.number_of.filter(|_| is_key);
        if let Some(number) = number.and_then(|number_of| number_of(self.maps.saturating_sub(1), &text)) {
            return push_head(&mut self.cbor, UNSIGNED, number);
        }
        push_head(&mut self.cbor, TEXT, text.len() as u64);
        self.cbor.extend_from_slice(text.as_bytes());
    }

    fn number_or_literal(&mut self) {
        self.count();
        let rest = &self.json[self.at..];
        let ends = |byte: &u8| b",:]}[{\" \t\n\r".contains(byte);
        let written = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
        self.at += written.len();
        match written {
            b"false" => push_head(&mut self.cbor, SIMPLE, 20),
            b"true" => push_head(&mut self.cbor, SIMPLE, 21),
            b"null" => push_head(&mut self.cbor, SIMPLE, 22),
            _ => push_number(&mut self.cbor, &String::from_utf8_lossy(written)),
        }
    }
}

/// The head of an item, as short as it can be (RFC 8949, section 3).
fn push_head(cbor: &mut Vec<u8>, major: u8, argument: u64) {
    let first = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..24 => cbor.push(first | argument as u8),
        24..=0xff => cbor.extend([first | 24, bytes[7]]),
        0x100..=0xffff => cbor.extend([first | 25, bytes[6], bytes[7]]),
        0x1_0000..=0xffff_ffff => {
            cbor.push(first | 26);
            cbor.extend_from_slice(&bytes[4..]);
        }
        _ => {
            cbor.push(first | 27);
            cbor.extend_from_slice(&bytes);
        }
    }
}

fn push_number(cbor: &mut Vec<u8>, written: &str) {
    // There is no integer -0.
    if written.contains(['.', 'e', 'E']) || written == "-0" {
        return push_float(cbor, written.parse().unwrap_or_default());
    }
    let (is_negative, digits) = match written.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, written),
    };
    if let Ok(number) = digits.parse::<u128>()
        && let Ok(argument) = u64::try_from(number.saturating_sub(u128::from(is_negative)))
    {
        return push_head(cbor, if is_negative { NEGATIVE } else { UNSIGNED }, argument);
    }
    let mut bytes = bytes_of_decimal(digits);
    if is_negative && let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
        // -1 minus the number.
        bytes[last] -= 1;
        bytes[last + 1..].fill(0xff);
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes.drain(..zeros);
    }
    push_head(cbor, TAG, if is_negative { 3 } else { 2 });
    push_head(cbor, BYTES, bytes.len() as u64);
    cbor.extend_from_slice(&bytes);
}

/// A double as the shortest float that has exactly its value (RFC 8949, section 4.1).
fn push_float(cbor: &mut Vec<u8>, double: f64) {
    let single = double as f32;
    if f64::from(single).to_bits() != double.to_bits() {
        cbor.push(SIMPLE << 5 | 27);
        return cbor.extend_from_slice(&double.to_be_bytes());
    }
    match to_half(single) {
        Some(half) => {
            cbor.push(SIMPLE << 5 | 25);
            cbor.extend_from_slice(&half.to_be_bytes());
        }
        None => {
            cbor.push(SIMPLE << 5 | 26);
            cbor.extend_from_slice(&single.to_be_bytes());
        }
    }
}
