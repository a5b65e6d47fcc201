use std::{net::IpAddr, time::Duration};

use narrowgate_platform::ids::UnixMillis;

use super::*;

/// What was written since the last call: for each entry whether it is of the peer 192.0.2.1.
fn written(out: &mut Outbox, refusals: &mut Refusals) -> Vec<bool> {
    let mut honest = Vec::new();
    while let Some(effect) = out.poll() {
        let Effect::Write(_, writes) = effect else { continue };
        for write in writes {
            let entry = match write {
                Write::Rates(_) => continue,
                Write::Log(entry) => entry,
                other => panic!("{other:?}"),
            };
            honest.push(entry.peer.is_some_and(|peer| peer.starts_with("192.0.2.1:")));
            refusals.handle_written(out, None, None, Ok(&[Written::Done]));
        }
    }
    honest
}

#[test]
fn attack_210_a_network_of_strangers_leaves_few_entries_and_honest_ones_are_seen() {
    let start = crate::tests::start();
    let now = |second| Now { instant: start + Duration::from_secs(second), wall: UnixMillis(0) };
    let (mut refusals, mut out) = (Refusals::new(now(0)), Outbox::new());
    let network = 0x2001_0db8_0000_0001_u128 << 64;
    let (mut of_network, mut seen) = (0, 0);
    for second in 0..100 {
        for n in 0..1000 {
            let address = IpAddr::from((network | u128::from(n % 10_000_u32)).to_be_bytes());
            let identity = Some(format!("p,{second}-{n},2,60"));
            let refusal = Refusal::new(Reason::ProductUnknown, "there is no product p");
            let refused = Refused { identity, ..Refused::by_stranger(refusal) };
            refusals.record(&mut out, now(second), refused, (address, 5684).into());
        }
        // An honest mistake from elsewhere, of a registered device and of one that is not.
        for device in [None, Some(DeviceId(1))] {
            let refusal = Refusal::new(Reason::WrongKey, format!("in second {second}"));
            let refused = Refused { device, ..Refused::by_stranger(refusal) };
            refusals.record(&mut out, now(second), refused, ([192, 0, 2, 1], 5684).into());
        }
        let written = written(&mut out, &mut refusals);
        seen += written.iter().filter(|honest| **honest).count();
        of_network += written.iter().filter(|honest| !**honest).count();
    }
    assert!((50..=50 + 99 * 5).contains(&of_network), "{of_network}");
    assert_eq!(seen, 200, "every one of the honest");
    assert_eq!(refusals.unlogged, 100_000 - of_network as u64);
}

#[test]
fn forged_logins_hide_no_refusal_of_a_handshake() {
    let start = crate::tests::start();
    let now = |second| Now { instant: start + Duration::from_secs(second), wall: UnixMillis(0) };
    let (mut refusals, mut out) = (Refusals::new(now(0)), Outbox::new());
    let (mut forged, mut seen) = (0, 0);
    for second in 0..100_u32 {
        let now = now(second.into());
        for n in 0..2000_u32 {
            // Each from another network, half of them for a registered device.
            let address = IpAddr::from((0x0a00_0000 + 2000 * second + n).to_be_bytes());
            let device = (n % 2 == 0).then_some(DeviceId(1));
            let refusal = Refusal::new(Reason::WrongKey, format!("{second}-{n}"));
            let refused = Refused { door: Door::Plain, device, ..Refused::by_stranger(refusal) };
            refusals.record(&mut out, now, refused, (address, 5683).into());
        }
        for device in [None, Some(DeviceId(1))] {
            let refusal = Refusal::new(Reason::WrongKey, format!("in second {second}"));
            let refused = Refused { device, ..Refused::by_stranger(refusal) };
            refusals.record(&mut out, now, refused, ([192, 0, 2, 1], 5684).into());
        }
        let written = written(&mut out, &mut refusals);
        seen += written.iter().filter(|honest| **honest).count();
        forged += written.iter().filter(|honest| !**honest).count();
    }
    assert_eq!(seen, 200, "every one of the honest");
    assert!((50..=50 + 100 * 5).contains(&forged), "{forged}");
}

#[test]
fn the_same_again_and_again_is_three_entries_and_one_with_the_number_of_the_others() {
    let start = crate::tests::start();
    let now = |second| Now { instant: start + Duration::from_secs(second), wall: UnixMillis(0) };
    let (mut refusals, mut out) = (Refusals::new(now(0)), Outbox::new());
    for second in 0..600 {
        let refused = Refused::by_stranger(Refusal::new(Reason::WrongKey, "the key does not fit"));
        let refused = Refused { device: Some(DeviceId(7)), ..refused };
        refusals.record(&mut out, now(second), refused, ([192, 0, 2, 1], 5684).into());
        if refusals.poll_timeout().is_some_and(|at| at <= now(second).instant) {
            refusals.handle_timeout(&mut out, now(second), false);
        }
    }
    refusals.handle_timeout(&mut out, now(600), true);
    assert_eq!(written(&mut out, &mut refusals).len(), 10 * (3 + 1));
    assert_eq!((refusals.folded, refusals.unlogged), (600 - 30, 0));
}

/// The forger never says the same twice, and would have the folds forget all others.
#[test]
fn forged_logins_leave_the_refusals_of_handshakes_folded() {
    let start = crate::tests::start();
    let now = |second| Now { instant: start + Duration::from_secs(second), wall: UnixMillis(0) };
    let (mut refusals, mut out) = (Refusals::new(now(0)), Outbox::new());
    let mut seen = 0;
    for second in 0..60_u32 {
        let now = now(second.into());
        for n in 0..1000_u32 {
            let address = IpAddr::from((0x0a00_0000 + 1000 * second + n).to_be_bytes());
            let refusal = Refusal::new(Reason::ProductUnknown, "there is no product p");
            let refused = Refused { door: Door::Plain, ..Refused::by_stranger(refusal) };
            refusals.record(&mut out, now, refused, (address, 5683).into());
        }
        let refused = Refused::by_stranger(Refusal::new(Reason::WrongKey, "the key does not fit"));
        let refused = Refused { device: Some(DeviceId(7)), ..refused };
        refusals.record(&mut out, now, refused, ([192, 0, 2, 1], 5684).into());
        seen += written(&mut out, &mut refusals).iter().filter(|honest| **honest).count();
    }
    assert_eq!((seen, refusals.folded), (3, 57));
}

#[test]
fn a_foreign_identity_is_shown_in_bounded_length() {
    assert_eq!(shown_identity(&[0xff; 5]).chars().count(), 5);
    assert_eq!(shown_identity(&[b','; 100_000]).len(), IDENTITY_CHARACTERS_MAX);
    for length in [0, IDENTITY_CHARACTERS_MAX, IDENTITY_CHARACTERS_MAX + 1] {
        let identity = "p,d,2,60".repeat(length.div_ceil(8))[..length].to_owned();
        let shown = &identity[..length.min(IDENTITY_CHARACTERS_MAX)];
        assert_eq!(shown_identity(identity.as_bytes()), shown);
    }
}
