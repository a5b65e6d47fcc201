//! What is shown again, and what is shown of who is served now.

use serde_json::Value;

use super::*;

fn administer(path: &str, token: &str) -> Request<Body> {
    get(&format!("/api/v1{path}"), Some(token))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_product_is_shown_again_to_its_administrators_and_is_in_the_audit_log() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let rotated = world.operator.rotate_product_secret("pk-1").await.expect("it is there").product_secret;
    let (status, shown) = world.ask(administer("/products/pk-1/secret", &token)).await;
    assert_eq!((status, shown["productSecret"].as_str()), (StatusCode::OK, Some(rotated.expose())));
    assert_eq!(shown["pskHex"].as_str().map(str::len), Some(32));
    let (_, entry) = world.entry_of(administer("/products/pk-1/secret", &token)).await;
    let entry = entry.expect("it is written down");
    assert_eq!((&*entry.action, &*entry.target), ("products.secret.read", "/products/pk-1/secret"));
    assert!(!format!("{entry:?}").contains(rotated.expose()));
    let (status, problem) = world.ask(administer("/products/pk-9/secret", &token)).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::NOT_FOUND, Some("missing")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_without_its_text() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    world.token("of north", Role::Viewer, Some("north")).await;
    let (status, shown) = world.ask(administer("/tokens/of%20north", &token)).await;
    assert_eq!((status, shown["role"].as_str()), (StatusCode::OK, Some("viewer")));
    assert!(shown["token"].is_null() && shown["ou"].is_string(), "{shown}");
    assert_eq!(world.ask(administer("/tokens/other", &token)).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_device_comes_with_lines_to_paste_that_hold_its_key() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let (_, shown) = world.ask(administer("/devices/dk-1/secret", &token)).await;
    let key = shown["pskHex"].as_str().expect("it is a text");
    let lines = shown["clientLines"].as_array().expect("it is a list");
    let of = |tool: &str| {
        let line = lines.iter().find(|line| line["tool"].as_str().is_some_and(|name| name.contains(tool)));
        line.and_then(|line| line["line"].as_str()).unwrap_or_else(|| panic!("{tool}: {shown}"))
    };
    for (tool, given) in [
        ("4.3.5", format!("-k 0x{key} ")),
        ("OpenSSL", format!("-psk {key} ")),
        ("aiocoap", format!(r#""hex":"{key}""#)),
    ] {
        assert!(of(tool).contains(&given) && of(tool).contains("pk-1,dk-1,2,3600"), "{}", of(tool));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_listed_with_its_mistake_and_with_what_to_do() {
    let world = world(None).await;
    world.furnish().await;
    let token = world.token("reads", Role::Viewer, None).await;
    for path in ["/refusals", "/devices/dk-1/refusals", "/devices/dk-1/log"] {
        let (_, page) = world.ask(administer(path, &token)).await;
        let items = page["items"].as_array().expect("it is a list");
        let refused = items.iter().find(|entry| entry["event"] == "refused").expect("there is one");
        assert_eq!(refused["mistake"], "the product's secret was used", "{path}");
        assert!(refused["advice"].as_str().is_some_and(|advice| advice.starts_with("compare")), "{path}");
        let others = items.iter().filter(|entry| entry["event"] != "refused");
        assert!(others.clone().all(|entry| entry["advice"] == Value::Null), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_replaces_the_whole_of_something_says_of_which_state() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    for (path, body) in [
        ("/products/pk-1/model", r#"{"modelId":"m"}"#),
        ("/products/pk-1/script", r#"{"source":"copy"}"#),
        ("/devices/dk-1/tags", r#"{"site":"north"}"#),
    ] {
        let put = async |if_match: Option<&str>| {
            let mut request = administer(path, &token);
            *request.method_mut() = Method::PUT;
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_TYPE, "application/json".parse().expect("it is a value"));
            if let Some(tag) = if_match {
                headers.insert(header::IF_MATCH, tag.parse().expect("it is a value"));
            }
            *request.body_mut() = Body::from(body);
            world.ask(request).await
        };
        assert_eq!(put(None).await.0, StatusCode::OK, "{path}: there is nothing to lose");
        let (status, problem) = put(None).await;
        let said = (status, problem["code"].as_str());
        assert_eq!(said, (StatusCode::PRECONDITION_REQUIRED, Some("precondition_required")), "{path}");
        assert!(problem["try"].as_str().is_some_and(|hint| hint.contains("If-Match")), "{problem}");
        assert_eq!(put(Some("\"none\"")).await.0, StatusCode::PRECONDITION_FAILED, "{path}");
        assert_eq!(put(Some("*")).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn short_lists_are_given_as_lines_too() {
    let world = world(None).await;
    world.furnish().await;
    let token = world.token("lists", Role::Administrator, None).await;
    let ask = async |path: &str, accept: &str| {
        let mut request = administer(path, &token);
        request.headers_mut().insert(header::ACCEPT, accept.parse().expect("it is a value"));
        let (status, body) = world.ask(request).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body.as_str().unwrap_or_else(|| panic!("{path}: {body}")).to_owned()
    };
    let (_, rollout) = world.ask(administer("/rollouts", &token)).await;
    let devices =
        format!("/rollouts/{}/devices", rollout["items"][0]["imageId"].as_str().expect("it has one"));
    for (path, first, field) in [
        ("/products", "productKey,name,ou,enabled,", "\"productKey\":\"pk-1\""),
        ("/tokens", "name,role,ou,createdAt,expiresAt", "\"name\":\"ci\""),
        ("/users", "user,role,ou,state,", "\"user\":\"ann\""),
        ("/ous", "ou,name,createdAt,suspendedAt,", "\"name\":\"north\""),
        ("/firmware", "imageId,productKey,version,", "\"version\":\"1\""),
        ("/rollouts", "imageId,productKey,version,share,", "\"paused\":false"),
        (&devices, "productKey,deviceKey,state,", "\"deviceKey\":\"dk-1\""),
    ] {
        let csv = ask(path, "text/csv").await;
        assert!(csv.starts_with(first) && csv.lines().count() >= 2, "{path}: {csv}");
        let lines = ask(path, "application/x-ndjson").await;
        assert!(lines.contains(field) && lines.lines().count() + 1 == csv.lines().count(), "{path}: {lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_devices_has_tags_and_firmware_where_it_is_asked_for_them() {
    let world = world(None).await;
    let token = world.token("ci", Role::Operator, None).await;
    let mut tag = administer("/devices/dk-1/tags", &token);
    *tag.method_mut() = Method::PATCH;
    tag.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().expect("it is a value"));
    *tag.body_mut() = Body::from(r#"{"site":"north"}"#);
    assert_eq!(world.ask(tag).await.0, StatusCode::OK);
    let (_, plain) = world.ask(administer("/devices", &token)).await;
    assert!(plain["items"][0].get("tags").is_none(), "{plain}");
    let (_, more) = world.ask(administer("/devices?with=all", &token)).await;
    assert_eq!(more["items"][0]["tags"]["site"], "north", "{more}");
    assert_eq!(
        (&more["items"][0]["firmware"], &more["items"][0]["deviceKey"]),
        (&Value::Null, &"dk-1".into())
    );
    let (status, _) = world.ask(administer("/devices?with=some", &token)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_by_request_and_is_in_the_audit_log() {
    let world = world(None).await;
    let token = world.token("ci", Role::Administrator, None).await;
    let request = |query: &str| {
        let mut request = administer(&format!("/backup{query}"), &token);
        *request.method_mut() = Method::POST;
        request
    };
    let (status, made) = world.ask(request("")).await;
    assert_eq!((status, made["withKey"].as_bool()), (StatusCode::CREATED, Some(false)), "{made}");
    let (status, entry) = world.entry_of(request("?withKey=true")).await;
    let entry = entry.expect("it is written down");
    assert_eq!((status, &*entry.action, &*entry.target), (StatusCode::CREATED, "backup.create", "/backup"));
    assert_eq!((&*entry.detail["withKey"], &*entry.detail["files"]), ("true", "7"));
}
