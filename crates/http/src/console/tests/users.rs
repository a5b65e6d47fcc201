//! Users.

use narrowgate_api::user::NewUser;

use super::*;

const HOST: &str = "http://gate:8080";

/// A page that shows a link, whose address is of this server; and the path of the link.
fn link_of(answer: &Answer, path: &str) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let link = answer.body.split_once(&format!("<code>{HOST}/password/")).expect("it is shown").1;
    let link = format!("/password/{}", link.split_once('<').expect("it ends").0);
    let (headers, body) = (answer.headers.clone(), answer.body.replace(HOST, ""));
    is_sound(&Answer { status: 200, headers, body }, path);
    link
}

/// The form of a page, whose answer may show a link.
async fn asked(browser: &mut Browser<'_>, path: &str, fields: &str) -> Answer {
    let token = browser.get("/console/keys").await.form_token();
    browser.post(path, &format!("csrf={token}&{fields}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_invited_by_a_link_that_is_shown_once_and_works() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let page = opened(&mut ada, "/console/users").await;
    assert!(page.contains("href=\"/console/users/ada\"") && page.contains("1 may log in"), "{page}");
    assert!(page.contains(">north · o"), "units are offered: {page}");
    let fields = "user=b%20o%2F%3Cb&role=operator&ou=north&once=11112222333344445555666677778888";
    let invited = asked(&mut ada, "/console/users", fields).await;
    let link = link_of(&invited, "/console/users");
    let again = asked(&mut ada, "/console/users", fields).await;
    assert_eq!(link_of(&again, "again"), link, "a page that is loaded anew invites nobody else");
    let path = "/console/users/b%20o%2F%3Cb";
    assert!(invited.body.contains(path), "{}", invited.body);
    let page = opened(&mut ada, path).await;
    assert!(page.contains("<h1>b o/&lt;b</h1>") && page.contains("invited"), "{page}");
    assert!(page.contains(">north<") && page.contains("operator") && !page.contains(&link), "{page}");
    let mut bob = Browser::new(&world);
    let set = bob.post(&link, "password=correct+horse+battery&again=correct+horse+battery").await;
    assert_eq!(set.status, 303, "{}", set.body);
    assert!(opened(&mut bob, "/console").await.contains("b o/&lt;b"));
    let exists = sent(&mut ada, "/console/users", "user=ada&role=viewer&ou=").await;
    assert!(exists.status == 409 && exists.body.contains("value=\"ada\""), "{}", exists.body);
    let found = opened(&mut ada, "/console/users?q=AD").await;
    assert!(found.matches("data-row").count() == 1 && found.contains("class=\"chip\""), "{found}");
    assert!(opened(&mut ada, "/console/users?q=%3Cb%3E&from=x").await.contains("No user is called so"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_changed_where_nobody_else_has_changed_it_since() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let mut bob = visitor(&world, "bob", Role::Operator, None).await;
    let path = "/console/users/bob";
    let page = opened(&mut ada, path).await;
    let tag = page.split_once("name=\"tag\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
    let tag = tag.expect("it is there").0.replace("&quot;", "%22");
    assert!(page.contains("End it"), "{page}");
    let changed = sent(&mut ada, path, &format!("role=viewer&ou=&enabled=1&tag={tag}")).await;
    assert_eq!(changed.status, 303, "{}", changed.body);
    assert_eq!(bob.get("/console").await.status, 303, "the sessions have ended");
    let late = sent(&mut ada, path, &format!("role=administrator&ou=&enabled=1&tag={tag}")).await;
    assert!(late.status == 412 && late.body.contains("role=\"alert\""), "{} {}", late.status, late.body);
    // Without the mark the user is switched off.
    assert_eq!(sent(&mut ada, path, "role=viewer&ou=").await.status, 303);
    assert!(opened(&mut ada, path).await.contains("switched off"));
    // The last one who may administer stays.
    let last = sent(&mut ada, "/console/users/ada", "role=viewer&ou=&enabled=1").await;
    assert!(last.status == 409 && last.body.contains("role=\"alert\""), "{} {}", last.status, last.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_users_access_is_asked_for_by_name() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let mut bob = visitor(&world, "bob", Role::Viewer, None).await;
    let path = "/console/users/bob";
    for act in ["reset", "delete"] {
        let act = format!("{path}/{act}");
        assert!(opened(&mut ada, &act).await.contains("To confirm, type bob"), "{act}");
        let wrong = sent(&mut ada, &act, "typed=Bob").await;
        assert!(wrong.status == 422 && wrong.body.contains("Nothing was done"), "{}", wrong.body);
    }
    opened(&mut bob, "/console").await;
    // One session.
    let page = opened(&mut ada, path).await;
    let id = page.split_once("name=\"session\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
    let id = id.expect("there is one").0;
    assert_eq!(sent(&mut ada, &format!("{path}/end"), &format!("session={id}")).await.status, 303);
    assert_eq!(bob.get("/console").await.status, 303, "it has ended");
    assert!(opened(&mut ada, path).await.contains("not logged in anywhere"));
    let reset = asked(&mut ada, &format!("{path}/reset"), "typed=bob").await;
    let link = link_of(&reset, "/console/users/bob/reset");
    assert_eq!(Browser::new(&world).get(&link).await.status, 200);
    assert_eq!(sent(&mut ada, &format!("{path}/delete"), "typed=bob").await.status, 303);
    assert_eq!(ada.get(path).await.status, 404);
    let audit = ada.get("/api/v1/audit?actor=ada").await.body;
    for action in ["users.sessions.delete", "users.reset", "users.delete"] {
        assert!(audit.contains(&format!("\"action\":\"{action}\"")), "{action}: {audit}");
    }
    assert!(!audit.contains(&link), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_for_administrators_of_all_units_alone() {
    let world = world(None).await;
    world.session("ann", Role::Viewer, None).await;
    for (name, role, ou) in [
        ("vera", Role::Viewer, None),
        ("otto", Role::Operator, None),
        ("nora", Role::Administrator, Some("north")),
    ] {
        let mut browser = visitor(&world, name, role, ou).await;
        assert!(!opened(&mut browser, "/console").await.contains("href=\"/console/users\""), "{name}");
        for path in ["", "/ann", "/ann/reset", "/ann/delete", "/nobody"] {
            let refused = browser.get(&format!("/console/users{path}")).await;
            let offers = ["class=\"confirm\"", "name=\"role\""].map(|form| refused.body.contains(form));
            assert_eq!((refused.status, offers), (403, [false; 2]), "{name} {path}");
            is_sound(&refused, path);
        }
        for (path, fields) in [
            ("", "user=eve&role=administrator"),
            ("/ann", "role=administrator&enabled=1"),
            ("/ann/reset", "typed=ann"),
            ("/ann/delete", "typed=ann"),
            ("/ann/end", "session=x"),
        ] {
            let refused = sent(&mut browser, &format!("/console/users{path}"), fields).await;
            assert_eq!(refused.status, 403, "{name} {path}: {}", refused.body);
        }
    }
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let chinese = [("accept-language", "zh")];
    let page = ada.send(Method::GET, "/console/users", &chinese, "").await;
    assert!(page.body.contains("邀请用户") && page.body.contains("可登录"), "{}", page.body);
    is_sound(&page, "/console/users in Chinese");
    assert!(opened(&mut ada, "/console/users/ann").await.contains("viewer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_have_pages() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    for number in 0..140 {
        let new = NewUser { user: format!("u{number:03}"), role: Role::Viewer, ou: None };
        world.operator.create_user(new).await.expect("it is new");
    }
    let page = opened(&mut ada, "/console/users").await;
    let next = page.split_once("rel=\"next\" href=\"").and_then(|(_, rest)| rest.split_once('"'));
    let second = opened(&mut ada, next.expect("there is more").0).await;
    assert_eq!((page.matches("data-row").count(), second.matches("data-row").count()), (100, 41));
    assert!(second.contains("First page") && !second.contains("rel=\"next\""), "{second}");
}
