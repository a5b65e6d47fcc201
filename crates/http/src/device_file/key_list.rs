//! Lists of pre-shared keys as Californium's programs read them, line by line. Two kinds:
//!
//! ```text
//! # a key each: identity=key             # a store of devices: a name and its group, then its credentials
//! 867725030096431=c2VjcmV0UFNL           Demo1=Thing
//! 867725030096432=:0x8c3a…               .psk='Client_identity',c2VjcmV0UFNL
//! 867725030096433='plain text'           Demo2.psk='867725030096432',:0x8c3a…
//! ```
//!
//! A key is base64, hexadecimal behind `:0x`, or plain text in apostrophes. The identity is the key of the
//! device, and the name in a store its display name. A key of printable ASCII is the device's secret as it
//! is; the secret of any other key are its hexadecimal digits. Raw public keys and groups are not imported.
//!
//! Which of the two a list is shows the first `.psk=`: until then a line is kept, and is a row of its own
//! once another one follows that is none.

use narrowgate_api::import::ImportFault;
use zeroize::Zeroizing;

use super::{RawRow, columns, fault, lines::Line};

const NOT_BASE64: &str = "it is not base64; hexadecimal begins with :0x, plain text stands in apostrophes";

/// What a store says of a device beside its key.
const OTHERS: [&str; 3] = ["group", "rpk", "type"];

/// A row and its line, or a fault.
type Read = Result<(u64, RawRow), ImportFault>;

/// See the module.
#[derive(Default)]
pub(super) struct KeyList {
    /// It has a `.psk=` line.
    is_store: bool,
    /// The last line `left=right`: its number and both sides.
    last: Option<(u64, String, Zeroizing<String>)>,
    /// The device of a store that following lines are about.
    name: Option<String>,
}

impl KeyList {
    /// Takes the next line, or the end; gives what is known by it.
    pub(super) fn read(&mut self, line: Option<&Line>) -> Option<Read> {
        let Some(line) = line else { return self.end_last() };
        let number = line.number;
        let of = |message: &str| Some(Err(fault(number, None, message)));
        if line.is_cut {
            return of("it is too long");
        }
        let Ok(text) = std::str::from_utf8(&line.bytes) else {
            return of("it is not UTF-8; save the file as UTF-8");
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let Some((left, right)) = text.split_once('=') else {
            return of("it is not identity=key");
        };
        let (left, right) = (left.trim(), right.trim());
        if let Some(name) = left.strip_suffix(".psk") {
            return Some(self.credentials(number, name, right));
        }
        if let Some((name, other)) = left.rsplit_once('.')
            && OTHERS.contains(&other)
        {
            if !name.is_empty() {
                self.name = Some(name.to_owned());
            }
            return None;
        }
        let before = self.end_last();
        self.last = Some((number, left.to_owned(), Zeroizing::new(right.to_owned())));
        before
    }

    /// A line of a store: `name.psk='identity',key`.
    fn credentials(&mut self, number: u64, name: &str, right: &str) -> Read {
        self.is_store = true;
        // The line before was a name and its group.
        if let Some((_, name, _)) = self.last.take() {
            self.name = Some(name);
        }
        if !name.is_empty() {
            self.name = Some(name.to_owned());
        }
        let parts = right.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
        let Some((identity, rest)) = parts else {
            return Err(fault(number, None, "the identity does not stand in apostrophes"));
        };
        let Some(key) = rest.trim_start().strip_prefix(',') else {
            return Err(fault(number, None, "no comma and no key follow the identity"));
        };
        let device_secret = secret(number, key.trim())?;
        let name = self.name.take();
        let device_key = identity.to_owned();
        Ok((number, RawRow { device_key, device_secret: Some(device_secret), name, product_key: None }))
    }

    /// What the last line was that had no credentials behind it.
    fn end_last(&mut self) -> Option<Read> {
        let (number, left, right) = self.last.take()?;
        if self.is_store {
            return Some(Err(fault(number, None, "the device has no .psk= line behind it")));
        }
        let row = |device_secret| {
            (number, RawRow { device_key: left, device_secret: Some(device_secret), ..RawRow::default() })
        };
        Some(secret(number, &right).map(row))
    }
}

/// The secret that a key is. No message quotes it.
fn secret(number: u64, key: &str) -> Result<String, ImportFault> {
    let of = |message: &str| Err(fault(number, Some(columns::DEVICE_SECRET), message));
    if let Some(plain) = key.strip_prefix('\'') {
        return match plain.strip_suffix('\'') {
            Some("") => of("it is empty"),
            Some(plain) => Ok(plain.to_owned()),
            None => of("an apostrophe is opened but not closed"),
        };
    }
    let bytes = match key.strip_prefix(":0x") {
        Some(digits) => match hexadecimal(digits) {
            Some(bytes) => bytes,
            None => return of("it is not hexadecimal"),
        },
        None => match base64(key) {
            Some(bytes) => bytes,
            None => return of(NOT_BASE64),
        },
    };
    if bytes.is_empty() {
        return of("it is empty");
    }
    let is_text = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) if is_text => text.to_owned(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

fn hexadecimal(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let bytes = pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?));
    bytes.collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

/// RFC 4648, sections 4 and 5, with padding or without.
fn base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    if text.len() % 4 == 1 {
        return None;
    }
    let (mut bytes, mut bits, mut held) = (Zeroizing::new(Vec::new()), 0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Entry, Format, Rows},
        *,
    };

    /// Rows as `line key secret name`, and faults as `line: message`.
    fn read(text: &str) -> Vec<String> {
        let mut rows = Rows::open_as(text.as_bytes(), "pk", Some(Format::KeyList)).unwrap();
        let mut found = Vec::new();
        while let Some(entry) = rows.next().unwrap() {
            found.push(match entry {
                Entry::Row(row) => {
                    let secret = row.device_secret.expect("each has one");
                    let name = row.name.unwrap_or_default();
                    format!("{} {} {} {name}", row.line, row.device_key, secret.expose())
                }
                Entry::Fault(fault) => format!("{}: {}", fault.line, fault.message),
            });
        }
        found
    }

    #[test]
    fn a_list_of_identities_has_a_row_on_each_line() {
        let text = "# keys\n\nd1=c2VjcmV0UFNL\nd2 = :0x00FF10\nd3='plain text'\n867725030096431=AP8Q\n";
        assert_eq!(
            read(text),
            ["3 d1 secretPSK ", "4 d2 00ff10 ", "5 d3 plain text ", "6 867725030096431 00ff10 "]
        );
        assert_eq!(read(""), Vec::<String>::new());
        assert_eq!(
            read("d1\nd2=!\nd3=:0x1\nd4='a\nd5=\n"),
            [
                "1: it is not identity=key",
                "2: it is not base64; hexadecimal begins with :0x, plain text stands in apostrophes",
                "3: it is not hexadecimal",
                "4: an apostrophe is opened but not closed",
                "5: it is empty",
            ]
        );
    }

    #[test]
    fn a_store_of_devices_has_names_groups_and_keys_that_are_not_imported() {
        let text = "Demo1=Thing\n.psk='Client_identity',c2VjcmV0UFNL\n.rpk=MFkwEwYHKoZIzj0C\n\n\
                    Demo2.group=Thing\n.psk='d2',:0xabcd\nDemo3.psk='d3','plain'\n\
                    Demo4=Thing\nDemo5=Thing\n.psk=d5,AAAA\n";
        assert_eq!(
            read(text),
            [
                "2 Client_identity secretPSK Demo1",
                "6 d2 abcd Demo2",
                "7 d3 plain Demo3",
                "8: the device has no .psk= line behind it",
                "10: the identity does not stand in apostrophes",
            ]
        );
    }

    #[test]
    fn base64_is_read_with_padding_and_without_and_anything_else_is_none() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg==", b"f"), ("Zm8", b"fo"), ("Zm9v", b"foo"), ("-_8=", b"\xfb\xff")]
        {
            assert_eq!(base64(text).as_deref().map(Vec::as_slice), Some(bytes), "{text}");
        }
        for text in ["Z", "Zm9vZ", "Z m9", "Zm9v!"] {
            assert_eq!(base64(text), None, "{text}");
        }
    }
}
