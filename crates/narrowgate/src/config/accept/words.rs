//! Words: one of a few, or some of them.

use super::Accept;

/// One of some words, each with its value and what it means.
#[derive(Debug)]
pub(crate) struct OneOf<T: 'static>(pub(in crate::config) &'static [(&'static str, T, &'static str)]);

impl<T: Copy + Sync> Accept for OneOf<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        let known = self.0.iter().find(|(word, ..)| *word == text);
        known.map(|(_, value, _)| *value).ok_or_else(|| none_of(text, self.0.iter().map(|(word, ..)| *word)))
    }

    fn accepted(&self) -> String {
        let meanings: Vec<String> =
            self.0.iter().map(|(word, _, meaning)| format!("{word}: {meaning}")).collect();
        meanings.join("; ")
    }
}

/// Some of some values that have names, in the order given, separated by commas; none twice, at least one.
#[derive(Debug)]
pub(crate) struct SomeOf<T: 'static> {
    pub(in crate::config) all: &'static [T],
    pub(in crate::config) name: fn(T) -> &'static str,
}

impl<T: Copy + PartialEq + Sync> Accept for SomeOf<T> {
    type Value = Vec<T>;
    const LIST: bool = true;

    fn parse(&self, text: &str) -> Result<Vec<T>, String> {
        let mut chosen = Vec::new();
        for word in text.split(',').map(str::trim) {
            let known = self.all.iter().copied().find(|value| (self.name)(*value) == word);
            let value =
                known.ok_or_else(|| none_of(word, self.all.iter().map(|value| (self.name)(*value))))?;
            if chosen.contains(&value) {
                return Err(format!("{word:?} is listed twice"));
            }
            chosen.push(value);
        }
        Ok(chosen)
    }

    fn accepted(&self) -> String {
        let names: Vec<&str> = self.all.iter().map(|value| (self.name)(*value)).collect();
        names.join(", ")
    }
}

fn none_of<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> String {
    format!("{text:?} is not one of {}", words.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_order_and_stand_once() {
        let words = SomeOf { all: &[1, 2], name: |number| if number == 1 { "a" } else { "b" } };
        assert_eq!(words.parse("b, a"), Ok(vec![2, 1]));
        assert_eq!(words.parse("a,a").unwrap_err(), "\"a\" is listed twice");
        assert_eq!(words.parse("").unwrap_err(), "\"\" is not one of a, b");
        let words = OneOf(&[("a", 1, "first"), ("b", 2, "second")]);
        assert_eq!(words.parse("b"), Ok(2));
        assert_eq!(words.parse("c").unwrap_err(), "\"c\" is not one of a, b");
        assert_eq!(words.accepted(), "a: first; b: second");
    }
}
