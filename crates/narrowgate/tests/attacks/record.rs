//! Section A: the record layer.

use crate::{
    client::{
        ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, Client, HANDSHAKE, Hello, Protection, extension, record,
    },
    coap,
    crypto::good_padding,
    harness::Server,
};

/// Runs a case for a session of each protection; afterwards that session and all others work.
fn each_session(case: impl Fn(&Server, &mut Client)) {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        case(&server, &mut client);
        server.marker();
        client.drain();
        client.assert_reports();
        server.assert_alive();
    }
}

/// A ping that is answered: the message was delivered.
fn ping(client: &mut Client) -> (u16, Vec<u8>) {
    let mid = client.next_mid();
    (mid, coap::ping(mid))
}

#[test]
fn attack_001_short_datagrams() {
    each_session(|server, client| {
        for length in 0..13 {
            for header in
                [[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0], [23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0]]
            {
                server.assert_ignored(client, &header[..length.min(12)]);
            }
        }
        server.assert_ignored(client, b"\x19");
    });
}

#[test]
fn attack_002_a_length_beyond_the_datagram() {
    each_session(|server, client| {
        for content_type in [HANDSHAKE, APPLICATION_DATA] {
            let mut datagram = record(content_type, 0xfefd, 1, 90, &[0; 10]);
            datagram[11..13].copy_from_slice(&500_u16.to_be_bytes());
            let (_, message) = ping(client);
            datagram.extend(client.data(&message));
            server.assert_ignored(client, &datagram);
        }
    });
}

#[test]
fn attack_003_impossible_lengths() {
    each_session(|server, client| {
        let mut datagram = record(APPLICATION_DATA, 0xfefd, 1, 90, &[0; 100]);
        datagram[11..13].fill(0xff);
        server.assert_ignored(client, &datagram);
        server.assert_ignored(client, &record(APPLICATION_DATA, 0xfefd, 1, 90, &vec![7; (1 << 14) + 2048]));
    });
}

#[test]
fn attack_003_an_authentic_record_that_is_too_long() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.connect(protection);
        let record = client.data(&vec![0x40; (1 << 14) + 1]);
        client.send(&record);
        assert_eq!(client.hear(), (ALERT, vec![2, 22]), "record_overflow, and the session is over");
        server.assert_silent(&mut client);
        let (_, message) = ping(&mut client);
        let record = client.data(&message);
        server.assert_ignored(&mut client, &record);
        client.start_anew();
        client.connect();
        client.assert_reports();
        server.assert_alive();
    }
}

#[test]
fn attack_004_garbage_after_a_record() {
    each_session(|_, client| {
        let (mid, message) = ping(client);
        let mut datagram = client.data(&message);
        datagram.extend([0x9e, 0x37, 0x79, 0xb9, 0x7f]);
        client.send(&datagram);
        assert_eq!(client.hear(), (APPLICATION_DATA, coap::reset(mid)));
    });
}

#[test]
fn attack_006_unknown_content_types() {
    each_session(|server, client| {
        let (_, message) = ping(client);
        for content_type in [0, 19, 24, 25, 99, 255] {
            server.assert_ignored(client, &record(content_type, 0xfefd, 0, 1 << 20, &message));
            let authentic = client.seal(content_type, &message);
            server.assert_ignored(client, &authentic);
        }
    });
}

#[test]
fn attack_007_record_versions() {
    let server = Server::start();
    let mut client = server.client(Protection::Ccm8);
    for version in [0xfefe, 0x0303, 0x0000, 0xfefc, 0xffff] {
        let hello = Hello { record_version: version, ..client.hello.clone() };
        server.assert_ignored(&mut client, &hello.datagram());
    }
    client.hello.record_version = 0xfeff;
    client.ask_cookie();
    client.take_server_hello();
    let flight = client.flight_5();
    client.send(&flight);
    client.take_finished();
    for version in [0xfefe, 0x0303, 0x0000, 0xfeff] {
        let (_, message) = ping(&mut client);
        let mut datagram = client.data(&message);
        datagram[1..3].copy_from_slice(&u16::to_be_bytes(version));
        server.assert_ignored(&mut client, &datagram);
    }
    client.assert_reports();
    server.assert_alive();
}

#[test]
fn attack_008_empty_records() {
    each_session(|server, client| {
        for content_type in [CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA] {
            for epoch in [0, 1] {
                server.assert_ignored(client, &record(content_type, 0xfefd, epoch, 1 << 30, &[]));
            }
        }
        for _ in 0..31 {
            let empty = client.data(&[]);
            client.send(&empty);
        }
        server.assert_silent(client);
    });
    let server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    for _ in 0..33 {
        let empty = client.data(&[]);
        client.send(&empty);
    }
    assert_eq!(client.hear(), (ALERT, vec![1, 0]), "beyond the budget the session is closed");
    client.start_anew();
    client.connect();
    client.assert_reports();
    server.assert_alive();
}

#[test]
fn attack_009_other_change_cipher_specs() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.client(protection);
        client.ask_cookie();
        client.take_server_hello();
        for body in [&[2][..], &[1, 1], &[0], &[], &[1, 1, 1]] {
            let datagram = client.plain(CHANGE_CIPHER_SPEC, body);
            server.assert_ignored(&mut client, &datagram);
        }
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
        for body in [&[1][..], &[2], &[1, 1]] {
            let datagram = client.plain(CHANGE_CIPHER_SPEC, body);
            server.assert_ignored(&mut client, &datagram);
        }
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_010_application_data_in_epoch_0() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.client(protection);
        let plaintext = coap::report(1, &client.device.report_path(), 666);
        for stage in 0..4 {
            let datagram = record(APPLICATION_DATA, 0xfefd, 0, 40 + stage, &plaintext);
            server.assert_ignored(&mut client, &datagram);
            match stage {
                0 => client.ask_cookie(),
                1 => client.take_server_hello(),
                2 => {
                    let flight = client.flight_5();
                    client.send(&flight);
                    client.take_finished();
                }
                _ => client.assert_reports(),
            }
        }
        let points = server.json(&["device", "points", &format!("pk/{}", client.device.key)]);
        assert!(!points.to_string().contains("666"), "{points}");
    }
    server.assert_alive();
}

#[test]
fn attack_011_a_hello_in_epoch_1() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.client(protection);
        let first = Hello { epoch: 1, ..client.hello.clone() };
        server.assert_ignored(&mut client, &first.datagram());
        client.ask_cookie();
        let second = Hello { epoch: 1, ..client.hello.clone() };
        server.assert_ignored(&mut client, &second.datagram());
        client.take_server_hello();
        let flight = client.flight_5();
        client.send(&flight);
        client.take_finished();
        server.assert_ignored(&mut client, &second.datagram());
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_012_a_future_epoch_leaves_the_window_alone() {
    each_session(|server, client| {
        let (_, message) = ping(client);
        for epoch in [2, 3, 65_535] {
            let authentic = client.keys().seal(APPLICATION_DATA, epoch, (1 << 48) - 2, &message);
            server.assert_ignored(client, &authentic);
        }
    });
}

#[test]
fn attack_013_a_forged_number_leaves_the_window_alone() {
    each_session(|server, client| {
        for sequence in [1 << 47, (1 << 48) - 1, 1 << 20] {
            server.assert_ignored(client, &record(APPLICATION_DATA, 0xfefd, 1, sequence, &[9; 96]));
        }
    });
}

#[test]
fn attack_014_replay_window() {
    each_session(|server, client| {
        let at = |client: &mut Client, sequence: u64, is_new: bool| {
            let (mid, message) = ping(client);
            let record = client.keys().seal(APPLICATION_DATA, 1, sequence, &message);
            client.send(&record);
            if is_new {
                assert_eq!(client.hear(), (APPLICATION_DATA, coap::reset(mid)), "number {sequence}");
            }
            server.assert_ignored(client, &record);
        };
        at(client, 100, true);
        at(client, 99, true);
        at(client, 100 - 63, true);
        at(client, 100 - 64, false);
        for gap in [1 << 20, 1 << 40] {
            at(client, gap, true);
            at(client, gap - 63, true);
            at(client, gap - 64, false);
            at(client, 100, false);
        }
        for down in 1..20 {
            at(client, (1 << 40) - down, true);
        }
        client.sequence_1 = (1 << 40) + 1;
    });
}

#[test]
fn attack_015_a_record_number_used_twice_in_the_handshake() {
    let server = Server::start();
    for protection in Protection::ALL {
        let mut client = server.client(protection);
        client.ask_cookie();
        client.take_server_hello();
        let next = client.sequence;
        let key_exchange = client.key_exchange();
        let finished = client.finished();
        let mut bad = record(HANDSHAKE, 0xfefd, 0, client.hello.sequence, &key_exchange);
        bad.extend(client.plain(CHANGE_CIPHER_SPEC, &[1]));
        server.assert_ignored(&mut client, &bad);
        client.sequence = next + 1;
        let mut good = client.plain(HANDSHAKE, &key_exchange);
        good.extend(client.plain(CHANGE_CIPHER_SPEC, &[1]));
        good.extend(client.seal(HANDSHAKE, &finished));
        client.send(&good);
        client.take_finished();
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_019_bad_tags() {
    each_session(|server, client| {
        for round in 0..200 {
            let (_, message) = ping(client);
            let mut forged = client.data(&message);
            let at = 13 + round % (forged.len() - 13);
            forged[at] ^= 1 << (round % 8);
            client.send(&forged);
            if round % 50 == 0 {
                server.assert_silent(client);
            }
        }
        server.assert_silent(client);
    });
}

#[test]
fn attack_019_the_operator_is_alarmed_at_128() {
    let server = Server::start();
    let before = server.counted("forgery_alarms_total");
    let mut client = server.connect(Protection::Ccm8);
    for sequence in 0..128 {
        client.send(&record(APPLICATION_DATA, 0xfefd, 1, 1000 + sequence, &[1; 40]));
    }
    client.assert_reports();
    assert_eq!(server.counted("forgery_alarms_total"), before + 1);
    server.assert_alive();
}

/// More records than ever ended a session, as many as fit into a datagram, and as many forgeries as raise two
/// alarms in a minute, if there were two.
#[test]
fn attack_204_records_without_a_byte_and_forgeries_end_no_session() {
    let server = Server::start();
    let before = server.counted("forgery_alarms_total");
    let closed = server.counted(r#"sessions_closed_total{cause="abuse"}"#);
    let mut client = server.connect(Protection::Ccm8);
    let short = record(APPLICATION_DATA, 0xfefd, 1, (1 << 48) - 1, &[]).repeat(107);
    for round in 0..(1 << 20) / 107 + 100 {
        client.send(&short);
        if round % 500 == 0 {
            client.assert_reports();
        }
    }
    assert_eq!(server.counted("forgery_alarms_total"), before, "what is too short for a tag is no forgery");
    for number in 0..300 {
        client.send(&record(APPLICATION_DATA, 0xfefd, 1, 1_000_000 + number, &[1; 40]));
    }
    client.assert_reports();
    let alarms = server.counted("forgery_alarms_total") - before;
    assert!((1..=2).contains(&alarms), "{alarms}: at most one in each minute");
    assert_eq!(server.counted(r#"sessions_closed_total{cause="abuse"}"#), closed);
    server.assert_alive();
}

#[test]
fn attack_020_fragments_too_short_for_a_tag() {
    each_session(|server, client| {
        for length in 0..16 {
            for content_type in [APPLICATION_DATA, HANDSHAKE, ALERT] {
                let short = record(content_type, 0xfefd, 1, 500 + length as u64, &vec![0xa5; length]);
                server.assert_ignored(client, &short);
            }
        }
    });
}

#[test]
fn attack_023_and_024_faults_of_cbc_are_met_with_silence() {
    each_session(|server, client| {
        if client.protection == Protection::Ccm8 {
            return;
        }
        let content = b"0123456789";
        let inner = client.keys().inner(content);
        let good = good_padding(inner);
        let mut faults: Vec<Vec<u8>> = (0..good.len())
            .map(|index| {
                let mut padding = good.clone();
                padding[index] ^= 1;
                padding
            })
            .collect();
        // More padding than there is record; zero padding; 255 with one byte wrong.
        faults.push(vec![255; good.len()]);
        faults.push(vec![0; good.len()]);
        let mut long = vec![255 - 15 + good.len() as u8 - 1; 240 + good.len()];
        long[100] ^= 0x80;
        faults.push(long);
        for padding in faults.iter().filter(|padding| (inner + padding.len()).is_multiple_of(16)) {
            if padding.iter().all(|&byte| byte == 0) {
                continue;
            }
            let sequence = client.sequence_1;
            client.sequence_1 += 1;
            let record = client.keys().seal_padded(APPLICATION_DATA, 1, sequence, content, padding);
            server.assert_ignored(client, &record);
        }
        // Longest good padding: it is no fault.
        let (mid, message) = ping(client);
        let length = good_padding(client.keys().inner(&message)).len() + 240;
        let sequence = client.sequence_1;
        client.sequence_1 += 1;
        let padding = vec![length as u8 - 1; length];
        let record = client.keys().seal_padded(APPLICATION_DATA, 1, sequence, &message, &padding);
        client.send(&record);
        assert_eq!(client.hear(), (APPLICATION_DATA, coap::reset(mid)));
    });
}

#[test]
fn attack_025_sizes_that_are_no_blocks() {
    each_session(|server, client| {
        for length in [16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 81] {
            server.assert_ignored(
                client,
                &record(APPLICATION_DATA, 0xfefd, 1, 9000 + length as u64, &vec![3; length]),
            );
        }
        let (_, message) = ping(client);
        let authentic = client.data(&message);
        for cut in 1..authentic.len() - 13 {
            let mut cut = authentic[..authentic.len() - cut].to_vec();
            let length = (cut.len() - 13) as u16;
            cut[11..13].copy_from_slice(&length.to_be_bytes());
            client.send(&cut);
        }
        server.assert_silent(client);
    });
}

#[test]
fn attack_027_the_two_orders_of_cbc_do_not_mix() {
    let server = Server::start();
    for (protection, other) in [
        (Protection::CbcEncryptThenMac, Protection::CbcMacThenEncrypt),
        (Protection::CbcMacThenEncrypt, Protection::CbcEncryptThenMac),
    ] {
        let mut client = server.connect(protection);
        let (_, message) = ping(&mut client);
        let mut mixed = client.keys().clone();
        mixed.set_protection(other);
        for sequence in 50..60 {
            server.assert_ignored(&mut client, &mixed.seal(APPLICATION_DATA, 1, sequence, &message));
        }
        client.assert_reports();
    }
    server.assert_alive();
}

#[test]
fn attack_028_max_fragment_length() {
    let server = Server::start();
    for protection in Protection::ALL {
        for code in 1..=4 {
            let mut client = server.client(protection);
            client.hello.extensions.get_or_insert_default().extend(extension(1, &[code]));
            client.connect();
            client.assert_reports();
        }
        for body in [&[0][..], &[5], &[255], &[1, 1], &[]] {
            let mut client = server.client(protection);
            client.hello.extensions.get_or_insert_default().extend(extension(1, body));
            client.ask_cookie();
            client.send(&client.hello.datagram());
            let alert = client.receive();
            assert_eq!((alert[0], alert[13]), (ALERT, 2), "fatal: {alert:02x?}");
            assert!([47, 50].contains(&alert[14]), "illegal_parameter or decode_error: {alert:02x?}");
        }
    }
    server.assert_alive();
    server.assert_nothing_left();
}
