//! The OpenAPI document, made of the routes ([`crate::api`]), of the types that they take and answer, of what
//! people are told of each ([`told`]), and of what a server in memory answers to the examples ([`world`]).
//! It is checked in as `openapi/narrowgate.json`, which is what is served.

mod check;
mod operation;
mod tests;
pub(crate) mod told;
pub(crate) mod world;

use std::collections::BTreeMap;

use narrowgate_api::problem::{MEDIA_TYPE, Problem};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use self::told::{TOLD, Told};
use crate::{
    api::{Row, rows},
    browser::SESSION,
    openapi::DOCUMENT,
};

/// What a server in memory answers, by the name of the operation.
pub(crate) type Examples = BTreeMap<String, Example>;

/// An answer.
pub(crate) struct Example {
    status: u16,
    media_type: String,
    /// A string where it is no JSON.
    body: Value,
}

/// Makes schemas: of what is said, and of what is heard.
struct Schemas {
    said: SchemaGenerator,
    heard: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            said: settings().for_serialize().into_generator(),
            heard: settings().for_deserialize().into_generator(),
        }
    }

    /// All types that have names.
    fn named(mut self) -> Map<String, Value> {
        let mut named = self.said.take_definitions(true);
        for (name, schema) in self.heard.take_definitions(true) {
            let known = named.entry(name.clone()).or_insert_with(|| schema.clone());
            assert_eq!(*known, schema, "{name} has one form where it is said and another where it is heard");
        }
        named
    }
}

/// The complete document.
pub(crate) fn document(examples: &Examples) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for row in rows() {
        let path = row.path.clone() + &row.act.map(|act| format!(":{act}")).unwrap_or_default();
        let operation = operation::operation(&mut schemas, &row, examples);
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[row.method.as_str().to_ascii_lowercase()] = operation;
    }
    let problem = schemas.said.subschema_for::<Problem>();
    let responses: Map<_, _> =
        PROBLEMS.iter().map(|(status, why)| (status.to_string(), refusal(*status, why, &problem))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "narrowgate",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A device gateway: CoAP over DTLS-PSK",
            "description": "JSON with keys in camelCase, times in Unix milliseconds. Further fields may come \
                to answers; programs ignore what they do not know.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.named(),
            "responses": responses,
            "headers": {
                "X-Request-Id": {
                    "description": "The name of the request, as in the log.",
                    "required": true,
                    "schema": {"type": "string"},
                },
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "narrowgate token create NAME --role ROLE makes a token.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": SESSION,
                    "description": "A user who has logged in at /login. A change also needs the header \
                        X-CSRF-Token, as each answer to the session has it, and this server as its Origin.",
                },
            },
        },
    })
}

/// Why an operation may not be done.
const PROBLEMS: &[(u16, &str)] = &[
    (400, "The request cannot be read: its path, its query or its body."),
    (401, "There is no token, or it is not valid (any more)."),
    (403, "The role does not permit it, or the organisation unit of the caller is suspended."),
    (404, "There is none, or it belongs to another organisation unit."),
    (408, "The rest of the body did not arrive."),
    (409, "What is there does not permit it."),
    (412, "What was to be changed is no longer what `If-Match` says."),
    (413, "The body is longer than what is read."),
    (415, "The body has another media type than those that are read here."),
    (422, "The request can be read, and a value of it is not acceptable."),
    (428, "The change replaces the whole of something, and does not say of which state: send `If-Match`."),
    (429, "Too often, or too many at once; `Retry-After` says when to try again, where time alone helps."),
    (500, "A row of the store is damaged, or the server itself is at fault; `code` says which."),
    (503, "The store cannot work now, or the answer took too long; `Retry-After` says when to try again."),
];

fn refusal(status: u16, why: &str, problem: &schemars::Schema) -> Value {
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
    // Somebody has to make room for a backup: 429 without it.
    let is_always = status == 503;
    let seconds = json!({"description": "Seconds.", "required": is_always, "schema": {"type": "integer"}});
    match status {
        401 => headers["WWW-Authenticate"] = json!({"required": true, "schema": {"type": "string"}}),
        429 | 503 => headers["Retry-After"] = seconds,
        _ => {}
    }
    json!({"description": why, "headers": headers, "content": {MEDIA_TYPE: {"schema": problem}}})
}

/// The route of each operation of the document that is checked in.
pub(crate) fn documented() -> Vec<Row> {
    let document: Value = serde_json::from_str(DOCUMENT).expect("it is JSON");
    let mut rows: BTreeMap<_, _> = rows().into_iter().map(|row| (operation_id(&row), row)).collect();
    let paths = document["paths"].as_object().expect("it has paths").values();
    let operations = paths.flat_map(|methods| methods.as_object().expect("a path has methods").values());
    let row = |operation: &Value| {
        let id = operation["operationId"].as_str().expect("an operation has a name");
        rows.remove(id).unwrap_or_else(|| panic!("{id} is no route"))
    };
    let documented = operations.map(row).collect();
    assert!(rows.is_empty(), "these are not in the document: {:?}", rows.keys());
    documented
}

/// What is told of a route. A new route needs a row in [`TOLD`].
pub(crate) fn told_of(row: &Row) -> &'static Told {
    let name = name(row);
    let found = TOLD.iter().find(|told| told.route == name);
    found.unwrap_or_else(|| panic!("{name} has no row in TOLD (crates/http/src/document/told.rs)"))
}

/// The name of a row in [`TOLD`].
pub(crate) fn name(row: &Row) -> String {
    let path = row.path.strip_prefix("/api/v1").expect("it is a path of the API");
    let path = path.replace("/products/{product}/devices/{device}", "{device}");
    let path = path.replace("/devices/{device}", "{device}");
    let act = row.act.map(|act| format!(":{act}")).unwrap_or_default();
    format!("{} {path}{act}", row.method)
}

/// Its name in the document; a device by one name has operations of its own.
pub(crate) fn operation_id(row: &Row) -> String {
    let by_name = if row.path.starts_with("/api/v1/devices/{device}") { "ByName" } else { "" };
    format!("{}{by_name}", told_of(row).id)
}
