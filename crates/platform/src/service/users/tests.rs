//! Users from the invitation to the end of their sessions.

use std::sync::Arc;

use narrowgate_api::access::NewUnit;

use super::*;
use crate::{
    model::user::SessionTimes,
    service::{
        fixtures::{NOW, registrar_and_clock},
        session_hash,
    },
    testing::{ManualClock, PlainPasswords, block_on},
};

const PASSWORD: &str = "correct horse battery";

fn registrar() -> (Registrar, Arc<ManualClock>, Arc<PlainPasswords>) {
    let ((registrar, clock), passwords) = (registrar_and_clock(), Arc::new(PlainPasswords::default()));
    (Registrar { passwords: passwords.clone(), ..registrar }, clock, passwords)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn new(name: &str) -> NewUser {
    NewUser { user: name.to_owned(), role: Role::Operator, ou: None }
}

/// The text of a link, without its path.
fn text_of(invited: &UserInvited) -> &str {
    invited.link.expose().strip_prefix(LINK_PATH).expect("it is the path of the page")
}

/// A user with a password.
fn active(registrar: &Registrar, name: &str) -> LoggedIn {
    let invited = block_on(registrar.create_user(new(name))).expect("it is new");
    set_password(registrar, text_of(&invited), PASSWORD).expect("it is valid")
}

/// Sets a password by the text of a link, and logs in.
fn set_password(registrar: &Registrar, text: &str, password: &str) -> Result<LoggedIn, ServiceError> {
    let verified = block_on(registrar.set_password(text, secret(password)))?;
    block_on(registrar.begin_session(verified))
}

fn log_in(registrar: &Registrar, name: &str, password: &str) -> Option<LoggedIn> {
    let verified = block_on(registrar.verify_password(name, secret(password), None));
    let verified = verified.expect("the store works")?;
    Some(block_on(registrar.begin_session(verified)).expect("nobody changed the user"))
}

fn holder(registrar: &Registrar, logged_in: &LoggedIn) -> Option<Caller> {
    let hash = session_hash(logged_in.session.expose()).expect("it has the form of one");
    block_on(registrar.session_holder(hash)).expect("the store reads")
}

#[test]
fn a_link_sets_the_password_once_within_a_day() {
    let (registrar, clock, _) = registrar();
    let invited = block_on(registrar.create_user(new("ann"))).expect("it is new");
    assert_eq!(invited.view.state, UserState::Invited);
    assert_eq!(invited.view.link_expires_at, Some(UnixMillis(NOW.0 + LINK_LIFE_MS)));
    let text = text_of(&invited);
    assert_eq!(text.len(), 68);
    let link_holder = |text: &str| {
        let holder = block_on(registrar.link_holder(text)).expect("the store reads");
        holder.map(|caller| caller.name().to_owned())
    };
    assert_eq!((link_holder(text), link_holder("ngl_x")), (Some("ann".to_owned()), None));
    for (password, said) in
        [("elf Zeichen", "password has fewer than 12 characters"), (&"é".repeat(513), "more than 1024 bytes")]
    {
        let refused = set_password(&registrar, text, password).expect_err("it is not taken");
        assert!(refused.to_string().contains(said), "{refused}");
    }
    clock.advance_ms(LINK_LIFE_MS);
    assert_eq!(link_holder(text), None);
    let set = |text: &str| set_password(&registrar, text, PASSWORD);
    assert!(matches!(set(text), Err(ServiceError::Missing { what: "one-time link", .. })));
    clock.advance_ms(-1);
    let logged_in = set(text).expect("it is valid");
    let ann = Caller::User { name: "ann".into(), role: Role::Operator, scope: Scope::All };
    assert_eq!(holder(&registrar, &logged_in), Some(ann));
    assert!(matches!(set(text), Err(ServiceError::Missing { .. })));
    let shown = block_on(registrar.user("ann")).expect("it is there");
    assert_eq!((shown.state, shown.link_expires_at), (UserState::Active, None));
}

#[test]
fn a_password_logs_in_and_nothing_else_does() {
    let (registrar, _, passwords) = registrar();
    active(&registrar, "ann");
    block_on(registrar.create_user(new("invited"))).expect("it is new");
    let first = log_in(&registrar, "ann", PASSWORD).expect("it is right");
    let second = log_in(&registrar, "ann", PASSWORD).expect("it is right");
    assert_ne!(first.session.expose(), second.session.expose());
    assert!(holder(&registrar, &first).is_some() && holder(&registrar, &second).is_some());
    let asked = passwords.asked();
    for (name, password) in [
        ("ann", "incorrect horse"),
        ("Ann", PASSWORD),
        ("invited", PASSWORD),
        ("nobody", PASSWORD),
        ("ann", ""),
    ] {
        assert!(log_in(&registrar, name, password).is_none(), "{name} {password}");
    }
    assert!(log_in(&registrar, "ann", &"a".repeat(1025)).is_none());
    assert_eq!(passwords.asked() - asked, 6, "each was compared with something");
}

#[test]
fn a_session_ends_by_itself_and_by_each_change_of_its_user() {
    let (registrar, clock, _) = registrar();
    active(&registrar, "ann");
    let begin = || log_in(&registrar, "ann", PASSWORD).expect("it is right");
    let update = |update| block_on(registrar.update_user("ann", update)).expect("it is there");
    let session = begin();
    update(UserUpdate::default());
    assert!(holder(&registrar, &session).is_some(), "nothing was changed");
    update(UserUpdate { role: Some(Role::Viewer), ..UserUpdate::default() });
    assert_eq!(holder(&registrar, &session), None);
    let session = begin();
    let off = update(UserUpdate { enabled: Some(false), ..UserUpdate::default() });
    assert_eq!((holder(&registrar, &session), off.state), (None, UserState::Disabled));
    assert!(log_in(&registrar, "ann", PASSWORD).is_none());
    update(UserUpdate { enabled: Some(true), ..UserUpdate::default() });
    let session = begin();
    let hash = session_hash(session.session.expose()).expect("it has the form of one");
    block_on(registrar.end_session(hash)).expect("the store works");
    assert_eq!(holder(&registrar, &session), None);
    let session = begin();
    let invited = block_on(registrar.reset_user("ann")).expect("it is there");
    assert_eq!((holder(&registrar, &session), invited.view.state), (None, UserState::Invited));
    assert!(log_in(&registrar, "ann", PASSWORD).is_none());
    let session = set_password(&registrar, text_of(&invited), PASSWORD).expect("it is valid");
    // It is used all the time, and ends in any case.
    let hash = session_hash(session.session.expose()).expect("it has the form of one");
    let uses = || block_on(registrar.use_session(hash)).expect("the store reads").is_some();
    let times = SessionTimes::default();
    let steps = times.whole_ms / (times.idle_ms - 1);
    for _ in 0..steps {
        clock.advance_ms(times.idle_ms - 1);
        assert!(uses());
    }
    clock.advance_ms(times.whole_ms - steps * (times.idle_ms - 1));
    assert!(!uses());
    let session = begin();
    clock.advance_ms(times.idle_ms);
    assert_eq!(holder(&registrar, &session), None, "nobody used it");
    let session = begin();
    block_on(registrar.delete_user("ann")).expect("it is there");
    assert_eq!(holder(&registrar, &session), None);
}

#[test]
fn sessions_and_links_end_by_the_clock_that_is_ahead() {
    let (mut registrar, ..) = registrar();
    let wall = Arc::new(ManualClock::new(NOW));
    registrar.wall = wall.clone();
    let session = active(&registrar, "ann");
    let invited = block_on(registrar.create_user(new("bob"))).expect("it is new");
    let link_holder = || block_on(registrar.link_holder(text_of(&invited))).expect("the store reads");
    assert!(holder(&registrar, &session).is_some() && link_holder().is_some());
    // A machine that slept for long: the arrivals do not believe it yet.
    wall.advance_ms(LINK_LIFE_MS.max(SessionTimes::default().whole_ms));
    assert!(holder(&registrar, &session).is_none() && link_holder().is_none());
}

#[test]
fn a_user_belongs_to_a_unit_or_to_all() {
    let (registrar, ..) = registrar();
    let unit = block_on(registrar.create_unit(NewUnit { name: "north".into(), ..NewUnit::default() }))
        .expect("it is new");
    let north = || Some("north".to_owned());
    let ann = block_on(registrar.create_user(NewUser { ou: north(), ..new("ann") })).expect("it is new");
    assert_eq!(ann.view.ou, Some(unit.ou.clone()));
    let to =
        |ou| block_on(registrar.update_user("ann", UserUpdate { ou: Some(ou), ..UserUpdate::default() }));
    assert_eq!(to(None).expect("it is there").ou, None);
    assert_eq!(to(north()).expect("it is there").ou, Some(unit.ou));
    assert!(matches!(to(Some("south".into())), Err(ServiceError::Missing { what: "organisation unit", .. })));
    for name in
        ["", "-x", "a\u{7}", "owner", "narrowgate", "Narrowgate", "ann ", "b\u{43e}ss", "b\u{202e}oss"]
    {
        let refused = block_on(registrar.create_user(new(name)));
        assert!(matches!(refused, Err(ServiceError::Invalid { field: "user", .. })), "{name}");
    }
}

#[test]
fn no_two_names_differ_in_case_alone() {
    let (registrar, ..) = registrar();
    for (name, is_taken) in
        [("ann", false), ("Ann", true), ("\u{d6}lga", false), ("\u{f6}LGA", true), ("ann2", false)]
    {
        let made = block_on(registrar.create_user(new(name)));
        assert_eq!(matches!(made, Err(ServiceError::Exists { .. })), is_taken, "{name}: {made:?}");
        assert_eq!(made.is_err(), is_taken, "{name}");
    }
}

#[test]
fn it_is_known_that_no_administrator_can_log_in() {
    let (registrar, ..) = registrar();
    let lacks = || block_on(registrar.lacks_administrator()).expect("the store reads");
    assert!(!lacks(), "nobody logs in");
    active(&registrar, "operator");
    assert!(lacks());
    let boss = NewUser { role: Role::Administrator, ..new("boss") };
    let invited = block_on(registrar.create_user(boss)).expect("it is new");
    assert!(lacks(), "there is no password yet");
    set_password(&registrar, text_of(&invited), PASSWORD).expect("it is valid");
    assert!(!lacks());
    let off = UserUpdate { enabled: Some(false), ..UserUpdate::default() };
    block_on(registrar.update_user("boss", off)).expect("the owner may");
    assert!(lacks());
}

#[test]
fn somebody_is_invited_until_anybody_has_a_password() {
    let (registrar, clock, _) = registrar();
    let first = || block_on(registrar.first_user()).expect("the store works");
    let invite = |first: &First| block_on(registrar.invite(first)).expect("the store works");
    let new = first().expect("there is nobody");
    assert!(matches!(new, First::New));
    let link = invite(&new);
    assert_eq!((&*link.view.user, link.view.role, &link.view.ou), ("admin", Role::Administrator, &None));
    // The link is valid, and somebody may have it.
    assert!(matches!(first(), Some(First::Invited(name)) if name == "admin"));
    clock.advance_ms(LINK_LIFE_MS);
    let over = first().expect("nobody has a password");
    assert!(matches!(&over, First::Waiting(name) if name == "admin"));
    let link = invite(&over);
    set_password(&registrar, text_of(&link), PASSWORD).expect("it is valid");
    assert!(first().is_none());
    block_on(registrar.reset_user("admin")).expect("it is there");
    assert!(matches!(first(), Some(First::Invited(_))));
    active(&registrar, "operator");
    assert!(first().is_none(), "somebody has a password");
    for name in ["operator", "admin"] {
        block_on(registrar.delete_user(name)).expect("the owner may");
    }
    block_on(registrar.create_user(self::new("ann"))).expect("it is new");
    assert!(first().is_none(), "users were made otherwise");
}

#[test]
fn only_the_owner_takes_the_last_administrator_away() {
    let (registrar, ..) = registrar();
    let boss = NewUser { role: Role::Administrator, ..new("boss") };
    let invited = block_on(registrar.create_user(boss)).expect("it is new");
    set_password(&registrar, text_of(&invited), PASSWORD).expect("it is valid");
    let caller = Caller::User { name: "boss".into(), role: Role::Administrator, scope: Scope::All };
    let by_http = Registrar { caller: Arc::new(caller), ..registrar.clone() };
    for update in [
        UserUpdate { enabled: Some(false), ..UserUpdate::default() },
        UserUpdate { role: Some(Role::Viewer), ..UserUpdate::default() },
        UserUpdate { ou: Some(Some("default".into())), ..UserUpdate::default() },
    ] {
        let refused = block_on(by_http.update_user("boss", update));
        assert!(matches!(refused, Err(ServiceError::Conflict(_))), "{refused:?}");
    }
    assert!(matches!(block_on(by_http.delete_user("boss")), Err(ServiceError::Conflict(_))));
    let off = UserUpdate { enabled: Some(false), ..UserUpdate::default() };
    assert_eq!(
        block_on(registrar.update_user("boss", off)).expect("it is the owner").state,
        UserState::Disabled
    );
}

#[test]
fn a_session_that_is_over_stays_over_whatever_the_settings_are() {
    let (mut registrar, clock, _) = registrar();
    registrar.session_times = SessionTimes { idle_ms: 60_000, whole_ms: 600_000 };
    let [first, second] = ["ann", "bob"].map(|name| active(&registrar, name));
    clock.advance_ms(66_000);
    assert!(holder(&registrar, &first).is_none());
    // Nobody asks for the second one, and somebody logs in.
    active(&registrar, "eve");
    registrar.session_times = SessionTimes::default();
    assert!(holder(&registrar, &first).is_none() && holder(&registrar, &second).is_none());
    let third = log_in(&registrar, "ann", PASSWORD).expect("it is right");
    clock.advance_ms(66_000);
    registrar.session_times = SessionTimes { idle_ms: 60_000, whole_ms: 600_000 };
    assert!(holder(&registrar, &third).is_none());
    registrar.session_times = SessionTimes::default();
    assert!(holder(&registrar, &third).is_none());
    let fourth = log_in(&registrar, "ann", PASSWORD).expect("it is right");
    clock.advance_ms(66_000);
    registrar.session_times = SessionTimes { idle_ms: 60_000, whole_ms: 600_000 };
    block_on(registrar.remove_over_sessions()).expect("the store works");
    registrar.session_times = SessionTimes::default();
    assert!(holder(&registrar, &fourth).is_none(), "it was removed");
}

#[test]
fn a_password_that_is_guessed_first_is_not_set() {
    let (registrar, ..) = registrar();
    let invited = block_on(registrar.create_user(new("ann.lee"))).expect("it is new");
    for password in ["password1234", "ann.lee.2026!", "123456789012"] {
        let refused = set_password(&registrar, text_of(&invited), password);
        assert!(matches!(refused, Err(ServiceError::Invalid { field: "password", .. })), "{password}");
    }
    set_password(&registrar, text_of(&invited), PASSWORD).expect("it is none of them");
}

#[test]
fn a_browser_is_known_by_the_name_that_it_got() {
    let (registrar, ..) = registrar();
    let logged_in = active(&registrar, "ann");
    let browser = logged_in.browser.as_ref().expect("it was by a password").expose();
    let knows = |name| block_on(registrar.knows_browser(name, browser)).expect("it reads");
    assert!(knows("ann") && !knows("bob"));
    block_on(registrar.reset_user("ann")).expect("it is there");
    assert!(!knows("ann"));
}
