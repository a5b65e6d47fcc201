//! Scripts of products: a draft, versions, trials.

use axum::Json;
use narrowgate_api::{
    page::Page,
    script::{
        NewScript, PublishScript, RollBackScript, ScriptPublished, ScriptVersionRow, ScriptVersionView,
        ScriptView, Tried, TryScript,
    },
};
use narrowgate_platform::{
    model::access::Needs,
    service::{DeedTo, entity_tag},
};

use super::{
    asked::{Asked, Routes},
    audited::{Made, Place},
    conditions::{Tagged, alone, need, permit, tagged},
    extract::{Body, Part, Product, Replacing},
};
use crate::problem::Refused;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/products/{product}/script", Needs::Read, show)
        .put("/api/v1/products/{product}/script", Needs::Administer, draft)
        .post("/api/v1/products/{product}/script:try", Needs::Administer, attempt)
        .post("/api/v1/products/{product}/script:publish", Needs::Administer, publish)
        .post("/api/v1/products/{product}/script:rollback", Needs::Administer, roll_back)
        .get("/api/v1/products/{product}/script/versions", Needs::Read, versions)
        .reads_much()
        .get("/api/v1/products/{product}/script/versions/{version}", Needs::Read, version)
}

async fn show(Asked(api): Asked, Product(product_key): Product) -> Result<Tagged<ScriptView>, Refused> {
    Ok(tagged(api.operator.show_script(&product_key).await?))
}

async fn draft(
    Asked(api): Asked,
    Product(product_key): Product,
    Replacing { if_match, is_given }: Replacing,
    Body(new): Body<NewScript>,
) -> Result<Tagged<ScriptView>, Refused> {
    let _alone = alone(&product_key).await;
    let shown = async || api.operator.show_script(&product_key).await;
    let is_there = async { Ok(shown().await?.draft.is_some()) };
    need(is_given, ("cannot keep the script", "the draft"), is_there).await?;
    let tag = async { shown().await.map(|shown| entity_tag(&shown)) };
    permit(if_match, "the script", tag).await?;
    Ok(tagged(api.operator.draft_script(&product_key, new).await?))
}

async fn attempt(
    Asked(api): Asked,
    Product(product_key): Product,
    Body(wanted): Body<TryScript>,
) -> Result<Json<Tried>, Refused> {
    Ok(Json(api.operator.try_script(&product_key, wanted).await?))
}

async fn publish(
    Asked(api): Asked,
    Product(product_key): Product,
    Body(wanted): Body<PublishScript>,
) -> Result<Made<Json<ScriptPublished>>, Refused> {
    let _alone = alone(&product_key).await;
    let published = api.operator.publish_script(&product_key, wanted).await?;
    Ok(Place::of(DeedTo::Nothing).with("version", &published.version).has(Json(published)))
}

async fn roll_back(
    Asked(api): Asked,
    Product(product_key): Product,
    Body(wanted): Body<RollBackScript>,
) -> Result<Made<Json<ScriptPublished>>, Refused> {
    let _alone = alone(&product_key).await;
    let place = Place::of(DeedTo::Nothing).with("restores", &wanted.version);
    let published = api.operator.roll_back_script(&product_key, wanted).await?;
    Ok(place.with("version", &published.version).has(Json(published)))
}

async fn versions(
    Asked(api): Asked,
    Product(product_key): Product,
) -> Result<Json<Page<ScriptVersionRow>>, Refused> {
    Ok(Json(api.operator.list_script_versions(&product_key).await?))
}

async fn version(
    Asked(api): Asked,
    Product(product_key): Product,
    Part(version): Part,
) -> Result<Tagged<ScriptVersionView>, Refused> {
    Ok(tagged(api.operator.show_script_version(&product_key, &version).await?))
}
