//! How patient the server is in a session: by the look-up of its login, and by what changes while it stands.

use super::{stage::Stage, stories::served};

#[test]
fn a_session_of_a_product_with_slow_radio_is_given_its_profile_when_it_begins() {
    let mut stage = Stage::new();
    let begun = stage.play("h1 wants p,d,2,60; found slow; h1 connects");
    assert_eq!(begun, "look up p/d, h1 key, s1 is Nbiot, write login");
    // One by the product's secret too.
    let begun = Stage::new().play("h1 wants p,d,3,60; found slow; h1 connects");
    assert_eq!(begun, "look up p/d, h1 key, s1 is Nbiot, s1 close in 60s, look up p/d");
}

#[test]
fn a_profile_that_changes_reaches_the_sessions_that_stand() {
    let mut stage = served();
    stage.play("h9000 wants p,e,2,60; found e; h9000 connects; done");
    assert_eq!(stage.play("change p; slow"), "read p, s1 is Nbiot");
    // A large product keeps nobody waiting, and a change of something else stops nothing.
    assert_eq!(stage.play("change p; slow"), "read p");
    assert!(!stage.gateway.is_settled());
    assert_eq!(stage.play("wait 0"), "s9000 is Nbiot");
    assert!(stage.gateway.is_settled());
    // Another change, or none.
    assert_eq!(stage.play("change p; slow; wait 0"), "read p");
    assert_eq!(stage.play("change p; on; wait 0"), "read p, s1 is Default, s9000 is Default");
    assert_eq!(stage.play("change q; wait 0"), "read q");
}

#[test]
fn a_session_that_begins_while_its_product_changes_gets_the_profile_that_was_committed_last() {
    // Looked up before the change, begun after it was read.
    let mut stage = served();
    stage.play("h2 wants p,e,2,60; found e; change p; slow");
    assert_eq!(stage.play("h2 connects"), "s2 is Nbiot, write login");
    // Begun while it is read.
    let mut stage = served();
    stage.play("h2 wants p,e,2,60; found e; change p");
    assert_eq!(stage.play("h2 connects; done; slow"), "write login, tell login, s1 is Nbiot, s2 is Nbiot");
    // And changed back meanwhile.
    let mut stage = served();
    stage.play("h2 wants p,d,2,60; found slow; change p; h2 connects; done");
    assert_eq!(stage.play("change p; slow; on"), "read p, s2 is Default");
}

#[test]
fn a_change_that_could_not_be_read_reaches_them_later() {
    let mut stage = served();
    assert_eq!(stage.play("change p; read fails; wait 1"), "read p, read p");
    assert_eq!(stage.play("slow"), "s1 is Nbiot");
}

#[test]
fn a_session_that_was_to_be_closed_and_stays_has_the_present_profile() {
    let mut stage = served();
    stage.play("h9000 wants p,e,2,60; found e; h9000 connects; done");
    assert_eq!(stage.play("change p; off"), "read p, s1 close, write offline");
    assert_eq!(stage.play("change p; slow; wait 0"), "read p, s1 is Nbiot, s9000 is Nbiot");
}

#[test]
fn a_product_may_have_its_gets_answered_by_2_04_and_what_is_observed_keeps_2_05() {
    let mut stage = served();
    stage.play("send set; commands");
    assert_eq!(stage.play("s1 gets set; done"), "write fetch 1, tell command, s1 2.05 #1");
    // The sessions that stand follow.
    stage.play("change p; answers 2.04");
    let again = stage.play("s1 gets set; done");
    assert!(again.ends_with("s1 2.04 #1"), "{again}");
    assert_eq!(stage.play("s1 counts"), "s1 2.04");
    assert_eq!(stage.play("s1 gets nothing"), "s1 4.04");
    assert_eq!(stage.play("s1 posts; done"), "write report, tell report, s1 2.04");
    assert_eq!(stage.play("s1 observes"), "s1 2.05");
    assert_eq!(stage.play("send get; commands"), "read commands, tell command, s1 told 1 (get)");
    stage.play("change p; on");
    assert_eq!(stage.play("s1 counts"), "s1 2.05 (get)");
    // The answer that has a secret too.
    let mut stage = Stage::new();
    stage.play("h1 wants p,d,3,60; found; h1 connects; found; s1 asks; answers 2.04; found");
    let issued = stage.play("issued");
    assert!(issued.starts_with("tell secret_issued, s1 2.04"), "{issued}");
}
