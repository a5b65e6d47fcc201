//! Firmware.

use narrowgate_api::{
    device::NewDeviceRequest,
    firmware::{ImagePieceQuery, NewImage},
};
use sha2::{Digest as _, Sha256};

use super::*;

/// An image of `pk-1`; its page.
async fn image(world: &World, version: &str) -> String {
    let bytes = version.as_bytes().to_vec();
    let (size, sha256) = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)));
    let (product_key, version) = ("pk-1".to_owned(), version.to_owned());
    let new = NewImage { product_key, version, size, sha256 };
    world.operator.begin_image(new.clone()).await.expect("there is room");
    let NewImage { product_key, version, size, sha256 } = new;
    let piece = ImagePieceQuery { product_key, version, size, sha256, offset: 0 };
    let upload = world.operator.take_image_piece(piece, bytes).await.expect("it is all of it");
    format!("/console/firmware/{}", upload.image.expect("it is complete").image_id)
}

async fn devices(world: &World, count: u32) {
    for number in 0..count {
        let device_key = Some(format!("many-{number:03}"));
        let new = NewDeviceRequest { device_key, ..NewDeviceRequest::default() };
        world.operator.create_device("pk-1", new).await.expect("it is new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_listed_with_who_gets_them_as_far_as_the_role_goes() {
    let world = world(None).await;
    let (furnished, _) = world.furnish().await;
    let path = image(&world, "<i>9\"&").await;
    for (name, role, offers) in [
        ("vera", Role::Viewer, [false, false, false]),
        ("otto", Role::Operator, [true, false, false]),
        ("ada", Role::Administrator, [true, true, true]),
    ] {
        let mut browser = visitor(&world, name, role, None).await;
        let page = opened(&mut browser, "/console/firmware").await;
        assert!(page.contains(&path) && page.contains("&lt;i&gt;9&quot;&amp;"), "{page}");
        assert!(page.contains("devices that were named") && page.contains("not offered"), "{page}");
        // Room is there before the script, which alone sends the form.
        assert!(!page.contains("data-upload") || page.contains("class=\"first\" disabled>Upload"), "{page}");
        let uploads = ["narrowgate firmware upload", "data-upload"].map(|said| page.contains(said));
        assert_eq!(uploads, [offers[2]; 2], "{name}");
        let page = opened(&mut browser, &format!("/console/firmware/{furnished}")).await;
        for said in ["0 of 1 device done", "dk-1", "http-equiv=\"refresh\"", "data-live", "offered"] {
            assert!(page.contains(said), "{said}: {page}");
        }
        let ends = ["/pause\"", "/offer\"", "/delete\""];
        let found = ends.map(|end| page.contains(&format!("{furnished}{end}")));
        assert_eq!(found, offers, "{name}");
        let page = opened(&mut browser, &path).await;
        assert!(page.contains("No device gets this image yet") && !page.contains("<i>"), "{page}");
    }
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    assert!(opened(&mut nora, "/console/firmware").await.contains("No firmware image yet"));
    for end in ["", "/offer?share=10", "/delete"] {
        let none = nora.get(&format!("{path}{end}")).await;
        assert_eq!(none.status, 404, "{end}");
        is_sound(&none, end);
    }
    let hostile = nora.get("/console/firmware?product=%22%3E%3Cscript%3E;rm&from=x").await;
    is_sound(&hostile, "a hostile filter");
    assert!(hostile.status == 404 && !hostile.body.contains("firmware upload"), "{}", hostile.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_what_upgrades_failed_is_counted() {
    let world = world(None).await;
    let (furnished, _) = world.furnish().await;
    let path = format!("/console/firmware/{furnished}");
    let mut vera = visitor(&world, "vera", Role::Viewer, None).await;
    assert!(!opened(&mut vera, &path).await.contains("At what upgrades failed"));
    world.refuse_commands().await;
    let page = opened(&mut vera, &path).await;
    let (_, failures) = page.split_once("At what upgrades failed").expect("one has failed");
    let (failures, _) = failures.split_once("</section>").expect("it ends");
    assert!(failures.contains(">refused</th>") && failures.contains(">1</td>"), "{failures}");
    assert!(!failures.contains("Of the first"), "it was looked at all: {failures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_offered_to_a_device_and_to_a_share_after_a_question() {
    let world = world(None).await;
    devices(&world, 60).await;
    let path = image(&world, "2.1").await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let page = opened(&mut ada, &format!("{path}/offer?device=dk-1")).await;
    assert!(page.contains("offered to the device dk-1 of pk-1") && page.contains("type 2.1"), "{page}");
    let offer = format!("{path}/offer");
    let wrong = sent(&mut ada, &offer, "device=dk-1&typed=2").await;
    assert!(wrong.status == 422 && wrong.body.contains("Nothing was done"), "{}", wrong.body);
    let none = sent(&mut ada, &offer, "device=%3Cb%3E&typed=2.1").await;
    assert!(none.status == 404 && none.body.contains("role=\"alert\""), "{}", none.body);
    let done = sent(&mut ada, &offer, "device=dk-1&typed=2.1").await;
    assert!(done.status == 200 && done.body.contains("offered to 1 device that"), "{}", done.body);
    let page = opened(&mut ada, &format!("{path}/offer?share=100")).await;
    assert!(page.contains("100 % of all devices of pk-1"), "{page}");
    let done = sent(&mut ada, &offer, "share=100&typed=2.1").await;
    assert!(done.status == 200 && done.body.contains("offered to 60 devices that"), "{}", done.body);
    let page = opened(&mut ada, &path).await;
    assert!(page.contains("0 of 61 devices done") && page.contains("100 % of the devices"), "{page}");
    let next = page.split_once("rel=\"next\" href=\"").and_then(|(_, rest)| rest.split_once('"'));
    let second = opened(&mut ada, next.expect("there is more").0).await;
    let rows = |page: &str| page.matches("data-row").count();
    assert_eq!((rows(&page), rows(&second)), (50, 11));
    for share in ["10", "0", "x", "101", "-1"] {
        let less = sent(&mut ada, &offer, &format!("share={share}&typed=2.1")).await;
        let is_refused = (409..=422).contains(&less.status);
        assert!(is_refused && less.body.contains("role=\"alert\""), "{share}: {}", less.status);
    }
    let audit = ada.get("/api/v1/audit?actor=ada").await.body;
    assert!(audit.contains("\"action\":\"rollouts.create\""), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_paused_and_goes_on_and_an_image_is_deleted_by_name() {
    let world = world(None).await;
    devices(&world, 1).await;
    let path = image(&world, "2.1").await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    sent(&mut ada, &format!("{path}/offer"), "share=100&typed=2.1").await;
    let mut otto = visitor(&world, "otto", Role::Operator, None).await;
    assert_eq!(sent(&mut otto, &format!("{path}/pause"), "").await.status, 303);
    let page = opened(&mut otto, &path).await;
    assert!(page.contains("paused") && page.contains("/resume\""), "{page}");
    assert_eq!(sent(&mut otto, &format!("{path}/resume"), "").await.status, 303);
    assert!(opened(&mut otto, &path).await.contains("under way"));
    let delete = format!("{path}/delete");
    let goes_on = sent(&mut ada, &delete, "typed=2.1").await;
    assert!(goes_on.status == 409 && goes_on.body.contains("role=\"alert\""), "{}", goes_on.body);
    sent(&mut otto, &format!("{path}/pause"), "").await;
    assert!(opened(&mut ada, &delete).await.contains("type 2.1"));
    assert_eq!(sent(&mut ada, &delete, "typed=2.2").await.status, 422);
    assert_eq!(sent(&mut ada, &delete, "typed=2.1").await.status, 303);
    assert_eq!(ada.get(&path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_with_firmware_is_refused_behind_the_pages_too() {
    let world = world(None).await;
    let path = image(&world, "2.1").await;
    let mut vera = visitor(&world, "vera", Role::Viewer, None).await;
    let mut otto = visitor(&world, "otto", Role::Operator, None).await;
    for (end, fields) in [("offer", "share=100&typed=2.1"), ("delete", "typed=2.1"), ("pause", "")] {
        let refused = sent(&mut vera, &format!("{path}/{end}"), fields).await;
        assert_eq!(refused.status, 403, "{end}: {}", refused.body);
    }
    for end in ["offer?share=10", "delete"] {
        let refused = otto.get(&format!("{path}/{end}")).await;
        assert!(refused.status == 403 && !refused.body.contains("class=\"confirm\""), "{end}");
    }
    let chinese = [("accept-language", "zh")];
    for path in ["/console/firmware", &path] {
        let page = vera.send(Method::GET, path, &chinese, "").await;
        assert!(page.body.contains("未推送"), "{}", page.body);
        is_sound(&page, "in Chinese");
    }
}
