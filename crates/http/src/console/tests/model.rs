//! The thing model of a product.

use narrowgate_api::model::IfMatch;
use serde_json::value::RawValue;

use super::{
    products::{encoded, field},
    *,
};
use crate::document::world::MODEL;

const PAGE: &str = "/console/products/pk-1/model";

const TYPE_NONE: &str = concat!(
    "{\n \"modelId\": \"m\",\n \"measurepoints\": [\n",
    "  {\"identifier\": \"a\",\n   \"dataType\": \"NONE\"}]}"
);

/// The text of the editor.
fn text_of(page: &str) -> String {
    let (_, rest) = page.split_once("<textarea").expect("there is one");
    let rest = rest.split_once('>').expect("it begins").1;
    let text = rest.split_once("</textarea>").expect("it ends").0;
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

async fn put(world: &World, model: &str) {
    let model = RawValue::from_string(model.to_owned()).expect("it is JSON");
    world.operator.put_model("pk-1", &model, Some(IfMatch::Any)).await.expect("it is a model");
}

async fn edited(browser: &mut Browser<'_>, act: &str, tag: &str, model: &str, more: &str) -> Answer {
    let fields = format!("do={act}&tag={}&model={}{more}", encoded(tag), encoded(model));
    sent(browser, PAGE, &fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_made_by_forms_alone() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let page = opened(&mut ada, PAGE).await;
    assert!(page.contains("No thing model") && page.contains("Add an element"), "{page}");
    let (tag, text) = (field(&page, "tag"), text_of(&page));
    assert_eq!(tag, "");
    let more = "&kind=measurepoints&identifier=temp&name=Temperature&type=DOUBLE&unit=%c2%b0C";
    let page = edited(&mut ada, "add", &tag, &text, more).await.body;
    assert!(page.contains("take:measurepoints/0") && page.contains("added"), "{page}");
    let text = text_of(&page);
    let element = r#"{"dataType": "DOUBLE", "identifier": "temp", "name": "Temperature", "unit": "°C"}"#;
    assert!(text.contains(element), "{text}");
    let page = edited(&mut ada, "add", &tag, &text, "&kind=events&identifier=tilted&type=INT").await.body;
    let text = text_of(&page);
    assert!(
        text.contains("{\"identifier\": \"tilted\"}") && page.contains("&quot;temp&quot;: 21.5"),
        "{page}"
    );
    for wrong in ["&kind=events&identifier=a+b", "&kind=none&identifier=a", "&kind=events&identifier="] {
        let page = edited(&mut ada, "add", &tag, &text, wrong).await.body;
        assert!(page.contains("An element needs an identifier") && text_of(&page) == text, "{page}");
    }
    let page = edited(&mut ada, "take%3Aevents%2F0", &tag, &text, "").await.body;
    assert!(!text_of(&page).contains("tilted") && page.contains("Save this model"), "{page}");
    let saved = edited(&mut ada, "save", &tag, &text, "").await;
    assert_eq!((saved.status, saved.headers[header::LOCATION].to_str().ok()), (303, Some(PAGE)));
    let page = opened(&mut ada, PAGE).await;
    assert!(
        page.contains("Version 1") && page.contains("tilted") && !page.contains("No thing model"),
        "{page}"
    );
    assert!(page.contains("/topic/sys/pk-1/{deviceKey}/thing/measurepoint/post"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_shown_at_its_place() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    for (model, place, said) in [
        ("{\r\n \"modelId\": \"m\",\r\n \"x\"}", "Line 3, column 5", "expected `:`"),
        ("", "Line 1, column 1", "EOF"),
        ("{\"name\": \"电表\", x}", "Line 1, column 16", "key must be a string"),
        (TYPE_NONE, "Line 5, column 4", "there is no such type"),
        ("{\"modelId\":\"m\",\"measurepoints\":[{\"identifier\":\"a\"}]}", "Line 1, column 33", "is missing"),
        ("{\"modelId\":\"m\",\n\"<script>\":1}", "Line 2, column 1", "there is no such key"),
        ("{\"modelId\":\"m\",\"modelId\":\"n\"}", "Line 1, column 2", "twice"),
    ] {
        for act in ["look", "save"] {
            let answer = edited(&mut ada, act, "", model, "").await;
            assert_eq!(answer.status, 422, "{model}");
            let page = answer.body;
            assert!(page.contains(place) && page.contains(said), "{model}: {page}");
            assert!(page.contains("class=\"excerpt\"") && !page.contains("<script>\""), "{page}");
            assert!(!page.contains("Save this model"), "what is wrong is not offered to be saved");
            assert_eq!(text_of(&page), model.replace("\r\n", "\n"), "what was typed is there");
        }
    }
    // Long and hostile: it comes back as it was sent.
    let long = format!("{{\"modelId\":\"m\",\"description\":\"{}\"}}", "<&\u{4f60}\\\"".repeat(15_000));
    let token = ada.get("/console/keys").await.form_token();
    let fields = format!("csrf={token}&do=look&tag=&model={}", encoded(&long));
    let answer = ada.post(PAGE, &fields).await;
    assert!(answer.status == 422 && answer.body.contains("0 to 1000 characters"), "{}", answer.status);
    assert_eq!(text_of(&answer.body), long);
    let deep = format!("{{\"modelId\":\"m\",\"x\":{}{}}}", "[".repeat(9_000), "]".repeat(9_000));
    let answer = edited(&mut ada, "look", "", &deep, "").await;
    assert_eq!(answer.status, 422, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_shown_and_saved_over_what_was_seen() {
    let world = world(None).await;
    world.furnish().await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let page = opened(&mut ada, PAGE).await;
    let (tag, text) = (field(&page, "tag"), text_of(&page));
    assert_eq!(tag, "\"1\"");
    let same = edited(&mut ada, "look", &tag, &text, "").await.body;
    assert!(same.contains("Nothing changes") && !same.contains("Save this model"), "{same}");
    let draft = MODEL.replace("temp", "heat").replace("FLOAT", "INT");
    let page = edited(&mut ada, "look", &tag, &draft, "").await.body;
    for said in ["added", "removed", "changed", "heat", "Save this model"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("<code>room</code> <span"), "what stays is no change: {page}");
    // Somebody else saves meanwhile.
    put(&world, &MODEL.replace("room", "place")).await;
    let late = edited(&mut ada, "save", &tag, &draft, "").await;
    assert!(late.status == 412 && late.body.contains("Somebody else has changed the model"), "{}", late.body);
    assert!(late.body.contains("<code>place</code>") && text_of(&late.body) == draft, "{}", late.body);
    let tag = field(&late.body, "tag");
    assert_eq!(edited(&mut ada, "save", &tag, &draft, "").await.status, 303);
    // Back to the first one.
    let page = opened(&mut ada, PAGE).await;
    let tag = field(&page, "tag");
    let page = opened(&mut ada, &format!("{PAGE}?version=1")).await;
    assert!(page.contains("This is version 1") && page.contains("Save this model"), "{page}");
    assert!(page.contains("&quot;temp&quot;: 21.5"), "a report that fits this version: {page}");
    assert_eq!(edited(&mut ada, "save", &tag, &text_of(&page), "").await.status, 303);
    assert!(opened(&mut ada, PAGE).await.contains("Version 4"));
    // What devices have sent.
    let page = edited(&mut ada, "infer", "\"4\"", "", "").await.body;
    assert!(page.contains("Made of what 1 device has sent") && text_of(&page).contains("tilted"), "{page}");
    // A product that has got a model meanwhile.
    let none = edited(&mut ada, "save", "", &draft, "").await;
    assert!(none.status == 428 && field(&none.body, "tag") == "\"4\"", "{}", none.body);
    for version in ["9", "x", "..%2f"] {
        assert_eq!(ada.get(&format!("{PAGE}?version={version}")).await.status, 404, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_read_by_all_and_written_by_administrators() {
    let world = world(None).await;
    for (name, role) in [("vera", Role::Viewer), ("otto", Role::Operator)] {
        let mut browser = visitor(&world, name, role, None).await;
        let page = opened(&mut browser, PAGE).await;
        assert!(page.contains("Administrators write it") && !page.contains("<textarea"), "{page}");
    }
    world.furnish().await;
    for (name, role) in [("vic", Role::Viewer), ("olga", Role::Operator)] {
        let mut browser = visitor(&world, name, role, None).await;
        let page = opened(&mut browser, PAGE).await;
        assert!(page.contains("temp") && page.contains("A report that fits"), "{page}");
        assert!(!page.contains("<textarea") && !page.contains("value=\"take:"), "{page}");
        for act in ["look", "save", "infer"] {
            assert_eq!(edited(&mut browser, act, "", MODEL, "").await.status, 403, "{name} {act}");
        }
    }
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    assert_eq!(nora.get(PAGE).await.status, 404);
    for act in ["look", "save", "infer"] {
        assert_eq!(edited(&mut nora, act, "\"1\"", MODEL, "").await.status, 404, "{act}");
    }
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let chinese = [("accept-language", "zh-CN")];
    let page = ada.send(Method::GET, PAGE, &chinese, "").await;
    assert!(page.body.contains("查看变更") && !page.body.contains("See what changes"), "{}", page.body);
}
