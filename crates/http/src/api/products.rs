//! `/api/v1/products`, and what is done to a product's devices as a whole.

use axum::Json;
use narrowgate_api::{
    device::{DeviceCreated, NewDeviceRequest},
    page::Page,
    product::{
        ModelDraft, NewProduct, ProductCreated, ProductDeleted, ProductPatch, ProductRow,
        ProductSecretRotated, ProductView,
    },
    query::DeleteProduct,
};
use narrowgate_platform::model::access::Needs;

use super::{
    asked::{Asked, Routes},
    described::{Created, Status},
    extract::{Body, Product, Query},
};
use crate::{problem::Refused, secret::Secretive};

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/products", Needs::Read, list)
        .post("/api/v1/products", Needs::Administer, create)
        .get("/api/v1/products/{product}", Needs::Read, show)
        .patch("/api/v1/products/{product}", Needs::Administer, update)
        .delete("/api/v1/products/{product}", Needs::Administer, delete)
        .post("/api/v1/products/{product}/secret:rotate", Needs::Administer, rotate_secret)
        .post("/api/v1/products/{product}/model:infer", Needs::Read, infer_model)
        .post("/api/v1/products/{product}/devices", Needs::Administer, create_device)
}

async fn list(Asked(api): Asked) -> Result<Json<Page<ProductRow>>, Refused> {
    Ok(Json(api.operator.list_products().await?))
}

async fn create(
    Asked(api): Asked,
    Body(new): Body<NewProduct>,
) -> Result<Created<Secretive<ProductCreated>>, Refused> {
    Ok(Status(Secretive(api.operator.create_product(new).await?)))
}

async fn show(Asked(api): Asked, Product(product_key): Product) -> Result<Json<ProductView>, Refused> {
    Ok(Json(api.operator.show_product(&product_key).await?))
}

async fn update(
    Asked(api): Asked,
    Product(product_key): Product,
    Body(patch): Body<ProductPatch>,
) -> Result<Json<ProductView>, Refused> {
    Ok(Json(api.operator.update_product(&product_key, patch).await?))
}

async fn delete(
    Asked(api): Asked,
    Product(product_key): Product,
    Query(DeleteProduct { force }): Query<DeleteProduct>,
) -> Result<Json<ProductDeleted>, Refused> {
    Ok(Json(api.operator.delete_product(&product_key, force).await?))
}

async fn rotate_secret(
    Asked(api): Asked,
    Product(product_key): Product,
) -> Result<Json<ProductSecretRotated>, Refused> {
    Ok(Json(api.operator.rotate_product_secret(&product_key).await?))
}

async fn infer_model(Asked(api): Asked, Product(product_key): Product) -> Result<Json<ModelDraft>, Refused> {
    Ok(Json(api.operator.infer_model(&product_key).await?))
}

async fn create_device(
    Asked(api): Asked,
    Product(product_key): Product,
    Body(new): Body<NewDeviceRequest>,
) -> Result<Created<Secretive<DeviceCreated>>, Refused> {
    Ok(Status(Secretive(api.operator.create_device(&product_key, new).await?)))
}
