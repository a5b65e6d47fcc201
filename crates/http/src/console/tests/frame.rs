//! Who is let in, and what every page has.

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
    // A user of one unit sees no numbers of others.
    let mut north = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    let page = opened(&mut north, "/console").await;
    assert!(page.contains("No device of your unit was refused lately"), "{page}");
    assert!(
        page.contains("Show the devices of your unit") && !page.contains("Refused in the last hour"),
        "{page}"
    );
    assert!(page.contains("No report came in the last 24 hours."), "others have sent some: {page}");
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
