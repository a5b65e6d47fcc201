//! Import of devices from a file.

use std::time::Duration;

use super::*;

const PAGE: &str = "/console/import";

/// A form with a file, as a browser sends it.
async fn uploaded(browser: &mut Browser<'_>, token: &str, fields: &[(&str, &str)], file: &str) -> Answer {
    let mut body = String::new();
    for (name, value) in [("csrf", token)].iter().chain(fields) {
        body += &format!("--xYz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    body += "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"<b>many%22.csv\"\r\n";
    body += &format!("Content-Type: text/csv\r\n\r\n{file}\r\n--xYz--\r\n");
    let more = [("origin", "http://gate:8080"), ("content-type", "multipart/form-data; boundary=xYz")];
    browser.send(Method::POST, PAGE, &more, &body).await
}

/// The page of an import that has ended.
async fn ended(browser: &mut Browser<'_>, begun: &Answer) -> (String, String) {
    assert_eq!(begun.status, 303, "{}", begun.body);
    let path = begun.headers[header::LOCATION].to_str().expect("it is ASCII").to_owned();
    for _ in 0..500 {
        let page = opened(browser, &path).await;
        if !page.contains("data-refresh") {
            return (path, page);
        }
        assert!(page.contains("http-equiv=\"refresh\"") && page.contains("<progress"), "{page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not end");
}

/// Rows of devices, and three that are wrong.
fn file(rows: u32) -> String {
    let mut file = "deviceKey,deviceSecret,name\n".to_owned();
    for row in 0..rows {
        file += &format!("many-{row},,\n");
    }
    file + "has space,,\n\"x,y\",,\nmany-0,,<script>alert(1)</script>\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_tried_and_then_imported_and_its_secrets_are_there_once() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let page = opened(&mut ada, &format!("{PAGE}?product=pk-1")).await;
    assert!(page.contains("enctype=\"multipart/form-data\"") && page.contains("type=\"file\""), "{page}");
    let token = page.split_once("name=\"csrf\" value=\"").expect("it is there").1;
    let token = token.split_once('"').expect("it ends").0.to_owned();
    let fields = [("product", "pk-1"), ("mode", "valid"), ("do", "try")];
    let begun = uploaded(&mut ada, &token, &fields, &file(997)).await;
    let (tried, page) = ended(&mut ada, &begun).await;
    for said in [
        "997 devices would be created",
        "Nothing has been changed",
        "Rows with faults",
        "1,001",
        "import the others",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(page.matches("<td lang=\"en\"").count(), 3, "{page}");
    assert!(page.contains("&lt;b&gt;many&quot;.csv") && !page.contains("<b>many"), "{page}");
    assert!(!page.contains("<script>alert") && page.contains("Import this file now"), "{page}");
    assert_eq!(ada.get("/console/devices/pk-1/many-1").await.status, 404, "a dry run changes nothing");
    // The same file, which need not be sent again.
    let begun = sent(&mut ada, &format!("{tried}/go"), "").await;
    let (done, page) = ended(&mut ada, &begun).await;
    assert!(page.contains("997 devices were created") && page.contains("Download the secrets"), "{page}");
    opened(&mut ada, "/console/devices/pk-1/many-996").await;
    let again = sent(&mut ada, &format!("{tried}/go"), "").await;
    assert_eq!(again.headers[header::LOCATION].to_str().ok(), Some(&*tried), "it is imported once");
    let secrets = sent_raw(&mut ada, &format!("{done}/secrets")).await;
    assert_eq!((secrets.status, secrets.body.lines().count()), (200, 998), "{}", secrets.body);
    assert!(secrets.headers[header::CONTENT_DISPOSITION].to_str().is_ok_and(|said| said.contains("secrets")));
    assert!(!opened(&mut ada, &done).await.contains("Download the secrets"));
    assert_eq!(sent(&mut ada, &format!("{done}/secrets"), "").await.status, 404);
    let list = opened(&mut ada, PAGE).await;
    assert!(list.contains("Your imports") && list.contains(&done) && list.contains(&tried), "{list}");
    // JSON lines, all or none.
    let lines = "{\"deviceKey\":\"json-1\"}\n{\"deviceKey\":\"json-1\"}\n";
    let fields = [("product", "pk-1"), ("mode", "all"), ("do", "import")];
    let begun = uploaded(&mut ada, &token, &fields, lines).await;
    let (_, page) = ended(&mut ada, &begun).await;
    assert!(page.contains("0 devices were created") && page.contains("done, with faults"), "{page}");
    assert_eq!(ada.get("/console/devices/pk-1/json-1").await.status, 404, "none, where one has a fault");
    let audit = ada.get("/api/v1/audit?actor=ada").await.body;
    assert!(audit.contains("\"dryRun\":true") || audit.contains("dryRun"), "{audit}");
}

/// A form whose answer is no page.
async fn sent_raw(browser: &mut Browser<'_>, path: &str) -> Answer {
    let token = browser.get("/console/keys").await.form_token();
    browser.post(path, &format!("csrf={token}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_one_of_its_session_and_of_who_may() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let token = ada.get("/console/keys").await.form_token();
    let fields = [("product", "pk-1"), ("do", "import")];
    for wrong in ["", "0"] {
        let refused = uploaded(&mut ada, wrong, &fields, "deviceKey\nd-1\n").await;
        assert_eq!(refused.status, 403, "{}", refused.body);
        is_sound(&refused, PAGE);
    }
    let body = "--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nt\r\n--x--";
    let kind = ("content-type", "multipart/form-data; boundary=x");
    let foreign = ada.send(Method::POST, PAGE, &[kind, ("origin", "http://evil.example")], body).await;
    assert_eq!(foreign.status, 403);
    let own = ("origin", "http://gate:8080");
    assert_eq!(ada.send(Method::POST, PAGE, &[kind, own], "no form").await.status, 400);
    // Only this page takes one.
    assert_eq!(ada.send(Method::POST, "/console/new-product", &[kind, own], body).await.status, 415);
    let empty = uploaded(&mut ada, &token, &fields, "").await;
    assert!(empty.status == 422 && empty.body.contains("No file was chosen"), "{}", empty.body);
    let none = uploaded(&mut ada, &token, &[("product", "<b>none")], "deviceKey\nd-1\n").await;
    assert_eq!(none.status, 404, "{}", none.body);
    let unreadable = uploaded(&mut ada, &token, &fields, "<html>\n").await;
    let (path, page) = ended(&mut ada, &unreadable).await;
    assert!(page.contains("ended early") && page.contains("role=\"alert\""), "{page}");
    // Of another user, of another unit, and of those who import nothing.
    let mut eve = visitor(&world, "eve", Role::Administrator, None).await;
    assert_eq!(eve.get(&path).await.status, 404);
    assert_eq!(sent(&mut eve, &format!("{path}/go"), "").await.status, 404);
    assert!(!opened(&mut eve, PAGE).await.contains("Your imports"));
    let mut nora = visitor(&world, "nora", Role::Administrator, Some("north")).await;
    let theirs = nora.get("/console/keys").await.form_token();
    assert_eq!(uploaded(&mut nora, &theirs, &fields, "deviceKey\nd-1\n").await.status, 404);
    assert!(opened(&mut nora, PAGE).await.contains("Create the first product"));
    for (name, role) in [("vera", Role::Viewer), ("otto", Role::Operator)] {
        let mut browser = visitor(&world, name, role, None).await;
        let theirs = browser.get("/console/keys").await.form_token();
        assert_eq!(browser.get(PAGE).await.status, 403);
        assert_eq!(browser.get(&path).await.status, 403);
        let refused = uploaded(&mut browser, &theirs, &fields, "deviceKey\nd-1\n").await;
        assert_eq!(refused.status, 403, "{name}");
        assert!(!opened(&mut browser, "/console").await.contains("href=\"/console/import\""));
    }
    assert_eq!(ada.get(&format!("{PAGE}/none")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_long_is_not_taken() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let token = ada.get("/console/keys").await.form_token();
    let long = "x".repeat((8 << 20) + 1);
    let refused = uploaded(&mut ada, &token, &[("product", "pk-1")], &long).await;
    assert!(refused.status == 413 && refused.body.contains("more than 8.0 MiB"), "{}", refused.status);
    let chinese = ada.send(Method::GET, PAGE, &[("accept-language", "zh")], "").await.body;
    assert!(chinese.contains("从文件导入设备") && !chinese.contains("Dry run"), "{chinese}");
}
