//! The list of devices, acts on many, and a new one.

use narrowgate_api::{
    access::NewUnit,
    device::NewDeviceRequest,
    job::{BulkAction, JobState},
    product::NewProduct,
};
use narrowgate_platform::service::{path_part, token_hash};

use super::*;

/// What no page may show as it is.
const HOSTILE: &str = "<script>alert(1)</script>\"'&";

/// Where a form leads to.
fn leads_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.body);
    answer.headers[header::LOCATION].to_str().expect("it is ASCII").to_owned()
}

const GO: &str = "/console/devices/act/go";

/// What the form of a page that asks sends of what is to be done.
fn asked_of(page: &str) -> String {
    let form = page.split_once("<form class=\"confirm\"").expect("it asks").1;
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1).filter_map(|field| {
        let (name, rest) = field.split_once("\" value=\"")?;
        let value = rest.split_once('"')?.0.replace("&amp;", "&");
        (!["csrf", "once"].contains(&name)).then(|| format!("{name}={}", path_part(&value)))
    });
    fields.collect::<Vec<_>>().join("&")
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
    // By the keyboard nobody has to go through fifty rows to what is behind them.
    let [skip, rows, behind, pages] = ["href=\"#behind\"", "data-row", "id=\"behind\"", "class=\"pages\""]
        .map(|part| page.find(part).unwrap_or_else(|| panic!("{part}: {page}")));
    assert!(skip < rows && rows < behind && behind < pages, "{page}");
    let next = page.split_once("rel=\"next\" href=\"").and_then(|(_, rest)| rest.split_once('"'));
    let next = next.expect("there is more").0.replace("&amp;", "&");
    let second = opened(&mut ann, &next).await;
    assert!(second.contains("First page") && !second.contains("rel=\"next\""), "{second}");
    let all = page.matches("data-row").count() + second.matches("data-row").count();
    assert_eq!(all, 62, "each device once");
    let found = opened(&mut ann, "/console/devices?q=many-00&state=inactive").await;
    assert_eq!(found.matches("data-row").count(), 10);
    assert!(!found.contains("#behind"), "a short list is no obstacle: {found}");
    let without = "href=\"/console/devices?state=inactive\"";
    assert!(found.contains(without) && found.contains("State: never logged in"), "{found}");
    let none = opened(&mut ann, "/console/devices?state=online").await;
    assert!(none.contains("No device matches"), "{none}");
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
async fn a_list_by_the_time_goes_on_as_of_the_time_at_which_it_began() {
    let world = world(None).await;
    more_devices(&world, 60).await;
    for number in 0..60 {
        world.hear_from(&format!("many-{number:03}")).await;
    }
    world.clock.advance_ms(7_200_000);
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    let first = opened(&mut ann, "/console/devices?silent=1").await;
    let next = first.split_once("rel=\"next\" href=\"").and_then(|(_, rest)| rest.split_once('"'));
    let next = next.expect("there is more").0.replace("&amp;", "&");
    world.clock.advance_ms(1_500);
    let second = opened(&mut ann, &next).await;
    assert_eq!([&first, &second].map(|page| page.matches("data-row").count()), [50, 10]);
    assert!(second.contains("href=\"/console/devices?silent=1\""), "the first page is of now: {second}");
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
    let fields = format!("{}&typed=", asked_of(&page));
    let wrong = sent(&mut bob, GO, &format!("{fields}8")).await;
    assert!(wrong.status == 422 && wrong.body.contains("Nothing was done"), "{}", wrong.body);
    assert_eq!(asked_of(&wrong.body), asked_of(&page), "it is asked again");
    let done = leads_to(&sent(&mut bob, GO, &format!("{fields}7")).await);
    let page = opened(&mut bob, &done).await;
    assert!(page.contains("<dd>7</dd>") && page.contains("done"), "{page}");
    assert_eq!(opened(&mut bob, "/console/devices?state=disabled").await.matches("data-row").count(), 7);
    assert!(opened(&mut bob, "/console/jobs").await.contains(&done));
    // Those that were chosen.
    let chosen = "device=pk-1%2Fmany-001&device=pk-1%2Fmany-002&action=enable&which=chosen";
    let ask = leads_to(&sent(&mut bob, "/console/devices/act", chosen).await);
    let page = opened(&mut bob, &ask).await;
    assert!(page.contains("2 devices will be switched on") && page.contains("pk-1/many-002"), "{page}");
    let done = leads_to(&sent(&mut bob, GO, &format!("{}&typed=2", asked_of(&page))).await);
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
async fn what_is_asked_is_what_is_done() {
    let world = world(None).await;
    more_devices(&world, 7).await;
    let mut bob = visitor(&world, "bob", Role::Operator, None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    // A link of somebody else, whose job has counted one device.
    let begun = sent(&mut bob, "/console/devices/act", "q=many-003&action=enable&which=all").await;
    let counted = leads_to(&begun);
    let job = counted.split_once("job=").expect("it was counted").1.split('&').next().unwrap_or_default();
    let asked = format!("action=delete&product=pk-1&job={job}");
    let seal = counted.split_once("seal=").map(|(_, seal)| format!("&seal={seal}")).unwrap_or_default();
    for fields in [asked.clone(), asked + &seal, format!("action=disable&job={job}")] {
        let page = ada.get(&format!("/console/devices/act?{fields}")).await;
        assert!(page.status == 422 && !page.body.contains("class=\"confirm\""), "{fields}: {}", page.body);
        assert_eq!(sent(&mut ada, GO, &format!("{fields}&typed=1")).await.status, 422, "{fields}");
    }
    // The same question, with a field that is another one, and of another session.
    let begun = sent(&mut ada, "/console/devices/act", "q=many-003&action=disable&which=all").await;
    let asked = asked_of(&opened(&mut ada, &leads_to(&begun)).await);
    for (field, other) in [("q=many-003", "q=many"), ("action=disable", "action=delete"), ("&q=many-003", "")]
    {
        assert!(asked.contains(field), "{asked}");
        let changed = format!("{}&typed=1", asked.replace(field, other));
        assert_eq!(sent(&mut ada, GO, &changed).await.status, 422, "{changed}");
    }
    assert_eq!(sent(&mut bob, GO, &format!("{asked}&typed=1")).await.status, 422);
    let unchanged = opened(&mut ada, "/console/devices?q=many&state=inactive").await;
    assert_eq!(unchanged.matches("data-row").count(), 7, "nothing was done");
    assert_eq!(sent(&mut ada, GO, &format!("{asked}&typed=1")).await.status, 303);
    // What is done is known, or nothing is.
    for action in ["", "purge", "Enable"] {
        let fields = format!("q=many&action={action}&which=all");
        assert_eq!(sent(&mut ada, "/console/devices/act", &fields).await.status, 422, "{action}");
        let page = ada.get(&format!("/console/devices/act?q=many&action={action}")).await;
        assert_eq!(page.status, 422, "{action}");
        is_sound(&page, "an unknown act");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_devices_are_changed_than_were_counted() {
    let world = world(None).await;
    more_devices(&world, 7).await;
    let mut bob = visitor(&world, "bob", Role::Operator, None).await;
    let begun = sent(&mut bob, "/console/devices/act", "q=many&action=disable&which=all").await;
    let asked = asked_of(&opened(&mut bob, &leads_to(&begun)).await);
    let new = NewDeviceRequest { device_key: Some("many-more".into()), ..NewDeviceRequest::default() };
    world.operator.create_device("pk-1", new).await.expect("it is new");
    let job = leads_to(&sent(&mut bob, GO, &format!("{asked}&typed=7")).await);
    let page = opened(&mut bob, &job).await;
    assert!(page.contains("failed") && page.contains("more than 7"), "{page}");
    assert_eq!(opened(&mut bob, "/console/devices?state=disabled").await.matches("data-row").count(), 0);
    // A form that is sent twice is done once, also where its filter goes by the time.
    world.furnish().await;
    world.clock.advance_ms(7_200_000);
    let begun = sent(&mut bob, "/console/devices/act", "silent=1&action=disable&which=all").await;
    let page = opened(&mut bob, &leads_to(&begun)).await;
    let once = page.split_once("name=\"once\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
    let count = page.split_once("type ").and_then(|(_, rest)| rest.split_once('<')).expect("it asks").0;
    assert!(page.contains("Not heard for: 1 hour") && count != "0", "{page}");
    let once = once.expect("it is done once").0;
    let fields = format!("{}&typed={count}&once={once}", asked_of(&page));
    let first = leads_to(&sent(&mut bob, GO, &fields).await);
    world.clock.advance_ms(1_000);
    assert_eq!(leads_to(&sent(&mut bob, GO, &fields).await), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_choice_is_asked_for_without_a_long_address() {
    let world = world(None).await;
    let mut bob = visitor(&world, "bob", Role::Operator, None).await;
    let long = path_part(&":".repeat(126));
    let chosen = (0..50).map(|number| format!("device={}", path_part(&format!("pk-1/{number:02}{long}"))));
    let fields = format!("{}&action=enable&which=chosen", chosen.collect::<Vec<_>>().join("&"));
    let asked = sent(&mut bob, "/console/devices/act", &fields).await;
    assert_eq!(asked.status, 200, "it is too long for an address");
    assert!(asked.body.contains("50 devices will be switched on"), "{}", asked.body);
    assert_eq!(sent(&mut bob, GO, &format!("{}&typed=50", asked_of(&asked.body))).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_not_understood_is_no_filter_of_all() {
    let world = world(None).await;
    let mut bob = visitor(&world, "bob", Role::Operator, None).await;
    for query in ["state=ofline", "silent=x", "silent=0", "silent=1000000", "sort=best"] {
        let page = bob.get(&format!("/console/devices?{query}")).await;
        is_sound(&page, query);
        assert!(page.status == 422 && !page.body.contains("data-row"), "{query}: {}", page.body);
        assert!(page.body.contains("is not known") && page.body.contains("class=\"filters\""), "{query}");
    }
    for fields in ["state=ofline", "silent=x"] {
        let fields = format!("{fields}&action=disable&which=all");
        assert_eq!(sent(&mut bob, "/console/devices/act", &fields).await.status, 422, "{fields}");
    }
    assert!(opened(&mut bob, "/console/devices?silent=48").await.contains("Not heard for: 2 days"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_end_before_their_page_is_too_long() {
    let world = world(None).await;
    for number in 0..210 {
        let new = NewProduct {
            name: format!("{number:0>120}"),
            product_key: Some(format!("many-{number}")),
            ..NewProduct::default()
        };
        world.operator.create_product(new).await.expect("it is new");
    }
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let form = opened(&mut ada, "/console/devices/new").await;
    let offered = form.matches("<option value=\"many-").count();
    assert!((100..=200).contains(&offered) && form.contains("list=\"products\""), "{offered}");
    // Of each unit sixteen jobs that have ended are kept.
    for unit in ["u1", "u2", "u3", "u4", "u5", "u6", "u7"] {
        let new = NewUnit { name: unit.into(), ..NewUnit::default() };
        world.operator.create_unit(new).await.expect("it is new");
        let token = token_hash(&world.token(unit, Role::Operator, Some(unit)).await).expect("it is one");
        let caller = world.operator.holder(token).await.expect("it reads").expect("it is valid");
        let operator = world.operator.of(caller);
        let act = operator.bulk_act(BulkAction::Disable, None).await.expect("it is acceptable");
        (0..16).for_each(|_| operator.begin_job(&act, true).0.end(JobState::Done, None));
    }
    let first = opened(&mut ada, "/console/jobs").await;
    let second = opened(&mut ada, "/console/jobs?from=100").await;
    let rows = [&first, &second].map(|page| page.matches("data-row").count());
    assert_eq!(rows, [100, 12]);
    assert!(first.contains("rel=\"next\" href=\"/console/jobs?from=100\""), "{first}");
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
    for key in [".", ".."] {
        let refused = sent(&mut ann, "/console/devices/new", &format!("product=pk-1&key={key}")).await;
        assert!(refused.status == 422 && refused.body.contains("no part of a path"), "{}", refused.body);
    }
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
