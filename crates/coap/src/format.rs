//! Content-Format numbers that the product uses (RFC 7252, section 12.3; RFC 8949).

/// `text/plain; charset=utf-8`.
pub const TEXT_PLAIN: u16 = 0;
/// `application/link-format` (RFC 6690).
pub const LINK_FORMAT: u16 = 40;
/// `application/octet-stream`.
pub const OCTET_STREAM: u16 = 42;
/// `application/json`.
pub const JSON: u16 = 50;
/// `application/cbor`.
pub const CBOR: u16 = 60;
