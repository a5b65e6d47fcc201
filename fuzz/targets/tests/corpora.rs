//! Runs every target over its corpus, in an ordinary build.

use std::{fs, path::Path};

#[test]
fn every_target_has_a_corpus_and_keeps_its_promises_over_it() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, target) in narrowgate_fuzz_targets::ALL {
        let folder =
            fs::read_dir(corpora.join(name)).unwrap_or_else(|error| panic!("no corpus of {name}: {error}"));
        let mut files: Vec<_> = folder.map(|entry| entry.expect("a readable entry").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        for file in files {
            let data = fs::read(&file).expect("a readable file");
            let outcome = std::panic::catch_unwind(|| target(&data));
            assert!(outcome.is_ok(), "{name} fails at {}", file.display());
        }
    }
}
