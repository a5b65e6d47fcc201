//! The files that the rules are about.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in a folder");
    crates.parent().expect("the crates lie in a folder").to_owned()
}

/// Every package of the workspace: its folder and its manifest.
pub(crate) fn packages() -> Vec<(PathBuf, toml::Table)> {
    let crates = fs::read_dir(root().join("crates")).expect("the workspace has a folder of crates");
    let crates = crates.map(|folder| folder.expect("a readable folder").path());
    let mut folders: Vec<_> =
        crates.chain(["benches", "fuzz/targets"].map(|folder| root().join(folder))).collect();
    folders.sort();
    let read = |folder: PathBuf| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("every crate has a manifest");
        (folder, manifest.parse().expect("cargo has read it too"))
    };
    folders.into_iter().map(read).collect()
}

/// A source file.
pub(crate) struct Source {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// What stands in it.
    pub(crate) text: String,
}

impl Source {
    /// Its path, as a message shows it.
    pub(crate) fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap_or(&self.path).display().to_string()
    }
}

/// All Rust files below a folder.
pub(crate) fn sources(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    collect(folder, &mut found);
    found
}

/// All Rust files of the project.
pub(crate) fn all_sources() -> Vec<Source> {
    let mut found = sources(&root().join("crates"));
    found.extend(sources(&root().join("benches")));
    found.extend(sources(&root().join("fuzz")));
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            found.push(Source { path, text });
        }
    }
}
