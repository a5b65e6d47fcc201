//! How often strangers come back from a provider, and what that costs others.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_logins_that_fail_at_the_provider_are_limited_by_address() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    active(&world, "ann", Role::Viewer).await;
    let mut ann = Browser::new(&world);
    assert_eq!(log_in(&mut ann, &provider).await.status, 303);
    let mut statuses = BTreeMap::new();
    for _ in 0..60 {
        let mut stranger = Browser::new(&world);
        let back = go(&mut stranger, &provider).await.replace("code=code", "code=none");
        *statuses.entry(stranger.get(&back).await.status).or_insert(0) += 1;
    }
    assert!(statuses.len() == 2 && statuses[&403] < 40 && statuses.contains_key(&429), "{statuses:?}");
    // Who has logged in with this browser before is not kept out by others at the address.
    assert_eq!(log_in(&mut ann, &provider).await.status, 303);
    assert_eq!(log_in(&mut Browser::at("198.51.100.9", &world), &provider).await.status, 303);
    // Who has not begun here costs nothing and fills nothing.
    let mut other = Browser::at("198.51.100.10", &world);
    for _ in 0..100 {
        assert_eq!(other.get("/login/oidc/callback?code=a&state=b").await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_one_login_is_good_for_a_few_codes_and_what_asks_nobody_is_not_counted() {
    let provider = TestProvider::begin().await;
    let world = with(provider.settings(), true).await;
    active(&world, "ann", Role::Viewer).await;
    let mut eve = Browser::new(&world);
    let back = go(&mut eve, &provider).await;
    let pending = eve.cookies.clone();
    let mut again = async |back: &str| {
        eve.cookies = pending.clone();
        eve.get(back).await.status
    };
    for _ in 0..50 {
        assert_eq!(again(&back.replace("code=", "error=x&x=")).await, 403);
    }
    let bad = back.replace("code=code", "code=none");
    for _ in 0..10 {
        assert_eq!(again(&bad).await, 403);
    }
    assert_eq!(provider.acts().asked.get("token"), None);
    assert_eq!(provider.acts().refused, 3, "the others did not get to the provider");
    assert_eq!(again(&back).await, 403, "the login is used up");
    assert_eq!(last(&world).await.3.as_deref(), Some("oidc_used"));
    assert_eq!(
        log_in(&mut Browser::new(&world), &provider).await.status,
        303,
        "nor is its neighbour held back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_182_a_provider_that_accepts_and_says_nothing_is_asked_once_and_holds_few_places() {
    let provider = TestProvider::begin().await;
    provider.acts().silent = vec!["document"];
    let world = with(provider.settings(), true).await;
    let began = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..=255 {
        let mut request = Request::get("/login/oidc").body(Body::empty()).expect("it is a request");
        request.extensions_mut().insert(Peer(IpAddr::from([192, 0, 2, number])));
        asked.spawn(world.router.clone().oneshot(request));
    }
    let mut at_once = 0;
    while let Some(answered) = asked.join_next().await {
        let answered = answered.expect("it does not panic").expect("it answers");
        assert_eq!(answered.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answered.headers().contains_key(header::RETRY_AFTER));
        at_once += usize::from(began.elapsed() < Duration::from_secs(3));
    }
    // Eight that ask and 32 behind them wait for the one answer that does not come within four seconds.
    assert_eq!((at_once, provider.acts().asked["document"]), (256 - 40, 1));
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    // From then on nobody waits for it.
    let began = Instant::now();
    let mut ann = Browser::new(&world);
    for _ in 0..20 {
        assert_eq!(ann.get("/login/oidc").await.status, 503);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(provider.acts().asked["document"], 1);
    assert!(is_unnoted(&world).await, "strangers fill no log");
}
