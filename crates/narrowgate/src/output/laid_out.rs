//! JSON that people read and edit: one member of the document in a line, and one element of its lists.

/// Objects and lists are broken into lines down to this depth; what is deeper stays in its line.
const BROKEN_DEPTH: usize = 2;
const INDENT: &str = "  ";

/// The same document in lines; its texts and numbers stay as they are written. `json` must be JSON.
pub(crate) fn laid_out(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 5 / 4);
    let (mut depth, mut in_string, mut is_escaped, mut is_empty) = (0_usize, false, false, false);
    for letter in json.chars() {
        if in_string {
            text.push(letter);
            in_string = is_escaped || letter != '"';
            is_escaped = !is_escaped && letter == '\\';
            continue;
        }
        if letter.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(letter, '}' | ']');
        if is_empty && !closes {
            begin_line(&mut text, depth);
        }
        if closes {
            depth -= 1;
            if !is_empty && depth < BROKEN_DEPTH {
                text.push('\n');
                text.push_str(&INDENT.repeat(depth));
            }
        }
        text.push(letter);
        in_string = letter == '"';
        is_empty = matches!(letter, '{' | '[');
        depth += usize::from(is_empty);
        if letter == ',' {
            begin_line(&mut text, depth);
        }
    }
    text
}

/// A new line, where things of this depth have lines of their own.
fn begin_line(text: &mut String, depth: usize) {
    if depth <= BROKEN_DEPTH {
        text.push('\n');
        text.push_str(&INDENT.repeat(depth));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_element_of_a_model_has_a_line() {
        let model = r#"{"modelId":"m","attributes":[], "measurepoints":[
            {"identifier":"a","dataType":{"type":"ENUM","values":[{"key":0},{"key":1}]}},
            {"identifier":"{,\"["}],
            "passthrough":true}"#;
        assert_eq!(
            laid_out(model),
            r#"{
  "modelId":"m",
  "attributes":[],
  "measurepoints":[
    {"identifier":"a","dataType":{"type":"ENUM","values":[{"key":0},{"key":1}]}},
    {"identifier":"{,\"["}
  ],
  "passthrough":true
}"#
        );
        assert_eq!(laid_out("{}"), "{}");
        assert_eq!(laid_out(r#"{"a":1.10}"#), "{\n  \"a\":1.10\n}");
    }

    proptest! {
        #[test]
        fn it_is_the_same_document(texts in proptest::collection::vec(any::<String>(), 0..5)) {
            let value = serde_json::json!({"a": texts, "b": {"c": [texts, []], "d": {}}});
            let again: Value = serde_json::from_str(&laid_out(&value.to_string())).unwrap();
            prop_assert_eq!(again, value);
        }
    }
}
