//! The server itself.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_system_says_how_the_server_is_and_what_takes_the_room() {
    let world = world(None).await;
    world.furnish().await;
    let mut ann = visitor(&world, "ann2", Role::Viewer, None).await;
    let page = opened(&mut ann, "/console/system").await;
    for said in ["All is well", "What takes the room", "Values of devices", "/health/ready", "aria-current"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(!page.contains("href=\"#server\""), "nothing of the server needs anybody: {page}");
    assert!(!page.contains("Make a backup now"), "a viewer makes none: {page}");
    let refused = sent(&mut ann, "/console/system/backup", "key=").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    // Its numbers are of all units.
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    let refused = nora.get("/console/system").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(!opened(&mut nora, "/console").await.contains("/console/system"));
    let refused = sent(&mut nora, "/console/system/backup", "key=1").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_with_the_key_only_where_that_is_chosen() {
    let world = world(None).await;
    let mut ann = visitor(&world, "ann2", Role::Administrator, None).await;
    assert!(opened(&mut ann, "/console/system").await.contains("Make a backup now"));
    let made = sent(&mut ann, "/console/system/backup", "once=first-backup").await;
    assert!(made.status == 200 && made.body.contains("without the data key"), "{}", made.body);
    let made = sent(&mut ann, "/console/system/backup", "key=1&once=second-backup").await;
    assert!(made.status == 200 && made.body.contains("with the data key"), "{}", made.body);
    assert!(opened(&mut ann, "/console/audit").await.contains("backup · created"));
}
