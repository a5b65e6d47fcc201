//! Secrets that are planted in the whole system are found nowhere but where they are shown on purpose: not in
//! the log at `trace`, in no answer of the API, in no metric, export, live event, backup or file of the data
//! directory, and there is no core file that could have them.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Server};
use serde_json::{Value, json};

use crate::{harness::program, simulate::eventually};

const DEVICE_SECRET: &str = "c4naRy/dEvIcE+sEcReT=0";
const PRODUCT_SECRET: &str = "c4naRyPr0ductS3cret7";
const PASSWORD: &str = "c4naRy pAsSwOrD & 9";

/// The one path whose answer does not end.
const LIVE: &str = "/api/v1/events";

/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

const ALPHABETS: [&[u8; 64]; 2] = [
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
];

/// The characters of Base64 that depend on nothing but the text, where it stands behind so many bytes.
fn base64(text: &str, behind: usize, alphabet: &[u8; 64]) -> String {
    let bits: Vec<bool> =
        text.bytes().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    // A character has six bits; the first whole one begins so many bits behind the first byte.
    let first = (6 - behind * 8 % 6) % 6;
    let sextets = bits[first..].chunks_exact(6);
    let index = |six: &[bool]| six.iter().fold(0, |sum, bit| sum << 1 | usize::from(*bit));
    sextets.map(|six| char::from(alphabet[index(six)])).collect()
}

/// All forms in which a secret may be written.
fn forms(secret: &str) -> Vec<String> {
    let hex = hex::encode(secret);
    let percent = |all: bool, upper: bool| {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' if !all => {
                char::from(byte).to_string()
            }
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        };
        secret.bytes().map(escape).collect::<String>()
    };
    let mut forms = vec![secret.to_owned(), secret.replace('/', "\\/"), secret.replace(' ', "+")];
    forms.extend([hex.to_uppercase(), hex]);
    forms.extend([percent(false, true), percent(false, false), percent(true, true), percent(true, false)]);
    forms.push(percent(false, true).replace("%20", "+"));
    for alphabet in ALPHABETS {
        forms.extend((0..3).map(|behind| base64(secret, behind, alphabet)));
    }
    forms
}

/// What is looked for.
struct Canaries(BTreeMap<&'static str, Vec<String>>);

impl Canaries {
    /// The first of them that is there, in whichever form.
    fn found_in(&self, bytes: &[u8]) -> Option<(&'static str, &str)> {
        // All forms are ASCII, which stays as it is.
        let text = String::from_utf8_lossy(bytes);
        let has = |form: &&String| text.contains(form.as_str());
        self.0.iter().find_map(|(name, forms)| forms.iter().find(has).map(|form| (*name, form.as_str())))
    }

    #[track_caller]
    fn are_not_in(&self, place: &str, bytes: &[u8]) {
        assert_eq!(self.found_in(bytes), None, "{place}");
    }

    /// Looks into all files below a folder; how many there are.
    #[track_caller]
    fn are_not_below(&self, folder: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it reads").path()) {
            if entry.is_dir() {
                files += self.are_not_below(&entry);
            } else if entry.is_file() {
                self.are_not_in(&entry.display().to_string(), &fs::read(&entry).expect("it reads"));
                files += 1;
            }
        }
        files
    }
}

/// Asks with headers of one's own.
fn begin(server: &Server, method: &str, path: &str, more: &str, body: &str) -> TcpStream {
    let address = server.address("http");
    let mut stream = TcpStream::connect(&address).expect("it is served");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         {more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is read");
    stream
}

/// Head and body; of what does not end, as much as comes before so long a silence.
fn rest(mut stream: TcpStream, silence: Duration) -> String {
    stream.set_read_timeout(Some(silence)).expect("it has a time");
    let (mut answer, mut part) = (Vec::new(), vec![0; 64 << 10]);
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE
        && let Ok(length @ 1..) = stream.read(&mut part)
    {
        answer.extend_from_slice(&part[..length]);
    }
    String::from_utf8(answer).expect("it is text")
}

fn ask(server: &Server, method: &str, path: &str, more: &str, body: &str) -> String {
    rest(begin(server, method, path, more, body), PATIENCE)
}

/// A server with one of everything in it, and the secrets that were planted.
struct Planted {
    program: Program,
    server: Server,
    token: String,
    canaries: Canaries,
}

impl Planted {
    fn new() -> Self {
        let program = program();
        let mut command = program.command(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.env("NARROWGATE_LOG_FILTER", "trace").env("NARROWGATE_HTTP_TOKEN_REQUESTS", "off");
        let server = Server::start(command);
        let made = program.json(&["token", "create", "ci", "--role", "administrator"]);
        let token = made["token"].as_str().expect("it is shown once").to_owned();
        let canaries = Canaries(BTreeMap::new());
        let mut planted = Self { program, server, token, canaries };
        let link = planted.plant();
        let session = planted.log_in(&link);
        let token = planted.token.clone();
        let secrets = [
            ("device secret", DEVICE_SECRET.to_owned()),
            ("product secret", PRODUCT_SECRET.to_owned()),
            ("password", PASSWORD.to_owned()),
            ("token", token),
            ("link", link),
            ("session", session),
        ];
        planted.canaries = Canaries(secrets.into_iter().map(|(name, text)| (name, forms(&text))).collect());
        planted
    }

    fn change(&self, method: &str, path: &str, body: &Value) -> Value {
        let more = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token);
        let answer = ask(&self.server, method, &format!("/api/v1{path}"), &more, &body.to_string());
        assert!(answer.starts_with("HTTP/1.1 20"), "{path}: {answer}");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Makes all things; the text of the link of a user.
    fn plant(&self) -> String {
        let product = json!({
            "name": "meters", "productKey": "pk", "productSecret": PRODUCT_SECRET,
            "dynamicActivation": {"enabled": true},
        });
        let created = self.change("POST", "/products", &product);
        assert_eq!(created["productSecret"], PRODUCT_SECRET, "it is shown at creation");
        let device = json!({"deviceKey": "dk", "deviceSecret": DEVICE_SECRET, "name": "cellar"});
        let created = self.change("POST", "/products/pk/devices", &device);
        assert_eq!(created["deviceSecret"], DEVICE_SECRET);
        self.change(
            "PUT",
            "/products/pk/model",
            &json!({
                "modelId": "meter", "measurepoints": [{"identifier": "temp", "dataType": "DOUBLE"}],
            }),
        );
        self.change("PUT", "/devices/dk/tags", &json!({"site": "north"}));
        self.change("POST", "/ous", &json!({"name": "north"}));
        let invited = self.change("POST", "/users", &json!({"user": "ann", "role": "operator"}));
        let link = invited["link"].as_str().expect("it is shown once");
        link.rsplit_once("/ngl_").expect("it ends in its text").1.to_owned()
    }

    /// Sets the password by the link, and logs in with it; the text of the session.
    fn log_in(&self, link: &str) -> String {
        let more = format!(
            "Origin: http://{}\r\nContent-Type: application/x-www-form-urlencoded\r\n",
            self.server.address("http")
        );
        let password = "c4naRy+pAsSwOrD+%26+9";
        let form = format!("password={password}&again={password}");
        let set = ask(&self.server, "POST", &format!("/password/ngl_{link}"), &more, &form);
        assert!(set.starts_with("HTTP/1.1 303"), "{set}");
        // A wrong one, which is noted as such.
        let wrong = ask(&self.server, "POST", "/login", &more, &format!("user=ann&password={password}x"));
        assert!(wrong.starts_with("HTTP/1.1 403"), "{wrong}");
        let login = ask(&self.server, "POST", "/login", &more, &format!("user=ann&password={password}"));
        let session = login.split_once("ngs_").expect("a session begins").1;
        session.split(|c: char| !c.is_ascii_alphanumeric()).next().expect("it has a text").to_owned()
    }

    /// Connects the device by its secret, and once by a wrong one, which is written down.
    fn connect(&self) {
        let address = self.server.address("coaps");
        let simulate = |secret: &str| {
            let mut command = self.program.command(&["device", "simulate", "pk/dk", "--secret", secret]);
            command.args(["--server", &address, "--count", "1"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it can be started")
        };
        assert!(simulate(DEVICE_SECRET).wait().expect("it is a child").success());
        let mut wrong = simulate("not-the-secret");
        eventually("the wrong secret is refused", || {
            !self.program.json(&["refused"]).as_array().is_none_or(Vec::is_empty)
        });
        // Ignored: it may have ended.
        let _ = wrong.kill();
        wrong.wait().expect("it is a child");
    }

    /// The answers to a GET in all media types.
    fn get(&self, path: &str) -> Vec<String> {
        let types = ["*/*", "text/csv", "application/x-ndjson", "text/event-stream"];
        let asked = types.map(|accept| {
            let more = format!("Authorization: Bearer {}\r\nAccept: {accept}\r\n", self.token);
            let silence = if path == LIVE { Duration::from_secs(1) } else { PATIENCE };
            rest(begin(&self.server, "GET", path, &more, ""), silence)
        });
        asked.to_vec()
    }
}

/// All paths of the document that can be read, with what is there in the place of names.
fn paths(planted: &Planted) -> Vec<String> {
    let answer = ask(&planted.server, "GET", "/api/v1/openapi.json", "", "");
    let body = answer.split_once("\r\n\r\n").expect("a head ends").1;
    let document: Value = serde_json::from_str(body).expect("it is JSON");
    let paths = document["paths"].as_object().expect("it has paths").iter();
    let readable = paths.filter(|(_, operations)| operations.get("get").is_some());
    let names = [
        ("{product}", "pk"),
        ("{device}", "dk"),
        ("{ou}", "north"),
        ("{user}", "ann"),
        ("{version}", "1"),
        ("{point}", "temp"),
        ("{id}", "1"),
        ("{image}", "Zz9Zz9Zz"),
        ("{import}", "none"),
        ("{job}", "none"),
    ];
    let fill = |path: &str| names.iter().fold(path.to_owned(), |path, (name, is)| path.replace(name, is));
    readable.map(|(path, _)| fill(path)).collect()
}

#[test]
fn every_form_of_a_secret_is_found() {
    let canaries = Canaries(BTreeMap::from([("secret", forms(DEVICE_SECRET))]));
    for text in [
        "..c4naRy/dEvIcE+sEcReT=0..",
        "c4naRy%2FdEvIcE%2BsEcReT%3D0",
        "63346e6152792f644576496345",
        // `{"s":"` and the secret, and the same behind one and two letters more.
        "eyJzIjoiYzRuYVJ5L2RFdkljRStzRWNSZVQ9MCJ9",
        "YXsicyI6ImM0bmFSeS9kRXZJY0Urc0VjUmVUPTAifQ==",
        "YWF7InMiOiJjNG5hUnkvZEV2SWNFK3NFY1JlVD0wIn0=",
    ] {
        let is_whole = !text.starts_with("6334");
        assert_eq!(canaries.found_in(text.as_bytes()).is_some(), is_whole, "{text}");
    }
    assert!(canaries.found_in(hex::encode_upper(DEVICE_SECRET).as_bytes()).is_some());
    assert!(canaries.found_in(b"c4naRy/dEvIcE").is_none());
}

#[test]
fn planted_secrets_are_found_nowhere() {
    let mut planted = Planted::new();
    let bearer = format!("Authorization: Bearer {}\r\n", planted.token);
    let events = begin(&planted.server, "GET", LIVE, &bearer, "");
    planted.connect();
    let command = json!({"kind": "get", "ids": ["temp"], "pendingTtl": 60});
    planted.change("POST", "/devices/dk/commands", &command);
    let canaries = &planted.canaries;
    let events = rest(events, Duration::from_secs(2));
    assert!(events.contains("temp"), "{events}");
    canaries.are_not_in("live events", events.as_bytes());
    let paths = paths(&planted);
    assert!(paths.len() > 40, "{paths:?}");
    let mut read = 0;
    for path in &paths {
        for answer in planted.get(path) {
            read += usize::from(answer.starts_with("HTTP/1.1 200"));
            let shown = match path.as_str() {
                path if path.ends_with("/dk/secret") => Some("device secret"),
                path if path.ends_with("/products/pk/secret") => Some("product secret"),
                _ => None,
            };
            match shown.filter(|_| answer.starts_with("HTTP/1.1 200")) {
                // That is what it is for; and so a secret in an answer is seen here.
                Some(name) => {
                    assert_eq!(canaries.found_in(answer.as_bytes()).map(|(name, _)| name), Some(name));
                }
                None => canaries.are_not_in(path, answer.as_bytes()),
            }
        }
    }
    assert!(read > 2 * paths.len(), "{read} answers with something in them");
    for path in ["/", "/metrics", "/health/live", "/health/ready", "/login", "/api/docs", "/nowhere"] {
        canaries.are_not_in(path, ask(&planted.server, "GET", path, "", "").as_bytes());
    }
    let program = &planted.program;
    let (export, backup) = (program.file("audit.ndjson", ""), program.file("backup", ""));
    for file in [&export, &backup] {
        fs::remove_file(file).expect("it was made");
    }
    program.json(&["audit", "export", &export]);
    canaries.are_not_in("audit export", &fs::read(&export).expect("it is written"));
    program.json(&["backup", &backup]);
    assert!(canaries.are_not_below(Path::new(&backup)) > 4);
    assert!(canaries.are_not_below(&program.data()) > 4);
    no_core_is_written(&mut planted);
    let canaries = &planted.canaries;
    canaries.are_not_in("the log", planted.server.said().as_bytes());
    assert!(planted.server.said().contains("TRACE"), "it was at trace: {}", planted.server.said());
    canaries.are_not_below(&planted.program.data());
}

/// Ends the server as a fault of it would, where the system is to write its memory into a file.
fn no_core_is_written(planted: &mut Planted) {
    let read = |name: &str| {
        let file = format!("/proc/{}/{name}", planted.server.pid());
        fs::read_to_string(file).expect("it lives")
    };
    let limits = read("limits");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("Linux says it");
    let words: Vec<&str> = line.split_whitespace().collect();
    // Neither as a file, nor any memory for a program that the kernel gives it to.
    assert_eq!((&words[4..6], read("coredump_filter").trim()), (&["0", "0"][..], "00000000"));
    let folder = planted.program.data().parent().expect("it has one").to_owned();
    planted.server.signal("ABRT");
    let mut waited = 0;
    let status = loop {
        match planted.server.ended() {
            Some(status) => break status,
            None => {
                waited += 1;
                assert!(waited < 1000, "it has not ended");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    };
    // A program that the kernel gives it to is given nothing of the memory.
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let is_dumped = status.core_dumped() && !pattern.starts_with('|');
    assert_eq!((status.signal(), is_dumped), (Some(6), false), "{status:?}");
    let is_core =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"));
    for folder in [&*folder, &planted.program.data()] {
        let mut files =
            fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it reads").path());
        assert!(!files.any(|file| is_core(&file)), "{}", folder.display());
    }
}
