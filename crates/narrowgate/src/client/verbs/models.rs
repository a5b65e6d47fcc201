//! Thing models over HTTP: their documents, versions and conditions.

use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};

use super::*;

const MODEL: &str = "/api/v1/products/pk/model";

/// Status, `ETag` and body.
async fn ask(router: &Router, method: &str, path: &str, if_match: Option<&str>, body: &str) -> Answered {
    let mut request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    if let Some(if_match) = if_match {
        request = request.header(IF_MATCH, if_match);
    }
    let response = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let tag = response.headers().get(ETAG).map(|tag| tag.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 3 << 20).await.unwrap();
    (status, tag, String::from_utf8(body.to_vec()).unwrap())
}

type Answered = (u16, Option<String>, String);

fn stands(tag: &str, model: &str) -> Answered {
    (200, Some(tag.to_owned()), model.to_owned())
}

#[track_caller]
fn refused((status, tag, body): Answered) -> (u16, Code, Option<String>, String) {
    let problem: Problem = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
    assert_eq!((problem.status, tag), (status, None));
    (status, problem.code, problem.place, problem.detail.unwrap_or_default())
}

#[tokio::test]
async fn a_model_is_put_where_the_one_before_is_the_one_that_was_read() {
    let router = router(Arc::new(MemoryStore::default()));
    let create = ask(&router, "POST", "/api/v1/products", None, r#"{"name":"n","productKey":"pk"}"#).await;
    assert_eq!(create.0, 201);
    let get = async || ask(&router, "GET", MODEL, None, "").await;
    let put = async |if_match, body: &str| ask(&router, "PUT", MODEL, if_match, body).await;
    let (status, code, _, said) = refused(get().await);
    assert_eq!((status, code, &*said), (404, Code::Missing, "there is no thing model of product pk"));

    let first = r#"{"modelId":"m","events":[{"identifier":"e","number":1}]}"#;
    let second = r#"{"modelId":"n","events":[{"identifier":"f","number":2}]}"#;
    assert_eq!(refused(put(Some("*"), first).await).1, Code::PreconditionFailed);
    let given = r#" { "modelId": "m", "events": [ {"identifier":"e"} ] } "#;
    assert_eq!(put(None, given).await, stands("\"1\"", first));
    assert_eq!(get().await, stands("\"1\"", first));
    assert_eq!(put(Some("\"1\""), first).await, stands("\"1\"", first), "it changes nothing");
    let (status, code, _, _) = refused(put(None, second).await);
    assert_eq!((status, code), (428, Code::PreconditionRequired), "it would be lost");
    assert_eq!(get().await, stands("\"1\"", first));
    assert_eq!(put(Some("\"1\""), second).await, stands("\"2\"", second));
    let (status, code, _, said) = refused(put(Some("\"1\""), first).await);
    assert_eq!((status, code), (412, Code::PreconditionFailed));
    assert_eq!(said, "the thing model of product pk is another one meanwhile: version 2");
    for none in ["W/\"2\"", "\"x\""] {
        assert_eq!(refused(put(Some(none), first).await).0, 412, "{none}");
    }
    assert_eq!(refused(put(Some("2"), first).await).1, Code::Malformed);
    assert_eq!(get().await, stands("\"2\"", second));
    assert_eq!(put(Some("\"7\", \"2\""), first).await, stands("\"3\"", first));
}

#[tokio::test]
async fn what_is_no_model_is_refused_with_its_place_in_the_body() {
    let router = router(Arc::new(MemoryStore::default()));
    let model = r#"{"modelId":"m","events":[{"identifier":"e"}]}"#;
    let new = format!(r#"{{"name":"n","productKey":"pk","model":{model}}}"#);
    assert_eq!(ask(&router, "POST", "/api/v1/products", None, &new).await.0, 201);
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let long = format!(r#"{{"modelId":"m","name":"{}"}}"#, "x".repeat(1 << 20));
    for (body, status, code, place, said) in [
        ("{", 400, Code::Malformed, None, "the body: EOF"),
        ("[]", 422, Code::ModelInvalid, Some(""), "model is not acceptable: must be an object"),
        (r#"{"modelId":7}"#, 422, Code::ModelInvalid, Some("/modelId"), "/modelId: must be a string"),
        (
            r#"{"modelId":"m","services":[{"identifier":"s","number":1}]}"#,
            422,
            Code::ModelInvalid,
            Some("/services/0/number"),
            "1 is that of e in events",
        ),
        (&deep, 422, Code::ModelInvalid, None, "is nested more than 32 deep"),
        (&long, 422, Code::ModelInvalid, Some(""), "at most 1048576 are allowed"),
        (r#"{"modelId":"m","modelId":"m"}"#, 422, Code::ModelInvalid, Some("/modelId"), "occurs twice"),
    ] {
        let found = refused(ask(&router, "PUT", MODEL, Some("*"), body).await);
        assert_eq!((found.0, found.1), (status, code), "{found:?}");
        assert!(found.3.contains(said), "{found:?}");
        if let Some(place) = place {
            assert_eq!(found.2.as_deref(), Some(place));
        }
        let patched = format!(r#"{{"name":"other","model":{body}}}"#);
        let of_patch = refused(ask(&router, "PATCH", "/api/v1/products/pk", None, &patched).await);
        assert_eq!(of_patch.0, status, "{of_patch:?}");
        if let Some(place) = place {
            assert_eq!(of_patch.2, Some(format!("/model{place}")));
        }
    }
    let shown = ask(&router, "GET", "/api/v1/products/pk", None, "").await.2;
    assert!(shown.contains(r#""name":"n""#) && shown.contains(r#""number":1"#), "{shown}");
    let unknown = ask(&router, "PUT", "/api/v1/products/none/model", None, model).await;
    assert_eq!(refused(unknown).1, Code::Missing);
}

#[tokio::test]
async fn versions_are_listed_and_shown() {
    let router = router(Arc::new(MemoryStore::default()));
    assert_eq!(
        ask(&router, "POST", "/api/v1/products", None, r#"{"name":"n","productKey":"a/b"}"#).await.0,
        201
    );
    let product = "/api/v1/products/a%2Fb";
    let get = async |path: &str| ask(&router, "GET", &format!("{product}{path}"), None, "").await;
    assert_eq!(get("/model/versions").await.2, r#"{"items":[],"nextCursor":null}"#);
    for (if_match, model) in [(None, r#"{"modelId":"m"}"#), (Some("*"), r#"{"modelId":"n"}"#)] {
        assert_eq!(ask(&router, "PUT", &format!("{product}/model"), if_match, model).await.0, 200);
    }
    assert_eq!(ask(&router, "PATCH", product, None, r#"{"model":null}"#).await.0, 200);
    assert_eq!(refused(get("/model").await).1, Code::Missing);
    let listed: serde_json::Value = serde_json::from_str(&get("/model/versions").await.2).unwrap();
    let rows = listed["items"].as_array().unwrap();
    let ids: Vec<_> = rows.iter().map(|row| (row["version"].as_u64(), row["modelId"].as_str())).collect();
    assert_eq!(ids, [(Some(3), None), (Some(2), Some("n")), (Some(1), Some("m"))]);
    let shown: serde_json::Value = serde_json::from_str(&get("/model/versions/1").await.2).unwrap();
    assert_eq!((&shown["model"]["modelId"], &shown["version"]), (&"m".into(), &1.into()));
    assert_eq!(shown["createdAt"], rows[2]["createdAt"]);
    for none in ["/model/versions/4", "/model/versions/x"] {
        assert_eq!(refused(get(none).await).1, Code::Missing);
    }
}
