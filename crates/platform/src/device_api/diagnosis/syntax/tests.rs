//! The usual mistakes in firmware, as they arrive, and what the log says about each.

use proptest::prelude::*;

use crate::device_api::json::check;

/// A report with this in place of its object of points.
fn report(points: &str) -> String {
    format!(r#"{{"id":"1","params":{{"measurepoints":{points}}}}}"#)
}

/// Byte 37 of a report is the first of the object of points.
const POINTS_AT: usize = 37;

#[track_caller]
fn said(body: &[u8]) -> String {
    check(body).expect_err("this body is refused")
}

#[test]
fn a_body_with_something_behind_its_object_is_named() {
    let whole = report(r#"{"temp":1}"#);
    let end = whole.len() + 1;
    for (behind, words) in [
        ("\0", "by a NUL (0x00): send strlen(body) bytes, not one more"),
        ("\0\0\0", "by 3 NUL bytes"),
        ("\0old\"}", "by a NUL and what the buffer held before (6 bytes)"),
        ("\u{1a}", "by Ctrl-Z (0x1A)"),
        ("}", "by one closing bracket too many"),
        ("{\"id\":2}", "by another object"),
        ("OK", "by 2 bytes more, \"OK\""),
        (";", "by 1 byte more, \";\""),
    ] {
        let said = said(format!("{whole}{behind}").as_bytes());
        assert!(said.starts_with(&format!("the body is followed, at byte {end}, ")), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let said = said(&[whole.as_bytes(), b"\xcc\xff"].concat());
    assert!(said.contains(&format!("2 bytes follow the object, which ends at byte {}", end - 1)), "{said}");
}

/// The points of a report, where in them the mistake is, and what is said of it.
const SLIPS: &[(&str, usize, &str)] = &[
    (r#"{"temp":nan}"#, 8, "nan at byte {}: JSON has no such number"),
    (r#"{"temp":-nan}"#, 8, "-nan at byte {}: JSON has no such number"),
    (r#"{"temp":NaN}"#, 8, "NaN at byte {}: JSON has no such number"),
    (r#"{"temp":-inf}"#, 8, "-inf at byte {}: JSON has no such number"),
    (r#"{"temp":Infinity}"#, 8, "Infinity at byte {}: JSON has no such number"),
    (r#"{"temp":1.#QNAN}"#, 8, "1.#QNAN at byte {}: JSON has no such number"),
    (r#"{"temp":-1.#IND}"#, 8, "-1.#IND at byte {}: JSON has no such number"),
    (r#"{'temp':1}"#, 1, "a single quotation mark at byte {}"),
    (r#"{"temp":'hot'}"#, 8, "a single quotation mark at byte {}"),
    ("{\u{201c}temp\u{201d}:1}", 1, "a typographic quotation mark \u{201c} at byte {}"),
    (r#"{\"temp\":1}"#, 1, "a backslash at byte {} outside a string"),
    (r#"{"temp":1,}"#, 10, "a trailing comma before byte {}"),
    (r#"{"temp":[1,]}"#, 11, "a trailing comma before byte {}"),
    (r#"{"temp":}"#, 8, "no value before byte {}: printf prints nothing for %f"),
    (r#"{"temp":,"b":1}"#, 8, "no value before byte {}"),
    (r#"{"temp":1,,"b":1}"#, 10, "a comma too many at byte {}"),
    (r#"{"temp":21,5}"#, 11, "a decimal comma before byte {}"),
    (r#"{"temp":[1}"#, 10, "} at byte {} closes a bracket of the other kind"),
    (r#"{"temp":1 "b":2}"#, 10, "a comma is missing before byte {}"),
    (r#"{"temp"=1}"#, 7, "= at byte {}, where a colon belongs"),
    (r#"{temp:1}"#, 1, "the key temp at byte {} has no quotation marks"),
    (r#"{"temp":hot}"#, 8, "the text hot at byte {} has no quotation marks"),
    (r#"{"temp":tepid}"#, 8, "the text tepid at byte {} has no quotation marks"),
    (r#"{"temp":True}"#, 8, "True at byte {}: JSON writes true and false in small"),
    (r#"{"temp":None}"#, 8, "None at byte {}: JSON has null"),
    (r#"{"temp":NULL}"#, 8, "NULL at byte {}: JSON has null"),
    (r#"{"temp":undefined}"#, 8, "undefined at byte {}: JSON has null"),
    (r#"{"temp":%f}"#, 8, "a placeholder (%f) at"),
    (r#"{"temp":%.2f,"b":1}"#, 8, "a placeholder (%.2f) at"),
    (r#"{"temp":${T}}"#, 8, "a placeholder (${T}) at"),
    (r#"{"temp":$T}"#, 8, "a placeholder ($T) at"),
    (r#"{"temp":{{t}}}"#, 9, "a placeholder ({{t}}) at"),
    (r#"{"temp":0x1F}"#, 8, "0x1F at byte {}: JSON has no hexadecimal numbers"),
    (r#"{"temp":+1}"#, 8, "+1 at byte {}: a number has no plus sign"),
    (r#"{"temp":.5}"#, 8, ".5 at byte {}: a number begins with a digit"),
    (r#"{"temp":1.}"#, 8, "1. at byte {}: a digit follows the point"),
    (r#"{"temp":007}"#, 8, "007 at byte {}: a number has no leading zero"),
    (r#"{"temp":21.5C}"#, 8, "21.5C at byte {}: a unit is not part of a number"),
    (r#"{"temp":-}"#, 8, "- at byte {}: this is not a number"),
    (r#"{"temp":1.5.3}"#, 8, "1.5.3 at byte {}: this is not a number"),
    (r#"{"temp":12:30}"#, 10, ": at byte {}, where a comma or a closing bracket belongs"),
    (r#"{"temp":"a"b"}"#, 11, "b at byte {}, where a comma or a closing bracket belongs"),
    (r#"{"temp":21%}"#, 8, "21% at byte {}: a unit is not part of a number"),
    (r#"{"temp":1} // hot"#, 11, "a comment at byte {}"),
    ("{\"temp\":\u{a0}1}", 8, "an invisible character (U+00A0) at byte {}"),
    ("{\"temp\":\0 1}", 8, "a NUL (0x00) at byte {}"),
    ("{\"temp\":\"a\nb\"}", 10, "0x0A at byte {} inside a string"),
    ("{\"temp\":\"a\0b\"}", 10, "a NUL (0x00) at byte {} inside a string; the length is longer"),
    (r#"{"temp":"a\x41"}"#, 11, "invalid escape at byte {}: inside a string"),
    (r#"{"temp":1e999}"#, 8, "1e999 at byte {}: the number is too large"),
    (r#"{"temp":-1e400,"b":1}"#, 8, "-1e400 at byte {}: the number is too large"),
    ("{\"te\0mp\":1}", 4, "a NUL (0x00) at byte {} inside a string; the length is longer"),
    (r#"{"temp":"\ud800"}"#, 9, "\\ud800 at byte {} is half of a surrogate pair"),
    (r#"{"temp":"\ud800\u0041"}"#, 9, "\\ud800 at byte {} is half of a surrogate pair"),
    (r#"{"temp":"\ude00!"}"#, 9, "\\ude00 at byte {} is half of a surrogate pair"),
    (r#"{"temp":1,"b":2,"temp":3}"#, 16, "a key occurs twice in one object: \"temp\" at bytes 38 and {}"),
    (r#"{"a":{"t":1},"b":{"t":1,"\u0074":2}}"#, 24, "twice in one object: \"t\" at bytes 55 and {}"),
];

#[test]
fn a_slip_inside_is_named_with_its_byte() {
    for (points, offset, words) in SLIPS {
        let said = said(report(points).as_bytes());
        let words = words.replace("{}", &(POINTS_AT + offset).to_string());
        assert!(said.starts_with("the body is ") && said.contains(&words), "{points}:\n{said}\n{words}");
        assert!(said.len() < 220, "{points}: {said}");
    }
}

#[test]
fn a_slip_in_a_later_line_has_its_byte_too() {
    let body = "{\n  \"id\": 1,\r\n  \"params\": {,\n}}";
    assert!(said(body.as_bytes()).contains("a comma too many at byte 28"), "{}", said(body.as_bytes()));
    let body = "{\"id\":1,\n\n]";
    assert!(said(body.as_bytes()).contains("before byte 11"), "{}", said(body.as_bytes()));
}

#[test]
fn a_body_that_is_cut_off_says_where() {
    let whole = report(r#"{"temp":1,"text":"hot"}"#);
    let inside = said(&whole.as_bytes()[..POINTS_AT + 19]);
    assert!(inside.contains("it is cut off inside a string, after byte 56"), "{inside}");
    let before = said(&whole.as_bytes()[..whole.len() - 1]);
    assert!(
        before.contains(&format!("cut off before its last bracket, after byte {}", whole.len() - 1)),
        "{before}"
    );
    for end in 1..whole.len() {
        assert!(said(&whole.as_bytes()[..end]).contains("cut off"), "{end}");
    }
}

#[test]
fn a_body_of_another_kind_is_named() {
    let inner = report(r#"{"temp":1}"#);
    let twice = serde_json::Value::from(inner.as_str()).to_string();
    let utf_16: Vec<u8> = inner.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(&[u8], &str); 29] = [
        (b"", "the body is empty; send a JSON object"),
        (b" \r\n", "the body is only white space"),
        (b"\xef\xbb\xbf{}", "the body is preceded by a byte order mark (EF BB BF) at byte 1"),
        (b"\0\0\0\0", "the body is a NUL (0x00) at its first byte"),
        (&utf_16, "the body is UTF-16"),
        (b"\xff\xfe{\0}\0", "not UTF-8 at byte 1: it is UTF-16"),
        (b"\x1f\x8b\x08\0", "it is compressed (gzip)"),
        (b"\xa1\x66params\xa0", "it looks like CBOR under the content format of JSON"),
        (b"\xbf\x61a\x01\xff", "it looks like CBOR"),
        (b"\x81\xa1a\x01", "it looks like MessagePack or CBOR"),
        (b"\xf8\x01\x02\x03\x04", "it begins with F8 01 02 03 …; send JSON text"),
        (b"{\"a\":\"21 \xb0C\"}", "not UTF-8 at byte 10: 0xB0 is ° in Latin-1"),
        (b"{\"a\":\"21 \xc2", "it is cut off inside a character"),
        (b"<xml/>", "the body is XML or HTML"),
        (b"7b226964223a2231227d", "the body is the hexadecimal text of the JSON"),
        (b"0a1b2c", "the body is hexadecimal text"),
        (b"eyJpZCI6IjEifQ==", "the body is Base64"),
        (b"%7B%22id%22%3A1%7D", "the body is percent-encoded"),
        (b"temp=21&hum=40", "the body is form-encoded (temp=21&hum=40)"),
        (b"b'{\"id\":1}'", "the body is the text of a Python bytes object"),
        (b"'{\"id\":1}'", "the body is in single quotes at byte 1"),
        (b"POST / HTTP/1.1\r\n\r\n{}", "the body is a whole HTTP message"),
        (b"AT+QCOAPSEND=1", "the body is an AT command"),
        (b"12,{\"id\":1}", "the body is preceded by \"12,\": the object begins only at byte 4"),
        (b"temp 21.5", "the body is not JSON: it begins with \"temp 21.5\" at byte 1, where { belongs"),
        (b"\"id\":1,\"params\":{}", "the braces { } around its members are missing"),
        (b"[{\"id\":1}]", "not a JSON object: it is an array; a batch is"),
        (b"21.5", "not a JSON object: it is a number, 21.5"),
        (twice.as_bytes(), "it was encoded twice; send the object itself"),
    ];
    for (body, words) in cases {
        let said = said(body);
        assert!(said.starts_with("the body is ") && said.contains(words), "{body:?}:\n{said}\n{words}");
        assert!(said.len() < 220, "{said}");
    }
}

/// Bytes that the grammar depends on.
const ODD: &[u8] = b"\0\"'{}[],:\\ntfN%#.-+\x1a\xe2\x80\x9c";

proptest! {
    #[test]
    fn any_bytes_are_explained_in_bounded_words(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(said) = check(&body) {
            prop_assert!(said.starts_with("the body is") && said.len() < 400, "{said}");
        }
    }

    #[test]
    fn any_spoiled_report_is_explained(
        at in 0_usize..80, cut in 0_usize..4,
        put in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(ODD)], 0..4),
    ) {
        let mut body = report(r#"{"temp":21.5,"text":"h\u00e4t","list":[1,true,null]}"#).into_bytes();
        let at = at.min(body.len());
        let end = (at + cut).min(body.len());
        body.splice(at..end, put);
        if let Err(said) = check(&body) {
            prop_assert!(said.starts_with("the body is") && said.len() < 400, "{said}");
        }
    }
}
