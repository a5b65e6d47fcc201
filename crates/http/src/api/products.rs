//! `/api/v1/products`, and what is done to a product's devices as a whole.

use axum::Json;
use narrowgate_api::{
    device::{DeviceCreated, NewDeviceRequest},
    page::Page,
    product::{
        DynamicActivationPatch, ModelDraft, NewProduct, ProductCreated, ProductDeleted, ProductPatch,
        ProductRow, ProductSecretRotated, ProductSecretShown, ProductView,
    },
    query::DeleteProduct,
};
use narrowgate_platform::{
    model::access::Needs,
    service::{DeedTo, entity_tag},
};

use super::{
    asked::{Asked, Routes},
    audited::{Made, Place},
    conditions::{Tagged, alone, permit, tagged},
    described::{Created, Listed, Status},
    export::{Accepted, listed_whole},
    extract::{Body, Matching, Product, Query},
};
use crate::{problem::Refused, secret::Secretive};

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/products", Needs::Read, list)
        .reads_much()
        .post("/api/v1/products", Needs::Administer, create)
        .get("/api/v1/products/{product}", Needs::Read, show)
        .patch("/api/v1/products/{product}", Needs::Administer, update)
        .delete("/api/v1/products/{product}", Needs::Administer, delete)
        .get("/api/v1/products/{product}/secret", Needs::Administer, show_secret)
        .post("/api/v1/products/{product}/secret:rotate", Needs::Administer, rotate_secret)
        .post("/api/v1/products/{product}/model:infer", Needs::Operate, infer_model)
        .post("/api/v1/products/{product}/devices", Needs::Administer, create_device)
}

async fn list(Asked(api): Asked, accepted: Accepted) -> Result<Listed<Page<ProductRow>>, Refused> {
    let operator = api.operator;
    listed_whole(accepted, move || {
        let operator = operator.clone();
        async move { operator.list_products().await }
    })
    .await
}

async fn create(
    Asked(api): Asked,
    Body(new): Body<NewProduct>,
) -> Result<Made<Created<Secretive<ProductCreated>>>, Refused> {
    let place = new_product(&new);
    let created = api.operator.create_product(new).await?;
    let key = &created.product_key;
    let place = place.belonging_to(DeedTo::Product(key.clone())).made_at(&["products", key]);
    Ok(place.has(Status(Secretive(created))))
}

/// What a new product is.
fn new_product(new: &NewProduct) -> Place {
    let place = Place::of(DeedTo::Nothing)
        .with("name", &new.name)
        .with("dynamicActivation", &new.dynamic_activation)
        .with_some("profile", new.profile.as_ref())
        .with_some("shortPaths", new.short_paths.as_ref())
        .with_some("dataFormat", new.data_format.as_ref())
        .with_some("contentCode", new.content_code.as_ref())
        .with_some("retention", new.retention.as_ref());
    place.with_some("model", new.model.as_ref().map(|_| "given").as_ref())
}

/// What is changed of one.
fn changed(patch: &ProductPatch) -> Place {
    let DynamicActivationPatch { enabled, ends_at, quota_per_hour } = patch.dynamic_activation;
    let model = patch.model.as_ref().map(|model| if model.is_some() { "given" } else { "none" });
    Place::of(DeedTo::Nothing)
        .with_some("name", patch.name.as_ref())
        .with_some("enabled", patch.enabled.as_ref())
        .with_some("dynamicActivation.enabled", enabled.as_ref())
        .with_some("dynamicActivation.endsAt", ends_at.as_ref())
        .with_some("dynamicActivation.quotaPerHour", quota_per_hour.as_ref())
        .with_some("profile", patch.profile.as_ref())
        .with_some("shortPaths", patch.short_paths.as_ref())
        .with_some("dataFormat", patch.data_format.as_ref())
        .with_some("contentCode", patch.content_code.as_ref())
        .with_some("retention", patch.retention.as_ref())
        .with_some("model", model.as_ref())
}

async fn show(Asked(api): Asked, Product(product_key): Product) -> Result<Tagged<ProductView>, Refused> {
    Ok(tagged(api.operator.show_product(&product_key).await?))
}

async fn update(
    Asked(api): Asked,
    Product(product_key): Product,
    Matching(if_match): Matching,
    Body(patch): Body<ProductPatch>,
) -> Result<Made<Tagged<ProductView>>, Refused> {
    // Also without a condition: a product is written as a whole.
    let _alone = alone(&product_key).await;
    let tag = async { api.operator.show_product(&product_key).await.map(|shown| entity_tag(&shown)) };
    permit(if_match, "the product", tag).await?;
    let place = changed(&patch);
    Ok(place.has(tagged(api.operator.update_product(&product_key, patch).await?)))
}

async fn delete(
    Asked(api): Asked,
    Product(product_key): Product,
    Query(DeleteProduct { force }): Query<DeleteProduct>,
) -> Result<Json<ProductDeleted>, Refused> {
    Ok(Json(api.operator.delete_product(&product_key, force).await?))
}

async fn show_secret(
    Asked(api): Asked,
    Product(product_key): Product,
) -> Result<Secretive<ProductSecretShown>, Refused> {
    Ok(Secretive(api.operator.show_product_secret(&product_key).await?))
}

async fn rotate_secret(
    Asked(api): Asked,
    Product(product_key): Product,
) -> Result<Secretive<ProductSecretRotated>, Refused> {
    Ok(Secretive(api.operator.rotate_product_secret(&product_key).await?))
}

async fn infer_model(Asked(api): Asked, Product(product_key): Product) -> Result<Json<ModelDraft>, Refused> {
    Ok(Json(api.operator.infer_model(&product_key).await?))
}

async fn create_device(
    Asked(api): Asked,
    Product(product_key): Product,
    Body(new): Body<NewDeviceRequest>,
) -> Result<Made<Created<Secretive<DeviceCreated>>>, Refused> {
    let created = api.operator.create_device(&product_key, new).await?;
    let path = ["products", &*product_key, "devices", &created.device_key];
    Ok(Place::new(&path, DeedTo::Nothing).has(Status(Secretive(created))))
}
