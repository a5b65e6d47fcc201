//! Bodies that are not JSON as a whole: another encoding, another format, wrapped JSON.

use narrowgate_api::words::counted;
use serde::de::IgnoredAny;

use super::{hex, is_object, shown};

/// What is wrong with bytes that are not UTF-8 from `valid` on.
pub(in super::super) fn not_text(body: &[u8], valid: usize) -> String {
    let said = format!("the body is not UTF-8 at byte {}", valid + 1);
    let (head, rest) = body.split_at(valid.min(body.len()));
    let head = std::str::from_utf8(head).unwrap_or_default();
    match body {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => format!("{said}: it is UTF-16; send UTF-8"),
        [0x1f, 0x8b, ..] => format!("{said}: it is compressed (gzip); send plain JSON"),
        [0xa0..=0xbf, ..] | [0xd9, 0xd9, 0xf7, ..] => {
            format!("{said}: it looks like CBOR under the content format of JSON; send JSON, or format 60")
        }
        [0x80..=0x9f, ..] => format!("{said}: it looks like MessagePack or CBOR; send JSON"),
        _ if head.is_empty() => format!("{said}: it begins with {}; send JSON text", hex(body)),
        _ if behind_an_object(head).is_some() => {
            let end = behind_an_object(head).unwrap_or_default();
            let count = body.len() - end;
            let (bytes, verb) = (counted(count, "byte"), if count == 1 { "follows" } else { "follow" });
            format!("{said}: {bytes} {verb} the object, which ends at byte {end}; send strlen(body) bytes")
        }
        _ if std::str::from_utf8(body).is_err_and(|error| error.error_len().is_none()) => {
            format!("{said}: it is cut off inside a character")
        }
        _ => {
            let letter = rest.first().map_or(' ', |byte| char::from(*byte));
            let hint = if letter.is_alphanumeric() || letter == '°' || letter == 'µ' {
                format!(" is {letter} in Latin-1; encode text as UTF-8")
            } else {
                " is not text; encode text as UTF-8, and check the buffer".to_owned()
            };
            format!("{said}: 0x{}{hint}", hex(&rest[..1.min(rest.len())]))
        }
    }
}

/// What is wrong with a text that does not begin with an object, where its beginning shows it.
pub(super) fn of_the_whole(text: &str) -> Option<String> {
    let trimmed = text.trim_ascii();
    let bytes = trimmed.as_bytes();
    let starts = |start: &str| trimmed.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
    let words = match bytes {
        [] => "the body is only white space; send a JSON object".to_owned(),
        [0, b'{', ..] | [b'{', 0, ..] => "the body is UTF-16; send UTF-8".to_owned(),
        [b'{' | b'[' | b'"', ..] => return None,
        [0, ..] => {
            "the body is a NUL (0x00) at its first byte; check the pointer and the length of the buffer"
                .to_owned()
        }
        [0xef, 0xbb, 0xbf, ..] => {
            "the body is preceded by a byte order mark (EF BB BF) at byte 1; send the text without it"
                .to_owned()
        }
        [b'<', ..] => "the body is XML or HTML; send a JSON object".to_owned(),
        [b'\'', ..] => "the body is in single quotes at byte 1; send the object without them".to_owned(),
        _ if starts("b'{") || starts("b\"{") => {
            "the body is the text of a Python bytes object (b'…') at byte 1; send the bytes themselves"
                .to_owned()
        }
        _ if starts("eyJ") => "the body is Base64; send the JSON text itself".to_owned(),
        _ if starts("%7B") => "the body is percent-encoded; send the JSON text itself".to_owned(),
        _ if ["POST ", "GET ", "PUT ", "HTTP/"].iter().any(|method| starts(method)) => {
            "the body is a whole HTTP message; send its JSON body only".to_owned()
        }
        _ if starts("AT+") => {
            "the body is an AT command; the modem has to take it, not the server".to_owned()
        }
        _ if is_hex(bytes) => hex_text(bytes),
        _ => return after_something(text).or_else(|| form(trimmed)).or_else(|| Some(unknown(text))),
    };
    Some(words)
}

/// What is wrong with JSON that is not an object.
pub(in super::super) fn not_an_object(text: &str) -> String {
    let trimmed = text.trim_ascii_start();
    let what = match trimmed.as_bytes().first() {
        Some(b'[') => r#"it is an array; a batch is {"params":[…]}, sent to the topic …/batch"#.to_owned(),
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(inner) if is_object(&inner) => {
                "it is a JSON string that holds the object: it was encoded twice; send the object itself"
                    .to_owned()
            }
            _ => format!("it is a string, {}", shown(trimmed)),
        },
        Some(b'-' | b'0'..=b'9') => format!("it is a number, {}", shown(trimmed)),
        _ => format!("it is {}", shown(trimmed)),
    };
    format!("the body is not a JSON object: {what}")
}

/// What is wrong with a body in CBOR whose JSON is this, and no object.
pub(in super::super) fn not_a_map(json: &str) -> String {
    let what = match json.as_bytes().first() {
        Some(b'[') => "an array; a batch is {\"params\": […]}, sent to the topic …/batch".to_owned(),
        Some(b'"') => format!("a text, {}", shown(json)),
        Some(b'-' | b'0'..=b'9') => format!("a number, {}", shown(json)),
        _ => shown(json),
    };
    format!("the body is not a CBOR map: it is {what}")
}

/// Whether a body looks like JSON, whatever its content format says.
pub(in super::super) fn looks_like_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(is_object)
}

/// Where the object at the start of a text ends, if there is one.
pub(super) fn behind_an_object(text: &str) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let is_one = text.trim_ascii_start().starts_with('{') && values.next().is_some_and(|value| value.is_ok());
    is_one.then(|| values.byte_offset())
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.len() >= 4
        && bytes.len().is_multiple_of(2)
        && bytes.iter().all(u8::is_ascii_hexdigit)
        && !bytes.iter().all(u8::is_ascii_digit)
        || bytes.starts_with(b"7b22")
        || bytes.starts_with(b"7B22")
}

fn hex_text(bytes: &[u8]) -> String {
    if bytes.starts_with(b"7b") || bytes.starts_with(b"7B") {
        "the body is the hexadecimal text of the JSON; send the bytes themselves \
         (tell the modem that it is hex)"
            .to_owned()
    } else {
        "the body is hexadecimal text; send a JSON object".to_owned()
    }
}

/// An object after a few other bytes, such as a length or a topic.
fn after_something(text: &str) -> Option<String> {
    const BEFORE_BYTES_MAX: usize = 80;
    let brace = text.find('{').filter(|brace| (1..=BEFORE_BYTES_MAX).contains(brace))?;
    is_object(&text[brace..]).then(|| {
        let before = shown(&text[..brace]);
        format!(
            "the body is preceded by \"{before}\": the object begins only at byte {}; send nothing before it",
            brace + 1
        )
    })
}

fn form(text: &str) -> Option<String> {
    let is_pair = |pair: &str| {
        pair.split_once('=').is_some_and(|(key, _)| {
            !key.is_empty()
                && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-[]".contains(&byte))
        })
    };
    let is_form = text.split('&').all(is_pair);
    is_form.then(|| format!("the body is form-encoded ({}); send a JSON object", shown(text)))
}

fn unknown(text: &str) -> String {
    let start = text.len() - text.trim_ascii_start().len();
    format!(
        "the body is not JSON: it begins with \"{}\" at byte {}, where {{ belongs",
        shown(&text[start..]),
        start + 1
    )
}
