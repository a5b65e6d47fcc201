//! What users do with their own passwords and sessions.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_changes_the_password_and_logs_out_everywhere() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let [mut ann, mut other] = [Browser::new(&world), Browser::new(&world)];
    for browser in [&mut ann, &mut other] {
        assert_eq!(browser.log_in("ann", PASSWORD).await.status, 303);
    }
    let token = ann.get("/login").await.form_token();
    let change =
        |old: &str, new: &str, again: &str| format!("csrf={token}&old={old}&password={new}&again={again}");
    let (old, new) = (PASSWORD.replace(' ', "+"), "battery+horse+correct");
    for (body, status, said) in [
        (change(&old, new, new).replace(&token, "0"), 403, "not one of this session"),
        (change("incorrect", new, new), 403, "The current password is wrong."),
        (change(&old, new, "another"), 422, "The two passwords are not the same."),
        (change(&old, "ann", "ann"), 422, "The password has fewer than 12 characters."),
    ] {
        let refused = ann.post("/password", &body).await;
        assert_eq!(refused.status, status, "{body}");
        assert!(refused.body.contains(said), "{}", refused.body);
    }
    assert_eq!(other.get("/api/v1/me").await.status, 200);
    assert_eq!(ann.post("/password", &change(&old, new, new)).await.status, 303);
    assert_eq!((ann.get("/api/v1/me").await.status, other.get("/api/v1/me").await.status), (200, 401));
    assert_eq!(other.log_in("ann", PASSWORD).await.status, 403);
    assert_eq!(other.log_in("ann", "battery horse correct").await.status, 303);
    let token = ann.get("/login").await.form_token();
    assert_eq!(ann.post("/logout", &format!("csrf={token}&everywhere=yes")).await.status, 303);
    assert_eq!(other.get("/api/v1/me").await.status, 401);
    assert_eq!(ann.post("/password", &change(&old, new, new)).await.status, 303, "it has to log in");
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_181_a_stolen_session_guesses_the_password_so_often() {
    let world = world(None).await;
    active(&world, "ann", Role::Viewer).await;
    let mut thief = Browser::new(&world);
    thief.log_in("ann", PASSWORD).await;
    let token = thief.get("/login").await.form_token();
    let body = format!("csrf={token}&old=wrong&password=battery+horse+correct&again=battery+horse+correct");
    let mut statuses = BTreeMap::new();
    for _ in 0..100 {
        *statuses.entry(thief.post("/password", &body).await.status).or_insert(0) += 1;
    }
    assert!(statuses.len() == 2 && statuses[&403] < 20 && statuses.contains_key(&429), "{statuses:?}");
}
