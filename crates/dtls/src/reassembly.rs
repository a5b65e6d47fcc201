//! Reassembles handshake messages from fragments (RFC 6347, sections 4.2.2 and 4.2.3), in order of
//! message_seq.
//!
//! Limits: [`limits::MESSAGE_BYTES_MAX`] for a message and for all messages ahead together,
//! [`limits::FRAGMENTS_MAX`] fragments of a message, [`limits::MESSAGES_AHEAD_MAX`] messages ahead of the
//! awaited one. Memory is allocated only after the claimed length passed these limits. Overlapping fragments
//! must agree, or the later one is dropped.

use crate::{codes::HandshakeType, discard::Discard, limits, message::MessageHeader};

const SLOTS: usize = 1 + limits::MESSAGES_AHEAD_MAX;

/// The awaited message and those that overtook it.
#[derive(Debug)]
pub(crate) struct Reassembly {
    next: u16,
    /// Slot n belongs to message_seq `next + n`.
    slots: [Option<Partial>; SLOTS],
}

/// A complete message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) header: MessageHeader,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
struct Partial {
    message_type: HandshakeType,
    bytes: Vec<u8>,
    /// What has arrived, as disjoint ranges that do not touch, in order.
    filled: Vec<(u16, u16)>,
    fragments: usize,
}

impl Reassembly {
    /// Starts with the message that has this message_seq.
    pub(crate) fn new(next: u16) -> Self {
        Self { next, slots: [const { None }; SLOTS] }
    }

    /// message_seq of the awaited message.
    pub(crate) fn next(&self) -> u16 {
        self.next
    }

    /// Adds a fragment whose header was checked by [`MessageHeader::parse`].
    pub(crate) fn insert(&mut self, header: &MessageHeader, fragment: &[u8]) -> Result<(), Discard> {
        let ahead = usize::from(header.message_seq.checked_sub(self.next).ok_or(Discard::RepeatedMessage)?);
        if ahead >= SLOTS {
            return Err(Discard::MessageAhead);
        }
        // A whole message replaces pieces, which anybody may have sent; otherwise a stray fragment could
        // block it for good.
        let is_whole = header.fragment_length == header.length;
        self.slots[ahead].take_if(|partial| {
            is_whole && !partial.is_complete() && partial.message_type == header.message_type
        });
        if self.slots[ahead].is_none() {
            self.make_room(ahead, header.length)?;
        }
        let slot = self.slots[ahead].get_or_insert_with(|| Partial {
            message_type: header.message_type,
            bytes: vec![0; header.length],
            filled: Vec::new(),
            fragments: 0,
        });
        slot.insert(header, fragment)
    }

    /// Skips the awaited message if it came in one piece, which need not be copied: pieces of it are dropped,
    /// and the next message is awaited.
    pub(crate) fn pass(&mut self) {
        self.slots.rotate_left(1);
        self.slots[SLOTS - 1] = None;
        self.next = self.next.saturating_add(1);
    }

    /// The awaited message, once complete; the one after it is then awaited.
    pub(crate) fn take(&mut self) -> Option<Message> {
        let partial = self.slots[0].take_if(|partial| partial.is_complete())?;
        let header = MessageHeader::unfragmented(partial.message_type, self.next, partial.bytes.len());
        self.slots.rotate_left(1);
        self.next = self.next.saturating_add(1);
        Some(Message { header, body: partial.bytes })
    }

    /// Awaits the last taken message again, because it was malformed and anybody could have sent it.
    pub(crate) fn await_again(&mut self) {
        self.next = self.next.saturating_sub(1);
        self.slots.rotate_right(1);
        self.slots[0] = None;
    }

    /// Messages ahead share one budget, and are dropped in favour of the awaited one.
    fn make_room(&mut self, ahead: usize, length: usize) -> Result<(), Discard> {
        let held: usize = self.slots.iter().flatten().map(|partial| partial.bytes.len()).sum();
        if held + length <= limits::MESSAGE_BYTES_MAX {
            return Ok(());
        }
        if ahead > 0 {
            return Err(Discard::MessageAhead);
        }
        self.slots = [const { None }; SLOTS];
        Ok(())
    }

    /// Bytes held on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots
            .iter()
            .flatten()
            .map(|partial| partial.bytes.capacity() + partial.filled.capacity() * 4)
            .sum()
    }
}

impl Partial {
    fn insert(&mut self, header: &MessageHeader, fragment: &[u8]) -> Result<(), Discard> {
        if header.message_type != self.message_type || header.length != self.bytes.len() {
            return Err(Discard::FragmentConflict);
        }
        let (start, end) = (header.fragment_offset, header.fragment_offset + fragment.len());
        for &(from, to) in &self.filled {
            let (from, to) = (start.max(usize::from(from)), end.min(usize::from(to)));
            if from < to && self.bytes[from..to] != fragment[from - start..to - start] {
                return Err(Discard::FragmentConflict);
            }
        }
        if self.fragments >= limits::FRAGMENTS_MAX {
            return Err(Discard::FragmentsTooMany);
        }
        self.fragments += 1;
        self.bytes[start..end].copy_from_slice(fragment);
        self.fill(start as u16, end as u16);
        Ok(())
    }

    /// Adds a range and joins it with those that it touches.
    fn fill(&mut self, mut start: u16, mut end: u16) {
        self.filled.retain(|&(from, to)| {
            let apart = to < start || end < from;
            if !apart {
                start = start.min(from);
                end = end.max(to);
            }
            apart
        });
        let index = self.filled.partition_point(|&(from, _)| from < start);
        self.filled.insert(index, (start, end));
    }

    fn is_complete(&self) -> bool {
        self.filled == [(0, self.bytes.len() as u16)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(message_seq: u16, length: usize, offset: usize, fragment: usize) -> MessageHeader {
        MessageHeader {
            message_type: HandshakeType::CLIENT_HELLO,
            length,
            message_seq,
            fragment_offset: offset,
            fragment_length: fragment,
        }
    }

    #[test]
    fn fragments_in_any_order_make_a_message() {
        let mut reassembly = Reassembly::new(1);
        assert_eq!(reassembly.insert(&header(1, 6, 4, 2), b"ef"), Ok(()));
        assert_eq!(reassembly.insert(&header(1, 6, 0, 3), b"abc"), Ok(()));
        assert_eq!(reassembly.take(), None);
        assert_eq!(reassembly.insert(&header(1, 6, 2, 3), b"cde"), Ok(()));
        assert_eq!(reassembly.take().map(|message| message.body), Some(b"abcdef".to_vec()));
        assert_eq!(reassembly.insert(&header(1, 6, 4, 2), b"ef"), Err(Discard::RepeatedMessage));
    }

    #[test]
    fn fragments_that_contradict_are_dropped_and_the_first_stays() {
        let mut reassembly = Reassembly::new(1);
        assert_eq!(reassembly.insert(&header(1, 6, 0, 3), b"abc"), Ok(()));
        assert_eq!(reassembly.insert(&header(1, 6, 2, 2), b"Xd"), Err(Discard::FragmentConflict));
        assert_eq!(reassembly.insert(&header(1, 7, 3, 2), b"de"), Err(Discard::FragmentConflict));
        assert_eq!(reassembly.insert(&header(1, 6, 3, 3), b"def"), Ok(()));
        assert_eq!(reassembly.take().map(|message| message.body), Some(b"abcdef".to_vec()));
    }

    #[test]
    fn a_whole_message_beats_pieces_of_another() {
        let mut reassembly = Reassembly::new(1);
        assert_eq!(reassembly.insert(&header(1, 2000, 0, 1), b"x"), Ok(()));
        assert_eq!(reassembly.insert(&header(1, 3, 0, 3), b"abc"), Ok(()));
        assert_eq!(reassembly.take().map(|message| message.body), Some(b"abc".to_vec()));
    }

    #[test]
    fn attack_045_the_first_of_two_types_with_one_number_stays() {
        let mut reassembly = Reassembly::new(1);
        assert_eq!(reassembly.insert(&header(1, 4, 0, 2), b"ab"), Ok(()));
        let other = MessageHeader { message_type: HandshakeType::CLIENT_KEY_EXCHANGE, ..header(1, 4, 0, 4) };
        assert_eq!(reassembly.insert(&other, b"abcd"), Err(Discard::FragmentConflict));
    }

    #[test]
    fn attack_046_repeated_fragments_end_at_a_limit() {
        let mut reassembly = Reassembly::new(1);
        for count in 0..100_000 {
            let expected =
                if count < limits::FRAGMENTS_MAX { Ok(()) } else { Err(Discard::FragmentsTooMany) };
            assert_eq!(reassembly.insert(&header(1, 2000, 0, 1), b"a"), expected);
        }
        assert!(reassembly.heap_bytes() < 2200);
    }

    #[test]
    fn attack_047_only_two_messages_ahead_are_kept() {
        let mut reassembly = Reassembly::new(1);
        assert_eq!(reassembly.insert(&header(3, 1, 0, 1), b"c"), Ok(()));
        assert_eq!(reassembly.insert(&header(4, 1, 0, 1), b"d"), Err(Discard::MessageAhead));
        assert_eq!(reassembly.insert(&header(65535, 1, 0, 1), b"z"), Err(Discard::MessageAhead));
        assert_eq!(reassembly.insert(&header(2, 1, 0, 1), b"b"), Ok(()));
        assert_eq!(reassembly.insert(&header(1, 1, 0, 1), b"a"), Ok(()));
        let bodies: Vec<u8> =
            std::iter::from_fn(|| reassembly.take()).flat_map(|message| message.body).collect();
        assert_eq!(bodies, b"abc");
    }

    #[test]
    fn messages_ahead_give_way_to_the_awaited_one() {
        let mut reassembly = Reassembly::new(1);
        assert_eq!(reassembly.insert(&header(2, 2000, 0, 1), b"b"), Ok(()));
        assert_eq!(reassembly.insert(&header(3, 100, 0, 1), b"c"), Err(Discard::MessageAhead));
        assert_eq!(reassembly.insert(&header(1, 100, 0, 1), b"a"), Ok(()));
        assert!(reassembly.heap_bytes() < 200);
    }

    #[test]
    fn nonsense_can_be_awaited_again() {
        let mut reassembly = Reassembly::new(2);
        assert_eq!(reassembly.insert(&header(2, 1, 0, 1), b"a"), Ok(()));
        assert!(reassembly.take().is_some());
        reassembly.await_again();
        assert_eq!(reassembly.next(), 2);
        assert_eq!(reassembly.insert(&header(2, 1, 0, 1), b"b"), Ok(()));
        assert_eq!(reassembly.take().map(|message| message.body), Some(b"b".to_vec()));
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_its_limit(
            steps in proptest::collection::vec((0u16..8, 0usize..2048, 0usize..2048, 0usize..100), 0..60),
        ) {
            let mut reassembly = Reassembly::new(1);
            for (message_seq, length, offset, fragment) in steps {
                let offset = offset.min(length);
                let fragment = fragment.min(length - offset);
                let _ = reassembly.insert(&header(message_seq, length, offset, fragment), &vec![1; fragment]);
                prop_assert!(reassembly.heap_bytes() <= limits::MESSAGE_BYTES_MAX + 3 * 4 * 17);
                let _ = reassembly.take();
            }
        }

        #[test]
        fn any_cut_comes_back_whole(
            body in proptest::collection::vec(any::<u8>(), 1..500),
            mut cuts in proptest::collection::vec(0usize..500, 0..14),
            backwards: bool,
        ) {
            cuts.retain(|&cut| cut < body.len());
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            cuts.dedup();
            let mut pieces: Vec<_> = cuts.windows(2).map(|pair| (pair[0], pair[1])).collect();
            if backwards {
                pieces.reverse();
            }
            let mut reassembly = Reassembly::new(0);
            for (start, end) in pieces {
                let header = header(0, body.len(), start, end - start);
                prop_assert_eq!(reassembly.insert(&header, &body[start..end]), Ok(()));
            }
            prop_assert_eq!(reassembly.take().map(|message| message.body), Some(body));
        }
    }
}
