use proptest::prelude::*;
use serde_json::Value;

use super::{
    number::{from_half, to_half},
    *,
};
use crate::device_api::json;

const VECTORS: &str = include_str!("../../../../../vectors/cbor.txt");
const MALFORMED: &str = include_str!("../../../../../vectors/cbor_malformed.txt");

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).expect("the test gives hex")
}

fn read(hex: &str) -> Result<String, Fault> {
    to_json(&bytes(hex), Limits::BODY, None)
}

#[track_caller]
fn refused(hex: &str) -> Fault {
    read(hex).expect_err(hex)
}

/// What becomes of the published examples that JSON has no value for.
const WITHOUT_JSON: [(&str, Result<&str, &str>); 22] = [
    ("Infinity", Err("NaN and infinity are not values")),
    ("-Infinity", Err("NaN and infinity are not values")),
    ("NaN", Err("NaN and infinity are not values")),
    ("undefined", Ok("null")),
    ("simple(16)", Err("simple value 16 cannot be a value")),
    ("simple(24)", Err("0xF818 is not a simple value")),
    ("simple(255)", Err("simple value 255 cannot be a value")),
    ("0(\"2013-03-21T20:04:00Z\")", Ok("\"2013-03-21T20:04:00Z\"")),
    ("1(1363896240)", Ok("1363896240")),
    ("1(1363896240.5)", Ok("1363896240.5")),
    ("23(h'01020304')", Ok("\"01020304\"")),
    ("24(h'6449455446')", Err("a byte string cannot be a value")),
    ("32(\"http://www.example.com\")", Ok("\"http://www.example.com\"")),
    ("h''", Err("a byte string cannot be a value")),
    ("h'01020304'", Err("a byte string cannot be a value")),
    ("{1: 2, 3: 4}", Err("a key is the integer 1")),
    ("(_ h'0102', h'030405')", Err("a byte string cannot be a value")),
    // JSON has these, and its reader rounds them.
    ("18446744073709551616", Ok("18446744073709551616")),
    ("-18446744073709551616", Ok("-18446744073709551616")),
    ("-18446744073709551617", Ok("-18446744073709551617")),
    // The sign of a zero is no difference to the comparison of values.
    ("-0.0", Ok("-0.0")),
    ("0.0", Ok("0.0")),
];

#[test]
fn every_published_example_is_carried_with_its_value_or_refused_with_a_reason() {
    let mut count = 0;
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let (hex, notation) = line.split_once(' ').expect("two columns");
        count += 1;
        match WITHOUT_JSON.iter().find(|(known, _)| *known == notation) {
            Some((_, Ok(json))) => assert_eq!(read(hex).as_deref(), Ok(*json), "{line}"),
            Some((_, Err(words))) => assert!(refused(hex).words.starts_with(words), "{line}"),
            None => {
                let json = read(hex).unwrap_or_else(|fault| panic!("{line}: {fault}"));
                let value = |json: &str| serde_json::from_str::<Value>(json).expect("it is JSON");
                assert_eq!(value(&json), value(notation), "{line}");
                let is_shortest = !hex.contains("ff") || hex.starts_with("fa") || hex.starts_with("f97bff");
                let again = hex::encode(from_json(json.as_bytes()));
                assert!(!is_shortest || again == hex, "{line}: {again}");
            }
        }
    }
    assert_eq!(count, 82);
}

#[test]
fn no_published_malformed_bytes_are_read() {
    let mut count = 0;
    for hex in MALFORMED.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace) {
        let fault = refused(hex);
        // A key that is an integer may be refused before the reader comes to what is malformed.
        let is_key = fault.words.starts_with("a key is");
        assert!(fault.kind == FaultKind::Malformed || is_key, "{hex}: {fault}");
        assert!((1..=hex.len() / 2 + 1).contains(&fault.at), "{hex}: {fault}");
        count += 1;
    }
    assert_eq!(count, 94);
}

#[test]
fn a_fault_names_its_byte_and_what_to_do() {
    for (hex, said) in [
        ("", "the body is not CBOR at byte 1: the body is empty; send a map"),
        ("a161", "the body is not CBOR at byte 2: the body ends inside of the item that begins there"),
        ("a16161", "the body is not CBOR at byte 4: the body ends where an item is expected"),
        ("a0a0", "the body is not CBOR at byte 2: 1 byte follows the item, which ends before it"),
        ("a1616162c328", "the body is not CBOR at byte 5: a text is not UTF-8; send bytes as a byte"),
        ("a161611c", "the body is not CBOR at byte 4: 0x1C begins no item"),
        ("a16161f97e00", "the body is refused at byte 4: NaN and infinity are not values; leave the point"),
        (
            "a161614100",
            "the body is refused at byte 4: a byte string cannot be a value in a message: send a text",
        ),
        ("a2616101616102", "the body is refused at byte 1: a key occurs twice in this map"),
        ("a26161017f6161ff02", "the body is refused at byte 1: a key occurs twice in this map"),
        ("a10102", "the body is refused at byte 2: a key is the integer 1; on this topic keys are texts"),
        ("a12001", "the body is refused at byte 2: a key is neither a text nor a number of the model"),
        ("a1616100ff", "the body is not CBOR at byte 5: 1 byte follows the item"),
        ("a16161d81900", "the body is refused at byte 4: tag 25 refers to a value that was sent before"),
        // 30([1, 3]) is a third; the other tags also make another number of an array or a map.
        (
            "a16161d81e820103",
            "the body is refused at byte 4: tag 30 makes another number of what it is put to",
        ),
        ("d90108820103", "the body is refused at byte 1: tag 264 makes another number"),
        ("d90109820103", "the body is refused at byte 1: tag 265 makes another number"),
        ("d9010c820103", "the body is refused at byte 1: tag 268 makes another number"),
        ("d9010d820103", "the body is refused at byte 1: tag 269 makes another number"),
        ("d9010e820103", "the body is refused at byte 1: tag 270 makes another number"),
        ("d9a7f8820103", "the body is refused at byte 1: tag 43000 makes another number"),
        ("d9a7f9820103", "the body is refused at byte 1: tag 43001 makes another number"),
        ("d9d9f7d81e820103", "the body is refused at byte 1: tag 30 makes another number"),
        ("a1d81e616101", "the body is refused at byte 2: tag 30 makes another number"),
        ("c001", "the body is refused at byte 2: tag 0 is put to a text, and tag 1 to a number"),
        ("c16130", "the body is refused at byte 2: tag 0 is put to a text, and tag 1 to a number"),
        ("c201", "the body is refused at byte 2: tags 2 and 3 are put to a byte string"),
        ("c48101", "the body is refused at byte 2: tags 4 and 5 are put to [exponent, mantissa]"),
        ("c49f0102", "the body is refused at byte 2: tags 4 and 5 are put to [exponent, mantissa]"),
    ] {
        let fault = refused(hex).to_string();
        assert!(fault.starts_with(said), "{hex}: {fault}");
    }
}

#[test]
fn attack_169_a_depth_bomb_is_refused_at_level_33() {
    let nested = |levels: usize| [vec![0x81; levels], vec![0x01]].concat();
    let read = |bytes: &[u8]| to_json(bytes, Limits::BODY, None);
    assert!(read(&nested(32)).is_ok());
    for bytes in [nested(33), vec![0x81; 100_000], vec![0x9f; 100_000], b"\xa1\x61a".repeat(100_000)] {
        let fault = read(&bytes).expect_err("it is too deep");
        assert_eq!(fault.words, "nested more than 32 deep");
    }
    // Tags are no levels, and cost no stack.
    let tagged = [vec![0xc6; 100_000], vec![0x01]].concat();
    assert_eq!(read(&tagged).as_deref(), Ok("1"));
    assert_eq!(read(&[0xc6; 100_000]).map_err(|fault| fault.at), Err(100_001));
}

#[test]
fn attack_170_lengths_reserve_no_memory_and_text_does_not_grow_without_bound() {
    for hex in ["9bffffffffffffffff", "bbffffffffffffffff", "5bffffffffffffffff", "7bffffffffffffffff"] {
        assert_eq!(refused(hex).kind, FaultKind::Malformed);
    }
    let controls = [&[0x79, 0x20, 0x00][..], &[1; 0x2000]].concat();
    let fault = to_json(&controls, Limits::BODY, None).expect_err("it grows to a sixfold");
    assert_eq!((fault.kind, fault.at), (FaultKind::TooLong, 1));
    let halves = [&[0x99, 0x0c, 0x00][..], &b"\xf9\x00\x01".repeat(0x0c00)].concat();
    let fault = to_json(&halves, Limits::BODY, None).expect_err("small numbers are long in decimal");
    assert_eq!(fault.kind, FaultKind::TooLong);
    let many: Vec<u8> =
        (0..2000_u16).flat_map(|key| [0x62, b'0' + (key % 50) as u8, (key / 50) as u8, 0]).collect();
    assert!(to_json(&[&[0xb9, 0x07, 0xd0][..], &many].concat(), Limits::BODY, None).is_ok());
}

#[test]
fn numbers_keep_their_values() {
    for (hex, json) in [
        ("c240", "0"),
        ("c340", "-1"),
        ("c2420000", "0"),
        ("c24a00000000000000000001", "1"),
        ("c25f4101420203ff", "66051"),
        ("c34100", "-1"),
        ("c341ff", "-256"),
        ("c249ffffffffffffffffff", "4722366482869645213695"),
        ("c349ffffffffffffffffff", "-4722366482869645213696"),
        // RFC 8949, section 3.4.4: 273.15, and 1.5.
        ("c48221196ab3", "273.15"),
        ("c5822003", "1.5"),
        ("c4820005", "5"),
        ("c4822105", "0.05"),
        ("c4822124", "-0.05"),
        ("c4820200", "0e2"),
        ("c4820205", "5e2"),
        ("c482381e05", "5e-31"),
        ("c482381d05", "0.000000000000000000000000000005"),
        ("c49f2105ff", "0.05"),
        ("c48221c249010000000000000000", "184467440737095516.16"),
        ("c5820000", "0.0"),
        ("c5820a01", "1024.0"),
        ("c5820020", "-1.0"),
        ("c58239043101", "5e-324"),
        ("c5821903ff01", "8.98846567431158e307"),
        ("c582201bfffffffffffff800", "9.223372036854775e18"),
    ] {
        assert_eq!(read(hex).as_deref(), Ok(json), "{hex}");
    }
    for hex in [
        // One bit more than a double has; below the smallest one; beyond the largest.
        "c582001b0020000000000001",
        "c58239043201",
        "c58219040001",
        "c5821b7fffffffffffffff01",
        "c5823b7fffffffffffffff01",
        "c5821bffffffffffffffff01",
        "c4821903e801",
        "c4821b7fffffffffffffff01",
        "c4821bffffffffffffffff01",
    ] {
        let words = refused(hex).words;
        assert!(words.contains("beyond the range") || words.contains("no double"), "{hex}: {words}");
    }
    let longest = |bytes: usize| {
        to_json(&[&[0xc2, 0x58, bytes as u8][..], &vec![0xff; bytes]].concat(), Limits::BODY, None)
    };
    assert_eq!(longest(127).map(|json| json.len()), Ok(306));
    assert!(longest(128).is_err() && longest(200).is_err(), "beyond a double");
}

#[test]
fn every_half_is_the_number_that_it_is() {
    for bits in 0..=u16::MAX {
        let value = from_half(bits);
        assert_eq!(value.is_finite(), bits & 0x7c00 != 0x7c00, "{bits:04x}");
        if value.is_finite() {
            assert_eq!(to_half(value as f32), Some(bits), "{value}");
            let json =
                to_json(&[0xf9, (bits >> 8) as u8, bits as u8], Limits::BODY, None).expect("it is finite");
            assert_eq!(json.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()), "{json}");
            assert_eq!(from_json(json.as_bytes()), [0xf9, (bits >> 8) as u8, bits as u8]);
        }
    }
    for no_half in [65_505.0, 65_536.0, 1.000_1, f32::MAX, f32::MIN_POSITIVE, 2.0_f32.powi(-25), f32::NAN] {
        assert_eq!(to_half(no_half), None, "{no_half}");
    }
}

#[test]
fn byte_strings_become_text_where_a_tag_says_how() {
    for (hex, json) in [
        ("d54401020304", r#""AQIDBA""#),
        ("d64401020304", r#""AQIDBA==""#),
        ("d74401ab0304", r#""01AB0304""#),
        ("d543fbefff", r#""--__""#),
        ("d643fbefff", r#""++//""#),
        ("d640", r#""""#),
        ("d54101", r#""AQ""#),
        ("d6420102", r#""AQI=""#),
        // All byte strings inside, unless a tag between says something else; also in pieces.
        ("d5824101d74101", r#"["AQ","01"]"#),
        ("d55f41014102ff", r#""AQI""#),
        // Of text it says nothing.
        ("d56161", r#""a""#),
    ] {
        assert_eq!(read(hex).as_deref(), Ok(json), "{hex}");
    }
}

#[test]
fn tags_are_transparent() {
    for (hex, json) in [
        ("d9d9f7a0", "{}"),
        ("d9d9f7d9d9f7a16161d9010282f5f6", r#"{"a":[true,null]}"#),
        ("a1d86461610c", r#"{"a":12}"#),
        ("c6c76161", r#""a""#),
    ] {
        assert_eq!(read(hex).as_deref(), Ok(json), "{hex}");
    }
}

#[test]
fn integer_keys_are_names_where_they_stand_for_some() {
    let name_of = |maps: usize, number: u64| match (maps, number) {
        (0, 1) => Some(Cow::Borrowed("temp")),
        (0, 300) => Some(Cow::Borrowed("a\"b")),
        (1, 1) => Some(Cow::Owned("inner".to_owned())),
        _ => None,
    };
    let read =
        |hex: &str| to_json(&bytes(hex), Limits::BODY, Some(&name_of)).map_err(|fault| fault.to_string());
    assert_eq!(read("a30119013b19012c0261780a").as_deref(), Ok(r#"{"temp":315,"a\"b":2,"x":10}"#));
    assert_eq!(read("821a00000001a101a1010a").as_deref(), Ok(r#"[1,{"temp":{"inner":10}}]"#));
    let unknown = read("a10200").expect_err("there is no number 2");
    assert!(unknown.ends_with("at byte 2: the thing model has no number 2 here"), "{unknown}");
    let twice = read("a201006474656d7000").expect_err("it is the same name");
    assert!(twice.ends_with("a key occurs twice in this map"), "{twice}");
    let number_of = |maps: usize, name: &str| match (maps, name) {
        (0, "temp") => Some(1),
        (1, "inner") => Some(70_000),
        _ => None,
    };
    let json = br#"[5,{"temp":{"inner":"temp","temp":1}},"temp"]"#;
    let cbor = hex::encode(from_json_with_numbers(json, &number_of));
    assert_eq!(cbor, "8305a101a21a000111706474656d706474656d70016474656d70");
}

#[test]
fn json_becomes_the_shortest_cbor() {
    for (json, hex) in [
        ("{}", "a0"),
        (" [ ] ", "80"),
        (r#"{"id":"1","code":200,"data":{}}"#, "a3626964613164636f646518c86464617461a0"),
        (r#"{"a" : [ 1.50, -0, -1, true , false, null ] }"#, "a1616186f93e00f9800020f5f4f6"),
        (r#""\u00e4\n""#, "63c3a40a"),
        ("4294967295", "1affffffff"),
        ("4294967296", "1b0000000100000000"),
        ("-18446744073709551616", "3bffffffffffffffff"),
        ("-18446744073709551617", "c349010000000000000000"),
        ("18446744073709551616", "c249010000000000000000"),
        ("1e2", "f95640"),
        ("0.1", "fb3fb999999999999a"),
        ("3.4028234663852886e38", "fa7f7fffff"),
        // What is not JSON becomes something, and nothing panics.
        ("{\"a\"", "a16161f6"),
        ("\"a", "60"),
        ("]", ""),
    ] {
        assert_eq!(hex::encode(from_json(json.as_bytes())), hex, "{json}");
    }
    let many = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    for (count, head) in [(23, "97"), (24, "9818"), (255, "98ff"), (256, "990100")] {
        let cbor = from_json(many(count).as_bytes());
        assert_eq!(hex::encode(&cbor[..cbor.len() - count]), head);
    }
    let deep = from_json("[".repeat(100_000).as_bytes());
    assert_eq!(deep.len(), 100_000, "it needs no stack");
}

#[test]
fn a_place_in_the_json_is_a_place_in_the_body() {
    // {"a": [1, {"b": "x"}], "c": 7}
    let cbor = bytes("a261618201a161626178616307");
    let json = to_json(&cbor, Limits::BODY, None).expect("it is CBOR");
    for (piece, at) in [("{\"a\"", 1), ("[1", 4), ("1,", 5), ("{\"b\"", 6), ("\"x\"", 9), ("7", 13)] {
        let offset = json.find(piece).expect("it is there");
        assert_eq!(place_of(&cbor, offset), Some(at), "{piece}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<f32>().prop_map(|single| Value::from(f64::from(single))),
        (-40_000_i32..40_000).prop_map(|number| Value::from(f64::from(number) / 16.0)),
        "\\PC{0,8}".prop_map(Value::from),
        "[\\x00-\\x7f]{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 60, 30, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..30).prop_map(Value::from),
            proptest::collection::btree_map("[ a-cä\"\\\\]{0,3}", inner, 0..30)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn json_comes_back_from_cbor_as_it_was(value in values(), is_pretty in any::<bool>()) {
        let json = match is_pretty {
            true => serde_json::to_string_pretty(&value),
            false => serde_json::to_string(&value),
        };
        let cbor = from_json(json.expect("a value can be written").as_bytes());
        let limits = Limits { json_bytes: usize::MAX, ..Limits::BODY };
        let again = to_json(&cbor, limits, None).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        // The text itself: each number in its shortest form, keys in their order.
        prop_assert_eq!(again, shortest(&value));
    }

    #[test]
    fn any_bytes_are_refused_or_become_json_that_the_others_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        is_map in any::<bool>(),
    ) {
        let bytes = if is_map { [&[0xbf, 0x61, b'a'][..], &bytes].concat() } else { bytes };
        match to_json(&bytes, Limits::BODY, None) {
            Ok(text) => {
                let checked = json::check(text.as_bytes());
                prop_assert_eq!(checked.is_ok(), text.starts_with('{'), "{}: {:?}", text, checked);
                prop_assert_eq!(&*json::compact(&text), &*text, "it has no white space");
                let again = from_json(text.as_bytes());
                let limits = Limits { json_bytes: usize::MAX, ..Limits::BODY };
                let shortest = to_json(&again, limits, None).expect("our own CBOR is read");
                prop_assert_eq!(from_json(shortest.as_bytes()), again, "{} {}", text, shortest);
            }
            Err(fault) => prop_assert!((1..=bytes.len() + 1).contains(&fault.at), "{}", fault),
        }
    }
}

/// A value as compact JSON with its doubles as they are written here.
fn shortest(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(shortest).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let member = |(key, value): (&String, &Value)| {
                format!("{}:{}", Value::from(key.as_str()), shortest(value))
            };
            format!("{{{}}}", map.iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Number(number) if number.is_f64() => format!("{:?}", number.as_f64().expect("it is one")),
        Value::String(text) => {
            let mut json = "\"".to_owned();
            super::transcode::push_escaped(&mut json, text);
            json + "\""
        }
        other => other.to_string(),
    }
}
