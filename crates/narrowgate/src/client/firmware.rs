//! The requests about firmware.

use axum::http::Method;
use narrowgate_api::{
    firmware::{
        ImageList, ImagePieceQuery, ImageView, NewImage, NewRollout, RolloutOffered, RolloutView,
        UpgradeView, UploadView,
    },
    page::Page,
    query::Paging,
};

use super::call::{Call, segment};

const IMAGES: &str = "/api/v1/firmware";
const ROLLOUTS: &str = "/api/v1/rollouts";

/// What to do where a change got no answer.
const UPLOAD_AGAIN: &str = "upload the same file again: it goes on where it stopped";
const LOOK_AT_IMAGES: &str = "look whether it is there (firmware list), then try again";
const LOOK_AT_ROLLOUT: &str = "look how far it is (firmware status IMAGE), then try again";

impl Call<UploadView> {
    pub(crate) fn begin_image(new: &NewImage) -> Self {
        Self::change(Method::POST, IMAGES.into()).body(new).afterwards(UPLOAD_AGAIN)
    }

    pub(crate) fn take_image_piece(piece: &ImagePieceQuery, bytes: Vec<u8>) -> Self {
        Self::change(Method::PUT, format!("{IMAGES}:content"))
            .query(piece)
            .octets(bytes)
            .afterwards(UPLOAD_AGAIN)
    }
}

impl Call<Page<ImageView>> {
    pub(crate) fn list_images(product: Option<String>) -> Self {
        Self::get(IMAGES.into()).query(&ImageList { product })
    }
}

impl Call<ImageView> {
    pub(crate) fn show_image(image: &str) -> Self {
        Self::get(format!("{IMAGES}/{}", segment(image)))
    }

    pub(crate) fn delete_image(image: &str) -> Self {
        Self::change(Method::DELETE, format!("{IMAGES}/{}", segment(image))).afterwards(LOOK_AT_IMAGES)
    }
}

impl Call<RolloutOffered> {
    /// A part of an offer; to be asked again with the cursor of its answer.
    pub(crate) fn offer_image(new: &NewRollout) -> Self {
        Self::change(Method::POST, ROLLOUTS.into()).body(new).afterwards(LOOK_AT_ROLLOUT)
    }
}

impl Call<RolloutView> {
    pub(crate) fn show_rollout(image: &str) -> Self {
        Self::get(format!("{ROLLOUTS}/{}", segment(image)))
    }

    pub(crate) fn pause_rollout(image: &str) -> Self {
        Self::change(Method::POST, format!("{ROLLOUTS}/{}:pause", segment(image))).afterwards(LOOK_AT_ROLLOUT)
    }

    pub(crate) fn resume_rollout(image: &str) -> Self {
        Self::change(Method::POST, format!("{ROLLOUTS}/{}:resume", segment(image)))
            .afterwards(LOOK_AT_ROLLOUT)
    }
}

impl Call<Page<UpgradeView>> {
    pub(crate) fn list_rollout_devices(image: &str, paging: &Paging) -> Self {
        Self::get(format!("{ROLLOUTS}/{}/devices", segment(image))).query(paging)
    }
}
