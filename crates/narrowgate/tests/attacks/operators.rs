//! Programs of operators at the control socket, by HTTP as they write it themselves.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, Protection},
    harness::{PRODUCT_KEY, Server},
};

/// As many requests as the control socket answers at a time, and as many as may wait for devices.
const REQUESTS: usize = 64;
const WAITING: usize = 16;
/// A command takes much less, unless it waits for a place.
const SOON: Duration = Duration::from_secs(15);

/// A connection that has sent this request.
fn ask(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> UnixStream {
    let mut stream = UnixStream::connect(server.data().join("control.sock")).expect("it is served");
    let length = body.len();
    let head = format!(
        "{method} /api/v1/{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).expect("it is read");
    stream
}

/// The whole answer, in small letters.
fn answer(mut stream: &UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it is text");
    text.to_lowercase()
}

#[test]
fn requests_that_wait_for_devices_keep_no_command_out_and_end_with_the_server() {
    let mut server = Server::start();
    // A device keeps 50 commands.
    let mut clients = [(); 2].map(|()| server.connect(Protection::Ccm8));
    clients.iter_mut().for_each(|client| client.assert_reports());
    let (answered, answers) = mpsc::channel();
    for number in 0..REQUESTS {
        let path = format!("devices/{}/commands", clients[number % 2].device.key);
        let body = r#"{"kind":"get","ids":["temp"],"pendingTtl":600,"wait":60}"#;
        let (stream, answered) = (ask(&server, "POST", &path, "", body), answered.clone());
        thread::spawn(move || answered.send(answer(&stream)));
    }
    for answer in answers.iter().take(REQUESTS - WAITING) {
        assert!(answer.starts_with("http/1.1 429"), "{answer}");
        assert!(answer.contains("\r\nretry-after: 5\r\n") && answer.contains("nothing was sent"), "{answer}");
    }
    let sent = |client: &Client| {
        let began = Instant::now();
        let list = server.json(&["command", "list", PRODUCT_KEY, &client.device.key]);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        list.as_array().expect("a list").len()
    };
    // Those that were not refused have their places, and their commands are being written.
    let end = Instant::now() + SOON;
    while clients.iter().map(sent).sum::<usize>() < WAITING {
        assert!(Instant::now() < end, "not all of {WAITING} are sent");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(clients.iter().map(sent).sum::<usize>(), WAITING);
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    for answer in answers.iter().take(WAITING) {
        assert!(answer.starts_with("http/1.1 504") && answer.contains(r#""state":"created""#), "{answer}");
    }
}

#[test]
fn a_deed_that_a_crash_cut_off_is_in_the_audit_log() {
    let mut server = Server::start();
    let mut client = server.connect(Protection::Ccm8);
    client.assert_reports();
    let key = client.device.key.clone();
    let body = r#"{"kind":"get","ids":["temp"],"pendingTtl":600,"wait":60}"#;
    let _waits = ask(&server, "POST", &format!("devices/{key}/commands"), "", body);
    server.wait_for_json(&["command", "list", PRODUCT_KEY, &key], |list| list.contains("created"));
    server.kill();
    server.restart(&[]);
    let entries = server.json(&["audit", "list", "--action", "devices.commands"]);
    let entry = &entries[0];
    assert_eq!((&entry["outcome"], &entry["status"]), (&"unknown".into(), &serde_json::Value::Null));
    assert_eq!(entry["target"], format!("/products/{PRODUCT_KEY}/devices/{key}/commands"));
    assert_eq!((&entry["user"], entries.as_array().map(Vec::len)), (&"owner".into(), Some(1)));
    server.json(&["audit", "verify"]);
}
