//! The real binary on a data directory of its own, as an operator and scripts use it.

use std::{fs, path::Path};

use narrowgate_testkit::program::Program;

/// The program on a data directory that does not exist yet.
pub(crate) fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_narrowgate"))
}

/// The same with a product `pk` and a device `dk-1` of it.
pub(crate) fn program_with_device() -> Program {
    let program = program();
    program.json(&["product", "create", "meters", "--product-key", "pk"]);
    program.json(&["device", "create", "--product", "pk", "--device-key", "dk-1"]);
    program
}

/// Names of the files of a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
