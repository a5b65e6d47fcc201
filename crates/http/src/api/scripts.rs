//! Scripts of products: a draft, versions, trials.

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use narrowgate_api::{
    page::Page,
    script::{
        NewScript, PublishScript, RollBackScript, ScriptPublished, ScriptVersionRow, ScriptVersionView,
        ScriptView, Tried, TryScript,
    },
};

use super::{
    Api,
    extract::{Body, Part, Product},
};
use crate::problem::Refused;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/products/{product}/script", get(show).put(draft))
        .route("/api/v1/products/{product}/script:try", post(attempt))
        .route("/api/v1/products/{product}/script:publish", post(publish))
        .route("/api/v1/products/{product}/script:rollback", post(roll_back))
        .route("/api/v1/products/{product}/script/versions", get(versions))
        .route("/api/v1/products/{product}/script/versions/{version}", get(version))
}

async fn show(State(api): State<Api>, Product(product_key): Product) -> Result<Json<ScriptView>, Refused> {
    Ok(Json(api.operator.show_script(&product_key).await?))
}

async fn draft(
    State(api): State<Api>,
    Product(product_key): Product,
    Body(new): Body<NewScript>,
) -> Result<Json<ScriptView>, Refused> {
    Ok(Json(api.operator.draft_script(&product_key, new).await?))
}

async fn attempt(
    State(api): State<Api>,
    Product(product_key): Product,
    Body(wanted): Body<TryScript>,
) -> Result<Json<Tried>, Refused> {
    Ok(Json(api.operator.try_script(&product_key, wanted).await?))
}

async fn publish(
    State(api): State<Api>,
    Product(product_key): Product,
    Body(wanted): Body<PublishScript>,
) -> Result<Json<ScriptPublished>, Refused> {
    Ok(Json(api.operator.publish_script(&product_key, wanted).await?))
}

async fn roll_back(
    State(api): State<Api>,
    Product(product_key): Product,
    Body(wanted): Body<RollBackScript>,
) -> Result<Json<ScriptPublished>, Refused> {
    Ok(Json(api.operator.roll_back_script(&product_key, wanted).await?))
}

async fn versions(
    State(api): State<Api>,
    Product(product_key): Product,
) -> Result<Json<Page<ScriptVersionRow>>, Refused> {
    Ok(Json(api.operator.list_script_versions(&product_key).await?))
}

async fn version(
    State(api): State<Api>,
    Product(product_key): Product,
    Part(version): Part,
) -> Result<Json<ScriptVersionView>, Refused> {
    Ok(Json(api.operator.show_script_version(&product_key, &version).await?))
}
