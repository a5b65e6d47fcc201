//! Who listens where, as the system tells it (proc(5): `/proc/net` and the descriptors of processes).

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// A socket that takes what is sent to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    address: SocketAddr,
    user: u32,
    inode: u64,
    /// Datagrams that the kernel has dropped for want of room.
    drops: u64,
}

/// Who holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its number and name, where this user may see them.
    pub(super) process: Option<(u32, String)>,
    pub(super) user: u32,
    pub(super) drops: u64,
}

/// Those whose sockets overlap with this address.
pub(super) fn holders(transport: Transport, address: SocketAddr) -> Vec<Holder> {
    let files = match transport {
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let texts = files.into_iter().filter_map(|file| fs::read_to_string(file).ok());
    let rows = texts.flat_map(|text| rows(transport, &text)).filter(|row| overlaps(row.address, address));
    let rows: Vec<Row> = rows.collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let owners = owners(&rows.iter().map(|row| row.inode).collect::<Vec<_>>());
    let owner = |inode| owners.iter().find(|(owned, _)| *owned == inode).map(|(_, owner)| owner.clone());
    rows.iter().map(|row| Holder { process: owner(row.inode), user: row.user, drops: row.drops }).collect()
}

/// Whether a socket at one of them is in the way of one at the other.
fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    // [::] takes IPv4 too.
    one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// The rows of a table: `sl local_address rem_address st … uid timeout inode … drops`.
fn rows(transport: Transport, table: &str) -> Vec<Row> {
    table.lines().skip(1).filter_map(|line| row(transport, line)).collect()
}

fn row(transport: Transport, line: &str) -> Option<Row> {
    /// A socket of TCP that listens.
    const LISTENING: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    if transport == Transport::Tcp && *words.get(3)? != LISTENING {
        return None;
    }
    let (ip, port) = words.get(1)?.split_once(':')?;
    let address = SocketAddr::new(ip_of(ip)?, u16::from_str_radix(port, 16).ok()?);
    let drops = match transport {
        Transport::Udp => words.get(12).and_then(|word| word.parse().ok()).unwrap_or(0),
        Transport::Tcp => 0,
    };
    Some(Row { address, user: words.get(7)?.parse().ok()?, inode: words.get(9)?.parse().ok()?, drops })
}

/// An address as the kernel prints it: words of 32 bits, each in this machine's order of bytes.
fn ip_of(hexadecimal: &str) -> Option<IpAddr> {
    let mut bytes = hex::decode(hexadecimal).ok()?;
    if cfg!(target_endian = "little") {
        bytes.chunks_mut(4).for_each(<[u8]>::reverse);
    }
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// The processes that have these sockets open, as far as this user may see them.
fn owners(inodes: &[u64]) -> Vec<(u64, (u32, String))> {
    let wanted: Vec<(u64, String)> =
        inodes.iter().map(|inode| (*inode, format!("socket:[{inode}]"))).collect();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(number) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let links = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        for link in links.filter_map(|descriptor| fs::read_link(descriptor.path()).ok()) {
            let wanted = wanted.iter().find(|(_, name)| link.as_os_str() == name.as_str());
            if let Some((inode, _)) = wanted {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.push((*inode, (number, name.trim_end().to_owned())));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    /// A table as a kernel prints it.
    const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid \
        timeout inode ref pointer drops\n  330: 0100007F:1634 00000000:0000 07 00000000:00000000 00:00000000 \
        00000000   998        0 4711 2 0000000000000000 17\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st \
        tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 \
        00:00000000 00000000     0        0 12 1 0000000000000000 100 0 0 10 0\n   \
        1: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 01 00000000:00000000 \
        00:00000000 00000000     0        0 13 1 0000000000000000 100 0 0 10 0\n";

    #[cfg(target_endian = "little")]
    #[test]
    fn the_tables_of_the_kernel_are_read() {
        let address = "127.0.0.1:5684".parse().unwrap();
        let row = Row { address, user: 998, inode: 4711, drops: 17 };
        assert_eq!(rows(Transport::Udp, UDP), [row]);
        let address = "[::]:8080".parse().unwrap();
        // The second one is a connection.
        assert_eq!(rows(Transport::Tcp, TCP6), [Row { address, user: 0, inode: 12, drops: 0 }]);
        assert_eq!(rows(Transport::Tcp, "head\nnonsense\n"), []);
    }

    #[test]
    fn a_socket_for_all_addresses_overlaps_with_each() {
        let overlap = |a: &str, b: &str| overlaps(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlap("0.0.0.0:5684", "192.0.2.1:5684") && overlap("192.0.2.1:5684", "[::]:5684"));
        assert!(overlap("[::ffff:192.0.2.1]:5684", "192.0.2.1:5684"));
        assert!(!overlap("192.0.2.2:5684", "192.0.2.1:5684") && !overlap("0.0.0.0:5683", "0.0.0.0:5684"));
    }

    #[test]
    fn the_holder_of_a_port_is_found() {
        let own = std::process::id();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = holders(Transport::Udp, udp.local_addr().unwrap());
        assert!(matches!(&*found, [Holder { process: Some((pid, _)), .. }] if *pid == own), "{found:?}");
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let found = holders(Transport::Tcp, tcp.local_addr().unwrap());
        assert!(matches!(&*found, [Holder { process: Some((pid, _)), .. }] if *pid == own), "{found:?}");
        let address = tcp.local_addr().unwrap();
        drop(tcp);
        assert_eq!(holders(Transport::Tcp, address), []);
    }
}
