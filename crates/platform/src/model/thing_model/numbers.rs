//! Integer keys of elements and parameters (device protocol, section 13).
//!
//! A number, once it was some element's, is never another's: devices in the field keep the number that they
//! were built with. So a product remembers all numbers that its models have ever given, of elements that a
//! later version has no more, too. An element that comes again gets the number that it had.
//!
//! An element is known by its kind and identifier, and a parameter by its service or event, its list and
//! identifier; the parameters of a service share one row of numbers, input and output together. Members of
//! structures have none. What has no number gets the smallest one that is free: measurepoints first, since
//! the smallest numbers are the shortest on the wire. An element may be given another number that is free;
//! its former one stays its own.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Fault;

/// Longest memory of numbers that a product has, as JSON in bytes: some dozen times what one model gives.
pub const NUMBERS_BYTES_MAX: usize = 4 << 20;

/// All numbers that were ever given in a product's models: for the elements (by the empty text) and for each
/// service and event, what has which ones, the present one last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Numbers(BTreeMap<String, BTreeMap<String, Vec<u16>>>);

impl Numbers {
    /// Reads what [`Self::to_json`] has written; what is something else gives none.
    pub fn from_json(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// As JSON, for a store.
    pub fn to_json(&self) -> String {
        // Never fails: keys are text.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A model, in the same words, in which everything has its number; and all numbers from then on.
    ///
    /// # Errors
    /// A number occurs twice or is another element's, or there is none left; with the JSON pointer. A text
    /// that is no model.
    pub fn number(&self, json: &str) -> Result<(String, Self), Fault> {
        let slots = slots(json).map_err(|error| Fault::new("", error.to_string()))?;
        let mut giving = Giving::new(self.clone());
        for slot in &slots {
            if let Some(number) = slot.given {
                giving.accept(slot, number)?;
            }
        }
        let mut added = Vec::new();
        for slot in slots.iter().filter(|slot| slot.given.is_none()) {
            added.push((end_of(slot.written, json) - 1, giving.find_or_give(slot)?));
        }
        let numbers = giving.numbers;
        let bytes = numbers.to_json().len();
        if bytes > NUMBERS_BYTES_MAX {
            let message = format!(
                "all numbers that the models of this product ever had take {bytes} bytes; at most \
                 {NUMBERS_BYTES_MAX} are kept"
            );
            return Err(Fault::new("", message));
        }
        Ok((with_numbers(json, added), numbers))
    }
}

/// Something that has a number or gets one.
struct Slot<'a> {
    /// Within what its number is unique.
    space: String,
    /// What it is there.
    key: String,
    pointer: String,
    /// Its object, a piece of the document.
    written: &'a str,
    /// The number that the document gives.
    given: Option<u16>,
}

/// The lists of a model. The other keys are none of ours.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Lists<'a> {
    #[serde(borrow)]
    measurepoints: Vec<&'a RawValue>,
    #[serde(borrow)]
    attributes: Vec<&'a RawValue>,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    #[serde(borrow)]
    services: Vec<&'a RawValue>,
}

/// An element, or a parameter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Element<'a> {
    #[serde(borrow)]
    identifier: Cow<'a, str>,
    number: Option<u16>,
    #[serde(borrow, default)]
    input_data: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    output_data: Vec<&'a RawValue>,
}

/// All that a model numbers, in the order in which numbers are given.
fn slots(json: &str) -> serde_json::Result<Vec<Slot<'_>>> {
    let Lists { measurepoints, attributes, events, services } = serde_json::from_str(json)?;
    let mut slots = Vec::new();
    for (kind, list) in [
        ("measurepoints", measurepoints),
        ("attributes", attributes),
        ("events", events),
        ("services", services),
    ] {
        for (index, raw) in list.into_iter().enumerate() {
            let pointer = format!("/{kind}/{index}");
            let element: Element<'_> = serde_json::from_str(raw.get())?;
            let key = format!("{kind}/{}", element.identifier);
            for (list, parameters) in
                [("inputData", &element.input_data), ("outputData", &element.output_data)]
            {
                for (index, raw) in parameters.iter().enumerate() {
                    let parameter: Element<'_> = serde_json::from_str(raw.get())?;
                    slots.push(Slot {
                        space: key.clone(),
                        key: format!("{list}/{}", parameter.identifier),
                        pointer: format!("{pointer}/{list}/{index}"),
                        written: raw.get(),
                        given: parameter.number,
                    });
                }
            }
            let (space, written, given) = (String::new(), raw.get(), element.number);
            slots.push(Slot { space, key, pointer, written, given });
        }
    }
    Ok(slots)
}

/// Numbers while they are given.
struct Giving {
    numbers: Numbers,
    /// What has each number, by what it is unique in.
    taken: BTreeMap<String, BTreeMap<u16, String>>,
    /// Where the document at hand has it.
    seen: BTreeMap<(String, u16), String>,
    /// Below this one none is free.
    free_from: BTreeMap<String, u16>,
}

impl Giving {
    fn new(numbers: Numbers) -> Self {
        let mut taken: BTreeMap<String, BTreeMap<u16, String>> = BTreeMap::new();
        for (space, keys) in &numbers.0 {
            let taken = taken.entry(space.clone()).or_default();
            for (key, numbers) in keys {
                taken.extend(numbers.iter().map(|number| (*number, key.clone())));
            }
        }
        Self { numbers, taken, seen: BTreeMap::new(), free_from: BTreeMap::new() }
    }

    /// Takes a number that the document gives.
    fn accept(&mut self, slot: &Slot<'_>, number: u16) -> Result<(), Fault> {
        let refused = |message| Err(Fault::new(&format!("{}/number", slot.pointer), message));
        if let Some(first) = self.seen.insert((slot.space.clone(), number), slot.pointer.clone()) {
            return refused(format!("{number} occurs twice: {first} has it too"));
        }
        let owner = self.taken.get(&slot.space).and_then(|taken| taken.get(&number));
        if let Some(owner) = owner.filter(|owner| **owner != slot.key) {
            let (list, identifier) = owner.split_once('/').unwrap_or(("", owner));
            return refused(format!(
                "{number} is that of {identifier} in {list}, here or in an earlier version: \
                 no other may get it"
            ));
        }
        self.give(slot, number);
        Ok(())
    }

    /// The number that it had, or one that is free.
    fn find_or_give(&mut self, slot: &Slot<'_>) -> Result<u16, Fault> {
        let known = self.numbers.0.get(&slot.space).and_then(|keys| keys.get(&slot.key)?.last().copied());
        if let Some(number) = known {
            return Ok(number);
        }
        let taken = self.taken.entry(slot.space.clone()).or_default();
        let from = self.free_from.get(&slot.space).copied().unwrap_or(1);
        let Some(number) = (from..=u16::MAX).find(|number| !taken.contains_key(number)) else {
            let message = "no number is left: all from 1 to 65535 are taken, also by earlier versions";
            return Err(Fault::new(&slot.pointer, message));
        };
        self.free_from.insert(slot.space.clone(), number);
        self.give(slot, number);
        Ok(number)
    }

    /// Notes the present number.
    fn give(&mut self, slot: &Slot<'_>, number: u16) {
        self.taken.entry(slot.space.clone()).or_default().insert(number, slot.key.clone());
        let numbers = self.numbers.0.entry(slot.space.clone()).or_default();
        let numbers = numbers.entry(slot.key.clone()).or_default();
        numbers.retain(|former| *former != number);
        numbers.push(number);
    }
}

/// Where a piece of a text ends in it.
fn end_of(piece: &str, whole: &str) -> usize {
    piece.as_ptr() as usize - whole.as_ptr() as usize + piece.len()
}

/// The document with numbers at these places, each the closing brace of an object that has other keys.
fn with_numbers(json: &str, mut added: Vec<(usize, u16)>) -> String {
    added.sort_unstable();
    let (mut numbered, mut copied) = (String::with_capacity(json.len() + 15 * added.len()), 0);
    for (at, number) in added {
        numbered += &json[copied..at];
        numbered += &format!(",\"number\":{number}");
        copied = at;
    }
    numbered + &json[copied..]
}

#[cfg(test)]
mod tests;
