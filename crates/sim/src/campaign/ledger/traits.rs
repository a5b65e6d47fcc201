//! What devices have said they are like, beside what is stored of it: attributes and tags.

use std::collections::BTreeMap;

use narrowgate_platform::{
    model::property::{Properties, PropertyEdit, PropertyKind},
    ports::Written,
};

use super::{Checked, broken};
use crate::campaign::agent::duties::Trait;

/// What is known of one of them.
#[derive(Debug, Default)]
struct Known {
    /// What is durable.
    stored: Option<u64>,
    /// The changes that its device has asked for, in their order.
    asked: Vec<Option<u64>>,
    /// Which of them is stored.
    last: Option<usize>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Traits(BTreeMap<(u32, Trait), Known>);

/// How it is stored: of which kind, and as what.
const fn named(which: Trait) -> (PropertyKind, &'static str) {
    match which {
        Trait::Attribute => (PropertyKind::Attribute, "a"),
        Trait::Tag => (PropertyKind::Tag, "k"),
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim_matches('"').parse().ok()
}

impl Traits {
    /// A device is about to change it.
    pub(super) fn asked(&mut self, device: u32, which: Trait, value: Option<u64>) {
        self.0.entry((device, which)).or_default().asked.push(value);
    }

    /// A change is durable, or was refused: its device must have asked for it, and no newer one of the device
    /// was durable before. A copy of one that was refused may still become durable until then.
    pub(super) fn written(&mut self, device: u32, edit: &PropertyEdit, outcome: Written) -> Checked {
        if outcome != Written::Done {
            return Ok(());
        }
        let which = if edit.kind == PropertyKind::Attribute { Trait::Attribute } else { Trait::Tag };
        let value = edit.set.first().and_then(|(_, value)| number(value.get()));
        let known = self.0.entry((device, which)).or_default();
        let place = known.asked.iter().rposition(|asked| *asked == value);
        if place.is_none() || place < known.last {
            let what = format!("its {which:?} becomes {value:?}, and it was {:?} after that", known.stored);
            return broken(device, what);
        }
        (known.stored, known.last) = (value, place);
        Ok(())
    }

    /// A change is acknowledged: it is durable, and nothing came after it.
    pub(super) fn acknowledged(&self, device: u32, which: Trait, value: Option<u64>) -> Checked {
        let stored = self.0.get(&(device, which)).map(|known| known.stored);
        if stored == Some(value) {
            return Ok(());
        }
        broken(device, format!("its {which:?} {value:?} is acknowledged, and stored is {stored:?}"))
    }

    /// A device was told what it is like.
    pub(super) fn told(&self, device: u32, which: Trait, value: Option<u64>) -> Checked {
        let stored = self.0.get(&(device, which)).and_then(|known| known.stored);
        if stored == value {
            return Ok(());
        }
        broken(device, format!("it is told that its {which:?} is {value:?}, and stored is {stored:?}"))
    }

    /// What the store holds.
    pub(super) fn compare(&self, device: u32, kind: PropertyKind, stored: &Properties) -> Checked {
        for which in [Trait::Attribute, Trait::Tag] {
            let (of, name) = named(which);
            let value = stored.find(name).and_then(|value| number(value.get()));
            if of == kind {
                self.told(device, which, value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::model::json_text::JsonText;

    use super::*;

    fn written(traits: &mut Traits, value: u64) -> bool {
        let (set, unset) = (vec![("a".to_owned(), JsonText::new(&value.to_string()))], Vec::new());
        let edit = PropertyEdit { kind: PropertyKind::Attribute, replaces: false, set, unset };
        traits.written(7, &edit, Written::Done).is_ok()
    }

    #[test]
    fn a_change_is_durable_as_it_was_asked_for_and_not_after_a_newer_one() {
        let mut traits = Traits::default();
        for value in 1..=3 {
            traits.asked(7, Trait::Attribute, Some(value));
        }
        assert!(!written(&mut traits, 4), "nobody asked for it");
        assert!(written(&mut traits, 1) && written(&mut traits, 3), "the second one was refused");
        assert!(traits.acknowledged(7, Trait::Attribute, Some(3)).is_ok());
        assert!(!written(&mut traits, 2), "a late copy undoes what is newer");
    }
}
