//! Whatever the operator's service changes has an entry in the audit log: by the route that calls the verb
//! (a test of the crate `http` asks every route, and looks at the store), or by the verb itself, or by its
//! caller. A verb of which none of that holds has to be named here, with the reason.

use std::collections::BTreeMap;

use crate::tree::{Source, root, sources};

/// What verbs are called that change nothing and show no secret.
const READS: &[&str] = &["count_", "list_", "show_", "find_", "read_", "knows_", "sees", "try_", "infer_"];

/// Other verbs that change nothing.
const READ_TOO: &[&str] = &[
    "asked_before",
    "caller",
    "check_unit_of",
    "deed_place",
    "device_name",
    "holder",
    "has_password",
    "link_holder",
    "listen",
    "now",
    "of",
    "refused_deed",
    "resolve",
    "session_holder",
    "wants",
];

/// Verbs that change something without an entry, and why.
const WITHOUT: &[(&str, &str)] = &[
    ("advance_upgrades", "a rollout goes on that somebody began, who has an entry"),
    ("begin_request", "it remembers a request that has an entry itself"),
    ("end_deed", "it is the entry"),
    ("forget_request", "it forgets a request that has an entry itself"),
    ("keep_answer", "it keeps the answer to a request that has an entry itself"),
    ("note_deed", "it is the note"),
    ("remove_over_sessions", "they are over by their times, and open nothing"),
    ("use_session", "it says that a session was used, by what has an entry itself"),
];

/// Files and folders that are tests.
const TESTS: &[&str] =
    &["tests", "tests.rs", "document", "matrix", "matrix.rs", "files", "files.rs", "replays.rs"];

/// How a verb gets its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Reads,
    /// The verb writes it.
    Itself,
    /// The route that calls it.
    Route,
    Without,
    /// Nobody knows how.
    None,
}

/// The source files of a folder, without tests: those in files of their own, and at the ends of others.
fn code(folder: &str) -> Vec<Source> {
    let mut found = sources(&root().join(folder));
    found.retain(|source| {
        let path = source.path.strip_prefix(root()).unwrap_or(&source.path);
        !path.components().any(|part| TESTS.iter().any(|test| part.as_os_str() == *test))
    });
    for source in &mut found {
        if let Some(at) = source.text.find("#[cfg(test)]\nmod tests {") {
            source.text.truncate(at);
        }
    }
    found
}

/// The verbs: names and bodies of the public methods of the operator.
fn verbs() -> BTreeMap<String, String> {
    let mut verbs = BTreeMap::new();
    for source in code("crates/platform/src/service/operator") {
        for method in source.text.split("\n    pub ").skip(1) {
            let method = method.strip_prefix("async ").unwrap_or(method);
            let Some((name, rest)) = method.strip_prefix("fn ").and_then(|rest| rest.split_once(['(', '<']))
            else {
                continue;
            };
            let body = rest.split("\n    }\n").next().unwrap_or_default();
            // What takes the operator itself makes another one.
            if body.contains("&self") {
                verbs.insert(name.to_owned(), body.to_owned());
            }
        }
    }
    verbs
}

fn entry(verb: &str, body: &str, routes: &str) -> Entry {
    let by_route = if routes.contains(&format!(".{verb}(")) { Entry::Route } else { Entry::None };
    let notes = ["self.noted(", "self.noted_of(", "self.begin_session(", "self.end_deed("];
    match verb {
        // No route shows it: the demonstration does.
        "show_activation_secret" => Entry::Route,
        "show_device_secret" | "show_product_secret" => by_route,
        _ if READ_TOO.contains(&verb) || READS.iter().any(|beginning| verb.starts_with(beginning)) => {
            Entry::Reads
        }
        _ if notes.iter().any(|notes| body.contains(notes)) => Entry::Itself,
        _ if WITHOUT.iter().any(|(name, _)| *name == verb) => Entry::Without,
        _ => by_route,
    }
}

/// The functions that call a verb of an operator's.
fn callers<'a>(text: &'a str, verb: &str) -> Vec<&'a str> {
    let call = format!("operator.{verb}(");
    let whole = |(at, _)| {
        let begin = text[..at].rfind("fn ").unwrap_or(0);
        let rest = &text[begin..];
        let ends = ["\n}\n", "\n    }\n"].map(|end| rest.find(end).unwrap_or(rest.len()));
        &rest[..ends[0].min(ends[1])]
    };
    text.match_indices(&call).map(whole).collect()
}

#[test]
fn every_verb_that_changes_something_has_an_entry_in_the_audit_log() {
    let verbs = verbs();
    assert!(verbs.len() > 70, "{:?}", verbs.keys());
    let routes: String = code("crates/http/src/api").into_iter().map(|source| source.text).collect();
    let table: BTreeMap<&str, Entry> =
        verbs.iter().map(|(verb, body)| (&**verb, entry(verb, body, &routes))).collect();
    let without: Vec<_> = table.iter().filter(|(_, entry)| **entry == Entry::None).collect();
    assert!(without.is_empty(), "no route calls {without:?}, and they write no entry: {table:#?}");
    for named in READ_TOO.iter().chain(WITHOUT.iter().map(|(name, _)| name)) {
        assert!(verbs.contains_key(*named), "there is no verb {named} any more");
    }
    // Who else calls what a route would note.
    let mut others = code("crates/http/src");
    others.retain(|source| !source.path.starts_with(root().join("crates/http/src/api")));
    others.extend(code("crates/narrowgate/src"));
    let mut checked = 0;
    for source in others {
        for (verb, _) in table.iter().filter(|(_, entry)| **entry == Entry::Route) {
            for function in callers(&source.text, verb) {
                let is_noted = function.contains(".noted(") || function.contains(".note_deed(");
                assert!(is_noted, "{}: {verb} is called, and nobody notes it", source.name());
                checked += 1;
            }
        }
    }
    assert!(checked >= 4, "{checked}: what the demonstration makes and shows");
}
