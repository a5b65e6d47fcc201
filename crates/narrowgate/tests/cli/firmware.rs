//! Images of firmware and their rollouts, by the real binary; also where it is killed in the middle.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::Program;
use serde_json::{Value, json};

use crate::harness::{names, program_with_device};

/// Bytes that do not repeat in pieces.
fn image(bytes: usize) -> String {
    (0..bytes).map(|n| char::from(b'!' + ((n * 7 + n / 251 + n / 65_003) % 90) as u8)).collect()
}

fn upload<'a>(file: &'a str, version: &'a str) -> [&'a str; 7] {
    ["firmware", "upload", file, "--product", "pk", "--version", version]
}

fn id_of(uploaded: &Value) -> String {
    uploaded["imageId"].as_str().expect("it has an id").to_owned()
}

fn counts(status: &Value) -> Vec<(&str, u64)> {
    let states = [
        "waiting",
        "offered",
        "sent",
        "accepted",
        "downloading",
        "verifying",
        "burning",
        "done",
        "failed",
        "cancelled",
    ];
    let count = |state| status[state].as_u64().expect("every state has a count");
    states.into_iter().map(|state| (state, count(state))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn the_same_file_is_the_same_image_with_a_server_and_without() {
    let program = program_with_device();
    let text = image(3_000_000);
    let file = program.file("a.bin", &text);
    let first = program.json(&upload(&file, "2.1"));
    let keys: Vec<&str> = first.as_object().expect("it is an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["imageId", "sha256", "size", "version"]);
    assert_eq!((&first["version"], &first["size"]), (&json!("2.1"), &json!(3_000_000)));
    assert_eq!(fs::read_to_string(program.data().join("firmware").join(id_of(&first))).unwrap(), text);
    assert_eq!(program.json(&upload(&file, "2.1")), first);
    let server = program.serve();
    assert_eq!(program.json(&upload(&file, "2.1")), first);
    let second = program.json(&upload(&file, "2.2"));
    assert_ne!(first["imageId"], second["imageId"]);
    drop(server);
    let listed = program.json(&["firmware", "list", "--product", "pk"]);
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|image| &image["imageId"]).collect();
    assert_eq!(ids, [&first["imageId"], &second["imageId"]]);
    assert_eq!(names(&program.data().join("firmware")).len(), 2);
}

#[test]
fn what_is_no_upload_is_refused_and_leaves_nothing() {
    let program = program_with_device();
    let (file, other) = (program.file("a.bin", "the first"), program.file("b.bin", "the other"));
    let empty = program.file("empty.bin", "");
    program.json(&upload(&file, "2.1"));
    for (arguments, code, words) in [
        (
            &upload(&other, "2.1")[..],
            1,
            ["firmware 2.1 of product pk with other bytes exists", "version of its own"],
        ),
        (&upload(&empty, "2.2"), 64, ["size is 0", "1 to 67108864 bytes"]),
        (&upload(&file, ""), 64, ["version is empty", "cannot upload"]),
        (&upload(&file, &"x".repeat(65)), 64, ["version has 65 bytes", "at most 64"]),
        (&upload("none.bin", "2.2"), 1, ["cannot read the image", "none.bin"]),
        (
            &["firmware", "upload", &file, "--product", "nobody", "--version", "1"],
            1,
            ["there is no product nobody", "product list"],
        ),
        (&["firmware", "upload", &file, "--product", "pk"], 64, ["--version", "required"]),
        (&["firmware", "list", "--product", "nobody"], 1, ["there is no product nobody", "cannot list"]),
    ] {
        program.run(arguments).failed(code, &words);
    }
    assert_eq!(program.json(&["firmware", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(names(&program.data().join("firmware")).len(), 1);
    let mut small = program.command(&upload(&other, "3"));
    let ran = small.env("NARROWGATE_STORE_FIRMWARE", "1KiB").output().unwrap();
    assert!(ran.status.success(), "9 bytes are few enough: {ran:?}");
    let large = program.file("c.bin", &image(1025));
    let mut small = program.command(&upload(&large, "4"));
    let ran = small.env("NARROWGATE_STORE_FIRMWARE", "1KiB").output().unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("1 to 1024 bytes"), "{ran:?}");
}

#[test]
fn an_image_without_its_file_is_shown_named_by_a_backup_and_put_back_by_the_same_upload() {
    let program = program_with_device();
    let text = image(100_000);
    let file = program.file("a.bin", &text);
    let uploaded = program.json(&upload(&file, "2.1"));
    let id = id_of(&uploaded);
    let stored = program.data().join("firmware").join(&id);
    let other_text = text.replace('7', "8");
    let damage = [
        ("missing", "is missing", None),
        ("damaged", "has 5 bytes and had 100000", Some("short")),
        // That it is another one shows when it is read.
        ("stored", "is not as it was stored: its SHA-256", Some(&*other_text)),
    ];
    for (number, (state, words, bytes)) in damage.into_iter().enumerate() {
        bytes.map_or_else(|| fs::remove_file(&stored), |bytes| fs::write(&stored, bytes)).unwrap();
        let server = (number > 0).then(|| program.serve());
        let listed = program.run(&["firmware", "list", "-o", "json"]);
        assert_eq!(listed.json()[0]["file"], state);
        let is_warned = listed.stderr.contains("1 image has no whole file, and no device gets it; first: ");
        assert_eq!(is_warned, state != "stored", "{listed:?}");
        assert_eq!(program.json(&["firmware", "status", &id])["file"], state);
        let backup = program.data().with_file_name(format!("backup-{number}"));
        let ran = program.run(&["backup", &backup.display().to_string(), "-o", "json"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["imagesWithoutFile"], json!([id]));
        for words in [words, &*id, "everything else is backed up", "upload the same files again"] {
            assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
        }
        assert_eq!(program.json(&upload(&file, "2.1")), uploaded);
        assert_eq!(fs::read_to_string(&stored).unwrap(), text);
        assert_eq!(program.json(&["firmware", "list"])[0]["file"], "stored");
        drop(server);
    }
    // What is left of the others is backed up, and restores.
    let other = crate::harness::program();
    let backup = program.data().with_file_name("backup-0");
    other.json(&["restore", &backup.display().to_string()]);
    assert_eq!(other.json(&["firmware", "list"])[0]["file"], "missing");
    other.json(&["firmware", "upload", &file, "--product", "pk", "--version", "2.1"]);
    assert_eq!(other.json(&["firmware", "list"])[0]["file"], "stored");
    assert_eq!(names(&program.data().join("firmware")), [id]);
}

#[test]
fn a_rollout_is_offered_paused_resumed_and_deleted() {
    let program = program_with_device();
    for key in ["dk-2", "dk-3"] {
        program.json(&["device", "create", "--product", "pk", "--device-key", key]);
    }
    program.json(&["product", "create", "others", "--product-key", "other"]);
    program.json(&["device", "create", "--product", "other", "--device-key", "dk-9"]);
    let file = program.file("a.bin", "the first");
    let id = id_of(&program.json(&upload(&file, "2.1")));
    let server = program.serve();
    let id = &*id;
    for (arguments, code, words) in [
        (
            &["firmware", "offer", "NOTTHERE", "--share", "10"][..],
            1,
            ["no firmware image NOTTHERE", "firmware list"],
        ),
        (&["firmware", "offer", "x", "--device", "dk-1"], 1, ["no firmware image x", "firmware list"]),
        (&["firmware", "offer", id, "--device", "none"], 1, ["no device pk/none", "cannot offer"]),
        (&["firmware", "offer", id, "--device", "other/dk-9"], 1, ["is of product pk", "the device is not"]),
        (&["firmware", "offer", id, "--share", "0"], 64, ["0 is not a number", "from 1 to 100"]),
        (&["firmware", "offer", id, "--share", "101"], 64, ["101 is not a number", "from 1 to 100"]),
        (&["firmware", "offer", id], 64, ["--device", "--share"]),
        (&["firmware", "pause", id], 1, ["was not offered to anybody", "cannot pause"]),
        (&["firmware", "status", "none"], 1, ["no firmware image none", "firmware list"]),
    ] {
        program.run(arguments).failed(code, &words);
    }
    let offered = program.json(&["firmware", "offer", id, "--device", "dk-2", "pk/dk-3"]);
    let right = json!({
        "imageId": id, "devices": 2, "alreadyIn": 0, "haveIt": 0, "neverLoggedIn": 2, "chosen": 2, "of": 2,
        "state": "running"
    });
    assert_eq!(offered, right);
    let status = program.json(&["firmware", "status", id]);
    assert_eq!((counts(&status), &status["share"]), (vec![("waiting", 2)], &Value::Null));
    assert_eq!(program.json(&["firmware", "offer", id, "--share", "100"])["devices"], 1);
    program.run(&["firmware", "offer", id, "--share", "99"]).failed(1, &["offered to 100 %", "only grows"]);
    let devices = program.json(&["firmware", "status", id, "--devices"]);
    let states: Vec<_> = devices
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["deviceKey"].as_str(), row["state"].as_str()))
        .collect();
    let waiting = Some("waiting");
    assert_eq!(states, [(Some("dk-1"), waiting), (Some("dk-2"), waiting), (Some("dk-3"), waiting)]);
    program.run(&["firmware", "delete", id, "--yes"]).failed(1, &["3 devices are to get image", "pause"]);
    program.run(&["firmware", "delete", id]).failed(64, &["nothing was deleted", "--yes"]);
    drop(server);
    let paused = program.json(&["firmware", "pause", id]);
    assert_eq!((&paused["paused"], &paused["pausedBy"]), (&json!(true), &json!("operator")));
    assert_eq!(program.json(&["firmware", "resume", id])["paused"], false);
    program.json(&["firmware", "pause", id]);
    assert_eq!(program.json(&["firmware", "delete", id, "--yes"])["imageId"], id);
    assert_eq!(program.json(&["firmware", "list"]), json!([]));
    assert!(names(&program.data().join("firmware")).is_empty());
    assert_eq!(program.json(&["device", "show", "dk-2"])["firmware"], Value::Null);
}

#[test]
fn an_offer_and_a_list_say_in_words_what_devices_wait_for() {
    let program = program_with_device();
    let file = program.file("a.bin", "the first");
    let id = id_of(&program.json(&upload(&file, "2.1")));
    let table = || program.run(&["firmware", "list", "-o", "table"]).stdout;
    assert!(table().lines().any(|line| line.trim_end().ends_with("not offered")), "{}", table());
    program.json(&["firmware", "offer", &id, "--device", "dk-1"]);
    assert!(table().lines().any(|line| line.trim_end().ends_with("by name")), "{}", table());
    let ran = program.run(&["firmware", "offer", &id, "--device", "dk-1"]);
    assert!(ran.stderr.contains("1 device waits for its first login"), "{}", ran.stderr);
    program.run(&["firmware", "delete", &id, "--yes"]).failed(1, &["1 device is to get image", "pause"]);
    program.json(&["firmware", "pause", &id]);
    let ran = program.run(&["firmware", "offer", &id, "--share", "100"]);
    let (columns, note) = (ran.stdout.split_whitespace().collect::<Vec<_>>().join(" "), &ran.stderr);
    assert!(columns.contains("devices 0 already in 1 have it 0 never logged in 1"), "{columns}");
    assert!(columns.ends_with("state paused by an operator"), "{columns}");
    assert!(note.contains("the rollout is paused") && note.contains("firmware resume"), "{note}");
    let listed = table();
    assert!(listed.lines().any(|line| line.trim_end().ends_with("100 %, paused by an operator")), "{listed}");
    assert_eq!(program.json(&["firmware", "list"])[0]["rollout"]["pausedBy"], "operator");
}

#[test]
fn a_product_without_devices_is_offered_nothing_and_takes_its_images_with_it() {
    let program = program_with_device();
    program.json(&["product", "create", "empty", "--product-key", "empty"]);
    let file = program.file("a.bin", "the first");
    let uploaded = program.json(&["firmware", "upload", &file, "--product", "empty", "--version", "1"]);
    let id = id_of(&uploaded);
    program
        .run(&["firmware", "offer", &id, "--share", "10"])
        .failed(1, &["product empty has no devices", "cannot offer"]);
    // So does what an upload has left.
    let large = program.file("large.bin", &image(40 << 20));
    let mut command =
        begin(&program, &["firmware", "upload", &large, "--product", "empty", "--version", "2"]);
    wait_until(|| names(&program.data().join("firmware")).len() == 2);
    command.kill().unwrap();
    command.wait().unwrap();
    assert_eq!(names(&program.data().join("firmware")).len(), 2);
    program.json(&["product", "delete", "empty", "--yes"]);
    program.run(&["firmware", "status", &id]).failed(1, &["no firmware image"]);
    assert!(names(&program.data().join("firmware")).is_empty());
}

#[test]
fn a_listener_and_the_metrics_see_a_rollout_begin_and_pause() {
    let program = program_with_device();
    let file = program.file("a.bin", "the first");
    let id = id_of(&program.json(&upload(&file, "2.1")));
    let server = program.serve();
    let listener = program.listen(&["--product", "pk"]);
    program.json(&["firmware", "offer", &id, "--device", "dk-1"]);
    let begun = listener.next_event();
    assert_eq!(
        (&begun["event"], &begun["imageId"], &begun["waiting"]),
        (&json!("rollout"), &json!(id), &json!(1))
    );
    assert_eq!((&begun["productKey"], &begun["pausedBy"]), (&json!("pk"), &Value::Null));
    program.json(&["firmware", "pause", &id]);
    assert_eq!(listener.next_event()["pausedBy"], "operator");
    let metrics = crate::server::get(&server.address("http"), "/metrics");
    assert!(metrics.contains("narrowgate_rollouts{state=\"paused_by_operator\"} 1\n"), "{metrics}");
}

fn begin(program: &Program, arguments: &[&str]) -> Child {
    let mut command = program.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let ends = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < ends, "it does not come");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_upload_goes_on_where_a_killed_server_or_a_killed_command_left_it() {
    let program = program_with_device();
    let text = image(40 << 20);
    let file = program.file("a.bin", &text);
    let folder = program.data().join("firmware");
    let part_bytes = || {
        let entries = fs::read_dir(&folder).ok()?.flatten();
        let mut parts = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "part"));
        parts.next()?.metadata().ok().map(|part| part.len())
    };
    let mut had = 0;
    for round in 0..2 {
        let mut server = program.serve();
        let mut command = program.command(&upload(&file, "2.1"));
        let mut command = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until(|| part_bytes().is_some_and(|bytes| bytes > had));
        if round == 0 {
            server.kill();
        } else {
            command.kill().unwrap();
        }
        let said = String::from_utf8(command.wait_with_output().unwrap().stderr).unwrap();
        let advice = "try     upload the same file again: it goes on where it stopped";
        assert_eq!(said.contains(advice), round == 0, "{said}");
        drop(server);
        let left = part_bytes().expect("the part stays");
        assert!(left >= had, "{left} {had}");
        had = left;
        assert_eq!(program.json(&["firmware", "list"]), json!([]));
    }
    let uploaded = program.json(&upload(&file, "2.1"));
    assert_eq!(names(&folder), [id_of(&uploaded)]);
    assert!(
        fs::read_to_string(folder.join(id_of(&uploaded))).unwrap() == text,
        "the bytes are those of the file"
    );
}

#[test]
fn an_offer_that_a_killed_server_cut_off_is_made_whole_by_the_next_one() {
    let program = program_with_device();
    let rows: String = (0..3000).map(|number| format!("d{number:04}\n")).collect();
    let rows = program.file("rows.csv", &format!("deviceKey\n{rows}"));
    let secrets = program.data().with_file_name("secrets.csv").display().to_string();
    program.json(&["device", "import", &rows, "--product", "pk", "--secrets-out", &secrets]);
    let file = program.file("a.bin", "the first");
    let id = id_of(&program.json(&upload(&file, "2.1")));
    for wait_ms in [5, 20, 60] {
        let mut server = program.serve();
        let mut command = begin(&program, &["firmware", "offer", &id, "--share", "100"]);
        thread::sleep(Duration::from_millis(wait_ms));
        server.kill();
        let _ = command.wait();
        drop(server);
        // Whatever was made is whole: a count for each device, and none twice.
        let status = program.json(&["firmware", "status", &id]);
        let listed = program.json(&["firmware", "status", &id, "--devices", "--all"]);
        let all: u64 = counts(&status).iter().map(|(_, count)| count).sum();
        assert_eq!(listed.as_array().unwrap().len() as u64, all);
    }
    program.json(&["firmware", "offer", &id, "--share", "100"]);
    assert_eq!(counts(&program.json(&["firmware", "status", &id])), [("waiting", 3001)]);
}

#[test]
fn an_upload_from_standard_input_is_one_of_a_file() {
    let program = program_with_device();
    let file = program.file("a.bin", "the first");
    let from = |stdin: Stdio| {
        let mut command = program.command(&upload("-", "2.1"));
        command.stdin(stdin).output().unwrap()
    };
    let mut pipe = Command::new("echo").stdout(Stdio::piped()).spawn().unwrap();
    for stdin in [Stdio::null(), pipe.stdout.take().unwrap().into()] {
        let ran = from(stdin);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{said}");
        for words in
            ["cannot read the image", "standard input", "it is not a file", "firmware upload - <FILE"]
        {
            assert!(said.contains(words), "{said}");
        }
    }
    pipe.wait().unwrap();
    let ran = from(fs::File::open(&file).unwrap().into());
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(program.json(&["firmware", "list"])[0]["version"], "2.1");
}
