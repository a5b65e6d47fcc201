//! `device import` by the real binary: what it refuses, what it never changes, and where generated secrets
//! go.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use narrowgate_testkit::program::{Program, Ran};

use crate::harness::program;
use serde_json::{Value, json};

/// 128 bits.
const SECRET: &str = "0f8c3e71a5d2964b0f8c3e71a5d2964b";

fn with_product() -> Program {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    program
}

fn import(program: &Program, file: &str, more: &[&str]) -> Ran {
    program.run(&[&["device", "import", file, "--product", "pk"][..], more].concat())
}

/// What an import printed as JSON, whether rows failed or not.
#[track_caller]
fn summary(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn devices(program: &Program) -> Vec<String> {
    let page = program.json(&["device", "list", "--limit", "1000"]);
    let keys = page["devices"].as_array().unwrap().iter();
    keys.map(|device| device["deviceKey"].as_str().unwrap().to_owned()).collect()
}

fn secret_of(program: &Program, device: &str) -> String {
    program.json(&["device", "secret", "pk", device])["deviceSecret"].as_str().unwrap().to_owned()
}

#[test]
fn attack_214_a_damaged_file_names_its_rows_and_changes_no_secret() {
    let program = with_product();
    program.json(&["device", "create", "--product", "pk", "--device-key", "ts00", "--device-secret", SECRET]);
    let text = format!(
        "deviceKey,deviceSecret,name\r\n\
         ts00,other secret of ts00,a\r\n\
         ts01,\" {SECRET} \",b\r\n\
         8.67725E+14,{SECRET},c\r\n\
         867725030096430.0,{SECRET},d\r\n\
         '867725030096431,{SECRET},e\r\n\
         \"=\"\"867725030096432\"\"\",{SECRET},f\r\n\
         ts02,\"{SECRET},g\r\n\
         ts03,{SECRET} ,h\r\n\
         ts04,{SECRET},i,,\r\n\
         \"ts05 \",{SECRET},j\r\n\
         imei0004;secret\r\n\
         ,,\r\n\
         ts06,{SECRET},k\r\n\
         ts06,{SECRET},l\r\n\
         ts07,\"{SECRET},m"
    );
    let rows = text.lines().count() - 1 - 1;
    let file = program.file("rows.csv", &text);
    for dry_run in [&["--dry-run"][..], &[]] {
        let ran = import(&program, &file, &[&["-o", "json"], dry_run].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
        let summary = summary(&ran);
        let failed = summary["failed"].as_array().unwrap();
        let places: Vec<(u64, Option<&str>)> =
            failed.iter().map(|fault| (fault["line"].as_u64().unwrap(), fault["column"].as_str())).collect();
        let expected = [
            (2, Some("deviceSecret")),
            (4, Some("deviceKey")),
            (5, Some("deviceKey")),
            (6, Some("deviceKey")),
            (7, Some("deviceKey")),
            (8, Some("deviceSecret")),
            (9, Some("deviceSecret")),
            (11, Some("deviceKey")),
            (12, None),
            (15, Some("deviceKey")),
            (16, Some("deviceSecret")),
        ];
        assert_eq!(places, expected, "{summary}");
        assert_eq!((&summary["created"], &summary["skipped"]), (&json!(3), &json!(0)));
        assert_eq!(3 + failed.len(), rows, "every row is counted once");
        assert!(failed[0]["message"].as_str().unwrap().contains("not changed"), "{summary}");
    }
    assert_eq!(devices(&program), ["ts00", "ts01", "ts04", "ts06"]);
    assert_eq!(secret_of(&program, "ts00"), SECRET);
    assert_eq!(secret_of(&program, "ts01"), format!(" {SECRET} "));
    assert_eq!(secret_of(&program, "ts04"), SECRET);
}

#[test]
fn what_secrets_out_writes_can_be_imported() {
    let program = with_product();
    let secrets = program.data().with_file_name("secrets.csv").display().to_string();
    let file = program.file("rows.csv", "deviceKey\nd1\nd\"2\nd3\n");
    import(&program, &file, &["--secrets-out", &secrets, "-o", "json"]).json();
    let made: Vec<String> = ["d1", "d\"2", "d3"].map(|device| secret_of(&program, device)).to_vec();

    // Where they come from: nothing is brought, and so nothing is warned about.
    let again = import(&program, &secrets, &["-o", "json"]).json();
    assert_eq!(again, json!({"created": 0, "skipped": 3, "failed": [], "sameSecret": 3}));
    let again = import(&program, &secrets, &[]);
    assert_eq!(
        again.stdout,
        "0 created, 3 skipped, 0 failed\n  skipped: 3, because the device exists with the same secret\n"
    );
    assert_eq!(again.stderr, "");

    // Elsewhere.
    let other = with_product();
    let ran = import(&other, &secrets, &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "3 created, 0 skipped, 0 failed\n"), "{ran:?}");
    assert!(!ran.stderr.contains("warning"), "narrowgate made these secrets itself: {ran:?}");
    for (device, secret) in ["d1", "d\"2", "d3"].iter().zip(&made) {
        assert_eq!(secret_of(&other, device), *secret);
    }

    // For another product, and with another secret.
    other.json(&["product", "create", "others", "--product-key", "pk2"]);
    let ran = other.run(&["device", "import", &secrets, "--product", "pk2", "-o", "json"]);
    assert_eq!((ran.code, &summary(&ran)["failed"][0]["column"]), (1, &json!("productKey")), "{ran:?}");
    let changed = other.file("changed.csv", &format!("deviceKey,deviceSecret\nd1,{SECRET}\n"));
    let ran = import(&other, &changed, &["-o", "json"]);
    assert_eq!(
        summary(&ran)["failed"],
        json!([{"line": 2, "column": "deviceSecret", "message": 
            "the device exists with another secret, which was not changed"}])
    );
    assert_eq!(secret_of(&other, "d1"), made[0]);
}

#[test]
fn attack_083_weak_secrets_of_an_import_are_flagged() {
    let program = with_product();
    let file = program.file("rows.csv", &format!("deviceKey,deviceSecret\nd1,{SECRET}\nd2,12345678\n"));
    let ran = import(&program, &file, &["--dry-run"]);
    assert!(ran.stderr.contains("warning: 1 secret has fewer than 128 bits"), "{ran:?}");
    assert!(ran.stderr.contains("in line 3, has about 14"), "{ran:?}");
    let weak = &import(&program, &file, &["-o", "json"]).json()["weakSecrets"];
    assert_eq!(*weak, json!({"count": 1, "weakestBits": 14, "weakestLine": 3, "asGenerated": 0}));
}

#[test]
fn without_a_place_for_its_secrets_nothing_is_created() {
    let program = with_product();
    let file = program.file("rows.csv", "deviceKey\nd1\nd2\n");
    let near = |name: &str| program.data().with_file_name(name).display().to_string();
    import(&program, &file, &[]).failed(64, &["2 devices have no secret", "--secrets-out"]);
    import(&program, &file, &["--secrets-out", &near("none/s.csv")])
        .failed(1, &["cannot create", "none/s.csv"]);
    let kept = program.file("kept.csv", "kept");
    import(&program, &file, &["--secrets-out", &kept]).failed(1, &["exists already", "kept.csv"]);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");
    import(&program, &file, &["--secrets-out", "/dev/full"]).failed(1, &["exists already"]);

    // An import that failed before it began leaves the name free.
    let secrets = near("s.csv");
    let ran = program.run(&["device", "import", &file, "--product", "other", "--secrets-out", &secrets]);
    ran.failed(1, &["cannot import the devices", "there is no product other"]);
    import(&program, "/nowhere", &["--secrets-out", &secrets]).failed(1, &["/nowhere"]);
    assert!(!std::path::Path::new(&secrets).exists());

    // A disk that fills up after the header: this process may write no file beyond one block, the server may.
    let many: String = (0..1200).map(|number| format!("d{number}\n")).collect();
    let many = program.file("many.csv", &format!("deviceKey\n{many}"));
    let server = program.serve();
    let command = program.command(&["device", "import", &many, "--product", "pk", "--secrets-out", &secrets]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let script = format!("trap '' XFSZ; ulimit -f 1; exec {}", line.join(" "));
    let ran = Ran::from(Command::new("sh").args(["-c", &script]).output().unwrap());
    ran.failed(1, &["cannot write the secrets", "s.csv", "were not created"]);
    assert_eq!(devices(&program), Vec::<String>::new());
    assert!(!std::path::Path::new(&secrets).exists(), "it holds no secret");
    server.signal("TERM");
    assert_eq!(server.wait().0, 0);

    import(&program, &file, &["--secrets-out", &secrets, "-o", "json"]).json();
    assert_eq!(devices(&program), ["d1", "d2"]);
}

#[test]
fn a_product_whose_devices_fetch_their_secrets_needs_no_file() {
    let program = with_product();
    let file = program.file("rows.csv", "deviceKey\nd1\nd2\n");
    import(&program, &file, &[]).failed(64, &["2 devices have no secret"]);
    program.json(&["product", "update", "pk", "--dynamic-activation", "on"]);
    let ran = import(&program, &file, &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "2 created, 0 skipped, 0 failed\n"), "{ran:?}");
    assert!(ran.stderr.contains("2 of the devices came without a secret: they fetch their own"), "{ran:?}");
    assert_eq!(devices(&program), ["d1", "d2"]);
}

#[test]
fn a_pipe_is_imported_as_it_comes() {
    let program = with_product();
    let _server = program.serve();
    let mut child = program
        .command(&["device", "import", "-", "--product", "pk"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"deviceKey,deviceSecret\n").unwrap();
    for number in 0..600 {
        writeln!(input, "d{number},{SECRET}").unwrap();
    }
    // The first piece is there before the pipe ends.
    while devices(&program).len() < 500 {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // A row without a secret has no place for it: the pieces before it stay.
    input.write_all(b"last,\n").unwrap();
    drop(input);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "500 created, 0 skipped, 0 failed\n"), "{ran:?}");
    assert!(ran.stderr.contains("the device on line 602 has no secret"), "{ran:?}");
    assert!(ran.stderr.contains("rows up to line 501 were processed"), "{ran:?}");
    assert_eq!(devices(&program).len(), 500);
}

#[test]
fn a_long_import_shows_on_a_terminal_how_far_it_is() {
    let program = with_product();
    let rows: String = (0..5000).map(|number| format!("d{number}\n")).collect();
    let file = program.file("rows.csv", &format!("deviceKey\n{rows}"));
    let command = program.command(&["device", "import", &file, "--product", "pk", "--dry-run"]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    // script(1) runs a command on a terminal of its own.
    let mut script = Command::new("script")
        .args(["-qec", &line.join(" "), "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said: Vec<String> =
        BufReader::new(script.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    assert!(script.wait().unwrap().success());
    let said = said.join("\n");
    assert!(said.contains("\r500 of 5000\r1000 of 5000"), "{said}");
    assert!(said.contains("\r5000 of 5000\n"), "{said}");
}

#[test]
fn a_secret_that_is_a_number_in_json_is_named_and_not_shown() {
    let program = with_product();
    let long = "水".repeat(128);
    let text = format!(
        "{{\"deviceKey\":\"d1\",\"deviceSecret\":12345678901234}}\n\
         {{\"deviceKey\":\"d2\",\"deviceSecret\":\"{SECRET}\",\"name\":\"{long}\"}}\n"
    );
    let file = program.file("rows.jsonl", &text);
    let ran = import(&program, &file, &["-o", "json"]);
    assert_eq!(
        summary(&ran),
        json!({"created": 1, "skipped": 0, "failed": [{"line": 1, "column": "deviceSecret",
            "message": "it is a number; write it in quotation marks"}]})
    );
    let ran = import(&program, &file, &[]);
    assert!(!format!("{ran:?}").contains("12345678901234"), "{ran:?}");
    assert_eq!(program.json(&["device", "show", "pk", "d2"])["name"], long);
}

#[test]
fn keys_that_differ_in_case_alone_are_imported_with_a_warning() {
    let program = with_product();
    let file = program.file("rows.csv", "deviceKey,deviceSecret\nab1,s-1\nAB1,s-2\nc1,s-3\nAb1,s-4\n");
    let said = "2 of the device keys differ from another one in the file only in upper and lower case \
                (lines 3 and 2, 5 and 2)";
    for more in [&["--dry-run"][..], &[]] {
        let ran = import(&program, &file, more);
        assert!(ran.code == 0 && ran.stderr.contains(said), "{ran:?}");
    }
    assert_eq!(devices(&program).len(), 4);
}
