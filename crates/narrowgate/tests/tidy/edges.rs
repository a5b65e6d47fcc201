//! Who may depend on whom.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use crate::tree::{all_sources, packages, root};

/// Who may name whom. Pure crates know nobody outside; the engine and the platform do not know each other.
const EDGES: &[(&str, &[&str])] = &[
    ("narrowgate-dtls", &[]),
    ("narrowgate-coap", &[]),
    ("narrowgate-api", &[]),
    ("narrowgate-engine", &["narrowgate-dtls", "narrowgate-coap"]),
    ("narrowgate-engine-io", &["narrowgate-engine"]),
    ("narrowgate-platform", &["narrowgate-coap", "narrowgate-api"]),
    (
        "narrowgate-gateway",
        &["narrowgate-api", "narrowgate-dtls", "narrowgate-coap", "narrowgate-engine", "narrowgate-platform"],
    ),
    ("narrowgate-adapters", &["narrowgate-platform", "narrowgate-api"]),
    ("narrowgate-http", &["narrowgate-platform", "narrowgate-api"]),
    (
        "narrowgate-sim",
        &[
            "narrowgate-api",
            "narrowgate-dtls",
            "narrowgate-coap",
            "narrowgate-engine",
            "narrowgate-gateway",
            "narrowgate-platform",
        ],
    ),
    ("narrowgate-load", &["narrowgate-sim", "narrowgate-dtls", "narrowgate-coap"]),
    // Helps tests; only dev-dependencies name it.
    ("narrowgate-testkit", &["narrowgate-sim"]),
    // Measures parts by themselves; nothing depends on it.
    (
        "narrowgate-benches",
        &[
            // Its script engine.
            "narrowgate-adapters",
            "narrowgate-dtls",
            "narrowgate-coap",
            "narrowgate-engine",
            "narrowgate-engine-io",
            "narrowgate-platform",
            "narrowgate-sim",
        ],
    ),
    (
        "narrowgate-fuzz-targets",
        &[
            // Its script engine.
            "narrowgate-adapters",
            "narrowgate-dtls",
            "narrowgate-coap",
            "narrowgate-engine",
            "narrowgate-gateway",
            "narrowgate-platform",
            "narrowgate-sim",
        ],
    ),
    (
        "narrowgate",
        &[
            "narrowgate-api",
            "narrowgate-dtls",
            "narrowgate-coap",
            "narrowgate-engine",
            "narrowgate-engine-io",
            "narrowgate-platform",
            "narrowgate-gateway",
            "narrowgate-adapters",
            "narrowgate-http",
            // Its device, for `device simulate`.
            "narrowgate-sim",
        ],
    ),
];

/// What only tests name: helps that every crate may use for its own.
const TESTKIT: &str = "narrowgate-testkit";

#[test]
fn crates_depend_only_in_the_direction_of_the_architecture() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    for (_, manifest) in packages() {
        let name = manifest["package"]["name"].as_str().expect("a package has a name");
        let allowed = allowed.get(name).unwrap_or_else(|| {
            panic!("{name} has no place in the architecture: add it to EDGES with a reason")
        });
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for dependency in dependencies.keys().filter(|key| key.starts_with("narrowgate")) {
                let is_help = section == "dev-dependencies" && (dependency == TESTKIT || dependency == name);
                let is_allowed = is_help || allowed.contains(&dependency.as_str());
                assert!(is_allowed, "{name} must not depend on {dependency} ({section})");
            }
        }
    }
}

#[test]
fn no_source_is_included_from_another_crate() {
    for source in all_sources() {
        let folders = packages();
        let own = folders.iter().map(|(folder, _)| folder).find(|folder| source.path.starts_with(folder));
        let own = own.cloned().unwrap_or_else(|| root().join("fuzz"));
        for line in source.text.lines().filter(|line| line.trim_start().starts_with("#[path")) {
            let target = line.split('"').nth(1).expect("a path stands in quotes");
            let target = plain(&source.path.parent().expect("a file lies in a folder").join(target));
            assert!(target.starts_with(&own), "{} includes {}", source.name(), target.display());
        }
    }
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn every_crate_forbids_unsafe_code() {
    for (folder, manifest) in packages() {
        let root = fs::read_to_string(folder.join("src/lib.rs"))
            .or_else(|_| fs::read_to_string(folder.join("src/main.rs")))
            .expect("every crate has a root");
        let name = manifest["package"]["name"].as_str().expect("a package has a name");
        assert!(root.contains("#![forbid(unsafe_code)]"), "{name} does not forbid unsafe code");
    }
}
