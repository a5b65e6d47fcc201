//! Requests to the identity provider: one connection each, within a time and a size, no redirect followed.
//!
//! The issuer is where the configuration says. The other addresses come from its document, so they are asked
//! by HTTPS only, and not in a private network, unless they are at the issuer's own host or the configuration
//! permits it.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::http::{HeaderValue, Uri, header, request::Parts};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Request, Response, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::SetupError;

/// How long an answer may take.
const ASK_TIME_MAX: Duration = Duration::from_secs(4);
/// Longest answer: keys of a provider with many of them.
const ANSWER_BYTES_MAX: usize = 512 << 10;
/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// What the provider names is no address that may be asked.
    #[error("{0} is not asked: an address of the provider begins with https://")]
    Scheme(String),
    /// It would reach into the own network.
    #[error("{0} is in a private network and is not the issuer's host (oidc.private_endpoints)")]
    Private(String),
    /// It has no address, or none that accepts a connection.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// Which host.
        host: String,
        /// Why.
        reason: io::Error,
    },
    /// TLS failed.
    #[error("no TLS with {host}: {reason}")]
    Tls {
        /// Which host.
        host: String,
        /// Why.
        reason: io::Error,
    },
    /// It takes too long.
    #[error("there was no whole answer within {} s", ASK_TIME_MAX.as_secs())]
    Late,
    /// It is too long.
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// It is no HTTP.
    #[error("the answer cannot be read: {0}")]
    Broken(String),
}

/// What asks.
pub(super) struct Outside {
    tls: TlsConnector,
    issuer_host: String,
    /// The issuer itself is asked without TLS: one on this machine.
    is_plain: bool,
    /// Whether other hosts may be in a private network.
    permits_private: bool,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outside({})", self.issuer_host)
    }
}

impl Outside {
    /// Trusts the certificates of this PEM text, or those of the machine.
    ///
    /// # Errors
    /// The issuer is no address, or the certificates cannot be read.
    pub(super) fn new(issuer: &str, ca: Option<&[u8]>, permits_private: bool) -> Result<Self, SetupError> {
        let issuer: Uri = issuer.parse().map_err(|_| SetupError::Issuer)?;
        let issuer_host = issuer.host().ok_or(SetupError::Issuer)?.to_ascii_lowercase();
        let mut roots = RootCertStore::empty();
        match ca {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| SetupError::Ca(error.to_string()))?;
                    roots.add(certificate).map_err(|error| SetupError::Ca(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(SetupError::Ca("there is no certificate in it".to_owned()));
                }
            }
            // Where there are none, each request says so.
            None => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!(%error, "certificates of this machine cannot be read");
                }
                roots.add_parsable_certificates(found.certs);
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error: rustls::Error| SetupError::Ca(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let is_plain = issuer.scheme_str() == Some("http");
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), issuer_host, is_plain, permits_private })
    }

    /// The answer, whatever its status is.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(super) async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, AskError> {
        timeout(ASK_TIME_MAX, self.exchange(request)).await.map_err(|_| AskError::Late)?
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, AskError> {
        let (mut parts, body) = request.into_parts();
        let (host, port, is_tls) = self.target(&parts.uri)?;
        name_host(&mut parts, &host)?;
        let request = Request::from_parts(parts, Full::new(Bytes::from(body)));
        let stream = self.connect(&host, port, is_tls).await?;
        if !is_tls {
            return talk(stream, request).await;
        }
        let name = ServerName::try_from(bare(&host).to_owned());
        let name = name.map_err(|_| AskError::Scheme(host.clone()))?;
        let stream = self.tls.connect(name, stream).await;
        talk(stream.map_err(|reason| AskError::Tls { host, reason })?, request).await
    }

    /// Host, port and whether by TLS.
    fn target(&self, uri: &Uri) -> Result<(String, u16, bool), AskError> {
        let refused = || AskError::Scheme(uri.to_string());
        let host = uri.host().ok_or_else(refused)?.to_ascii_lowercase();
        match uri.scheme_str() {
            Some("https") => Ok((host, uri.port_u16().unwrap_or(443), true)),
            Some("http") if self.is_plain && host == self.issuer_host => {
                Ok((host, uri.port_u16().unwrap_or(80), false))
            }
            _ => Err(refused()),
        }
    }

    async fn connect(&self, host: &str, port: u16, is_tls: bool) -> Result<TcpStream, AskError> {
        let unreachable = |reason| AskError::Unreachable { host: host.to_owned(), reason };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        let addresses = lookup_host((bare(host), port)).await.map_err(unreachable)?;
        for address in addresses.collect::<Vec<SocketAddr>>() {
            let ip = address.ip().to_canonical();
            let is_permitted = match is_tls {
                true => self.permits_private || host == self.issuer_host || is_public(ip),
                false => ip.is_loopback(),
            };
            if !is_permitted {
                return Err(AskError::Private(host.to_owned()));
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }
}

impl<'c> AsyncHttpClient<'c> for Outside {
    type Error = AskError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, AskError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

/// A host without the brackets of IPv6.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// Puts the host into its header, and leaves the path in the request.
fn name_host(parts: &mut Parts, host: &str) -> Result<(), AskError> {
    let broken = |_| AskError::Broken("the address cannot be asked".to_owned());
    let named = match parts.uri.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    parts.headers.insert(header::HOST, HeaderValue::from_str(&named).map_err(|_| broken(()))?);
    parts.headers.insert(header::USER_AGENT, HeaderValue::from_static("narrowgate"));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse().map_err(|_| broken(()))?;
    Ok(())
}

/// One request on a connection that was just made.
async fn talk<S>(stream: S, request: Request<Full<Bytes>>) -> Result<HttpResponse, AskError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| AskError::Broken(error.to_string());
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends where this future is dropped.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { AskError::TooLong } else { AskError::Broken(error.to_string()) }
    })?;
    Ok(Response::from_parts(parts, body.to_bytes().to_vec()))
}

/// Whether an address is one of the public Internet (RFC 6890, RFC 6052, RFC 3056).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, third, _] = address.octets();
            // RFC 6598: of a provider's own network. RFC 2544: of benchmarks. RFC 6890: of protocols.
            let is_shared = first == 100 && second & 0xc0 == 64;
            let is_special = (first == 198 && second & 0xfe == 18) || [first, second, third] == [192, 0, 0];
            let is_own = address.is_private() || address.is_loopback() || address.is_link_local();
            // Also those that are reserved, 240.0.0.0/4.
            let is_none = first == 0 || first >= 240 || address.is_multicast();
            !is_shared && !is_special && !is_own && !is_none
        }
        IpAddr::V6(address) => {
            let embedded = |high: u16, low: u16| {
                is_public(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into())
            };
            match address.segments() {
                // What a translator makes of it (NAT64), and a tunnel (6to4).
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
                // RFC 8215: NAT64 of a network's own.
                [0x64, 0xff9b, 1, ..] => false,
                [first, ..] => {
                    // RFC 3879: site-local, once.
                    let is_site = first & 0xffc0 == 0xfec0;
                    let is_own = address.is_unique_local() || address.is_unicast_link_local() || is_site;
                    let is_none = address == Ipv6Addr::UNSPECIFIED || address.is_multicast();
                    !address.is_loopback() && !is_own && !is_none
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        TCP_PLACES_MAX, serve,
        tls::{Certificate, CertificateFiles, Secured},
    };

    #[test]
    fn attack_184_what_a_provider_names_is_asked_by_https_alone_and_not_in_the_own_network() {
        let outside = Outside::new("https://login.example/realm", None, false).expect("it is an address");
        let target = |uri: &str| outside.target(&uri.parse().expect("it is an address")).ok();
        assert_eq!(target("https://login.example/token"), Some(("login.example".to_owned(), 443, true)));
        assert_eq!(target("https://[::1]:8443/x"), Some(("[::1]".to_owned(), 8443, true)));
        for bad in ["http://login.example/token", "http://127.0.0.1/", "ftp://login.example/", "/token"] {
            assert_eq!(target(bad), None, "{bad}");
        }
        let here = Outside::new("http://127.0.0.1:9000", None, false).expect("it is an address");
        assert!(here.target(&"http://127.0.0.1:9000/x".parse().expect("an address")).is_ok());
        assert!(here.target(&"http://127.0.0.2:9000/x".parse().expect("an address")).is_err());
        let public = |text: &str| is_public(text.parse::<IpAddr>().expect("an address").to_canonical());
        for own in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "192.0.0.8",
            "240.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "2002:a00:1::1",
            "2002:7f00:1::",
            "fec0::1",
        ] {
            assert!(!public(own), "{own}");
        }
        assert!(public("64:ff9b::808:808") && public("2002:808:808::1") && public("198.20.0.1"));
        assert!(public("192.0.2.1") && public("2001:db8::1") && public("100.128.0.1"));
    }

    #[tokio::test]
    async fn attack_184_an_endpoint_at_another_host_of_the_own_network_is_not_reached() {
        let outside = Outside::new("https://login.example", None, false).expect("it is an address");
        let request = Request::builder().uri("https://127.0.0.1:1/token").body(Vec::new()).expect("one");
        assert!(matches!(outside.ask(request).await, Err(AskError::Private(_))));
    }

    /// A certificate of `localhost` that signs itself.
    const OWN: &str = include_str!("../tls/of_tests/first.pem");
    const OWN_KEY: &str = include_str!("../tls/of_tests/first.key.pem");
    /// One of somebody else.
    const OTHER: &str = include_str!("../tls/of_tests/second.pem");

    async fn ask(issuer: &str, ca: &str) -> Result<HttpResponse, AskError> {
        let outside = Outside::new(issuer, Some(ca.as_bytes()), false).expect("it can be used");
        let request = Request::builder().uri(format!("{issuer}/x")).body(Vec::new()).expect("it is one");
        outside.ask(request).await
    }

    #[tokio::test]
    async fn attack_184_a_provider_is_who_its_certificate_says_and_no_stranger() {
        let folder = tempfile::tempdir().expect("there is one");
        let (certificates, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificates, OWN).expect("it can be written");
        std::fs::write(&key, OWN_KEY).expect("it can be written");
        let certificate = Certificate::read(CertificateFiles { certificates, key }).expect("it can be used");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let port = listener.local_addr().expect("it is bound").port();
        let secured = Secured::new(listener, &certificate).expect("there are versions");
        let router = axum::Router::new().route("/x", axum::routing::get(async || "here"));
        tokio::spawn(serve(secured, router, TCP_PLACES_MAX, std::future::pending()));
        let here = format!("https://localhost:{port}");
        assert_eq!(ask(&here, OWN).await.expect("it is trusted").body(), b"here");
        let stranger = ask(&here, OTHER).await;
        assert!(matches!(stranger, Err(AskError::Tls { .. })), "{stranger:?}");
        // The certificate is of another host.
        let elsewhere = ask(&format!("https://127.0.0.1:{port}"), OWN).await;
        assert!(matches!(elsewhere, Err(AskError::Tls { .. })), "{elsewhere:?}");
    }

    #[tokio::test]
    async fn an_answer_that_ends_in_the_middle_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
        let here = format!("http://{}", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1000]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
            }
        });
        let outside = Outside::new(&here, None, false).expect("it can be used");
        let request = Request::builder().uri(format!("{here}/x")).body(Vec::new()).expect("it is one");
        let half = outside.ask(request).await;
        assert!(matches!(half, Err(AskError::Broken(_))), "{half:?}");
    }
}
