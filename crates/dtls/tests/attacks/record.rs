//! Section A: the record layer.

use crate::util::{
    PROTECTIONS, Protection, World, bystander::Bystander, client_config, server_config, start,
};
use narrowgate_dtls::{
    DatagramKind, Discard, Listener, Opened, Random, SealError, Session, classify, limits, split_record,
};
use narrowgate_testkit::{SeededRandom, record::record};

/// Both ends of a session, and a way to make records of the client's.
struct Pair {
    server: Box<Session>,
    client: Box<Session>,
    rng: SeededRandom,
    listener: Listener,
    bystander: Bystander,
}

impl Pair {
    fn new(protection: Protection) -> Self {
        let mut world = World::connected(server_config(), client_config(protection));
        let bystander = Bystander::connect(&mut world.listener, world.now);
        let (crate::util::ServerSide::Established(server), crate::util::ClientSide::Established(client)) =
            (world.server, world.client)
        else {
            unreachable!("the world is connected");
        };
        Self { server, client, rng: SeededRandom::new(7), listener: world.listener, bystander }
    }

    fn all() -> impl Iterator<Item = Self> {
        PROTECTIONS.into_iter().map(Self::new)
    }

    fn sealed(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.client.seal(plaintext, &mut self.rng, &mut out).expect("it fits");
        out
    }

    /// What the server makes of a record.
    fn open(&mut self, mut record: Vec<u8>) -> Result<Vec<u8>, Discard> {
        match self.server.open(&mut record)? {
            Opened::Application(data) => Ok(data.to_vec()),
            other => panic!("not application data: {other:?}"),
        }
    }

    fn assert_alive(&mut self) {
        let record = self.sealed(b"alive");
        assert_eq!(self.open(record), Ok(b"alive".to_vec()));
        let mut answer = Vec::new();
        self.server.seal(b"answer", &mut self.rng, &mut answer).expect("it fits");
        assert_eq!(self.client.open(&mut answer), Ok(Opened::Application(&mut b"answer".to_owned())));
        self.assert_others_live();
    }

    /// Another session, and a new one.
    fn assert_others_live(&mut self) {
        self.bystander.assert_alive();
        Bystander::connect(&mut self.listener, start()).assert_alive();
    }
}

/// Changes a record's number.
fn renumber(record: &mut [u8], epoch: u16, sequence: u64) {
    record[3..5].copy_from_slice(&epoch.to_be_bytes());
    record[5..11].copy_from_slice(&sequence.to_be_bytes()[2..]);
}

#[test]
fn attack_001_short_datagrams_are_dropped() {
    for mut pair in Pair::all() {
        let record = pair.sealed(b"x");
        for length in 0..13 {
            assert_eq!(classify(&record[..length]), DatagramKind::EmptyOrShort);
            assert_eq!(pair.open(record[..length].to_vec()), Err(Discard::Short));
        }
        pair.assert_alive();
    }
}

#[test]
fn attack_002_a_length_beyond_the_datagram_drops_all_of_it() {
    for mut pair in Pair::all() {
        let mut datagram = pair.sealed(b"x");
        datagram[11..13].copy_from_slice(&500u16.to_be_bytes());
        assert!(split_record(&mut datagram).is_none());
        assert_eq!(pair.open(datagram), Err(Discard::RecordLength));
        pair.assert_alive();
    }
}

#[test]
fn attack_003_an_impossible_length_is_dropped() {
    for mut pair in Pair::all() {
        let mut datagram = record(23, 0xfefd, 1, 9, &[0; 65_535]);
        assert!(split_record(&mut datagram).is_none());
        assert_eq!(classify(&datagram), DatagramKind::Unknown);
        assert_eq!(pair.open(datagram), Err(Discard::RecordLength));
        pair.assert_alive();
    }
}

#[test]
fn attack_004_garbage_after_a_record_is_dropped_alone() {
    for mut pair in Pair::all() {
        let mut datagram = pair.sealed(b"good");
        datagram.extend(b"junk!");
        let (first, rest) = split_record(&mut datagram).expect("one record is whole");
        assert_eq!(pair.server.open(first), Ok(Opened::Application(&mut b"good".to_owned())));
        assert!(split_record(rest).is_none());
        pair.assert_alive();
    }
}

#[test]
fn attack_006_unknown_content_types_are_dropped() {
    for mut pair in Pair::all() {
        for content_type in [0, 24, 25, 99, 255] {
            let mut record = pair.sealed(b"x");
            record[0] = content_type;
            assert_eq!(classify(&record), DatagramKind::Unknown);
            assert_eq!(pair.open(record), Err(Discard::ContentType));
        }
        pair.assert_alive();
    }
}

#[test]
fn attack_007_other_versions_are_dropped() {
    for mut pair in Pair::all() {
        for version in [0xfefeu16, 0x0303, 0x0000, 0xfeff] {
            let mut record = pair.sealed(b"x");
            record[1..3].copy_from_slice(&version.to_be_bytes());
            assert_eq!(pair.open(record), Err(Discard::RecordVersion));
        }
        pair.assert_alive();
    }
}

#[test]
fn attack_008_empty_records_are_dropped_or_ignored_within_a_budget() {
    for mut pair in Pair::all() {
        for content_type in [20, 21, 22, 23] {
            assert_eq!(pair.open(record(content_type, 0xfefd, 1, 99, &[])), Err(Discard::Unauthentic));
        }
        for count in 0..100 {
            let mut record = pair.sealed(b"");
            let expected = if count < 32 { Ok(Opened::Empty) } else { Err(Discard::EmptyFlood) };
            assert_eq!(pair.server.open(&mut record), expected);
        }
        pair.assert_alive();
        let mut record = pair.sealed(b"");
        assert_eq!(pair.server.open(&mut record), Ok(Opened::Empty), "data starts the count anew");
    }
}

#[test]
fn attack_010_epoch_0_never_touches_a_session() {
    for mut pair in Pair::all() {
        for (content_type, fragment) in
            [(23, &b"data"[..]), (21, &[2, 40]), (21, &[1, 0]), (20, &[1]), (22, &[1, 0])]
        {
            assert_eq!(pair.open(record(content_type, 0xfefd, 0, 5, fragment)), Err(Discard::Epoch));
        }
        assert_eq!(pair.server.failed_opens(), 0);
        pair.assert_alive();
    }
}

#[test]
fn attack_012_a_future_epoch_leaves_the_window_alone() {
    for mut pair in Pair::all() {
        for epoch in [2, 3, 65_535] {
            let mut record = pair.sealed(b"x");
            renumber(&mut record, epoch, (1 << 48) - 2);
            assert_eq!(pair.open(record), Err(Discard::Epoch));
        }
        pair.assert_alive();
    }
}

#[test]
fn attack_013_a_forged_number_leaves_the_window_alone() {
    for mut pair in Pair::all() {
        let mut record = pair.sealed(b"x");
        renumber(&mut record, 1, 1 << 47);
        assert_eq!(pair.open(record), Err(Discard::Unauthentic));
        pair.assert_alive();
    }
}

#[test]
fn attack_014_each_number_is_delivered_at_most_once() {
    for mut pair in Pair::all() {
        let records: Vec<_> = (0..70).map(|_| pair.sealed(b"x")).collect();
        assert_eq!(pair.open(records[69].clone()), Ok(b"x".to_vec()));
        assert_eq!(pair.open(records[69].clone()), Err(Discard::Replayed));
        assert_eq!(pair.open(records[69 - 63].clone()), Ok(b"x".to_vec()));
        assert_eq!(pair.open(records[69 - 64].clone()), Err(Discard::TooOld));
        for index in (69 - 62..69).rev() {
            assert_eq!(pair.open(records[index].clone()), Ok(b"x".to_vec()));
            assert_eq!(pair.open(records[index].clone()), Err(Discard::Replayed));
        }
        for gap in [1 << 20, 1 << 40] {
            let next = pair.client.next_sequence() + gap;
            pair.client.skip_to_sequence(next);
            let record = pair.sealed(b"x");
            assert_eq!(pair.open(record.clone()), Ok(b"x".to_vec()));
            assert_eq!(pair.open(record), Err(Discard::Replayed));
        }
        pair.assert_alive();
    }
}

#[test]
fn attack_017_the_send_counter_ends_and_never_wraps() {
    for mut pair in Pair::all() {
        pair.client.skip_to_sequence(limits::SEQUENCE_MAX - 1);
        let last = pair.sealed(b"x");
        assert_eq!(pair.open(last), Ok(b"x".to_vec()));
        let mut out = Vec::new();
        for _ in 0..3 {
            let sealed = pair.client.seal(b"x", &mut pair.rng, &mut out);
            assert_eq!(sealed, Err(SealError::SequenceExhausted));
        }
        pair.client.seal_close_notify(&mut pair.rng, &mut out);
        assert_eq!(pair.server.open(&mut out), Ok(Opened::CloseNotify), "the last number is for this");
        let mut out = Vec::new();
        pair.client.seal_close_notify(&mut pair.rng, &mut out);
        assert!(out.is_empty());
        pair.assert_others_live();
    }
}

/// There is one protected epoch and no way to a next one, so none can run out: who wants new keys does a
/// handshake.
#[test]
fn attack_018_the_last_epoch_is_no_epoch() {
    for mut pair in Pair::all() {
        let mut record = pair.sealed(b"x");
        renumber(&mut record, 65_535, 0);
        assert_eq!(pair.open(record), Err(Discard::Epoch));
        assert_eq!(pair.server.failed_opens(), 0);
        pair.assert_alive();
    }
}

#[test]
fn attack_019_and_204_forgeries_are_counted_and_never_end_the_session() {
    for mut pair in Pair::all() {
        let good = pair.sealed(b"late");
        let mut forged = good.clone();
        *forged.last_mut().expect("not empty") ^= 1;
        for _ in 0..limits::FAILED_OPENS_ALARM {
            assert_eq!(pair.open(forged.clone()), Err(Discard::Unauthentic));
        }
        assert_eq!(pair.server.failed_opens(), limits::FAILED_OPENS_ALARM);
        pair.assert_alive();
        // More around each power of two, and around the end of the count.
        let forged = record(23, 0xfefd, 1, 1 << 40, &[7; 64]);
        for power in 8..=32 {
            let before = (1_u32.checked_shl(power).unwrap_or(0)).wrapping_sub(2);
            pair.server.count_failed_opens(before.wrapping_sub(pair.server.failed_opens()));
            for _ in 0..4 {
                assert_eq!(pair.open(forged.clone()), Err(Discard::Unauthentic));
                pair.assert_alive();
            }
            assert_eq!(pair.server.failed_opens(), before.wrapping_add(4));
        }
        let last = pair.sealed(b"last");
        assert_eq!(pair.open(last), Ok(b"last".to_vec()), "a genuine record is always opened");
    }
}

#[test]
fn attack_204_a_record_too_short_for_a_tag_is_no_forgery() {
    for mut pair in Pair::all() {
        let empty = pair.sealed(b"").len() - 13;
        for number in [1000, (1 << 48) - 1] {
            for length in 0..empty {
                let short = record(23, 0xfefd, 1, number, &vec![7; length]);
                assert_eq!(pair.open(short), Err(Discard::Unauthentic), "{length}");
            }
        }
        assert_eq!(pair.server.failed_opens(), 0);
        assert_eq!(pair.open(record(23, 0xfefd, 1, 1000, &vec![7; empty])), Err(Discard::Unauthentic));
        assert_eq!(pair.server.failed_opens(), 1, "this one could have been one");
        pair.assert_alive();
    }
}

#[test]
fn attack_020_fragments_too_short_for_a_tag_are_dropped() {
    for mut pair in Pair::all() {
        for length in 0..=96 {
            let outcome = pair.open(record(23, 0xfefd, 1, 500, &vec![7; length]));
            assert_eq!(outcome, Err(Discard::Unauthentic), "{length}");
        }
        pair.assert_alive();
    }
}

#[test]
fn attack_022_nonces_are_the_record_numbers_and_ivs_do_not_repeat() {
    let mut pair = Pair::new(Protection::Ccm8);
    for sequence in 1..2000u64 {
        let record = pair.sealed(b"x");
        assert_eq!(record[13..21], (1 << 48 | sequence).to_be_bytes());
        assert_eq!(record[3..11], record[13..21]);
    }
    pair.assert_alive();
    for protection in [Protection::CbcEncryptThenMac, Protection::CbcMacThenEncrypt] {
        let mut pair = Pair::new(protection);
        let ivs: std::collections::HashSet<_> =
            (0..2000).map(|_| pair.sealed(b"x")[13..29].to_vec()).collect();
        assert_eq!(ivs.len(), 2000);
        pair.assert_alive();
    }
}

/// Changes to every byte, of every length: one and the same answer. That it takes the same time is for a
/// timing test; the code counts compressions by the record's length alone.
#[test]
fn attack_023_all_faults_of_cbc_look_alike() {
    for protection in [Protection::CbcEncryptThenMac, Protection::CbcMacThenEncrypt] {
        let mut pair = Pair::new(protection);
        for length in (1..320).step_by(7) {
            let record = pair.sealed(&vec![b'a'; length]);
            for index in 13..record.len() {
                let mut changed = record.clone();
                changed[index] ^= 0x80;
                assert_eq!(pair.open(changed), Err(Discard::Unauthentic), "{length} {index}");
            }
            assert!(pair.open(record).is_ok());
        }
        pair.assert_alive();
    }
}

#[test]
fn attack_025_sizes_that_are_no_blocks_are_dropped() {
    for protection in [Protection::CbcEncryptThenMac, Protection::CbcMacThenEncrypt] {
        let mut pair = Pair::new(protection);
        let record = pair.sealed(b"temp=21.5");
        for cut in 1..record.len() - 13 {
            let mut shorter = record[..record.len() - cut].to_vec();
            let length = (shorter.len() - 13) as u16;
            shorter[11..13].copy_from_slice(&length.to_be_bytes());
            assert_eq!(pair.open(shorter), Err(Discard::Unauthentic), "{cut}");
        }
        pair.assert_alive();
    }
}

#[test]
fn attack_027_an_encrypt_then_mac_record_is_not_taken_for_the_other_order() {
    let mut etm = Pair::new(Protection::CbcEncryptThenMac);
    let mut mte = Pair::new(Protection::CbcMacThenEncrypt);
    assert!(etm.server.encrypt_then_mac() && !mte.server.encrypt_then_mac());
    let (from_etm, from_mte) = (etm.sealed(b"x"), mte.sealed(b"x"));
    assert_eq!(mte.open(from_etm), Err(Discard::Unauthentic));
    assert_eq!(etm.open(from_mte), Err(Discard::Unauthentic));
    etm.assert_alive();
    mte.assert_alive();
}

#[test]
fn attack_028_max_fragment_length_limits_what_we_seal() {
    for (code, bytes) in [(1, 512), (2, 1024)] {
        let client = narrowgate_dtls::ClientConfig {
            max_fragment_length: Some(code),
            ..client_config(Protection::Ccm8)
        };
        let mut world = World::connected(server_config(), client);
        let (server, client) = world.sessions();
        assert_eq!((server.plaintext_bytes_max(), client.plaintext_bytes_max()), (bytes, bytes));
        let mut out = Vec::new();
        let sealed = server.seal(&vec![0; bytes + 1], &mut SeededRandom::new(1), &mut out);
        assert_eq!(sealed, Err(SealError::TooLarge { max: bytes }));
        assert!(out.is_empty());
        world.assert_data_flows();
        world.assert_others_live();
    }
}

#[test]
fn records_fit_the_datagram_size() {
    for mut pair in Pair::all() {
        let max = pair.client.plaintext_bytes_max();
        assert!(pair.sealed(&vec![0; max]).len() <= 1280);
        let mut out = Vec::new();
        let sealed = pair.client.seal(&vec![0; max + 1], &mut pair.rng, &mut out);
        assert_eq!(sealed, Err(SealError::TooLarge { max }));
    }
}

#[test]
fn attack_056_renegotiation_is_answered_by_a_warning_and_the_session_lives() {
    for mut pair in Pair::all() {
        let mut out = Vec::new();
        pair.server.seal_no_renegotiation(&mut pair.rng, &mut out);
        assert_eq!(pair.client.open(&mut out), Ok(Opened::WarningAlert(100)));
        pair.assert_alive();
    }
}

#[test]
fn attack_067_warnings_end_the_session_after_32_and_close_notify_is_told_apart() {
    for mut pair in Pair::all() {
        for count in 0..40 {
            let mut out = Vec::new();
            pair.client.seal_no_renegotiation(&mut pair.rng, &mut out);
            let expected = if count < 32 { Opened::WarningAlert(100) } else { Opened::TooManyWarnings };
            assert_eq!(pair.server.open(&mut out), Ok(expected));
        }
        let mut out = Vec::new();
        pair.client.seal_close_notify(&mut pair.rng, &mut out);
        assert_eq!(pair.server.open(&mut out), Ok(Opened::CloseNotify));
        pair.assert_alive();
    }
}

#[test]
fn random_bytes_after_any_header_never_panic() {
    let mut rng = SeededRandom::new(11);
    for mut pair in Pair::all() {
        for length in 0..400 {
            let mut fragment = vec![0; length];
            rng.fill(&mut fragment);
            let mut record = record(20 + (length % 5) as u8, 0xfefd, 1, 100 + length as u64, &fragment);
            assert!(pair.server.open(&mut record).is_err());
        }
        pair.assert_alive();
    }
}
