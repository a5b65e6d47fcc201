//! The pages of a device.

use narrowgate_api::device::NewDeviceRequest;
use serde_json::value::RawValue;

use super::*;

const DEVICE: &str = "/console/devices/pk-1/dk-1";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_offers_what_the_role_may() {
    let world = world(None).await;
    world.furnish().await;
    for (name, role, offers) in [
        ("vera", Role::Viewer, [false, false]),
        ("otto", Role::Operator, [true, false]),
        ("ada", Role::Administrator, [true, true]),
    ] {
        let mut browser = visitor(&world, name, role, None).await;
        let page = opened(&mut browser, DEVICE).await;
        for said in ["temp", "21.5", "wrong key", "data-follows=\"product=pk-1&amp;device=dk-1&amp;types="] {
            assert!(page.contains(said), "{said}: {page}");
        }
        let found = ["/disable\"", "/reset\""].map(|path| page.contains(&format!("{DEVICE}{path}")));
        assert_eq!(found, offers, "{name}");
        assert_eq!(page.contains("Show key and lines"), offers[1], "{name}");
        for tab in ["commands", "log", "session"] {
            opened(&mut browser, &format!("{DEVICE}/{tab}")).await;
        }
    }
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    for path in ["", "/log", "/commands", "/session", "/delete"] {
        let none = nora.get(&format!("{DEVICE}{path}")).await;
        assert_eq!(none.status, 404, "{path}");
        is_sound(&none, path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_are_asked_for_by_name_and_written_down() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    assert_eq!(sent(&mut ada, &format!("{DEVICE}/name"), "name=%3Cb%3Epump%22").await.status, 303);
    let page = opened(&mut ada, DEVICE).await;
    assert!(page.contains("&lt;b&gt;pump&quot;") && !page.contains("<b>pump"), "{page}");
    for (act, word) in [("disable", "dk-2"), ("reset", ""), ("delete", "DK-1")] {
        let path = format!("{DEVICE}/{act}");
        assert!(opened(&mut ada, &path).await.contains("To confirm, type dk-1"), "{act}");
        let wrong = sent(&mut ada, &path, &format!("typed={word}")).await;
        assert!(wrong.status == 422 && wrong.body.contains("Nothing was done"), "{}", wrong.body);
    }
    assert_eq!(sent(&mut ada, &format!("{DEVICE}/disable"), "typed=dk-1").await.status, 303);
    assert!(opened(&mut ada, DEVICE).await.contains("switched off"));
    assert_eq!(sent(&mut ada, &format!("{DEVICE}/enable"), "").await.status, 303);
    let reset = sent(&mut ada, &format!("{DEVICE}/reset"), "typed=dk-1").await;
    // The answer to a form leads to a page that can be opened, in another language too.
    assert!(reset.body.contains(&format!("name=\"back\" value=\"{DEVICE}\"")), "{}", reset.body);
    assert!(reset.body.contains("data-answer") && !reset.body.contains("data-follows"), "{}", reset.body);
    assert!(reset.status == 200 && reset.body.contains("Device secret"), "{}", reset.body);
    let shown = sent(&mut ada, &format!("{DEVICE}/key"), "").await;
    assert!(shown.status == 200 && shown.body.contains("pk-1,dk-1,2,3600"), "{}", shown.body);
    assert_eq!(sent(&mut ada, &format!("{DEVICE}/delete"), "typed=dk-1").await.status, 303);
    assert_eq!(ada.get(DEVICE).await.status, 404);
    let audit = ada.get("/api/v1/audit?actor=ada").await.body;
    for action in
        ["devices.update", "devices.disable", "devices.enable", "devices.reset", "devices.secret.read"]
    {
        assert!(audit.contains(&format!("\"action\":\"{action}\"")), "{action}: {audit}");
    }
    assert!(audit.contains("\"address\":\"192.0.2.1\""), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_180_a_page_shows_the_secret_and_key_of_the_api() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let shown = ada.get("/api/v1/products/pk-1/devices/dk-1/secret").await.body;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("it is JSON");
    let page = sent(&mut ada, &format!("{DEVICE}/key"), "").await.body;
    let escaped = |text: &serde_json::Value| {
        let text = text.as_str().expect("it is a text");
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    let lines = shown["clientLines"].as_array().expect("there are some");
    for text in
        [&shown["deviceSecret"], &shown["pskHex"]].into_iter().chain(lines.iter().map(|it| &it["line"]))
    {
        assert_eq!(page.matches(&format!(">{}<", escaped(text))).count(), 1, "{text}: {page}");
        assert_eq!(page.matches(&format!("data-copy=\"{}\"", escaped(text))).count(), 1, "{text}: {page}");
    }
    assert!(!page.contains("shown-"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_is_refused_behind_the_pages_too() {
    let world = world(None).await;
    let mut vera = visitor(&world, "vera", Role::Viewer, None).await;
    for (path, fields) in [
        ("name", "name=x"),
        ("disable", "typed=dk-1"),
        ("enable", ""),
        ("disconnect", ""),
        ("reset", "typed=dk-1"),
        ("delete", "typed=dk-1"),
        ("key", ""),
        ("commands", "kind=get&ids=temp"),
        ("commands/cancel", ""),
    ] {
        let refused = sent(&mut vera, &format!("{DEVICE}/{path}"), fields).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.body);
    }
    assert_eq!(vera.get(&format!("{DEVICE}/key")).await.status, 405, "a key is shown by a form alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_never_came_is_awaited_and_its_refusal_is_explained() {
    let world = world(None).await;
    let new = NewDeviceRequest { device_key: Some("late-1".into()), ..NewDeviceRequest::default() };
    world.operator.create_device("pk-1", new).await.expect("it is new");
    let mut vera = visitor(&world, "vera", Role::Viewer, None).await;
    let path = "/console/devices/pk-1/late-1";
    let page = opened(&mut vera, path).await;
    for said in ["Waiting for late-1", "id=\"waiting\"", "http-equiv=\"refresh\"", "aria-live"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    world.note_refusal("late-1").await;
    let page = opened(&mut vera, path).await;
    for said in ["was refused: wrong key", "the product's secret was used", "copy the key from the page"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("Waiting for late-1"), "{page}");
    let log = opened(&mut vera, &format!("{path}/log?kind=refused")).await;
    assert!(log.contains("wrong key") && !log.contains("registered</"), "{log}");
    for _ in 0..100 {
        world.note_refusal("late-1").await;
    }
    let log = opened(&mut vera, &format!("{path}/log?kind=refused")).await;
    let rows = log.matches("data-row").count();
    assert!((25..75).contains(&rows) && log.contains("rel=\"next\""), "{rows}: a page of a frequent kind");
    world.furnish().await;
    let page = opened(&mut vera, DEVICE).await;
    assert!(page.contains("It has logged in") && page.contains("21.5"), "{page}");
    assert!(!page.contains("http-equiv=\"refresh\"") && !page.contains("data-refresh"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_sent_shown_with_its_state_and_taken_back() {
    let world = world(None).await;
    world.furnish().await;
    let mut otto = visitor(&world, "otto", Role::Operator, None).await;
    let path = format!("{DEVICE}/commands");
    let page = opened(&mut otto, &path).await;
    assert!(page.contains("Set a point") && page.contains("waits for the device"), "{page}");
    let fields = "kind=set&point=temp&value=23.50&ttl=3600";
    assert_eq!(sent(&mut otto, &path, fields).await.status, 303);
    let page = opened(&mut otto, &path).await;
    assert!(page.contains("{&quot;temp&quot;:23.50}"), "to the last digit: {page}");
    let long = format!("0.{}", "3".repeat(600));
    let fields = format!("kind=set&point=temp&value={long}&ttl=3600");
    assert_eq!(sent(&mut otto, &path, &fields).await.status, 303);
    let page = opened(&mut otto, &path).await;
    assert!(page.contains(&long[..100]) && !page.contains(&long[..300]), "fifty are on a page");
    let whole = page.split_once("<a href=\"/api/v1/").and_then(|(_, rest)| rest.split_once('"'));
    let whole = otto.get(&format!("/api/v1/{}", whole.expect("it leads to all of it").0)).await;
    assert!(whole.status == 200 && whole.body.contains(&long), "{}", whole.body);
    // What was refused is there to be corrected, in the form that is open.
    let wrong = sent(&mut otto, &path, "kind=service&service=x&input=%7B&ttl=3600").await;
    assert!(wrong.status == 422 && wrong.body.contains("not a JSON object"), "{}", wrong.body);
    let form = wrong.body.split("<details").find(|form| form.contains(" open>")).expect("one is open");
    for kept in ["name=\"service\" value=\"x\"", "name=\"input\" value=\"{\"", "value=\"3600\" selected"] {
        assert!(form.contains(kept), "{kept}: {form}");
    }
    let wrong = sent(&mut otto, &path, "kind=set&point=none&value=%3Cb%3E").await;
    assert!(wrong.status == 422 && !wrong.body.contains("<b></"), "{}", wrong.body);
    assert!(wrong.body.contains("name=\"value\" value=\"&lt;b&gt;\""), "{}", wrong.body);
    let cancel = page
        .match_indices("/commands/")
        .filter_map(|(at, _)| page[at..].split('"').next())
        .find(|path| path.ends_with("/cancel") && *path != "/commands/cancel");
    let cancel = cancel.expect("one waits");
    assert_eq!(sent(&mut otto, &format!("{DEVICE}{cancel}"), "").await.status, 303);
    assert!(opened(&mut otto, &path).await.contains("taken back"));
    let mut vera = visitor(&world, "vera", Role::Viewer, None).await;
    let page = opened(&mut vera, &path).await;
    assert!(!page.contains("Send</button>") && !page.contains("Take back</button>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_stand_first_with_the_units_of_the_model() {
    let world = world(None).await;
    world.furnish().await;
    let mut vera = visitor(&world, "vera", Role::Viewer, None).await;
    let page = opened(&mut vera, DEVICE).await;
    assert!(page.find("Latest values") < page.find("Identity"), "what it reported is the answer: {page}");
    assert!(!page.contains("°C"), "its model has no unit: {page}");
    let model = r#"{"modelId":"m","measurepoints":[{"identifier":"temp","dataType":"DOUBLE","unit":"°C"}]}"#;
    let model = RawValue::from_string(model.to_owned()).expect("it is JSON");
    world.operator.put_model("pk-1", &model, None).await.expect("it is a model");
    let page = opened(&mut vera, DEVICE).await;
    assert!(page.contains("21.5 <span class=\"soft\">°C</span>"), "{page}");
    let page = opened(&mut vera, &format!("{DEVICE}/data?from=1699990000000&to=1700001000000")).await;
    assert!(page.contains("1 value from 21.5 to 21.5 °C."), "{page}");
    assert!(page.contains("From (UTC)"), "a field for a time says its zone: {page}");
}
