//! Look-ups of a store that hangs.

use super::stage::Stage;
use crate::lookups::LOOKUPS_MAX;

#[test]
fn look_ups_of_handshakes_and_sessions_that_ended_are_dropped() {
    let mut stage = Stage::new();
    let hangs: String = (1..=LOOKUPS_MAX).map(|slot| format!("h{slot} wants p,d,2,60; ")).collect();
    assert_eq!(stage.play(&hangs), vec!["look up p/d"; LOOKUPS_MAX].join(", "));
    // The store hangs, and a flood of handshakes comes and goes.
    let flood: String = (1000..5000).map(|slot| format!("h{slot} wants p,e,2,60; h{slot} ends; ")).collect();
    assert_eq!(stage.play(&flood), "");
    assert_eq!(stage.play("h9000 wants p,e,2,60"), "");
    // It answers: what nobody waits for is not asked.
    assert_eq!(stage.play("found"), "look up p/e, h1 key");
    assert_eq!(stage.play(&"found; ".repeat(LOOKUPS_MAX - 1)).matches("look up").count(), 0);
    assert_eq!(stage.play("found e"), "h9000 key");
    assert!(stage.gateway.is_settled());

    // A session with the product's secret waits for the store's word in the same line.
    let mut stage = Stage::new();
    assert_eq!(stage.play("h2 wants p,e,3,60; found e"), "look up p/e, h2 key");
    stage.play(&hangs.replace("h2 ", "h1000 "));
    assert_eq!(stage.play("h2 connects"), "s2 close in 60s");
    assert_eq!(stage.play("s2 leaves"), "");
    assert_eq!(stage.play(&"found; ".repeat(LOOKUPS_MAX)).matches("look up").count(), 0);
    assert!(stage.gateway.is_settled());
}
