//! What the operations write: points, attributes, tags, classes. It depends on the turn.

use crate::model::{
    json_text::JsonText,
    property::{PropertyEdit, PropertyKind},
    retention::RetentionClass,
};

/// Some of the points `a`, `b` and `c`, with values that depend on the turn.
pub(super) fn points(form: u8, turn: usize) -> String {
    let names: &[&str] = match form / 2 {
        0 => &["a"],
        1 => &["a", "b"],
        2 => &["b", "c"],
        _ => &["c"],
    };
    let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":{turn}.50")).collect();
    format!("{{{}}}", members.join(","))
}

/// A change of attributes (odd) or tags; the last two forms set values of which a device can have two.
pub(super) fn properties(form: u8, turn: usize) -> PropertyEdit {
    let kind = if form.is_multiple_of(2) { PropertyKind::Tag } else { PropertyKind::Attribute };
    let form = form % 16;
    let fat = format!("\"{}\"", "x".repeat(3000));
    let value = if form >= 14 { fat } else { format!("\"{turn}.50\"") };
    let names = ["a", "b", "c", "d"];
    let name = names[turn % names.len()].to_owned();
    let set = if (form / 2).is_multiple_of(3) { Vec::new() } else { vec![(name, JsonText::new(&value))] };
    let unset = names.iter().skip(usize::from(form / 4)).take(1).map(|name| (*name).to_owned()).collect();
    PropertyEdit { kind, replaces: form == 9, set, unset }
}

/// The classes in turn: one that no store here is told of counts as the standard one.
pub(super) fn retention(turn: usize) -> RetentionClass {
    let name = ["standard", "short", "long"][turn % 3];
    RetentionClass::parse(name).expect("it is a name")
}
