//! HelloVerifyRequest (RFC 6347, section 4.2.1): version | cookie <0..255>.

use crate::{
    codes::{ContentType, HandshakeType, Version},
    limits::COOKIE_BYTES,
    message::{MESSAGE_HEADER_BYTES, MessageHeader},
    record::{Layout, put_plaintext},
    wire::{Malformed, Reader},
};

const BODY_BYTES: usize = 2 + 1 + COOKIE_BYTES;

/// Bytes of the whole datagram: 44.
pub(crate) const DATAGRAM_BYTES: usize = Layout::Plain.header_bytes() + MESSAGE_HEADER_BYTES + BODY_BYTES;

/// Appends the whole datagram. It repeats the record number of the ClientHello, and its message_seq (reported
/// erratum 5186); its version is DTLS 1.0 whatever is negotiated later (RFC 6347 4.2.1).
pub(crate) fn put_datagram(out: &mut Vec<u8>, sequence: u64, message_seq: u16, cookie: &[u8; COOKIE_BYTES]) {
    let mut message = [0; MESSAGE_HEADER_BYTES + BODY_BYTES];
    let header = MessageHeader::unfragmented(HandshakeType::HELLO_VERIFY_REQUEST, message_seq, BODY_BYTES);
    message[..MESSAGE_HEADER_BYTES].copy_from_slice(&header.to_bytes());
    message[MESSAGE_HEADER_BYTES..][..2].copy_from_slice(&Version::DTLS_1_0.0.to_be_bytes());
    message[MESSAGE_HEADER_BYTES + 2] = COOKIE_BYTES as u8;
    message[MESSAGE_HEADER_BYTES + 3..].copy_from_slice(cookie);
    put_plaintext(out, ContentType::HANDSHAKE, Version::DTLS_1_0, sequence, &message);
}

/// The cookie in a body.
pub(crate) fn parse(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    reader.u16()?;
    let cookie = reader.vector8()?;
    reader.finish()?;
    Ok(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_44_bytes_and_repeats_the_numbers_of_the_hello() {
        let mut datagram = Vec::new();
        put_datagram(&mut datagram, 9, 2, &[7; COOKIE_BYTES]);
        assert_eq!((datagram.len(), datagram[10], &datagram[17..19]), (44, 9, &[0, 2][..]));
        assert_eq!(parse(&datagram[DATAGRAM_BYTES - BODY_BYTES..]), Ok(&[7; COOKIE_BYTES][..]));
    }
}
