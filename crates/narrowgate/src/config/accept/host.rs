//! The name by which others reach this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use narrowgate_platform::firmware::ServerName;

use super::Accept;

/// Characters of the longest host name (RFC 1035, 2.3.4).
const HOST_LEN_MAX: usize = 253;
/// Where the machine's own name is none that a URI could have.
const NAMELESS: &str = "localhost";

/// A host and a port, which may be left out, or `auto`: found out by [`name_of_listener`].
#[derive(Debug)]
pub(crate) struct HostOrAuto;

impl Accept for HostOrAuto {
    type Value = Option<ServerName>;

    fn parse(&self, text: &str) -> Result<Option<ServerName>, String> {
        if text == "auto" {
            return Ok(None);
        }
        let accepted = self.accepted();
        let refused = || format!("{text:?} is not a host with or without a port; use {accepted}");
        let (host, port) = parts_of(text).ok_or_else(refused)?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(refused)?,
            None => ServerName::default_port(),
        };
        Ok(Some(ServerName::new(host, port)))
    }

    fn accepted(&self) -> String {
        "gateway.example, gateway.example:5685, 192.0.2.1, [2001:db8::1] or auto".to_owned()
    }
}

/// Where browsers reach this server: scheme, host, and a port where it is not that of the scheme.
#[derive(Debug)]
pub(crate) struct Site;

impl Accept for Site {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        let site = text.strip_suffix('/').unwrap_or(text);
        let host = site.strip_prefix("https://").or_else(|| site.strip_prefix("http://"));
        let is_port = |port: &str| port.parse().is_ok_and(|port: u16| port > 0);
        match host.and_then(parts_of) {
            Some((_, port)) if port.is_none_or(is_port) => Ok(site.to_owned()),
            _ => Err(format!("{text:?} is not where browsers reach a server; use {}", self.accepted())),
        }
    }

    fn accepted(&self) -> String {
        "https://gateway.example or https://gateway.example:8443".to_owned()
    }
}

/// The host, and the port where there is one.
pub(super) fn parts_of(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_one = matches!(address.parse().ok()?, IpAddr::V6(address) if is_of_one(address.into()));
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
        return is_one.then_some((&text[..address.len() + 2], port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    is_host(host).then_some((host, port))
}

/// Whether a text may be a host in a URI: an IPv4 address, or a name, which has a letter.
fn is_host(text: &str) -> bool {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return is_of_one(address.into());
    }
    let is_label = |label: &str| {
        let has_only = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (1..=63).contains(&label.len()) && has_only && !label.starts_with('-') && !label.ends_with('-')
    };
    let has_letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    text.len() <= HOST_LEN_MAX && has_letter && text.split('.').all(is_label)
}

/// Whether an address is that of one machine.
fn is_of_one(address: IpAddr) -> bool {
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !address.is_unspecified() && !address.is_multicast() && !is_broadcast
}

/// The name of a server that listens here: this address, or that of the machine where it listens on all.
pub(crate) fn name_of_listener(listener: SocketAddr) -> ServerName {
    if is_of_one(listener.ip()) {
        return ServerName::of(listener);
    }
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name = name.filter(|name| is_host(name)).unwrap_or_else(|| NAMELESS.to_owned());
    ServerName::new(&name, listener.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_taken_with_and_without_a_port() {
        for (text, name) in [
            ("gateway.example:5684", "gateway.example"),
            ("gateway.example", "gateway.example"),
            ("gw_1-b:5685", "gw_1-b:5685"),
            ("192.0.2.1:40000", "192.0.2.1:40000"),
            ("[2001:db8::1]:5684", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
        ] {
            let read = HostOrAuto.parse(text).expect(text).map(|name| name.to_string());
            assert_eq!(read.as_deref(), Some(name));
        }
        assert_eq!(HostOrAuto.parse("auto"), Ok(None));
        let bad = "|coaps://gateway.example|gateway.example/|a b|-a|a..b|12|1.2.3|a:0|a:|a:65536|a:1:2|\
                   0.0.0.0:5684|[::]:5684|224.0.1.187|2001:db8::1|[1.2.3.4]|[::1]5684";
        for text in bad.split('|') {
            let refused = HostOrAuto.parse(text).expect_err(text);
            assert!(refused.contains("use gateway.example, gateway.example:5685"), "{refused}");
        }
    }

    #[test]
    fn a_site_is_a_scheme_and_a_host() {
        for text in ["https://gateway.example", "http://127.0.0.1:8080", "https://[2001:db8::1]:8443"] {
            assert_eq!(Site.parse(text).as_deref(), Ok(text));
        }
        assert_eq!(Site.parse("https://gateway.example/").as_deref(), Ok("https://gateway.example"));
        for text in
            ["", "gateway.example", "https://", "https://h/path", "ftp://h", "https://h:0", "https://a b"]
        {
            assert!(Site.parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_listener_has_its_own_address_or_the_name_of_the_machine() {
        let of = |address: &str| name_of_listener(address.parse().unwrap()).to_string();
        assert_eq!([of("127.0.0.1:5684"), of("[::1]:5685")], ["127.0.0.1", "[::1]:5685"]);
        let [four, six] = [of("0.0.0.0:5684"), of("[::]:5685")];
        assert!(is_host(&four) && !four.starts_with("0.") && six == format!("{four}:5685"), "{four} {six}");
    }
}
