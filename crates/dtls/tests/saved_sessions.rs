//! Sessions over crashes of their process: attacks 17, 22, 196 and 197 where memory is lost and a durable
//! copy stays.

mod util;

use std::collections::HashSet;

use narrowgate_dtls::{Discard, Opened, SavedSession, SavedSessionError, SealError, Session};
use narrowgate_testkit::SeededRandom;
use util::{PROTECTIONS, Protection, ServerSide, World, client_config, server_config};

/// Record numbers that each copy reserves.
const AHEAD: u64 = 16;

/// A process with one session, and the disk that outlives it.
struct Process {
    session: Session,
    disk: SavedSession,
}

impl Process {
    fn new(mut session: Session) -> Self {
        let disk = session.save(AHEAD);
        session.mark_saved(&disk);
        Self { session, disk }
    }

    /// Seals a record; writes a copy first where numbers run out. `None`: it crashed at a point of the dice's
    /// choice.
    fn seal(&mut self, plaintext: &[u8], dice: &mut SeededRandom, rng: &mut SeededRandom) -> Option<Vec<u8>> {
        if self.session.reserved_left() == 0 {
            let copy = self.session.save(AHEAD);
            if dice.index(4) == 0 {
                return None;
            }
            self.disk = copy;
            if dice.index(4) == 0 {
                return None;
            }
            self.session.mark_saved(&self.disk);
        }
        let mut record = Vec::new();
        self.session.seal(plaintext, rng, &mut record).expect("a number is reserved");
        Some(record)
    }

    fn crash(&mut self) {
        self.session = Session::restore(&self.disk).expect("a whole copy");
    }
}

fn connected(protection: Protection) -> (Session, Session) {
    let mut world = World::connected(server_config(), client_config(protection));
    let ServerSide::Established(server) = std::mem::replace(&mut world.server, ServerSide::Listening) else {
        panic!("connected");
    };
    let util::ClientSide::Established(client) = world.client else { panic!("connected") };
    (*server, *client)
}

fn sealed(session: &mut Session, plaintext: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    session.seal(plaintext, &mut SeededRandom::new(3), &mut record).expect("it fits");
    record
}

#[test]
fn attack_022_and_196_no_number_is_used_twice_over_a_thousand_crashes() {
    for protection in PROTECTIONS {
        let (server, mut client) = connected(protection);
        let mut dice = SeededRandom::new(22);
        let mut rng = SeededRandom::new(22);
        let mut process = Process::new(server);
        let (mut seen, mut crashes) = (HashSet::new(), 0);
        while crashes < 1000 {
            let sealed = process.seal(b"answer", &mut dice, &mut rng).filter(|_| dice.index(20) > 0);
            let Some(mut record) = sealed else {
                // What was sealed in the moment of the crash may have left, too.
                process.crash();
                crashes += 1;
                continue;
            };
            assert!(seen.insert(record[3..11].to_vec()), "{protection:?}: a number was used twice");
            assert_eq!(client.open(&mut record), Ok(Opened::Application(&mut b"answer".to_owned())));
        }
        assert!(seen.len() > 5000);
    }
}

#[test]
fn a_session_that_was_saved_uses_no_number_before_the_copy_is_durable() {
    for protection in PROTECTIONS {
        let (mut server, _) = connected(protection);
        let mut rng = SeededRandom::new(1);
        let copy = server.save(2);
        assert_eq!(server.seal(b"x", &mut rng, &mut Vec::new()), Err(SealError::NotReserved));
        let mut alert = Vec::new();
        server.seal_close_notify(&mut rng, &mut alert);
        assert!(alert.is_empty(), "an alert has a number too");
        server.mark_saved(&copy);
        assert_eq!(server.reserved_left(), 2);
        assert_eq!(server.seal(b"x", &mut rng, &mut Vec::new()), Ok(()));
        assert_eq!(server.seal(b"x", &mut rng, &mut Vec::new()), Ok(()));
        assert_eq!(server.seal(b"x", &mut rng, &mut Vec::new()), Err(SealError::NotReserved));
        let mut restored = Session::restore(&copy).expect("a whole copy");
        assert_eq!(restored.seal(b"x", &mut rng, &mut Vec::new()), Err(SealError::NotReserved));
    }
}

#[test]
fn attack_197_a_record_that_caused_something_is_not_accepted_after_a_crash() {
    for protection in PROTECTIONS {
        let (server, mut client) = connected(protection);
        let mut process = Process::new(server);
        let report = sealed(&mut client, b"report");
        assert!(process.session.open(&mut report.clone()).is_ok());
        // Committed with the report.
        process.disk.set_received_below(process.session.received_below());
        let late = sealed(&mut client, b"late");
        process.crash();
        assert_eq!(process.session.open(&mut report.clone()), Err(Discard::Replayed));
        assert_eq!(
            process.session.open(&mut late.clone()),
            Ok(Opened::Application(&mut b"late".to_owned())),
            "a session outlives its process"
        );
    }
}

#[test]
fn attack_017_a_reservation_ends_with_the_numbers() {
    let (mut server, _) = connected(Protection::Ccm8);
    server.skip_to_sequence((1 << 48) - 3);
    let copy = server.save(u64::MAX);
    server.mark_saved(&copy);
    let mut rng = SeededRandom::new(1);
    assert_eq!(server.seal(b"x", &mut rng, &mut Vec::new()), Ok(()));
    assert_eq!(server.seal(b"x", &mut rng, &mut Vec::new()), Ok(()));
    assert_eq!(server.seal(b"x", &mut rng, &mut Vec::new()), Err(SealError::SequenceExhausted));
    let mut restored = Session::restore(&copy).expect("a whole copy");
    assert_eq!(restored.seal(b"x", &mut rng, &mut Vec::new()), Err(SealError::SequenceExhausted));
}

#[test]
fn a_copy_is_all_of_the_session() {
    for protection in PROTECTIONS {
        let (mut server, mut client) = connected(protection);
        let copy = server.save(AHEAD);
        let mut restored =
            Session::restore(&SavedSession::from_bytes(copy.as_bytes().to_vec())).expect("whole");
        assert_eq!(restored.suite(), server.suite());
        assert_eq!(restored.encrypt_then_mac(), server.encrypt_then_mac());
        assert_eq!(restored.extended_master_secret(), server.extended_master_secret());
        assert_eq!(restored.plaintext_bytes_max(), server.plaintext_bytes_max());
        assert_eq!(restored.next_sequence(), copy.reserved_below());
        let again = restored.save(AHEAD);
        restored.mark_saved(&again);
        let mut flight = Vec::new();
        restored.seal_last_flight(&mut SeededRandom::new(1), &mut flight).expect("numbers are reserved");
        assert_eq!(client.open(&mut flight[14..]), Ok(Opened::Ignored), "the Finished opens");
        assert!(format!("{copy:?}").len() < 20, "no key is printed");
    }
}

#[test]
fn damaged_copies_are_told_and_never_panic() {
    let (mut server, _) = connected(Protection::CbcEncryptThenMac);
    let copy = server.save(AHEAD);
    let restore = |bytes: Vec<u8>| Session::restore(&SavedSession::from_bytes(bytes)).map(|_| ());
    for cut in 0..copy.as_bytes().len() {
        assert!(restore(copy.as_bytes()[..cut].to_vec()).is_err());
    }
    assert_eq!(restore([copy.as_bytes(), &[0]].concat()), Err(SavedSessionError::Damaged));
    for (place, value, error) in [
        (0, 2, SavedSessionError::Format(2)),
        (1, 0xff, SavedSessionError::Damaged),
        (6, 1, SavedSessionError::Damaged),
        (14, 1, SavedSessionError::Damaged),
        // The number of a record has 48 bits.
        (copy.as_bytes().len() - 8, 1, SavedSessionError::Damaged),
    ] {
        let mut bytes = copy.as_bytes().to_vec();
        bytes[place] = value;
        assert_eq!(restore(bytes), Err(error), "byte {place}");
    }
    let mut empty = SavedSession::from_bytes(Vec::new());
    empty.set_received_below(1);
    assert_eq!(empty.reserved_below(), 0);
}
