//! The rules of the tree that no compiler checks: who may depend on whom, and how long a file may be.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Who may name whom. Pure crates know nobody outside; the engine and the platform do not know each other.
const EDGES: &[(&str, &[&str])] = &[
    ("narrowgate-dtls", &[]),
    ("narrowgate-coap", &[]),
    ("narrowgate-api", &[]),
    ("narrowgate-engine", &["narrowgate-dtls", "narrowgate-coap"]),
    ("narrowgate-engine-io", &["narrowgate-engine"]),
    ("narrowgate-platform", &["narrowgate-coap", "narrowgate-api"]),
    ("narrowgate-adapters", &["narrowgate-platform", "narrowgate-api"]),
    ("narrowgate-http", &["narrowgate-platform", "narrowgate-api"]),
    // `engine-io` for an example alone: a server of the engine without the platform.
    ("narrowgate-sim", &["narrowgate-dtls", "narrowgate-coap", "narrowgate-engine", "narrowgate-engine-io"]),
    // Runs the real bridge in virtual time. Its own crate, so that no shipped binary is built with a clock that a test moves.
    (
        "narrowgate-simulation",
        &[
            "narrowgate",
            "narrowgate-dtls",
            "narrowgate-coap",
            "narrowgate-engine",
            "narrowgate-engine-io",
            "narrowgate-platform",
            "narrowgate-adapters",
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
            "narrowgate-adapters",
            "narrowgate-http",
        ],
    ),
];

/// Crates that take time, bytes and randomness as arguments.
const PURE: &[&str] = &["dtls", "coap", "engine", "api", "platform"];

/// Longest source file. At 500 lines look for the seam.
const LINES_MAX: usize = 800;

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a folder").to_owned()
}

fn manifests() -> Vec<toml::Table> {
    let folders = fs::read_dir(crates()).expect("the workspace has a folder of crates");
    folders
        .map(|folder| folder.expect("a readable folder").path().join("Cargo.toml"))
        .map(|path| fs::read_to_string(&path).expect("every crate has a manifest"))
        .map(|text| text.parse().expect("cargo has read it too"))
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn crates_depend_only_in_the_direction_of_the_architecture() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    for manifest in manifests() {
        let name = manifest["package"]["name"].as_str().expect("a package has a name");
        let allowed = allowed.get(name).unwrap_or_else(|| {
            panic!("{name} has no place in the architecture: add it to EDGES with a reason")
        });
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for dependency in dependencies.keys().filter(|key| key.starts_with("narrowgate")) {
                // Its own tests may need a feature of it.
                let is_own = section == "dev-dependencies" && dependency == name;
                let is_allowed = is_own || allowed.contains(&dependency.as_str());
                assert!(is_allowed, "{name} must not depend on {dependency}");
            }
        }
    }
}

#[test]
fn pure_crates_refuse_clocks_threads_sockets_and_files() {
    for name in PURE {
        let folder = crates().join(name);
        let rules = fs::read_to_string(folder.join("clippy.toml")).expect("a pure crate has a clippy.toml");
        for refused in ["Instant::now", "SystemTime::now", "thread::spawn", "UdpSocket", "fs::File"] {
            assert!(rules.contains(refused), "{name}/clippy.toml does not refuse {refused}");
        }
        let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml"))
            .expect("a manifest")
            .parse()
            .expect("cargo has read it too");
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for shell in ["tokio", "mio", "socket2", "nix", "getrandom", "rusqlite"] {
            let named = dependencies.is_some_and(|dependencies| dependencies.contains_key(shell));
            assert!(!named, "{name} is pure and must not depend on {shell}");
        }
    }
}

#[test]
fn every_crate_forbids_unsafe_code() {
    for (name, _) in EDGES {
        let folder = crates().join(name.strip_prefix("narrowgate-").unwrap_or(name));
        let root = fs::read_to_string(folder.join("src/lib.rs")).expect("every crate has a library");
        assert!(root.contains("#![forbid(unsafe_code)]"), "{name} does not forbid unsafe code");
    }
}

#[test]
fn no_source_file_is_too_long_and_no_test_is_ignored() {
    let mut files = Vec::new();
    sources(&crates(), &mut files);
    for path in files {
        let text = fs::read_to_string(&path).expect("a readable file");
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: find its seam", path.display());
        let ignored = concat!("#[", "ignore");
        assert!(!text.contains(ignored), "{} has a test that does not run", path.display());
    }
}
