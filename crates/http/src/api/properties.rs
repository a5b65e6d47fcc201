//! Attributes and tags of a device.

use axum::{Json, Router, extract::State, routing::get};
use narrowgate_api::properties::{PropertiesPatch, PropertiesView};

use super::{
    Api,
    extract::{Body, Named},
};
use crate::problem::Refused;

pub(super) fn routes() -> Router<Api> {
    let mut routes = Router::new();
    for device in super::DEVICE_PATHS {
        routes = routes
            .route(&format!("{device}/attributes"), get(attributes).patch(edit_attributes))
            .route(&format!("{device}/tags"), get(tags).patch(edit_tags).put(replace_tags));
    }
    routes
}

async fn attributes(State(api): State<Api>, Named(name): Named) -> Result<Json<PropertiesView>, Refused> {
    Ok(Json(api.operator.show_attributes(&name).await?))
}

async fn edit_attributes(
    State(api): State<Api>,
    Named(name): Named,
    Body(patch): Body<PropertiesPatch>,
) -> Result<Json<PropertiesView>, Refused> {
    Ok(Json(api.operator.edit_attributes(&name, patch).await?))
}

async fn tags(State(api): State<Api>, Named(name): Named) -> Result<Json<PropertiesView>, Refused> {
    Ok(Json(api.operator.show_tags(&name).await?))
}

async fn edit_tags(
    State(api): State<Api>,
    Named(name): Named,
    Body(patch): Body<PropertiesPatch>,
) -> Result<Json<PropertiesView>, Refused> {
    Ok(Json(api.operator.edit_tags(&name, patch).await?))
}

async fn replace_tags(
    State(api): State<Api>,
    Named(name): Named,
    Body(tags): Body<PropertiesView>,
) -> Result<Json<PropertiesView>, Refused> {
    Ok(Json(api.operator.replace_tags(&name, tags).await?))
}
