//! Users: on the command line, and with a browser from the first link to the last session.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use narrowgate_testkit::program::Server;
use serde_json::{Value, json};

use crate::harness::program;

/// A password that would be found wherever it is written.
const PASSWORD: &str = "canary-password-1";

/// What a browser keeps: `name=value`, one after the other.
#[derive(Default)]
struct Browser {
    cookies: Vec<String>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Browser {
    fn request(&self, server: &Server, method: &str, path: &str, more: &str, body: &str) -> TcpStream {
        let address = server.address("http");
        let mut stream = TcpStream::connect(&address).expect("it is served");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it has a time");
        let (cookies, length) = (self.cookies.join("; "), body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: {cookies}\r\n\
             {more}Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("it is read");
        stream
    }

    fn ask(&mut self, server: &Server, method: &str, path: &str, more: &str, body: &str) -> Answer {
        let mut answer = String::new();
        let mut stream = self.request(server, method, path, more, body);
        stream.read_to_string(&mut answer).expect("it is text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head ends");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let answer =
            Answer { status: status.expect("it has a status"), head: head.to_owned(), body: body.to_owned() };
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        for (_, cookie) in lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
            let pair = cookie.split(';').next().expect("it has a value");
            let name = pair.split('=').next().expect("it has a name");
            self.cookies.retain(|kept| kept.split('=').next() != Some(name));
            self.cookies.push(pair.to_owned());
        }
        answer
    }

    fn get(&mut self, server: &Server, path: &str) -> Answer {
        self.ask(server, "GET", path, "", "")
    }

    fn post_form(&mut self, server: &Server, path: &str, body: &str) -> Answer {
        let more = format!(
            "Origin: http://{}\r\nContent-Type: application/x-www-form-urlencoded\r\n",
            server.address("http")
        );
        self.ask(server, "POST", path, &more, body)
    }
}

/// The path of the link in the banner.
fn link_of(server: &Server) -> Option<String> {
    let said = server.said();
    let start = said.find("/password/ngl_")?;
    said[start..].split_whitespace().next().map(str::to_owned)
}

#[test]
fn the_first_start_prints_a_link_that_makes_an_administrator() {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let server = program.serve();
    let first = link_of(&server).expect("nobody has a password");
    assert!(server.said().contains(&format!("password  http://{}{first}", server.address("http"))));
    assert!(server.said().contains("sets the password of admin: once"), "{}", server.said());
    drop(server);
    // The link was not used: it stays valid, and no log gets another one.
    let server = program.serve();
    assert_eq!(link_of(&server), None, "{}", server.said());
    assert!(server.said().contains("admin has none yet: narrowgate user reset admin"), "{}", server.said());
    let mut admin = Browser::default();
    assert_eq!(admin.get(&server, &first).status, 200);
    let reset = program.json(&["user", "reset", "admin"])["link"].as_str().map(str::to_owned);
    let reset = reset.expect("it is shown");
    let link =
        reset.strip_prefix(&format!("http://{}", server.address("http"))).expect("it is there").to_owned();
    assert_eq!((admin.get(&server, &first).status, admin.get(&server, &link).status), (404, 200));
    let form = format!("password={PASSWORD}&again={PASSWORD}");
    let set = admin.post_form(&server, &link, &form);
    assert_eq!((set.status, set.header("location")), (303, Some("/console")), "{}", set.body);
    assert_eq!(admin.post_form(&server, &link, &form).status, 404, "it was used");
    let me = json!({"user": "admin", "role": "administrator", "ou": null});
    assert_eq!(admin.get(&server, "/api/v1/me").json(), me);
    assert_eq!(program.json(&["user", "list"])[0]["state"], "active");
    drop(server);
    // Nothing is printed again, and the session is there after the restart.
    let server = program.serve();
    assert_eq!(link_of(&server), None, "{}", server.said());
    let me = admin.get(&server, "/api/v1/me");
    assert_eq!(me.json()["user"], "admin");
    let token = me.header("x-csrf-token").expect("a page needs it").to_owned();
    let (path, body) = ("/api/v1/products", r#"{"name":"n","productKey":"pk-2"}"#);
    let own = format!("Origin: http://{}\r\n", server.address("http"));
    let json_type = "Content-Type: application/json\r\n";
    let without = admin.ask(&server, "POST", path, &format!("{own}{json_type}"), body);
    assert_eq!((without.status, &without.json()["code"]), (403, &json!("forbidden")));
    let with = format!("{own}{json_type}X-CSRF-Token: {token}\r\n");
    assert_eq!(admin.ask(&server, "POST", path, &with, body).status, 201);
    let mut other = Browser::default();
    let login = |password: &str| format!("user=admin&password={password}");
    assert_eq!(other.post_form(&server, "/login", &login("incorrect")).status, 403);
    assert_eq!(other.post_form(&server, "/login", &login(PASSWORD)).status, 303);
    assert_eq!(other.get(&server, "/api/v1/products").status, 200);
    assert!(!server.said().contains("canary") && !server.said().contains("ngs_"), "{}", server.said());
}

#[test]
fn a_stream_of_events_ends_within_a_second_of_a_change_of_its_user() {
    let program = program();
    let server = program.serve();
    let link = link_of(&server).expect("nobody has a password");
    let mut admin = Browser::default();
    let form = format!("password={PASSWORD}&again={PASSWORD}");
    assert_eq!(admin.post_form(&server, &link, &form).status, 303);
    let mut stream = admin.request(&server, "GET", "/api/v1/events", "", "");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("it is answered");
    assert_eq!(&first, b"HTTP/1.1 200");
    let began = Instant::now();
    program.json(&["user", "delete", "admin", "--yes"]);
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it ends");
    assert!(text.contains("event: ended"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(admin.get(&server, "/api/v1/me").status, 401);
}

#[test]
fn a_user_is_made_reset_and_deleted_beside_a_server_and_without_one() {
    let program = program();
    program.run(&["user", "create", "ann", "--role", "viewer"]).failed(1, &["there is no store"]);
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    let made = program.json(&["user", "create", "ann", "--role", "viewer", "--ou", "default"]);
    let link = made["link"].as_str().expect("it is shown once").to_owned();
    assert!(link.starts_with("/password/ngl_"), "no server says where it listens: {link}");
    assert_eq!((&made["user"], &made["role"]), (&json!("ann"), &json!("viewer")));
    assert_eq!((&made["ou"], &made["state"]), (&json!("o00000000000001"), &json!("invited")));
    let server = program.serve();
    assert_eq!(link_of(&server), None, "a user was made otherwise");
    let listed = program.json(&["user", "list"]);
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["user"]), (Some(1), &json!("ann")));
    assert!(!listed.to_string().contains("ngl_"), "{listed}");
    let again = program.json(&["user", "reset", "ann"])["link"].as_str().expect("it is shown").to_owned();
    assert_ne!(again, link);
    // The server listens elsewhere than the configuration says.
    let origin = format!("http://{}", server.address("http"));
    let path = |link: &str| link.strip_prefix(&origin).unwrap_or(link).to_owned();
    assert!(again.starts_with(&origin), "{again}");
    let mut browser = Browser::default();
    assert_eq!(browser.get(&server, &path(&link)).status, 404);
    assert_eq!(browser.get(&server, &path(&again)).status, 200);
    program.run(&["user", "create", "ann", "--role", "viewer"]).failed(1, &["user ann exists already"]);
    program.run(&["user", "create", "x"]).failed(64, &["--role"]);
    program.run(&["user", "create", "owner", "--role", "viewer"]).failed(64, &["choose another name"]);
    program
        .run(&["user", "create", "x", "--role", "viewer", "--ou", "south"])
        .failed(1, &["there is no organisation unit south", "narrowgate ou list"]);
    let updated = program.json(&["user", "update", "ann", "--role", "operator", "--all-ous"]);
    assert_eq!((&updated["role"], &updated["ou"]), (&json!("operator"), &json!(null)));
    let updated = program.json(&["user", "update", "ann", "--ou", "default", "--disable"]);
    assert_eq!((&updated["ou"], &updated["state"]), (&json!("o00000000000001"), &json!("disabled")));
    let updated = program.json(&["user", "update", "ann", "--enable"]);
    assert_eq!((&updated["role"], &updated["state"]), (&json!("operator"), &json!("invited")));
    program.run(&["user", "update", "ann"]).failed(64, &["nothing to change", "user update --help"]);
    program.run(&["user", "update", "ann", "--ou", "x", "--all-ous"]).failed(64, &["cannot be used with"]);
    program
        .run(&["user", "update", "bob", "--enable"])
        .failed(1, &["there is no user bob", "narrowgate user list"]);
    program.run(&["user", "reset", "bob"]).failed(1, &["there is no user bob", "narrowgate user list"]);
    program.run(&["user", "delete", "ann"]).failed(64, &["--yes"]);
    assert_eq!(program.json(&["user", "delete", "ann", "--yes"])["user"], "ann");
    program.run(&["user", "delete", "ann", "--yes"]).failed(1, &["there is no user ann"]);
    assert_eq!(program.json(&["user", "list"]), json!([]));
}

/// All files under a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("it is a directory");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn attack_180_a_password_a_link_and_a_session_are_in_no_file_and_in_no_log() {
    let program = program();
    let mut command = program.command(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.env("NARROWGATE_LOG_FILTER", "trace");
    let server = Server::start(command);
    let link = link_of(&server).expect("nobody has a password");
    let mut admin = Browser::default();
    let form = format!("password={PASSWORD}&again={PASSWORD}");
    assert_eq!(admin.post_form(&server, &link, &form).status, 303);
    let mut other = Browser::default();
    assert_eq!(other.post_form(&server, "/login", "user=admin&password=canary-2").status, 403);
    let login = format!("user=admin&password={PASSWORD}");
    assert_eq!(other.post_form(&server, "/login", &login).status, 303);
    for browser in [&mut admin, &mut other] {
        assert_eq!(browser.get(&server, "/api/v1/users").status, 200);
    }
    let backup = program.data().with_file_name("backup");
    program.text(&["backup", &backup.display().to_string()]);
    let cookies = [&admin, &other].into_iter().flat_map(|browser| &browser.cookies);
    let mut secrets: Vec<&str> = cookies.filter_map(|pair| Some(pair.split_once('=')?.1)).collect();
    assert_eq!(secrets.len(), 4);
    secrets.extend(["canary", link.rsplit_once('/').expect("it is a path").1]);
    let said = server.said();
    // The banner alone has the link.
    let (before, after) = said.split_once(&link).expect("it was printed");
    for secret in &secrets {
        assert!(!before.contains(secret) && !after.contains(secret), "{secret} is in the log");
    }
    for file in [files(&program.data()), files(&backup)].concat() {
        let Ok(bytes) = fs::read(&file) else { continue };
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {}", file.display());
        }
    }
}

#[test]
fn a_link_names_the_public_address_and_the_last_administrator_stays() {
    let program = program();
    let mut command = program.command(&["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.env("NARROWGATE_HTTP_PUBLIC_URL", "https://gateway.example/");
    let server = Server::start(command);
    let link = link_of(&server).expect("nobody has a password");
    assert!(server.said().contains("password  https://gateway.example/password/ngl_"), "{}", server.said());
    let made = program.json(&["user", "create", "ann", "--role", "viewer"]);
    let shown = made["link"].as_str().expect("it is shown");
    assert!(shown.starts_with("https://gateway.example/password/ngl_"), "{shown}");
    let mut admin = Browser::default();
    let form = format!("password={PASSWORD}&again={PASSWORD}");
    assert_eq!(admin.post_form(&server, &link, &form).status, 303);
    let me = admin.get(&server, "/api/v1/me");
    let token = me.header("x-csrf-token").expect("a page needs it");
    let own = format!("Origin: http://{}\r\nX-CSRF-Token: {token}\r\n", server.address("http"));
    let refused = admin.ask(&server, "DELETE", "/api/v1/users/admin", &own, "");
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("conflict")), "{}", refused.body);
    assert_eq!(program.json(&["user", "delete", "admin", "--yes"])["user"], "admin");
}
