//! ClientKeyExchange and ServerKeyExchange of the PSK key exchange (RFC 4279, section 2): one vector
//! <0..2^16-1> each, the identity and the identity hint. Our server sends no hint, hence no
//! ServerKeyExchange; our client ignores one.

use crate::{
    codes::HandshakeType,
    message::emit,
    wire::{Malformed, Reader, put_vector16},
};

/// The identity in a ClientKeyExchange, or the hint in a ServerKeyExchange: opaque bytes.
pub(crate) fn parse(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let identity = reader.vector16()?;
    reader.finish()?;
    Ok(identity)
}

/// A whole ClientKeyExchange.
pub(crate) fn emit_client(message_seq: u16, identity: &[u8]) -> Vec<u8> {
    emit(HandshakeType::CLIENT_KEY_EXCHANGE, message_seq, |out| put_vector16(out, identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MESSAGE_HEADER_BYTES;

    #[test]
    fn attack_073_the_length_must_fit_exactly() {
        assert_eq!(parse(&[0, 2, b'a', b'b']), Ok(&b"ab"[..]));
        assert_eq!(parse(&[0, 0]), Ok(&b""[..]));
        assert_eq!(parse(&[0xff, 0xff, 1, 2, 3]), Err(Malformed));
        assert_eq!(parse(&[0, 1, b'a', b'b']), Err(Malformed));
        assert_eq!(parse(&[0]), Err(Malformed));
    }

    #[test]
    fn an_identity_round_trips() {
        let message = emit_client(2, b"MuGsF6W4,15bBZlRknc,2,3600");
        assert_eq!(parse(&message[MESSAGE_HEADER_BYTES..]), Ok(&b"MuGsF6W4,15bBZlRknc,2,3600"[..]));
    }
}
