//! What a pure crate may not name: sockets, clocks, threads, files and random sources, and the order of a
//! hash map. `clippy.toml` in the crate refuses them by name; the same is looked for in the text here, so
//! that a test run without clippy refuses them too.

use std::{collections::BTreeSet, fs};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{
    Attribute, ImplItem, Item, Meta,
    visit_mut::{self, VisitMut},
};

use crate::tree::{Source, root, sources};

/// Crates that take time, bytes and randomness as arguments.
const PURE: &[&str] = &["dtls", "coap", "engine", "api", "platform", "gateway", "sim"];

/// Dependencies that no pure crate has.
const SHELL: &[&str] = &["tokio", "mio", "socket2", "nix", "getrandom", "rand", "rusqlite", "axum", "hyper"];

/// What no source of a pure crate names, as the last parts of a path: also where it is imported.
const REFUSED: &[&str] = &[
    "UdpSocket",
    "UnixStream",
    "UnixDatagram",
    "UnixListener",
    "TcpStream",
    "TcpListener",
    "ToSocketAddrs",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "std::thread",
    "thread::spawn",
    "thread::sleep",
    "thread::scope",
    "thread::park",
    "thread::Builder",
    "std::fs",
    "std::process",
    "std::env",
    "getrandom",
    "OsRng",
    "SysRng",
    "thread_rng",
    "RandomState::new",
];

/// Methods that no source of a pure crate calls.
const CALLS: &[&str] = &["elapsed"];

/// Ways to go through a map or a set.
const ITERATIONS: &[&str] = &[
    "iter",
    "iter_mut",
    "keys",
    "into_keys",
    "values",
    "values_mut",
    "into_values",
    "into_iter",
    "drain",
    "retain",
    "extract_if",
    "union",
    "intersection",
    "difference",
    "symmetric_difference",
];

#[test]
fn pure_crates_refuse_clocks_threads_sockets_and_files() {
    let rules = |name: &str| fs::read_to_string(root().join("crates").join(name).join("clippy.toml"));
    let first = rules(PURE[0]).expect("a pure crate has a clippy.toml");
    for refused in
        ["Instant::now", "SystemTime::now", "thread::spawn", "UdpSocket", "fs::File", "HashMap::iter"]
    {
        assert!(first.contains(refused), "clippy.toml does not refuse {refused}");
    }
    for name in PURE {
        assert_eq!(rules(name).ok().as_ref(), Some(&first), "{name}/clippy.toml differs from {}'s", PURE[0]);
        let folder = root().join("crates").join(name);
        let library = fs::read_to_string(folder.join("src/lib.rs")).expect("a library");
        let refuses = library.contains("#![deny(clippy::iter_over_hash_type)]");
        assert!(refuses, "{name} does not let clippy refuse loops over hash maps");
        let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml"))
            .expect("a manifest")
            .parse()
            .expect("cargo has read it too");
        for dependency in dependencies(&manifest) {
            assert!(!SHELL.contains(&&*dependency), "{name} is pure and must not depend on {dependency}");
        }
    }
}

#[test]
fn pure_crates_name_nothing_of_the_outside() {
    let found: Vec<_> = pure_sources().iter().flat_map(named).collect();
    assert!(found.is_empty(), "pure crates get these as arguments:\n{}", found.join("\n"));
}

#[test]
fn pure_crates_go_through_no_hash_map() {
    let found: Vec<_> = pure_sources().iter().flat_map(iterations).collect();
    assert!(found.is_empty(), "the order of a hash map differs from run to run:\n{}", found.join("\n"));
}

/// The packages that a manifest names for what is no test, by their real names.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    crate::edges::dependencies(manifest)
        .into_iter()
        .filter(|(section, _)| section != "dev-dependencies")
        .map(|(_, package)| package)
        .collect()
}

/// The sources of the pure crates but for files that are tests.
fn pure_sources() -> Vec<Source> {
    let of_crate = |name: &&str| sources(&root().join("crates").join(name).join("src"));
    let is_test = |source: &Source| {
        let name = source.name();
        name.contains("/tests/") || name.ends_with("/tests.rs") || name.contains("/test_")
    };
    PURE.iter().flat_map(of_crate).filter(|source| !is_test(source)).collect()
}

/// A word or a mark of a source, and its line.
type Word = (String, usize);

/// The words of a source that are compiled into the product: without comments, and without what is only for
/// tests or what clippy was told to expect, with a reason.
fn words(text: &str) -> Vec<Word> {
    let mut file = syn::parse_file(text).expect("the compiler has read it too");
    Product.visit_file_mut(&mut file);
    let mut words = Vec::new();
    flatten(file.into_token_stream(), &mut words);
    words
}

fn flatten(tokens: TokenStream, words: &mut Vec<Word>) {
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                words.push((open.to_owned(), line));
                flatten(group.stream(), words);
                words.push((close.to_owned(), group.span_close().start().line));
            }
            TokenTree::Literal(_) => words.push(("literal".to_owned(), line)),
            other => words.push((other.to_string(), line)),
        }
    }
}

/// Leaves only what the product is compiled from.
struct Product;

impl VisitMut for Product {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items.retain(|item| !is_apart(item_attributes(item)));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|item| !is_apart(item_attributes(item)));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_block_mut(&mut self, block: &mut syn::Block) {
        let expected = |statement: &syn::Stmt| {
            let text = statement.to_token_stream().to_string();
            text.starts_with("# [expect (clippy :: disallowed_methods")
        };
        block.stmts.retain(|statement| !expected(statement));
        visit_mut::visit_block_mut(self, block);
    }

    fn visit_item_impl_mut(&mut self, block: &mut syn::ItemImpl) {
        block.items.retain(|item| !matches!(item, ImplItem::Fn(method) if is_apart(&method.attrs)));
        visit_mut::visit_item_impl_mut(self, block);
    }
}

fn item_attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item is only for tests, or expected with a reason.
fn is_apart(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test" || condition.starts_with("all (test")
        }
        Meta::List(list) if list.path.is_ident("expect") => {
            list.tokens.to_string().starts_with("clippy :: disallowed_methods")
        }
        _ => false,
    })
}

/// What a source names of the outside.
fn named(source: &Source) -> Vec<String> {
    let words = words(&source.text);
    let paths = paths(&words);
    let mut found = Vec::new();
    for (path, line) in &paths {
        let refused = REFUSED.iter().find(|refused| is_within(path, refused));
        found.extend(refused.map(|refused| format!("{}:{line} names {refused}", source.name())));
    }
    for (at, (word, line)) in words.iter().enumerate() {
        let is_called =
            at > 0 && words[at - 1].0 == "." && words.get(at + 1).is_some_and(|(next, _)| next == "(");
        if is_called && CALLS.contains(&&**word) {
            found.push(format!("{}:{line} calls {word}", source.name()));
        }
    }
    found
}

/// Whether the parts of `refused` follow each other in the parts of `path`.
fn is_within(path: &[String], refused: &str) -> bool {
    let parts: Vec<&str> = refused.split("::").collect();
    path.windows(parts.len()).any(|window| window.iter().eq(parts.iter()))
}

/// Every path of a source, also those of a group: `std::{fs, env}` is `std::fs` and `std::env`.
fn paths(words: &[Word]) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    // The heads of the groups that are open: how long the path was at each.
    let mut heads: Vec<Vec<String>> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some((word, line)) = words.get(at) {
        let follows =
            |mark: [&str; 2]| (0..2).all(|by| words.get(at + 1 + by).is_some_and(|(w, _)| *w == mark[by]));
        let is_name = word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if is_name {
            path.push(word.clone());
            if follows([":", ":"]) {
                at += 2;
                if words.get(at + 1).is_some_and(|(next, _)| next == "{") {
                    heads.push(path.clone());
                    at += 1;
                }
            } else {
                found.push((std::mem::take(&mut path), *line));
                path = heads.last().cloned().unwrap_or_default();
            }
        } else if word == "}" && !heads.is_empty() {
            heads.pop();
            path = heads.last().cloned().unwrap_or_default();
        } else {
            path = heads.last().cloned().unwrap_or_default();
        }
        at += 1;
    }
    found
}

/// Where a field or a variable that is declared in this file as a hash map or set is gone through.
fn iterations(source: &Source) -> Vec<String> {
    let words = words(&source.text);
    let text = |at: usize| words.get(at).map_or("", |(word, _)| word.as_str());
    let names: BTreeSet<&str> = (0..words.len()).filter_map(|at| declared(&words, at)).collect();
    let mut found = Vec::new();
    for (at, (word, line)) in words.iter().enumerate().filter(|(_, (word, _))| names.contains(word.as_str()))
    {
        let is_called = text(at + 1) == "." && ITERATIONS.contains(&text(at + 2)) && text(at + 3) == "(";
        // `for x in &mut self.by_name {`: back from the name to `in`.
        let mut head = at;
        while matches!(text(head.wrapping_sub(1)), "." | "self" | "&" | "mut")
            || text(head.wrapping_sub(1)) == "."
        {
            head -= 1;
            if text(head) == "." && head > 0 {
                head -= 1;
            }
        }
        let is_looped = text(at + 1) == "{" && text(head.wrapping_sub(1)) == "in";
        if is_called || is_looped {
            found.push(format!("{}:{line}: {word}", source.name()));
        }
    }
    found
}

/// The name that is given to a hash map or set, whose kind stands at `at`.
fn declared(words: &[Word], at: usize) -> Option<&str> {
    if !["HashMap", "HashSet", "HashTable"].contains(&words[at].0.as_str()) {
        return None;
    }
    // Back over the path and what stands around it: `Mutex<collections::HashMap<..>>`, `= HashMap::new()`.
    let mut back = at;
    while back > 0 {
        back -= 1;
        let word = words[back].0.as_str();
        let is_double = word == ":" && back > 0 && words[back - 1].0 == ":";
        match word {
            _ if is_double => back -= 1,
            ":" | "=" => {
                let name = words.get(back.checked_sub(1)?)?.0.as_str();
                let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
                return is_name.then_some(name);
            }
            "<" | "&" | "mut" => {}
            _ if word.starts_with(|c: char| c.is_alphabetic()) && word != "use" => {}
            _ => return None,
        }
    }
    None
}

#[test]
fn what_goes_through_a_hash_map_is_found() {
    let found = |text: &str| iterations(&Source { path: "some.rs".into(), text: text.to_owned() });
    let bad = "struct A {\n    by_name: HashMap<String, u32>,\n}\n\
               fn f(a: &A) {\n    for x in &a.by_name {\n    }\n    \
               a.by_name\n.values().sum();\nlet seen = HashSet::new();\nfor one in seen {\n}\n}\n";
    assert_eq!(found(bad).len(), 3, "{:?}", found(bad));
    let good = "struct A {\n    by_name: HashMap<String, u32>,\n    list: Vec<u32>,\n}\n\
                fn f(a: &A) { a.list.iter();\na.by_name.get(x);\n }";
    assert!(found(good).is_empty(), "{:?}", found(good));
}

#[test]
fn what_names_the_outside_is_found() {
    let found = |text: &str| named(&Source { path: "some.rs".into(), text: text.to_owned() });
    for bad in [
        "use std::{collections::BTreeMap, env, fmt};",
        "use std::{net::{IpAddr, UdpSocket}, fmt};",
        "use std::thread::{self, Thread};",
        "fn f() { let now = std::time::Instant::now(); }",
        "fn f() { assert!(Timestamp\n::now() > then); }",
        "fn f(t: Instant) { t\n.elapsed(); }",
        "#[cfg(test)]\nmod tests;\n\nfn f() { std::fs::read(x); }",
    ] {
        assert!(!found(bad).is_empty(), "{bad}");
    }
    for good in [
        "use std::{fmt, net::IpAddr, time::{Duration, Instant}};",
        "#[cfg(test)]\nmod tests {\n    fn f() { Instant::now(); }\n}",
        "/// Like `std::env`.\nfn f() { \"std::fs\"; }",
        "#[expect(clippy::disallowed_methods, reason = \"why\")]\nfn f() { Instant::now(); }",
    ] {
        assert!(found(good).is_empty(), "{good}: {:?}", found(good));
    }
}
