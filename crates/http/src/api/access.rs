//! `/api/v1/me`, `/api/v1/ous` and `/api/v1/tokens`: who asks, organisation units, tokens.

use axum::Json;
use narrowgate_api::{
    access::{Me, NewToken, NewUnit, TokenCreated, TokenView, UnitView},
    page::Page,
};
use narrowgate_platform::{
    model::access::{Caller, Needs},
    service::DeedTo,
};

use super::{
    asked::{Asked, Routes},
    audited::{Made, Place},
    described::{Created, Status},
    extract::{Body, Part},
};
use crate::{problem::Refused, secret::Secretive};

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/me", Needs::Read, me)
        .get("/api/v1/ous", Needs::AdministerAll, list_units)
        .post("/api/v1/ous", Needs::AdministerAll, create_unit)
        .get("/api/v1/tokens", Needs::AdministerAll, list_tokens)
        .post("/api/v1/tokens", Needs::AdministerAll, create_token)
        .delete("/api/v1/tokens/{token}", Needs::AdministerAll, revoke_token)
}

async fn me(Asked(api): Asked) -> Json<Me> {
    Json(api.operator.show_me())
}

async fn list_units(Asked(api): Asked) -> Result<Json<Page<UnitView>>, Refused> {
    Ok(Json(api.operator.list_units().await?))
}

async fn create_unit(
    Asked(api): Asked,
    Body(new): Body<NewUnit>,
) -> Result<Made<Created<Json<UnitView>>>, Refused> {
    let created = api.operator.create_unit(new).await?;
    Ok(Place::new(&["ous", &created.ou], DeedTo::Nothing).has(Status(Json(created))))
}

async fn list_tokens(Asked(api): Asked) -> Result<Json<Page<TokenView>>, Refused> {
    Ok(Json(api.operator.list_tokens().await?))
}

async fn create_token(
    Asked(api): Asked,
    Body(new): Body<NewToken>,
) -> Result<Made<Created<Secretive<TokenCreated>>>, Refused> {
    let created: TokenCreated = api.operator.create_token(new).await?;
    let TokenView { name: token, role, ou, .. } = &created.view;
    let (by, ou) = (author(api.operator.caller()), ou.as_deref().unwrap_or("all"));
    tracing::info!(token, ?role, ou, by, "a token was made");
    let place = Place::new(&["tokens", token], DeedTo::Nothing);
    Ok(place.has(Status(Secretive(created))))
}

async fn revoke_token(Asked(api): Asked, Part(name): Part) -> Result<Json<Option<TokenView>>, Refused> {
    let revoked = api.operator.revoke_token(&name).await?;
    tracing::info!(token = name, by = author(api.operator.caller()), "a token was revoked");
    Ok(Json(revoked))
}

/// Who does it, for the log.
fn author(caller: &Caller) -> &str {
    match caller {
        Caller::Owner => "the owner",
        Caller::Token { name, .. } | Caller::User { name, .. } => name,
    }
}
