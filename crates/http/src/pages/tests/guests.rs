//! What strangers at the same address, other programs of the same host, and a proxy do to users.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_a_flood_of_pages_and_wrong_links_shuts_out_nobody_at_its_address() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    ann.log_in("ann", PASSWORD).await;
    let (link, mut stranger) = (invited(&world, "bob", Role::Viewer).await, Browser::new(&world));
    let mut statuses = BTreeMap::new();
    for _ in 0..300 {
        assert_eq!(stranger.get("/login").await.status, 200);
        *statuses.entry(stranger.get("/password/none").await.status).or_insert(0) += 1;
    }
    assert!(statuses.len() == 2 && statuses[&404] <= 40 && statuses.contains_key(&429), "{statuses:?}");
    assert_eq!(stranger.get(&link).await.status, 200);
    assert_eq!(ann.get("/login").await.form_token().len(), 64);
    assert_eq!(ann.log_in("ann", PASSWORD).await.status, 303);
    let token = ann.get("/login").await.form_token();
    assert_eq!(ann.post("/logout", &format!("csrf={token}")).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_175_a_flood_of_wrong_tokens_shuts_out_no_new_session_at_its_address() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let wrong = format!("Bearer ngt_{}", "0".repeat(64));
    let mut stranger = Browser::new(&world);
    let mut last = 0;
    for _ in 0..100 {
        last = stranger.send(Method::GET, "/api/v1/me", &[("authorization", &wrong)], "").await.status;
    }
    assert_eq!(last, 429);
    let mut ann = Browser::new(&world);
    ann.log_in("ann", PASSWORD).await;
    assert_eq!(ann.get("/api/v1/me").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_others_have_set_keep_nobody_out() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    ann.log_in("ann", PASSWORD).await;
    let (session, other) = (ann.cookies[SESSION].clone(), format!("ngs_{}", "0".repeat(64)));
    let mut browser = Browser::new(&world);
    let cookie = format!("other=é; {SESSION}={other}; {SESSION}={session}");
    let me = browser.send(Method::GET, "/api/v1/me", &[("cookie", &cookie)], "").await;
    assert_eq!(me.status, 200);
    let page = browser.send(Method::GET, "/login", &[("cookie", &cookie)], "").await;
    assert_eq!(me.headers[FORM_TOKEN].to_str().ok(), Some(&*page.form_token()));
    let form = [("origin", "http://gate:8080"), ("content-type", FORM), ("cookie", &*cookie)];
    let body = format!("csrf={}", page.form_token());
    assert_eq!(browser.send(Method::POST, "/logout", &form, &body).await.status, 303);
    assert_eq!(ann.get("/api/v1/me").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_179_by_tls_cookies_are_of_this_host_and_pages_ask_for_tls() {
    for way in [Way::Proxied, Way::Secured] {
        let world = world(None).await;
        active(&world, "ann", Role::Viewer).await;
        let ask = async |method: Method, path: &str, cookie: &str, body: &'static str| {
            let request = Request::builder().method(method).uri(path).header(header::HOST, "gate");
            let request = request.header(header::CONTENT_TYPE, FORM).header(header::COOKIE, cookie);
            let mut request = request.body(Body::from(body)).expect("it is a request");
            request.extensions_mut().insert(way);
            let response = world.router.clone().oneshot(request).await.expect("it answers");
            assert_eq!(response.headers()[header::STRICT_TRANSPORT_SECURITY], "max-age=31536000", "{path}");
            response
        };
        let body = "user=ann&password=correct+horse+battery";
        let logged_in = ask(Method::POST, "/login", "", body).await;
        let set: Vec<_> = logged_in.headers().get_all(header::SET_COOKIE).iter().collect();
        let set: Vec<_> = set.into_iter().map(|value| value.to_str().expect("it is ASCII")).collect();
        for (cookie, name) in set.iter().zip([SESSION, BROWSER]) {
            assert!(
                cookie.starts_with(&format!("__Host-{name}=")) && cookie.ends_with("; Secure"),
                "{cookie}"
            );
        }
        let (cookie, _) = set[0].split_once(';').expect("it has attributes");
        assert_eq!(ask(Method::GET, "/api/v1/me", cookie, "").await.status(), 200);
        // Another host of the domain can set this one.
        let planted = cookie.strip_prefix("__Host-").expect("it begins so");
        assert_eq!(ask(Method::GET, "/api/v1/me", planted, "").await.status(), 401);
    }
}
