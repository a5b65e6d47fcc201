//! Attributes and tags of a device, with entity tags: who changes what he has read says so by If-Match
//! (RFC 9110, section 13.1.1), and changes nothing that somebody else has changed since.

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderName, header},
    routing::{MethodRouter, get},
};
use narrowgate_api::{
    device::NamedDevice,
    properties::{PropertiesPatch, PropertiesView},
};
use narrowgate_platform::{
    model::property::PropertyKind,
    service::{Others, PropertiesEdit, entity_tag},
};

use super::{
    Api,
    extract::{Body, Matching, Named},
};
use crate::problem::Refused;

/// All of them, with their entity tag.
type Tagged = ([(HeaderName, String); 1], Json<PropertiesView>);

pub(super) fn routes() -> Router<Api> {
    let mut routes = Router::new();
    for device in super::DEVICE_PATHS {
        routes = routes
            .route(&format!("{device}/attributes"), shown_and_edited(PropertyKind::Attribute))
            .route(&format!("{device}/tags"), shown_and_edited(PropertyKind::Tag).put(replace_tags));
    }
    routes
}

fn shown_and_edited(kind: PropertyKind) -> MethodRouter<Api> {
    let show = async move |State(api): State<Api>, Named(name): Named| -> Result<Tagged, Refused> {
        Ok(tagged(api.operator.show_properties(&name, kind).await?))
    };
    let patch = async move |State(api): State<Api>,
                            Named(name): Named,
                            Matching(if_match): Matching,
                            Body(patch): Body<PropertiesPatch>| {
        edit(&api, &name, PropertiesEdit { kind, patch, others: Others::Stay, if_match }).await
    };
    get(show).patch(patch)
}

async fn replace_tags(
    State(api): State<Api>,
    Named(name): Named,
    Matching(if_match): Matching,
    Body(PropertiesView(tags)): Body<PropertiesView>,
) -> Result<Tagged, Refused> {
    let patch = PropertiesPatch(tags.into_iter().map(|(key, value)| (key, Some(value))).collect());
    let edit_all = PropertiesEdit { kind: PropertyKind::Tag, patch, others: Others::Go, if_match };
    edit(&api, &name, edit_all).await
}

async fn edit(api: &Api, name: &NamedDevice, edit: PropertiesEdit) -> Result<Tagged, Refused> {
    Ok(tagged(api.operator.edit_properties(name, edit).await?))
}

fn tagged(all: PropertiesView) -> Tagged {
    ([(header::ETAG, entity_tag(&all))], Json(all))
}
