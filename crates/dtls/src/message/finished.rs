//! Finished (RFC 5246, section 7.4.9): 12 bytes of verify_data.
//!
//! A peer whose datagrams are short may fragment even this message (RFC 6347, section 4.2.3). Its pieces
//! arrive in authentic records only, so they are reassembled apart from the messages of epoch 0, in a buffer
//! as long as the message.

use crate::{
    codes::HandshakeType,
    discard::Discard,
    message::{MESSAGE_HEADER_BYTES, MessageHeader},
    schedule::VerifyData,
    wire::Reader,
};

/// Length of verify_data.
pub(crate) const BODY_BYTES: usize = 12;

/// Bytes of the whole message.
pub(crate) const MESSAGE_BYTES: usize = MESSAGE_HEADER_BYTES + BODY_BYTES;

/// One bit for each byte that has arrived.
const ALL_THERE: u16 = (1 << BODY_BYTES) - 1;

/// Header of the whole message.
pub(crate) fn header(message_seq: u16) -> MessageHeader {
    MessageHeader::unfragmented(HandshakeType::FINISHED, message_seq, BODY_BYTES)
}

/// The whole message.
pub(crate) fn emit(message_seq: u16, verify_data: &VerifyData) -> [u8; MESSAGE_BYTES] {
    let mut message = [0; MESSAGE_BYTES];
    message[..MESSAGE_HEADER_BYTES].copy_from_slice(&header(message_seq).to_bytes());
    message[MESSAGE_HEADER_BYTES..].copy_from_slice(&verify_data.0);
    message
}

/// The message in pieces of at most `chunk_max` bytes of verify_data; at least 1.
pub(crate) fn fragments(
    message: &[u8; MESSAGE_BYTES],
    chunk_max: usize,
) -> impl Iterator<Item = Vec<u8>> + '_ {
    let (whole, body) = message.split_at(MESSAGE_HEADER_BYTES);
    let message_seq = u16::from_be_bytes([whole[4], whole[5]]);
    body.chunks(chunk_max).enumerate().map(move |(index, chunk)| {
        let fragment = MessageHeader {
            fragment_offset: index * chunk_max,
            fragment_length: chunk.len(),
            ..header(message_seq)
        };
        [&fragment.to_bytes()[..], chunk].concat()
    })
}

/// A Finished that is being received, whole or in pieces, in any order.
#[derive(Debug)]
pub(crate) struct Pieces {
    message_seq: u16,
    body: [u8; BODY_BYTES],
    /// Bit n: byte n has arrived.
    there: u16,
}

impl Pieces {
    /// Awaits the Finished with this message_seq.
    pub(crate) fn new(message_seq: u16) -> Self {
        Self { message_seq, body: [0; BODY_BYTES], there: 0 }
    }

    /// The message_seq that it awaits.
    pub(crate) fn message_seq(&self) -> u16 {
        self.message_seq
    }

    /// Adds the content of an authentic handshake record, which may hold pieces of the Finished and nothing
    /// else. Returns verify_data once it is complete. Overlapping pieces must agree, or the later one is
    /// dropped.
    pub(crate) fn insert(&mut self, content: &[u8]) -> Result<Option<[u8; BODY_BYTES]>, Discard> {
        let mut reader = Reader::new(content);
        loop {
            let (header, bytes) = MessageHeader::parse(&mut reader)?;
            self.insert_piece(&header, bytes)?;
            if reader.is_empty() {
                return Ok((self.there == ALL_THERE).then_some(self.body));
            }
        }
    }

    fn insert_piece(&mut self, header: &MessageHeader, bytes: &[u8]) -> Result<(), Discard> {
        if header.message_type != HandshakeType::FINISHED {
            return Err(Discard::UnexpectedMessage);
        }
        if header.message_seq != self.message_seq {
            return Err(Discard::MessageSequence);
        }
        if header.length != BODY_BYTES {
            return Err(Discard::Malformed);
        }
        // The header was parsed, so the range is within the message.
        let range = header.fragment_offset..header.fragment_offset + bytes.len();
        let conflict = range
            .clone()
            .zip(bytes)
            .any(|(index, &byte)| self.there & 1 << index != 0 && self.body[index] != byte);
        if conflict {
            return Err(Discard::FragmentConflict);
        }
        self.body[range.clone()].copy_from_slice(bytes);
        self.there |= range.fold(0, |bits, index| bits | 1 << index);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message() -> [u8; MESSAGE_BYTES] {
        emit(3, &VerifyData(*b"0123456789ab"))
    }

    #[test]
    fn it_round_trips() {
        assert_eq!(Pieces::new(3).insert(&message()), Ok(Some(*b"0123456789ab")));
    }

    #[test]
    fn other_messages_numbers_and_sizes_are_dropped() {
        let mut pieces = Pieces::new(3);
        assert_eq!(pieces.insert(&[]), Err(Discard::Malformed));
        assert_eq!(pieces.insert(&message()[..23]), Err(Discard::Malformed));
        assert_eq!(pieces.insert(&[&message()[..], b"x"].concat()), Err(Discard::Malformed));
        assert_eq!(pieces.insert(&emit(4, &VerifyData([0; 12]))), Err(Discard::MessageSequence));
        let mut other = message();
        other[0] = 16;
        assert_eq!(pieces.insert(&other), Err(Discard::UnexpectedMessage));
        let longer = [20, 0, 0, 13, 0, 3, 0, 0, 0, 0, 0, 1, b'0'];
        assert_eq!(pieces.insert(&longer), Err(Discard::Malformed));
    }

    #[test]
    fn pieces_that_contradict_are_dropped_and_the_first_stays() {
        let mut pieces = Pieces::new(3);
        let mut sent: Vec<_> = fragments(&message(), 5).collect();
        assert_eq!(pieces.insert(&sent[0]), Ok(None));
        sent[0][12] ^= 1;
        assert_eq!(pieces.insert(&sent[0]), Err(Discard::FragmentConflict));
        assert_eq!(pieces.insert(&sent[2]), Ok(None));
        assert_eq!(pieces.insert(&sent[1]), Ok(Some(*b"0123456789ab")));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_in_any_order_make_the_message(
            (chunk_max, order) in (1usize..=12).prop_flat_map(|chunk_max| {
                let indices: Vec<_> = (0..BODY_BYTES.div_ceil(chunk_max)).collect();
                (Just(chunk_max), Just(indices).prop_shuffle())
            }),
            together: bool,
        ) {
            let sent: Vec<_> = fragments(&message(), chunk_max).collect();
            let mut pieces = Pieces::new(3);
            let mut last = Ok(None);
            if together {
                let all: Vec<_> = order.iter().map(|&index| &sent[index][..]).collect();
                last = pieces.insert(&all.concat());
            } else {
                for index in order {
                    prop_assert_eq!(last, Ok(None));
                    last = pieces.insert(&sent[index]);
                }
            }
            prop_assert_eq!(last, Ok(Some(*b"0123456789ab")));
        }

        #[test]
        fn any_bytes_never_panic(contents: Vec<Vec<u8>>) {
            let mut pieces = Pieces::new(3);
            for content in contents {
                let _ = pieces.insert(&content);
            }
        }
    }
}
