//! The rules that `tests/run mutants` breaks on purpose: each fits the code as it is. A mutant whose text has
//! gone is noticed here, and not in the run of all of them, which is long and rare.

use std::fs;

use crate::tree::{all_sources, root};

#[test]
fn every_planted_fault_fits_the_code_and_names_a_test() {
    let table = fs::read_to_string(root().join("tests/mutants/mutants.toml")).expect("it is there");
    let table: toml::Table = table.parse().expect("it is TOML");
    let text_of = |value: &toml::Value| value.as_str().expect("a text").to_owned();
    let sources = all_sources();
    let mut wrong = Vec::new();
    for mutant in table["mutant"].as_array().expect("a list") {
        let [name, file, test] = ["name", "file", "caught_by"].map(|key| text_of(&mutant[key]));
        let mut text = fs::read_to_string(root().join(&file)).expect("the file of a mutant is there");
        for edit in mutant["edits"].as_array().expect("a list") {
            let [old, new] = [0, 1].map(|place| text_of(&edit[place]));
            if text.matches(&old).count() != 1 {
                wrong.push(format!("{name}: {file} does not hold this once: {:?}", old.trim()));
            }
            text = text.replace(&old, &new);
        }
        if !sources.iter().any(|source| source.text.contains(&format!("fn {test}("))) {
            wrong.push(format!("{name}: there is no test {test}"));
        }
    }
    assert!(wrong.is_empty(), "tests/mutants/mutants.toml: {wrong:#?}");
}
