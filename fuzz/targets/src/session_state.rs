//! Two ends of a session and a network between them that does what the script says.

use narrowgate_dtls::{Opened, Session};

use crate::script::{Counting, Protection, Script, session_pair};

/// Records on their way at most.
const KEPT_MAX: usize = 24;
/// Behind the highest number a record may be this late.
const WINDOW: u64 = 64;

/// One direction: what was sealed, and what the receiver's window may look like.
#[derive(Default)]
struct Direction {
    records: Vec<Sent>,
    /// One more than the highest number sealed.
    sealed_below: u64,
    /// One more than the highest number opened.
    opened_below: u64,
    /// Below this nothing opens: the receiver was restored.
    floor: u64,
}

struct Sent {
    sequence: u64,
    bytes: Vec<u8>,
    plaintext: Option<u8>,
    opened: bool,
}

/// What is opened was sealed, is opened once, and is what was sealed; a record that was not opened yet opens
/// while the window reaches it; a changed record does not open; a record number is sealed once, over restarts
/// of a side too.
pub fn session_state(data: &[u8]) {
    let mut script = Script::new(data);
    let (a, b) = session_pair(Protection::choose(script.byte()));
    let mut ends = [a, b];
    // What the side with this index sends.
    let mut directions = [Direction::default(), Direction::default()];
    while let Some(command) = script.next() {
        let side = usize::from(command & 1);
        let other = 1 - side;
        match command >> 1 & 7 {
            0 | 1 => seal(&mut ends[side], &mut directions[side], Some(script.byte())),
            2 => deliver(&mut ends[other], &mut directions[side], &mut script, false),
            3 => deliver(&mut ends[other], &mut directions[side], &mut script, true),
            4 => {
                let direction = &mut directions[side];
                if let Some(index) = script.choose(direction.records.len()) {
                    direction.records.remove(index);
                }
            }
            5 => {
                let gap = 1 << (script.byte() % 32);
                let next = ends[side].next_sequence();
                // A side that was restored a few times uses up what was reserved.
                ends[side].skip_to_sequence(if command & 0x10 == 0 {
                    next + gap
                } else {
                    next.saturating_sub(gap)
                });
                assert!(ends[side].next_sequence() >= next, "numbers only grow");
            }
            6 => restart(&mut ends[side], &mut directions[other]),
            _ => seal(&mut ends[side], &mut directions[side], None),
        }
    }
}

/// `None` seals a close_notify.
fn seal(session: &mut Session, direction: &mut Direction, plaintext: Option<u8>) {
    let mut bytes = Vec::new();
    let sequence = session.next_sequence();
    match plaintext {
        Some(byte) => {
            let content = [byte; 40];
            let _ = session.seal(&content[..usize::from(byte % 40)], &mut Counting(byte), &mut bytes);
        }
        None => session.seal_close_notify(&mut Counting(0), &mut bytes),
    }
    if bytes.is_empty() {
        assert_eq!(session.next_sequence(), sequence);
        return;
    }
    let number = bytes[5..11].iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
    assert_eq!((number, &bytes[3..5]), (sequence, &[0, 1][..]), "the number is the next one");
    assert!(number >= direction.sealed_below, "number {number} is sealed twice");
    direction.sealed_below = number + 1;
    if direction.records.len() == KEPT_MAX {
        direction.records.remove(0);
    }
    direction.records.push(Sent { sequence, bytes, plaintext, opened: false });
}

/// Delivers a record as it is, or changed. It stays, so it can come again.
fn deliver(receiver: &mut Session, direction: &mut Direction, script: &mut Script<'_>, changed: bool) {
    let Some(index) = script.choose(direction.records.len()) else { return };
    let sent = &mut direction.records[index];
    let mut copy = [0; 256];
    let copy = &mut copy[..sent.bytes.len()];
    copy.copy_from_slice(&sent.bytes);
    if changed {
        let position = usize::from(script.byte()) % copy.len();
        copy[position] ^= script.byte().max(1);
        let before = receiver.received_below();
        assert!(receiver.open(copy).is_err(), "a changed record opened");
        assert_eq!(receiver.received_below(), before);
        return;
    }
    let reachable =
        sent.sequence >= direction.floor && sent.sequence + WINDOW >= direction.opened_below.max(1);
    let failed = receiver.failed_opens();
    match (receiver.open(copy), sent.plaintext) {
        (Ok(_), _) if sent.opened => panic!("record {} was opened twice", sent.sequence),
        (Ok(Opened::Application(content)), Some(byte)) => {
            assert_eq!(content, &[byte; 40][..usize::from(byte % 40)], "what was sealed is opened");
        }
        (Ok(Opened::Empty), Some(byte)) => assert_eq!(byte % 40, 0),
        (Ok(Opened::CloseNotify), None) => {}
        (Ok(opened), _) => panic!("{opened:?} was never sealed"),
        (Err(narrowgate_dtls::Discard::EmptyFlood), Some(byte)) => assert_eq!(byte % 40, 0),
        (Err(reason), _) => {
            assert!(sent.opened || !reachable, "record {} is dropped: {reason:?}", sent.sequence);
            assert_eq!(receiver.failed_opens(), failed, "an authentic record is no forgery");
            return;
        }
    }
    sent.opened = true;
    direction.opened_below = direction.opened_below.max(sent.sequence + 1);
    assert_eq!(receiver.received_below(), direction.opened_below);
}

/// The process of a side ends; the next one goes on from the newest copy. `incoming` is what the other side
/// sends.
fn restart(session: &mut Session, incoming: &mut Direction) {
    let copy = session.save(8);
    if copy.reserved_below() >= 1 << 47 {
        return;
    }
    session.mark_saved(&copy);
    let mut next = Session::restore(&copy).expect("our own copy");
    assert!(next.next_sequence() >= session.next_sequence(), "no number is used again");
    assert_eq!(next.received_below(), session.received_below());
    let reserved = next.save(1 << 40);
    next.mark_saved(&reserved);
    *session = next;
    incoming.floor = incoming.opened_below;
}
