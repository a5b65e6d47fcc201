//! Every key of the configuration, in the order in which `narrowgate config` prints them.

/// A key: its name is also that of its environment variable.
#[derive(Debug)]
pub(crate) struct Key {
    /// Section and key, as `dtls.listen`.
    pub(crate) name: &'static str,
    /// The value where nobody gave one.
    pub(crate) default: &'static str,
    /// What it does, one line.
    pub(crate) help: &'static str,
}

impl Key {
    /// `dtls.listen` is `NARROWGATE_DTLS_LISTEN`.
    pub(crate) fn variable(&self) -> String {
        format!("NARROWGATE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, default, help }
}

/// The key that takes a list.
pub(crate) const LIST: &str = "dtls.suites";

/// All keys.
pub(crate) const KEYS: &[Key] = &[
    key("dtls.listen", "0.0.0.0:5684", "UDP address and port for CoAP over DTLS"),
    key("dtls.shards", "0", "threads that serve devices, 1 to 256; 0: one per core"),
    key(
        "dtls.suites",
        "TLS_PSK_WITH_AES_128_CCM_8,TLS_PSK_WITH_AES_128_CBC_SHA256",
        "cipher suites, best first",
    ),
    key(
        "dtls.retransmit_initial",
        "1s",
        "first retransmission of a handshake flight, 100ms to 60s; 9s suits NB-IoT",
    ),
    key(
        "dtls.handshake_lifetime",
        "60s",
        "a handshake not done by then is dropped, 5s to 10m; unless set, all retransmissions fit into it",
    ),
    key(
        "dtls.extended_master_secret",
        "allow",
        "allow: clients may do without (RFC 7627); require: they are refused",
    ),
    key("dtls.require_encrypt_then_mac", "false", "true: CBC only with encrypt-then-MAC (RFC 7366)"),
    key("session.idle_timeout", "7d", "a session that was silent for so long is closed, 1m to 365d"),
    key(
        "session.sessions_max",
        "2000000",
        "sessions over all shards; at the limit one that was idle for long makes room",
    ),
    key(
        "admission.handshakes_max",
        "20000",
        "handshakes under way per shard; beyond it the busiest address makes room",
    ),
    key(
        "admission.handshakes_per_address_max",
        "4000",
        "handshakes under way per address (IPv6: per /64) and shard; the oldest makes room",
    ),
    key(
        "admission.lookups_max",
        "4096",
        "key look-ups under way per shard; beyond it a ClientHello is dropped",
    ),
    key("store.kind", "sqlite", "sqlite: files in the data directory; memory: nothing is kept, for tries"),
    key(
        "store.data_key_file",
        "data.key",
        "key that seals the secrets at rest; relative to the data directory",
    ),
    key(
        "store.cache",
        "64MiB",
        "memory for pages of the registry, and as much for the day's reports; a reader keeps a quarter, 1MiB to 64GiB",
    ),
    key(
        "store.retention",
        "off",
        "reports are deleted after so long, whole days from 1d to 36500d; off: never",
    ),
    key(
        "http.listen",
        "127.0.0.1:8080",
        "TCP address and port for health and metrics; off: they are not served",
    ),
    key(
        "log.filter",
        "info",
        "what is logged: off, error, warn, info, debug, trace, or per part (info,narrowgate=debug)",
    ),
];

/// The key of this name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// A part of a name that is shorter is in too many.
const PART_MIN: usize = 4;

/// The name of the key that was probably meant, if one is close.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    KEYS.iter()
        .map(|key| {
            // The right key in the wrong section is nearer than any other key.
            let distance = if last(key.name) == last(name) { 1 } else { edit_distance(key.name, name) };
            (distance, key.name)
        })
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .map(|(_, name)| name)
}

/// The same; else the first key of whose name this is a part: `retransmit`.
pub(crate) fn suggested(name: &str) -> Option<&'static str> {
    let last = |name: &'_ str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let part = last(name);
    let holds = |key: &&Key| part.len() >= PART_MIN && last(key.name).contains(&part);
    nearest(name).or_else(|| KEYS.iter().find(holds).map(|key| key.name))
}

/// Single-character edits between two names (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_finds_its_neighbour() {
        assert_eq!(nearest("dtls.listn"), Some("dtls.listen"));
        assert_eq!(nearest("http.listen_"), Some("http.listen"));
        assert_eq!(nearest("session.retention"), Some("store.retention"));
        assert_eq!(nearest("store.handshake-lifetime"), Some("dtls.handshake_lifetime"));
        assert_eq!(nearest("colour"), None);
        assert_eq!(suggested("retransmit"), Some("dtls.retransmit_initial"));
        assert_eq!(suggested("dtls.lifetime"), Some("dtls.handshake_lifetime"));
    }

    #[test]
    fn names_are_unique_and_name_their_variable() {
        for key in KEYS {
            assert_eq!(KEYS.iter().filter(|other| other.name == key.name).count(), 1);
            assert_eq!(key.name.split('.').count(), 2);
        }
        assert_eq!(find("dtls.retransmit_initial").unwrap().variable(), "NARROWGATE_DTLS_RETRANSMIT_INITIAL");
    }
}
