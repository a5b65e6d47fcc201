//! Thing models of products. The document is the body itself, and its version the `ETag`.

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{
        HeaderMap,
        header::{ETAG, IF_MATCH},
        request::Parts,
    },
    response::{IntoResponse, Response},
    routing::get,
};
use narrowgate_api::{
    model::{IfMatch, ModelVersionRow, ModelVersionView, PresentModel},
    page::Page,
};
use serde_json::value::RawValue;

use super::{
    Api,
    extract::{Body, Part, Product, malformed},
};
use crate::problem::Refused;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/products/{product}/model", get(show).put(put))
        .route("/api/v1/products/{product}/model/versions", get(versions))
        .route("/api/v1/products/{product}/model/versions/{version}", get(version))
}

async fn show(State(api): State<Api>, Product(product_key): Product) -> Result<Response, Refused> {
    Ok(answer(api.operator.show_model(&product_key).await?))
}

async fn put(
    State(api): State<Api>,
    Product(product_key): Product,
    Condition(if_match): Condition,
    Body(model): Body<Box<RawValue>>,
) -> Result<Response, Refused> {
    Ok(answer(api.operator.put_model(&product_key, &model, if_match).await?))
}

async fn versions(
    State(api): State<Api>,
    Product(product_key): Product,
) -> Result<Json<Page<ModelVersionRow>>, Refused> {
    Ok(Json(api.operator.list_model_versions(&product_key).await?))
}

async fn version(
    State(api): State<Api>,
    Product(product_key): Product,
    Part(version): Part,
) -> Result<Json<ModelVersionView>, Refused> {
    Ok(Json(api.operator.show_model_version(&product_key, &version).await?))
}

fn answer(PresentModel { version, model }: PresentModel) -> Response {
    ([(ETAG, format!("\"{version}\""))], Json(model)).into_response()
}

/// `If-Match`, where it is given.
struct Condition(Option<IfMatch>);

impl<S: Send + Sync> FromRequestParts<S> for Condition {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        if_match(&parts.headers).map(Self).map_err(malformed)
    }
}

/// Reads the header (RFC 9110, section 13.1.1). Weak tags, and those that are none of ours, match nothing.
fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, String> {
    let (mut versions, mut is_given) = (Vec::new(), false);
    for value in headers.get_all(IF_MATCH) {
        is_given = true;
        let value = value.to_str().map_err(|_| "If-Match: is not ASCII".to_owned())?;
        if value.trim() == "*" {
            return Ok(Some(IfMatch::Any));
        }
        for tag in value.split(',').map(str::trim) {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            let Some(text) = strong.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
                return Err(format!("If-Match: {tag:?} is no entity tag: it stands in quotation marks"));
            };
            let version = text.parse().ok().filter(|version: &u32| version.to_string() == text);
            versions.extend(version.filter(|_| strong == tag));
        }
    }
    Ok(is_given.then_some(IfMatch::OneOf(versions)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<IfMatch>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, value.parse().expect("a header has these characters"));
        }
        if_match(&headers)
    }

    #[test]
    fn a_condition_is_read_as_its_rfc_says() {
        let one_of = |versions: &[u32]| Ok(Some(IfMatch::OneOf(versions.to_vec())));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(Some(IfMatch::Any)));
        assert_eq!(read(&[r#""3""#]), one_of(&[3]));
        assert_eq!(read(&[r#""3", "5""#, r#""7""#]), one_of(&[3, 5, 7]));
        for none_of_ours in [r#"W/"3""#, r#""x""#, r#""03""#, r#""""#, r#""-1""#, r#""4294967296""#] {
            assert_eq!(read(&[none_of_ours]), one_of(&[]), "{none_of_ours}");
        }
        for wrong in ["3", "", r#""3"#, r#""3",7"#] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
