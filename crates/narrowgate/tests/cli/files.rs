//! Devices that are searched for, and files of them: other formats of an import, exports, and both over TCP.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::{DeviceName, UnixMillis},
    ports::{Journal as _, Registry as _},
    testing::{
        block_on,
        store::fixtures::{append, login, report},
    },
};
use narrowgate_testkit::program::{Program, Server};
use serde_json::{Value, json};

use crate::harness::program;

/// 2026-01-01T00:00:00Z
const T0: i64 = 1_767_225_600_000;

fn with_product() -> Program {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    program
}

fn import(program: &Program, file: &str, more: &[&str]) -> Value {
    program.json(&[&["device", "import", file, "--product", "pk"][..], more].concat())
}

fn keys(program: &Program, more: &[&str]) -> Vec<String> {
    let page = program.json(&[&["device", "list"][..], more].concat());
    let rows = page["devices"].as_array().expect("it is a list").iter();
    rows.map(|row| row["deviceKey"].as_str().expect("it is text").to_owned()).collect()
}

fn secret_of(program: &Program, device: &str) -> String {
    let shown = program.json(&["device", "secret", "pk", device]);
    shown["deviceSecret"].as_str().expect("it is text").to_owned()
}

#[test]
fn lists_of_keys_and_sheets_of_enos_are_imported() {
    let program = with_product();
    let store = "# devices\nDemo1=Thing\n.psk='Client_identity',c2VjcmV0UFNLb2ZEZW1vMQ\n.rpk=MFkw\n\n\
                 Demo2=Thing\n.psk='d2',:0x00112233445566778899aabbccddeeff\n";
    let store = program.file("devices.txt", store);
    let summary = import(&program, &store, &["--format", "psk"]);
    assert_eq!((&summary["created"], &summary["failed"]), (&json!(2), &json!([])), "{summary}");
    let shown = program.json(&["device", "show", "Client_identity"]);
    assert_eq!(shown["name"], "Demo1");
    assert_eq!(secret_of(&program, "Client_identity"), "secretPSKofDemo1");
    assert_eq!(secret_of(&program, "d2"), "00112233445566778899aabbccddeeff");

    let list = program.file("keys.txt", "d3='a plain text of a key'\nd4=!\n");
    let ran = program.run(&["device", "import", &list, "--product", "pk", "--format", "psk", "-o", "json"]);
    let summary: Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    assert_eq!((ran.code, &summary["created"], &summary["failed"][0]["line"]), (1, &json!(1), &json!(2)));
    assert_eq!(secret_of(&program, "d3"), "a plain text of a key");

    let sheet = "Product Key,Device Key,Device Secret,Device Name,Time Zone\n\
                 pk,d5,0f8c3e71a5d2964b0f8c3e71a5d2964b,cellar,+08:00\n\
                 other,d6,0f8c3e71a5d2964b0f8c3e71a5d2964c,attic,+08:00\n";
    let sheet = program.file("enos.csv", sheet);
    let ran = program.run(&["device", "import", &sheet, "--product", "pk", "--format", "enos", "-o", "json"]);
    let summary: Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    assert_eq!((&summary["created"], &summary["failed"][0]["column"]), (&json!(1), &json!("productKey")));
    assert_eq!(program.json(&["device", "show", "d5"])["name"], "cellar");
    // Without its format it is CSV, whose names are exact.
    let ran = program.run(&["device", "import", &sheet, "--product", "pk"]);
    ran.failed(1, &["did you mean productKey?"]);
}

#[test]
fn all_rows_of_a_file_are_imported_or_none() {
    let program = with_product();
    let secret = "0f8c3e71a5d2964b0f8c3e71a5d2964b";
    let file = program.file("rows.csv", &format!("deviceKey,deviceSecret\nd1,{secret}\na b,{secret}\n"));
    let all = ["device", "import", &file, "--product", "pk", "--mode", "all", "-o", "json"];
    let ran = program.run(&all);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("nothing was imported"), "{ran:?}");
    let summary: Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    assert_eq!((&summary["created"], &summary["failed"][0]["line"]), (&json!(0), &json!(3)));
    assert_eq!(keys(&program, &[]), Vec::<String>::new());
    program
        .run(&["device", "import", "-", "--product", "pk", "--mode", "all"])
        .failed(64, &["--mode all", "a pipe"]);
    program.file("rows.csv", &format!("deviceKey,deviceSecret\nd1,{secret}\nd2,{secret}\n"));
    assert_eq!(program.run(&all).json()["created"], 2);
    assert_eq!(keys(&program, &[]), ["d1", "d2"]);
}

/// Devices d1 to d5; the odd ones reported.
fn with_reports() -> Program {
    let program = with_product();
    for n in 1..6 {
        let (key, name) = (format!("d{n}"), format!("={n}"));
        program.json(&["device", "create", "--product", "pk", "--device-key", &key, "--name", &name]);
    }
    program.json(&["device", "tags", "d2", "--set", r#"{"site":"north"}"#]);
    let store = SqliteStore::open(SqliteOptions::new(program.data())).expect("it is in order");
    for n in [1_i64, 3, 5] {
        let name = DeviceName { product_key: "pk".into(), device_key: format!("d{n}") };
        let device = block_on(store.device(&name)).expect("it reads").expect("it is there").id;
        let at = |second| UnixMillis(T0 + 1000 * (100 * n + second));
        let reports = (1..4).map(|second| report(device, at(second), r#"{"t":-1.50}"#));
        append(&store, std::iter::once(login(device, at(0))).chain(reports).collect());
    }
    block_on(store.close()).expect("it closes");
    program
}

#[test]
fn devices_are_searched_for() {
    let program = with_reports();
    assert_eq!(keys(&program, &["--search", "d1"]), ["d1"]);
    assert_eq!(keys(&program, &["--search", "=4"]), ["d4"]);
    assert_eq!(keys(&program, &["--tag", "site:north"]), ["d2"]);
    assert_eq!(keys(&program, &["--state", "inactive", "--newest"]), ["d4", "d2"]);
    let time = (T0 + 300_000).to_string();
    assert_eq!(keys(&program, &["--seen-after", &time]), ["d3", "d5"]);
    assert_eq!(keys(&program, &["--seen-before", &time]), ["d1"]);
    let server = program.serve();
    assert_eq!(keys(&program, &["--seen-before", &time, "--limit", "1"]), ["d1"]);
    assert_eq!(keys(&program, &["--firmware", "1.0"]), Vec::<String>::new());
    program.run(&["device", "list", "--tag", "site"]).failed(64, &["tag is not KEY:VALUE"]);
    drop(server);
}

#[test]
fn attack_174_devices_and_values_are_exported_and_no_cell_is_a_formula() {
    let program = with_reports();
    let export = |more: &[&str]| program.text(&[&["device", "export"][..], more].concat());
    let devices = export(&[]);
    let lines: Vec<_> = devices.split("\r\n").collect();
    assert!(lines[0].starts_with("assetId,productKey,deviceKey,name,state,"), "{devices}");
    assert_eq!(lines.len(), 7, "{devices}");
    assert!(lines[2].contains(",pk,d2,'=2,inactive,true,"), "{devices}");
    let one = export(&["--format", "ndjson", "--search", "d4"]);
    assert_eq!(serde_json::from_str::<Value>(&one).expect("it is one line")["name"], "=4");
    let values = export(&["--values", "--point", "t"]);
    assert_eq!(values.lines().count(), 10, "{values}");
    assert!(values.contains(&format!("\r\npk,d3,{},t,-1.50,\r\n", T0 + 303_000)), "{values}");
    let from = (T0 + 300_000).to_string();
    assert_eq!(export(&["--values", "--from", &from, "--search", "d3"]).lines().count(), 4);
    program.run(&["device", "export", "--from", &from]).failed(64, &["--values"]);
    program.run(&["device", "export", "--product", "none"]).failed(1, &["there is no product none"]);
}

#[test]
fn an_export_goes_on_where_a_device_is_deleted_meanwhile() {
    let program = with_reports();
    let store = SqliteStore::open(SqliteOptions::new(program.data())).expect("it is in order");
    let name = DeviceName { product_key: "pk".into(), device_key: "d1".into() };
    let device = block_on(store.device(&name)).expect("it reads").expect("it is there").id;
    // More than a pipe holds.
    let at = |second: i64| UnixMillis(T0 + 1_000_000 + 1000 * second);
    append(&store, (1..4000).map(|second| report(device, at(second), r#"{"t":12345}"#)).collect());
    block_on(store.close()).expect("it closes");
    let server = program.serve();
    let mut command = program.command(&["device", "export", "--values"]);
    let mut export = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut first = [0; 100];
    let out = export.stdout.as_mut().expect("it is a pipe");
    out.read_exact(&mut first).expect("its first page is there");
    // It has the page of devices, and waits for its reader.
    program.json(&["device", "delete", "pk/d3", "--yes"]);
    let ended = export.wait_with_output().expect("it ends");
    let text = String::from_utf8([&first[..], &ended.stdout].concat()).expect("it is text");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let of = |key: &str| text.matches(&format!("\npk,{key},")).count();
    assert_eq!((of("d1"), of("d3"), of("d5")), (3 + 3999, 0, 3));
    drop(server);
}

/// Sends a request as a program would; status and body. A chunked body is put together.
fn ask(server: &Server, token: &str, request: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address("http")).expect("it is served");
    let length = body.len();
    let head = format!(
        "{request}\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it is read");
    stream.write_all(body.as_bytes()).expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it has a status");
    match head.to_lowercase().contains("transfer-encoding: chunked") {
        true => (status, unchunked(body)),
        false => (status, body.to_owned()),
    }
}

/// RFC 9112, section 7.1; it has to come to its end.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a chunk has a size");
        let size = usize::from_str_radix(size, 16).expect("it is hexadecimal");
        if size == 0 {
            return whole;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
}

#[test]
fn a_file_is_imported_and_exported_over_tcp() {
    let program = with_product();
    let made = program.json(&["token", "create", "ci", "--role", "administrator"]);
    let token = made["token"].as_str().expect("it is shown once");
    let server = program.serve();
    let rows: String = (0..1500).map(|n| format!("d{n:04},meter {n}\n")).collect();
    let request = "POST /api/v1/products/pk/devices:import HTTP/1.1\r\nContent-Type: text/csv";
    let (status, body) = ask(&server, token, request, &format!("deviceKey,name\n{rows}a b,c\n"));
    let answer: Value = serde_json::from_str(&body).expect("it is JSON");
    assert_eq!((status, &answer["created"]), (200, &json!(1500)), "{answer}");
    assert_eq!(answer["failed"][0]["line"], 1502);
    let secrets = answer["secrets"].as_str().expect("there are some");
    let request = format!("GET {secrets} HTTP/1.1");
    let (status, file) = ask(&server, token, &request, "");
    assert_eq!((status, file.lines().count()), (200, 1501));
    assert_eq!(ask(&server, token, &request, "").0, 404);
    let line = file.lines().find(|line| line.contains(",d0042,")).expect("it is one of them");
    assert!(line.ends_with(&secret_of(&program, "d0042")), "{line}");
    // What was fetched can be imported.
    let again = import(&program, &program.file("secrets.csv", &file), &[]);
    assert_eq!((&again["skipped"], &again["sameSecret"]), (&json!(1500), &json!(1500)), "{again}");

    let request = "GET /api/v1/devices HTTP/1.1\r\nAccept: text/csv";
    let (status, csv) = ask(&server, token, request, "");
    assert_eq!((status, csv.lines().count()), (200, 1501));
}
