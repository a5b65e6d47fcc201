//! The devices of a load: their keys and secrets are derived from their numbers, so that client and server
//! need no common file.
//!
//! Anybody can compute these secrets. They belong only in a server that is used for measurements.

use std::io::{self, Write};

use narrowgate_dtls::CipherSuite;
use sha2::{Digest, Sha256};

use crate::{
    device::{DeviceConfig, Identity},
    key::key_of,
};

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const SECRET_CHARACTERS: usize = 20;

/// The key of the device with this number, counted from 1: `load-0000001`.
pub fn device_key(number: u32) -> String {
    format!("load-{number:07}")
}

/// The secret of the device with this number: 20 alphanumeric characters from a hash of the number.
pub fn device_secret(number: u32) -> String {
    let digest =
        Sha256::new().chain_update(b"narrowgate load ").chain_update(number.to_be_bytes()).finalize();
    let pick = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    digest[..SECRET_CHARACTERS].iter().map(pick).collect()
}

/// The number of a device key; `None` for any other key.
pub fn device_number(device_key: &str) -> Option<u32> {
    device_key.strip_prefix("load-")?.parse().ok()
}

/// The device with this number.
pub fn device_config(product_key: &str, number: u32, suite: CipherSuite) -> DeviceConfig {
    let psk = key_of(device_secret(number).as_bytes());
    DeviceConfig::new(Identity::new(product_key, device_key(number)), psk).suite(suite)
}

/// Writes the devices 1 to `count` as CSV with a header, for the server's import.
///
/// # Errors
/// Those of the writer.
pub fn write_csv(count: u32, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "deviceKey,deviceSecret")?;
    (1..=count).try_for_each(|number| writeln!(out, "{},{}", device_key(number), device_secret(number)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn devices_follow_from_their_numbers_and_differ() {
        let mut csv = Vec::new();
        write_csv(1000, &mut csv).expect("a vector takes everything");
        let csv = String::from_utf8(csv).expect("all is ASCII");
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(lines.len(), 1001);
        assert_eq!(lines[0], "deviceKey,deviceSecret");
        assert_eq!(lines[1], format!("load-0000001,{}", device_secret(1)));
        let secrets: BTreeSet<_> = (1..=1000).map(device_secret).collect();
        assert_eq!(secrets.len(), 1000);
        let legal = |secret: &String| secret.len() == 20 && secret.bytes().all(|c| c.is_ascii_alphanumeric());
        assert!(secrets.iter().all(legal));
    }

    #[test]
    fn a_key_gives_its_number_back() {
        assert_eq!(device_number(&device_key(1_234_567)), Some(1_234_567));
        assert_eq!(device_number("meter-1"), None);
        assert_eq!(device_number("load-x"), None);
    }
}
