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
        for (section, dependency) in dependencies(&manifest) {
            let is_help = section == "dev-dependencies" && (dependency == TESTKIT || dependency == name);
            let is_allowed = is_help || allowed.contains(&dependency.as_str());
            let is_own = dependency.starts_with("narrowgate");
            assert!(!is_own || is_allowed, "{name} must not depend on {dependency} ({section})");
        }
    }
}

/// The packages that a manifest names, each with its section: also those for some targets only, and those
/// that have another name here.
pub(crate) fn dependencies(manifest: &toml::Table) -> Vec<(String, String)> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
    let mut found = Vec::new();
    for table in tables.chain([manifest]) {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let named = table.get(section).and_then(toml::Value::as_table).into_iter().flatten();
            found.extend(named.map(|(key, value)| {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                (section.to_owned(), renamed.unwrap_or(key).to_owned())
            }));
        }
    }
    found
}

#[test]
fn a_dependency_is_found_under_another_name_and_for_one_target() {
    let manifest = "[dependencies]\na = \"1\"\nb = { package = \"c\", version = \"1\" }\n\
                    [target.'cfg(unix)'.dev-dependencies]\nd.workspace = true\n";
    let found = dependencies(&manifest.parse().expect("a manifest"));
    let expected = [("dev-dependencies", "d"), ("dependencies", "a"), ("dependencies", "c")];
    assert_eq!(found, expected.map(|(section, name)| (section.to_owned(), name.to_owned())));
}

#[test]
fn no_source_is_included_from_another_crate() {
    for source in all_sources() {
        let folders = packages();
        let own = folders.iter().map(|(folder, _)| folder).find(|folder| source.path.starts_with(folder));
        let own = own.cloned().unwrap_or_else(|| root().join("fuzz"));
        let includes = ["#[path", "cfg_attr", "include!("];
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(head) = includes.iter().find_map(|head| line.find(head)) else { continue };
            // What is included may stand in the next line.
            let rest = format!("{}{}", &line[head..], lines.get(at + 1).unwrap_or(&""));
            let Some(target) = rest.split('"').nth(1).filter(|target| target.ends_with(".rs")) else {
                continue;
            };
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
