//! Tokens and organisation units.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_works_as_its_role_and_is_revoked_by_name() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    assert!(opened(&mut ada, "/console/tokens").await.contains("No token"));
    let fields = "name=%3Cb%3Ec%2Fi&role=viewer&ou=north&days=30&once=11112222333344445555666677778888";
    let made = sent(&mut ada, "/console/tokens", fields).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let text = |body: &str| {
        let (_, rest) = body.split_once("<code>ngt_").expect("it is shown");
        format!("ngt_{}", rest.split_once('<').expect("it ends").0)
    };
    let token = text(&made.body);
    let again = sent(&mut ada, "/console/tokens", fields).await;
    assert_eq!(text(&again.body), token, "a page that is loaded anew makes no second one");
    let bearer = format!("Bearer {token}");
    let header = [("authorization", &*bearer)];
    let mut program = Browser::new(&world);
    let me = program.send(Method::GET, "/api/v1/me", &header, "").await;
    assert!(me.status == 200 && me.body.contains("\"role\":\"viewer\""), "{}", me.body);
    let page = opened(&mut ada, "/console/tokens").await;
    assert!(page.contains("&lt;b&gt;c/i") && page.contains(">north<") && !page.contains(&token), "{page}");
    let exists = sent(&mut ada, "/console/tokens", "name=%3Cb%3Ec%2Fi&role=viewer&days=7").await;
    assert!(exists.status == 409 && exists.body.contains("role=\"alert\""), "{}", exists.body);
    let revoke = "/console/tokens/%3Cb%3Ec%2Fi/revoke";
    assert!(page.contains(revoke), "{page}");
    assert!(opened(&mut ada, revoke).await.contains("type &lt;b&gt;c/i"));
    let wrong = sent(&mut ada, revoke, "typed=ci").await;
    assert!(wrong.status == 422 && wrong.body.contains("Nothing was done"), "{}", wrong.body);
    assert_eq!(sent(&mut ada, revoke, "typed=%3Cb%3Ec%2Fi").await.status, 303);
    assert_eq!(program.send(Method::GET, "/api/v1/me", &header, "").await.status, 401);
    let forever = sent(&mut ada, "/console/tokens", "name=ever&role=operator&days=0").await;
    assert!(forever.status == 200 && forever.body.contains("without end"), "{}", forever.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_has_quotas_and_is_suspended_by_name() {
    let world = world(None).await;
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let made = sent(&mut ada, "/console/ous", "name=w%3Cest&devices=1%2C000&products=&reports=").await;
    assert_eq!(made.status, 303, "{}", made.body);
    let path = made.headers[header::LOCATION].to_str().expect("it is ASCII").to_owned();
    let page = opened(&mut ada, &path).await;
    assert!(page.contains("<h1>w&lt;est</h1>") && page.contains("value=\"1000\""), "{page}");
    let tag = page.split_once("name=\"tag\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
    let tag = tag.expect("it is there").0.replace("&quot;", "%22");
    let fields = format!("devices=&products=3&reports=50000&tag={tag}");
    assert_eq!(sent(&mut ada, &path, &fields).await.status, 303);
    let late = sent(&mut ada, &path, &fields).await;
    assert!(late.status == 412 && late.body.contains("role=\"alert\""), "{}", late.body);
    let page = opened(&mut ada, "/console/ous").await;
    assert!(page.contains("50,000") && page.contains("any number") && page.contains(&path), "{page}");
    for number in ["x", "-1", "1.5", "99999999999"] {
        let wrong = sent(&mut ada, &path, &format!("devices={number}")).await;
        assert!(wrong.status == 422 && wrong.body.contains("no whole number"), "{number}: {}", wrong.body);
        let wrong = sent(&mut ada, "/console/ous", &format!("name=x&devices={number}")).await;
        assert_eq!(wrong.status, 422, "{number}");
    }
    let suspend = format!("{path}/suspend");
    assert!(opened(&mut ada, &suspend).await.contains("All sessions of devices of w&lt;est end"));
    assert_eq!(sent(&mut ada, &suspend, "typed=west").await.status, 422);
    assert_eq!(sent(&mut ada, &suspend, "typed=w%3Cest").await.status, 303);
    assert!(opened(&mut ada, &path).await.contains("suspended"));
    assert_eq!(sent(&mut ada, &format!("{path}/resume"), "").await.status, 303);
    assert!(opened(&mut ada, &path).await.contains("in service"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_units_are_for_administrators_of_all_units_alone() {
    let world = world(None).await;
    world.token("ci", Role::Viewer, None).await;
    for (name, role, ou) in [
        ("vera", Role::Viewer, None),
        ("otto", Role::Operator, None),
        ("nora", Role::Administrator, Some("north")),
    ] {
        let mut browser = visitor(&world, name, role, ou).await;
        for path in ["tokens", "tokens/ci/revoke", "ous", "ous/north", "ous/north/suspend"] {
            let refused = browser.get(&format!("/console/{path}")).await;
            assert!(refused.status == 403 && !refused.body.contains("class=\"confirm\""), "{name} {path}");
            is_sound(&refused, path);
        }
        for (path, fields) in [
            ("tokens", "name=x&role=administrator&days=0"),
            ("tokens/ci/revoke", "typed=ci"),
            ("ous", "name=x"),
            ("ous/north", "devices=1"),
            ("ous/north/suspend", "typed=north"),
            ("ous/north/resume", ""),
        ] {
            let refused = sent(&mut browser, &format!("/console/{path}"), fields).await;
            assert_eq!(refused.status, 403, "{name} {path}: {}", refused.body);
        }
    }
    let mut ada = visitor(&world, "ada", Role::Administrator, None).await;
    let chinese = [("accept-language", "zh")];
    for (path, said) in [("tokens", "创建令牌"), ("ous", "新建组织单元"), ("ous/north", "配额")] {
        let page = ada.send(Method::GET, &format!("/console/{path}"), &chinese, "").await;
        assert!(page.status == 200 && page.body.contains(said), "{path}: {}", page.body);
        is_sound(&page, path);
    }
}
