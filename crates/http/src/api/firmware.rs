//! `/api/v1/firmware`, images, and `/api/v1/rollouts`, who gets them.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, Uri},
    routing::{get, post, put},
};
use narrowgate_api::{
    firmware::{
        ImageList, ImagePieceQuery, ImageView, NewImage, NewRollout, RolloutOffered, RolloutView,
        UpgradeView, UploadView,
    },
    page::Page,
    problem::Code,
    query::Paging,
};

use super::{
    Api,
    extract::{Body, Octets, Part, Query, given},
};
use crate::problem::Refused;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/firmware", get(list).post(begin))
        .route("/api/v1/firmware:content", put(take))
        .route("/api/v1/firmware/{image}", get(show).delete(delete))
        .route("/api/v1/rollouts", post(offer))
        .route("/api/v1/rollouts/{image}", get(rollout).post(act))
        .route("/api/v1/rollouts/{image}/devices", get(devices))
}

async fn list(
    State(api): State<Api>,
    Query(ImageList { product }): Query<ImageList>,
) -> Result<Json<Page<ImageView>>, Refused> {
    Ok(Json(api.operator.list_images(product.as_deref()).await?))
}

async fn begin(State(api): State<Api>, Body(new): Body<NewImage>) -> Result<Json<UploadView>, Refused> {
    Ok(Json(api.operator.begin_image(new).await?))
}

async fn take(
    State(api): State<Api>,
    Query(piece): Query<ImagePieceQuery>,
    Octets(bytes): Octets,
) -> Result<Json<UploadView>, Refused> {
    Ok(Json(api.operator.take_image_piece(piece, bytes.into()).await?))
}

async fn show(State(api): State<Api>, Part(image): Part) -> Result<Json<ImageView>, Refused> {
    Ok(Json(api.operator.show_image(&image).await?))
}

async fn delete(State(api): State<Api>, Part(image): Part) -> Result<Json<ImageView>, Refused> {
    Ok(Json(api.operator.delete_image(&image).await?))
}

async fn offer(
    State(api): State<Api>,
    Body(new): Body<NewRollout>,
) -> Result<(StatusCode, Json<RolloutOffered>), Refused> {
    Ok((StatusCode::CREATED, Json(api.operator.offer_image(new).await?)))
}

async fn rollout(State(api): State<Api>, Part(image): Part) -> Result<Json<RolloutView>, Refused> {
    Ok(Json(api.operator.show_rollout(&image).await?))
}

/// `POST …/rollouts/{imageId}:pause` and `:resume`.
async fn act(State(api): State<Api>, Part(part): Part, uri: Uri) -> Result<Json<RolloutView>, Refused> {
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
    State(api): State<Api>,
    Part(image): Part,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<UpgradeView>>, Refused> {
    Ok(Json(api.operator.list_rollout_devices(&image, &paging).await?))
}
