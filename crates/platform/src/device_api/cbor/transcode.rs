//! One CBOR item into JSON text, in one pass.

use std::{
    borrow::Cow,
    fmt::Write as _,
    hash::{DefaultHasher, Hasher},
};

use super::{
    Fault, FaultKind, Limits, NameOf,
    number::{Integer, decimal_fraction},
    reader::{Item, Reader},
};

/// Tags that say something about what they are put to (RFC 8949, section 3.4, and IANA's registry).
mod tag {
    pub(super) const DATE_TEXT: u64 = 0;
    pub(super) const DATE_NUMBER: u64 = 1;
    pub(super) const BIGNUM: u64 = 2;
    pub(super) const NEGATIVE_BIGNUM: u64 = 3;
    pub(super) const DECIMAL_FRACTION: u64 = 4;
    pub(super) const BIGFLOAT: u64 = 5;
    pub(super) const TO_BASE64URL: u64 = 21;
    pub(super) const TO_BASE64: u64 = 22;
    pub(super) const TO_BASE16: u64 = 23;
    pub(super) const STRING_REFERENCE: u64 = 25;
    pub(super) const SHARED_REFERENCE: u64 = 29;
    /// They make another number of what they are put to: a rational number (30, 270), decimal fractions and
    /// bigfloats of other forms (264, 265, 268, 269), complex numbers (43000, 43001).
    pub(super) const OTHER_NUMBERS: [u64; 8] = [30, 264, 265, 268, 269, 270, 43_000, 43_001];
}

/// What becomes of byte strings inside of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BytesAs {
    Nothing,
    Base64Url,
    Base64,
    Base16,
}

/// Where an item stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Arrays and maps around it.
    depth: usize,
    /// Maps around it.
    maps: usize,
    bytes_as: BytesAs,
}

/// See [`super::to_json`].
pub(super) struct Transcoder<'a, 'n> {
    reader: Reader<'a>,
    limits: Limits,
    name_of: Option<NameOf<'n>>,
    json: String,
    /// Hashes of the keys of all maps that are open, the innermost's last, as in [`crate::device_api::json`].
    keys: Vec<u64>,
    /// An offset in the JSON text, and where in the body the last item begins that begins there or before.
    watched: (usize, usize),
}

impl<'a, 'n> Transcoder<'a, 'n> {
    pub(super) fn new(cbor: &'a [u8], limits: Limits, name_of: Option<NameOf<'n>>) -> Self {
        let json = String::with_capacity((2 * cbor.len()).min(limits.json_bytes));
        Self { reader: Reader::new(cbor), limits, name_of, json, keys: Vec::new(), watched: (0, 0) }
    }

    /// The same, which finds the place of this offset of its JSON text.
    pub(super) fn watching(self, offset: usize) -> Self {
        Self { watched: (offset, 0), ..self }
    }

    /// The JSON text, and the place in the body that was watched for.
    pub(super) fn run(mut self) -> Result<(String, usize), Fault> {
        if self.reader.rest() == 0 {
            return Err(Fault::malformed(0, "the body is empty; send a map"));
        }
        self.value(Place { depth: 0, maps: 0, bytes_as: BytesAs::Nothing })?;
        match self.reader.rest() {
            0 => Ok((self.json, self.watched.1)),
            rest => {
                let words = match rest {
                    1 => "1 byte follows the item, which ends before it".to_owned(),
                    rest => format!("{rest} bytes follow the item, which ends before them"),
                };
                Err(Fault::malformed(self.reader.at(), words))
            }
        }
    }

    /// Fails where the text has become too long.
    fn fits(&self, start: usize) -> Result<(), Fault> {
        let bytes_max = self.limits.json_bytes;
        if self.json.len() <= bytes_max {
            return Ok(());
        }
        let words = format!("it would have more than {bytes_max} bytes as JSON, in which it is kept").into();
        Err(Fault { at: start + 1, kind: FaultKind::TooLong, words })
    }

    fn value(&mut self, mut place: Place) -> Result<(), Fault> {
        let start = self.reader.at();
        if self.json.len() <= self.watched.0 {
            self.watched.1 = start;
        }
        let mut item = self.reader.item()?;
        while let Item::Tag(tag) = item {
            let at = self.reader.at();
            place.bytes_as = match tag {
                tag::TO_BASE64URL => BytesAs::Base64Url,
                tag::TO_BASE64 => BytesAs::Base64,
                tag::TO_BASE16 => BytesAs::Base16,
                _ => place.bytes_as,
            };
            match tag {
                tag::BIGNUM | tag::NEGATIVE_BIGNUM => return self.bignum(start, tag),
                tag::DECIMAL_FRACTION | tag::BIGFLOAT => return self.fraction(start, tag),
                _ => {
                    refuse_tag(start, tag)?;
                    item = self.reader.item()?;
                }
            }
            let is_dated = match tag {
                tag::DATE_TEXT => matches!(item, Item::Text(_)),
                tag::DATE_NUMBER => matches!(item, Item::Unsigned(_) | Item::Negative(_) | Item::Float(_)),
                _ => true,
            };
            if !is_dated {
                return Err(Fault::unsupported(at, "tag 0 is put to a text, and tag 1 to a number"));
            }
        }
        match item {
            Item::Array(length) => self.array(start, length, place),
            Item::Map(length) => self.map(start, length, place),
            _ => self.plain(start, item, place.bytes_as),
        }?;
        self.fits(start)
    }

    /// What has no other items in it.
    fn plain(&mut self, start: usize, item: Item, bytes_as: BytesAs) -> Result<(), Fault> {
        let _ = match item {
            Item::Unsigned(number) => write!(self.json, "{number}"),
            Item::Negative(number) => write!(self.json, "{}", -1 - i128::from(number)),
            Item::Float(float) if float.is_finite() => write!(self.json, "{float:?}"),
            Item::Float(_) => {
                let words = "NaN and infinity are not values; leave the point out where there is none";
                return Err(Fault::unsupported(start, words));
            }
            Item::Text(length) => return self.text(start, length),
            Item::Bytes(length) => return self.byte_string(start, length, bytes_as),
            Item::Simple(20) => write!(self.json, "false"),
            Item::Simple(21) => write!(self.json, "true"),
            // Null and undefined: RFC 8949, section 6.1.
            Item::Simple(22 | 23) => write!(self.json, "null"),
            Item::Simple(number) => {
                return Err(Fault::unsupported(
                    start,
                    format!("simple value {number} cannot be a value in a message"),
                ));
            }
            Item::Break => {
                return Err(Fault::malformed(start, "a break (0xFF) stands where an item is expected"));
            }
            Item::Array(_) | Item::Map(_) | Item::Tag(_) => unreachable!("they are not plain"),
        };
        Ok(())
    }

    fn array(&mut self, start: usize, length: Option<u64>, place: Place) -> Result<(), Fault> {
        let inside = self.enter(start, place)?;
        self.json.push('[');
        let mut count = 0;
        while self.goes_on(length, count) {
            if count > 0 {
                self.json.push(',');
            }
            self.value(inside)?;
            count += 1;
        }
        self.json.push(']');
        Ok(())
    }

    fn map(&mut self, start: usize, length: Option<u64>, place: Place) -> Result<(), Fault> {
        let inside = Place { maps: place.maps + 1, ..self.enter(start, place)? };
        self.json.push('{');
        let (first, mut count) = (self.keys.len(), 0);
        while self.goes_on(length, count) {
            if count > 0 {
                self.json.push(',');
            }
            self.key(place.maps)?;
            self.json.push(':');
            self.value(inside)?;
            count += 1;
        }
        let own = &mut self.keys[first..];
        own.sort_unstable();
        if own.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Fault::unsupported(start, "a key occurs twice in this map"));
        }
        self.keys.truncate(first);
        self.json.push('}');
        Ok(())
    }

    fn enter(&self, start: usize, place: Place) -> Result<Place, Fault> {
        let (depth, depth_max) = (place.depth + 1, self.limits.depth);
        if depth > depth_max {
            return Err(Fault::unsupported(start, format!("nested more than {depth_max} deep")));
        }
        Ok(Place { depth, ..place })
    }

    /// Whether another element follows in an array or a map that has had `count`.
    fn goes_on(&mut self, length: Option<u64>, count: u64) -> bool {
        match length {
            Some(length) => count < length,
            None => !self.reader.skip_break(),
        }
    }

    /// A key, in a map that lies in so many others.
    fn key(&mut self, maps: usize) -> Result<(), Fault> {
        let start = self.reader.at();
        let mut item = self.reader.item()?;
        while let Item::Tag(tag) = item {
            refuse_tag(start, tag)?;
            item = self.reader.item()?;
        }
        let mut pieces: Cow<'_, str> = Cow::Borrowed("");
        match item {
            Item::Text(length) => self.reader.text(start, length, |piece| {
                pieces = match pieces.is_empty() {
                    true => Cow::Borrowed(piece),
                    false => Cow::Owned(format!("{pieces}{piece}")),
                };
                Ok(())
            })?,
            Item::Unsigned(number) => match self.name_of.and_then(|name_of| name_of(maps, number)) {
                Some(name) => pieces = Cow::Owned(name.into_owned()),
                None => return Err(Fault::unsupported(start, no_name(number, self.name_of.is_some()))),
            },
            _ => return Err(Fault::unsupported(start, "a key is neither a text nor a number of the model")),
        }
        if pieces.starts_with("$serde_json::private::") {
            return Err(Fault::unsupported(start, "a key is reserved"));
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(pieces.as_bytes());
        self.keys.push(hasher.finish());
        self.json.push('"');
        push_escaped(&mut self.json, &pieces);
        self.json.push('"');
        self.fits(start)
    }

    fn text(&mut self, start: usize, length: Option<u64>) -> Result<(), Fault> {
        self.json.push('"');
        let json = &mut self.json;
        self.reader.text(start, length, |piece| {
            push_escaped(json, piece);
            Ok(())
        })?;
        self.json.push('"');
        Ok(())
    }

    fn byte_string(&mut self, start: usize, length: Option<u64>, bytes_as: BytesAs) -> Result<(), Fault> {
        let bytes = self.all_bytes(start, length)?;
        if bytes_as == BytesAs::Nothing {
            let words = "a byte string cannot be a value in a message: send a text (major type 3), or put \
                         tag 21, 22 or 23 to it, to have its base64url, base64 or base16";
            return Err(Fault::unsupported(start, words));
        }
        self.json.push('"');
        match bytes_as {
            BytesAs::Base16 => bytes.iter().for_each(|byte| {
                let _ = write!(self.json, "{byte:02X}");
            }),
            BytesAs::Base64 => push_base64(&mut self.json, &bytes, b"+/", "="),
            _ => push_base64(&mut self.json, &bytes, b"-_", ""),
        }
        self.json.push('"');
        Ok(())
    }

    fn all_bytes(&mut self, start: usize, length: Option<u64>) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        self.reader.byte_string(start, length, |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// What is behind tag 2 or 3, whose head begins at `start`.
    fn bignum(&mut self, start: usize, tag: u64) -> Result<(), Fault> {
        let decimal = self.big_integer(start, tag)?.and_then(|integer| integer.decimal());
        self.json.push_str(&decimal.ok_or_else(|| too_large(start))?);
        self.fits(start)
    }

    /// `None`: it is too long.
    fn big_integer(&mut self, start: usize, tag: u64) -> Result<Option<Integer>, Fault> {
        let at = self.reader.at();
        let Item::Bytes(length) = self.reader.item()? else {
            return Err(Fault::unsupported(at, "tags 2 and 3 are put to a byte string"));
        };
        Ok(Integer::of(tag == tag::NEGATIVE_BIGNUM, &self.all_bytes(start, length)?))
    }

    /// What is behind tag 4 or 5, whose head begins at `start`: `[exponent, mantissa]`.
    fn fraction(&mut self, start: usize, tag: u64) -> Result<(), Fault> {
        let at = self.reader.at();
        let no_fraction =
            || Fault::unsupported(at, "tags 4 and 5 are put to [exponent, mantissa], two integers");
        let Item::Array(length @ (None | Some(2))) = self.reader.item()? else {
            return Err(no_fraction());
        };
        let exponent = match self.reader.item()? {
            Item::Unsigned(number) => i64::try_from(number).ok(),
            Item::Negative(number) => i64::try_from(-1 - i128::from(number)).ok(),
            _ => return Err(no_fraction()),
        };
        let mantissa_at = self.reader.at();
        let mantissa = match self.reader.item()? {
            Item::Unsigned(number) => Integer::of(false, &number.to_be_bytes()),
            Item::Negative(number) => Integer::of(true, &number.to_be_bytes()),
            Item::Tag(tag @ (tag::BIGNUM | tag::NEGATIVE_BIGNUM)) => self.big_integer(mantissa_at, tag)?,
            _ => return Err(no_fraction()),
        };
        if length.is_none() && !self.reader.skip_break() {
            return Err(no_fraction());
        }
        let (exponent, mantissa) = exponent.zip(mantissa).ok_or_else(|| too_large(start))?;
        if tag == tag::DECIMAL_FRACTION {
            let decimal = decimal_fraction(&mantissa, exponent).ok_or_else(|| too_large(start))?;
            self.json.push_str(&decimal);
        } else {
            let no_double = || Fault::unsupported(start, "no double has exactly the value of this bigfloat");
            let double = mantissa.times_power_of_two(exponent).ok_or_else(no_double)?;
            let _ = write!(self.json, "{double:?}");
        }
        self.fits(start)
    }
}

fn too_large(start: usize) -> Fault {
    Fault::unsupported(start, "a number is beyond the range of a double")
}

/// Refuses a tag without which a value would be another one.
fn refuse_tag(start: usize, tag: u64) -> Result<(), Fault> {
    let words = match tag {
        tag::STRING_REFERENCE | tag::SHARED_REFERENCE => {
            "refers to a value that was sent before; send each value itself"
        }
        _ if tag::OTHER_NUMBERS.contains(&tag) => {
            "makes another number of what it is put to, and is not read; send an integer, a float, or a \
             decimal fraction (tag 4)"
        }
        _ => return Ok(()),
    };
    Err(Fault::unsupported(start, format!("tag {tag} {words}")))
}

fn no_name(number: u64, is_short: bool) -> String {
    match is_short {
        true => format!("the thing model has no number {number} here"),
        false => format!("a key is the integer {number}; on this topic keys are texts"),
    }
}

/// A text as it stands between the quotation marks of JSON.
pub(super) fn push_escaped(json: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        json.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            byte @ (b'"' | b'\\') => json.extend(['\\', char::from(byte)]),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            byte => {
                let _ = write!(json, "\\u{byte:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    json.push_str(rest);
}

/// RFC 4648, with two characters of its alphabet and what fills the last four up.
fn push_base64(json: &mut String, bytes: &[u8], last: &[u8; 2], fill: &str) {
    let character = |six: u8| match six {
        0..26 => char::from(b'A' + six),
        26..52 => char::from(b'a' + six - 26),
        52..62 => char::from(b'0' + six - 52),
        _ => char::from(last[usize::from(six - 62)]),
    };
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            match index <= chunk.len() {
                true => json.push(character((bits >> (18 - 6 * index)) as u8 & 0x3f)),
                false => json.push_str(fill),
            }
        }
    }
}
