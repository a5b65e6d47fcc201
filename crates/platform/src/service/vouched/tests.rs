//! Who is let in because an identity provider vouches, and as whom.

use std::sync::Arc;

use narrowgate_api::{
    access::NewUnit,
    audit::AuditQuery,
    user::{NewUser, UserState, UserUpdate},
};

use super::*;
use crate::{
    ids::UnixMillis,
    memory::MemoryStore,
    model::user::{ByProvider, SessionTimes, WaysIn},
    ports::NobodyConnected,
    secret::Secret,
    service::{AskedFrom, FirstUser, LINK_PATH, Operator, session_hash},
    testing::{ManualClock, PlainPasswords, SeededEntropy, block_on},
};

fn operator() -> Operator {
    let clock = Arc::new(ManualClock::new(UnixMillis(1000)));
    let (store, entropy) = (Arc::new(MemoryStore::default()), Arc::new(SeededEntropy::new(1)));
    let operator = Operator::new(store, clock, entropy, Arc::new(NobodyConnected));
    operator.with_logins(Arc::new(PlainPasswords::default()), SessionTimes::default())
}

fn log_in(operator: &Operator, name: &str, placed: Placed) -> Result<LoggedIn, NotLetIn> {
    let vouched = Vouched { name: name.to_owned(), subject: "1".to_owned(), placed };
    block_on(operator.log_in_vouched(&vouched, AskedFrom::default())).expect("the store works")
}

fn holder(operator: &Operator, logged_in: &LoggedIn) -> Option<Caller> {
    let hash = session_hash(logged_in.session.expose()).expect("it has the form of one");
    block_on(operator.session_holder(hash)).expect("the store works")
}

fn role(role: Role, ou: Option<&str>) -> Placed {
    Placed::As { role, ou: ou.map(str::to_owned) }
}

/// Makes a user here; the link.
fn make(operator: &Operator, name: &str) -> String {
    let new = NewUser { user: name.to_owned(), role: Role::Operator, ou: None };
    block_on(operator.create_user(new)).expect("it is new").link.into_text()
}

fn disable(operator: &Operator, name: &str, is_enabled: bool) {
    let update = UserUpdate { enabled: Some(is_enabled), ..UserUpdate::default() };
    block_on(operator.update_user(name, update)).expect("it is there");
}

fn actions(operator: &Operator) -> Vec<String> {
    let page = block_on(operator.list_audit(&AuditQuery::default())).expect("it reads");
    let told = |entry: &narrowgate_api::audit::AuditEntry| {
        format!("{} {} {}", entry.user.as_deref().unwrap_or("-"), entry.action, entry.target)
    };
    let mut updates = page.items.iter().filter(|entry| entry.action == "users.update");
    assert!(updates.all(|entry| entry.detail.contains_key("role")), "{page:?}");
    page.items.iter().rev().map(told).collect()
}

#[test]
fn without_rules_those_get_in_who_were_made_here_and_are_not_switched_off() {
    let operator = operator();
    assert_eq!(log_in(&operator, "ann", Placed::AsMade).unwrap_err(), NotLetIn::Unknown);
    make(&operator, "ann");
    let session = log_in(&operator, "ann", Placed::AsMade).expect("ann was made");
    assert!(session.browser.is_none(), "it would know the browser by a password");
    let ann = Caller::User { name: "ann".into(), role: Role::Operator, scope: Scope::All };
    assert_eq!(holder(&operator, &session), Some(ann));
    disable(&operator, "ann", false);
    assert_eq!(holder(&operator, &session), None);
    assert_eq!(log_in(&operator, "ann", Placed::AsMade).unwrap_err(), NotLetIn::Disabled);
    for name in ["", "-x", "owner", "Narrowgate", "a\nb", "ann "] {
        assert_eq!(log_in(&operator, name, Placed::AsMade).unwrap_err(), NotLetIn::Name, "{name:?}");
    }
}

#[test]
fn with_rules_users_are_made_follow_them_and_go_by_them() {
    let operator = operator();
    let north = NewUnit { name: "north".into(), ..NewUnit::default() };
    let north = block_on(operator.create_unit(north)).expect("it is new").ou;
    assert_eq!(log_in(&operator, "ann", Placed::Nowhere).unwrap_err(), NotLetIn::NoRole);
    assert_eq!(log_in(&operator, "ann", role(Role::Viewer, Some("none"))).unwrap_err(), NotLetIn::NoUnit);
    assert!(block_on(operator.list_users()).expect("it reads").items.is_empty());

    let first = log_in(&operator, "ann", role(Role::Viewer, None)).expect("the rule fits");
    let user = block_on(operator.show_user("ann")).expect("it was made");
    assert_eq!((user.state, user.role, user.ou), (UserState::Active, Role::Viewer, None));
    let second = log_in(&operator, "ann", role(Role::Viewer, None)).expect("the rule fits");
    assert!(holder(&operator, &first).is_some() && holder(&operator, &second).is_some());

    let third = log_in(&operator, "ann", role(Role::Operator, Some("north"))).expect("the rule fits");
    assert!(holder(&operator, &first).is_none(), "the role is another one");
    let ann = Caller::User { name: "ann".into(), role: Role::Operator, scope: Scope::Unit(north) };
    assert_eq!(holder(&operator, &third), Some(ann));

    disable(&operator, "ann", false);
    assert_eq!(log_in(&operator, "ann", role(Role::Viewer, None)).unwrap_err(), NotLetIn::Disabled);
    disable(&operator, "ann", true);
    let fourth = log_in(&operator, "ann", role(Role::Operator, Some("north"))).expect("it is on again");
    assert_eq!(log_in(&operator, "ann", Placed::Nowhere).unwrap_err(), NotLetIn::NoRole);
    assert!(holder(&operator, &fourth).is_none(), "no group any more");

    let fifth = log_in(&operator, "ann", role(Role::Operator, Some("north"))).expect("the rule fits");
    assert_eq!(log_in(&operator, "ann", role(Role::Operator, Some("gone"))).unwrap_err(), NotLetIn::NoUnit);
    assert!(holder(&operator, &fifth).is_none(), "a rule that is not good gives nothing");

    let by_ann: Vec<_> = actions(&operator).into_iter().filter(|told| told.starts_with("ann ")).collect();
    assert_eq!(
        by_ann,
        [
            "ann users.create /users/ann",
            "ann users.login /users/ann",
            "ann users.login /users/ann",
            "ann users.update /users/ann",
            "ann users.login /users/ann",
            "ann users.login /users/ann",
            "ann users.logout.everywhere /users/ann",
            "ann users.login /users/ann",
            "ann users.logout.everywhere /users/ann",
        ]
    );
}

#[test]
fn a_provider_that_knows_somebody_by_the_name_of_a_user_who_was_made_here_does_not_let_in_as_that() {
    let operator = operator();
    let link = make(&operator, "admin");
    let administrator = || role(Role::Administrator, None);
    assert_eq!(log_in(&operator, "admin", administrator()).unwrap_err(), NotLetIn::MadeHere);
    let text = link.strip_prefix(LINK_PATH).expect("it is the path of the page");
    let password = Secret::new("correct horse battery".to_owned());
    let own = block_on(operator.set_password(text, password, AskedFrom::default())).expect("it is valid");
    for placed in [administrator(), Placed::Nowhere, role(Role::Viewer, Some("none"))] {
        assert_eq!(log_in(&operator, "admin", placed).unwrap_err(), NotLetIn::MadeHere);
    }
    assert!(holder(&operator, &own).is_some());
    assert_eq!(block_on(operator.show_user("admin")).expect("it is there").role, Role::Operator);
    // Not by a name either that is mistaken for it.
    assert_eq!(log_in(&operator, "Admin", administrator()).unwrap_err(), NotLetIn::MadeHere);
}

#[test]
fn who_is_vouched_for_has_no_password_that_could_be_guessed_and_no_browser_that_could_be_forged() {
    let operator = operator();
    log_in(&operator, "ann", role(Role::Viewer, None)).expect("the rule fits");
    for guess in ["", "!", "correct horse battery"] {
        let asked = (None, AskedFrom::default());
        let tried = block_on(operator.log_in("ann", Secret::new(guess.to_owned()), asked));
        assert!(tried.expect("it is looked at").is_none(), "{guess}");
    }
    let entropy = SeededEntropy::new(9);
    let forged = crate::service::secret_text::name_browser(&entropy, "ann", &PasswordHash::vouched());
    assert!(!block_on(operator.knows_browser("ann", forged.expose())).expect("it reads"));
}

#[test]
fn an_administrator_who_is_vouched_for_is_given_no_link_at_a_start() {
    let operator = operator().with_ways_in(WaysIn { passwords: true, provider: ByProvider::ByGroups });
    let session = log_in(&operator, "ann", role(Role::Administrator, None)).expect("the rule fits");
    for renews in [false, true] {
        let first = block_on(operator.invite_first(renews)).expect("the store works");
        assert!(matches!(first, FirstUser::NotNeeded), "{first:?}");
    }
    assert!(holder(&operator, &session).is_some());
    // Once there is no provider any more, that is no way in.
    let without = operator.with_ways_in(WaysIn::default());
    let first = block_on(without.invite_first(false)).expect("the store works");
    assert!(matches!(&first, FirstUser::Waits(name) if name == "ann"), "{first:?}");
}
