//! `/api/v1/users`: people who use the product.

use axum::Json;
use narrowgate_api::{
    page::Page,
    user::{NewUser, UserInvited, UserUpdate, UserView},
};
use narrowgate_platform::{
    model::access::Needs,
    service::{DeedTo, entity_tag},
};

use super::{
    asked::{Acts, Asked, Routes},
    audited::{Made, Place},
    conditions::{Tagged, alone, permit, tagged},
    described::{Answers as _, Created, Status},
    extract::{Body, Matching, Part, given},
};
use crate::{problem::Refused, secret::Secretive};

const ACTS: Acts = &[("reset", Needs::AdministerAll, <Secretive<UserInvited>>::answers)];

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/users", Needs::AdministerAll, list)
        .post("/api/v1/users", Needs::AdministerAll, create)
        .get("/api/v1/users/{user}", Needs::AdministerAll, show)
        .patch("/api/v1/users/{user}", Needs::AdministerAll, update)
        .delete("/api/v1/users/{user}", Needs::AdministerAll, delete)
        .acts("/api/v1/users/{user}", ACTS, act)
}

async fn list(Asked(api): Asked) -> Result<Json<Page<UserView>>, Refused> {
    Ok(Json(api.operator.list_users().await?))
}

async fn create(
    Asked(api): Asked,
    Body(new): Body<NewUser>,
) -> Result<Made<Created<Secretive<UserInvited>>>, Refused> {
    let place = Place::new(&["users", &new.user], DeedTo::Nothing);
    Ok(place.has(Status(Secretive(api.operator.create_user(new).await?))))
}

async fn show(Asked(api): Asked, Part(name): Part) -> Result<Tagged<UserView>, Refused> {
    Ok(tagged(api.operator.show_user(&name).await?))
}

async fn update(
    Asked(api): Asked,
    Part(name): Part,
    Matching(if_match): Matching,
    Body(update): Body<UserUpdate>,
) -> Result<Tagged<UserView>, Refused> {
    let _alone = alone(&name).await;
    let tag = async { api.operator.show_user(&name).await.map(|shown| entity_tag(&shown)) };
    permit(if_match, "the user", tag).await?;
    Ok(tagged(api.operator.update_user(&name, update).await?))
}

async fn delete(Asked(api): Asked, Part(name): Part) -> Result<Json<Option<UserView>>, Refused> {
    Ok(Json(api.operator.delete_user(&name).await?))
}

async fn act(Asked(api): Asked, Part(last): Part) -> Result<Secretive<UserInvited>, Refused> {
    // Only the one act gets here; a name may have colons.
    let name = last.rsplit_once(':').map_or(&*last, |(name, _)| name);
    Ok(Secretive(api.operator.reset_user(&given(name.to_owned())).await?))
}
