//! The script of a product. In the world of tests a script is a word: `copy` gives what it gets, and others
//! fail at line 1.

use narrowgate_api::product::{DataFormat, ProductPatch};

use super::{
    products::{encoded, field},
    *,
};

const PAGE: &str = "/console/products/pk-1/script";

async fn edited(browser: &mut Browser<'_>, act: &str, tag: &str, source: &str, trial: &str) -> Answer {
    let fields = format!("do={act}&tag={}&source={}&{trial}", encoded(tag), encoded(source));
    sent(browser, PAGE, &fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_tried_as_it_stands_in_the_editor() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let page = opened(&mut ada, PAGE).await;
    assert!(page.contains("No script") && page.contains("no script runs"), "{page}");
    let patch = ProductPatch { data_format: Some(DataFormat::Custom), ..ProductPatch::default() };
    world.operator.update_product("pk-1", patch).await.expect("it is there");
    let page = opened(&mut ada, PAGE).await;
    assert!(!page.contains("no script runs"), "{page}");
    let tag = field(&page, "tag");
    for (trial, said) in [
        ("direction=hex&payload=7B7D+0a", "{}"),
        ("direction=text&payload=%7B%22a%22%3A1.50%7D", "&quot;a&quot;: 1.50"),
        ("direction=json&payload=%7B%7D", "7b7d"),
    ] {
        let answer = edited(&mut ada, "try", &tag, "copy", trial).await;
        assert!(answer.status == 200 && answer.body.contains(said), "{trial}: {}", answer.body);
        assert!(answer.body.contains("What came of it") && answer.body.contains(">copy</textarea>"));
    }
    let failed = edited(&mut ada, "try", &tag, "throws", "direction=hex&payload=7B7D").await.body;
    assert!(failed.contains("The script failed") && failed.contains("Line 1"), "{failed}");
    for (trial, status) in [
        ("direction=hex&payload=xyz", 422),
        ("direction=json&payload=%7B", 422),
        ("direction=from&payload=none", 404),
        ("direction=none&payload=zz", 422),
    ] {
        let answer = edited(&mut ada, "try", &tag, "copy", trial).await;
        assert!(
            answer.status == status && answer.body.contains("role=\"alert\""),
            "{trial}: {}",
            answer.body
        );
        assert!(answer.body.contains(">copy</textarea>"), "what was typed is there: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_saved_published_and_brought_back() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let tag = field(&opened(&mut ada, PAGE).await, "tag");
    assert_eq!(edited(&mut ada, "draft", &tag, "copy", "").await.status, 303);
    let page = opened(&mut ada, PAGE).await;
    assert!(page.contains("The draft was saved") && page.contains("None is published"), "{page}");
    // Somebody else has saved one meanwhile.
    let late = edited(&mut ada, "draft", &tag, "throws", "").await;
    assert!(late.status == 412 && late.body.contains("Somebody else has saved a draft"), "{}", late.body);
    assert!(late.body.contains(">throws</textarea>"), "{}", late.body);
    assert_eq!(edited(&mut ada, "draft", &field(&late.body, "tag"), "throws", "").await.status, 303);
    assert_eq!(edited(&mut ada, "publish", "", "copy", "").await.status, 303);
    assert_eq!(edited(&mut ada, "publish", "", "copy\n", "").await.status, 303);
    let wrong = edited(&mut ada, "publish", "", "<script>alert(1)</script>", "").await;
    assert!(wrong.status == 422 && wrong.body.contains("Line 1"), "{}", wrong.body);
    assert!(
        !wrong.body.contains("<script>alert") && wrong.body.contains("ins>+ &lt;script"),
        "{}",
        wrong.body
    );
    let page = opened(&mut ada, PAGE).await;
    assert!(page.contains("Version 2 was published") && page.contains("user ada"), "{page}");
    assert_eq!(sent(&mut ada, &format!("{PAGE}/rollback"), "version=1").await.status, 303);
    let page = opened(&mut ada, PAGE).await;
    assert!(page.contains("Version 3 was published") && page.contains("brings back 1"), "{page}");
    assert!(opened(&mut ada, &format!("{PAGE}?version=1")).await.contains("This is version 1"));
    for version in ["9", "x", "%22%3E"] {
        assert_eq!(ada.get(&format!("{PAGE}?version={version}")).await.status, 404, "{version}");
    }
    assert_eq!(sent(&mut ada, &format!("{PAGE}/rollback"), "version=77").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_source_comes_back_as_it_was_sent() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let token = ada.get("/console/keys").await.form_token();
    let long = "// <&\u{4f60}\"\n".repeat(10_000);
    for act in ["try", "draft", "publish"] {
        let source = encoded(&long);
        let fields = format!("csrf={token}&do={act}&tag=&source={source}&direction=hex&payload=00");
        let answer = ada.post(PAGE, &fields).await;
        assert!([200, 413, 422].contains(&answer.status), "{act}: {}", answer.status);
        let shown = answer.body.matches("// &lt;&amp;\u{4f60}&quot;").count();
        assert!(shown >= 10_000, "{act}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_has_sent_is_tried_and_others_read_only() {
    let world = world(None).await;
    world.furnish().await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let answer = edited(&mut ada, "try", "", "copy", "direction=from&payload=dk-1").await;
    assert!(answer.status == 200 && answer.body.contains("Nothing is kept"), "{}", answer.body);
    for (name, role) in [("vera", Role::Viewer), ("otto", Role::Operator)] {
        let mut browser = visitor(&world, name, role, None).await;
        let page = opened(&mut browser, PAGE).await;
        assert!(page.contains("Version 1 was published") && page.contains("The script that runs"), "{page}");
        assert!(!page.contains("<textarea") && !page.contains("/rollback"), "{page}");
        for act in ["try", "draft", "publish"] {
            let refused = edited(&mut browser, act, "", "copy", "direction=hex&payload=00").await;
            assert_eq!(refused.status, 403, "{name} {act}");
        }
        assert_eq!(sent(&mut browser, &format!("{PAGE}/rollback"), "version=1").await.status, 403);
    }
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    assert_eq!(nora.get(PAGE).await.status, 404);
    for act in ["try", "draft", "publish"] {
        assert_eq!(edited(&mut nora, act, "", "copy", "direction=hex&payload=00").await.status, 404, "{act}");
    }
    assert_eq!(sent(&mut nora, &format!("{PAGE}/rollback"), "version=1").await.status, 404);
    let page = ada.send(Method::GET, PAGE, &[("accept-language", "zh")], "").await.body;
    assert!(page.contains("试运行") && !page.contains("Try it"), "{page}");
}
