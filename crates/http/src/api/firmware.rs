//! `/api/v1/firmware`, images, and `/api/v1/rollouts`, who gets them.

use axum::{
    Json,
    http::{StatusCode, Uri},
};
use narrowgate_api::{
    firmware::{
        ImageList, ImagePieceQuery, ImageView, NewImage, NewRollout, RolloutOffered, RolloutRow, RolloutView,
        UpgradeView, UploadView,
    },
    page::Page,
    problem::Code,
    query::Paging,
};
use narrowgate_platform::{model::access::Needs, service::DeedTo};

use super::{
    asked::{Acts, Asked, Routes},
    audited::{Made, Place},
    conditions::{Tagged, tagged},
    described::{Answers as _, Created, Listed, Status},
    export::{Accepted, DEVICES, listed, listed_whole},
    extract::{Body, Octets, Part, Query, given},
};
use crate::problem::Refused;

const ACTS: Acts = &[
    ("pause", Needs::Operate, <Json<RolloutView>>::answers),
    ("resume", Needs::Operate, <Json<RolloutView>>::answers),
];

pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/api/v1/firmware", Needs::Read, list)
        .post("/api/v1/firmware", Needs::Administer, begin)
        .put("/api/v1/firmware:content", Needs::Administer, take)
        .get("/api/v1/firmware/{image}", Needs::Read, show)
        .delete("/api/v1/firmware/{image}", Needs::Administer, delete)
        .get("/api/v1/rollouts", Needs::Read, rollouts)
        .post("/api/v1/rollouts", Needs::Administer, offer)
        .get("/api/v1/rollouts/{image}", Needs::Read, rollout)
        .reads_much()
        // An operator can stop what goes wrong.
        .acts("/api/v1/rollouts/{image}", ACTS, act)
        .get("/api/v1/rollouts/{image}/devices", Needs::Read, devices)
}

async fn list(
    Asked(api): Asked,
    Query(ImageList { product }): Query<ImageList>,
    accepted: Accepted,
) -> Result<Listed<Page<ImageView>>, Refused> {
    let operator = api.operator;
    listed_whole(accepted, move || {
        let (operator, product) = (operator.clone(), product.clone());
        async move { operator.list_images(product.as_deref()).await }
    })
    .await
}

async fn rollouts(
    Asked(api): Asked,
    Query(ImageList { product }): Query<ImageList>,
    accepted: Accepted,
) -> Result<Listed<Page<RolloutRow>>, Refused> {
    let operator = api.operator;
    listed_whole(accepted, move || {
        let (operator, product) = (operator.clone(), product.clone());
        async move { operator.list_rollouts(product.as_deref()).await }
    })
    .await
}

async fn begin(Asked(api): Asked, Body(new): Body<NewImage>) -> Result<Made<Json<UploadView>>, Refused> {
    let place = upload(&new.product_key, &new.version, new.size);
    let begun = api.operator.begin_image(new).await?;
    Ok(place.of_upload(&begun).has(Json(begun)))
}

/// An upload to a product.
fn upload(product_key: &str, version: &str, size: u64) -> Place {
    let place = Place::of(DeedTo::Product(product_key.to_owned())).with("productKey", &product_key);
    place.with("version", &version).with("size", &size)
}

impl Place {
    /// With how far it is, or the image that it became.
    fn of_upload(self, UploadView { received, image }: &UploadView) -> Self {
        match image {
            Some(image) => self.of_image(image),
            None => self.with("received", received),
        }
    }

    /// With what an image is.
    fn of_image(self, ImageView { image_id, product_key, version, size, sha256, .. }: &ImageView) -> Self {
        let place = self.with("imageId", image_id).with("productKey", product_key).with("version", version);
        place.with("size", size).with("sha256", sha256)
    }
}

async fn take(
    Asked(api): Asked,
    Query(piece): Query<ImagePieceQuery>,
    Octets(bytes): Octets,
) -> Result<Made<Json<UploadView>>, Refused> {
    let place = upload(&piece.product_key, &piece.version, piece.size).with("offset", &piece.offset);
    let taken = api.operator.take_image_piece(piece, bytes.into()).await?;
    Ok(place.of_upload(&taken).has(Json(taken)))
}

async fn show(Asked(api): Asked, Part(image): Part) -> Result<Tagged<ImageView>, Refused> {
    Ok(tagged(api.operator.show_image(&image).await?))
}

async fn delete(Asked(api): Asked, Part(image): Part) -> Result<Made<Json<ImageView>>, Refused> {
    let deleted = api.operator.delete_image(&image).await?;
    let place = Place::of(DeedTo::Product(deleted.product_key.clone())).of_image(&deleted);
    Ok(place.has(Json(deleted)))
}

async fn offer(
    Asked(api): Asked,
    Body(new): Body<NewRollout>,
) -> Result<Made<Created<Json<RolloutOffered>>>, Refused> {
    let place = Place::new(&["rollouts", &new.image_id], DeedTo::Image(new.image_id.clone()));
    let place = place.with_some("device", new.device.as_ref()).with_some("share", new.share.as_ref());
    let offered = api.operator.offer_image(new).await?;
    Ok(place.with("devices", &offered.devices).has(Status(Json(offered))))
}

async fn rollout(Asked(api): Asked, Part(image): Part) -> Result<Tagged<RolloutView>, Refused> {
    Ok(tagged(api.operator.show_rollout(&image).await?))
}

/// `POST …/rollouts/{imageId}:pause` and `:resume`.
async fn act(Asked(api): Asked, Part(part): Part, uri: Uri) -> Result<Json<RolloutView>, Refused> {
    match part.rsplit_once(':') {
        Some((image, "pause")) => Ok(Json(api.operator.pause_rollout(&given(image.to_owned())).await?)),
        Some((image, "resume")) => Ok(Json(api.operator.resume_rollout(&given(image.to_owned())).await?)),
        _ => {
            let detail = format!("there is nothing at {}; it ends in :pause or :resume", uri.path());
            Err(Refused::new(StatusCode::NOT_FOUND, Code::PathUnknown, detail))
        }
    }
}

async fn devices(
    Asked(api): Asked,
    Part(image): Part,
    Query(paging): Query<Paging>,
    accepted: Accepted,
) -> Result<Listed<Page<UpgradeView>>, Refused> {
    let read = move |paging: Paging| {
        let (operator, image) = (api.operator.clone(), image.clone());
        async move { operator.list_rollout_devices(&image, &paging).await }
    };
    listed(accepted, paging, DEVICES, read).await
}
