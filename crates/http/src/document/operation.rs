//! One operation of the document.

use axum::http::Method;
use narrowgate_platform::model::access::Needs;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{Example, Examples, Schemas, operation_id, told_of};
use crate::api::{Answer, Row, Shape};

/// Parts of paths, each with what it is and an example.
const PARTS: &[(&str, &str, &str)] = &[
    ("product", "Key of the product.", "pk-1"),
    ("device", "Key of the device.", "dk-1"),
    ("image", "Id of the image.", "Ab3dEf7h"),
    ("token", "Name of the token.", "ci"),
    ("user", "Name of the user.", "ann"),
    ("session", "Name of the session.", "5b1f0c2d6e0a4b7f"),
    ("ou", "Key or name of the organisation unit.", "south"),
    ("id", "Id of the command.", "1"),
    ("point", "Identifier of the point.", "temp"),
    ("version", "Which version, from 1 on.", "1"),
    ("job", "Id of the job.", "b7e1d04c5a9f48128f0c6d3e2a1b5c79"),
    ("import", "Name of the import.", "3f0a7c51d2b84e69a1c57d0e92b6f4a8"),
];

const DEVICE_BY_NAME: &str =
    "`PK/DK` (the slash as `%2F`), a key that is unique, an asset id, or the `id:` of a damaged row.";

/// What the query of an example says, where it has to say something.
pub(super) const QUERY: &[(&str, &str)] = &[
    ("productKey", "pk-1"),
    ("version", "1"),
    ("size", "1"),
    ("offset", "0"),
    ("sha256", "ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879"),
];

/// The fields of the head that a route reads.
fn headers(row: &Row) -> impl Iterator<Item = Value> + use<> {
    let condition = match row.sketch.needs_condition {
        true => {
            "Changes nothing unless what is there has one of these entity tags; `*` is whatever is there. \
             Where something is there, it must be given."
        }
        false => "Changes nothing unless what is there has one of these entity tags.",
    };
    let cursor = "What follows the event of this `id:`, and then what happens; counts before `cursor`.";
    let key = "Sent again with the same key within 24 hours, the request is answered as before and not \
               carried out again.";
    let text = json!({"type": "string"});
    // As of `crate::api::idempotency`.
    let takes_key = row.method == Method::POST && row.needs != Needs::Own;
    let known = [
        (row.sketch.takes_condition, "If-Match", condition, text.clone()),
        (row.sketch.takes_last_event, "Last-Event-ID", cursor, text),
        (takes_key, "Idempotency-Key", key, json!({"type": "string", "minLength": 1, "maxLength": 255})),
    ];
    let taken = known.into_iter().filter(|(is_taken, ..)| *is_taken);
    taken.map(|(_, name, description, schema)| {
        json!({"name": name, "in": "header", "description": description, "schema": schema})
    })
}

/// Files of devices.
const FILES: [(&str, &str); 2] = [
    ("text/csv", "deviceKey,deviceSecret,name\n867725030096431,,cellar\n"),
    ("application/x-ndjson", "{\"deviceKey\":\"867725030096431\",\"name\":\"cellar\"}\n"),
];

/// What a route takes and answers.
pub(super) fn operation(schemas: &mut Schemas, row: &Row, examples: &Examples) -> Value {
    let (told, id) = (told_of(row), operation_id(row));
    let mut parameters = parts(row);
    if let Some(query) = row.sketch.query {
        parameters.extend(query_parameters(&mut schemas.heard, query));
    }
    parameters.extend(headers(row));
    let (role, is_of_all) = role(row.needs);
    let mut operation = json!({
        "operationId": id,
        "tags": [group(row)],
        "summary": told.summary,
        "description": format!("Takes {}.", row.needs.whose()),
        "x-role": role,
        "x-all-units": is_of_all,
        "parameters": parameters,
        "responses": responses(schemas, row, examples.get(&id)),
    });
    if !row.sketch.bodies.is_empty() {
        operation["requestBody"] = body(&mut schemas.heard, row);
    }
    operation
}

/// The role that it takes, and whether in all organisation units.
fn role(needs: Needs) -> (&'static str, bool) {
    match needs {
        Needs::Read => ("viewer", false),
        Needs::Operate => ("operator", false),
        Needs::Administer => ("administrator", false),
        Needs::ReadAll => ("viewer", true),
        Needs::AdministerAll => ("administrator", true),
        Needs::Own => ("owner", true),
    }
}

/// The heading that it stands under.
fn group(row: &Row) -> &'static str {
    let path = row.path.trim_start_matches("/api/v1/");
    match path.split(['/', ':']).next() {
        _ if path.contains("{device}") => "devices",
        Some("products") if path.contains("/devices") => "devices",
        Some("products") if path.contains("/model") => "thing models",
        Some("products") if path.contains("/script") => "scripts",
        Some("products") => "products",
        Some("devices" | "imports" | "jobs" | "refusals") => "devices",
        Some("firmware" | "rollouts") => "firmware",
        Some("events") => "events",
        Some("me" | "ous" | "tokens" | "users" | "audit") => "access",
        _ => "system",
    }
}

fn parts(row: &Row) -> Vec<Value> {
    let names = row.path.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let part = |(name, _): (&str, &str)| {
        let known = PARTS.iter().find(|(known, ..)| *known == name);
        let (_, what, example) = known.unwrap_or_else(|| panic!("{{{name}}} has no row in PARTS"));
        let is_by_name = name == "device" && !row.path.contains("{product}");
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": if is_by_name { DEVICE_BY_NAME } else { what },
            "schema": {"type": "string", "minLength": 1},
            "example": example,
        })
    };
    names.map(part).collect()
}

/// Each property of the query is a parameter of its own.
fn query_parameters(heard: &mut SchemaGenerator, query: Shape) -> Vec<Value> {
    let object = query(heard);
    let required = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = object.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, schema): (String, Value)| {
        let is_required = required.contains(&Value::from(name.clone()));
        let mut schema = without_null(schema);
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut parameter = json!({
            "name": name,
            "in": "query",
            "description": description,
            "required": is_required,
            "schema": schema,
        });
        if is_required {
            let example = QUERY.iter().find(|(known, _)| *known == name);
            parameter["example"] = example.unwrap_or_else(|| panic!("?{name}= has no row in QUERY")).1.into();
            if parameter["schema"]["type"] == "integer" {
                let number = parameter["example"].as_str().and_then(|text| text.parse::<u64>().ok());
                parameter["example"] = number.into();
            }
        }
        parameter
    };
    properties.into_iter().map(parameter).collect()
}

/// A query has no null: what may be left out is left out.
fn without_null(mut schema: Value) -> Value {
    let Some(object) = schema.as_object_mut() else { return schema };
    if let Some(types) = object.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [kind] = &types[..] {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(forms)) = object.remove("anyOf") {
        let form = forms.into_iter().find(|form| form["type"] != "null").expect("it may be something");
        object.extend(form.as_object().cloned().unwrap_or_default());
    }
    // What is left out is what the summary says.
    object.remove("default");
    schema
}

fn body(heard: &mut SchemaGenerator, row: &Row) -> Value {
    let example = told_of(row).body;
    let mut contents = Map::new();
    for (media_type, shape) in &row.sketch.bodies {
        let schema = shape(heard);
        let mut content = if schema == Schema::default() { json!({}) } else { json!({"schema": schema}) };
        if *media_type == "application/json" && !example.is_empty() {
            content["example"] = serde_json::from_str(example).expect("the example is JSON");
        }
        if let Some((_, example)) = FILES.iter().find(|(known, _)| known == media_type) {
            content["example"] = (*example).into();
        }
        if row.method == Method::PATCH {
            contents.insert("application/merge-patch+json".to_owned(), content.clone());
        }
        contents.insert((*media_type).to_owned(), content);
    }
    json!({"required": true, "content": contents})
}

fn responses(schemas: &mut Schemas, row: &Row, example: Option<&Example>) -> Value {
    let mut responses = Map::new();
    for answer in &row.sketch.answers {
        let schema = Value::from((answer.shape)(&mut schemas.said));
        let response = responses.entry(answer.status.to_string()).or_insert_with(|| {
            let mut of_status = row.sketch.answers.iter().filter(|it| it.status == answer.status);
            empty(answer, of_status.all(|it| it.is_tagged))
        });
        let known = &mut response["content"][answer.media_type]["schema"];
        *known = match known.take() {
            Value::Null => schema,
            other if other == schema => schema,
            other => json!({"anyOf": [other, schema]}),
        };
        let is_of_it =
            |example: &&Example| (example.status, &*example.media_type) == (answer.status, answer.media_type);
        if let Some(example) = example.filter(is_of_it) {
            response["content"][answer.media_type]["example"] = example.body.clone();
        }
    }
    for status in problems(row) {
        responses.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{status}")}));
    }
    responses.into()
}

fn empty(answer: &Answer, is_always_tagged: bool) -> Value {
    let what = match answer.status {
        200 => "Done, or what was asked for.",
        201 => "It was made.",
        202 => "Not all of it is done: ask again, or for the job.",
        504 => "The device has not answered in time. What it was asked for goes on.",
        other => panic!("{other} has no words"),
    };
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
    if answer.is_tagged {
        headers["ETag"] = json!({
            "description": "For `If-Match`.",
            // What is shown as it can be read (`damaged`) cannot be changed by it.
            "required": is_always_tagged,
            "schema": {"type": "string"},
        });
    }
    json!({"description": what, "headers": headers, "content": {}})
}

/// Statuses of the problems that it may answer.
fn problems(row: &Row) -> Vec<u16> {
    let sketch = &row.sketch;
    let names_something = row.path.contains('{') || sketch.query.is_some() || !sketch.bodies.is_empty();
    let mut statuses = vec![401, 403, 429, 500, 503];
    if names_something {
        statuses.extend([400, 404, 422]);
    }
    // A device by one name may be one of several.
    let is_by_name = row.path.contains("/devices/{device}") && !row.path.contains("{product}");
    if row.method != Method::GET || is_by_name || row.path.ends_with("/api/v1/events") {
        statuses.push(409);
    }
    if !sketch.bodies.is_empty() {
        statuses.extend([408, 413, 415]);
    }
    if sketch.takes_condition {
        statuses.push(412);
    }
    if sketch.needs_condition {
        statuses.push(428);
    }
    statuses
}
