//! Thing models of products. The document is the body itself, and its version the `ETag`.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderMap, header::ETAG, request::Parts},
};
use narrowgate_api::{
    model::{IfMatch, ModelVersionRow, ModelVersionView, PresentModel},
    page::Page,
    problem::Code,
};
use narrowgate_platform::{model::access::Needs, service::DeedTo};
use serde_json::value::RawValue;

use super::{
    asked::{Asked, Routes},
    audited::{Made, Place},
    conditions::{Tagged, alone, need, tagged},
    described::{Sketch, Takes},
    extract::{Document, Part, Product, Tags, if_match, malformed},
};
use crate::problem::Refused;

/// The document, with its version as its entity tag.
type Present = Tagged<Box<RawValue>>;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/products/{product}/model", Needs::Read, show)
        .put("/api/v1/products/{product}/model", Needs::Administer, put)
        .get("/api/v1/products/{product}/model/versions", Needs::Read, versions)
        .reads_much()
        .get("/api/v1/products/{product}/model/versions/{version}", Needs::Read, version)
}

async fn show(Asked(api): Asked, Product(product_key): Product) -> Result<Present, Refused> {
    Ok(answer(api.operator.show_model(&product_key).await?))
}

async fn put(
    Asked(api): Asked,
    Product(product_key): Product,
    Condition(if_match): Condition,
    Document(model): Document,
) -> Result<Made<Present>, Refused> {
    // The tag of the product is over its model, too.
    let _alone = alone(&product_key).await;
    let is_there = async {
        match api.operator.show_model(&product_key).await {
            Ok(_) => Ok(true),
            // What is not there at all is told below.
            Err(problem) if problem.code == Code::Missing => Ok(false),
            Err(problem) => Err(problem),
        }
    };
    need(if_match.is_some(), ("cannot change the thing model", "the thing model"), is_there).await?;
    let put = api.operator.put_model(&product_key, &model, if_match).await?;
    Ok(Place::of(DeedTo::Nothing).with("version", &put.version).has(answer(put)))
}

async fn versions(
    Asked(api): Asked,
    Product(product_key): Product,
) -> Result<Json<Page<ModelVersionRow>>, Refused> {
    Ok(Json(api.operator.list_model_versions(&product_key).await?))
}

async fn version(
    Asked(api): Asked,
    Product(product_key): Product,
    Part(version): Part,
) -> Result<Tagged<ModelVersionView>, Refused> {
    Ok(tagged(api.operator.show_model_version(&product_key, &version).await?))
}

fn answer(PresentModel { version, model }: PresentModel) -> Present {
    ([(ETAG, format!("\"{version}\""))], Json(model))
}

/// `If-Match`, where it is given.
struct Condition(Option<IfMatch>);

impl Takes for Condition {
    fn takes(sketch: &mut Sketch) {
        (sketch.takes_condition, sketch.needs_condition) = (true, true);
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Condition {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        condition(&parts.headers).map(Self).map_err(malformed)
    }
}

/// Reads the header. Tags that are none of ours, as weak ones, match nothing.
fn condition(headers: &HeaderMap) -> Result<Option<IfMatch>, String> {
    let version = |tag: &String| {
        let text = tag.strip_prefix('"')?.strip_suffix('"')?;
        text.parse().ok().filter(|version: &u32| version.to_string() == text)
    };
    Ok(if_match(headers)?.map(|tags| match tags {
        Tags::Any => IfMatch::Any,
        Tags::OneOf(tags) => IfMatch::OneOf(tags.iter().filter_map(version).collect()),
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{
        body::Body,
        http::{Method, Request, StatusCode, header},
    };
    use narrowgate_api::access::Role;
    use tower::ServiceExt as _;

    use super::*;
    use crate::document::world::world;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_model_is_not_put_while_a_change_of_its_product_compares_what_it_was_made_of() {
        let world = world(None).await;
        world.furnish().await;
        let token = world.token("admin", Role::Administrator, None).await;
        let request = Request::builder()
            .method(Method::PUT)
            .uri("/api/v1/products/pk-1/model")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::IF_MATCH, "*")
            .body(Body::from(
                r#"{"modelId":"m","measurepoints":[{"identifier":"temp","dataType":"DOUBLE"}]}"#,
            ))
            .expect("it is a request");
        let change = alone("pk-1").await;
        let put = tokio::spawn(world.router.clone().oneshot(request));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!put.is_finished(), "it waits for the change");
        drop(change);
        let answer = put.await.expect("it answers").unwrap_or_else(|never| match never {});
        assert_eq!(answer.status(), StatusCode::OK);
    }

    fn read(values: &[&str]) -> Result<Option<IfMatch>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().expect("a header has these characters"));
        }
        condition(&headers)
    }

    #[test]
    fn a_condition_is_read_as_its_rfc_says() {
        let one_of = |versions: &[u32]| Ok(Some(IfMatch::OneOf(versions.to_vec())));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(Some(IfMatch::Any)));
        assert_eq!(read(&[r#""3""#]), one_of(&[3]));
        assert_eq!(read(&[r#""3", "5""#, r#""7""#]), one_of(&[3, 5, 7]));
        assert_eq!(read(&[r#""3,4" ,W/"a, b","5""#]), one_of(&[5]), "a comma may stand in a tag");
        for none_of_ours in [r#"W/"3""#, r#""x""#, r#""03""#, r#""""#, r#""-1""#, r#""4294967296""#] {
            assert_eq!(read(&[none_of_ours]), one_of(&[]), "{none_of_ours}");
        }
        for wrong in ["3", "", r#""3"#, r#""3",7"#, r#""3" "4""#, r#""3","#] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
