//! The ports that a server with these settings listens at: whether they are free, and who holds them.

use std::{io, net::SocketAddr, os::fd::AsRawFd as _};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use super::{
    Finding, Running,
    sockets::{Holder, Transport, holders},
};
use crate::config::Config;

/// A listener of the configuration.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    check: &'static str,
    flag: &'static str,
    transport: Transport,
    address: SocketAddr,
}

pub(super) fn check(config: &Config, server: Option<&Running>) -> Vec<Finding> {
    let udp = |check, flag, address| Wanted { check, flag, transport: Transport::Udp, address };
    let dtls = udp("dtlsPort", "--dtls", config.dtls.listen);
    let coap = config.coap.listen.map(|address| udp("coapPort", "--coap", address));
    let http = config.http.listen.map(|address| Wanted {
        check: "httpPort",
        flag: "--http",
        transport: Transport::Tcp,
        address,
    });
    let look = |wanted: Wanted| {
        let held = match wanted.address.port() {
            0 => Vec::new(),
            _ => holders(wanted.transport, wanted.address),
        };
        // Beside a server nothing is bound, not for a moment.
        let refused = match held.is_empty() && server.is_none() {
            true => try_to_bind(wanted.transport, wanted.address).err(),
            false => None,
        };
        judge(wanted, &held, refused.as_ref(), server)
    };
    [Some(dtls), coap, http].into_iter().flatten().map(look).collect()
}

/// Binds a socket as a server would, and gives it back; nothing is taken from it.
fn try_to_bind(transport: Transport, address: SocketAddr) -> io::Result<()> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match transport {
        Transport::Udp => SockType::Datagram,
        Transport::Tcp => SockType::Stream,
    };
    let probe = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if transport == Transport::Tcp {
        // Connections of an earlier server do not count.
        setsockopt(&probe, sockopt::ReuseAddr, &true)?;
    }
    Ok(bind(probe.as_raw_fd(), &SockaddrStorage::from(address))?)
}

fn judge(wanted: Wanted, held: &[Holder], refused: Option<&io::Error>, server: Option<&Running>) -> Finding {
    let Wanted { check, flag, transport, address } = wanted;
    let (place, port) = (format!("{address} ({})", transport.name()), address.port());
    let own = server.and_then(|server| server.process);
    let own_user = server.and_then(|server| server.user);
    // Of a server in a user namespace of its own, as the unit of the package makes it, even its own user does
    // not see the files that it has open; root does.
    let is_hidden = |holder: &Holder| holder.process.is_none() && Some(holder.user) == own_user;
    let is_other = |holder: &&Holder| match &holder.process {
        Some((process, _)) => Some(*process) != own,
        None => !is_hidden(holder),
    };
    if let Some(other) = held.iter().find(is_other) {
        let who = match &other.process {
            Some((process, name)) => format!("process {process} ({name})"),
            None => format!("a process of the user with the id {}", other.user),
        };
        let detail = format!("{place} is held by {who}");
        return Finding::act(check, detail, format!("stop it, or choose another port with {flag}"));
    }
    let listens = match held.iter().any(is_hidden) {
        true => "most likely the running server, whose user it is, listens at",
        false => "the running server listens at",
    };
    let drops: u64 = held.iter().map(|holder| holder.drops).sum();
    match (held.is_empty(), refused.map(io::Error::kind)) {
        (false, _) if drops > 0 => {
            let detail = format!("{listens} {place}; the kernel has dropped {drops} datagrams for it");
            Finding::watch(check, detail, "raise net.core.rmem_max, or use more shards, where it grows")
        }
        (false, _) => Finding::well(check, format!("{listens} {place}")),
        (true, None) if server.is_some() && port != 0 => {
            let detail =
                format!("nobody listens at {place}: the running server was started with other settings");
            Finding::watch(check, detail, format!("give its own options ({flag}), or restart it with these"))
        }
        (true, None) => Finding::well(check, format!("{place} is free")),
        (true, Some(io::ErrorKind::AddrNotAvailable)) => {
            let detail = format!("this machine has no address {}", address.ip());
            Finding::act(check, detail, format!("ip address lists those that it has; {flag} chooses one"))
        }
        (true, Some(io::ErrorKind::PermissionDenied)) => {
            let detail = format!("this user may not listen at {place}: ports below 1024 need a privilege");
            Finding::act(check, detail, format!("choose another port with {flag}"))
        }
        (true, Some(_)) => {
            let why = refused.map(io::Error::to_string).unwrap_or_default();
            let detail = format!("{place} cannot be listened at: {why}");
            Finding::act(check, detail, format!("choose another port with {flag}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    const WANTED: Wanted = Wanted {
        check: "dtlsPort",
        flag: "--dtls",
        transport: Transport::Udp,
        address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 5684),
    };

    fn held(process: Option<(u32, &str)>, drops: u64) -> Holder {
        let process = process.map(|(number, name)| (number, name.to_owned()));
        Holder { process, user: 33, drops }
    }

    #[track_caller]
    fn expect(finding: &Finding, state: State, words: &str) {
        assert!(finding.state == state && finding.detail.contains(words), "{finding:?}");
        assert_eq!(finding.advice.is_none(), state == State::Well, "{finding:?}");
    }

    #[test]
    fn a_port_is_free_or_its_holder_is_named() {
        expect(&judge(WANTED, &[], None, None), State::Well, "0.0.0.0:5684 (UDP) is free");
        let other = judge(WANTED, &[held(Some((12, "coap-server")), 0)], None, None);
        expect(&other, State::Act, "held by process 12 (coap-server)");
        expect(&judge(WANTED, &[held(None, 0)], None, None), State::Act, "user with the id 33");
    }

    #[test]
    fn the_running_server_holds_its_ports() {
        let server = Running::of_tests(Some(7), Some(33));
        let own = |drops| held(Some((7, "narrowgate")), drops);
        expect(&judge(WANTED, &[own(0), own(0)], None, Some(&server)), State::Well, "running server listens");
        expect(&judge(WANTED, &[own(2), own(1)], None, Some(&server)), State::Watch, "dropped 3 datagrams");
        let beside = [own(0), held(Some((8, "other")), 0)];
        expect(&judge(WANTED, &beside, None, Some(&server)), State::Act, "process 8 (other)");
        expect(&judge(WANTED, &[], None, Some(&server)), State::Watch, "other settings");
        // Its process is hidden from this user.
        let hidden = [held(None, 0), held(None, 2)];
        let words = "most likely the running server";
        expect(&judge(WANTED, &hidden[..1], None, Some(&server)), State::Well, words);
        expect(&judge(WANTED, &hidden, None, Some(&server)), State::Watch, "dropped 2 datagrams");
        let of_root = Running::of_tests(Some(7), Some(0));
        expect(&judge(WANTED, &hidden, None, Some(&of_root)), State::Act, "user with the id 33");
        let unknown = Running::of_tests(None, None);
        expect(&judge(WANTED, &hidden, None, Some(&unknown)), State::Act, "user with the id 33");
        let any = Wanted { address: "127.0.0.1:0".parse().unwrap(), ..WANTED };
        expect(&judge(any, &[], None, Some(&server)), State::Well, "is free");
    }

    #[test]
    fn what_cannot_be_bound_says_why() {
        for (kind, words) in [
            (io::ErrorKind::AddrNotAvailable, "no address 0.0.0.0"),
            (io::ErrorKind::PermissionDenied, "below 1024"),
            (io::ErrorKind::Unsupported, "cannot be listened at"),
        ] {
            expect(&judge(WANTED, &[], Some(&kind.into()), None), State::Act, words);
        }
        let nowhere = "192.0.2.1:0".parse().unwrap();
        for transport in [Transport::Udp, Transport::Tcp] {
            let error = try_to_bind(transport, nowhere).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
            try_to_bind(transport, "127.0.0.1:0".parse().unwrap()).unwrap();
        }
    }
}
