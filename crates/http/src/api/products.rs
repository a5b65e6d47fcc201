//! `/api/v1/products`, and what is done to a product's devices as a whole.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use narrowgate_api::{
    device::{DeviceCreated, NewDeviceRequest},
    import::{ImportReport, ImportRows},
    page::Page,
    product::{
        ModelDraft, NewProduct, ProductCreated, ProductDeleted, ProductPatch, ProductRow,
        ProductSecretRotated, ProductView,
    },
    query::{DeleteProduct, ImportQuery},
};

use super::{
    Api,
    extract::{Body, Product, Query},
};
use crate::{problem::Refused, secret::Secretive};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/products", get(list).post(create))
        .route("/api/v1/products/{product}", get(show).patch(update).delete(delete))
        .route("/api/v1/products/{product}/secret:rotate", post(rotate_secret))
        .route("/api/v1/products/{product}/model:infer", post(infer_model))
        .route("/api/v1/products/{product}/devices", post(create_device))
        .route("/api/v1/products/{product}/devices:import", post(import))
}

async fn list(State(api): State<Api>) -> Result<Json<Page<ProductRow>>, Refused> {
    Ok(Json(api.operator.list_products().await?))
}

async fn create(
    State(api): State<Api>,
    Body(new): Body<NewProduct>,
) -> Result<Secretive<ProductCreated>, Refused> {
    Ok(Secretive(StatusCode::CREATED, api.operator.create_product(new).await?))
}

async fn show(State(api): State<Api>, Product(product_key): Product) -> Result<Json<ProductView>, Refused> {
    Ok(Json(api.operator.show_product(&product_key).await?))
}

async fn update(
    State(api): State<Api>,
    Product(product_key): Product,
    Body(patch): Body<ProductPatch>,
) -> Result<Json<ProductView>, Refused> {
    Ok(Json(api.operator.update_product(&product_key, patch).await?))
}

async fn delete(
    State(api): State<Api>,
    Product(product_key): Product,
    Query(DeleteProduct { force }): Query<DeleteProduct>,
) -> Result<Json<ProductDeleted>, Refused> {
    Ok(Json(api.operator.delete_product(&product_key, force).await?))
}

async fn rotate_secret(
    State(api): State<Api>,
    Product(product_key): Product,
) -> Result<Json<ProductSecretRotated>, Refused> {
    Ok(Json(api.operator.rotate_product_secret(&product_key).await?))
}

async fn infer_model(
    State(api): State<Api>,
    Product(product_key): Product,
) -> Result<Json<ModelDraft>, Refused> {
    Ok(Json(api.operator.infer_model(&product_key).await?))
}

async fn create_device(
    State(api): State<Api>,
    Product(product_key): Product,
    Body(new): Body<NewDeviceRequest>,
) -> Result<Secretive<DeviceCreated>, Refused> {
    Ok(Secretive(StatusCode::CREATED, api.operator.create_device(&product_key, new).await?))
}

async fn import(
    State(api): State<Api>,
    Product(product_key): Product,
    Query(ImportQuery { dry_run }): Query<ImportQuery>,
    Body(ImportRows { rows }): Body<ImportRows>,
) -> Result<Secretive<ImportReport>, Refused> {
    Ok(Secretive(StatusCode::OK, api.operator.import_devices(&product_key, rows, dry_run).await?))
}
