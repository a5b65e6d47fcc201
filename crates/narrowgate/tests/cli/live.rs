//! Live events over restarts: a listener goes on, and a cursor leads to all that follows it.

use serde_json::Value;

use crate::harness::program_with_device;

/// The number that a change of the tags of the device has set.
fn number(event: &Value) -> Option<u64> {
    event["set"]["n"].as_str()?.parse().ok()
}

#[test]
fn a_listener_goes_on_over_kills_and_restarts_and_another_one_from_a_cursor() {
    const CHANGES: u64 = 12;
    let program = program_with_device();
    let mut server = program.serve();
    let listener = program.listen(&["--types", "report", "--with-cursor"]);
    for n in 0..CHANGES {
        match n % 6 {
            2 => server.kill(),
            5 => server.stop(),
            _ => {}
        }
        // Without a server between, the command makes the change by itself.
        program.json(&["device", "tags", "pk/dk-1", "--set", &format!(r#"{{"n":"{n}"}}"#)]);
        if n % 3 == 2 {
            server = program.serve();
        }
    }
    let heard: Vec<Value> = (0..CHANGES).map(|_| listener.next_event()).collect();
    assert_eq!(heard.iter().map(number).collect::<Vec<_>>(), (0..CHANGES).map(Some).collect::<Vec<_>>());
    assert!(heard.iter().all(|event| event["event"] == "tags" && event["deviceKey"] == "dk-1"), "{heard:?}");
    for n in [0, 4, CHANGES - 2] {
        let event = &heard[usize::try_from(n).unwrap()];
        let from = event["cursor"].as_str().expect("it was asked for");
        let listener = program.listen(&["--types", "report", "--from", from]);
        let rest: Vec<_> = (n + 1..CHANGES).map(|_| number(&listener.next_event())).collect();
        assert_eq!(rest, (n + 1..CHANGES).map(Some).collect::<Vec<_>>());
    }
    program.run(&["listen", "--from", "3-9"]).failed(64, &["cursor"]);
    program.run(&["listen", "--types", "presents"]).failed(64, &["types has \"presents\"", "presence"]);
}
