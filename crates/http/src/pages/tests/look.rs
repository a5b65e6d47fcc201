//! How pages look, and what a person sees where programs get a document.

use super::*;

const BROWSER_ACCEPTS: &[(&str, &str)] = &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_have_one_style_which_loads_nothing() {
    let world = world(None).await;
    let mut browser = Browser::new(&world);
    for path in ["/", "/login", "/password/none"] {
        let page = browser.get(path).await;
        assert!(page.body.contains(STYLE_LINK), "{path}: {}", page.body);
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("it is ASCII");
        assert!(policy.contains("style-src 'self';"), "{path}: {policy}");
    }
    assert!(STYLE_LINK.contains(STYLE_PATH));
    let style = browser.get(STYLE_PATH).await;
    assert_eq!(style.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
    assert_eq!(style.body, STYLE);
    assert!(!["url(", "@import", "//"].iter().any(|loads| STYLE.contains(loads)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_speak_the_language_of_the_browser() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    let chinese = [("accept-language", "zh-CN,zh;q=0.9"), ("accept", "text/html")];
    let page = ann.send(Method::GET, "/login", &chinese, "").await;
    assert!(page.body.contains("<html lang=\"zh-Hans\">"), "{}", page.body);
    assert!(page.body.contains("用户名") && page.body.contains("English</button>"), "{}", page.body);
    let none = ann.send(Method::GET, "/nothing", &chinese, "").await;
    assert!(none.status == 404 && none.body.contains("<html lang=\"zh-Hans\">"), "{}", none.body);
    ann.post("/console/preferences", "language=zh&back=%2Flogin").await;
    let wrong = ann.log_in("ann", "incorrect horse").await;
    assert!(wrong.body.contains("用户名或密码错误"), "{}", wrong.body);
    let unread = ann.send(Method::POST, "/login", &[chinese[0], ("content-type", FORM)], "user=%ff").await;
    assert!(unread.status == 400 && unread.body.contains("无法读取表单"), "{}", unread.body);
    let foreign = [chinese[0], ("content-type", FORM), ("origin", "http://evil.example")];
    let foreign = ann.send(Method::POST, "/login", &foreign, "user=ann").await;
    assert!(foreign.status == 403 && foreign.body.contains("表单来自其他网站"), "{}", foreign.body);
    let link = invited(&world, "bob", Role::Viewer).await;
    for (password, said) in [("short", "密码少于 12 个字符"), ("password1234", "容易被猜到")] {
        let page = ann.post(&link, &format!("password={password}&again={password}")).await;
        assert!(page.status == 422 && page.body.contains(said), "{}", page.body);
    }
    ann.log_in("ann", PASSWORD).await;
    let page = ann.get("/login").await;
    assert!(page.body.contains("<b>ann</b>（查看者，所有组织单元）"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_pages_and_a_program_documents() {
    let world = world(None).await;
    let mut browser = Browser::new(&world);
    for (method, path, status, said) in [
        (Method::GET, "/nothing", 404, "There is nothing at /nothing."),
        (Method::GET, "/login/", 404, "There is nothing at /login/."),
        (Method::PUT, "/login", 405, "This page is opened, and no form is sent to it."),
        (Method::GET, "/logout", 405, "This address takes a form, and no page is opened by it."),
        (Method::GET, "/password/%ff", 400, "What the browser has sent is not what belongs here."),
    ] {
        let page = browser.send(method.clone(), path, BROWSER_ACCEPTS, "").await;
        assert_eq!(page.status, status, "{path}");
        assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
        assert!(page.body.contains("role=\"alert\"") && !page.body.contains('{'), "{path}: {}", page.body);
        assert!(page.body.contains(said), "{path}: {}", page.body);
        assert_eq!(page.headers.contains_key(header::ALLOW), status == 405);
        assert!(page.headers.contains_key("x-request-id"));
        let document = browser.send(method, path, &[], "").await;
        assert_eq!(document.status, status);
        assert_ne!(document.headers[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
    }
    let ready = browser.send(Method::GET, "/health/ready", BROWSER_ACCEPTS, "").await;
    assert_eq!(ready.headers[header::CONTENT_TYPE], "application/json", "a state is no refusal");
    let problem = browser.send(Method::GET, "/api/v1/me", BROWSER_ACCEPTS, "").await;
    assert_eq!((problem.status, problem.json()["code"].as_str()), (401, Some("unauthorized")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_typed_on_a_telephone_and_a_change_of_the_password_is_told() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    assert!(ann.get("/login").await.body.contains("autocapitalize=\"none\""));
    assert_eq!(ann.log_in("ann+", PASSWORD).await.status, 303, "a space is behind it");
    let token = ann.get("/login").await.form_token();
    let old = PASSWORD.replace(' ', "+");
    let body = format!("csrf={token}&old={old}&password=battery+horse+correct&again=battery+horse+correct");
    let changed = ann.post("/password", &body).await;
    assert_eq!(changed.status, 303, "{}", changed.body);
    assert_eq!(changed.headers[header::LOCATION], "/login?changed");
    let page = ann.get("/login?changed").await;
    assert!(page.body.contains("role=\"status\">The password is changed."), "{}", page.body);
    assert!(!ann.get("/login").await.body.contains("role=\"status\""));
    assert!(!Browser::new(&world).get("/login?changed").await.body.contains("changed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_178_a_link_on_another_site_asks_for_nothing_as_the_user() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    ann.log_in("ann", PASSWORD).await;
    for (site, status) in [("cross-site", 403), ("same-site", 200), ("same-origin", 200), ("none", 200)] {
        let asked = ann.send(Method::GET, "/api/v1/me", &[("sec-fetch-site", site)], "").await;
        assert_eq!(asked.status, status, "{site}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_form_that_does_not_come_is_408() {
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::builder().method(Method::POST).header(header::CONTENT_TYPE, FORM);
    let refused = Form::read(request.body(endless).expect("it is a request")).await.err();
    assert_eq!(refused.map(|(status, _)| status), Some(StatusCode::REQUEST_TIMEOUT));
}
