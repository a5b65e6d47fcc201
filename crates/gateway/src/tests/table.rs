//! What the machine does in each state with each input: `table.txt`, one row a line. A change of behaviour
//! shows there as a changed line.

use std::fmt::Write as _;

use super::stage::{Kind, Stage};

/// How a device's handshake h1 and session s1 reach each state.
const STATES: &[(&str, &str)] = &[
    ("nothing", ""),
    ("asked", "h1 wants p,d,2,60"),
    ("admitted", "h1 wants p,d,2,60; found"),
    ("refused", "h1 wants p,d,2,60; unknown"),
    ("logging in", "h1 wants p,d,2,60; found; h1 connects"),
    ("logged in", "h1 wants p,d,2,60; found; h1 connects; done"),
    ("reading", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts"),
    ("storing", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on"),
    ("changing", "h1 wants p,d,2,60; found; h1 connects; done; s1 sets \"a\":1; on"),
    ("querying", "h1 wants p,d,2,60; found; h1 connects; done; s1 queries; on"),
    ("informing", "h1 wants p,d,2,60; found; h1 connects; done; s1 informs 2.0; on"),
    ("fetching", "h1 wants p,d,2,60; found; h1 connects; done; s1 fetches 0; on"),
    ("served", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done"),
    ("silent", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; wait 61; done"),
    ("going offline", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; wait 61"),
    ("changed", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; change p"),
    ("product off", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; change p; off; done"),
    ("in mode 3", "h1 wants p,d,3,60; found; h1 connects"),
    ("to activate", "h1 wants p,d,3,60; found; h1 connects; found; s1 posts; on; done"),
    ("wishing", "h1 wants p,d,3,60; found; h1 connects; found; s1 asks; on"),
    ("issuing", "h1 wants p,d,3,60; found; h1 connects; found; s1 asks; on; found"),
    ("diagnosing", "h1 wants p,d,2,60; found; h1 fails"),
    ("queue read", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; send set"),
    ("queued", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; send set; commands"),
    (
        "handing over",
        "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; send set; commands; s1 gets set",
    ),
    (
        "handed over",
        "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; send set; commands; \
         s1 gets set; done",
    ),
    ("observing", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; s1 observes"),
    ("versions", "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; on; done; s1 asks for versions"),
    ("decoding", "h1 wants p,d,2,60; found; h1 connects; done; s1 sends {}; custom copy"),
    (
        "encoding",
        "h1 wants p,d,2,60; found; h1 connects; done; s1 posts; custom copy; done; send upgrade; commands; \
         s1 GET /topic/sys/p/d/thing/model/down_raw",
    ),
];

/// What may happen in every state.
const EVENTS: &[&str] = &[
    "h1 fails",
    "h1 ends",
    "h1 connects",
    "s1 posts",
    "s1 posts nonsense",
    "s1 asks",
    "s1 gets set",
    "s1 floods",
    "s1 cancels",
    "s1 heard",
    "s1 leaves",
    "s1 ends",
    "close d",
    "send set",
    "change p",
    "rotate p",
    "wait 61",
    "settle",
];

/// How a question may be answered.
const fn answers(kind: Kind, is_issue: bool) -> &'static [&'static str] {
    match kind {
        Kind::Lookup => &["found", "device off", "product off", "unknown", "lookup fails"],
        Kind::Product => &["on", "off", "gone", "read fails"],
        Kind::Write if is_issue => &["issued", "damaged", "reset", "write fails"],
        Kind::Write => {
            &["done", "activated", "superseded", "outrun", "unknown login", "refused", "write fails"]
        }
        Kind::Properties => &["has a", "query fails"],
        Kind::Commands => &["commands", "commands fail"],
        Kind::OnlineOf => &["lists none", "lists d", "list fails"],
        Kind::Diagnosis => &["diagnosed"],
        Kind::Script => &["runs", "fails throws", "fails busy"],
        Kind::Upgrades => &["offers 2.0", "offers fail"],
        Kind::Piece => &["piece", "no image", "piece fails"],
    }
}

#[test]
fn every_input_in_every_state_has_the_effects_of_the_table() {
    let mut rows = String::new();
    for (state, script) in STATES {
        let reached = || {
            let mut stage = Stage::new();
            stage.play(script);
            stage
        };
        let asked = reached().asked;
        let answers = asked.iter().flat_map(|(kind, _)| answers(*kind, *state == "issuing"));
        for input in answers.chain(EVENTS) {
            let effects = reached().input(input);
            writeln!(rows, "{}", format!("{state:<13} | {input:<17} | {effects}").trim_end())
                .expect("into memory");
        }
    }
    let (_head, table) = include_str!("table.txt").split_once('\n').expect("it has a head");
    assert_eq!(table, rows, "the table as it is now:\n{rows}");
}
