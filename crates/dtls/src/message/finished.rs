//! Finished (RFC 5246, section 7.4.9): 12 bytes of verify_data, always in one fragment.

use crate::codes::HandshakeType;
use crate::discard::Discard;
use crate::message::{MESSAGE_HEADER_BYTES, MessageHeader};
use crate::schedule::VerifyData;
use crate::wire::Reader;

const BODY_BYTES: usize = 12;

/// Bytes of the whole message.
pub(crate) const MESSAGE_BYTES: usize = MESSAGE_HEADER_BYTES + BODY_BYTES;

/// The whole message.
pub(crate) fn emit(message_seq: u16, verify_data: &VerifyData) -> [u8; MESSAGE_BYTES] {
    let mut message = [0; MESSAGE_BYTES];
    let header = MessageHeader::unfragmented(HandshakeType::FINISHED, message_seq, BODY_BYTES);
    message[..MESSAGE_HEADER_BYTES].copy_from_slice(&header.to_bytes());
    message[MESSAGE_HEADER_BYTES..].copy_from_slice(&verify_data.0);
    message
}

/// Reads the content of an authentic handshake record that must be a Finished: its header and verify_data.
pub(crate) fn parse(content: &[u8]) -> Result<(MessageHeader, &[u8]), Discard> {
    let mut reader = Reader::new(content);
    let (header, body) = MessageHeader::parse(&mut reader)?;
    if header.message_type != HandshakeType::FINISHED {
        return Err(Discard::UnexpectedMessage);
    }
    if body.len() != BODY_BYTES || header.length != BODY_BYTES || !reader.is_empty() {
        return Err(Discard::Malformed);
    }
    Ok((header, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_round_trips() {
        let message = emit(3, &VerifyData([8; 12]));
        let (header, body) = parse(&message).expect("our own");
        assert_eq!((header.message_seq, body), (3, &[8; 12][..]));
    }

    #[test]
    fn other_messages_and_sizes_are_dropped() {
        let mut message = emit(3, &VerifyData([8; 12]));
        assert!(parse(&message[..23]).is_err());
        message[0] = 16;
        assert_eq!(parse(&message).err(), Some(Discard::UnexpectedMessage));
    }
}
