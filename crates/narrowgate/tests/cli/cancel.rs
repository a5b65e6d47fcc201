//! `command cancel` and `command show`: which device and which command are meant.

use serde_json::json;

use crate::harness::program;

/// Keys of digits fit the id of a command, and names may stand for two things.
#[test]
fn a_command_is_taken_back_by_any_way_to_name_its_device() {
    for serving in [false, true] {
        let program = program();
        program.json(&["product", "create", "meters", "--product-key", "NbIot001"]);
        for key in ["12345678", "meter-1"] {
            program.json(&["device", "create", "--product", "NbIot001", "--device-key", key]);
        }
        let _server = serving.then(|| program.serve());
        let all = program.json(&["command", "cancel", "NbIot001", "12345678", "--yes"]);
        assert_eq!(all, json!([]));
        for (names, code, said) in [
            (&["NbIot001", "12345679", "--yes"][..], 1, "there is no device NbIot001/12345679"),
            (&["meter-1", "7"], 1, "there is no command 7"),
            (&["meter-2", "7"], 1, "there is no device meter-2"),
            (&["NbIot001", "12345678", "7"], 1, "there is no command 7"),
            (&["NbIot001/12345678", ""], 64, "\"\" is not the id of a command"),
            (&["NbIot001/12345678", "abc"], 64, "\"abc\" is not the id of a command"),
            (&["NbIot001", "12345678", ""], 64, "\"\" is not the id of a command"),
            (&["meter-1", ""], 64, "\"\" is not the id of a command"),
            (&["meter-1", "abc", "--yes"], 64, "\"abc\" is not the id of a command"),
            (&["meter-1", "99999999999999", "--yes"], 64, "\"99999999999999\" is not the id of a command"),
            (&["NbIot001", "meter-3", "--yes"], 1, "there is no device NbIot001/meter-3"),
            (&["meter-4", "abc", "--yes"], 1, "there is no device meter-4"),
        ] {
            program.run(&[&["command", "cancel"], names].concat()).failed(code, &[said]);
        }
        for id in ["abc", "", "0", "2147483648"] {
            let shown = program.run(&["command", "show", "NbIot001/12345678", id]);
            shown.failed(64, &["is not the id of a command", "command list shows"]);
        }
        program.json(&["device", "create", "--product", "NbIot001", "--device-key", "NbIot001"]);
        let both = program.run(&["command", "cancel", "NbIot001", "12345678", "--yes"]);
        both.failed(64, &["two devices may be meant", "NbIot001/12345678 a device"]);
        program.run(&["device", "events", "meter-1", "--type", "warn"]).failed(64, &["INFO, WARN or ERROR"]);
    }
}
