//! `doctor`, on a machine as it is: what depends on the machine may be well or not, and is only looked at.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, UdpSocket},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    thread,
};

use narrowgate_testkit::program::{Program, Ran};
use serde_json::Value;

use crate::harness::{names, program, program_with_device};

const FIRST: &str = include_str!("../../../http/src/tls/of_tests/first.pem");
const FIRST_KEY: &str = include_str!("../../../http/src/tls/of_tests/first.key.pem");
/// Of the first key, and over since 2020.
const ENDED: &str = include_str!("../../../http/src/tls/of_tests/ended.pem");

/// Ports that nobody has.
const FREE: [&str; 4] = ["--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"];

fn examined(program: &Program, more: &[&str]) -> (Ran, Vec<Value>) {
    let ran = program.run(&[&["doctor", "-o", "json"][..], &FREE, more].concat());
    assert!(ran.code == 0 || ran.code == 1, "{ran:?}");
    let found: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    for finding in &found {
        let fields: Vec<&String> = finding.as_object().expect("it is an object").keys().collect();
        assert_eq!(fields, ["check", "detail", "state", "try"]);
        assert_eq!(finding["state"] == "well", finding["try"].is_null(), "{finding}");
    }
    let failed = found.iter().filter(|finding| finding["state"] == "act").count();
    assert_eq!(ran.code, i32::from(failed > 0), "{ran:?}");
    (ran, found)
}

#[track_caller]
fn expect(found: &[Value], check: &str, state: &str, words: &str) {
    let finding = found.iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("{check} is not among {found:?}"));
    assert!(finding["state"] == state, "{finding}");
    assert!(finding["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{finding}");
}

/// Files with their bytes, in the folder and below.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let at_top = names(folder).into_iter().map(|name| (folder.join(&name), name));
    at_top.filter_map(|(path, name)| Some((name, fs::read(path).ok()?))).collect()
}

#[test]
fn a_directory_that_is_in_order_is_well_and_nothing_is_changed() {
    let program = program_with_device();
    let before = (names(&program.data()), content(&program.data()));
    let (_, found) = examined(&program, &[]);
    assert_eq!((names(&program.data()), content(&program.data())), before);
    for (check, words) in [
        ("server", "none runs"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("configuration", "settings are not"),
        ("dtlsPort", "is free"),
        ("httpPort", "is free"),
        ("http", "programs of this machine alone"),
        ("storeClock", "not behind"),
        ("dataDirectory", "owner's alone"),
        ("dataFiles", "belong to the owner"),
        ("dataKey", "owner's alone"),
        ("storeFormat", "that of this program"),
    ] {
        expect(&found, check, "well", words);
    }
    expect(&found, "addresses", "watch", "this machine alone");
    for check in ["clock", "buffers", "openFiles", "space", "inodes", "fileSystem"] {
        assert!(found.iter().any(|finding| finding["check"] == check), "{check}: {found:?}");
    }
    let table = program.run(&[&["doctor"][..], &FREE].concat());
    assert!(table.stdout.trim_start().starts_with("CHECK"), "{table:?}");
    assert!(!table.stdout.contains("error") && table.stdout.contains("dataKey"), "{table:?}");
}

#[test]
fn a_directory_that_is_not_there_yet_is_not_made() {
    let program = program();
    let (_, found) = examined(&program, &[]);
    expect(&found, "dataDirectory", "well", "the first start makes it");
    expect(&found, "storeFormat", "well", "no store yet");
    assert!(!program.data().exists());
}

#[test]
fn a_data_directory_that_a_server_could_not_use_is_named() {
    let program = program_with_device();
    let key = program.data().join("data.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(program.data(), fs::Permissions::from_mode(0o770)).unwrap();
    let mut registry = fs::read(program.data().join("registry.db")).unwrap();
    registry[60..64].copy_from_slice(&999_u32.to_be_bytes());
    fs::write(program.data().join("registry.db"), &registry).unwrap();
    let (ran, found) = examined(&program, &[]);
    expect(&found, "dataKey", "act", "mode 0644");
    expect(&found, "dataDirectory", "act", "mode 0770");
    expect(&found, "storeFormat", "act", "format 999");
    assert!(ran.code == 1 && ran.stderr.contains(" checks of "), "{}", ran.stderr);
    fs::remove_file(&key).unwrap();
    expect(&examined(&program, &[]).1, "dataKey", "act", "is not there");
}

#[test]
fn a_key_of_another_store_is_named_before_a_start_is_refused() {
    let (program, other) = (program_with_device(), program_with_device());
    let key = program.data().join("data.key");
    fs::copy(other.data().join("data.key"), &key).unwrap();
    let (ran, found) = examined(&program, &[]);
    expect(&found, "dataKey", "act", "is the data key of another store");
    assert_eq!(ran.code, 1);
    program
        .run(&["serve", "--dtls", "127.0.0.1:0", "--http", "off"])
        .failed(1, &["cannot open the store", "the data key of another store"]);
}

#[test]
fn a_port_that_another_program_holds_is_named_with_it() {
    let program = program();
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (dtls, http) = (udp.local_addr().unwrap().to_string(), tcp.local_addr().unwrap().to_string());
    let ran = program.run(&["doctor", "-o", "json", "--dtls", &dtls, "--http", &http]);
    let found: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let holder = format!("held by process {} (", std::process::id());
    expect(&found, "dtlsPort", "act", &holder);
    expect(&found, "httpPort", "act", &holder);
}

#[test]
fn a_certificate_that_has_ended_or_does_not_fit_is_named() {
    let program = program();
    let key = program.file("key.pem", FIRST_KEY);
    fs::create_dir_all(program.data()).unwrap();
    let examined_with = |certificate: &str| {
        let chain = program.file("chain.pem", certificate);
        let text = format!("[http]\ntls_certificate = {chain:?}\ntls_key = {key:?}\n");
        fs::write(program.data().join("narrowgate.toml"), text).unwrap();
        examined(&program, &[]).1
    };
    expect(&examined_with(FIRST), "certificate", "well", "valid until");
    expect(&examined_with(ENDED), "certificate", "act", "it has ended: 2020-01-02");
    let broken = examined_with("none");
    expect(&broken, "certificate", "act", "HTTPS cannot be served");
    expect(&broken, "configuration", "act", "HTTPS cannot be served");
}

#[test]
fn a_running_server_is_well_and_its_ports_are_its_own() {
    let program = program_with_device();
    assert_eq!(program.run(&["doctor", "--ready"]).code, 1, "none runs yet");
    let server = program.serve();
    let (dtls, http) = (server.address("coaps"), server.address("http"));
    let ran = program.run(&["doctor", "-o", "json", "--dtls", &dtls, "--http", &http]);
    let found: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let name = format!("process {} serves devices", server.pid());
    expect(&found, "server", "well", &name);
    expect(&found, "version", "well", "as the running server");
    expect(&found, "dtlsPort", "well", "the running server listens at");
    expect(&found, "httpPort", "well", "the running server listens at");
    // Of a process that is seen.
    assert!(
        found.iter().any(|finding| finding["detail"].as_str().unwrap().starts_with("the server may have"))
    );
    let ran = program.run(&["doctor", "--ready", "-o", "json"]);
    assert!(ran.code == 0 && ran.stdout.contains(r#""check":"server","state":"well""#), "{ran:?}");
    server.signal("TERM");
    assert_eq!(server.wait().0, 0);
    assert_eq!(program.run(&["doctor", "--ready"]).code, 1, "none runs any more");
}

/// Answers as a server of version 0.0.9 would.
fn older_server(data: &Path) {
    let listener = UnixListener::bind(data.join("control.sock")).unwrap();
    let answer = |mut stream: std::os::unix::net::UnixStream| {
        let reader = BufReader::new(stream.try_clone().unwrap());
        for line in reader.lines().map_while(Result::ok).filter(|line| line.starts_with("GET ")) {
            let body = match line.split(' ').nth(1) {
                Some("/metrics") => "narrowgate_build_info{version=\"0.0.9\"} 1\n",
                _ => r#"{"status":"ready"}"#,
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            // Ignored: the peer may have gone.
            let _ = stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice());
        }
    };
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
}

#[test]
fn a_second_start_names_the_version_of_the_running_server() {
    let program = program_with_device();
    older_server(&program.data());
    let own = env!("CARGO_PKG_VERSION");
    let words =
        ["the data directory is in use", &format!("that one is 0.0.9, this program is {own}"), "stop it"];
    program.run(&["serve", "--dtls", "127.0.0.1:0", "--http", "off"]).failed(1, &words);
    expect(&examined(&program, &[]).1, "version", "watch", "the running server is 0.0.9");
    // One of the same version says nothing of it.
    fs::remove_file(program.data().join("control.sock")).unwrap();
    let _server = program.serve();
    let second = program.run(&["serve", "--dtls", "127.0.0.1:0", "--http", "off"]);
    assert!(second.stderr.contains("is in use") && !second.stderr.contains("version"), "{second:?}");
}

#[test]
fn each_command_has_a_page_of_the_manual() {
    let program = program();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    assert_eq!(program.text(&["man", &path]), "");
    let pages = names(folder.path());
    for page in ["narrowgate.1", "narrowgate-doctor.1", "narrowgate-device-import.1"] {
        assert!(pages.iter().any(|name| name == page), "{page} is not among {pages:?}");
    }
    program
        .run(&["man", "/nowhere"])
        .failed(1, &["cannot write the pages", "/nowhere", "directory that exists"]);
}
