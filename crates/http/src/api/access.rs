//! `/api/v1/me`, `/api/v1/ous` and `/api/v1/tokens`: who asks, organisation units, tokens.

use axum::{Json, http::header};
use narrowgate_api::{
    access::{Me, NewToken, NewUnit, TokenCreated, TokenView, UnitPatch, UnitView},
    page::Page,
};
use narrowgate_platform::{
    model::access::Needs,
    service::{DeedTo, entity_tag},
};

use super::{
    asked::{Acts, Asked, Routes},
    audited::{Made, Place},
    conditions::{Tagged, alone, permit},
    described::{Answers as _, Created, Listed, Status},
    export::{Accepted, listed_whole},
    extract::{Body, Matching, Part, given},
};
use crate::{problem::Refused, secret::Secretive};

const UNIT_ACTS: Acts = &[
    ("suspend", Needs::AdministerAll, <Json<UnitView>>::answers),
    ("resume", Needs::AdministerAll, <Json<UnitView>>::answers),
];

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/me", Needs::Read, me)
        .get("/api/v1/ous", Needs::AdministerAll, list_units)
        .reads_much()
        .post("/api/v1/ous", Needs::AdministerAll, create_unit)
        .get("/api/v1/ous/{ou}", Needs::AdministerAll, show_unit)
        .patch("/api/v1/ous/{ou}", Needs::AdministerAll, update_unit)
        .acts("/api/v1/ous/{ou}", UNIT_ACTS, switch_unit)
        .get("/api/v1/tokens", Needs::AdministerAll, list_tokens)
        .reads_much()
        .post("/api/v1/tokens", Needs::AdministerAll, create_token)
        .get("/api/v1/tokens/{token}", Needs::AdministerAll, show_token)
        .delete("/api/v1/tokens/{token}", Needs::AdministerAll, revoke_token)
}

async fn me(Asked(api): Asked) -> Json<Me> {
    Json(api.operator.show_me())
}

async fn list_units(Asked(api): Asked, accepted: Accepted) -> Result<Listed<Page<UnitView>>, Refused> {
    let operator = api.operator;
    listed_whole(accepted, move || {
        let operator = operator.clone();
        async move { operator.list_units().await }
    })
    .await
}

async fn create_unit(
    Asked(api): Asked,
    Body(new): Body<NewUnit>,
) -> Result<Made<Created<Json<UnitView>>>, Refused> {
    let created = api.operator.create_unit(new).await?;
    let place = Place::new(&["ous", &created.ou], DeedTo::Unit(Some(created.ou.clone())));
    Ok(place.with("name", &created.name).with("quotas", &created.quotas).has(Status(Json(created))))
}

async fn update_unit(
    Asked(api): Asked,
    Part(name): Part,
    Matching(if_match): Matching,
    Body(patch): Body<UnitPatch>,
) -> Result<Made<Tagged<UnitView>>, Refused> {
    // It has two names.
    let ou = api.operator.show_unit(&name).await?.ou;
    let _alone = alone(&ou).await;
    let tag = async { api.operator.show_unit(&ou).await.map(|shown| tag_of(&shown)) };
    permit(if_match, "the organisation unit", tag).await?;
    let updated = api.operator.update_unit(&ou, patch).await?;
    let place = Place::of(DeedTo::Unit(Some(ou))).with("quotas", &updated.quotas);
    Ok(place.has(tagged(updated)))
}

async fn show_unit(Asked(api): Asked, Part(name): Part) -> Result<Tagged<UnitView>, Refused> {
    Ok(tagged(api.operator.show_unit(&name).await?))
}

fn tagged(unit: UnitView) -> Tagged<UnitView> {
    ([(header::ETAG, tag_of(&unit))], Json(unit))
}

/// The tag of what operators change of a unit; reports do not change it.
fn tag_of(unit: &UnitView) -> String {
    entity_tag(&UnitView { reports_today: None, ..unit.clone() })
}

async fn switch_unit(Asked(api): Asked, Part(last): Part) -> Result<Made<Json<UnitView>>, Refused> {
    // Only these two acts get here; a name may have colons.
    let (name, act) = last.rsplit_once(':').unwrap_or((&last, ""));
    let name = given(name.to_owned());
    let switched = match act {
        "suspend" => api.operator.suspend_unit(&name).await,
        _ => api.operator.resume_unit(&name).await,
    }?;
    Ok(Place::of(DeedTo::Unit(Some(switched.ou.clone()))).has(Json(switched)))
}

async fn list_tokens(Asked(api): Asked, accepted: Accepted) -> Result<Listed<Page<TokenView>>, Refused> {
    let operator = api.operator;
    listed_whole(accepted, move || {
        let operator = operator.clone();
        async move { operator.list_tokens().await }
    })
    .await
}

async fn show_token(Asked(api): Asked, Part(name): Part) -> Result<Tagged<TokenView>, Refused> {
    let shown = api.operator.show_token(&name).await?;
    Ok(([(header::ETAG, entity_tag(&shown))], Json(shown)))
}

async fn create_token(
    Asked(api): Asked,
    Body(new): Body<NewToken>,
) -> Result<Made<Created<Secretive<TokenCreated>>>, Refused> {
    let created: TokenCreated = api.operator.create_token(new).await?;
    let TokenView { name: token, role, ou, .. } = &created.view;
    let by = api.operator.caller();
    tracing::info!(token, ?role, ou = ou.as_deref().unwrap_or("all"), %by, "a token was made");
    let place = Place::new(&["tokens", token], DeedTo::Nothing).of_token(&created.view);
    Ok(place.has(Status(Secretive(created))))
}

impl Place {
    /// With what the token permits, where and until when.
    fn of_token(self, TokenView { role, ou, expires_at, .. }: &TokenView) -> Self {
        let place = self.belonging_to(DeedTo::Unit(ou.clone()));
        place
            .with("role", role)
            .with("ou", &ou.as_deref().unwrap_or("all"))
            .with_some("expiresAt", expires_at.as_ref())
    }
}

async fn revoke_token(Asked(api): Asked, Part(name): Part) -> Result<Made<Json<Option<TokenView>>>, Refused> {
    let revoked = api.operator.revoke_token(&name).await?;
    tracing::info!(token = name, by = %api.operator.caller(), "a token was revoked");
    let place = Place::of(DeedTo::Nothing);
    let place = match &revoked {
        Some(revoked) => place.of_token(revoked),
        None => place,
    };
    Ok(place.has(Json(revoked)))
}
