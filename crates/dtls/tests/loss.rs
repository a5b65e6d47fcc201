//! attack_050: every pattern of losses of the six datagrams of a handshake, at the first and at the second
//! attempt.

mod util;

use util::{Kind, PROTECTIONS, Protection, World, client_config, server_config};

const KINDS: [Kind; 6] = [
    Kind::Hello,
    Kind::HelloVerify,
    Kind::HelloWithCookie,
    Kind::ServerHello,
    Kind::KeyExchange,
    Kind::ServerFinished,
];

/// Bit n of `first` and `second` loses the datagram of that kind at its first and second attempt.
fn connects(protection: Protection, first: u32, second: u32) {
    let mut world = World::new(server_config(), client_config(protection), u64::from(first << 6 | second));
    world.run(|kind, attempt| {
        let bit = KINDS.iter().position(|&other| other == kind).map_or(0, |index| 1 << index);
        (attempt == 1 && first & bit != 0) || (attempt == 2 && second & bit != 0)
    });
    assert!(world.is_connected(), "{protection:?} first {first:06b} second {second:06b}");
    assert_eq!(world.identities.len(), 1, "the key is asked for once");
    world.assert_data_flows();
}

#[test]
fn attack_050_every_loss_pattern_ends_connected() {
    for protection in PROTECTIONS {
        for first in 0..64 {
            for second in 0..64 {
                connects(protection, first, second);
            }
        }
    }
}

#[test]
fn a_handshake_without_loss_takes_six_datagrams_and_a_lost_one_costs_its_round() {
    let sent = |lost: Option<Kind>| {
        let mut world = World::new(server_config(), client_config(Protection::Ccm8), 5);
        world.run(|kind, attempt| attempt == 1 && Some(kind) == lost);
        world.sent.len()
    };
    assert_eq!(sent(None), 6);
    assert_eq!(sent(Some(Kind::Hello)), 7);
    assert_eq!(sent(Some(Kind::HelloVerify)), 8);
    // Both sides notice this one: the server repeats flight 4 as well.
    assert_eq!(sent(Some(Kind::KeyExchange)), 8);
    assert_eq!(sent(Some(Kind::ServerFinished)), 8);
}
