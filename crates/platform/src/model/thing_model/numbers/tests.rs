//! Numbers over the versions of a model.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::thing_model::ThingModel;

/// A model with these points, each with the number that it gives.
fn points(points: &[(&str, Option<u16>)]) -> String {
    let point = |(identifier, number): &(&str, Option<u16>)| match number {
        Some(number) => json!({"identifier": identifier, "dataType": "INT", "number": number}),
        None => json!({"identifier": identifier, "dataType": "INT"}),
    };
    json!({"modelId": "m", "measurepoints": points.iter().map(point).collect::<Vec<_>>()}).to_string()
}

/// The numbers of its points.
fn numbers_of(json: &str) -> Vec<(String, u16)> {
    let model: Value = serde_json::from_str(json).expect("it is JSON");
    let points = model["measurepoints"].as_array().expect("it has points");
    let number = |point: &Value| point["number"].as_u64().and_then(|number| u16::try_from(number).ok());
    let name = |point: &Value| point["identifier"].as_str().expect("it has one").to_owned();
    points.iter().map(|point| (name(point), number(point).expect("it has one"))).collect()
}

fn numbered(numbers: &Numbers, json: &str) -> (Vec<(String, u16)>, Numbers) {
    let (json, numbers) = numbers.number(json).expect("it can be numbered");
    (numbers_of(&json), numbers)
}

fn all(numbers: &[(&str, u16)]) -> Vec<(String, u16)> {
    numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}

#[test]
fn everything_gets_a_number_and_the_rest_stays_as_it_is_written() {
    let json = r#"{ "modelId":"m",
        "attributes":[{"identifier":"a","dataType":"INT","default":1}],
        "services":[{"identifier":"s",
            "inputData":[{"identifier":"x","dataType":"INT"}, {"identifier":"y",
                "dataType":{"type":"STRUCT","members":[{"identifier":"z","dataType":"INT"}]} }],
            "outputData":[{"identifier":"x","dataType":"INT"}]}],
        "measurepoints":[{"dataType":"DOUBLE", "identifier":"p"},
            {"identifier":"q","dataType":"INT" }],
        "events":[ {"identifier":"e"} ] }"#;
    let (numbered, numbers) = Numbers::default().number(json).expect("it can be numbered");
    let expected = r#"{ "modelId":"m",
        "attributes":[{"identifier":"a","dataType":"INT","default":1,"number":3}],
        "services":[{"identifier":"s",
            "inputData":[{"identifier":"x","dataType":"INT","number":1}, {"identifier":"y",
                "dataType":{"type":"STRUCT","members":[{"identifier":"z","dataType":"INT"}]} ,"number":2}],
            "outputData":[{"identifier":"x","dataType":"INT","number":3}],"number":5}],
        "measurepoints":[{"dataType":"DOUBLE", "identifier":"p","number":1},
            {"identifier":"q","dataType":"INT" ,"number":2}],
        "events":[ {"identifier":"e","number":4} ] }"#;
    assert_eq!(numbered, expected);
    ThingModel::accept(&numbered).expect("it is a model");
    let again = (numbered, numbers.clone());
    assert_eq!(numbers.number(&again.0).as_ref(), Ok(&again), "it changes nothing");
    assert_eq!(numbers.number(json).as_ref(), Ok(&again), "nor do they vary");
    assert_eq!(Numbers::from_json(&numbers.to_json()), numbers);
}

#[test]
fn the_number_of_what_was_removed_stays_taken_and_comes_back_with_it() {
    let (first, numbers) = numbered(&Numbers::default(), &points(&[("a", None), ("b", None)]));
    assert_eq!(first, all(&[("a", 1), ("b", 2)]));
    let (second, numbers) = numbered(&numbers, &points(&[("c", None), ("b", None)]));
    assert_eq!(second, all(&[("c", 3), ("b", 2)]), "not the number of a");
    let (third, _) = numbered(&numbers, &points(&[("d", None), ("a", None)]));
    assert_eq!(third, all(&[("d", 4), ("a", 1)]));
}

#[test]
fn numbers_of_the_document_come_first_and_may_change_to_free_ones() {
    let (first, numbers) = numbered(&Numbers::default(), &points(&[("a", None), ("b", Some(1))]));
    assert_eq!(first, all(&[("a", 2), ("b", 1)]));
    let (second, numbers) = numbered(&numbers, &points(&[("a", Some(7)), ("c", None), ("d", None)]));
    assert_eq!(second, all(&[("a", 7), ("c", 3), ("d", 4)]), "2 is still that of a");
    let (third, numbers) = numbered(&numbers, &points(&[("a", None)]));
    assert_eq!(third, all(&[("a", 7)]), "the last one that it had");
    let (fourth, _) = numbered(&numbers, &points(&[("a", Some(2))]));
    assert_eq!(fourth, all(&[("a", 2)]), "it is its own");
}

#[test]
fn a_number_that_occurs_twice_or_is_another_s_is_refused_with_the_place() {
    let (_, numbers) = numbered(&Numbers::default(), &points(&[("a", Some(5)), ("b", None)]));
    let (_, numbers) = numbered(&numbers, &points(&[("b", None)]));
    let refused = |json: &str| numbers.number(json).expect_err("it is refused").to_string();
    for (json, said) in [
        (
            points(&[("c", Some(9)), ("d", Some(9))]),
            "/measurepoints/1/number: 9 occurs twice: /measurepoints/0 has it too",
        ),
        (
            points(&[("b", None), ("c", Some(5))]),
            "/measurepoints/1/number: 5 is that of a in measurepoints, here or in an earlier version: \
             no other may get it",
        ),
        (
            points(&[("c", Some(1)), ("b", None)]),
            "/measurepoints/0/number: 1 is that of b in measurepoints, here or in an earlier version: \
             no other may get it",
        ),
        (
            r#"{"modelId":"m","measurepoints":[{"identifier":"b","number":20,"dataType":"INT"}],
                "attributes":[{"identifier":"b","number":20,"dataType":"INT"}]}"#
                .to_owned(),
            "/attributes/0/number: 20 occurs twice: /measurepoints/0 has it too",
        ),
        (
            r#"{"modelId":"m","services":[{"identifier":"s",
                "inputData":[{"identifier":"x","number":1,"dataType":"INT"}],
                "outputData":[{"identifier":"x","number":1,"dataType":"INT"}]}]}"#
                .to_owned(),
            "/services/0/outputData/0/number: 1 occurs twice: /services/0/inputData/0 has it too",
        ),
    ] {
        assert_eq!(refused(&json), said);
    }
    // Within services and events numbers are their own.
    let json = r#"{"modelId":"m","services":[{"identifier":"s",
        "inputData":[{"identifier":"x","number":5,"dataType":"INT"}]}],
        "events":[{"identifier":"e","outputData":[{"identifier":"x","number":5,"dataType":"INT"}]}]}"#;
    numbers.number(json).expect("5 is taken among the elements only");
}

#[test]
fn a_model_with_a_number_twice_is_not_accepted() {
    let said = ThingModel::accept(&points(&[("a", Some(9)), ("b", Some(9))])).expect_err("it is refused");
    assert_eq!(said.to_string(), "/measurepoints/1/number: 9 occurs twice: /measurepoints/0 has it too");
}

#[test]
fn when_no_number_is_left_the_document_is_refused() {
    let mut numbers = Numbers::default();
    let space = numbers.0.entry(String::new()).or_default();
    space.insert("measurepoints/old".to_owned(), (1..=65534).collect());
    let (last, numbers) = numbered(&numbers, &points(&[("a", None)]));
    assert_eq!(last, all(&[("a", 65535)]));
    let fault = numbers.number(&points(&[("a", None), ("b", None)])).expect_err("none is left");
    assert_eq!(
        fault.to_string(),
        "/measurepoints/1: no number is left: all from 1 to 65535 are taken, also by earlier versions"
    );
    let identifier = |n: usize| format!("{}{n}", "x".repeat(100));
    let mut numbers = Numbers::default();
    let space = numbers.0.entry(String::new()).or_default();
    space.extend((0..40_000_u16).map(|n| (format!("events/{}", identifier(n.into())), vec![n + 1])));
    let fault = numbers.number(&points(&[("a", None)])).expect_err("it is too much to remember");
    assert!(fault.message.ends_with("bytes; at most 4194304 are kept"), "{fault}");
}

proptest! {
    /// Whatever versions follow each other, no number is ever that of two.
    #[test]
    fn no_number_is_ever_given_to_two(
        versions in prop::collection::vec(
            prop::collection::btree_map("[a-f]", prop::option::weighted(0.3, 1_u16..8), 0..5),
            1..8,
        )
    ) {
        let mut numbers = Numbers::default();
        let mut owners: BTreeMap<u16, String> = BTreeMap::new();
        for version in versions {
            let given: Vec<(&str, Option<u16>)> =
                version.iter().map(|(name, number)| (name.as_str(), *number)).collect();
            let Ok((json, after)) = numbers.number(&points(&given)) else { continue };
            for (name, number) in numbers_of(&json) {
                let owner = owners.entry(number).or_insert_with(|| name.clone());
                prop_assert_eq!(owner, &name);
                if let Some(Some(wanted)) = version.get(&name) {
                    prop_assert_eq!(number, *wanted);
                }
            }
            numbers = after;
        }
    }
}
