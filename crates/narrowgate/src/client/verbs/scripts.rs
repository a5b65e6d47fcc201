//! Scripts of products over HTTP. The engine is one whose scripts are words.

use axum::http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::*;

const SCRIPT: &str = "/api/v1/products/pk/script";

/// Status and body.
async fn ask(router: &Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    let response = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 3 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn with_product() -> Router {
    let router = router(Arc::new(MemoryStore::default()));
    let new = r#"{"name":"n","productKey":"pk","dataFormat":"custom"}"#;
    assert_eq!(ask(&router, "POST", "/api/v1/products", new).await.0, 201);
    router
}

#[tokio::test]
async fn a_script_is_drafted_published_and_rolled_back() {
    let router = with_product().await;
    assert_eq!(ask(&router, "GET", SCRIPT, "").await, (200, json!({"draft": null, "published": null})));
    let (status, shown) = ask(&router, "PUT", SCRIPT, r#"{"source":"throws"}"#).await;
    assert_eq!(
        (status, &shown["draft"]["source"], &shown["published"]),
        (200, &json!("throws"), &json!(null))
    );
    let publish = |body: &'static str| ask(&router, "POST", "/api/v1/products/pk/script:publish", body);
    assert_eq!(publish("{}").await, (200, json!({"version": 1})));
    assert_eq!(publish("{}").await.0, 404, "there is no draft any more");
    assert_eq!(publish(r#"{"source":"copy"}"#).await, (200, json!({"version": 2})));
    let back = |body: &'static str| ask(&router, "POST", "/api/v1/products/pk/script:rollback", body);
    assert_eq!(back(r#"{"version":1}"#).await, (200, json!({"version": 3})));
    assert_eq!(back(r#"{"version":9}"#).await.0, 404);
    assert_eq!(back("{}").await.0, 400);
    let (_, page) = ask(&router, "GET", &format!("{SCRIPT}/versions"), "").await;
    let rows: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|row| (&row["version"], &row["restores"])).collect();
    assert_eq!(rows, [(&json!(3), &json!(1)), (&json!(2), &json!(null)), (&json!(1), &json!(null))]);
    let (_, old) = ask(&router, "GET", &format!("{SCRIPT}/versions/2"), "").await;
    assert_eq!((&old["source"], &old["bytes"], &old["by"]), (&json!("copy"), &json!(4), &json!("owner")));
    assert_eq!(ask(&router, "GET", &format!("{SCRIPT}/versions/9"), "").await.0, 404);
}

#[tokio::test]
async fn a_source_that_cannot_be_run_is_422_with_its_line() {
    let router = with_product().await;
    let source = r#"{"source":"nonsense"}"#;
    for (method, path) in [("PUT", SCRIPT), ("POST", "/api/v1/products/pk/script:publish")] {
        let (status, problem) = ask(&router, method, path, source).await;
        assert_eq!((status, &problem["code"]), (422, &json!("script_invalid")));
        assert_eq!((&problem["where"], &problem["line"]), (&json!("/source"), &json!(1)));
    }
    assert_eq!(ask(&router, "GET", SCRIPT, "").await.1, json!({"draft": null, "published": null}));
    assert_eq!(ask(&router, "PUT", SCRIPT, r#"{"sources":"copy"}"#).await.0, 400);
}

#[tokio::test]
async fn a_trial_answers_what_came_of_it() {
    let router = with_product().await;
    let attempt = |body: &'static str| ask(&router, "POST", "/api/v1/products/pk/script:try", body);
    assert_eq!(attempt(r#"{"source":"copy","hex":"7b7d"}"#).await, (200, json!({"json": {}})));
    let message = r#"{"source":"copy","json":{"id":"1"}}"#;
    assert_eq!(attempt(message).await, (200, json!({"hex": "7b226964223a2231227d"})));
    let (status, failed) = attempt(r#"{"source":"throws","hex":"00"}"#).await;
    assert_eq!((status, &failed["error"]["line"]), (200, &json!(1)));
    for (body, status, code) in [
        (r#"{"hex":"00"}"#, 404, "missing"),
        (r#"{"source":"copy"}"#, 422, "invalid"),
        (r#"{"source":"copy","hex":"00","json":{}}"#, 422, "invalid"),
        (r#"{"source":"copy","hex":"00","from":"dk"}"#, 422, "invalid"),
        (r#"{"source":"copy","from":"dk"}"#, 404, "missing"),
        (r#"{"source":"busy","hex":"00"}"#, 503, "busy"),
    ] {
        let (answered, problem) = attempt(body).await;
        assert_eq!((answered, &problem["code"]), (status, &json!(code)), "{body}");
    }
}
