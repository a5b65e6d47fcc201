//! The list of devices, acts on many, and a new one.

use narrowgate_api::{device::NewDeviceRequest, product::NewProduct};

use super::*;

/// What no page may show as it is.
const HOSTILE: &str = "<script>alert(1)</script>\"'&";

/// Where a form leads to.
fn leads_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.body);
    answer.headers[header::LOCATION].to_str().expect("it is ASCII").to_owned()
}

/// Product `pk-2` of the unit `north`, and more devices of `pk-1`.
async fn more_devices(world: &World, count: u32) {
    let new = NewProduct {
        name: HOSTILE.into(),
        product_key: Some("pk-2".into()),
        ou: Some("north".into()),
        ..NewProduct::default()
    };
    world.operator.create_product(new).await.expect("it is new");
    let named = |key: String, name: &str| NewDeviceRequest {
        device_key: Some(key),
        name: Some(name.to_owned()),
        ..NewDeviceRequest::default()
    };
    world.operator.create_device("pk-2", named("north-1".into(), HOSTILE)).await.expect("it is new");
    for number in 0..count {
        let new = named(format!("many-{number:03}"), "");
        world.operator.create_device("pk-1", new).await.expect("it is new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_filters_in_its_address_and_pages_by_cursor() {
    let world = world(None).await;
    more_devices(&world, 60).await;
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console/devices").await;
    assert!(page.contains("href=\"/console/devices/pk-1/dk-1\""), "{page}");
    assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("type=\"checkbox\"") && !page.contains("/console/devices/new"), "a viewer");
    let next = page.split_once("rel=\"next\" href=\"").and_then(|(_, rest)| rest.split_once('"'));
    let next = next.expect("there is more").0.replace("&amp;", "&");
    let second = opened(&mut ann, &next).await;
    assert!(second.contains("First page") && !second.contains("rel=\"next\""), "{second}");
    let all = page.matches("data-row").count() + second.matches("data-row").count();
    assert_eq!(all, 62, "each device once");
    let found = opened(&mut ann, "/console/devices?q=many-00&state=inactive").await;
    assert_eq!(found.matches("data-row").count(), 10);
    let without = "href=\"/console/devices?state=inactive\"";
    assert!(found.contains(without) && found.contains("State: never logged in"), "{found}");
    let none = opened(&mut ann, "/console/devices?state=online").await;
    assert!(none.contains("No device is like that"), "{none}");
    let found = ann.get("/console/devices?q=many-007&go=1").await;
    assert_eq!(leads_to(&found), "/console/devices/pk-1/many-007");
    let hostile = "/console/devices?q=%3Cscript%3Ealert(1)&tag=%22x%22:1&product=%27%22%3E";
    let hostile = ann.get(hostile).await;
    is_sound(&hostile, "a hostile filter");
    assert!(hostile.status == 404 && hostile.body.contains("class=\"chip\""), "{}", hostile.body);
    // Of another unit nothing is there.
    let mut nora = visitor(&world, "nora", Role::Operator, Some("north")).await;
    let page = opened(&mut nora, "/console/devices").await;
    assert!(page.contains("/console/devices/pk-2/north-1") && !page.contains("dk-1"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_many_is_counted_asked_and_shown_with_its_progress() {
    let world = world(None).await;
    more_devices(&world, 7).await;
    let mut bob = visitor(&world, "bob", Role::Operator, None).await;
    let page = opened(&mut bob, "/console/devices?q=many").await;
    assert!(page.contains("With all of this filter") && !page.contains("value=\"delete\""), "{page}");
    let begun = sent(&mut bob, "/console/devices/act", "q=many&action=disable&which=all").await;
    let ask = leads_to(&begun);
    let page = opened(&mut bob, &ask).await;
    assert!(page.contains("7 devices will be switched off") && page.contains("type 7"), "{page}");
    let job = ask.split_once("job=").expect("it was counted").1;
    let fields = format!("q=many&action=disable&job={job}&typed=");
    let wrong = sent(&mut bob, "/console/devices/act/go", &format!("{fields}8")).await;
    assert!(wrong.status == 422 && wrong.body.contains("Nothing was done"), "{}", wrong.body);
    let done = leads_to(&sent(&mut bob, "/console/devices/act/go", &format!("{fields}7")).await);
    let page = opened(&mut bob, &done).await;
    assert!(page.contains("<dd>7</dd>") && page.contains("done"), "{page}");
    assert_eq!(opened(&mut bob, "/console/devices?state=disabled").await.matches("data-row").count(), 7);
    assert!(opened(&mut bob, "/console/jobs").await.contains(&done));
    // Those that were chosen.
    let chosen = "device=pk-1%2Fmany-001&device=pk-1%2Fmany-002&action=enable&which=chosen";
    let ask = leads_to(&sent(&mut bob, "/console/devices/act", chosen).await);
    let page = opened(&mut bob, &ask).await;
    assert!(page.contains("2 devices will be switched on") && page.contains("pk-1/many-002"), "{page}");
    let fields = "action=enable&chosen=pk-1%2Fmany-001+pk-1%2Fmany-002&typed=2";
    let done = leads_to(&sent(&mut bob, "/console/devices/act/go", fields).await);
    assert!(opened(&mut bob, &done).await.contains("<dd>2</dd>"));
    let none = sent(&mut bob, "/console/devices/act", "action=enable&which=chosen").await;
    assert!(none.status == 422 && none.body.contains("No device was chosen"), "{}", none.body);
    // By the API, whatever a page offers.
    let fields = "action=delete&q=many&which=all";
    assert_eq!(sent(&mut bob, "/console/devices/act", fields).await.status, 403);
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    assert_eq!(sent(&mut ann, "/console/devices/act", "q=many&action=enable&which=all").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_registered_once_and_its_secret_is_shown_once() {
    let world = world(None).await;
    let mut ann = visitor(&world, "ann", Role::Administrator, None).await;
    let form = opened(&mut ann, "/console/devices/new?product=pk-1").await;
    let once = form.split_once("name=\"once\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
    let once = once.expect("it is done once").0;
    assert_eq!(once.len(), 32);
    let fields = format!("product=pk-1&key=new-1&name=%3Cb%3E&once={once}");
    let made = sent(&mut ann, "/console/devices/new", &fields).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let secret = |body: &str| {
        let (_, rest) = body.split_once("Device secret</dt>").expect("it is shown");
        rest.split_once("<code>")
            .and_then(|(_, rest)| rest.split_once("</code>"))
            .expect("it is there")
            .0
            .to_owned()
    };
    assert!(made.body.contains("/console/devices/pk-1/new-1") && made.body.contains("pk-1,new-1,2,3600"));
    let again = sent(&mut ann, "/console/devices/new", &fields).await;
    assert_eq!(secret(&again.body), secret(&made.body), "a page that is loaded anew makes no second one");
    let exists = sent(&mut ann, "/console/devices/new", "product=pk-1&key=new-1").await;
    assert!(exists.status == 409 && exists.body.contains("role=\"alert\""), "{}", exists.body);
    assert!(exists.body.contains("value=\"new-1\""), "what was typed is there");
    assert!(!opened(&mut ann, "/console/devices/pk-1/new-1").await.contains(&secret(&made.body)));
    let mut bob = visitor(&world, "bob", Role::Operator, None).await;
    for refused in [
        bob.get("/console/devices/new").await,
        bob.get("/console/devices/act?action=delete&chosen=pk-1%2Fdk-1").await,
        sent(&mut bob, "/console/devices/new", "product=pk-1").await,
    ] {
        assert!(refused.status == 403 && !refused.body.contains("class=\"confirm\""), "{}", refused.body);
    }
}
