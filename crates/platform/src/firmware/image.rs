//! An image of firmware, and how it is offered to a device.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc};

use serde::Serialize;
use thiserror::Error;

use super::Rollout;
use crate::{ids::UnixMillis, ports::Entropy, rules::names};

/// Characters of an image's id.
pub const IMAGE_ID_LEN: usize = 8;
/// Bytes of the ETag of an image: the first ones of its SHA-256, as many as an ETag may have (RFC 7252,
/// 5.10.6).
pub const ETAG_BYTES: usize = 8;
/// Bytes of the longest version, of an image and of a device.
pub const VERSION_BYTES_MAX: usize = 64;

/// The port that a `coaps` URI means where it names none (RFC 7252, 6.2).
const COAPS_PORT: u16 = 5684;

/// Bytes of the largest image, where nothing else is set.
pub const IMAGE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of the largest image that a device can fetch: blocks of 1024 bytes, with numbers of 20 bits (RFC
/// 7959, 2.2).
pub const IMAGE_BYTES_FETCHABLE: u64 = 1 << 30;
/// Images of a product that are kept.
pub const IMAGES_PER_PRODUCT_MAX: usize = 100;

/// The name of an image in paths: 8 of `[A-Za-z0-9]`, drawn by chance, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId([u8; IMAGE_ID_LEN]);

impl ImageId {
    /// Draws a new one.
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let text = names::new_asset_id(entropy);
        text.parse().expect("an asset id has the same form")
    }

    /// As it stands in paths.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("letters and digits were checked")
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no id of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoImageId;

impl FromStr for ImageId {
    type Err = NoImageId;

    fn from_str(text: &str) -> Result<Self, NoImageId> {
        let id: [u8; IMAGE_ID_LEN] = text.as_bytes().try_into().map_err(|_| NoImageId)?;
        let is_plain = id.iter().all(u8::is_ascii_alphanumeric);
        is_plain.then_some(Self(id)).ok_or(NoImageId)
    }
}

/// The SHA-256 of an image. Shown and read as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Sum(pub [u8; 32]);

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSha256;

impl FromStr for Sha256Sum {
    type Err = NoSha256;

    fn from_str(text: &str) -> Result<Self, NoSha256> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let mut sum = [0; 32];
        if text.len() != 2 * sum.len() {
            return Err(NoSha256);
        }
        for (byte, pair) in sum.iter_mut().zip(text.as_bytes().chunks(2)) {
            let high = digit(pair[0]).ok_or(NoSha256)?;
            *byte = high << 4 | digit(pair[1]).ok_or(NoSha256)?;
        }
        Ok(Self(sum))
    }
}

/// An image of a product, and the rollout of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name in paths.
    pub id: ImageId,
    /// For the devices of which product.
    pub product_key: String,
    /// What a device says that runs it; unique among the images of a product.
    pub version: String,
    /// Bytes; at least 1.
    pub size: u64,
    /// Of its bytes.
    pub sha256: Sha256Sum,
    /// When all of it was there.
    pub uploaded: UnixMillis,
    /// Who gets it; `None`: it was not offered to anybody.
    pub rollout: Option<Rollout>,
}

impl Image {
    /// The ETag of its blocks.
    pub fn etag(&self) -> [u8; ETAG_BYTES] {
        std::array::from_fn(|at| self.sha256.0[at])
    }
}

/// The server as its devices name it in a URI: `HOST[:PORT]`. A device fetches an image in the session that
/// it has; the name is for clients that take nothing but a whole URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// Of a host and its port, which is left out where it is that of `coaps`. An IPv6 address stands in
    /// brackets.
    pub fn new(host: &str, port: u16) -> Self {
        let is_bare = host.contains(':') && !host.starts_with('[');
        let host = if is_bare { format!("[{host}]") } else { host.to_owned() };
        Self(if port == COAPS_PORT { host.into() } else { format!("{host}:{port}").into() })
    }

    /// Of an address.
    pub fn of(address: SocketAddr) -> Self {
        Self::new(&address.ip().to_string(), address.port())
    }

    /// With its port, also where that is the one of `coaps`.
    pub fn with_port(&self) -> String {
        let has_port = self.0.contains(':') && !self.0.ends_with(']');
        if has_port { self.0.to_string() } else { format!("{}:{COAPS_PORT}", self.0) }
    }

    /// The port where a text names none.
    pub const fn default_port() -> u16 {
        COAPS_PORT
    }
}

impl Default for ServerName {
    fn default() -> Self {
        Self("localhost".into())
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an upgrade command says, and one entry of the list of versions that a device may fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeOffer {
    /// The version.
    pub version: String,
    /// SHA-256 of the image, 64 lowercase hexadecimal digits.
    pub sign: String,
    /// `SHA256`
    pub sign_method: &'static str,
    /// Where the image is, in the session of the device: `coaps://HOST[:PORT]/ota/{imageId}`.
    pub file_url: String,
    /// Bytes of the image.
    pub file_size: u64,
}

impl UpgradeOffer {
    /// How an image is offered by a server of this name.
    pub fn of(image: &Image, server: &ServerName) -> Self {
        Self {
            version: image.version.clone(),
            sign: image.sha256.to_string(),
            sign_method: "SHA256",
            file_url: format!("coaps://{server}/ota/{}", image.id),
            file_size: image.size,
        }
    }

    /// The parameters of the command: JSON.
    pub fn params_json(&self) -> String {
        serde_json::to_string(self).expect("strings and a number can be written, into memory")
    }
}

/// Why a text is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VersionFault {
    /// It has no character.
    #[error("is empty")]
    Empty,
    /// It has more than [`VERSION_BYTES_MAX`].
    #[error("has {0} bytes; at most {VERSION_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// It has a character that cannot be seen.
    #[error("has a control character at byte {0}")]
    Control(usize),
    /// Two versions would look alike.
    #[error("begins or ends with a space")]
    Space,
}

/// Whether a text may be a version, of an image or of a device.
///
/// # Errors
/// What is wrong with it.
pub fn check_version(version: &str) -> Result<(), VersionFault> {
    if version.is_empty() {
        return Err(VersionFault::Empty);
    }
    if version.len() > VERSION_BYTES_MAX {
        return Err(VersionFault::TooLong(version.len()));
    }
    if let Some((at, _)) = version.char_indices().find(|(_, character)| character.is_control()) {
        return Err(VersionFault::Control(at));
    }
    if version.trim() != version {
        return Err(VersionFault::Space);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_eight_letters_and_digits() {
        assert_eq!("Ab3dEf7h".parse::<ImageId>().map(|id| id.to_string()), Ok("Ab3dEf7h".to_owned()));
        for text in ["", "Ab3dEf7", "Ab3dEf7hi", "Ab3dEf7.", "../etc/x", "Ab3dEfä", "Ab3 Ef7h"] {
            assert_eq!(text.parse::<ImageId>(), Err(NoImageId), "{text}");
        }
    }

    #[test]
    fn a_sum_is_read_as_it_is_shown() {
        let text = "00ff".repeat(16);
        let sum: Sha256Sum = text.parse().unwrap();
        assert_eq!((sum.to_string(), text.to_uppercase().parse()), (text, Ok(sum)));
        for text in [String::new(), "0".repeat(63), "0".repeat(65), "g".repeat(64), "ä".repeat(32)] {
            assert_eq!(text.parse::<Sha256Sum>(), Err(NoSha256), "{text}");
        }
    }

    #[test]
    fn a_version_is_short_visible_and_not_empty() {
        for version in ["1", "2.4.1-rc1+b7", "v 2", &"x".repeat(64)] {
            assert_eq!(check_version(version), Ok(()), "{version}");
        }
        for (version, fault) in [
            ("", VersionFault::Empty),
            (&*"x".repeat(65), VersionFault::TooLong(65)),
            ("1\n2", VersionFault::Control(1)),
            (" 1", VersionFault::Space),
        ] {
            assert_eq!(check_version(version), Err(fault));
        }
    }

    #[test]
    fn an_offer_says_what_the_protocol_says() {
        let image = Image {
            id: "Ab3dEf7h".parse().unwrap(),
            product_key: "p".into(),
            version: "2.0".into(),
            size: 9,
            sha256: Sha256Sum([0xab; 32]),
            uploaded: UnixMillis(0),
            rollout: None,
        };
        let sign = "ab".repeat(32);
        let expected = [
            r#"{"version":"2.0","sign":""#,
            &sign,
            r#"","signMethod":"SHA256","fileUrl":"coaps://gateway.example/ota/Ab3dEf7h","fileSize":9}"#,
        ]
        .concat();
        let server = ServerName::new("gateway.example", 5684);
        assert_eq!(UpgradeOffer::of(&image, &server).params_json(), expected);
        assert_eq!(image.etag(), [0xab; 8]);
    }

    #[test]
    fn a_server_is_named_as_in_a_uri() {
        for (host, port, name) in [
            ("gateway.example", 5684, "gateway.example"),
            ("gateway.example", 5685, "gateway.example:5685"),
            ("192.0.2.1", 5684, "192.0.2.1"),
            ("2001:db8::1", 5684, "[2001:db8::1]"),
            ("[2001:db8::1]", 40_000, "[2001:db8::1]:40000"),
        ] {
            assert_eq!(ServerName::new(host, port).to_string(), name);
        }
        let of = |address: &str| ServerName::of(address.parse().unwrap()).to_string();
        assert_eq!([of("127.0.0.1:5684"), of("[::1]:9")], ["127.0.0.1", "[::1]:9"]);
    }
}
