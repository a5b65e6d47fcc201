//! No text stands in a template: each is in the catalogue.

use std::{fs, path::Path};

/// Every file of the console that may have templates.
fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            if !["tests", "words", "assets"].contains(&&*name) {
                files(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).expect("it is text");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            found.push((name, code));
        }
    }
}

/// The texts in quotation marks of a template that stand in it as they are: what is shown, and what of
/// attributes a person reads.
fn texts(template: &str) -> Vec<String> {
    let (mut found, mut before, mut depth) = (Vec::new(), String::new(), 0_u32);
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '"' => {
                let mut text = String::new();
                while let Some(letter) = letters.next() {
                    match letter {
                        '\\' => text.extend(letters.next()),
                        '"' => break,
                        letter => text.push(letter),
                    }
                }
                let head = before.trim_end();
                let is_attribute = head.ends_with('=') && !head.ends_with("==") && !head.ends_with(" =");
                let attribute = head.trim_end_matches('=').rsplit([' ', '\n']).next().unwrap_or_default();
                let is_read = ["title", "alt", "placeholder", "aria-label", "label"].contains(&attribute);
                let is_shown = head.is_empty() || head.ends_with(['{', '}', ';', ')', '"']);
                let is_arm = template_rest(&letters).trim_start().starts_with("=>");
                if depth == 0 && !is_arm && (is_attribute && is_read || !is_attribute && is_shown) {
                    found.push(text);
                }
                before.push('"');
                continue;
            }
            _ => {}
        }
        before.push(letter);
    }
    found
}

fn template_rest(letters: &std::iter::Peekable<std::str::Chars<'_>>) -> String {
    letters.clone().take(8).collect()
}

/// The insides of each `html! { … }` of a source.
fn templates(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, head) in code.match_indices("html! {") {
        let (mut depth, mut is_text, mut inside) = (1_u32, false, String::new());
        let mut letters = code[at + head.len()..].chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => is_text = !is_text,
                '\\' if is_text => {
                    inside.push(letter);
                    inside.extend(letters.next());
                    continue;
                }
                '{' if !is_text => depth += 1,
                '}' if !is_text => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            inside.push(letter);
        }
        let lines = inside.lines().filter(|line| !line.trim_start().starts_with("//"));
        found.push(lines.collect::<Vec<_>>().join("\n"));
    }
    found
}

/// The name of the product, and keys of the keyboard.
const NO_WORDS: &[&str] = &["narrowgate", " · narrowgate", "g"];

#[test]
fn no_text_stands_in_a_template() {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), &mut all);
    let (mut found, mut count) = (Vec::new(), 0);
    for (name, code) in &all {
        for template in templates(code) {
            count += 1;
            // What begins with a slash is the end of a path.
            let is_text = |text: &String| {
                text.chars().any(char::is_alphabetic)
                    && !text.starts_with('/')
                    && !NO_WORDS.contains(&&**text)
            };
            found.extend(texts(&template).into_iter().filter(is_text).map(|text| format!("{name}: {text}")));
        }
    }
    assert!(count > 10, "templates are looked at");
    assert!(found.is_empty(), "texts outside of the catalogue:\n{}", found.join("\n"));
}

/// Sentences that code makes elsewhere than in templates, but for what is only for logs and for our faults.
#[test]
fn no_sentence_stands_in_the_code_of_a_page() {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), &mut all);
    let is_sentence = |text: &str| {
        let words: Vec<_> = text.split(' ').collect();
        let is_word = |word: &&str| word.len() > 1 && word.chars().all(|letter| letter.is_ascii_alphabetic());
        words.len() > 2 && words.windows(3).any(|three| three.iter().all(is_word))
    };
    let mut found = Vec::new();
    for (name, code) in &all {
        // What is refused before it is known who asks, and faults of ours, are told as the API tells them.
        if ["visit.rs", "ask.rs"].contains(&&**name) {
            continue;
        }
        for line in
            code.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.contains("reason ="))
        {
            let texts = line.split('"').skip(1).step_by(2);
            found.extend(texts.filter(|text| is_sentence(text)).map(|text| format!("{name}: {text}")));
        }
    }
    assert!(found.is_empty(), "sentences outside of the catalogue:\n{}", found.join("\n"));
}

#[test]
fn a_text_in_a_template_is_found() {
    let template = r#"p title="Read me" class="soft" { "Hello" (visit.t("no text")) @if x == "other" { "·" } }
        @match y { "arm" => { b { "World" } } } a href="/x" aria-label=(label) {}"#;
    assert_eq!(texts(template), ["Read me", "Hello", "·", "World"]);
    assert_eq!(templates("fn a() { html! { p { \"}\" } } } html! { b { \"x\" } }").len(), 2);
}
