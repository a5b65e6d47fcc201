//! Where devices could reach a server with these settings, as far as this machine knows.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;

use super::Finding;
use crate::config::Config;

const CHECK: &str = "addresses";

/// Addresses that are named.
const NAMED_MAX: usize = 6;

/// What nothing on this machine can know.
const UNSEEN: &str = "whether a firewall or NAT lets UDP through cannot be seen from here";

pub(super) fn check(config: &Config) -> Vec<Finding> {
    vec![judge(config.dtls.listen, &own_addresses())]
}

/// Those of the machine's interfaces, each once.
fn own_addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let address = |interface: nix::ifaddrs::InterfaceAddress| -> Option<IpAddr> {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
        v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
    };
    let mut all: Vec<IpAddr> = interfaces.filter_map(address).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn judge(listen: SocketAddr, own: &[IpAddr]) -> Finding {
    if listen.ip().is_loopback() {
        let detail = format!("coaps://{listen}: programs of this machine alone reach it");
        return Finding::watch(CHECK, detail, "for devices: dtls.listen = \"0.0.0.0:5684\" (--dtls)");
    }
    let takes = |ip: &&IpAddr| match listen.ip() {
        IpAddr::V4(any) if any.is_unspecified() => ip.is_ipv4(),
        IpAddr::V6(any) if any.is_unspecified() => true,
        one => **ip == one,
    };
    let reachable: Vec<IpAddr> = own.iter().filter(takes).filter(|ip| !is_local(**ip)).copied().collect();
    if reachable.is_empty() {
        let detail = "this machine has no address at which a device could reach it";
        return Finding::watch(CHECK, detail, "ip address shows them; check the network");
    }
    let shown = reachable.iter().take(NAMED_MAX).map(|ip| {
        let private = if is_private(*ip) { " (private)" } else { "" };
        format!("coaps://{}{private}", SocketAddr::new(*ip, listen.port()))
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = reachable.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let outside = match reachable.iter().all(|ip| is_private(*ip)) {
        true => "; devices outside this network need a UDP port that is forwarded to one of them",
        false => "",
    };
    Finding::well(CHECK, format!("{shown}{more}{outside}; {UNSEEN}"))
}

/// Of this machine or its link alone.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

/// Of a private network (RFC 1918, RFC 4193), or of a carrier's (RFC 6598).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    fn found(listen: &str, own: &[&str]) -> Finding {
        let own: Vec<IpAddr> = own.iter().map(|ip| ip.parse().unwrap()).collect();
        judge(listen.parse().unwrap(), &own)
    }

    #[test]
    fn the_addresses_that_devices_can_use_are_named() {
        let all = ["127.0.0.1", "::1", "fe80::1", "169.254.1.1", "192.0.2.7", "10.0.0.7", "2001:db8::7"];
        let v4 = found("0.0.0.0:5684", &all);
        assert_eq!(v4.state, State::Well);
        assert!(
            v4.detail.starts_with("coaps://192.0.2.7:5684, coaps://10.0.0.7:5684 (private); whether"),
            "{v4:?}"
        );
        assert!(found("[::]:5685", &all).detail.contains("coaps://[2001:db8::7]:5685"));
        assert!(found("192.0.2.7:5684", &all).detail.starts_with("coaps://192.0.2.7:5684; whether"));
    }

    #[test]
    fn a_private_network_needs_a_forwarded_port() {
        for private in ["10.0.0.7", "172.16.0.1", "192.168.1.2", "100.64.0.1"] {
            let finding = found("0.0.0.0:5684", &[private]);
            assert!(finding.detail.contains("forwarded"), "{finding:?}");
        }
        assert!(found("[::]:5684", &["fd00::1"]).detail.contains("forwarded"));
        assert!(!found("0.0.0.0:5684", &["100.128.0.1"]).detail.contains("forwarded"));
    }

    #[test]
    fn a_server_that_no_device_reaches_is_named() {
        assert_eq!(found("127.0.0.1:5684", &["192.0.2.7"]).state, State::Watch);
        assert_eq!(found("0.0.0.0:5684", &["127.0.0.1", "2001:db8::7"]).state, State::Watch);
        assert_eq!(found("192.0.2.8:5684", &["192.0.2.7"]).state, State::Watch);
        let many: Vec<String> = (1..10).map(|last| format!("192.0.2.{last}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(found("0.0.0.0:5684", &many).detail.contains(", and 3 more"));
    }

    #[test]
    fn this_machine_has_a_loopback() {
        assert!(own_addresses().iter().any(IpAddr::is_loopback));
    }
}
