//! Every story in `scenarios/` is true.

use std::{fs, path::Path};

use narrowgate_sim::story::Story;

#[test]
fn every_story_is_true() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "story"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no stories in {}", folder.display());
    let mut failures = Vec::new();
    for path in &paths {
        let told = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let outcome = told.and_then(|text| {
            let story =
                Story::parse(&format!("scenarios/{name}"), &text).map_err(|error| error.to_string())?;
            story.run().map_err(|error| format!("{}\n  {error}", story.title()))
        });
        failures.extend(outcome.err());
    }
    assert!(failures.is_empty(), "{} of {} stories:\n{}", failures.len(), paths.len(), failures.join("\n"));
}
