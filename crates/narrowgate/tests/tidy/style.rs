//! House style, as far as the text of a file shows it: the order of derives, the name of a formatter, one
//! `use` for each crate in a group, and how long lines and functions are.

use std::collections::BTreeSet;

use crate::tree::{Source, root, sources};

/// Folders that are held to all rules here. A folder is added once it is clean.
const HELD: &[&str] = &[
    "benches",
    "crates/adapters",
    "crates/api",
    "crates/coap",
    "crates/dtls",
    "crates/engine",
    "crates/engine-io",
    "crates/gateway",
    "crates/http",
    "crates/load",
    "crates/narrowgate",
    "crates/platform",
    "crates/sim",
    "crates/testkit",
    "fuzz",
];
/// Characters of a line, comments included.
const COLUMNS_MAX: usize = 110;
/// Lines of a function: a screen.
const FUNCTION_LINES_MAX: usize = 60;
/// The order of derives. Others follow them in any order.
const DERIVES: &[&str] =
    &["Debug", "Clone", "Copy", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash", "Default"];

#[test]
fn derives_stand_in_one_order() {
    report("derives out of order", misplaced_derives);
}

#[test]
fn a_formatter_is_named_f() {
    report("a formatter is `f`", named_formatters);
}

#[test]
fn a_crate_is_imported_once_in_a_group() {
    report("imports of one crate are nested", repeated_imports);
}

#[test]
fn lines_fit_the_width_that_rustfmt_keeps() {
    report("lines are too long", long_lines);
}

#[test]
fn every_function_fits_a_screen() {
    report("functions are too long", long_functions);
}

/// Fails with all that a check finds in the held folders.
fn report(what: &str, check: impl Fn(&str) -> Vec<(usize, String)>) {
    let mut found = Vec::new();
    for Source { path, text } in HELD.iter().flat_map(|folder| sources(&root().join(folder))) {
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        found.extend(check(&text).iter().map(|(line, detail)| format!("{name}:{line} {detail}")));
    }
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Lists of derives that are not in order.
fn misplaced_derives(text: &str) -> Vec<(usize, String)> {
    let head = concat!("#[", "derive(");
    let mut found = Vec::new();
    for (at, _) in text.match_indices(head) {
        let list = text[at + head.len()..].split(')').next().unwrap_or_default();
        let place = |name: &str| DERIVES.iter().position(|other| *other == name).unwrap_or(DERIVES.len());
        let names: Vec<_> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if !names.is_sorted_by_key(|name| place(name)) {
            found.push((1 + text[..at].matches('\n').count(), names.join(", ")));
        }
    }
    found
}

/// Formatters with another name.
fn named_formatters(text: &str) -> Vec<(usize, String)> {
    let is_bad = |line: &str| {
        let head = |(at, _)| line[..at].rsplit_once(": &mut ").map(|(head, _)| head);
        let mut heads = line.match_indices("Formatter<'_>").filter_map(head);
        heads.any(|head: &str| {
            let name = head.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
            !matches!(name, Some("" | "f" | "_f"))
        })
    };
    numbered(text)
        .filter(|(_, line)| is_bad(line))
        .map(|(number, line)| (number, line.trim().into()))
        .collect()
}

/// A `use` of a crate that an earlier `use` of the same group names. Groups end at a blank line; what an
/// attribute stands above is left out.
fn repeated_imports(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut group) = (Vec::new(), BTreeSet::new());
    let (mut is_inside, mut is_conditional) = (false, false);
    for (number, line) in numbered(text) {
        if is_inside {
            is_inside = !line.ends_with(';');
            continue;
        }
        let code = line.trim_start();
        let (visibility, path) = match code.strip_prefix("use ") {
            Some(path) => ("", path),
            None => code.split_once(" use ").filter(|(head, _)| is_visibility(head)).unwrap_or_default(),
        };
        if path.is_empty() {
            is_conditional = code.starts_with("#[");
            if !is_conditional && !code.starts_with("//") {
                group.clear();
            }
            continue;
        }
        let root = path.split("::").next().unwrap_or(path).trim_end_matches(';');
        if !is_conditional && !group.insert((visibility, root)) {
            found.push((number, code.into()));
        }
        (is_inside, is_conditional) = (!line.ends_with(';'), false);
    }
    found
}

fn is_visibility(head: &str) -> bool {
    head == "pub" || head.starts_with("pub(") && head.ends_with(')')
}

/// Lines that are too long.
fn long_lines(text: &str) -> Vec<(usize, String)> {
    let lengths = numbered(text).map(|(number, line)| (number, line.chars().count()));
    lengths
        .filter(|(_, length)| *length > COLUMNS_MAX)
        .map(|(number, length)| (number, length.to_string()))
        .collect()
}

/// The functions of a formatted file that are too long: each ends at the first closing brace in its own
/// column.
fn long_functions(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        // A declaration without a body ends before the first brace.
        let end = lines[at..].iter().find(|line| line.ends_with('{') || line.ends_with(['}', ';']));
        if !end.is_some_and(|line| line.ends_with('{')) {
            continue;
        }
        let brace = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let length = lines[at..].iter().position(|line| *line == brace).map_or(1, |length| length + 1);
        if length > FUNCTION_LINES_MAX {
            found.push((at + 1, format!("{name} has {length} lines")));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    // `pub(in crate::a) unsafe extern "C" fn name`: what stands before `fn` says who may call it, and how.
    let line = line.trim_start();
    let line = match line.strip_prefix("pub(in ") {
        Some(rest) => rest.split_once(')')?.1,
        None => line,
    };
    let mut words = line.split_whitespace();
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\""];
    let word = words.find(|word| !qualifiers.contains(word))?;
    (word == "fn").then(|| words.next()?.split(['(', '<']).next()).flatten()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

#[test]
fn what_breaks_the_style_is_found() {
    let derive = |list: &str| format!("{}{list})]\nstruct A;\n", concat!("\n#[", "derive("));
    assert_eq!(misplaced_derives(&derive("Clone, Debug")), [(2, "Clone, Debug".into())]);
    assert!(misplaced_derives(&derive("Debug, Clone, Hash, Default, Error, Args")).is_empty());

    let format = |name: &str| format!("fn fmt(&self, {name}: &mut fmt::Formatter<'_>) -> fmt::Result {{}}\n");
    assert_eq!(named_formatters(&format("formatter")).len(), 1);
    assert!(named_formatters(&format("f")).is_empty());

    assert_eq!(repeated_imports("use std::fmt;\nuse std::{\n    io,\n};\n"), [(2, "use std::{".into())]);
    assert!(repeated_imports("use std::fmt;\n\nuse std::io;\npub use std::env;\n").is_empty());
    assert!(repeated_imports("use a::B;\n#[cfg(test)]\nuse a::C;\n").is_empty());

    let function = |lines: usize| format!("pub fn long<T>(\n) {{\n{}}}\n", "    x();\n".repeat(lines - 3));
    assert_eq!(long_functions(&function(61)), [(1, "long has 61 lines".into())]);
    assert!(long_functions(&function(60)).is_empty());
    assert!(long_functions("fn declared();\n\nfn other() {\n}\n").is_empty());
    for head in ["pub(in crate::a) fn", "unsafe extern \"C\" fn", "pub const fn"] {
        assert_eq!(function_name(&format!("    {head} name<T>(x: T)")), Some("name"), "{head}");
    }

    assert_eq!(long_lines(&format!("{}\n{}\n", "é".repeat(110), "é".repeat(111))), [(2, "111".into())]);
}
