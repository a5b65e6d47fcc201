//! What a pure crate may not name: sockets, clocks, threads, files and random sources, and the order of a
//! hash map. `clippy.toml` in the crate refuses them by name; the same is looked for in the text here, so
//! that a test run without clippy refuses them too.

use std::{collections::BTreeSet, fs};

use crate::tree::{Source, root, sources};

/// Crates that take time, bytes and randomness as arguments.
const PURE: &[&str] = &["dtls", "coap", "engine", "api", "platform", "gateway", "sim"];

/// Dependencies that no pure crate has.
const SHELL: &[&str] = &["tokio", "mio", "socket2", "nix", "getrandom", "rand", "rusqlite", "axum", "hyper"];

/// What no source of a pure crate names.
const REFUSED: &[&str] = &[
    "UdpSocket",
    "UnixStream",
    "UnixDatagram",
    "UnixListener",
    "TcpStream",
    "TcpListener",
    "Instant::now",
    "SystemTime",
    ".elapsed()",
    "thread::spawn",
    "thread::sleep",
    "thread::scope",
    "std::fs",
    "fs::File",
    "std::process",
    "std::env",
    "getrandom",
    "OsRng",
    "thread_rng",
    "RandomState::new",
];

/// Ways to go through a map or a set.
const ITERATIONS: &[&str] = &[
    ".iter()",
    ".iter_mut()",
    ".keys()",
    ".into_keys()",
    ".values()",
    ".values_mut()",
    ".into_values()",
    ".into_iter()",
    ".drain()",
    ".drain(..)",
    ".retain(",
    ".extract_if(",
];

#[test]
fn pure_crates_refuse_clocks_threads_sockets_and_files() {
    let rules = |name: &str| fs::read_to_string(root().join("crates").join(name).join("clippy.toml"));
    let first = rules(PURE[0]).expect("a pure crate has a clippy.toml");
    for refused in
        ["Instant::now", "SystemTime::now", "thread::spawn", "UdpSocket", "fs::File", "HashMap::iter"]
    {
        assert!(first.contains(refused), "clippy.toml does not refuse {refused}");
    }
    for name in PURE {
        assert_eq!(rules(name).ok().as_ref(), Some(&first), "{name}/clippy.toml differs from {}'s", PURE[0]);
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let manifest: toml::Table =
            fs::read_to_string(manifest).expect("a manifest").parse().expect("cargo has read it too");
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for shell in SHELL {
            let named = dependencies.is_some_and(|dependencies| dependencies.contains_key(*shell));
            assert!(!named, "{name} is pure and must not depend on {shell}");
        }
    }
}

#[test]
fn pure_crates_name_nothing_of_the_outside() {
    let mut found = Vec::new();
    for source in pure_sources() {
        for (number, line) in code(&source.text) {
            if let Some(refused) = REFUSED.iter().find(|refused| line.contains(**refused)) {
                found.push(format!("{}:{number} names {refused}", source.name()));
            }
        }
    }
    assert!(found.is_empty(), "pure crates get these as arguments:\n{}", found.join("\n"));
}

#[test]
fn pure_crates_go_through_no_hash_map() {
    let found: Vec<_> = pure_sources().iter().flat_map(iterations).collect();
    assert!(found.is_empty(), "the order of a hash map differs from run to run:\n{}", found.join("\n"));
}

/// The sources of the pure crates but for files that are tests.
fn pure_sources() -> Vec<Source> {
    let of_crate = |name: &&str| sources(&root().join("crates").join(name).join("src"));
    let is_test = |source: &Source| {
        let name = source.name();
        name.contains("/tests/") || name.ends_with("/tests.rs") || name.contains("/test_")
    };
    PURE.iter().flat_map(of_crate).filter(|source| !is_test(source)).collect()
}

/// Lines of code, numbered, without comments and without the tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines()).take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    // What clippy was told to expect, with a reason, is expected here too: the line that follows.
    let mut is_expected = false;
    let lines = lines.filter(move |(_, line)| {
        let was_expected = is_expected;
        is_expected = line.contains("expect(clippy::disallowed_methods");
        !was_expected
    });
    lines.map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
}

/// Where a field or a variable that is declared in this file as a hash map or set is gone through.
fn iterations(source: &Source) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (_, line) in code(&source.text) {
        names.extend(declared(line));
    }
    let mut found = Vec::new();
    for (number, line) in code(&source.text) {
        for name in &names {
            let called = ITERATIONS.iter().any(|way| contains_word(line, &format!("{name}{way}")));
            let looped = ["in &", "in &mut ", "in ", "in &self.", "in &mut self.", "in self."]
                .iter()
                .any(|head| line.trim_end().ends_with(&format!("{head}{name} {{")));
            if called || looped {
                found.push(format!("{}:{number}: {}", source.name(), line.trim()));
            }
        }
    }
    found
}

/// The name that a line gives to a hash map or set.
fn declared(line: &str) -> Option<String> {
    let kind = ["HashMap", "HashSet", "HashTable"];
    let at = kind.iter().filter_map(|kind| line.find(kind)).min()?;
    let head = &line[..at];
    let typed = head.rfind(':').filter(|colon| !head[..*colon].ends_with(':') || !head.ends_with("::"));
    let end = match (typed, head.rfind('=')) {
        (_, Some(equals)) => equals,
        (Some(_), None) => head.find(':')?,
        (None, None) => return None,
    };
    let name = head[..end].split(':').next()?.trim().rsplit([' ', '(', ',', '|']).next()?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_name && name != "use").then(|| name.to_owned())
}

fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
}

#[test]
fn what_goes_through_a_hash_map_is_found() {
    let source = |text: &str| Source { path: "some.rs".into(), text: text.to_owned() };
    let bad = "struct A {\n    by_name: HashMap<String, u32>,\n}\n\
               fn f(a: &A) {\n    for x in &a.by_name {\n    }\n    \
               a.by_name.values().sum()\n}\nlet seen = HashSet::new();\nfor one in seen {\n";
    assert_eq!(iterations(&source(bad)).len(), 2, "{:?}", iterations(&source(bad)));
    let good = "struct A {\n    by_name: HashMap<String, u32>,\n    list: Vec<u32>,\n}\n\
                a.list.iter();\na.by_name.get(x);\n";
    assert!(iterations(&source(good)).is_empty());
}
