//! Units and tokens on the command line, and the HTTP API on TCP as a program uses it with a token.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Server};
use serde_json::{Value, json};

use crate::harness::program;

/// Sends a request as a program of somebody would, and reads the whole answer: its head and its body.
pub(crate) fn ask(
    server: &Server,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> (String, String) {
    let mut stream = connect(server);
    write!(stream, "{}", request(method, path, token, body)).expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends");
    (head.to_lowercase(), body.to_owned())
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address("http")).expect("it is served");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it has a time");
    stream
}

fn request(method: &str, path: &str, token: Option<&str>, body: &str) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{token}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The status and the JSON of an answer.
pub(crate) fn json_of((head, body): (String, String)) -> (u16, Value) {
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("it has a status");
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

pub(crate) fn token(program: &Program, name: &str, more: &[&str]) -> String {
    let made = program.json(&[&["token", "create", name], more].concat());
    made["token"].as_str().expect("it is shown once").to_owned()
}

#[test]
fn a_token_is_shown_once_and_listed_without_its_text_beside_a_server_and_without_one() {
    let program = program();
    program.run(&["token", "create", "ci", "--role", "viewer"]).failed(1, &["there is no store"]);
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let unit = program.json(&["ou", "create", "north"]);
    assert_eq!(unit["name"], "north");
    let ou = unit["ou"].as_str().expect("it has a key").to_owned();
    let made =
        program.json(&["token", "create", "ci", "--role", "operator", "--ou", "north", "--expires", "7"]);
    let text = made["token"].as_str().expect("it is shown once").to_owned();
    assert!(text.starts_with("ngt_") && text.len() == 68, "{text}");
    let server = program.serve();
    let listed = program.json(&["token", "list"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&listed[0]["name"], &listed[0]["role"], &listed[0]["ou"]),
        (&json!("ci"), &json!("operator"), &json!(ou))
    );
    let lives =
        listed[0]["expiresAt"].as_i64().expect("it ends") - listed[0]["createdAt"].as_i64().expect("a time");
    assert!((7 * 86_400_000 - 60_000..=7 * 86_400_000).contains(&lives), "{lives}");
    assert!(!listed.to_string().contains(&text[4..]), "{listed}");
    let units = program.json(&["ou", "list"]);
    assert_eq!((&units[0]["name"], &units[1]["ou"]), (&json!("default"), &json!(ou)));
    program.run(&["token", "create", "ci", "--role", "viewer"]).failed(1, &["token ci exists already"]);
    program
        .run(&["token", "create", "x", "--role", "viewer", "--ou", "south"])
        .failed(1, &["there is no organisation unit south", "narrowgate ou list"]);
    program.run(&["token", "create", "x"]).failed(64, &["--role"]);
    program.run(&["token", "create", "x", "--role", "viewer", "--expires", "0"]).failed(64, &["1 to 3650"]);
    program.json(&["product", "create", "n", "--product-key", "pn", "--ou", "north"]);
    assert_eq!(program.json(&["product", "show", "pn"])["ou"], ou);
    assert_eq!(program.json(&["token", "revoke", "ci"])["name"], "ci");
    program.run(&["token", "revoke", "ci"]).failed(1, &["there is no token ci"]);
    assert_eq!(program.json(&["token", "list"]), json!([]));
    drop(server);
}

#[test]
fn a_program_with_a_token_works_on_its_unit_over_tcp() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
    program.json(&["ou", "create", "north"]);
    let server = program.serve();
    let (head, body) = ask(&server, "GET", "/api/v1/products", None, "");
    assert!(head.starts_with("http/1.1 401") && head.contains("\r\nwww-authenticate: bearer "), "{head}");
    assert!(head.contains("\r\nx-request-id: ") && body.contains("narrowgate token create"), "{head} {body}");
    for path in ["/", "/health/live", "/health/ready", "/metrics"] {
        assert!(ask(&server, "GET", path, None, "").0.starts_with("http/1.1 200"), "{path}");
    }
    let viewer = token(&program, "viewer", &["--role", "viewer"]);
    let north = token(&program, "north", &["--role", "administrator", "--ou", "north"]);
    let call = |method: &str, path: &str, token: &str, body: &str| {
        json_of(ask(&server, method, path, Some(token), body))
    };
    let (status, page) = call("GET", "/api/v1/products", &viewer, "");
    assert_eq!((status, &page["items"][0]["productKey"]), (200, &json!("pk")));
    assert_eq!(call("DELETE", "/api/v1/products/pk", &viewer, "").0, 403);
    assert_eq!(call("GET", "/api/v1/me", &viewer, "").1["token"], "viewer");
    // Another unit's product is nowhere; its own it makes.
    assert_eq!(call("GET", "/api/v1/products", &north, "").1["items"], json!([]));
    assert_eq!(call("GET", "/api/v1/products/pk/devices/dk-1", &north, "").0, 404);
    let (status, made) = call("POST", "/api/v1/products", &north, r#"{"name":"n","productKey":"pn"}"#);
    assert_eq!((status, &made["productKey"]), (201, &json!("pn")));
    let (status, made) = call("POST", "/api/v1/products/pn/devices", &north, r#"{"deviceKey":"dk-1"}"#);
    assert_eq!((status, made["deviceSecret"].as_str().map(str::len)), (201, Some(20)));
    let (status, shown) = call("GET", "/api/v1/devices/dk-1", &north, "");
    assert_eq!((status, &shown["productKey"]), (200, &json!("pn")), "a key is one of each unit");
    assert_eq!(program.json(&["product", "list"]).as_array().map(Vec::len), Some(2));
    program.json(&["token", "revoke", "north"]);
    assert_eq!(call("GET", "/api/v1/products", &north, "").0, 401);
}

#[test]
fn a_stranger_is_refused_before_anything_of_a_body_is_read_and_keeps_nobody_out() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let mut command = program.command(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.env("NARROWGATE_HTTP_TOKEN_REQUESTS", "off");
    let server = Server::start(command);
    let token = token(&program, "ci", &["--role", "administrator"]);
    let promise = "POST /api/v1/products HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
                   Content-Length: 4000000\r\n";
    // More than are served at a time: those that say nothing more leave their places.
    let slow: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = connect(&server);
            write!(stream, "{promise}Authorization: Bearer {token}\r\n\r\n{{").expect("it is read");
            stream
        })
        .collect();
    let began = Instant::now();
    let mut stranger = connect(&server);
    write!(stranger, "{promise}\r\n").expect("it is read");
    let mut first = [0; 12];
    stranger.read_exact(&mut first).expect("it is answered");
    assert_eq!(&first, b"HTTP/1.1 401");
    let (status, me) = json_of(ask(&server, "GET", "/api/v1/me", Some(&token), ""));
    assert_eq!((status, &me["role"]), (200, &json!("administrator")));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(slow);
}

/// The stream of events: its beginning is read.
fn follow(server: &Server, path: &str, token: &str) -> TcpStream {
    let mut stream = connect(server);
    write!(stream, "{}", request("GET", path, Some(token), "")).expect("it is read");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head comes");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// The cursor with which a stream begins.
fn first_cursor(stream: &mut TcpStream) -> String {
    let mut begun = Vec::new();
    while !begun.ends_with(b"\n\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a cursor comes");
        begun.push(byte[0]);
    }
    let begun = String::from_utf8(begun).expect("it is text");
    begun.split_once("id: ").expect("it is a cursor").1.trim_end().to_owned()
}

#[test]
fn a_stream_of_events_shows_its_unit_alone_and_ends_within_a_second_of_the_revocation() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    program.json(&["ou", "create", "north"]);
    program.json(&["product", "create", "n", "--product-key", "pn", "--ou", "north"]);
    for product in ["pk", "pn"] {
        program.json(&["device", "create", "--product", product, "--device-key", &format!("of-{product}")]);
    }
    let server = program.serve();
    let north = token(&program, "north", &["--role", "viewer", "--ou", "north"]);
    let all = token(&program, "all", &["--role", "viewer"]);
    let [stream_of_north, mut stream_of_all] =
        [&north, &all].map(|token| follow(&server, "/api/v1/events", token));
    let cursor = first_cursor(&mut stream_of_all);
    simulate(&program, &server);
    // Almost a device of the other unit: the owner is told of it, and north not even that somebody came.
    let address = server.address("coaps");
    let arguments = ["device", "simulate", "pn/OF-PK", "--secret", "x", "--fault", "wrong-key"];
    program.run(&[&arguments[..], &["--server", &address]].concat());
    assert!(program.text(&["refused", "-o", "json"]).contains("OF-PK"));
    // From a cursor that somebody got who sees all units.
    let later = follow(&server, &format!("/api/v1/events?cursor={cursor}"), &north);
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    program.json(&["token", "revoke", "north"]);
    program.json(&["token", "revoke", "all"]);
    let [north, later, all] = [stream_of_north, later, stream_of_all].map(|mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it ends");
        text
    });
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for text in [&north, &later, &all] {
        assert!(text.contains("event: ended"), "{text}");
    }
    assert!(all.contains("of-pk") && all.contains("of-pn") && all.contains("device_unknown"), "{all}");
    for north in [&north, &later] {
        assert!(north.contains("of-pn") && !north.contains("of-pk") && !north.contains("\"pk\""), "{north}");
        assert!(!north.contains("OF-PK") && !north.contains("event: gap"), "{north}");
    }
    let data = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("data: {\"")).map(str::to_owned).collect()
    };
    assert_eq!(data(&north), data(&later), "the same again");
    assert!(all.contains("OF-PK"), "{all}");
}

#[test]
fn a_token_of_a_suspended_unit_opens_nothing_until_it_is_resumed_and_others_see_it_as_ever() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    program.json(&["ou", "create", "north"]);
    program.json(&["product", "create", "n", "--product-key", "pn", "--ou", "north"]);
    for product in ["pk", "pn"] {
        program.json(&["device", "create", "--product", product, "--device-key", &format!("of-{product}")]);
    }
    let server = program.serve();
    let north = token(&program, "north", &["--role", "administrator", "--ou", "north"]);
    let all = token(&program, "all", &["--role", "viewer"]);
    let call = |path: &str, token: &str| json_of(ask(&server, "GET", path, Some(token), ""));
    assert_eq!(call("/api/v1/products/pn", &north).0, 200);
    let mut stream = follow(&server, "/api/v1/events", &north);
    let began = Instant::now();
    program.json(&["ou", "suspend", "north"]);
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(told.contains("event: ended"), "{told}");
    for path in ["/api/v1/products/pn", "/api/v1/products/pk", "/api/v1/me", "/api/v1/events"] {
        let (status, problem) = call(path, &north);
        assert_eq!((status, &problem["code"]), (403, &json!("unit_suspended")), "{path}");
        let detail = problem["detail"].as_str().expect("it says why");
        assert!(detail.contains("is suspended"), "{detail}");
    }
    let (status, page) = call("/api/v1/devices", &all);
    let keys: Vec<_> = page["items"].as_array().expect("a page").iter().map(|it| &it["deviceKey"]).collect();
    assert_eq!((status, keys), (200, vec![&json!("of-pk"), &json!("of-pn")]));
    let admin = token(&program, "admin", &["--role", "administrator"]);
    let act = |act: &str, token: &str| {
        json_of(ask(&server, "POST", &format!("/api/v1/ous/north:{act}"), Some(token), ""))
    };
    assert_eq!(act("resume", &all).0, 403, "it takes an administrator");
    let (status, unit) = act("resume", &admin);
    assert_eq!((status, &unit["name"], &unit["suspendedAt"]), (200, &json!("north"), &Value::Null));
    assert_eq!(call("/api/v1/products/pn", &north).0, 200);
    assert!(act("suspend", &admin).1["suspendedAt"].is_i64());
    let (status, problem) = json_of(ask(&server, "POST", "/api/v1/ous/default:suspend", Some(&admin), ""));
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")));
    program.run(&["ou", "suspend", "south"]).failed(1, &["there is no organisation unit south"]);
    program.run(&["ou", "suspend", "default"]).failed(1, &["cannot be suspended", "--disable"]);
}

/// Each device reports once.
fn simulate(program: &Program, server: &Server) {
    for product in ["pk", "pn"] {
        let device = format!("{product}/of-{product}");
        let shown = program.json(&["device", "secret", &device]);
        let secret = shown["deviceSecret"].as_str().expect("it is shown");
        let address = server.address("coaps");
        let more = ["--secret", secret, "--server", &address, "--count", "1"];
        let ran = program.run(&[&["device", "simulate", &device][..], &more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

/// The beginning of the answer to who wants to follow, and the stream.
fn begin_to_follow(server: &Server, token: &str) -> (String, TcpStream) {
    let mut stream = connect(server);
    write!(stream, "{}", request("GET", "/api/v1/events", Some(token), "")).expect("it is read");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("it is answered");
    (String::from_utf8_lossy(&first).into_owned(), stream)
}

#[test]
fn attack_182_a_token_follows_so_often_and_one_that_leaves_gives_its_place_back() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let mut command = program.command(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.env("NARROWGATE_HTTP_TOKEN_REQUESTS", "off");
    let server = Server::start(command);
    let [loud, other] = ["loud", "other"].map(|name| token(&program, name, &["--role", "viewer"]));
    let mut streams: Vec<_> = (0..288).map(|_| follow(&server, "/api/v1/events", &loud)).collect();
    let begin = |token: &str| begin_to_follow(&server, token).0;
    assert_eq!(begin(&loud), "HTTP/1.1 429");
    assert_eq!(begin(&other), "HTTP/1.1 200");
    // It has said nothing, and nothing was sent to it.
    drop(streams.pop());
    let began = Instant::now();
    while begin(&loud) != "HTTP/1.1 200" {
        assert!(began.elapsed() < Duration::from_secs(10), "its place is not free");
        std::thread::sleep(Duration::from_millis(50));
    }
}
