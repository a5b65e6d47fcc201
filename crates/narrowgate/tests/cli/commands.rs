//! The command line without a server: shapes of the JSON, exit codes, errors, imports.

use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt as _},
    process::Stdio,
};

use narrowgate_testkit::program::Ran;

use crate::harness::{program, program_with_device};
use serde_json::{Value, json};

/// The fields of an object, in their order.
fn fields(json: &str) -> Vec<String> {
    let mut fields: Vec<(usize, String)> = serde_json::from_str::<Value>(json)
        .unwrap()
        .as_object()
        .unwrap()
        .keys()
        .map(|key| (json.find(&format!("\"{key}\":")).unwrap(), key.clone()))
        .collect();
    fields.sort();
    fields.into_iter().map(|(_, key)| key).collect()
}

#[test]
fn products_have_the_promised_shapes() {
    let program = program();
    let created = program.run(&["product", "create", "meters", "--dynamic-activation", "-o", "json"]);
    assert_eq!(fields(&created.stdout), ["productKey", "productSecret", "name", "dynamicActivationEnabled"]);
    let created = created.json();
    let (key, secret) = (created["productKey"].as_str().unwrap(), created["productSecret"].as_str().unwrap());
    assert_eq!((key.len(), secret.len()), (8, 11));

    let list = program.json(&["product", "list"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    let shown = program.json(&["product", "show", key]);
    assert_eq!(shown["dynamicActivationEnabled"], true);
    assert!(!format!("{list}{shown}").contains(secret), "a secret is shown");

    let changed = program.json(&[
        "product",
        "update",
        key,
        "--name",
        "others",
        "--disable",
        "--dynamic-activation",
        "off",
    ]);
    assert_eq!(
        (&changed["name"], &changed["enabled"], &changed["dynamicActivationEnabled"]),
        (&json!("others"), &json!(false), &json!(false))
    );
    program.run(&["product", "update", key]).failed(64, &["nothing to change"]);
}

#[test]
fn a_product_s_secret_is_replaced_at_once_and_shown_once() {
    let program = program();
    let product = program.json(&["product", "create", "meters", "--product-key", "MuGsF6W4"]);
    let without = program.run(&["product", "rotate-secret", "MuGsF6W4"]);
    without.failed(64, &["nothing was replaced", "give --yes"]);
    let rotated = program.run(&["product", "rotate-secret", "MuGsF6W4", "--yes", "-o", "json"]);
    assert_eq!(fields(&rotated.stdout), ["productSecret"]);
    let secret = rotated.json()["productSecret"].as_str().unwrap().to_owned();
    assert_eq!(secret.len(), 11);
    assert_ne!(secret, product["productSecret"]);
    let table = program.text(&["product", "rotate-secret", "MuGsF6W4", "--yes"]);
    assert!(!table.contains(&secret) && table.contains("product secret"), "{table}");
    let shown = program.text(&["product", "show", "MuGsF6W4", "-o", "json"]);
    assert!(!shown.contains(&secret), "{shown}");
    program.run(&["product", "rotate-secret", "none", "--yes"]).failed(1, &["there is no product none"]);
}

#[test]
fn devices_have_the_promised_shapes() {
    let program = program();
    let product = program.json(&["product", "create", "meters"]);
    let product = product["productKey"].as_str().unwrap();
    let created = program.run(&["device", "create", "--product", product, "-o", "json"]);
    assert_eq!(fields(&created.stdout), ["assetId", "productKey", "deviceKey", "deviceSecret"]);
    let created = created.json();
    let device = created["deviceKey"].as_str().unwrap();

    let shown = program.json(&["device", "show", product, device]);
    for time in ["activeTime", "lastOnlineTime", "lastOfflineTime", "lastSeenTime", "lifetime"] {
        assert_eq!(shown[time], Value::Null, "{time}");
    }
    assert_eq!((&shown["state"], &shown["enabled"]), (&json!("inactive"), &json!(true)));
    assert_eq!(program.json(&["device", "show", &format!("{product}/{device}")]), shown);
    assert_eq!(program.json(&["device", "show", device]), shown);

    // A list has no version of the firmware, no tags, and no session.
    let mut listed = shown;
    assert_eq!(listed.as_object_mut().unwrap().remove("session"), Some(Value::Null));
    assert_eq!(listed.as_object_mut().unwrap().remove("firmware"), Some(Value::Null));
    assert_eq!(listed.as_object_mut().unwrap().remove("tags"), Some(json!({})));
    let page = program.json(&["device", "list"]);
    assert_eq!(page, json!({"devices": [listed], "nextCursor": null}));
    let secret = program.run(&["device", "secret", device, "-o", "json"]);
    assert_eq!(fields(&secret.stdout), ["deviceSecret", "pskHex", "identity"]);
    let secret = secret.json();
    assert_eq!(secret["deviceSecret"], created["deviceSecret"]);
    assert_eq!(secret["identity"], format!("{product},{device},2,3600"));
    let (text, key) = (program.text(&["device", "secret", device]), secret["pskHex"].as_str().unwrap());
    let line = text.lines().find(|line| line.contains("-psk ")).expect("there is a line for OpenSSL");
    assert!(line.starts_with("  (printf '") && line.contains(&format!(" -psk {key} ")), "{text}");

    let log = program.run(&["device", "log", device, "-o", "json"]).json();
    let events: Vec<&str> =
        log.as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["secret_shown", "secret_shown", "created"], "newest first");
    assert_eq!(program.json(&["device", "points", device]), json!([]));
    assert_eq!(program.json(&["refused"]), json!([]));
}

#[test]
fn attributes_and_tags_are_set_unset_and_shown() {
    let program = program_with_device();
    assert_eq!(program.json(&["device", "attributes", "dk-1"]), json!({}));
    let set = ["device", "attributes", "pk", "dk-1", "--set", r#"{"b":1.50,"a":{"z":[1]}}"#, "-o", "json"];
    assert_eq!(program.text(&set), "{\"a\":{\"z\":[1]},\"b\":1.50}\n", "to the last digit");
    let both = ["device", "attributes", "dk-1", "--set", r#"{"c":true}"#, "--unset", "a", "--unset", "none"];
    assert_eq!(program.json(&both), json!({"b": 1.50, "c": true}));
    assert_eq!(program.json(&["device", "attributes", "pk/dk-1"]), json!({"b": 1.50, "c": true}));
    assert_eq!(
        program.json(&["device", "tags", "dk-1", "--set", r#"{"site/1":"N"}"#]),
        json!({"site/1": "N"})
    );
    let table = program.text(&["device", "tags", "dk-1"]);
    assert_eq!(table, " ID      VALUE\n site/1  \"N\"\n");
    assert_eq!(program.json(&["device", "tags", "dk-1", "--unset", "site/1"]), json!({}));
    assert_eq!(program.text(&["device", "tags", "dk-1"]).trim(), "(none)");
    program.run(&["device", "tags", "dk-1", "--set", "[]"]).failed(64, &["--set is not a JSON object"]);
    let wrong = program.run(&["device", "tags", "dk-1", "--set", r#"{"a b":"v","k":"v"}"#]);
    wrong.failed(64, &["cannot change the device's tags", "tags: /a b: a key is 1 to 100 characters"]);
    assert_eq!(program.json(&["device", "tags", "dk-1"]), json!({}), "nothing was changed");
    program.run(&["device", "tags", "none"]).failed(1, &["there is no device none"]);

    let model = r#"{"modelId":"m","attributes":[{"identifier":"place","dataType":"STRING","required":true},
        {"identifier":"size","dataType":"INT","default":7}]}"#;
    let file = program.file("model.json", model);
    program.json(&["product", "update", "pk", "--model", &file]);
    let place =
        program.json(&["device", "attributes", "dk-1", "--set", r#"{"place":"roof"}"#, "--unset", "b"]);
    assert_eq!(place, json!({"c": true, "place": "roof", "size": 7}), "what is not set has its default");
    for (change, said) in [
        (["--set", r#"{"size":"8"}"#], "/size: must be an integer of 32 bits"),
        (["--set", r#"{"plaice":1}"#], "/plaice: model m has no such attribute"),
        (["--unset", "place"], "/place: model m requires attribute place"),
    ] {
        let refused = program.run(&["device", "attributes", "dk-1", change[0], change[1]]);
        refused.failed(64, &["cannot change the device's attributes", said]);
    }
    program.json(&["device", "delete", "dk-1", "--yes"]);
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
    assert_eq!(program.json(&["device", "attributes", "dk-1"]), json!({"size": 7}), "nothing is left");
}

#[test]
fn events_of_a_device_are_a_list() {
    let program = program_with_device();
    assert_eq!(program.json(&["device", "events", "dk-1"]), json!([]));
    assert_eq!(program.text(&["device", "events", "pk", "dk-1", "--type", "WARN"]).trim(), "(none)");
    let backwards = program.run(&["device", "events", "dk-1", "--from", "2", "--to", "1"]);
    backwards.failed(64, &["--from is not before --to"]);
    program.run(&["device", "events", "none"]).failed(1, &["there is no device none"]);
    program.run(&["device", "events", "dk-1", "--cursor", "x"]).failed(64, &["cursor is not one that"]);
}

#[test]
fn a_device_is_switched_reset_and_deleted() {
    let program = program_with_device();
    let before = program.json(&["device", "secret", "dk-1"])["deviceSecret"].clone();
    assert_eq!(program.json(&["device", "disable", "dk-1"])["state"], "disabled");
    assert_eq!(program.json(&["device", "enable", "pk", "dk-1"])["state"], "inactive");
    let reset = program.json(&["device", "reset", "dk-1", "--yes"]);
    assert_eq!(reset["state"], "inactive");
    assert_ne!(program.json(&["device", "secret", "dk-1"])["deviceSecret"], before);
    assert_eq!(program.json(&["device", "delete", "dk-1", "--yes"])["deviceKey"], "dk-1");
    program
        .run(&["device", "show", "dk-1"])
        .failed(1, &["there is no device dk-1", "narrowgate device list"]);
}

#[test]
fn a_device_s_secret_is_replaced_at_once_and_the_device_stays() {
    let program = program_with_device();
    let before = program.json(&["device", "secret", "dk-1"]);
    let without = program.run(&["device", "rotate-secret", "pk", "dk-1"]);
    without.failed(64, &["nothing was replaced", "give --yes"]);
    let rotated = program.run(&["device", "rotate-secret", "pk/dk-1", "--yes", "-o", "json"]);
    assert_eq!(fields(&rotated.stdout)[..3], ["deviceSecret", "pskHex", "identity"]);
    assert_ne!(rotated.json()["deviceSecret"], before["deviceSecret"]);
    assert_eq!(program.json(&["device", "secret", "dk-1"])["pskHex"], rotated.json()["pskHex"]);
    let log = program.text(&["device", "log", "dk-1"]);
    assert!(log.contains("secret_rotated"), "{log}");
    program.run(&["device", "rotate-secret", "none", "--yes"]).failed(1, &["there is no device none"]);
}

#[test]
fn pages_follow_each_other() {
    let program = program_with_device();
    for number in 2..=5 {
        program.json(&["device", "create", "--product", "pk", "--device-key", &format!("dk-{number}")]);
    }
    let mut seen = Vec::new();
    let mut cursor = None::<String>;
    loop {
        let mut arguments = vec!["device", "list", "--limit", "2"];
        arguments.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor.as_str()]));
        let page = program.json(&arguments);
        seen.extend(page["devices"].as_array().unwrap().iter().map(|device| device["deviceKey"].clone()));
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["dk-1", "dk-2", "dk-3", "dk-4", "dk-5"]);
    assert_eq!(program.json(&["device", "list", "--state", "online"])["devices"], json!([]));
}

#[test]
fn tables_are_for_people() {
    let program = program_with_device();
    let list = program.run(&["product", "list"]);
    assert!(list.stdout.contains("PRODUCT") && list.stdout.contains("meters"), "{list:?}");
    let shown = program.run(&["device", "show", "dk-1"]);
    assert!(shown.stdout.contains("active time") && shown.stdout.contains("inactive"), "{shown:?}");
    let log = program.run(&["device", "log", "dk-1"]);
    assert!(
        log.stdout.contains("created") && log.stdout.contains('T') && log.stdout.contains('Z'),
        "{log:?}"
    );
    assert_eq!(program.run(&["refused"]).stdout, "(none)\n");
}

#[test]
fn bad_usage_is_64_and_help_is_0() {
    let program = program_with_device();
    program.run(&["product", "explode"]).failed(64, &["explode"]);
    program.run(&["device", "create"]).failed(64, &["--product"]);
    program.run(&["device", "list", "--limit", "0"]).failed(64, &["--limit"]);
    program.run(&["device", "points", "dk-1", "--from", "yesterday"]).failed(64, &["2026-11-24T06:12:37Z"]);
    program.run(&["device", "create", "--product", "pk", "--device-key", "a,b"]).failed(64, &["comma"]);
    program.run(&["serve", "--coap", "5683"]).failed(64, &["--coap is wrong", "0.0.0.0:5683"]);
    program.run(&["serve", "--dtls", "5684"]).failed(64, &["--dtls is wrong", "0.0.0.0:5684"]);
    for arguments in
        [&["--help"][..], &["--version"], &["device", "import", "--help"], &["completions", "bash"]]
    {
        let ran = program.run(arguments);
        assert_eq!((ran.code, ran.stdout.is_empty()), (0, false), "{arguments:?}");
    }
}

#[test]
fn help_is_a_command_too() {
    let program = program();
    for (asked, same) in [
        (&["help"][..], &["--help"][..]),
        (&["help", "device"], &["device", "--help"]),
        (&["help", "device", "create"], &["device", "create", "--help"]),
    ] {
        let help = Ran::from(program.bare(asked).output().unwrap());
        assert_eq!((help.code, &*help.stderr), (0, ""), "{asked:?}");
        assert_eq!(help.stdout, Ran::from(program.bare(same).output().unwrap()).stdout);
    }
    Ran::from(program.bare(&["help", "explode"]).output().unwrap()).failed(64, &["explode"]);
}

#[test]
fn what_cannot_be_done_is_1_with_the_reason_and_what_to_try() {
    let program = program_with_device();
    program
        .run(&["product", "show", "other"])
        .failed(1, &["there is no product other", "narrowgate product list"]);
    program.run(&["device", "create", "--product", "other"]).failed(1, &["there is no product other"]);
    program.run(&["product", "create", "n", "--product-key", "pk"]).failed(1, &["exists"]);
    program.run(&["product", "create", "n", "--model", "/nowhere/m.json"]).failed(1, &["/nowhere/m.json"]);
    program.run(&["listen"]).failed(1, &["no server is running", "narrowgate serve"]);
}

#[test]
fn a_mistyped_data_directory_is_not_created() {
    let program = program();
    for arguments in
        [&["product", "list"][..], &["device", "show", "x"], &["refused"], &["listen"], &["config"]]
    {
        program.run(arguments);
        assert!(!program.data().exists(), "{arguments:?}");
    }
    program.run(&["device", "list"]).failed(1, &["there is no store", "no such directory", "--data"]);
}

#[test]
fn a_data_directory_of_another_user_is_named_and_nothing_is_said_of_a_server() {
    let program = program_with_device();
    let as_another = |arguments: &[&str]| {
        // Tests run as root, or this cannot be tried.
        let mut command = program.command(arguments);
        command.uid(65_534).gid(65_534).current_dir("/");
        command.output().ok().map(Ran::from)
    };
    // The program and its folders must be reachable for the other user at all.
    if as_another(&["--version"]).is_none_or(|ran| ran.code != 0) {
        return;
    }
    std::fs::set_permissions(program.data().parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    let said = [
        "cannot use the data directory",
        "permission denied: it belongs to the user with the id 0",
        "--data",
    ];
    let all = || {
        for verb in [
            &["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"][..],
            &["product", "create", "n"],
            &["device", "list"],
            &["listen"],
        ] {
            let ran = as_another(verb).unwrap();
            ran.failed(1, &said);
            assert!(!ran.stderr.contains("server"), "{ran:?}");
        }
    };
    all();
    as_another(&["config"]).unwrap().failed(1, &said);
    // The same where only the socket is closed to others, and whether somebody serves it or not.
    std::fs::set_permissions(program.data(), PermissionsExt::from_mode(0o755)).unwrap();
    let server = program.serve();
    all();
    server.signal("KILL");
    server.wait();
    all();
}

#[test]
fn a_data_directory_that_is_a_file_is_named() {
    let program = program();
    program.file("data", "a file");
    for verb in [
        &["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"][..],
        &["product", "create", "n"],
        &["device", "list"],
        &["listen"],
        &["config"],
    ] {
        program.run(verb).failed(1, &["cannot use the data directory", "it is not a directory", "--data"]);
    }
}

#[test]
fn bad_configuration_is_78_with_its_place() {
    let program = program();
    let config = program.file("n.toml", "[http]\nlisten = \"127.0.0.1:8080\"\n\n[dtls]\nlissen = \"x\"\n");
    for verb in [&["serve"][..], &["product", "list"], &["config"]] {
        let mut arguments = verb.to_vec();
        arguments.extend(["--config", &config]);
        program.run(&arguments).failed(78, &["n.toml line 5", "unknown key dtls.lissen", "dtls.listen"]);
    }
    let wrong = program.command(&["serve"]).env("NARROWGATE_SESSION_IDLE_TIMEOUT", "24").output().unwrap();
    Ran::from(wrong).failed(78, &["NARROWGATE_SESSION_IDLE_TIMEOUT", "\"24\" is not a duration"]);
    program.run(&["serve", "--config", "/nowhere/n.toml"]).failed(78, &["/nowhere/n.toml"]);
}

#[test]
fn every_setting_shows_where_it_came_from() {
    let program = program();
    let config = program.file("n.toml", "[store]\nretention = \"30d\"\n");
    let out = program
        .command(&["config", "-o", "json", "--config", &config])
        .env("NARROWGATE_DTLS_SHARDS", "3")
        .env("NARROWGATE_DTLS_LISTN", "x")
        .output()
        .unwrap();
    let ran = Ran::from(out);
    assert!(
        ran.stderr.contains("unknown setting NARROWGATE_DTLS_LISTN; did you mean dtls.listen?"),
        "{ran:?}"
    );
    let settings = ran.json();
    let setting = |key: &str| {
        settings.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone()
    };
    assert_eq!(
        (&setting("dtls.shards")["value"], &setting("dtls.shards")["source"]),
        (&json!("3"), &json!("NARROWGATE_DTLS_SHARDS"))
    );
    assert_eq!(setting("store.retention")["source"], format!("{config} line 2"));
    assert_eq!(setting("http.listen")["source"], "default");
}

#[test]
fn an_import_is_tried_done_and_done_again() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let rows = "name,deviceKey,deviceSecret\n\
                cellar,dk-1,0f8c3e71a5d2964b0f8c3e71a5d2964b\n,dk-2,\n,\"d,3\",\n,dk-1,\n";
    let file = program.file("rows.csv", rows);
    let secrets = program.data().with_file_name("secrets.csv");
    let import = |more: &[&str]| {
        let mut arguments = vec!["device", "import", &file, "--product", "pk", "-o", "json"];
        arguments.extend(more);
        program.run(&arguments)
    };
    let summary = |ran: &Ran| serde_json::from_str::<Value>(&ran.stdout).unwrap();

    import(&[]).failed(64, &["2 devices have no secret", "--secrets-out"]);
    let tried = import(&["--dry-run"]);
    assert_eq!((tried.code, &summary(&tried)["created"]), (1, &json!(2)), "{tried:?}");
    assert_eq!(program.json(&["device", "list"])["devices"], json!([]), "a dry run changes nothing");

    let done = import(&["--secrets-out", secrets.to_str().unwrap()]);
    assert_eq!(done.code, 1, "some rows failed: {done:?}");
    let failed = summary(&done)["failed"].clone();
    assert_eq!((&failed[0]["line"], &failed[0]["column"]), (&json!(4), &json!("deviceKey")));
    assert_eq!((&failed[1]["line"], &failed[1]["message"]), (&json!(5), &json!("dk-1 is already on line 2")));
    assert_eq!(program.json(&["device", "list"])["devices"].as_array().unwrap().len(), 2);

    assert_eq!(secrets.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let lines = std::fs::read_to_string(&secrets).unwrap();
    let secret = program.json(&["device", "secret", "dk-2"]);
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.contains(&format!(",pk,dk-2,{}\n", secret["deviceSecret"].as_str().unwrap())), "{lines}");

    import(&["--secrets-out", secrets.to_str().unwrap()]).failed(1, &["exists already", "secrets.csv"]);
    let again = import(&["--secrets-out", program.data().with_file_name("more.csv").to_str().unwrap()]);
    assert_eq!((&summary(&again)["created"], &summary(&again)["skipped"]), (&json!(0), &json!(2)));
}

#[test]
fn an_import_of_many_goes_in_pieces_and_reads_standard_input() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let rows: String = (0..1234)
        .map(|number| {
            let secret = format!("0f8c3e71a5d2964b0f8c3e71a5d{number:05}");
            format!("{{\"deviceKey\":\"dk-{number}\",\"deviceSecret\":\"{secret}\"}}\n")
        })
        .collect();
    let input = std::fs::File::open(program.file("rows.jsonl", &rows)).unwrap();
    let out = program
        .command(&["device", "import", "-", "--product", "pk", "-o", "json"])
        .stdin(input)
        .output()
        .unwrap();
    let summary = Ran::from(out).json();
    assert_eq!((&summary["created"], &summary["failed"]), (&json!(1234), &json!([])));
    program.run(&["device", "import", "/nowhere", "--product", "pk"]).failed(1, &["/nowhere"]);
}

#[test]
fn an_import_for_an_unknown_product_makes_nothing() {
    let program = program_with_device();
    let file = program.file("rows.csv", "deviceKey,deviceSecret\ndk-9,0f8c3e71a5d2964b0f8c3e71a5d2964b\n");
    program.run(&["device", "import", &file, "--product", "other"]).failed(1, &["there is no product other"]);
}

#[test]
fn commands_at_the_same_time_wait_for_each_other() {
    let program = program_with_device();
    let start = |number: usize| {
        program
            .command(&[
                "device",
                "create",
                "--product",
                "pk",
                "--device-key",
                &format!("at-once-{number}"),
                "-o",
                "json",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..6).map(start).collect();
    for child in children {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(program.json(&["device", "list"])["devices"].as_array().unwrap().len(), 7);
}
