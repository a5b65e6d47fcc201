//! HTTPS by a certificate of files: what its clients see, and what its operator is told.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_testkit::program::{Program, Server};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::harness::program;

const FIRST: &str = include_str!("../../../http/src/tls/of_tests/first.pem");
const FIRST_KEY: &str = include_str!("../../../http/src/tls/of_tests/first.key.pem");
const SECOND: &str = include_str!("../../../http/src/tls/of_tests/second.pem");
const SECOND_KEY: &str = include_str!("../../../http/src/tls/of_tests/second.key.pem");
/// Of the first key, and over since 2020.
const ENDED: &str = include_str!("../../../http/src/tls/of_tests/ended.pem");

const PASSWORD: &str = "canary-password-1";

/// Arguments of a server.
const SERVE: &[&str] = &["serve", "--dtls", "127.0.0.1:0", "--http", "127.0.0.1:0"];

/// Writes a certificate and its key, and a configuration that names them.
fn configure(program: &Program, certificate: &str, key: &str) {
    let (certificate, key) = (program.file("chain.pem", certificate), program.file("key.pem", key));
    fs::create_dir_all(program.data()).expect("it can be made");
    let text = format!("[http]\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n");
    fs::write(program.data().join("narrowgate.toml"), text).expect("it can be written");
}

/// A stream of one who trusts the first certificate.
fn connect(server: &Server) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(FIRST.as_bytes()).expect("it is a certificate");
    roots.add(root).expect("it is a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("there are versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("it is a name");
    let stream = TcpStream::connect(server.address("https")).expect("it is served");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("it has a time");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("it begins"), stream)
}

/// Head and body of the answer, in one.
fn ask(server: &Server, method: &str, path: &str, more: &str, body: &str) -> String {
    let mut stream = connect(server);
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is whole");
    answer
}

#[test]
fn attack_187_beyond_the_machine_it_listens_with_a_certificate_alone() {
    let program = program();
    let serve = ["serve", "--dtls", "127.0.0.1:0", "--http", "0.0.0.0:0"];
    program.run(&serve).failed(64, &["HTTP has no TLS", "http.tls_certificate", "--http-behind-proxy"]);
    configure(&program, FIRST, FIRST_KEY);
    let server = program.serve_with(&serve);
    assert!(server.said().contains("https://0.0.0.0:"), "{}", server.said());
    assert!(!server.said().contains("http://"), "no link is without TLS: {}", server.said());
    assert!(ask(&server, "GET", "/health/live", "", "").starts_with("HTTP/1.1 200 "));
}

#[test]
fn attack_179_a_user_logs_in_by_tls_and_the_cookies_are_of_tls_alone() {
    let program = program();
    configure(&program, FIRST, FIRST_KEY);
    let server = program.serve_with(SERVE);
    let said = server.said();
    let link = said.split_whitespace().find(|word| word.contains("/password/")).expect("it is printed");
    let path = link.strip_prefix("https://").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
    let path = path.unwrap_or_else(|| panic!("{link} is not by TLS"));
    let form = "Origin: https://localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let answer = ask(&server, "POST", path, form, &format!("password={PASSWORD}&again={PASSWORD}"));
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
    let answer = answer.to_lowercase();
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    let cookies: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).collect();
    assert!(cookies.len() == 2, "{answer}");
    for cookie in cookies {
        assert!(cookie.starts_with("__host-") && cookie.ends_with("; secure"), "{cookie}");
    }
}

#[test]
fn a_certificate_that_is_replaced_is_shown_without_a_restart() {
    let program = program();
    configure(&program, FIRST, FIRST_KEY);
    let server = program.serve_with(SERVE);
    assert!(ask(&server, "GET", "/health/live", "", "").starts_with("HTTP/1.1 200 "));
    // In the order that does not fit for a while.
    program.file("chain.pem", SECOND);
    program.file("key.pem", SECOND_KEY);
    let began = Instant::now();
    while !server.said().contains("the certificate of HTTPS was read anew") {
        assert!(began.elapsed() < Duration::from_secs(40), "{}", server.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut stream = connect(&server);
    let refused = stream.write_all(b"GET / HTTP/1.1\r\n").and_then(|()| stream.flush());
    assert!(refused.is_err(), "who trusts the first one alone does not take the second");
}

#[test]
fn http_without_tls_is_told_of_https_and_gets_no_page() {
    let program = program();
    configure(&program, FIRST, FIRST_KEY);
    let server = program.serve_with(SERVE);
    let mut plain = TcpStream::connect(server.address("https")).expect("it is served");
    plain.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is read");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("it is whole");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("ask for https://"), "{answer}");
}

#[test]
fn attack_182_peers_that_do_not_go_on_with_a_handshake_lose_their_places() {
    let program = program();
    configure(&program, FIRST, FIRST_KEY);
    let server = program.serve_with(SERVE);
    let address = server.address("https");
    // More than there are places and a queue; half of them have begun a record.
    let silent: Vec<TcpStream> = (0..400)
        .map(|number| {
            let mut stream = TcpStream::connect(&address).expect("it is taken");
            if number % 2 == 0 {
                // Ignored: it may be closed already, for want of a place.
                let _ = stream.write_all(&[22, 3, 1, 2, 0]);
            }
            stream
        })
        .collect();
    let began = Instant::now();
    let is_answered = || {
        let (mut stream, mut answer) = (connect(&server), String::new());
        let asked = stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.contains(" 200 ")
    };
    // They are of the same address, whose part of the queue is full until their handshakes are over. A silent
    // connection without TLS may take a minute.
    while !is_answered() {
        assert!(began.elapsed() < Duration::from_secs(30), "a handshake may take ten seconds");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(silent);
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_at_the_start_and_by_config() {
    let program = program();
    configure(&program, SECOND, FIRST_KEY);
    program.run(SERVE).failed(78, &["HTTPS cannot be served", "do not fit together", "http.tls_key"]);
    let ran = program.run(&["config", "http.tls_key", "-o", "json"]);
    assert!(ran.code == 0 && ran.stderr.contains("HTTPS cannot be served"), "{ran:?}");
    configure(&program, FIRST, FIRST_KEY);
    fs::remove_file(program.data().join("../key.pem")).expect("it is there");
    program.run(SERVE).failed(78, &["HTTPS cannot be served", "key.pem", "No such file"]);
    // What is beside a server needs no certificate.
    program.text(&["product", "create", "meters"]);
}

#[test]
fn a_certificate_that_has_ended_is_in_the_log_and_in_the_metrics() {
    let program = program();
    configure(&program, ENDED, FIRST_KEY);
    let server = program.serve_with(SERVE);
    let began = Instant::now();
    while !server.said().contains("the certificate of HTTPS has ended") {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", server.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut control = UnixStream::connect(program.data().join("control.sock")).expect("it is served");
    let request = b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    control.write_all(request).expect("it is read");
    let mut metrics = String::new();
    control.read_to_string(&mut metrics).expect("it is whole");
    let line = "\nnarrowgate_https_certificate_expires_timestamp_seconds 1577923200\n";
    assert!(metrics.contains(line), "{metrics}");
}
