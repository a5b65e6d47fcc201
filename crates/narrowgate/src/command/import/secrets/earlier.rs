//! Reads the file that an earlier import left.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead as _, BufReader},
};

use narrowgate_api::secret::SecretText;
use narrowgate_http::device_file::csv;

use super::{HEADER, NO_ASSET_ID};

/// Bytes of the longest line: two keys of 128 characters, all of them quotes, and the rest.
const LINE_BYTES_MAX: usize = 1024;

/// Characters of a generated secret.
const SECRET_CHARACTERS: usize = 20;

/// The lines of a file.
#[derive(Default)]
pub(super) struct Earlier {
    /// Bytes of complete lines; what follows is incomplete.
    pub(super) length: u64,
    /// By device key.
    pub(super) lines: HashMap<String, Kept>,
    /// How many lines have an asset id.
    pub(super) in_force: u64,
    /// Whether the import finished: each line has an asset id, and nothing follows.
    pub(super) is_finished: bool,
}

/// A line.
pub(super) struct Kept {
    /// Where it begins.
    pub(super) offset: u64,
    pub(super) has_asset_id: bool,
    pub(super) secret: SecretText,
}

impl Earlier {
    /// Reads a file; the inner error says why it is not a file of this product's secrets. What a crash left
    /// at its end is dropped: no secret was used before its line was durable.
    pub(super) fn read(file: &File, product_key: &str) -> io::Result<Result<Self, String>> {
        let mut earlier = Self::default();
        let (mut input, mut bytes) = (BufReader::new(file), Vec::new());
        let (mut offset, mut is_torn, mut ends_empty) = (0, false, true);
        for number in 1_u64.. {
            bytes.clear();
            let length = io::Read::take(&mut input, LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes)?;
            if length == 0 {
                break;
            }
            let line = bytes.strip_suffix(b"\n").filter(|line| !line.contains(&0));
            match (number, line) {
                (1, _) if bytes == HEADER.as_bytes() => {}
                // A header that was cut off.
                (1, None) if HEADER.as_bytes().starts_with(&bytes) => is_torn = true,
                (1, _) => return Ok(Err("its header is not that of a file of generated secrets".into())),
                (_, None) if length < LINE_BYTES_MAX || bytes.contains(&0) => is_torn = true,
                (_, line) => match earlier.take(line.unwrap_or(&bytes), offset, product_key, is_torn) {
                    Ok(()) => {}
                    Err(reason) => return Ok(Err(format!("line {number}: {reason}"))),
                },
            }
            offset += length as u64;
            ends_empty = bytes == b"\n";
            if !is_torn && !ends_empty {
                earlier.length = offset;
            }
        }
        earlier.is_finished = !is_torn && !ends_empty && earlier.in_force == earlier.lines.len() as u64;
        Ok(Ok(earlier))
    }

    /// Adds a line. After a torn line no secret can be in force, and no line is added.
    fn take(
        &mut self,
        line: &[u8],
        offset: u64,
        product_key: &str,
        is_torn: bool,
    ) -> Result<(), &'static str> {
        if line.is_empty() {
            return Ok(());
        }
        let fields = std::str::from_utf8(line).ok().and_then(|line| csv::split(line).ok());
        let mut fields = fields.unwrap_or_default();
        let [asset_id, product, device_key, secret] = &mut fields[..] else {
            return Err("it does not have the four fields of the header");
        };
        if product.text != product_key {
            return Err("it belongs to another product");
        }
        // A partly written asset id is filled in again.
        let id_length = asset_id.text.len();
        let is_at_start = line.get(NO_ASSET_ID.len()) == Some(&b',');
        if !is_at_start || id_length > NO_ASSET_ID.len() || !is_alphanumeric(&asset_id.text) {
            return Err("its asset id is not valid");
        }
        if secret.text.len() != SECRET_CHARACTERS || !is_alphanumeric(&secret.text) {
            return Err("its secret is not a generated one");
        }
        let has_asset_id = id_length == NO_ASSET_ID.len();
        if is_torn {
            return if has_asset_id { Err("it follows a damaged line") } else { Ok(()) };
        }
        let secret = SecretText::new(std::mem::take(&mut secret.text));
        let kept = Kept { offset, has_asset_id, secret };
        match self.lines.insert(std::mem::take(&mut device_key.text), kept) {
            None => self.in_force += u64::from(has_asset_id),
            Some(_) => return Err("its device already has a line"),
        }
        Ok(())
    }
}

fn is_alphanumeric(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
