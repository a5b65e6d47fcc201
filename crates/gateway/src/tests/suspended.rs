//! An organisation unit is suspended: the sessions of its devices end at once, none begins, and nobody else
//! waits for that.

use std::time::Duration;

use narrowgate_platform::{ids::DeviceId, model::credential::CredentialLookup};

use super::{
    stage::{Kind, Stage, found},
    stories::served,
};

/// Sessions of the unit.
const SESSIONS: u32 = 10_000;
/// The session of another unit's device.
const OTHER: u32 = SESSIONS + 1;
/// Turns of the gateway that it may take.
const TURNS_MAX: u32 = 8;
/// Sessions that are closed in one turn.
const CLOSED_AT_ONCE_MAX: usize = 4096;

/// A device logs in.
fn connect(stage: &mut Stage, slot: u32, name: &str) {
    stage.play(&format!("h{slot} wants {name},2,3600"));
    let CredentialLookup::Found(mut credentials) = found("d", true, true) else { unreachable!("it is") };
    credentials.device = DeviceId(slot.into());
    stage.lookup(Ok(CredentialLookup::Found(credentials)));
    let connected = stage.play(&format!("h{slot} connects; done"));
    assert!(connected.ends_with("tell login"), "{connected}");
}

#[test]
fn attack_166_ten_thousand_sessions_of_a_suspended_unit_end_within_a_second_and_stall_nobody() {
    let mut stage = Stage::new();
    for slot in 1..=SESSIONS {
        connect(&mut stage, slot, &format!("p,k{slot}"));
    }
    connect(&mut stage, OTHER, "q,other");
    stage.play(&format!("s1 posts p/k1; on; done; s{OTHER} posts q/other; on; done"));
    let began = stage.now.instant;
    assert_eq!(stage.play("change p"), "read p");
    let (mut closed, mut turns) = (0, 0);
    let mut said = stage.play("suspended");
    while closed < SESSIONS as usize {
        turns += 1;
        assert!(turns <= TURNS_MAX, "{closed} are closed");
        let now_closed = said.matches(" close").count();
        assert!(now_closed <= CLOSED_AT_ONCE_MAX, "{now_closed} at once");
        closed += now_closed;
        // Between two turns others are served, and what still has a session gets nothing.
        let served = stage.play(&format!("s{OTHER} posts q/other; newest done"));
        assert!(served.contains(&format!("s{OTHER} 2.04")), "{served}");
        let refused = stage.play(&format!("s{SESSIONS} posts p/k{SESSIONS}"));
        assert!(refused.starts_with(&format!("s{SESSIONS} 4.03")), "{refused}");
        stage.gateway.handle_timeout(stage.now);
        said = stage.effects();
    }
    assert!(stage.now.instant - began < Duration::from_secs(1));
    // All of them are offline, and it is told in their logs.
    let offline = stage.count(Kind::Write);
    assert!(offline >= SESSIONS as usize, "{offline}");
    assert!(!said.contains(&format!("s{OTHER} close")), "the other unit's goes on");
}

#[test]
fn a_device_of_a_suspended_unit_is_told_nothing_and_its_log_says_why() {
    let mut stage = served();
    let said = stage.play("change p; s1 posts; suspended");
    assert_eq!(said, "read p, s1 4.03, write unit_suspended, s1 close, write offline, list p");
    // No new session comes about, and from outside it looks as with a wrong key.
    let said = stage.play("h2 wants p,d,2,60; unit off; h2 fails; h2 ends");
    assert_eq!(said, "look up p/d, h2 key, write unit_suspended");
    // Who has the product's secret gets no further.
    let said = stage.play("h3 wants p,d,3,60; found; h3 connects; unit off");
    assert!(said.ends_with("s3 close"), "{said}");
    // It is resumed: the device is served as ever.
    assert_eq!(stage.play("change p; on"), "read p");
    let said = stage.play("h4 wants p,d,2,60; found; h4 connects; newest done; s4 posts; newest done");
    assert!(said.contains("s4 2.04"), "{said}");
}

#[test]
fn a_unit_that_is_resumed_at_once_keeps_the_sessions_that_are_not_closed_yet() {
    let mut stage = served();
    stage.play("h9000 wants p,e,2,60; found e; h9000 connects; done");
    assert_eq!(stage.play("change p; suspended"), "read p, s1 close, write offline");
    assert_eq!(stage.play("change p; wait 0; on; done; wait 0"), "read p, tell offline");
    assert!(stage.gateway.is_settled());
}
