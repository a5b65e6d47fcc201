//! Logins by an identity provider: by one that does what it should, and by one that does not.

mod limits;

use std::sync::Arc;

use narrowgate_platform::service::NotLetIn;
use serde_json::json;

use super::*;
use crate::{
    Logins,
    metrics::MetricsSource,
    oidc::{
        ProviderSettings, RoleRule,
        testing::{SECRET, Sign, TestProvider, now, public_key, ready},
    },
    pages::provider::MARKED,
};

/// A world whose users log in by this provider, and by passwords.
async fn with(settings: ProviderSettings, passwords: bool) -> World {
    let mut world = world(None).await;
    let host = Arc::new(|| unreachable!("nobody asks for it"));
    let api = crate::Api { operator: world.operator.clone(), host, events: None };
    let about = crate::About { version: "0", dtls: "127.0.0.1:5684".into() };
    let logins = Logins { passwords, provider: Some(ready(settings)) };
    let metrics: MetricsSource = Arc::new(|_| Vec::new());
    let router = crate::router_with(about, crate::Health::default(), metrics, api, (None, logins, None));
    world.router = router;
    world
}

fn rule(group: &str, role: Role, ou: Option<&str>) -> RoleRule {
    RoleRule { group: group.to_owned(), role, ou: ou.map(str::to_owned) }
}

/// Goes to the provider; where it sends the browser back.
async fn go(browser: &mut Browser<'_>, provider: &TestProvider) -> String {
    let sent = browser.get("/login/oidc").await;
    assert_eq!(sent.status, 303, "{}", sent.body);
    let location = sent.headers[header::LOCATION].to_str().expect("it is ASCII");
    format!("/login/oidc/callback?{}", provider.agree(location))
}

async fn log_in(browser: &mut Browser<'_>, provider: &TestProvider) -> Answer {
    let back = go(browser, provider).await;
    browser.get(&back).await
}

/// Who, what and why of the newest entry of the audit log.
async fn last(world: &World) -> (Option<String>, String, String, Option<String>) {
    let query = narrowgate_api::audit::AuditQuery::default();
    let entry = world.operator.list_audit(&query).await.expect("it reads").items.swap_remove(0);
    (entry.user, entry.action, entry.target, entry.code)
}

/// Whether the audit log has no login.
async fn is_unnoted(world: &World) -> bool {
    let query = narrowgate_api::audit::AuditQuery::default();
    let entries = world.operator.list_audit(&query).await.expect("it reads").items;
    entries.iter().all(|entry| entry.action != "users.login")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_by_the_provider_and_has_the_same_session_as_by_a_password() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    active(&world, "ann", Role::Operator).await;
    let mut ann = Browser::new(&world);
    let page = ann.get("/login").await.body;
    let link = "<a href=\"http://gate:8080/login/oidc\">Log in with Login &lt;b&gt; &amp; Co</a>";
    assert!(page.contains(link), "{page}");
    assert!(page.contains("name=\"password\""), "{page}");
    let back = log_in(&mut ann, &provider).await;
    assert_eq!((back.status, back.headers[header::LOCATION].to_str().ok()), (303, Some("/console")));
    let cookies = ann.cookies.keys().collect::<Vec<_>>();
    assert_eq!(cookies, [MARKED, SESSION], "the login is over, and no password known");
    let me = ann.get("/api/v1/me").await;
    assert_eq!(me.json(), json!({"user": "ann", "role": "operator", "ou": null}));
    let entry = (Some("ann".to_owned()), "users.login".to_owned(), "/users/ann".to_owned(), None);
    assert_eq!(last(&world).await, entry);
    let query = narrowgate_api::audit::AuditQuery::default();
    let detail = world.operator.list_audit(&query).await.expect("it reads").items.swap_remove(0).detail;
    let detail: Vec<_> = detail.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(detail, [("by", "oidc"), ("sub", "1")], "a login by a password has neither");
    let token = ann.get("/login").await.form_token();
    assert_eq!(ann.post("/logout", &format!("csrf={token}")).await.status, 303);
    assert_eq!(ann.get("/api/v1/me").await.status, 401);
    assert_eq!(ann.log_in("ann", PASSWORD).await.status, 303);
    assert_eq!(provider.acts().asked["document"], 1, "what it says of itself is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_say_the_role_and_the_unit_and_users_are_made_by_that() {
    let provider = TestProvider::begin().await;
    let rules = vec![rule("root", Role::Administrator, None), rule("north", Role::Viewer, Some("north"))];
    let world = with(ProviderSettings { roles: rules, ..provider.settings() }, true).await;
    let mut ann = Browser::new(&world);
    provider.acts().claims = json!({"groups": ["other"]});
    let refused = log_in(&mut ann, &provider).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("None of your groups"), "{}", refused.body);
    provider.acts().claims = json!({"groups": ["other", "north"]});
    assert_eq!(log_in(&mut ann, &provider).await.status, 303);
    let me = ann.get("/api/v1/me").await.json();
    assert!(me["role"] == "viewer" && me["ou"].is_string(), "{me}");
    provider.acts().claims = json!({"groups": ["north", "root"]});
    assert_eq!(log_in(&mut ann, &provider).await.status, 303);
    let me = ann.get("/api/v1/me").await.json();
    assert_eq!(me, json!({"user": "ann", "role": "administrator", "ou": null}));
    assert_eq!(Browser::new(&world).log_in("ann", "").await.status, 403, "there is no password");
    let page = ann.get("/login").await.body;
    assert!(page.contains("Log out") && !page.contains("Current password"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_token_does_not_say_userinfo_says_of_the_same_subject() {
    let provider = TestProvider::begin().await;
    provider.acts().claims = json!({"preferred_username": null});
    provider.acts().info = json!({"sub": "2", "preferred_username": "ann"});
    let world = with(provider.settings(), true).await;
    active(&world, "ann", Role::Operator).await;
    let mut ann = Browser::new(&world);
    assert_eq!(log_in(&mut ann, &provider).await.status, 403);
    assert_eq!(last(&world).await.3.as_deref(), Some("oidc_token"));
    provider.acts().info = json!({"sub": "1", "preferred_username": "ann"});
    assert_eq!(log_in(&mut ann, &provider).await.status, 303);
    provider.acts().info = json!({"sub": "1"});
    assert_eq!(log_in(&mut ann, &provider).await.status, 403);
    assert_eq!(last(&world).await.3.as_deref(), Some("oidc_claims"));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_176_a_token_that_is_not_for_this_login_lets_nobody_in() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    active(&world, "ann", Role::Administrator).await;
    let (good, shared) = (json!({}), |key: Vec<u8>| Sign::Shared(key));
    for (what, claims, sign) in [
        ("another nonce", json!({"nonce": "0".repeat(64)}), Sign::By(0)),
        ("no nonce", json!({"nonce": null}), Sign::By(0)),
        ("another client", json!({"aud": "other"}), Sign::By(0)),
        ("another client too", json!({"aud": ["gate", "other"]}), Sign::By(0)),
        ("no client", json!({"aud": []}), Sign::By(0)),
        ("another party", json!({"azp": "other"}), Sign::By(0)),
        ("another issuer", json!({"iss": "https://other.example"}), Sign::By(0)),
        ("over", json!({"exp": now() - 1}), Sign::By(0)),
        ("another access token", json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}), Sign::By(0)),
        ("another key", good.clone(), Sign::By(1)),
        ("alg none", good.clone(), Sign::None),
        ("the client's secret", good.clone(), shared(SECRET.into())),
        ("the public key as a secret", good.clone(), shared(public_key(0))),
    ] {
        provider.acts().claims = claims;
        provider.acts().sign = sign;
        let mut ann = Browser::new(&world);
        let refused = log_in(&mut ann, &provider).await;
        assert_eq!((refused.status, ann.cookies.len()), (403, 0), "{what}: {}", refused.body);
        assert!(refused.body.contains("not good for this login"), "{what}: {}", refused.body);
        let entry = (None, "users.login".to_owned(), "/users".to_owned(), Some("oidc_token".to_owned()));
        assert_eq!(last(&world).await, entry, "{what}");
    }
    provider.acts().claims = good;
    provider.acts().sign = Sign::By(0);
    assert_eq!(log_in(&mut Browser::new(&world), &provider).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_changes_its_key_is_asked_for_the_new_one() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    active(&world, "ann", Role::Viewer).await;
    for (number, kid, asked) in [(0, "0", 1), (1, "1", 2), (1, "1", 2), (0, "1", 3)] {
        {
            let mut acts = provider.acts();
            (acts.sign, acts.key, acts.kid) = (Sign::By(number), number, kid.to_owned());
        }
        assert_eq!(log_in(&mut Browser::new(&world), &provider).await.status, 303, "{number} {kid}");
        assert_eq!(provider.acts().asked["keys"], asked, "{number} {kid}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_leads_to_the_page_that_was_wanted_last_and_speaks_its_language() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    let mut ann = Browser::new(&world);
    let next = "narrowgate_next";
    ann.get("/login/oidc?next=%2Fconsole%2Fjobs").await;
    assert_eq!(ann.cookies[next], "%2Fconsole%2Fjobs");
    ann.get("/login/oidc").await;
    assert!(!ann.cookies.contains_key(next), "that of another try");
    ann.get("/login/oidc?next=%2Fconsole%2Fjobs").await;
    // A browser would drop a cookie that long, and keep the one before.
    ann.get(&format!("/login/oidc?next=%2Fconsole%3F{}", "%3F".repeat(2_000))).await;
    assert!(!ann.cookies.contains_key(next), "{:?}", ann.cookies);
    let chinese = [("accept-language", "zh-CN")];
    let page = ann.send(Method::GET, "/login/oidc/callback?code=a&state=b", &chinese, "").await;
    assert!(page.status == 400 && page.body.contains("未登录"), "{}", page.body);
    assert!(page.body.contains("本次登录不是在此浏览器中开始的"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_178_a_login_is_of_the_browser_that_began_it_and_is_used_once() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    active(&world, "ann", Role::Viewer).await;
    let [mut ann, mut victim] = [Browser::new(&world), Browser::new(&world)];
    let back = go(&mut ann, &provider).await;
    // Somebody is sent the way back of another one, with or without a login of the own.
    let other = victim.get(&back).await;
    assert!(other.status == 400 && other.body.contains("not begun in this browser"), "{}", other.body);
    go(&mut victim, &provider).await;
    assert_eq!((victim.get(&back).await.status, victim.get("/api/v1/me").await.status), (400, 401));
    for bad in [
        "/login/oidc/callback",
        "/login/oidc/callback?code=code-1&state=",
        "/login/oidc/callback?state=a&state=b",
    ] {
        assert_eq!(ann.get(bad).await.status, 400, "{bad}");
    }
    assert!(!provider.acts().asked.contains_key("token"), "nothing was asked for them");
    let pending = ann.cookies.clone();
    assert_eq!(ann.get(&back).await.status, 303);
    assert_eq!(ann.get(&back).await.status, 400, "the cookie is gone");
    ann.cookies = pending.clone();
    assert_eq!(ann.get(&back).await.status, 403, "the provider takes no code twice");
    assert_eq!(last(&world).await.3.as_deref(), Some("oidc_refused"));
    // And where the provider gives another code for the same login, it was used already.
    let mut eve = Browser::new(&world);
    let sent = eve.get("/login/oidc").await;
    let location = sent.headers[header::LOCATION].to_str().expect("it is ASCII");
    let [first, second] = [provider.agree(location), provider.agree(location)];
    let pending = eve.cookies.clone();
    assert_eq!(eve.get(&format!("/login/oidc/callback?{first}")).await.status, 303);
    eve.cookies = pending;
    assert_eq!(eve.get(&format!("/login/oidc/callback?{second}")).await.status, 403);
    assert_eq!(last(&world).await.3.as_deref(), Some("oidc_used"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_provider_and_an_answer_of_another_one_are_told_and_noted() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    for change in [
        |back: &str| back.replace("code=", "error=access_denied&x="),
        |back: &str| back.replace("code=", "error=<script>&x="),
        |back: &str| back.replace("code=", "x="),
        |back: &str| back.replace("&iss=http", "&iss=https"),
        |back: &str| back.replace("code=code", "code=none"),
    ] {
        let mut ann = Browser::new(&world);
        let back = change(&go(&mut ann, &provider).await).replace('<', "%3C").replace('>', "%3E");
        let refused = ann.get(&back).await;
        assert!(refused.status == 403 && refused.body.contains("has refused the login"), "{}", refused.body);
        assert!(!refused.body.contains("script") && ann.cookies.is_empty());
        assert_eq!(last(&world).await.3.as_deref(), Some("oidc_refused"), "{back}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_unknown_or_switched_off_stays_out() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    let mut ann = Browser::new(&world);
    assert_eq!(log_in(&mut ann, &provider).await.status, 403);
    assert_eq!(last(&world).await.3.as_deref(), Some("oidc_unknown"));
    active(&world, "ann", Role::Viewer).await;
    assert_eq!(log_in(&mut ann, &provider).await.status, 303);
    let off = UserUpdate { enabled: Some(false), ..UserUpdate::default() };
    world.operator.update_user("ann", off).await.expect("it is there");
    let refused = log_in(&mut ann, &provider).await;
    assert!(refused.body.contains("switched this user off"), "{}", refused.body);
    let entry = (None, "users.login".to_owned(), "/users/ann".to_owned(), Some("oidc_disabled".to_owned()));
    assert_eq!(last(&world).await, entry);
    assert_eq!(ann.get("/api/v1/me").await.status, 401);
    let vouched = narrowgate_platform::service::Vouched {
        name: "ann".to_owned(),
        subject: "1".to_owned(),
        placed: narrowgate_platform::service::Placed::AsMade,
    };
    let asked = AskedFrom::default();
    let out = world.operator.log_in_vouched(&vouched, asked).await.expect("the store works");
    assert!(matches!(out, Err(NotLetIn::Disabled)));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_184_a_provider_that_sends_elsewhere_or_too_much_is_not_followed() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    let back = go(&mut ann, &provider).await;
    let pending = ann.cookies.clone();
    provider.acts().redirects = true;
    assert_eq!(ann.get(&back).await.status, 503);
    provider.acts().redirects = false;
    for (padding, status) in [(100_000, 303), (600 << 10, 503)] {
        provider.acts().padding = padding;
        ann.cookies = pending.clone();
        let back = go(&mut ann, &provider).await;
        assert_eq!(ann.get(&back).await.status, status, "{padding}");
    }
    // What it says of itself, at a server that has not asked yet.
    for (change, padding) in [
        (json!({"issuer": "https://other.example"}), 0),
        (json!({"jwks_uri": "http://169.254.169.254/latest"}), 0),
        (json!({"jwks_uri": "https://127.0.0.2:1/keys"}), 0),
        (json!({"jwks_uri": "file:///etc/passwd"}), 0),
        (json!({}), 600 << 10),
    ] {
        provider.acts().document = change.clone();
        provider.acts().padding = padding;
        let world = with(provider.settings(), true).await;
        let refused = Browser::new(&world).get("/login/oidc").await;
        assert_eq!(refused.status, 503, "{change}");
        assert_eq!(refused.headers[header::RETRY_AFTER], "5", "{change}");
        assert!(refused.body.contains("does not answer as it should"), "{change}: {}", refused.body);
        assert!(is_unnoted(&world).await, "strangers cause it: {change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_delays_nobody_else_and_is_asked_again_later() {
    let provider = TestProvider::begin().await;
    let issuer = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a port");
        format!("http://{}", free.local_addr().expect("it is bound"))
    };
    let world = with(ProviderSettings { issuer, ..provider.settings() }, true).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    for _ in 0..3 {
        let refused = ann.get("/login/oidc").await;
        assert!(refused.status == 503 && refused.body.contains("does not answer"), "{}", refused.body);
    }
    assert_eq!(ann.log_in("ann", PASSWORD).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_passwords_the_provider_is_the_only_way_in() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), false).await;
    let link = invited(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    let page = ann.get("/login").await.body;
    assert!(page.contains(":8080/login/oidc\"") && !page.contains("password"), "{page}");
    let body = format!("password={0}&again={0}", PASSWORD.replace(' ', "+"));
    let refused = [
        ann.log_in("ann", PASSWORD).await,
        ann.get(&link).await,
        ann.post(&link, &body).await,
        ann.post("/password", "old=a&password=b&again=b").await,
    ];
    for refused in refused {
        assert!(refused.status == 403 && refused.body.contains("oidc.passwords"), "{}", refused.body);
    }
    assert_eq!(log_in(&mut ann, &provider).await.status, 303);
    let page = ann.get("/login").await.body;
    assert!(page.contains("Log out everywhere") && !page.contains("Change the password"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_why_a_signature_is_not_accepted() {
    let provider = TestProvider::begin().await;
    for (sign, said) in [
        (Sign::By(1), "Crypto error"),
        (Sign::Shared(SECRET.into()), "Disallowed signature algorithm"),
        (Sign::None, "No signature found"),
    ] {
        provider.acts().sign = sign;
        let here = ready(provider.settings());
        let (location, cookie) = here.begin(0).await.expect("the provider is there");
        let back = provider.agree(&location);
        let back = openidconnect::url::Url::parse(&format!("http://x/?{back}")).expect("it is a query");
        let back: BTreeMap<_, _> = back.query_pairs().into_owned().collect();
        let ticket = here.ticket(&cookie, &back["state"]).expect("it is of this process");
        let fault = here.finish(&ticket, (back["code"].clone(), 0)).await.expect_err("it is not good");
        assert!(fault.to_string().contains(said), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_178_a_link_on_another_site_begins_no_login() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    let mut ann = Browser::new(&world);
    for (site, location) in [("cross-site", "/login"), ("same-origin", "/authorize"), ("none", "/authorize")]
    {
        let sent = ann.send(Method::GET, "/login/oidc", &[("sec-fetch-site", site)], "").await;
        let to = sent.headers[header::LOCATION].to_str().expect("it is ASCII");
        assert!(sent.status == 303 && to.contains(location), "{site}: {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_178_a_provider_that_says_who_it_is_in_each_answer_must_do_so() {
    let provider = TestProvider::begin().await;
    for (always, status) in [(false, 303), (true, 403)] {
        provider.acts().document = json!({"authorization_response_iss_parameter_supported": always});
        let world = with(provider.settings(), true).await;
        active(&world, "ann", Role::Viewer).await;
        let mut ann = Browser::new(&world);
        let back = go(&mut ann, &provider).await.replace("&iss=", "&other=");
        assert_eq!(ann.get(&back).await.status, status);
        assert_eq!(log_in(&mut ann, &provider).await.status, 303);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_required_keeps_others_out() {
    let provider = TestProvider::begin().await;
    let required = Some(("hd".to_owned(), "example.com".to_owned()));
    let world = with(ProviderSettings { required, ..provider.settings() }, true).await;
    active(&world, "ann", Role::Viewer).await;
    for (claims, status) in
        [(json!({}), 403), (json!({"hd": "other.example"}), 403), (json!({"hd": "example.com"}), 303)]
    {
        provider.acts().claims = claims.clone();
        assert_eq!(log_in(&mut Browser::new(&world), &provider).await.status, status, "{claims}");
    }
}

#[tokio::test]
async fn browsers_are_not_told_to_come_by_tls_alone_where_that_is_off() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    let mut request = Request::get("/login").body(Body::empty()).expect("it is a request");
    request.extensions_mut().insert(Way::Secured);
    let response = world.router.oneshot(request).await.expect("it answers");
    assert_eq!(response.headers().get(header::STRICT_TRANSPORT_SECURITY), None);
}

#[tokio::test]
async fn where_there_is_no_provider_there_is_no_way_to_it() {
    let world = world(None).await;
    let mut ann = Browser::new(&world);
    assert_eq!(ann.get("/login/oidc").await.status, 404);
    assert_eq!(ann.get("/login/oidc/callback?code=a&state=b").await.status, 404);
    assert!(!ann.get("/login").await.body.contains("oidc"));
}
