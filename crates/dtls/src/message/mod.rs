//! Handshake messages, one file each. All start with the header of RFC 6347, section 4.2.2:
//! type | length u24 | message_seq u16 | fragment_offset u24 | fragment_length u24.

pub(crate) mod client_hello;
pub(crate) mod finished;
pub(crate) mod hello_verify;
pub(crate) mod key_exchange;
pub(crate) mod server_hello;

use crate::{
    codes::{ExtensionType, HandshakeType},
    discard::Discard,
    limits,
    wire::{Malformed, Reader, put_vector16},
};

/// Bytes of a handshake header.
pub(crate) const MESSAGE_HEADER_BYTES: usize = 12;

/// First allocation of a message: enough for most of ours.
const MESSAGE_BYTES_TYPICAL: usize = 96;

/// Header of a fragment, or of a whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageHeader {
    pub(crate) message_type: HandshakeType,
    /// Length of the whole body; at most [`limits::MESSAGE_BYTES_MAX`].
    pub(crate) length: usize,
    pub(crate) message_seq: u16,
    pub(crate) fragment_offset: usize,
    pub(crate) fragment_length: usize,
}

impl MessageHeader {
    /// Header of an unfragmented message.
    pub(crate) fn unfragmented(message_type: HandshakeType, message_seq: u16, length: usize) -> Self {
        Self { message_type, length, message_seq, fragment_offset: 0, fragment_length: length }
    }

    /// Reads a header and the fragment that belongs to it.
    pub(crate) fn parse<'a>(reader: &mut Reader<'a>) -> Result<(Self, &'a [u8]), Discard> {
        let header = Self::read(reader).map_err(|Malformed| Discard::Malformed)?;
        if header.length > limits::MESSAGE_BYTES_MAX {
            return Err(Discard::MessageTooLong);
        }
        // Both are 24 bits wide, so the sum cannot overflow.
        if header.fragment_offset + header.fragment_length > header.length {
            return Err(Discard::FragmentRange);
        }
        if header.fragment_length == 0 && header.length > 0 {
            return Err(Discard::FragmentEmpty);
        }
        let fragment = reader.take(header.fragment_length).map_err(|Malformed| Discard::Malformed)?;
        Ok((header, fragment))
    }

    /// Reads a header alone, whatever it claims.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            message_type: HandshakeType(reader.u8()?),
            length: reader.u24()?,
            message_seq: reader.u16()?,
            fragment_offset: reader.u24()?,
            fragment_length: reader.u24()?,
        })
    }

    /// The header that the message would have if it had not been fragmented.
    pub(crate) fn whole(&self) -> Self {
        Self::unfragmented(self.message_type, self.message_seq, self.length)
    }

    pub(crate) fn to_bytes(self) -> [u8; MESSAGE_HEADER_BYTES] {
        let mut bytes = [0; MESSAGE_HEADER_BYTES];
        let length = (self.length as u32).to_be_bytes();
        let offset = (self.fragment_offset as u32).to_be_bytes();
        let fragment_length = (self.fragment_length as u32).to_be_bytes();
        bytes[0] = self.message_type.0;
        bytes[1..4].copy_from_slice(&length[1..]);
        bytes[4..6].copy_from_slice(&self.message_seq.to_be_bytes());
        bytes[6..9].copy_from_slice(&offset[1..]);
        bytes[9..].copy_from_slice(&fragment_length[1..]);
        bytes
    }
}

/// A whole message of ours: `body` writes its body, the header is put in front.
pub(crate) fn emit(
    message_type: HandshakeType,
    message_seq: u16,
    body: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut message = Vec::with_capacity(MESSAGE_BYTES_TYPICAL);
    message.extend_from_slice(&[0; MESSAGE_HEADER_BYTES]);
    body(&mut message);
    let header = MessageHeader::unfragmented(message_type, message_seq, message.len() - MESSAGE_HEADER_BYTES);
    message[..MESSAGE_HEADER_BYTES].copy_from_slice(&header.to_bytes());
    message
}

/// Writes a vector of extensions: type | length | data.
fn put_extension(out: &mut Vec<u8>, extension: ExtensionType, data: &[u8]) {
    out.extend_from_slice(&extension.0.to_be_bytes());
    put_vector16(out, data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_round_trips() {
        let message = emit(HandshakeType::FINISHED, 3, |out| out.extend_from_slice(b"0123"));
        let (header, body) = MessageHeader::parse(&mut Reader::new(&message)).expect("well formed");
        assert_eq!(header, MessageHeader::unfragmented(HandshakeType::FINISHED, 3, 4));
        assert_eq!(body, b"0123");
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok((header, fragment)) = MessageHeader::parse(&mut reader) {
                prop_assert_eq!(header.fragment_length, fragment.len());
            }
        }
    }
}
