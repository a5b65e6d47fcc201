//! The configuration file: TOML whose every key is known. Values become text here and get their meaning in
//! `parse`, so that a value means the same from the file, the environment and a flag.

use std::{fs, io::Read as _, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    key::Setting,
    keys,
    values::{Origin, Value},
};
use crate::failure::Failure;

/// A configuration file is at most so long.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the file and checks its keys.
pub(super) fn read(path: &Path) -> Result<Vec<(&'static str, Value)>, Failure> {
    let cannot = |reason: String| {
        Failure::config("cannot read the configuration")
            .file(path.display())
            .reason(reason)
            .hint("check --config and NARROWGATE_CONFIG, and the file's permissions")
    };
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| cannot(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(cannot(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    parse(path, &text)
}

/// Checks the keys of `text`, which is named by `path` in errors.
fn parse(path: &Path, text: &str) -> Result<Vec<(&'static str, Value)>, Failure> {
    let document = Document { path, text };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        document.wrong(at, error.message()).hint("write a value as listen = \"0.0.0.0:5684\" below [dtls]")
    })?;
    let mut values = Vec::new();
    for (section, content) in table.get_ref() {
        let DeValue::Table(content) = content.get_ref() else {
            return Err(document.unknown(section.span().start, section.get_ref()));
        };
        if content.is_empty() && !keys::is_section(section.get_ref()) {
            return Err(document.unknown(section.span().start, section.get_ref()));
        }
        for (name, value) in content {
            let full = format!("{}.{}", section.get_ref(), name.get_ref());
            let key = keys::find(&full).ok_or_else(|| document.unknown(name.span().start, &full))?;
            values.push((key.name(), document.value(key, value)?));
        }
    }
    Ok(values)
}

struct Document<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Document<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn wrong(&self, at: usize, reason: impl std::fmt::Display) -> Failure {
        Failure::config("the configuration is wrong")
            .file(format_args!("{} line {}", self.path.display(), self.line(at)))
            .reason(reason)
    }

    fn unknown(&self, at: usize, name: &str) -> Failure {
        let failure = self.wrong(at, format_args!("unknown key {name}"));
        match keys::suggested(name) {
            Some(near) => failure.hint(format_args!("{near}   (narrowgate config lists every key)")),
            None => failure.hint("narrowgate config lists every key"),
        }
    }

    fn value(&self, key: &dyn Setting, value: &Spanned<DeValue<'_>>) -> Result<Value, Failure> {
        let at = value.span().start;
        let list = key.takes_list();
        let text = text_of(value.get_ref(), list).ok_or_else(|| {
            let name = key.name();
            self.wrong(at, format_args!("{name} is {}", kind(value.get_ref(), list)))
                .hint(format_args!("{name}: {}", key.help()))
        })?;
        Ok(Value { text, origin: Origin::File { path: self.path.to_owned(), line: self.line(at) } })
    }
}

/// The value as text, where it is one that a key takes.
fn text_of(value: &DeValue<'_>, list: bool) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(items) if list => {
            let texts = items.iter().map(|item| text_of(item.get_ref(), false));
            texts.collect::<Option<Vec<String>>>().map(|texts| texts.join(","))
        }
        DeValue::Array(_) | DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// What a value is that no key takes.
fn kind(value: &DeValue<'_>, list: bool) -> &'static str {
    match value {
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Datetime(_) => "a date",
        DeValue::Table(_) => "a table",
        DeValue::Array(_) if list => "a list of something else than names",
        DeValue::Array(_) => "a list; it takes one value",
        _ => "a number with too many digits",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(Path::new("n.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn values_of_every_kind_become_text_with_their_line() {
        let text =
            "[dtls]\nlisten = \"[::]:1\"\nshards = 0x10\nsuites = [\"a\", \"b\"]\n\n[http]\nlisten = \"x\"\n";
        let values = parse(Path::new("n.toml"), text).unwrap();
        let shown: Vec<String> =
            values.iter().map(|(key, value)| format!("{key}={} {}", value.text, value.origin)).collect();
        assert_eq!(
            shown,
            [
                "dtls.listen=[::]:1 n.toml line 2",
                "dtls.shards=16 n.toml line 3",
                "dtls.suites=a,b n.toml line 4",
                "http.listen=x n.toml line 7"
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_told_its_line_and_its_neighbour() {
        assert_eq!(
            error("[dtls]\n\nlistn = \"x\"\n"),
            "error: the configuration is wrong\n  file    n.toml line 3\n  reason  unknown key dtls.listn\n  \
             try     dtls.listen   (narrowgate config lists every key)\n"
        );
        assert!(error("[dtsl]\nlisten = \"x\"").contains("line 2\n  reason  unknown key dtsl.listen"));
        assert!(error("listen = \"x\"").contains("line 1\n  reason  unknown key listen"));
        assert!(error("[nothing]\n").contains("unknown key nothing"));
    }

    #[test]
    fn broken_toml_is_told_its_line() {
        assert!(error("[dtls]\nlisten = \n").contains("n.toml line 2"), "{}", error("[dtls]\nlisten = \n"));
        assert!(error("[dtls]\nshards = 1\nshards = 2\n").contains("line 3"));
        assert!(error("[dtls]\nshards = 1.5\n").contains("dtls.shards is a number with a fraction"));
    }
}
