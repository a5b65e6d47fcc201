//! Which rows a batch added to the file of logs, so that they can be taken away again where the batch is half
//! of one. In the footer as text, a line for each list and in it the first number of each device:
//!
//! ```text
//! log 17:201 18:5
//! presence 17:40
//! gone 9:0
//! happened 0:7031
//! ```

use std::{collections::BTreeMap, fmt};

/// A list of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum List {
    Log,
    Presence,
    /// Whether it is gone: one row, of number 0.
    Gone,
    /// What happened: one list of all, as of device 0.
    Happened,
}

impl List {
    const ALL: [Self; 4] = [Self::Log, Self::Presence, Self::Gone, Self::Happened];

    fn word(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Presence => "presence",
            Self::Gone => "gone",
            Self::Happened => "happened",
        }
    }
}

/// The first number that was added to each list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Added(BTreeMap<(List, i64), i64>);

impl Added {
    /// Row `n` was added; the first number that was added to its list.
    pub(super) fn add(&mut self, list: List, device: i64, n: i64) -> i64 {
        *self.0.entry((list, device)).or_insert(n)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Each list with its device and the first number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (List, i64, i64)> + '_ {
        self.0.iter().map(|(&(list, device), &first)| (list, device, first))
    }

    /// The reverse of `Display`; `None` for anything that it would not give.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut added = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let word = words.next()?;
            let list = List::ALL.into_iter().find(|list| list.word() == word)?;
            for word in words {
                let (device, first) = word.split_once(':')?;
                added.add(list, device.parse().ok()?, first.parse().ok()?);
            }
        }
        Some(added)
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = None;
        for (list, device, first) in self.iter() {
            if last != Some(list) {
                let end = if last.is_some() { "\n" } else { "" };
                write!(f, "{end}{}", list.word())?;
                last = Some(list);
            }
            write!(f, " {device}:{first}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_written_and_read_back_by_its_first_numbers() {
        let mut added = Added::default();
        assert_eq!(Added::parse(&added.to_string()), Some(added.clone()));
        for (list, device, n, first) in [
            (List::Log, 18, 5, 5),
            (List::Log, 17, 201, 201),
            (List::Log, 17, 202, 201),
            (List::Presence, 17, 40, 40),
            (List::Gone, 9, 0, 0),
        ] {
            assert_eq!(added.add(list, device, n), first);
        }
        assert_eq!(added.to_string(), "log 17:201 18:5\npresence 17:40\ngone 9:0");
        assert_eq!(Added::parse(&added.to_string()), Some(added.clone()));
        for text in ["logs 1:1", "log 1", "log 1:x", "log  1:1"] {
            assert_eq!(Added::parse(text), None, "{text}");
        }
    }
}
