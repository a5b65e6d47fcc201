//! Plain CoAP: who logs in, who is refused and how, which session stands, and how commands ride in responses.
//! A login `pN` is the session `sN` of the second shard.

use narrowgate_coap::Request;
use narrowgate_engine::event::{CloseCause, HandshakeId, SessionId, ShardEvent, Ticket};
use narrowgate_platform::{
    ids::DeviceName,
    model::command::{Command, Order},
    rules::{
        identity::{Identity, SecureMode},
        sign,
    },
    secret::Secret,
};

use super::{
    real::{exchange, quiet_exchange},
    stage::{Stage, command},
    stories::served,
};

/// Of the secret that the stage's devices have, or another one.
fn body(device_key: &str, mode: u32, lifetime_s: u32, secret: &str) -> String {
    let name = DeviceName { product_key: "p".into(), device_key: device_key.into() };
    let identity = Identity { name, mode: SecureMode::DeviceSecret, lifetime_s };
    let sign = sign::sign(&identity, &Secret::new(secret.into()));
    format!(r#"{{"secureMode":{mode},"lifetime":{lifetime_s},"sign":"{sign}"}}"#)
}

const REPORT: &str = r#"{"params":{"measurepoints":{"temp":21.5}}}"#;

fn event(stage: &mut Stage, mid: u16, slot: u32, words: &[&str]) -> ShardEvent {
    let handshake = HandshakeId { shard: 1, slot, generation: 1 };
    let session = SessionId { shard: 1, slot, generation: 1 };
    let (exchange, words) = match words {
        [words @ .., "quietly"] => (quiet_exchange(mid), words),
        _ => (exchange(mid), words),
    };
    let ticket = Ticket { session, exchange };
    let peer = ([198, 51, 100, slot as u8], 5683).into();
    let login = |path: &str, body: String| ShardEvent::LoginWanted {
        handshake,
        peer,
        request: Box::new(Request::post(path, 50, body)),
    };
    let topic = |path: &str| format!("/topic/sys/p/d/thing/{path}");
    let request = |request: Request| ShardEvent::Request { ticket, request };
    match words {
        ["wants", "d"] => login("/auth/p/d", body("d", 2, 60, "device")),
        ["wants", "e"] => login("/auth/p/e", body("e", 2, 60, "device")),
        ["wants", "wrongly"] => login("/auth/p/d", body("d", 2, 60, "another")),
        ["wants", "mode", "3"] => login("/auth/p/d", body("d", 3, 60, "product")),
        ["wants", "nonsense"] => login("/auth/p/d", "nonsense".to_owned()),
        ["wants", "elsewhere"] => login("/auth/p", body("d", 2, 60, "device")),
        ["logs", "in"] => ShardEvent::LoggedIn { handshake, ticket, peer, verified: stage.now.instant },
        ["is", "over"] => ShardEvent::HandshakeEnded { handshake },
        ["posts"] => request(Request::post(&topic("measurepoint/post"), 50, REPORT)),
        ["posts", "nonsense"] => request(Request::post(&topic("measurepoint/post"), 50, "{")),
        ["fetches"] => request(Request::get("/ota/Ab3dEf7h")),
        ["gets", "set"] => request(Request::get(&topic("service/measurepoint/set"))),
        ["gets", "upgrade"] => request(Request::get("/topic/sys/p/d/ota/device/upgrade")),
        ["replies", "set", id] => request(Request::post(
            &topic("service/measurepoint/set_reply"),
            50,
            format!(r#"{{"id":"{id}","code":200}}"#),
        )),
        ["of", other] => {
            request(Request::post(&format!("/topic/sys/p/{other}/thing/measurepoint/post"), 50, "{}"))
        }
        ["lapses"] => ShardEvent::Closed { session, cause: CloseCause::Idle },
        ["ends"] => ShardEvent::Closed { session, cause: CloseCause::ByCommand },
        _ => panic!("{words:?} is no event"),
    }
}

/// As [`Stage::play`], with the events of logins.
fn play(stage: &mut Stage, script: &str) -> String {
    let mut effects = Vec::new();
    for (mid, input) in script.split(';').map(str::trim).enumerate() {
        let words: Vec<&str> = input.split(' ').collect();
        let slot = words[0].strip_prefix('p').and_then(|slot| slot.parse().ok());
        effects.push(match slot {
            Some(slot) => {
                let event = event(stage, mid as u16, slot, &words[1..]);
                stage.gateway.handle_event(stage.now, 1, event);
                stage.effects()
            }
            None => stage.input(input),
        });
    }
    effects.retain(|said| !said.is_empty());
    effects.join(", ")
}

/// A device that is logged in by plain CoAP.
fn logged_in() -> Stage {
    let mut stage = Stage::new();
    play(&mut stage, "p1 wants d; found; p1 logs in; done; p1 posts; on; done");
    stage
}

#[test]
fn a_login_is_looked_up_admitted_stored_and_answered_in_this_order() {
    let mut stage = Stage::new();
    assert_eq!(play(&mut stage, "p1 wants d"), "look up p/d");
    assert_eq!(play(&mut stage, "found"), "h1 admit for 60s");
    assert_eq!(play(&mut stage, "p1 logs in"), "write login");
    assert_eq!(play(&mut stage, "activated"), "s1 2.04, tell activated, tell login");
    assert_eq!(play(&mut stage, "p1 posts; on; done"), "read p, write report, tell report, s1 2.04");
    assert_eq!((stage.gateway.counters().online, stage.gateway.counters().connected), (1, 1));
    assert_eq!(play(&mut stage, "p1 of e"), "s1 4.03, write topic_foreign");
    assert!(stage.logins[0] > 0 && stage.logins[0] == stage.logins[1], "{:?}", stage.logins);
}

/// Whoever is on the path could put another image into the place of this one.
#[test]
fn an_image_is_not_served_by_plain_coap() {
    let mut stage = logged_in();
    assert_eq!(play(&mut stage, "p1 fetches"), "s1 4.03, write topic_foreign");
}

/// It could do nothing with it: what comes behind it is not held up.
#[test]
fn an_offer_of_firmware_waits_for_a_session_by_dtls() {
    let mut stage = logged_in();
    play(&mut stage, "send upgrade; commands");
    assert_eq!(play(&mut stage, "p1 posts; done"), "write report, tell report, s1 2.04");
    assert_eq!(play(&mut stage, "p1 gets upgrade"), "s1 4.04");
    play(&mut stage, "send set; commands");
    let carried = play(&mut stage, "p1 posts; done");
    assert!(carried.ends_with("write fetch 2"), "{carried}");
}

#[test]
fn whoever_is_refused_is_refused_alike_and_the_log_says_why() {
    // (How, what the store says, what is written down.)
    for (wants, answer, written) in [
        ("wrongly", "found", "diagnose key"),
        ("d", "unknown", "diagnose name"),
        ("d", "device off", "write device_disabled"),
        ("d", "product off", "write product_disabled"),
        ("mode 3", "found", "write mode_unknown"),
    ] {
        let mut stage = Stage::new();
        assert_eq!(play(&mut stage, &format!("p1 wants {wants}")), "look up p/d", "{wants}");
        assert_eq!(play(&mut stage, answer), "h1 4.03", "{wants}, {answer}");
        assert_eq!(play(&mut stage, "p1 is over"), written, "once the answer has left");
        assert_eq!(play(&mut stage, "p1 logs in"), "s1 close", "nobody is let in by mistake");
    }
    let mut stage = Stage::new();
    assert_eq!(play(&mut stage, "p1 wants d; lookup fails"), "look up p/d, h1 5.03 in 30s");
    assert_eq!(play(&mut stage, "p2 wants wrongly; found; p2 is over; diagnosed"), {
        "look up p/d, h2 4.03, diagnose key, write wrong_key"
    });
    // Whose log it belongs to is looked up afterwards.
    assert_eq!(play(&mut stage, "p3 wants nonsense"), "h3 4.00, look up p/d");
    assert_eq!(play(&mut stage, "newest found"), "write body_malformed");
    assert_eq!(play(&mut stage, "p4 wants elsewhere"), "h4 4.04, write path_unknown");
}

#[test]
fn an_identity_that_logs_in_too_often_from_one_address_is_told_when_again() {
    let mut stage = Stage::new();
    for _ in 0..20 {
        assert_eq!(
            play(&mut stage, "p1 wants wrongly; unknown; p1 is over").split(", ").nth(1),
            Some("h1 4.03")
        );
    }
    assert_eq!(play(&mut stage, "p1 wants d"), "h1 4.29 in 10s, look up p/d");
    assert_eq!(play(&mut stage, "newest found; p1 wants d"), "write rate_limited, h1 4.29 in 10s");
    assert_eq!(play(&mut stage, "p2 wants d"), "look up p/d", "from elsewhere");
    assert_eq!(play(&mut stage, "wait 10; p1 wants d").rsplit(", ").next(), Some("look up p/d"));
}

/// Anybody can write the address of a device into a datagram.
#[test]
fn forged_logins_hold_no_handshake_back() {
    let mut stage = Stage::new();
    for _ in 0..1000 {
        play(&mut stage, "p1 wants wrongly");
    }
    let handshake = HandshakeId { shard: 0, slot: 9, generation: 1 };
    let (peer, identity) = (([198, 51, 100, 1], 40_000).into(), b"p,d,2,60".to_vec());
    stage.gateway.handle_event(stage.now, 0, ShardEvent::PskWanted { handshake, peer, identity });
    assert_eq!(stage.effects(), "look up p/d");
}

#[test]
fn the_newest_login_wins_by_whichever_door_it_comes() {
    let mut stage = served();
    assert_eq!(
        play(&mut stage, "p2 wants d; found; p2 logs in"),
        "look up p/d, h2 admit for 60s, write login"
    );
    assert_eq!(play(&mut stage, "done"), "s2 2.04, tell login, s1 superseded", "plain CoAP after DTLS");
    assert_eq!(
        play(&mut stage, "s1 ends; h3 wants p,d,2,60; found; h3 connects"),
        "look up p/d, h3 key, write login"
    );
    assert_eq!(play(&mut stage, "done"), "tell login, s2 superseded", "and DTLS after plain CoAP");
    assert_eq!(play(&mut stage, "p2 ends; p4 wants d; found; p4 logs in; done"), {
        "look up p/d, h4 admit for 60s, write login, s4 2.04, tell login, s3 superseded"
    });
    assert_eq!((stage.gateway.counters().online, stage.gateway.counters().connected), (1, 1));
}

#[test]
fn attack_203_a_login_that_races_a_reset_is_refused() {
    let mut stage = Stage::new();
    play(&mut stage, "p1 wants d; found; p1 logs in");
    // An operator resets the device while the login is being stored.
    assert_eq!(play(&mut stage, "close d"), "s1 close, write offline");
    assert_eq!(play(&mut stage, "superseded"), "s1 4.03, write wrong_key, s1 close");
    for (answer, said) in [("write fails", "s1 5.03, "), ("refused", "s1 4.03, ")] {
        let mut stage = Stage::new();
        play(&mut stage, "p1 wants d; found; p1 logs in");
        let effects = play(&mut stage, answer);
        assert!(effects.starts_with(said) && effects.ends_with("s1 close"), "{answer}: {effects}");
        assert_eq!(stage.gateway.counters().connected, 0);
    }
}

#[test]
fn a_device_that_is_switched_off_loses_its_login() {
    let mut stage = logged_in();
    assert_eq!(play(&mut stage, "close d"), "s1 close, write offline");
    assert_eq!(play(&mut stage, "p1 ends; done"), "tell offline");
    let mut stage = logged_in();
    assert_eq!(play(&mut stage, "change p; off"), "read p, s1 close, write offline, list p");
}

#[test]
fn a_login_that_lapses_leaves_a_device_that_is_offline_by_its_silence() {
    let mut stage = logged_in();
    assert_eq!(play(&mut stage, "wait 59"), "");
    assert_eq!(play(&mut stage, "wait 2"), "write offline");
    assert_eq!(play(&mut stage, "done; p1 lapses"), "tell offline");
    assert_eq!(stage.gateway.counters().connected, 0);
    assert_eq!(
        play(&mut stage, "p1 wants d; found; p1 logs in; done").rsplit(", ").next(),
        Some("tell login")
    );
}

#[test]
fn a_response_carries_the_oldest_command_once_it_is_durable_that_it_was_sent() {
    let mut stage = logged_in();
    assert_eq!(play(&mut stage, "send set; commands"), "read commands, tell command");
    assert_eq!(play(&mut stage, "p1 posts; done"), "write report, tell report, write fetch 1");
    assert_eq!(play(&mut stage, "done"), "tell command, s1 2.04 (set) with #1");
    assert_eq!(play(&mut stage, "p1 posts; done"), "write report, tell report, s1 2.04", "the device has it");
    // A second one of the topic is named, and does not ride until the first has ended.
    assert_eq!(play(&mut stage, "send set; commands"), "read commands, tell command");
    assert_eq!(play(&mut stage, "p1 posts; done"), "write report, tell report, s1 2.04 (set)");
    assert_eq!(play(&mut stage, "p1 replies set 1; done"), "write reply 1 200, tell command, write fetch 2");
    assert_eq!(play(&mut stage, "done"), "tell command, s1 2.04 (set) with #2");
    // Its answer was lost: a GET gets it again, under the same id.
    assert_eq!(play(&mut stage, "p1 gets set; unchanged"), "write fetch 2, s1 2.05 #2");
    assert_eq!(play(&mut stage, "p1 replies set 2; done"), "write reply 2 200, tell command, s1 2.04");
    assert!(stage.gateway.is_settled() && stage.open.is_empty());
}

/// Whatever it says, and whatever becomes of the command.
#[test]
fn every_response_may_carry_one_and_none_waits_in_vain() {
    let mut stage = logged_in();
    play(&mut stage, "send set; commands");
    assert_eq!(play(&mut stage, "p1 posts nonsense"), "write fetch 1, write body_malformed");
    assert_eq!(play(&mut stage, "done"), "tell command, s1 4.00 (set) with #1");
    play(&mut stage, "p1 replies set 1; newest done");

    for (answer, said) in [
        ("write fails", "s1 2.04, read commands"),
        ("outrun", "s1 2.04, read commands"),
        ("over", "read commands"),
    ] {
        let mut stage = logged_in();
        play(&mut stage, "send set; commands; p1 posts; done");
        assert_eq!(play(&mut stage, answer), said);
        if answer == "over" {
            // It was taken back.
            assert_eq!(play(&mut stage, "cancel 1; commands"), "tell command, read commands");
            assert_eq!(play(&mut stage, "commands"), "s1 2.04");
        }
    }
    // It is taken back while the response waits behind what is under way.
    let mut stage = logged_in();
    play(&mut stage, "send set; commands; p1 posts; done; p1 posts; newest done");
    assert_eq!(play(&mut stage, "done"), "tell command, s1 2.04 (set) with #1, s1 2.04");
}

#[test]
fn a_command_that_ran_out_while_its_response_waited_does_not_ride() {
    let mut stage = logged_in();
    play(&mut stage, "send set; commands; wait 50; p1 posts; done; wait 11");
    assert_eq!(play(&mut stage, "done"), "tell command, s1 2.04, write end 1");
}

#[test]
fn the_answer_to_a_get_does_not_carry_the_command_that_it_is() {
    let mut stage = logged_in();
    play(&mut stage, "send set; commands");
    // The store took so long that the time of the device to answer is over, and the command waits again.
    assert_eq!(play(&mut stage, "p1 gets set; wait 10; done"), {
        "write fetch 1, write seen, tell command, s1 2.05 #1"
    });
}

/// RFC 7967: what the device does not want is not sent, so nothing rides in it.
#[test]
fn a_response_that_is_not_wanted_carries_nothing() {
    let mut stage = logged_in();
    play(&mut stage, "send set; commands");
    assert_eq!(play(&mut stage, "p1 posts quietly; done"), "write report, tell report, s1 2.04");
    // It wants no 2.04, but a refusal.
    assert_eq!(play(&mut stage, "p1 posts nonsense quietly"), "write fetch 1, write body_malformed");
    assert_eq!(play(&mut stage, "done"), "tell command, s1 4.00 (set) with #1");
}

#[test]
fn a_command_that_does_not_fit_is_named_and_fetched() {
    let mut stage = logged_in();
    let short = command(1, "set", stage.now.wall);
    let params_json = format!("[\"{}\"]", "x".repeat(1000)).into();
    let order = Order { params_json, ..(*short.order).clone() };
    stage.open.push(Command::new(short.id, order, short.created));
    assert_eq!(play(&mut stage, "cancel 0; commands"), "read commands, tell command");
    assert_eq!(play(&mut stage, "p1 posts; done"), "write report, tell report, s1 2.04 (set)");
    assert_eq!(play(&mut stage, "p1 gets set; done"), "write fetch 1, tell command, s1 2.05 #1");
}

#[test]
fn commands_of_two_topics_ride_one_by_one_and_over_dtls_none_does() {
    let mut stage = logged_in();
    play(&mut stage, "send set; commands; send get; commands");
    assert_eq!(play(&mut stage, "p1 posts; done; done"), {
        "write report, tell report, write fetch 1, tell command, s1 2.04 (set) with #1"
    });
    assert_eq!(play(&mut stage, "p1 posts; done; done"), {
        "write report, tell report, write fetch 2, tell command, s1 2.04 (get) with #2"
    });
    // The time to answer is over, and its time to live is not: the same again.
    assert_eq!(play(&mut stage, "wait 10; p1 posts; newest done; newest done"), {
        "write report, tell report, write fetch 1, tell command, s1 2.04 (set) with #1"
    });
    let mut stage = served();
    play(&mut stage, "send set; commands");
    assert_eq!(play(&mut stage, "s1 posts; done"), "write report, tell report, s1 2.04 (set)");
}

#[test]
fn one_secret_from_many_addresses_logs_in_no_faster_than_one_device_by_plain_coap_too() {
    let mut stage = Stage::new();
    for number in 1..=20 {
        play(&mut stage, &format!("p{number} wants d; found; p{number} logs in; done"));
    }
    while !stage.asked.is_empty() {
        play(&mut stage, "done");
    }
    let too_many = play(&mut stage, "p21 wants d; found; p21 logs in");
    for part in ["s21 4.29", "s21 close", "write rate_limited"] {
        assert!(too_many.contains(part) && !too_many.contains("write login"), "{part}: {too_many}");
    }
    // What was played again on the way holds no handshake back.
    let by_dtls = play(&mut stage, "done; h30 wants p,d,2,60; found; h30 connects");
    assert!(by_dtls.ends_with("h30 key, write login"), "{by_dtls}");
}
