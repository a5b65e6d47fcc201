//! The verbs of firmware.

use narrowgate_api::{
    firmware::{ImagePieceQuery, NewImage, NewRollout},
    query::Paging,
};

use super::{Call, Verb, verb};

pub(super) fn verbs() -> [Verb; 10] {
    [
        verb("begin_image", Call::begin_image(&new_image())),
        verb("take_image_piece", Call::take_image_piece(&image_piece(), vec![7])),
        verb("list_images", Call::list_images(Some("pk".into()))),
        verb("show_image", Call::show_image("Ab3dEf7h")),
        verb("delete_image", Call::delete_image("Ab3dEf7h")),
        verb("offer_image", Call::offer_image(&NewRollout { share: Some(7), ..rollout() })),
        verb("show_rollout", Call::show_rollout("Ab3dEf7h")),
        verb("list_rollout_devices", Call::list_rollout_devices("Ab3dEf7h", &Paging::first(7))),
        verb("pause_rollout", Call::pause_rollout("Ab3dEf7h")),
        verb("resume_rollout", Call::resume_rollout("Ab3dEf7h")),
    ]
}

fn new_image() -> NewImage {
    let (product_key, version, sha256) = ("pk".into(), "1.0".into(), "07".repeat(32));
    NewImage { product_key, version, size: 1, sha256 }
}

fn image_piece() -> ImagePieceQuery {
    let NewImage { product_key, version, size, sha256 } = new_image();
    ImagePieceQuery { product_key, version, size, sha256, offset: 0 }
}

fn rollout() -> NewRollout {
    NewRollout { image_id: "Ab3dEf7h".into(), device: None, share: None, cursor: None }
}
