//! The audit log.

use super::*;
use crate::{
    api::{actions_of, rows},
    console::words::of_action,
};

const HOSTILE: &str = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%27%26";

/// The address of the row that the first link with `open=` opens.
fn first_row(page: &str) -> String {
    let open = page.split_once("open=").and_then(|(_, rest)| rest.split_once('#')).expect("a row opens");
    open.0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_says_who_did_what_to_what_and_what_became_of_it() {
    let world = world(None).await;
    world.furnish().await;
    let mut ann = visitor(&world, "ann2", Role::Administrator, None).await;
    let page = opened(&mut ann, "/console/audit").await;
    for said in ["device · switched off", "user · password · set", "<b>ann2</b>", "<b>owner</b>", "done"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(page.contains("narrowgate audit verify --count ") && !page.contains("From address"), "{page}");
    let filter = "/console/audit?action=devices.disable";
    let page = opened(&mut ann, filter).await;
    assert_eq!(page.matches("data-row").count(), 1, "{page}");
    assert!(page.contains("class=\"chip\" href=\"/console/audit\""), "the filter is taken away: {page}");
    assert!(!page.contains("audit verify"), "what is filtered is no end of the log");
    let page = opened(&mut ann, &format!("{filter}&open={}", first_row(&page))).await;
    for said in [
        "192.0.2.7",
        "5f0c2a91-1c",
        "HTTP status 200",
        "It was carried out.",
        "href=\"/console/devices/pk-1/dk-1\"",
        "actor=owner",
        "target=%2Fproducts%2Fpk-1%2Fdevices%2Fdk-1",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    for (query, rows) in [
        ("actor=ann2", true),
        ("actor=nobody", false),
        ("target=/products/pk-1", true),
        ("action=devices&from=2000-01-01T00:00&to=2100-01-01T00:00", true),
        ("action=devices&from=2100-01-01T00:00", false),
        ("actor=&action=&target=&from=&to=", true),
    ] {
        let page = opened(&mut ann, &format!("/console/audit?{query}")).await;
        assert_eq!(page.contains("data-row"), rows, "{query}: {page}");
    }
    let page =
        opened(&mut ann, &format!("/console/audit?actor={HOSTILE}&target={HOSTILE}&open={HOSTILE}")).await;
    assert!(page.contains("No entry matches") && !page.contains("<script>alert"), "{page}");
    let wrong = ann.get("/console/audit?from=yesterday").await;
    assert_eq!(wrong.status, 400, "{}", wrong.body);
    is_sound(&wrong, "/console/audit?from=yesterday");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_for_administrators_and_a_unit_sees_its_own() {
    let world = world(None).await;
    world.furnish().await;
    for (name, role) in [("vera", Role::Viewer), ("otto", Role::Operator)] {
        let mut visitor = visitor(&world, name, role, None).await;
        assert!(!opened(&mut visitor, "/console").await.contains("/console/audit"), "{name}");
        for path in ["/console/audit", "/console/audit/export?format=csv"] {
            let refused = visitor.get(path).await;
            assert_eq!(refused.status, 403, "{name} {path}: {}", refused.body);
            assert!(!refused.body.contains("devices.disable") && !refused.body.contains("192.0.2.7"));
        }
    }
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    let page = opened(&mut nora, "/console/audit").await;
    assert!(page.contains("<b>nora</b>") && !page.contains("dk-1") && !page.contains("vera"), "{page}");
    assert!(!page.contains("audit verify"), "numbers and hashes count the deeds of all: {page}");
    let page = opened(&mut nora, &format!("/console/audit?open={}", first_row(&page))).await;
    assert!(page.contains("of unit ") && !page.contains("Hash"), "{page}");
    let lines = nora.get("/console/audit/export?format=ndjson").await;
    assert!(lines.status == 200 && !lines.body.contains("pk-1"), "{}", lines.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_taken_as_a_file_of_the_same_filter() {
    let world = world(None).await;
    world.furnish().await;
    let mut ann = visitor(&world, "ann2", Role::Administrator, None).await;
    let page = opened(&mut ann, "/console/audit?action=devices").await;
    assert!(page.contains("/console/audit/export?action=devices&amp;format=csv"), "{page}");
    let csv = ann.get("/console/audit/export?action=devices&format=csv").await;
    let name = csv.headers[header::CONTENT_DISPOSITION].to_str().expect("it is ASCII").to_owned();
    assert_eq!((csv.status, &*name), (200, "attachment; filename=\"audit.csv\""));
    assert!(csv.body.contains("devices.disable") && !csv.body.contains("users.password.set"), "{}", csv.body);
    let page = opened(&mut ann, "/console/audit").await;
    assert!(page.contains("audit log · exported"), "that is an entry itself: {page}");
}

/// What the log says of each request that leaves an entry, and of what leaves one without a request.
#[test]
fn every_action_has_words() {
    let others = [
        "users.login",
        "users.logout.everywhere",
        "users.password.set",
        "users.password.change",
        "store.restore",
        "store.adopt",
        "audit.cut",
        "audit.foreign",
        "jobs.enable",
        "jobs.disable",
        "jobs.delete",
        "jobs.tag",
    ];
    let of_routes = rows().iter().flat_map(actions_of).collect::<Vec<_>>();
    assert!(of_routes.len() > 40, "{of_routes:?}");
    for action in others.map(str::to_owned).into_iter().chain(of_routes) {
        for part in action.split('.') {
            assert!(of_action(part).is_some(), "{action}: {part}");
        }
    }
}
