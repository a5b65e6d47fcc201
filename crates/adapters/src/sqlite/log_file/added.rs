//! Which rows a batch added to the file of logs, so that they can be taken away again where the batch is half
//! of one. In the footer as text, a line for each list and in it the first number of each device:
//!
//! ```text
//! log 17:201 18:5
//! presence 17:40
//! gone 9:0
//! happened 0:7031
//! ```

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use super::super::digits::push_number;

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

/// The numbers that were added to a list of a device.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    first: i64,
    last: i64,
}

/// What was added to each list, by device.
#[derive(Debug, Clone, Default)]
pub(super) struct Added([BTreeMap<i64, Numbers>; List::ALL.len()]);

impl Added {
    /// Row `n` was added.
    pub(super) fn add(&mut self, list: List, device: i64, n: i64) {
        self.0[list as usize].entry(device).or_insert(Numbers { first: n, last: n }).last = n;
    }

    /// The number of the row that is added next. Before the first one `last` tells the last that is there.
    pub(super) fn next<E>(
        &mut self,
        list: List,
        device: i64,
        last: impl FnOnce() -> Result<i64, E>,
    ) -> Result<i64, E> {
        match self.0[list as usize].entry(device) {
            Entry::Occupied(mut known) => {
                known.get_mut().last += 1;
                Ok(known.get().last)
            }
            Entry::Vacant(place) => {
                let n = last()? + 1;
                Ok(place.insert(Numbers { first: n, last: n }).first)
            }
        }
    }

    /// The first number that was added to a list; 0: none was.
    pub(super) fn first(&self, list: List, device: i64) -> i64 {
        self.0[list as usize].get(&device).map_or(0, |numbers| numbers.first)
    }

    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(BTreeMap::clear);
    }

    /// Each list with its device and the first number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (List, i64, i64)> + '_ {
        let lists = List::ALL.into_iter().zip(&self.0);
        lists.flat_map(|(list, of)| of.iter().map(move |(device, numbers)| (list, *device, numbers.first)))
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

    /// As `Display` gives it. Each batch has one, with some words for each of its devices.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for (list, device, first) in self.iter() {
            if last != Some(list) {
                text.push_str(if last.is_some() { "\n" } else { "" });
                text.push_str(list.word());
                last = Some(list);
            }
            text.push(' ');
            push_number(&mut text, device);
            text.push(':');
            push_number(&mut text, first);
        }
        text
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl PartialEq for Added {
    /// As it is written.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
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
            added.add(list, device, n);
            assert_eq!(added.first(list, device), first);
        }
        assert_eq!(added.to_string(), "log 17:201 18:5\npresence 17:40\ngone 9:0");
        assert_eq!(Added::parse(&added.to_string()), Some(added.clone()));
        added.add(List::Happened, 0, i64::MAX);
        added.add(List::Presence, -1, i64::MIN);
        let ends = format!("\npresence -1:{} 17:40\ngone 9:0\nhappened 0:{}", i64::MIN, i64::MAX);
        assert!(added.to_string().ends_with(&ends), "{added}");
        for text in ["logs 1:1", "log 1", "log 1:x", "log  1:1"] {
            assert_eq!(Added::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_next_number_is_asked_for_once() {
        let mut added = Added::default();
        let mut next = |list, last: Option<i64>| added.next(list, 7, || last.ok_or(()));
        assert_eq!(next(List::Log, None), Err(()));
        assert_eq!(next(List::Log, Some(3)), Ok(4));
        assert_eq!(next(List::Presence, Some(0)), Ok(1));
        assert_eq!(next(List::Log, None), Ok(5));
        assert_eq!(added.first(List::Log, 7), 4);
        assert_eq!(added.to_string(), "log 7:4\npresence 7:1");
    }
}
