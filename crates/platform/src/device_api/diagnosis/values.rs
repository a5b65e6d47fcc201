//! Values of the wrong type, and members that are missing: what was received in their place.

use serde_json::Value;

use super::{is_object, shown};
use crate::model::json_piece::Piece;

/// Members that are listed where one is missing.
const NAMED_MAX: usize = 5;

/// Where a piece of a body begins, counted from 1; `None` if it is not a piece of that body.
pub(in super::super) fn place_of(piece: &str, body: &[u8]) -> Option<usize> {
    let offset = (piece.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    (offset + piece.len() <= body.len()).then_some(offset + 1)
}

/// What was received where a value was refused with `message`, and what to send instead. `steps` is the JSON
/// pointer of the fault inside `raw`, whose first byte is the `at`th.
pub(in super::super) fn value(raw: Piece<'_>, at: usize, steps: &str, message: &str) -> Option<String> {
    let whole: Value = serde_json::from_str(raw.get()).ok()?;
    let inner = whole.pointer(steps)?;
    // The text as it was written: numbers have many spellings.
    let written = written_at(raw, steps).unwrap_or_else(|| inner.to_string());
    let what = match inner {
        Value::String(text) => of_text(text, message),
        Value::Number(_) => of_number(&written, message),
        Value::Null => "leave the point out where there is no value",
        Value::Bool(_) if wants_number(message) => "send 1 or 0",
        Value::Object(map) if map.contains_key("value") && !message.contains("quality") => {
            "the model does not have this point with quality: send the bare value"
        }
        _ if message.contains("\"quality\"") => "the model has this point with quality",
        _ => "",
    };
    let separator = if what.is_empty() { "" } else { "; " };
    let place = if steps.is_empty() { "at byte" } else { "in the value at byte" };
    Some(format!("received {} {place} {at}{separator}{what}", shown(&written)))
}

/// The text of the value to which a JSON pointer leads.
fn written_at(raw: Piece<'_>, steps: &str) -> Option<String> {
    let Some(rest) = steps.strip_prefix('/') else { return Some(raw.get().to_owned()) };
    let (step, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let step = step.replace("~1", "/").replace("~0", "~");
    let inner = if raw.get().starts_with('{') {
        raw.members()?.find(|(key, _)| *key == step)?.1
    } else {
        raw.elements()?.nth(step.parse().ok()?)?
    };
    written_at(inner, rest)
}

fn wants_number(message: &str) -> bool {
    message.contains("a number") || message.contains("integer") || message.contains("milliseconds")
}

fn of_text(text: &str, message: &str) -> &'static str {
    let trimmed = text.trim();
    if message.contains("true, false") || matches!(trimmed, "true" | "false") && wants_number(message) {
        return "a truth value is not a string: send true, false, 1 or 0 without quotation marks";
    }
    if message.contains("must be an object") && is_object(text) {
        return "the object was encoded twice: send it without quotation marks around it";
    }
    if !wants_number(message) {
        return "";
    }
    if trimmed.starts_with("0x") || trimmed.starts_with("0X") {
        return "hexadecimal text; send the number in decimal, without quotation marks";
    }
    let (head, tail) = match trimmed.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)) {
        Some(at) => trimmed.split_at(at),
        None => (trimmed, ""),
    };
    let is_number = head.parse::<f64>().is_ok();
    match tail.chars().next() {
        None if is_number => "a number is not a string: send it without quotation marks",
        Some(',') if is_number => "a number has a decimal point, and no quotation marks",
        Some('e' | 'E') if trimmed.parse::<f64>().is_ok() => {
            "a number is not a string: send it without quotation marks"
        }
        Some(_) if is_number && !message.contains("milliseconds") => {
            "send the number alone, without its unit and without quotation marks"
        }
        _ if message.contains("milliseconds") => "send Unix milliseconds as a number",
        _ => "a number is expected; leave the point out where there is none",
    }
}

fn of_number(written: &str, message: &str) -> &'static str {
    let is_whole = !written.contains(['.', 'e', 'E']);
    if matches!(written, "-0") && message.contains("integer") {
        "printf writes -0 for %.0f of a small negative number; send 0"
    } else if message.contains("32-bit float") {
        "it is out of range for FLOAT, which goes to about 3.4e38; DOUBLE goes to 1.8e308"
    } else if message.contains("a string") {
        "a string needs quotation marks"
    } else if message.contains("milliseconds") && is_whole {
        ""
    } else if wants_number(message) && !is_whole {
        "an integer has no fraction and no exponent: %d, not %f"
    } else if message.contains("\"quality\"") {
        r#"the model has this point with quality: send {"value":…,"quality":0}"#
    } else {
        ""
    }
}

/// What stands where a member called `wanted` is missing.
pub(in super::super) fn members(raw: &str, wanted: &str) -> Option<String> {
    let members: serde_json::Map<String, Value> = serde_json::from_str(raw).ok()?;
    if members.is_empty() {
        return Some("the object is empty".to_owned());
    }
    let plain =
        |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase().trim_end_matches('s').to_owned();
    if let Some(near) = members.keys().find(|name| plain(name) == plain(wanted)) {
        return Some(format!("there is {}: the name is {wanted}, as it is written here", shown(near)));
    }
    let names: Vec<String> = members.keys().take(NAMED_MAX).map(|name| shown(name)).collect();
    let more = if members.len() > NAMED_MAX { ", …" } else { "" };
    let hint = match wanted {
        "params" if members.contains_key("measurepoints") => "; measurepoints stands inside params",
        "measurepoints" if members.values().all(|value| !value.is_object()) => {
            "; points stand inside measurepoints"
        }
        _ => "",
    };
    Some(format!("received {}{more}{hint}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str, steps: &str, message: &str) -> String {
        value(Piece::of(raw), 57, steps, message).expect("there is something to say")
    }

    #[test]
    fn what_was_received_is_named_with_its_place() {
        const NUMBER: &str = "must be a number";
        const INTEGER: &str = "must be an integer of 32 bits";
        const TIME: &str = "must be an integer, Unix milliseconds";
        for (raw, message, words) in [
            (r#""21.5""#, NUMBER, r#"received "21.5" at byte 57; a number is not a string: send it without"#),
            (r#""1e3""#, NUMBER, "a number is not a string"),
            (r#""21,5""#, NUMBER, "a number has a decimal point, and no quotation marks"),
            (r#""21.5 C""#, NUMBER, "send the number alone"),
            (r#""""#, NUMBER, "leave the point out"),
            (r#""nan""#, NUMBER, "a number is expected"),
            (
                r#""0x10""#,
                INTEGER,
                r#"received "0x10" at byte 57; hexadecimal text; send the number in decimal"#,
            ),
            (r#""2026-01-01T00:00:00Z""#, TIME, "; send Unix milliseconds as a number"),
            (r#""12:30""#, TIME, "; send Unix milliseconds as a number"),
            (r#""true""#, INTEGER, "a truth value is not a string"),
            ("null", NUMBER, "received null at byte 57; leave the point out"),
            ("true", INTEGER, "send 1 or 0"),
            ("-0", INTEGER, "received -0 at byte 57; printf writes -0"),
            ("1.0", INTEGER, "received 1.0 at byte 57; an integer has no fraction"),
            ("1e3", INTEGER, "an integer has no fraction and no exponent"),
            ("3000000000", INTEGER, "received 3000000000 at byte 57"),
            ("7", "must be a string", "a string needs quotation marks"),
            (r#"{"value":1,"quality":2}"#, NUMBER, "send the bare value"),
            ("7", r#"must be {"value":…,"quality":0 to 9}"#, "the model has this point with quality"),
        ] {
            let said = of(raw, "", message);
            assert!(said.contains(words) && said.len() < 200, "{raw}: {said}");
        }
        let float = "must be a number that fits a 32-bit float";
        assert!(of("3.5e38", "", float).contains("3.5e38 at byte 57; it is out of range for FLOAT"));
        for (raw, steps) in
            [(r#"{"x":{"a/b":[1,-0]}}"#, "/x/a~1b/1"), ("[-0]", "/0"), (r#"{"quality":-0}"#, "/quality")]
        {
            let said = of(raw, steps, INTEGER);
            assert!(said.contains("received -0 in the value at byte 57; printf writes -0"), "{said}");
        }
        assert!(
            of(r#"[1,"2"]"#, "/1", INTEGER)
                .contains(r#"received "2" in the value at byte 57; a number is not a string"#)
        );
    }

    #[test]
    fn members_that_are_there_are_named_where_one_is_missing() {
        for (raw, wanted, words) in [
            ("{}", "params", "the object is empty"),
            (r#"{"id":1,"Params":{}}"#, "params", "there is Params: the name is params"),
            (r#"{"measurepoint":{}}"#, "measurepoints", "there is measurepoint: the name is measurepoints"),
            (r#"{"measure_points":{}}"#, "measurepoints", "there is measure_points"),
            (
                r#"{"measurepoints":{}}"#,
                "params",
                "received measurepoints; measurepoints stands inside params",
            ),
            (
                r#"{"temp":1,"time":2}"#,
                "measurepoints",
                "received temp, time; points stand inside measurepoints",
            ),
        ] {
            let said = members(raw, wanted).expect("it is an object");
            assert!(said.starts_with(words), "{raw}: {said}");
        }
        assert_eq!(members("[]", "params"), None);
    }
}
