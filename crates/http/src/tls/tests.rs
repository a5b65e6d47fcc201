use std::{io, net::SocketAddr, path::Path};

use axum::{Router, routing::get};
use narrowgate_platform::rules::rate::Rate;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use super::{connection::SPEAK_TLS, handshakes::Handshakes, *};
use crate::{connection::TCP_PLACES_MAX, forwarded::Way, serve::serve};

/// A certificate of `localhost` that signs itself, and its key: made for these tests alone.
type Pair = (&'static str, &'static str);

const FIRST: Pair = (include_str!("of_tests/first.pem"), include_str!("of_tests/first.key.pem"));
const SECOND: Pair = (include_str!("of_tests/second.pem"), include_str!("of_tests/second.key.pem"));

/// Writes a certificate with its key; returns it.
fn write_pair(files: &CertificateFiles, (certificate, key): Pair) -> CertificateDer<'static> {
    fs::write(&files.certificates, certificate).expect("the directory can be written");
    fs::write(&files.key, key).expect("the directory can be written");
    CertificateDer::from_pem_slice(certificate.as_bytes()).expect("it is a certificate")
}

fn files_in(folder: &Path) -> CertificateFiles {
    CertificateFiles { certificates: folder.join("chain.pem"), key: folder.join("key.pem") }
}

/// Serves one page by TLS; returns where.
async fn served(certificate: &Certificate) -> SocketAddr {
    served_as(certificate, |secured| secured).await
}

async fn served_as(certificate: &Certificate, change: impl FnOnce(Secured) -> Secured) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
    let address = listener.local_addr().expect("it has one");
    let secured = change(Secured::new(listener, certificate).expect("there are versions"));
    let is_tls = async |extensions: axum::http::Extensions| {
        if Way::of(&extensions).is_tls() { "here" } else { "without TLS" }
    };
    let router = Router::new().route("/", get(is_tls));
    tokio::spawn(serve(secured, router, TCP_PLACES_MAX, std::future::pending()));
    address
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Asks for the page as one who trusts `root`.
async fn ask(address: SocketAddr, root: CertificateDer<'static>) -> io::Result<String> {
    ask_by(address, root, &[]).await
}

/// The same with these protocols (RFC 7301).
async fn ask_by(
    address: SocketAddr,
    root: CertificateDer<'static>,
    protocols: &[&str],
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("it is a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("there are versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").expect("it is a name");
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_one_that_cannot_be_used_is_not() {
    let folder = tempfile::tempdir().expect("there is one");
    let files = files_in(folder.path());
    let first = write_pair(&files, FIRST);
    let certificate = Certificate::read(files.clone()).expect("it can be used");
    let mut seen = Seen::first(&certificate);
    let address = served(&certificate).await;
    assert!(ask(address, first.clone()).await.expect("it is trusted").ends_with("here"));

    let second = write_pair(&files, SECOND);
    certificate.look(&mut seen, now_ms());
    assert!(ask(address, second.clone()).await.expect("the new one is trusted").ends_with("here"));
    assert!(ask(address, first).await.is_err(), "the old one is not shown any more");

    fs::write(&files.key, "no key").expect("it can be written");
    certificate.look(&mut seen, now_ms());
    assert!(ask(address, second).await.expect("the last good one stays").ends_with("here"));
}

#[tokio::test(start_paused = true)]
async fn files_are_replaced_one_after_the_other_and_half_written_ones_are_not_shown() {
    let folder = tempfile::tempdir().expect("there is one");
    let files = files_in(folder.path());
    let first = write_pair(&files, FIRST);
    let certificate = Arc::new(Certificate::read(files.clone()).expect("it can be used"));
    tokio::spawn(Arc::clone(&certificate).follow());
    let shown = async || {
        sleep(LOOK_EVERY + Duration::from_secs(1)).await;
        certificate.current.shown().key.cert[0].clone()
    };
    let write = |file: &Path, text: &str| fs::write(file, text).expect("it can be written");
    let second = CertificateDer::from_pem_slice(SECOND.0.as_bytes()).expect("it is a certificate");
    write(&files.certificates, SECOND.0);
    assert_eq!(shown().await, first, "the key is not its own yet");
    write(&files.key, SECOND.1);
    assert_eq!(shown().await, second);
    // The other way round, and in pieces.
    write(&files.key, FIRST.1);
    assert_eq!(shown().await, second);
    write(&files.certificates, &FIRST.0[..FIRST.0.len() / 2]);
    assert_eq!(shown().await, second);
    write(&files.certificates, FIRST.0);
    assert_eq!(shown().await, first);
    fs::remove_file(&files.key).expect("it is there");
    assert_eq!(shown().await, first);
}

#[test]
fn files_that_were_changed_just_now_are_read_again() {
    let folder = tempfile::tempdir().expect("there is one");
    let files = files_in(folder.path());
    write_pair(&files, FIRST);
    let certificate = Certificate::read(files).expect("it can be used");
    let mut seen = Seen::first(&certificate);
    assert_eq!(seen.files, None, "they may be written in the same moment");
    certificate.look(&mut seen, now_ms());
    assert_eq!(seen.files, None);
    certificate.look(&mut seen, now_ms() + 3000);
    assert_eq!(seen.files, Some(stamps(&certificate.files)));
}

#[tokio::test]
async fn a_silent_peer_keeps_nobody_waiting_and_http_is_told_of_https() {
    let folder = tempfile::tempdir().expect("there is one");
    let files = files_in(folder.path());
    let root = write_pair(&files, FIRST);
    let address = served(&Certificate::read(files).expect("it can be used")).await;
    let _silent = TcpStream::connect(address).await.expect("it is taken");
    let mut plain = TcpStream::connect(address).await.expect("it is taken");
    plain.write_all(REQUEST).await.expect("it is taken");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.expect("the whole request was read");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("ask for https://"), "{answer}");
    assert!(ask(address, root).await.expect("it is trusted").ends_with("here"));
}

#[test]
fn a_wrong_certificate_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("there is one");
    let files = files_in(folder.path());
    let wrong = |files: &CertificateFiles| match Certificate::read(files.clone()) {
        Ok(_) => panic!("it can be used"),
        Err(error) => error.to_string(),
    };
    assert!(wrong(&files).contains("chain.pem: No such file"), "{}", wrong(&files));
    write_pair(&files, FIRST);
    let other = tempfile::tempdir().expect("there is one");
    let others = files_in(other.path());
    write_pair(&others, SECOND);
    let mixed = CertificateFiles { key: others.key, ..files.clone() };
    assert!(wrong(&mixed).starts_with("the certificate and the key do not fit together"));
    let swapped = CertificateFiles { certificates: files.key.clone(), key: files.certificates.clone() };
    assert!(wrong(&swapped).contains("it holds no certificate"), "{}", wrong(&swapped));
    let without_key = CertificateFiles { key: files.certificates.clone(), ..files.clone() };
    assert!(wrong(&without_key).contains("it holds no private key"), "{}", wrong(&without_key));
    let of_folder = CertificateFiles { key: folder.path().to_owned(), ..files };
    assert!(wrong(&of_folder).contains("it is not a file"), "{}", wrong(&of_folder));
}

#[tokio::test(start_paused = true)]
async fn attack_182_a_handshake_that_does_not_go_on_ends_in_ten_seconds() {
    let folder = tempfile::tempdir().expect("there is one");
    let files = files_in(folder.path());
    write_pair(&files, FIRST);
    let address = served(&Certificate::read(files).expect("it can be used")).await;
    for said in [&[][..], &[22], &[22, 3, 1, 2, 0, 1]] {
        let mut peer = TcpStream::connect(address).await.expect("it is taken");
        peer.write_all(said).await.expect("it is taken");
        let began = Instant::now();
        // Ignored: what was not read of a record resets the connection.
        let _ = peer.read(&mut [0; 100]).await;
        let took = began.elapsed();
        assert!(took >= HANDSHAKE_TIME_MAX && took < HANDSHAKE_TIME_MAX * 2, "{said:?}: {took:?}");
    }
}

#[tokio::test]
async fn attack_182_who_begins_too_many_handshakes_is_closed_without_one() {
    let folder = tempfile::tempdir().expect("there is one");
    let files = files_in(folder.path());
    let root = write_pair(&files, FIRST);
    let certificate = Certificate::read(files).expect("it can be used");
    let few = Rate { every: Duration::from_secs(3600), burst: 3 };
    let limits = || Handshakes::new(few, Rate { burst: 5, ..few });
    let address = served_as(&certificate, |secured| secured.limited(limits())).await;
    for _ in 0..3 {
        assert!(ask(address, root.clone()).await.expect("it may").ends_with("here"));
    }
    for _ in 0..3 {
        assert!(ask(address, root.clone()).await.is_err());
    }
    // A proxy is not counted by itself: the others are those of all.
    let address = served_as(&certificate, |secured| secured.limited(limits()).behind_proxy()).await;
    for _ in 0..5 {
        assert!(ask(address, root.clone()).await.expect("it may").ends_with("here"));
    }
}

#[tokio::test]
async fn http_1_is_spoken_also_with_who_offers_more_and_not_with_who_offers_something_else() {
    let folder = tempfile::tempdir().expect("there is one");
    let files = files_in(folder.path());
    let root = write_pair(&files, FIRST);
    let address = served(&Certificate::read(files).expect("it can be used")).await;
    for (protocols, is_answered) in
        [(&[][..], true), (&["http/1.1"], true), (&["h2", "http/1.1"], true), (&["h2"], false)]
    {
        let answer = ask_by(address, root.clone(), protocols).await;
        assert_eq!(answer.is_ok(), is_answered, "{protocols:?}: {answer:?}");
    }
}

#[test]
fn the_length_of_the_hint_is_right() {
    let text = std::str::from_utf8(SPEAK_TLS).expect("it is text");
    let (head, body) = text.split_once("\r\n\r\n").expect("it has a body");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
}
