//! Mistakes at the command line, and the sentence that says what was meant.

use std::net::UdpSocket;

use narrowgate_testkit::program::Ran;

use crate::harness::{program, program_with_device};

const USAGE: i32 = 64;

#[test]
fn a_wrong_argument_is_told_what_was_meant() {
    let program = program_with_device();
    let range = "is not a number from 1 to 10000";
    for (arguments, said) in [
        (&["refused", "--limit", "ten"][..], &*format!("ten {range}")),
        (&["refused", "--limit", "0"], &format!("0 {range}")),
        (&["refused", "--limit", "-5"], &format!("-5 {range}")),
        (&["product", "update", "pk", "--quota", "x"], "x is not a number from 0 to 4294967295"),
        (&["refused", "pk/dk-1"], "narrowgate device log pk/dk-1"),
        (&["refused", "--device", "dk-1"], "narrowgate device log dk-1"),
        (&["refused", "--device=dk-1"], "narrowgate device log dk-1"),
        (&["status", "--json"], "-o json"),
        (&["device", "list", "-j"], "-o json"),
        (&["product", "update", "pk", "--activation-quota", "1"], "'--quota'"),
        (&["serve", "--dtls", "localhost:15690"], "give an address such as 127.0.0.1:15690"),
        (&["device", "points", "dk-1", "--from", "1795853259"], "looks like seconds"),
        (&["config", "dtls.listn"], "dtls.listen   (narrowgate config lists every key)"),
    ] {
        program.run(arguments).failed(USAGE, &[said]);
    }
    let ran = program.run(&["product", "update", "pk", "--activation-quota", "1"]);
    assert!(!ran.stderr.contains("activation-ends'"), "{ran:?}");
    let help = program.run(&["device", "show", "--help"]);
    assert!(help.stdout.contains("show [OPTIONS] <PK/DK> [DK]"), "{help:?}");
    assert_eq!(program.json(&["config", "dtls.listen"]).as_array().unwrap().len(), 1);
    program.json(&["device", "points", "dk-1", "--from", "2026-11-01"]);
}

#[test]
fn a_name_that_nothing_has_is_told_the_one_that_is_meant() {
    let program = program_with_device();
    program.json(&["product", "create", "other", "--product-key", "pk2"]);
    let file = program.file("devices.csv", "deviceKey,deviceSecret\nd,0123456789abcdefghijklmnopqrstuv\n");
    let asked: [&[&str]; 9] = [
        &["device", "show", "pk2/dk-1"],
        &["device", "log", "wrong", "dk-1"],
        &["device", "import", &file, "--product", "meters"],
        &["device", "list", "--product", "meters"],
        &["device", "create", "--product", "meters"],
        &["device", "show", "meters/dk-1"],
        &["product", "show", "meters"],
        &["product", "update", "meters", "--name", "n"],
        &["product", "delete", "meters", "--yes"],
    ];
    for (index, arguments) in asked.into_iter().enumerate() {
        let said = match index {
            0 | 1 | 5 => "device dk-1 is one of product pk: pk/dk-1",
            _ => "meters is a name; its key is pk\n",
        };
        program.run(arguments).failed(1, &[said]);
    }
    let _server = program.serve();
    program.run(&["listen", "--product", "meters"]).failed(1, &["meters is a name; its key is pk\n"]);
}

#[test]
fn a_file_that_is_another_is_told_its_place() {
    let program = program_with_device();
    let readme = program.file("README.md", "# A title\n");
    let create = ["product", "create", "x", "--model", &readme];
    program.run(&create).failed(1, &["README.md line 1 column 1", "it is not JSON", "  try "]);
    let model = program.file("m.json", "[]");
    program.run(&["product", "create", "x", "--model", &model]).failed(1, &["m.json\n", "reason  model "]);
    let workbook = program.file("meters.xlsx", "PK\u{3}\u{4}rest");
    program
        .run(&["device", "import", &workbook, "--product", "pk"])
        .failed(1, &["this is an Excel workbook", "save it as CSV"]);
    let config = program.file("n.toml", "retransmit = \"9s\"\n");
    program.run(&["status", "--config", &config]).failed(78, &["try     dtls.retransmit_initial"]);
}

#[test]
fn what_only_a_server_refuses_hinders_no_other_command() {
    let program = program_with_device();
    let limits =
        "[session]\nanswer_memory = \"9MiB\"\n[dtls]\nshards = 4\n[limits]\nmessage_bytes = \"64KiB\"\n";
    let logins = "[coap]\nlogins_max = 5\n";
    for (text, said) in [(limits, "line 6   (limits.message_bytes)"), (logins, "line 2   (coap.logins_max)")]
    {
        let config = program.file("server.toml", text);
        program.json(&["device", "list", "--config", &config]);
        let shown = program.run(&["config", "--config", &config]);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(
            shown.stderr.contains("a server does not start here") && shown.stderr.contains(said),
            "{shown:?}"
        );
        let serve = ["serve", "--config", &config, "--dtls", "127.0.0.1:0", "--http", "off"];
        program.run(&serve).failed(78, &[said]);
    }
    let config = program.file("server.toml", limits);
    let serve = ["serve", "--config", &config, "--shards", "1", "--dtls", "127.0.0.1:0", "--http", "off"];
    drop(program.serve_with(&serve));
}

#[test]
fn a_place_that_cannot_be_served_from_is_told_what_to_try() {
    let program = program();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let shows = format!("try     ss -lunp 'sport = :{}' shows", taken.local_addr().unwrap().port());
    program.run(&["serve", "--dtls", &address, "--http", "off"]).failed(1, &[&shows, "--dtls 0.0.0.0:PORT"]);
    let serve = ["serve", "--data", "/proc/x", "--dtls", "127.0.0.1:0", "--http", "off"];
    let ran: Ran = program.bare(&serve).output().unwrap().into();
    ran.failed(1, &["choose another directory with --data"]);
    assert!(!ran.stderr.contains("check the disk"), "{ran:?}");
}

#[test]
fn what_is_shown_says_what_it_does_not_know() {
    let program = program_with_device();
    let points = program.run(&["device", "points", "dk-1", "--point", "tmp"]);
    assert_eq!((points.code, &*points.stderr), (0, "there is no point tmp; the device has none yet\n"));
    let weak = [
        "device",
        "create",
        "--product",
        "pk",
        "--device-key",
        "DK-1",
        "--device-secret",
        "0123456789abcdef",
    ];
    let created = program.run(&weak);
    assert!(created.code == 0 && created.stdout.contains(" warnings "), "{created:?}");
    assert!(!created.stdout.contains('['), "{created:?}");
    let mut command = program.command(&["product", "list", "-o", "json"]);
    let ran: Ran = command.env("NARROWGATE_DTLS_LISTN", "x").output().unwrap().into();
    assert!(ran.json()[0]["productKey"] == "pk", "{ran:?}");
    assert_eq!(
        ran.stderr.matches("unknown setting NARROWGATE_DTLS_LISTN; did you mean dtls.listen?").count(),
        1
    );
}
