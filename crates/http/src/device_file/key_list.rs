//! Lists of pre-shared keys as Californium's programs read them. Two kinds:
//!
//! ```text
//! # a key each: identity=key             # a store of devices: a name and its group, then what it has
//! 867725030096431=c2VjcmV0UFNL           Demo1=Thing
//! 867725030096432=:0x8c3a…               .label=in the cellar
//! 867725030096433='plain text'           .psk='Client_identity',c2VjcmV0UFNL
//!                                        Demo2.psk=867725030096432,:0x8c3a…
//! ```
//!
//! A key is base64, hexadecimal behind `:0x`, or plain text in quotes; quotes are `'` or `"`, and an identity
//! may stand in them. The identity is the key of the device, and the name in a store its display name. A key
//! of printable ASCII is the device's secret as it is; the secret of any other are its hexadecimal digits.
//!
//! The group of a store looks like a key in base64. So the file is read as a whole before the first row is
//! given: a single line that only a store has makes it one. There `.psk` alone is a credential; all other
//! fields, and certificates in PEM, are passed over. A device that is banned, and what is no device (`.type`,
//! `.prov`), is a fault. In a list a key in base64 has [`BASE64_BYTES_MIN`] bytes, which no group has.
//!
//! Limits: [`LIST_BYTES_MAX`] bytes in memory, and one device.

use std::{
    collections::VecDeque,
    io::{self, Cursor},
};

use narrowgate_api::import::ImportFault;
use zeroize::Zeroizing;

use super::{
    RawRow, Unusable, columns, fault,
    lines::{Line, Lines},
    unreadable,
};

/// Bytes of a list of keys: a million identities with keys of 32 characters.
const LIST_BYTES_MAX: usize = 64 << 20;

/// Fewest bytes of a key in base64 of which no field says that it is a key.
const BASE64_BYTES_MIN: usize = 8;

/// What a store says of a device, behind its name and a dot or behind the dot alone.
const FIELDS: [&str; 14] = [
    "psk", "group", "label", "rpk", "sig", "x509", "prov", "type", "ban", "fdest", "fauth", "fdevid",
    "fresp", "fservice",
];

const QUOTES: [char; 2] = ['\'', '"'];
const UNCLOSED: &str = "a quote is opened but not closed";
const NOT_BASE64: &str = "it is not base64; hexadecimal begins with :0x, plain text stands in quotes";
const TOO_SHORT: &str = "it has fewer than 8 bytes in base64, so it may be no key; hexadecimal begins with \
                         :0x, plain text stands in quotes";

/// A row and its line, or a fault.
pub(super) type Read = Result<(u64, RawRow), ImportFault>;

/// A list that was read whole, and how far its rows were given. Only its text is held, whatever stands in it.
pub(super) struct KeyList {
    lines: Lines<Cursor<Zeroizing<Vec<u8>>>>,
    /// Where it is a store of devices.
    store: Option<Store>,
    has_ended: bool,
}

impl KeyList {
    /// Reads a whole list.
    ///
    /// # Errors
    /// It cannot be read, or is too long.
    pub(super) fn read<R: io::Read>(lines: &mut Lines<R>) -> Result<Self, Unusable> {
        let (mut text, mut is_store) = (Zeroizing::new(Vec::new()), false);
        while let Some(line) = lines.next().map_err(unreadable)? {
            is_store |= text_of(&line).is_ok_and(is_of_store);
            line.emit(&mut text);
            if text.len() > LIST_BYTES_MAX {
                let reason =
                    format!("it has more than {LIST_BYTES_MAX} bytes, and a list of keys is read whole");
                return Err(Unusable::new(reason).hint("split the file"));
            }
        }
        let (lines, store) = (Lines::of_text(Cursor::new(text)), is_store.then(Store::default));
        Ok(Self { lines, store, has_ended: false })
    }

    /// The next row or fault; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Read>, Unusable> {
        loop {
            if let Some(read) = self.store.as_mut().and_then(|store| store.read.pop_front()) {
                return Ok(Some(read));
            }
            if self.has_ended {
                return Ok(None);
            }
            let line = self.lines.next().map_err(unreadable)?;
            self.has_ended = line.is_none();
            match (line, &mut self.store) {
                (Some(line), None) => {
                    if let Some(read) = of_list(&line) {
                        return Ok(Some(read));
                    }
                }
                (Some(line), Some(store)) => store.take(&line),
                (None, Some(store)) => store.end(),
                (None, None) => {}
            }
        }
    }
}

/// A line of a list; `None` where it says nothing.
fn of_list(line: &Line) -> Option<Read> {
    match text_of(line) {
        Ok("") => None,
        Ok(text) if text.starts_with('#') => None,
        Ok(text) => Some(listed(line.number, text)),
        Err(message) => Some(Err(fault(line.number, None, message))),
    }
}

fn text_of(line: &Line) -> Result<&str, &'static str> {
    if line.is_cut {
        return Err("it is too long");
    }
    std::str::from_utf8(&line.bytes).map(str::trim).map_err(|_| "it is not UTF-8; save the file as UTF-8")
}

/// Whether only a store has such a line.
fn is_of_store(text: &str) -> bool {
    text.starts_with("-----BEGIN")
        || text.split_once('=').is_some_and(|(left, _)| field(left.trim()).is_some())
}

/// A name, which may be empty, and a field of it.
fn field(left: &str) -> Option<(&str, &str)> {
    let (name, field) = left.rsplit_once('.')?;
    let is_known = FIELDS.iter().any(|known| known.eq_ignore_ascii_case(field));
    (name.is_empty() || is_known).then_some((name, field))
}

/// A line of a list: `identity=key`.
fn listed(number: u64, text: &str) -> Read {
    let (identity, key) = identity(number, text, '=', "it is not identity=key")?;
    let device_secret = Some(secret(number, key, BASE64_BYTES_MIN)?);
    Ok((number, RawRow { device_key: identity.to_owned(), device_secret, ..RawRow::default() }))
}

/// An identity, in quotes or without, and what follows the separator behind it.
fn identity<'t>(
    number: u64,
    text: &'t str,
    separator: char,
    otherwise: &str,
) -> Result<(&'t str, &'t str), ImportFault> {
    let of = |message: &str| fault(number, Some(columns::DEVICE_KEY), message);
    let (identity, rest) = match text.strip_prefix(QUOTES) {
        Some(quoted) => {
            let (identity, rest) = quoted.split_once(&text[..1]).ok_or_else(|| of(UNCLOSED))?;
            (identity, rest.trim_start().strip_prefix(separator).ok_or_else(|| of(otherwise))?)
        }
        None => {
            let (identity, rest) = text.split_once(separator).ok_or_else(|| of(otherwise))?;
            (identity.trim(), rest)
        }
    };
    Ok((identity, rest.trim()))
}

/// A device of a store, as far as it was read.
struct Device {
    line: u64,
    name: String,
    /// Its `.psk`.
    credentials: Option<Read>,
    /// Why it is not imported.
    refused: Option<&'static str>,
}

/// Reads a store of devices.
#[derive(Default)]
struct Store {
    /// What was read and not yet given.
    read: VecDeque<Read>,
    device: Option<Device>,
    /// The line on which a certificate begins that has not ended.
    certificate: Option<u64>,
}

impl Store {
    fn take(&mut self, line: &Line) {
        let number = line.number;
        let text = match text_of(line) {
            Ok(text) => text,
            Err(message) => return self.fault(number, message),
        };
        if text.is_empty() || text.starts_with('#') || self.is_of_certificate(number, text) {
            return;
        }
        let Some((left, right)) = text.split_once('=') else {
            return self.fault(number, "it is none of NAME=GROUP, .FIELD=VALUE and a certificate");
        };
        let (left, right) = (left.trim(), right.trim());
        match field(left) {
            None => self.begin(number, left),
            Some((name, field)) => {
                if !name.is_empty() && self.device.as_ref().is_none_or(|device| device.name != name) {
                    self.begin(number, name);
                }
                self.field(number, &field.to_ascii_lowercase(), right);
            }
        }
    }

    fn end(&mut self) {
        self.end_certificate();
        self.end_device();
    }

    fn is_of_certificate(&mut self, number: u64, text: &str) -> bool {
        if text.starts_with("-----BEGIN") {
            self.end_certificate();
            self.certificate = Some(number);
            return true;
        }
        if self.certificate.is_none() {
            return false;
        }
        if text.starts_with("-----END") {
            self.certificate = None;
            return true;
        }
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        if text.trim_end_matches('=').bytes().all(is_base64) {
            return true;
        }
        self.end_certificate();
        false
    }

    /// One that has not ended was cut off.
    fn end_certificate(&mut self) {
        if let Some(line) = self.certificate.take() {
            self.fault(line, "the certificate that begins here has no end");
        }
    }

    fn begin(&mut self, line: u64, name: &str) {
        self.end_device();
        self.device = Some(Device { line, name: name.to_owned(), credentials: None, refused: None });
    }

    fn field(&mut self, number: u64, field: &str, value: &str) {
        let Some(device) = &mut self.device else {
            return self.fault(number, "no line NAME=GROUP is before it");
        };
        match field {
            "psk" if device.credentials.is_some() => {
                self.fault(number, "the device has a .psk= line already");
            }
            "psk" => device.credentials = Some(credentials(number, &device.name, value)),
            "ban" if is_yes(value) => device.refused = Some("the device is banned (.ban)"),
            "prov" if is_yes(value) => device.refused = Some("it is for provisioning (.prov), and no device"),
            "type" if !["", "dev", "device"].contains(&&*value.to_ascii_lowercase()) => {
                device.refused = Some("it is no device, as its .type says");
            }
            _ => {}
        }
    }

    fn end_device(&mut self) {
        let Some(Device { line, credentials, refused, .. }) = self.device.take() else { return };
        let fault = |message: &str| Err(fault(line, None, message));
        let read = match (credentials, refused) {
            (_, Some(refused)) => fault(refused),
            (Some(credentials), None) => credentials,
            (None, None) => fault("the device has no .psk= line; nothing else is imported"),
        };
        self.read.push_back(read);
    }

    fn fault(&mut self, line: u64, message: &str) {
        self.read.push_back(Err(fault(line, None, message)));
    }
}

fn is_yes(value: &str) -> bool {
    !["", "0", "false", "no"].contains(&&*value.to_ascii_lowercase())
}

/// `identity,key` of a device with this name.
fn credentials(number: u64, name: &str, value: &str) -> Read {
    let (identity, key) = identity(number, value, ',', "no comma and no key follow the identity")?;
    let device_secret = Some(secret(number, key, 1)?);
    let (device_key, name) = (identity.to_owned(), Some(name.to_owned()));
    Ok((number, RawRow { device_key, device_secret, name, ..RawRow::default() }))
}

/// The secret that a key is; in base64 of so many bytes at least. No message quotes it.
fn secret(number: u64, key: &str, base64_bytes_min: usize) -> Result<String, ImportFault> {
    let of = |message: &str| Err(fault(number, Some(columns::DEVICE_SECRET), message));
    if let Some(plain) = key.strip_prefix(QUOTES) {
        return match plain.strip_suffix(&key[..1]) {
            Some("") => of("it is empty"),
            Some(plain) => Ok(plain.to_owned()),
            None => of(UNCLOSED),
        };
    }
    let (bytes, bytes_min) = match key.strip_prefix(":0x") {
        Some(digits) => match hexadecimal(digits) {
            Some(bytes) => (bytes, 1),
            None => return of("it is not hexadecimal"),
        },
        None => match base64(key) {
            Some(bytes) => (bytes, base64_bytes_min),
            None => return of(NOT_BASE64),
        },
    };
    if bytes.is_empty() {
        return of("it is empty");
    }
    if bytes.len() < bytes_min {
        return of(TOO_SHORT);
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
mod tests;
