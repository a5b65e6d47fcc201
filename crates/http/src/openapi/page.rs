//! The document as a page: plain HTML, without script. What an operation takes and answers is folded away,
//! and each type is described once, below.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use crate::page::escape;

/// The complete page.
pub(super) fn html(document: &Value) -> String {
    let info = &document["info"];
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"stylesheet\" href=\"/api/docs.css\">\
         <title>{title}: API</title></head>\n<body>\n<h1>{title} {}: HTTP API</h1>\n<p>{}</p>\n\
         <p>Programs read <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a> (OpenAPI {}). A request \
         carries a token: <code>Authorization: Bearer …</code>.</p>\n",
        text(&info["version"]),
        text(&info["description"]),
        text(&document["openapi"]),
        title = text(&info["title"]),
    );
    for (tag, operations) in by_tag(document) {
        add(&mut page, format_args!("<h2>{}</h2>\n", escape(tag)));
        for (method, path, operation) in operations {
            add_operation(&mut page, method, path, operation);
        }
    }
    page.push_str("<h2>Refusals</h2>\n<table>\n");
    for (status, refusal) in members(&document["components"]["responses"]) {
        let what = text(&refusal["description"]);
        page.push_str(&table_row(&[&escape(status), &what]));
    }
    page.push_str("</table>\n<h2>Types</h2>\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        add_type(&mut page, name, schema);
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// Method, path and what is said of an operation.
type Operation<'a> = (&'a str, &'a str, &'a Value);

/// The operations under their headings.
fn by_tag(document: &Value) -> BTreeMap<&str, Vec<Operation<'_>>> {
    let mut tags: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (path, methods) in members(&document["paths"]) {
        for (method, operation) in members(methods) {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            tags.entry(tag).or_default().push((method, path, operation));
        }
    }
    tags
}

fn add_operation(page: &mut String, method: &str, path: &str, operation: &Value) {
    add(
        page,
        format_args!(
            "<details id=\"{}\"><summary><b>{}</b> <code>{}</code> {}</summary>\n<p>{}</p>\n",
            text(&operation["operationId"]),
            method.to_ascii_uppercase(),
            escape(path),
            text(&operation["summary"]),
            text(&operation["description"]),
        ),
    );
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let row = |parameter: &Value| {
        let needed = if parameter["required"] == true { "" } else { ", may be left out" };
        let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
        let (kind, what) = (kind(&parameter["schema"]), text(&parameter["description"]));
        table_row(&[&format!("<code>{name}</code>"), &format!("{place}{needed}"), &kind, &what])
    };
    let rows: String = parameters.map(row).collect();
    if !rows.is_empty() {
        add(page, format_args!("<table>\n{rows}</table>\n"));
    }
    add_contents(page, "Body", &operation["requestBody"]);
    for (status, response) in members(&operation["responses"]) {
        if response.get("content").is_some() {
            add_contents(page, &format!("{status}: {}", text(&response["description"])), response);
        }
    }
    let refused = members(&operation["responses"]).filter(|(_, response)| response.get("$ref").is_some());
    let refused: Vec<_> = refused.map(|(status, _)| escape(status)).collect();
    add(page, format_args!("<p>Refusals: {}</p>\n</details>\n", refused.join(", ")));
}

fn add_contents(page: &mut String, heading: &str, part: &Value) {
    for (media_type, content) in members(&part["content"]) {
        let kind = content.get("schema").map(kind).unwrap_or_default();
        add(page, format_args!("<p>{heading} <code>{}</code> {kind}</p>\n", escape(media_type)));
        match content.get("example") {
            Some(Value::String(example)) => add(page, format_args!("<pre>{}</pre>\n", escape(example))),
            Some(example) => add(page, format_args!("<pre>{}</pre>\n", escape(&format!("{example:#}")))),
            None => {}
        }
    }
}

fn add_type(page: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    let what = text(&schema["description"]);
    add(page, format_args!("<h3 id=\"type-{name}\">{name}</h3>\n<p>{what}</p>\n"));
    let Some(properties) = schema.get("properties") else {
        add(page, format_args!("<p>{}</p>\n", kind(schema)));
        return;
    };
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    page.push_str("<table>\n");
    for (name, property) in members(properties) {
        let needed = if required.iter().any(|known| known == name) { "" } else { "may be left out" };
        let (kind, what) = (kind(property), text(&property["description"]));
        let name = format!("<code>{}</code>", escape(name));
        page.push_str(&table_row(&[&name, &kind, needed, &what]));
    }
    page.push_str("</table>\n");
}

fn table_row(cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr>{cells}</tr>\n")
}

/// What a value of this schema is, in HTML.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    if let Some(value) = schema.get("const") {
        return format!("<code>{}</code>", escape(&value.to_string()));
    }
    let one_of = ["anyOf", "oneOf", "enum"].into_iter().find_map(|word| schema[word].as_array());
    if let Some(forms) = one_of {
        let form = |form: &Value| match form {
            Value::Object(_) => kind(form),
            value => format!("<code>{}</code>", escape(&value.to_string())),
        };
        return forms.iter().map(form).collect::<Vec<_>>().join(" or ");
    }
    let names = match &schema["type"] {
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
        Value::String(name) => escape(name),
        _ => "any JSON".to_owned(),
    };
    match schema.get("items") {
        Some(items) => format!("{names} of {}", kind(items)),
        None => names,
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (&**name, value))
}

/// A text of the document, fit for a page.
fn text(value: &Value) -> String {
    value.as_str().map(escape).unwrap_or_default()
}

fn add(page: &mut String, what: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = page.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::openapi::DOCUMENT;

    #[test]
    fn the_page_shows_every_operation_and_leads_nowhere_but_to_itself_and_the_document() {
        let document = serde_json::from_str(DOCUMENT).expect("it is JSON");
        let page = html(&document);
        let operations = members(&document["paths"]).flat_map(|(_, methods)| members(methods));
        for (_, operation) in operations {
            let id = format!("<details id={}>", operation["operationId"]);
            assert!(page.contains(&id), "{id}");
        }
        let targets = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let targets: BTreeSet<_> = targets.collect();
        for target in targets {
            let is_here = target.strip_prefix('#').is_some_and(|id| page.contains(&format!("id=\"{id}\"")));
            assert!(is_here || matches!(target, "/api/docs.css" | "/api/v1/openapi.json"), "{target}");
        }
        for word in ["<script", "<style", "style=", "src="] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn what_the_document_says_is_escaped() {
        let schema = serde_json::json!({"description": "<b>", "properties": {"<i>": {"const": "<u>"}}});
        let mut page = String::new();
        add_type(&mut page, "<h1>", &schema);
        for word in ["<b>", "<i>", "<u>", "<h1>"] {
            assert!(!page.contains(word), "{word}: {page}");
        }
    }
}
