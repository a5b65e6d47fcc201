//! Bytes as hexadecimal digits, as operators write and read them.

use narrowgate_api::words::counted;

/// Two lower-case digits for each byte.
pub fn write(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads digits of either case. White space, `:` and a leading `0x` are ignored.
///
/// # Errors
/// What is wrong with them, for people.
pub fn read(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let mut digits = Vec::with_capacity(text.len());
    for character in text.chars().filter(|character| !character.is_whitespace() && *character != ':') {
        match character.to_digit(16) {
            Some(digit) => digits.push(digit as u8),
            None => return Err(format!("has {character:?}, which is not a hexadecimal digit")),
        }
    }
    if digits.len() % 2 == 1 {
        return Err(format!("has {}; a byte has two", counted(digits.len(), "digit")));
    }
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_their_digits() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&write(&all)), Ok(all));
        assert_eq!(write(&[0, 0xaf]), "00af");
        for (text, bytes) in [("", vec![]), (" 0xAF 00\n", vec![0xaf, 0]), ("af:01", vec![0xaf, 1])] {
            assert_eq!(read(text), Ok(bytes));
        }
        assert_eq!(read("abc"), Err("has 3 digits; a byte has two".to_owned()));
        assert_eq!(read("0x0g"), Err("has 'g', which is not a hexadecimal digit".to_owned()));
        assert!(read("é1").is_err());
    }
}
