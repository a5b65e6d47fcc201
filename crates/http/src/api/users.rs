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
    described::{Answers as _, Created, Listed, Status},
    export::{Accepted, listed_whole},
    extract::{Body, Matching, Part, given},
};
use crate::{problem::Refused, secret::Secretive};

const ACTS: Acts = &[("reset", Needs::AdministerAll, <Secretive<UserInvited>>::answers)];

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/users", Needs::AdministerAll, list)
        .reads_much()
        .post("/api/v1/users", Needs::AdministerAll, create)
        .get("/api/v1/users/{user}", Needs::AdministerAll, show)
        .patch("/api/v1/users/{user}", Needs::AdministerAll, update)
        .delete("/api/v1/users/{user}", Needs::AdministerAll, delete)
        .acts("/api/v1/users/{user}", ACTS, act)
}

async fn list(Asked(api): Asked, accepted: Accepted) -> Result<Listed<Page<UserView>>, Refused> {
    let operator = api.operator;
    listed_whole(accepted, move || {
        let operator = operator.clone();
        async move { operator.list_users().await }
    })
    .await
}

async fn create(
    Asked(api): Asked,
    Body(new): Body<NewUser>,
) -> Result<Made<Created<Secretive<UserInvited>>>, Refused> {
    let invited = api.operator.create_user(new).await?;
    let place = Place::new(&["users", &invited.view.user], DeedTo::Unit(invited.view.ou.clone()));
    Ok(place.of_user(&invited.view).has(Status(Secretive(invited))))
}

impl Place {
    /// With what the user may do, and where.
    fn of_user(self, UserView { role, ou, state, .. }: &UserView) -> Self {
        self.with("role", role).with("ou", &ou.as_deref().unwrap_or("all")).with("state", state)
    }
}

/// A user that is there.
fn place_of(view: &UserView) -> Place {
    Place::of(DeedTo::Unit(view.ou.clone())).of_user(view)
}

async fn show(Asked(api): Asked, Part(name): Part) -> Result<Tagged<UserView>, Refused> {
    Ok(tagged(api.operator.show_user(&name).await?))
}

async fn update(
    Asked(api): Asked,
    Part(name): Part,
    Matching(if_match): Matching,
    Body(update): Body<UserUpdate>,
) -> Result<Made<Tagged<UserView>>, Refused> {
    let _alone = alone(&name).await;
    let tag = async { api.operator.show_user(&name).await.map(|shown| entity_tag(&shown)) };
    permit(if_match, "the user", tag).await?;
    let updated = api.operator.update_user(&name, update).await?;
    Ok(place_of(&updated).has(tagged(updated)))
}

async fn delete(Asked(api): Asked, Part(name): Part) -> Result<Made<Json<Option<UserView>>>, Refused> {
    let deleted = api.operator.delete_user(&name).await?;
    let place = deleted.as_ref().map_or_else(|| Place::of(DeedTo::Nothing), place_of);
    Ok(place.has(Json(deleted)))
}

async fn act(Asked(api): Asked, Part(last): Part) -> Result<Made<Secretive<UserInvited>>, Refused> {
    // Only the one act gets here; a name may have colons.
    let name = last.rsplit_once(':').map_or(&*last, |(name, _)| name);
    let invited = api.operator.reset_user(&given(name.to_owned())).await?;
    Ok(place_of(&invited.view).has(Secretive(invited)))
}
