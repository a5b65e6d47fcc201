//! Every key of the configuration, in the order in which `narrowgate config` prints them, and the one that
//! was meant by a name that is none.

use super::{admission, coap, dtls, http, key::Setting, limits, log, nbiot, oidc, session, store, trace};

/// The keys of each section.
static SECTIONS: [&[&dyn Setting]; 11] = [
    dtls::KEYS,
    coap::KEYS,
    nbiot::KEYS,
    session::KEYS,
    admission::KEYS,
    limits::KEYS,
    store::KEYS,
    http::KEYS,
    oidc::KEYS,
    log::KEYS,
    trace::KEYS,
];

/// All keys.
pub(super) fn all() -> impl Iterator<Item = &'static dyn Setting> {
    SECTIONS.into_iter().flatten().copied()
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static dyn Setting> {
    all().find(|key| key.name() == name)
}

/// Whether there is such a section.
pub(super) fn is_section(name: &str) -> bool {
    all().any(|key| key.section() == name)
}

/// A part of a name that is shorter is in too many.
const PART_MIN: usize = 4;

/// The name of the key that was probably meant, if one is close.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    all()
        .map(|key| {
            // The right key in the wrong section is nearer than any other key.
            let is_misplaced = last(key.name()) == last(name);
            (if is_misplaced { 1 } else { edit_distance(key.name(), name) }, key.name())
        })
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .map(|(_, name)| name)
}

/// The same; else the first key of whose name this is a part: `retransmit`.
pub(crate) fn suggested(name: &str) -> Option<&'static str> {
    let last = |name: &'_ str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let part = last(name);
    let holds = |name: &&str| part.len() >= PART_MIN && last(name).contains(&part);
    nearest(name).or_else(|| all().map(Setting::name).find(holds))
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
        for key in all() {
            assert_eq!(all().filter(|other| other.name() == key.name()).count(), 1);
            assert_eq!(key.name().split('.').count(), 2);
        }
        assert_eq!(find("dtls.retransmit_initial").unwrap().variable(), "NARROWGATE_DTLS_RETRANSMIT_INITIAL");
    }
}
