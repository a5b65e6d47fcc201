//! Handshake headers and reassembly: the bytes are fragments, one after another.

use narrowgate_dtls::{
    Discard, limits,
    test_support::{Fragment, Fragments},
};

/// More fragments than this find nothing new.
const FRAGMENTS_MAX: usize = 48;

/// A message that is put together consists of bytes that came in accepted fragments of this message; messages
/// come in order; memory stays below its limit; a message that comes whole is there at once; headers
/// round-trip.
pub fn handshake(data: &[u8]) {
    let Some((&first, mut content)) = data.split_first() else { return };
    let mut reassembly = Fragments::new(u16::from(first & 3));
    let mut accepted: Vec<Fragment<'_>> = Vec::new();
    for _ in 0..FRAGMENTS_MAX {
        let (fragment, rest) = match Fragment::parse(content) {
            Ok(parsed) => parsed,
            Err(reason) => return check_refusal(content, reason),
        };
        assert_eq!(fragment.header_bytes(), content[..12], "a header round-trips");
        assert!(
            fragment.offset + fragment.bytes.len() <= fragment.length
                && fragment.length <= limits::MESSAGE_BYTES_MAX
        );
        content = rest;
        let awaited = reassembly.next();
        let outcome = reassembly.insert(&fragment);
        match outcome {
            Ok(()) => {
                let ahead = usize::from(fragment.message_seq - awaited);
                assert!(ahead <= limits::MESSAGES_AHEAD_MAX, "only few messages are kept ahead");
                accepted.push(fragment);
            }
            Err(Discard::RepeatedMessage) => assert!(fragment.message_seq < awaited),
            Err(_) => {}
        }
        assert!(
            reassembly.heap_bytes() <= limits::HANDSHAKE_BYTES_MAX,
            "{} bytes are held",
            reassembly.heap_bytes()
        );
        let is_whole = fragment.bytes.len() == fragment.length;
        let taken = reassembly.take();
        if outcome.is_ok() && is_whole && fragment.message_seq == awaited {
            assert!(taken.is_some(), "a message that came whole is there");
        }
        if let Some((message_type, message_seq, body)) = taken {
            assert_eq!(message_seq, awaited, "messages come in order");
            check_body(message_type, message_seq, &body, &accepted);
            assert_eq!(reassembly.next(), awaited.saturating_add(1));
        }
    }
}

/// Every byte of the message came in an accepted fragment of it.
fn check_body(message_type: u8, message_seq: u16, body: &[u8], accepted: &[Fragment<'_>]) {
    let ours = |fragment: &&Fragment<'_>| {
        (fragment.message_type, fragment.message_seq, fragment.length)
            == (message_type, message_seq, body.len())
    };
    let mut at = 0;
    while at < body.len() {
        let covering = accepted.iter().filter(ours).find_map(|fragment| {
            let start = at.checked_sub(fragment.offset)?;
            let count = fragment
                .bytes
                .get(start..)?
                .iter()
                .zip(&body[at..])
                .take_while(|(sent, got)| sent == got)
                .count();
            (count > 0).then_some(count)
        });
        at += covering.expect("every byte of a message was sent");
    }
}

/// Checks that a refused fragment really exceeds a limit.
fn check_refusal(content: &[u8], reason: Discard) {
    let number = |at: usize| content[at..at + 3].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    if content.len() < 12 {
        return assert_eq!(reason, Discard::Malformed);
    }
    let (length, offset, fragment_length) = (number(1), number(6), number(9));
    let expected = if length > limits::MESSAGE_BYTES_MAX {
        Discard::MessageTooLong
    } else if offset + fragment_length > length {
        Discard::FragmentRange
    } else if fragment_length == 0 && length > 0 {
        Discard::FragmentEmpty
    } else {
        assert!(content.len() < 12 + fragment_length, "a good fragment was refused");
        Discard::Malformed
    };
    assert_eq!(reason, expected);
}
