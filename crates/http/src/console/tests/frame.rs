//! Who is let in, and what every page has.

use narrowgate_api::{device::NewDeviceRequest, product::NewProduct};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_logged_in_is_sent_to_the_login_and_back() {
    let world = world(None).await;
    let session = world.session("ann", Role::Viewer, None).await;
    let mut ann = Browser::new(&world);
    let sent = ann.get("/console/keys?x=a%20b").await;
    let to = "/login?next=%2Fconsole%2Fkeys%3Fx%3Da%2520b";
    assert_eq!((sent.status, sent.headers[header::LOCATION].to_str().ok()), (303, Some(to)));
    let page = ann.get(to).await;
    assert!(page.body.contains("name=\"next\" value=\"/console/keys?x=a%20b\""), "{}", page.body);
    let body = "user=ann&password=correct+horse+battery&next=%2Fconsole%2Fkeys%3Fx%3Da%2520b";
    let back = ann.post("/login", body).await;
    assert_eq!(back.headers[header::LOCATION].to_str().ok(), Some("/console/keys?x=a%20b"));
    opened(&mut ann, "/console/keys?x=a%20b").await;
    // Nowhere else, whatever the address says.
    for next in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2Fconsole%0D%0AX:y"] {
        let page = ann.get(&format!("/login?next={next}")).await;
        assert!(!page.body.contains("evil"), "{}", page.body);
        let mut other = Browser::new(&world);
        let to = other.post("/login", &format!("user=ann&password=correct+horse+battery&next={next}")).await;
        assert_eq!(to.headers[header::LOCATION].to_str().ok(), Some("/console"), "{next}");
    }
    // A session that has ended is none, and a token opens the API alone.
    let mut old = Browser::new(&world);
    old.cookies.insert(SESSION.to_owned(), session);
    world.operator.delete_user("ann").await.expect("it is there");
    assert_eq!(old.get("/console").await.status, 303);
    let bearer = format!("Bearer {}", world.token("ci", Role::Administrator, None).await);
    let sent = old.send(Method::GET, "/console", &[("authorization", &bearer)], "").await;
    assert_eq!(sent.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_178_a_form_takes_the_origin_and_the_token_of_its_session() {
    let world = world(None).await;
    let mut ann = visitor(&world, "ann", Role::Administrator, None).await;
    let token = visitor(&world, "bob", Role::Viewer, None).await.get("/console").await.form_token();
    let own = ann.get("/console").await.form_token();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let site = ("origin", "http://gate:8080");
    for (more, body) in [
        (&[form, site][..], String::new()),
        (&[form, site], format!("csrf={token}")),
        (&[form], format!("csrf={own}")),
        (&[form, ("origin", "null")], format!("csrf={own}")),
        (&[form, ("origin", "http://evil.example")], format!("csrf={own}")),
    ] {
        let refused = ann.send(Method::POST, "/console/jobs/none/cancel", more, &body).await;
        assert_eq!(refused.status, 403, "{more:?} {body}");
        is_sound(&refused, "/console");
    }
    let path = "/console/jobs/none/cancel";
    let passed = ann.send(Method::POST, path, &[form, site], &format!("csrf={own}")).await;
    assert_eq!(passed.status, 404, "the form is taken, and there is no such job");
    // A link on another site opens a page.
    let linked = ann.send(Method::GET, "/console", &[("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(linked.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_that_of_the_browser_until_another_one_is_chosen() {
    let world = world(None).await;
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    let chinese = [("accept-language", "zh-CN,zh;q=0.9")];
    let page = ann.send(Method::GET, "/console", &chinese, "").await;
    assert!(page.body.contains("<html lang=\"zh-Hans\"") && page.body.contains("概览"), "{}", page.body);
    assert!(opened(&mut ann, "/console").await.contains("<html lang=\"en\""));
    let back = ann.post("/console/preferences", "language=zh&back=%2Fconsole%2Fkeys").await;
    assert_eq!((back.status, back.headers[header::LOCATION].to_str().ok()), (303, Some("/console/keys")));
    assert!(opened(&mut ann, "/console/keys").await.contains("键盘快捷键"));
    assert!(opened(&mut ann, "/console/keys").await.contains("查看者"));
    ann.post("/console/preferences", "zone=utc&back=https%3A%2F%2Fevil.example").await;
    assert!(opened(&mut ann, "/console").await.contains("data-utc"));
    ann.post("/console/preferences", "zone=local&language=en").await;
    assert!(!opened(&mut ann, "/console").await.contains("data-utc"));
    let foreign = [("origin", "http://evil.example"), ("content-type", "application/x-www-form-urlencoded")];
    let refused = ann.send(Method::POST, "/console/preferences", &foreign, "language=zh").await;
    assert_eq!(refused.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_loads_its_own_style_and_module_which_browsers_keep() {
    let world = world(None).await;
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console").await;
    let mut stranger = Browser::new(&world);
    for (before, kind) in [
        ("rel=\"stylesheet\" href=\"", "text/css; charset=utf-8"),
        ("<script type=\"module\" src=\"", "text/javascript; charset=utf-8"),
        ("type=\"image/svg+xml\" href=\"", "image/svg+xml"),
    ] {
        let path = page.split_once(before).and_then(|(_, rest)| rest.split_once('"')).expect("it is there").0;
        let asset = stranger.get(path).await;
        assert_eq!((asset.status, asset.headers[header::CONTENT_TYPE].to_str().ok()), (200, Some(kind)));
        assert_eq!(asset.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert!(path.starts_with("/console/assets/"), "{path}");
    }
    assert_eq!(stranger.get("/console/assets/0/console.js").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_answers_whether_all_is_well() {
    let world = world(None).await;
    world.furnish().await;
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console").await;
    for said in ["Online now", "Reports per minute", "data-live", "/console/devices?state=offline", "viewer"]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(page.contains("1 thing to watch</span> · <a href=\"#refused\">Refused in the last"), "{page}");
    // A user of one unit sees no numbers of others.
    let mut north = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    let page = opened(&mut north, "/console").await;
    assert!(page.contains("No device of your unit was refused lately"), "{page}");
    assert!(
        page.contains("Show the devices of your unit") && !page.contains("Refused in the last hour"),
        "{page}"
    );
    assert!(page.contains("None counted in the last 24 hours; the minute"), "others have sent some: {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_a_page_with_the_name_of_the_request() {
    let world = world(None).await;
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    let browser = [("accept", "text/html")];
    let none = ann.send(Method::GET, "/console/nothing", &browser, "").await;
    assert_eq!(none.status, 404);
    assert!(none.body.contains("role=\"alert\""), "{}", none.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_there_is_not_is_named_and_has_ways_back() {
    let world = world(None).await;
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    let long = format!("/console/{}", "a".repeat(2000));
    for (path, near) in [
        ("/console/nothing", None),
        ("/console/nothing/%3Cb%3E", None),
        ("/console/devices/a/b/c/d", Some("/console/devices\">Go to Devices")),
        // Its page is for administrators.
        ("/console/users/a/b/c", None),
        (&long, None),
    ] {
        let none = ann.get(path).await;
        assert_eq!(none.status, 404, "{path}");
        is_sound(&none, path);
        let said = format!("has the address {}", path.get(..100).unwrap_or(path));
        assert!(none.body.contains(&said), "{path}: {}", none.body);
        assert!(none.body.contains("href=\"/console\">Go to the overview"), "{path}");
        assert_eq!(none.body.matches(">Go to ").count(), 1 + near.iter().count(), "{path}");
        assert!(near.is_none_or(|near| none.body.contains(near)), "{path}: {}", none.body);
    }
    // What takes forms alone is not opened: the answer to a form had this address.
    let form = ann.get("/console/devices/pk-1/dk-1/key").await;
    assert_eq!((form.status, form.headers[header::ALLOW].to_str().ok()), (405, Some("POST")));
    is_sound(&form, "a form");
    assert!(form.body.contains("/console/devices/pk-1/dk-1/key takes a form of a page"), "{}", form.body);
    let page = sent(&mut ann, "/console/keys", "").await;
    assert!(page.status == 405 && page.body.contains("no form is sent to it"), "{}", page.body);
    let slash = ann.get("/console/").await;
    assert_eq!((slash.status, slash.headers[header::LOCATION].to_str().ok()), (303, Some("/console")));
    // Strangers are told of no page, whether there is one or not.
    let mut stranger = Browser::new(&world);
    for path in ["/console/nothing", "/console/devices"] {
        assert_eq!(stranger.get(path).await.status, 303, "{path}");
    }
    assert_eq!(stranger.post("/console/nothing", "").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_asks_by_itself_keeps_no_session_alive() {
    const HOURS_MS: i64 = 3_600_000;
    let world = world(None).await;
    let mut ann = visitor(&world, "ann", Role::Viewer, None).await;
    let by_itself = [("x-narrowgate-renewed", "1")];
    for _ in 0..2 {
        world.clock.advance_ms(7 * HOURS_MS);
        opened(&mut ann, "/console").await;
    }
    world.clock.advance_ms(7 * HOURS_MS);
    for path in ["/console", "/console/devices"] {
        assert_eq!(ann.send(Method::GET, path, &by_itself, "").await.status, 200, "{path}");
    }
    let following = [("accept", "text/event-stream")];
    // There are none in this world, but it is let in.
    assert_eq!(ann.send(Method::GET, "/api/v1/events", &following, "").await.status, 404);
    world.clock.advance_ms(6 * HOURS_MS);
    assert_eq!(ann.get("/console").await.status, 303, "nobody has asked for thirteen hours");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_language_leads_to_a_page_that_can_be_opened() {
    let world = world(None).await;
    let mut vera = visitor(&world, "vera", Role::Viewer, None).await;
    let back = |page: &str| {
        let (_, rest) = page.split_once("name=\"back\" value=\"").expect("there is a choice");
        rest.split_once('"').expect("it ends").0.replace("&amp;", "&")
    };
    for path in ["/console/devices?q=a&state=online", "/console/devices/none/none"] {
        assert_eq!(back(&vera.get(path).await.body), path);
    }
    for (path, fields, leads_to) in [
        ("/console/devices/pk-1/dk-1/name", "name=x", "/console"),
        ("/console/devices/act", "q=a&action=x&which=all", "/console/devices?q=a"),
        ("/console/devices/act/go", "action=x", "/console/devices"),
    ] {
        let answer = sent(&mut vera, path, fields).await;
        assert_eq!(back(&answer.body), leads_to, "{path} {}", answer.body);
        assert_eq!(vera.get(leads_to).await.status, 200);
    }
    let login = Browser::new(&world).get("/login?next=%2Fconsole%2Fjobs").await;
    let to = back(&login.body);
    assert_eq!(to, "/login?next=%2Fconsole%2Fjobs");
    let mut stranger = Browser::new(&world);
    let chosen = format!("language=zh&back={}", to.replace('/', "%2F").replace('%', "%25"));
    let chosen = chosen.replace("%252Flogin", "%2Flogin");
    let chosen = stranger.post("/console/preferences", &chosen).await;
    assert_eq!(chosen.headers[header::LOCATION].to_str().ok(), Some(&*to));
}

/// The pages of this server to which a page leads.
fn links(page: &str) -> Vec<String> {
    let links = page.split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let links = links.map(|link| link.replace("&amp;", "&"));
    links.filter(|link| link.starts_with("/console") && !link.contains("/assets/")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_leads_nowhere() {
    const PAGES_MAX: usize = 150;
    let world = world(None).await;
    let (key, product_key) = (Some("late-1".into()), Some("a&b=#?/+%".into()));
    let product = NewProduct { name: "n".into(), product_key, ..NewProduct::default() };
    world.operator.create_product(product).await.expect("it is new");
    world.furnish().await;
    let new = NewDeviceRequest { device_key: key, ..NewDeviceRequest::default() };
    world.operator.create_device("a&b=#?/+%", new).await.expect("it is new");
    for (name, ou) in [("ada", None), ("nora", Some("north"))] {
        let mut browser = visitor(&world, name, Role::Administrator, ou).await;
        let mut found = vec!["/console".to_owned(), "/console/devices".to_owned()];
        let mut at = 0;
        while let Some(path) = found.get(at).filter(|_| at < PAGES_MAX).cloned() {
            at += 1;
            let answer = browser.get(&path).await;
            assert!([200, 303].contains(&answer.status), "{name}: {path} is {}", answer.status);
            for link in links(&answer.body) {
                if !found.contains(&link) {
                    found.push(link);
                }
            }
        }
        assert!(at > 5, "{found:?}");
    }
}
