//! The record layer: datagrams are split into records, and records are opened under fixed keys.
//!
//! The first byte chooses the protection and whether the rest is a datagram of a stranger, or a plaintext
//! that the peer has sealed (so that what lies behind the authentication is reached), perhaps with one byte
//! changed on the way.

use std::cell::RefCell;

use narrowgate_dtls::{Discard, Opened, Session, classify, split_record};

use crate::script::{Counting, Protection, Script, session_pair};

/// Bytes of a record's header.
const HEADER_BYTES: usize = 13;
/// Bytes of the shortest fragment with a tag, in any suite: a nonce and a tag of CCM_8.
const SHORTEST_TAGGED_BYTES: usize = 16;

thread_local! {
    static ROOM: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(2048));
}

/// Any datagram at a session. A record is opened only if the peer has sealed it; what is split covers the
/// datagram without a gap; what is opened is what was sealed.
pub fn record(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    let (mut peer, mut session) = session_pair(Protection::choose(choice & 3));
    ROOM.with_borrow_mut(|room| {
        room.clear();
        if choice & 4 == 0 {
            room.extend_from_slice(script.rest());
            let _ = classify(room);
            split_and_open(&mut session, room);
        } else {
            sealed(&mut peer, &mut session, choice, &mut script, room);
        }
    });
}

/// No stranger finds a tag of these keys, so nothing opens.
fn split_and_open(session: &mut Session, datagram: &mut [u8]) {
    let total = datagram.len();
    let mut covered = 0;
    let mut rest = datagram;
    while let Some((record, tail)) = split_record(rest) {
        let length = usize::from(u16::from_be_bytes([record[11], record[12]]));
        assert_eq!(record.len(), HEADER_BYTES + length, "a record is as long as it says");
        covered += record.len();
        assert_eq!(covered + tail.len(), total, "nothing is lost between records");
        let failed = session.failed_opens();
        let outcome = session.open(record).map(|_| ());
        assert!(outcome.is_err(), "a record was forged");
        let counted = session.failed_opens() - failed;
        let is_short = length < SHORTEST_TAGGED_BYTES;
        assert!(counted == 0 || outcome == Err(Discard::Unauthentic), "only forgeries are counted");
        assert!(counted <= u32::from(!is_short), "they are counted once, and too short ones never");
        rest = tail;
    }
    assert_eq!(session.received_below(), 0, "a forged record moves no window");
}

fn sealed(
    peer: &mut Session,
    session: &mut Session,
    choice: u8,
    script: &mut Script<'_>,
    room: &mut Vec<u8>,
) {
    let content_type = if choice & 8 == 0 { 20 + (choice >> 4 & 3) } else { script.byte() };
    let changed = (choice & 64 != 0).then(|| (script.byte(), script.byte().max(1)));
    let plaintext = script.rest();
    if peer.seal_as(content_type, plaintext, &mut Counting(0), room).is_err() {
        return;
    }
    assert!(
        room.len() <= HEADER_BYTES + plaintext.len() + 16 + 16 + 32,
        "a record is little longer than its content"
    );
    let (record, tail) = split_record(room).expect("a sealed record is whole");
    assert!(tail.is_empty(), "one record was sealed");
    let mut copy = [0; 2048];
    let copy = &mut copy[..record.len()];
    copy.copy_from_slice(record);
    if let Some((position, mask)) = changed {
        let position = usize::from(position) % record.len();
        record[position] ^= mask;
        let opened = session.open(record).map(|_| ());
        assert!(opened.is_err(), "byte {position} is not authenticated");
        assert_eq!(session.received_below(), 0, "a changed record moves no window");
    }
    let is_known = (20..=23).contains(&content_type);
    match session.open(copy) {
        Ok(Opened::Application(content)) => {
            assert_eq!(content_type, 23);
            assert_eq!(content, plaintext, "what was sealed is opened");
        }
        Ok(Opened::Empty) => assert!(content_type == 23 && plaintext.is_empty()),
        Ok(Opened::CloseNotify | Opened::FatalAlert(_) | Opened::WarningAlert(_)) => {
            assert!(content_type == 21 && plaintext.len() == 2);
        }
        Ok(Opened::RenegotiationAttempt) => assert!(content_type == 22 && matches!(plaintext[0], 0 | 1)),
        Ok(Opened::TooManyWarnings) => panic!("one warning was sent"),
        Ok(Opened::FinishedAgain) => panic!("there is no flight to repeat"),
        Ok(Opened::Ignored) => assert!(is_known && content_type != 23),
        Err(reason) => assert!(!is_known || content_type == 21 || content_type == 22, "{reason:?}"),
    }
    assert_eq!(session.received_below(), u64::from(is_known), "an authentic record moves the window");
}
