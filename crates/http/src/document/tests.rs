//! The document is that of the code, and its examples are what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

use narrowgate_api::access::Role;
use serde_json::Value;

use super::{
    check::faults,
    document, name, operation_id,
    told::TOLD,
    world::{Keys, examples, request, world},
};
use crate::{api::rows, openapi::DOCUMENT};

/// Where it is checked in.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/narrowgate.json");

/// Set: the file is written anew.
const WRITE: &str = "NARROWGATE_WRITE_OPENAPI";

#[tokio::test(flavor = "multi_thread")]
async fn the_document_that_is_checked_in_is_that_of_the_code() {
    let made = document(&examples().await);
    let text = format!("{made:#}\n");
    if env::var_os(WRITE).is_some() {
        fs::create_dir_all(Path::new(FILE).parent().expect("it is in a folder")).expect("it can be made");
        fs::write(FILE, text).expect("it can be written");
        return;
    }
    assert!(
        text == DOCUMENT,
        "openapi/narrowgate.json is not that of the code; look at the change that this makes of it:\n\
         {WRITE}=1 cargo nextest run -p narrowgate-http the_document_that_is_checked_in"
    );
}

#[test]
fn every_row_of_what_is_told_is_a_route_and_every_operation_has_a_name_of_its_own() {
    let routes: BTreeSet<_> = rows().iter().map(name).collect();
    for told in TOLD {
        assert!(routes.contains(told.route), "{} is told, and is no route", told.route);
    }
    let document: Value = serde_json::from_str(DOCUMENT).expect("it is JSON");
    let ids: Vec<_> = operations(&document).map(|(_, operation)| operation["operationId"].clone()).collect();
    let once: BTreeSet<_> = ids.iter().map(ToString::to_string).collect();
    assert_eq!((ids.len(), once.len()), (rows().len(), rows().len()));
}

#[test]
fn every_operation_has_an_example_that_is_what_its_schema_says() {
    let document: Value = serde_json::from_str(DOCUMENT).expect("it is JSON");
    for (name, operation) in operations(&document) {
        let mut answered = 0;
        let bodies = contents(&operation["requestBody"]).map(|content| (content, false));
        let responses = operation["responses"].as_object().expect("it has answers").values();
        for (content, is_answer) in bodies.chain(responses.flat_map(contents).map(|content| (content, true)))
        {
            if let Some(example) = content.get("example") {
                let faults = faults(&document, &content["schema"], example, "");
                assert!(faults.is_empty(), "{name}: {faults:#?}");
                answered += u32::from(is_answer);
            }
        }
        assert_eq!(answered, 1, "{name} has one example of an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_of_a_page_are_those_of_the_server() {
    let world = world(None).await;
    let (image, command) = world.furnish().await;
    let token = world.token("administrator", Role::Administrator, None).await;
    let keys = Keys { product: "pk-1", device: "dk-1", image: &image, command: &command, job: "none" };
    let document: Value = serde_json::from_str(DOCUMENT).expect("it is JSON");
    let operations: BTreeMap<_, _> =
        operations(&document).map(|(_, operation)| (operation["operationId"].as_str(), operation)).collect();
    let mut bounds = 0;
    for row in rows() {
        let id = operation_id(&row);
        let parameters = operations[&Some(&*id)]["parameters"].as_array().expect("a list");
        let Some(limit) = parameters.iter().find(|parameter| parameter["name"] == "limit") else { continue };
        let bound =
            |word: &str| limit["schema"][word].as_i64().unwrap_or_else(|| panic!("{id} has no {word}"));
        for (limit, is_right) in [
            (bound("minimum") - 1, false),
            (bound("minimum"), true),
            (bound("maximum"), true),
            (bound("maximum") + 1, false),
        ] {
            let mut request = request(&row, keys, Some(&token));
            *request.uri_mut() = format!("{}?limit={limit}", request.uri()).parse().expect("it is a path");
            let (status, body) = world.ask(request).await;
            assert_eq!(status.is_success(), is_right, "{id}?limit={limit}: {status} {body}");
            bounds += 1;
        }
    }
    assert!(bounds >= 60, "{bounds}");
}

/// Method and path of each operation, with what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().expect("it has paths");
    paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("a path has methods");
        methods.iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

fn contents(part: &Value) -> impl Iterator<Item = &Value> {
    part["content"].as_object().into_iter().flat_map(|contents| contents.values())
}
