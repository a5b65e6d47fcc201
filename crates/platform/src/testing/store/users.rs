//! Checks of users and their sessions.

use super::{
    access::{change as change_access, unit},
    fixtures::at,
};
use crate::{
    firmware::Sha256Sum,
    ids::{DEFAULT_OU, UnixMillis},
    model::{
        access::{Role, Scope},
        user::{ByProvider, OneTimeLink, PasswordHash, SessionTimes, User, UserSession, WaysIn},
    },
    ports::{
        AccessChange, SESSIONS_OF_USER_MAX, Spares, Store, StoreError, TakenFor, USERS_MAX, UserChange,
        UserReads as _,
    },
    testing::block_on,
};

/// How long sessions last here.
pub const TIMES: SessionTimes = SessionTimes { idle_ms: 100_000_000, whole_ms: 1_000_000_000 };

/// The hash of something.
pub fn hash(number: u16) -> Sha256Sum {
    let [high, low] = number.to_be_bytes();
    Sha256Sum(std::array::from_fn(|place| if place == 0 { high } else { low }))
}

/// A user of all units with a password.
pub fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        role: Role::Operator,
        scope: Scope::All,
        created: at(7),
        is_enabled: true,
        password: Some(password(name)),
        link: None,
    }
}

/// What is kept of a user's password.
pub fn password(name: &str) -> PasswordHash {
    PasswordHash(format!("hash of {name}"))
}

/// A link.
pub fn link(number: u16) -> OneTimeLink {
    OneTimeLink { hash: hash(number), expires: at(100) }
}

/// A session.
pub fn session(number: u16, name: &str) -> UserSession {
    UserSession { hash: hash(number), user: name.to_owned(), begun: at(9), seen: at(9) }
}

/// Makes a change.
///
/// # Errors
/// Those of the store.
pub fn change(store: &dyn Store, change: UserChange) -> Result<(), StoreError> {
    block_on(store.change_user(change))
}

fn delete(name: &str) -> UserChange {
    UserChange::Delete { name: name.to_owned(), spares: Spares::Nobody }
}

fn update_of(name: &str, role: Option<Role>, is_enabled: Option<bool>, spares: Spares) -> UserChange {
    UserChange::Update { name: name.to_owned(), role, scope: None, is_enabled, spares }
}

fn add(store: &dyn Store, user: User) -> Result<(), StoreError> {
    change(store, UserChange::Add(Box::new(user)))
}

fn begin(store: &dyn Store, number: u16, name: &str) -> Result<(), StoreError> {
    let who = TakenFor::Password(password(name));
    change(store, UserChange::BeginSession { session: session(number, name), who })
}

fn users(store: &dyn Store) -> Vec<User> {
    let page = block_on(store.users()).expect("the store reads");
    assert_eq!((page.next, page.damaged.count), (None, 0));
    page.items
}

fn named(store: &dyn Store, name: &str) -> Option<User> {
    block_on(store.user(name)).expect("the store reads")
}

fn of_link(store: &dyn Store, number: u16) -> Option<User> {
    block_on(store.user_of_link(hash(number))).expect("the store reads")
}

/// A session with its user.
pub fn of_session(store: &dyn Store, number: u16) -> Option<(UserSession, User)> {
    block_on(store.session_of(hash(number))).expect("the store reads")
}

fn is_missing(refused: &Result<(), StoreError>, kind: &str) -> bool {
    matches!(refused, Err(StoreError::Missing { what, .. }) if *what == kind)
}

/// Three users and two sessions, for a directory of the present format. There is a unit 3.
///
/// # Panics
/// Where the store refuses one of them.
pub fn fill(store: &dyn Store) {
    let part = User { role: Role::Viewer, scope: Scope::Unit(unit(3).ou), ..user("Zählerin") };
    let invited = User { password: None, link: Some(link(5)), ..user("invited") };
    for user in [user("whole"), part, User { is_enabled: false, ..invited }] {
        add(store, user).expect("it is new");
    }
    for (number, name) in [(1, "whole"), (2, "Zählerin")] {
        begin(store, number, name).expect("the password is right");
    }
}

/// All users and the sessions of [`fill`], one in a line; of a hash only whether there is one.
///
/// # Panics
/// Where the store cannot read.
pub fn lines(store: &dyn Store) -> String {
    let users = users(store).into_iter().map(|user| format!("{user:?}\n"));
    let sessions = (1..=2).filter_map(|number| of_session(store, number));
    users.chain(sessions.map(|(session, _)| format!("{session:?}\n"))).collect()
}

/// A user comes back as it was added.
pub fn a_user_is_found_by_name_and_by_link(store: &dyn Store) {
    assert_eq!((users(store), named(store, "ann"), of_link(store, 1)), (vec![], None, None));
    let ann = user("ann");
    let bob = User { role: Role::Viewer, password: None, link: Some(link(1)), ..user("'Bób\"") };
    let eve = User { is_enabled: false, role: Role::Administrator, link: Some(link(2)), ..user("eve") };
    for user in [&eve, &ann, &bob] {
        add(store, user.clone()).expect("it is new");
    }
    assert_eq!(users(store), [bob.clone(), ann.clone(), eve.clone()]);
    assert_eq!((named(store, "ann"), named(store, "Ann")), (Some(ann.clone()), None));
    assert_eq!((of_link(store, 1), of_link(store, 2), of_link(store, 3)), (Some(bob), Some(eve), None));
    let again = add(store, User { role: Role::Viewer, ..ann });
    assert!(matches!(&again, Err(StoreError::Exists { what: "user", .. })), "{again:?}");
    change(store, delete("eve")).expect("it is there");
    assert_eq!((named(store, "eve"), of_link(store, 2)), (None, None));
    assert!(is_missing(&change(store, delete("eve")), "user"));
}

/// There are so many and no more.
pub fn users_are_limited_and_belong_to_units_that_exist(store: &dyn Store) {
    let of = |ou: &str, name: &str| User { scope: Scope::Unit(ou.to_owned()), ..user(name) };
    assert!(is_missing(&add(store, of(&unit(3).ou, "ann")), "organisation unit"));
    change_access(store, AccessChange::AddUnit(unit(3))).expect("it is new");
    add(store, of(&unit(3).ou, "ann")).expect("its unit exists");
    let update = |scope| UserChange::Update {
        name: "ann".to_owned(),
        role: None,
        scope: Some(scope),
        is_enabled: None,
        spares: Spares::Nobody,
    };
    let refused = change(store, update(Scope::Unit(unit(4).ou)));
    assert!(is_missing(&refused, "organisation unit"), "{refused:?}");
    change(store, update(Scope::All)).expect("it is there");
    assert_eq!(named(store, "ann").map(|ann| ann.scope), Some(Scope::All));
    for number in 1..USERS_MAX {
        add(store, user(&format!("user {number}"))).expect("there is room");
    }
    let one_more = || add(store, user("one more"));
    assert!(matches!(one_more(), Err(StoreError::Conflict(_))));
    change(store, delete("user 7")).expect("it is there");
    one_more().expect("there is room again");
}

/// A password is set by the present link alone, which is used up.
pub fn a_link_sets_a_password_once(store: &dyn Store) {
    let reset = |number| UserChange::Reset { name: "ann".to_owned(), link: link(number) };
    assert!(is_missing(&change(store, reset(1)), "user"));
    add(store, user("ann")).expect("it is new");
    begin(store, 1, "ann").expect("the password is right");
    for number in [1, 2] {
        change(store, reset(number)).expect("it is there");
    }
    let ann = named(store, "ann").expect("it is there");
    assert_eq!((ann.password, ann.link, of_session(store, 1)), (None, Some(link(2)), None));
    let set =
        |number| change(store, UserChange::SetPassword { link: hash(number), password: password("another") });
    assert!(is_missing(&set(1), "one-time link"), "another took its place");
    set(2).expect("it is the present one");
    let ann = named(store, "ann").expect("it is there");
    assert_eq!((ann.password, ann.link), (Some(password("another")), None));
    assert!(is_missing(&set(2), "one-time link"), "it was used");
    assert_eq!(of_link(store, 2), None);
}

/// A session is found by its hash with its user as that stands now.
pub fn a_session_begins_with_the_password_that_was_given_and_is_seen(store: &dyn Store) {
    assert!(is_missing(&begin(store, 1, "ann"), "user"));
    for user in [user("ann"), User { is_enabled: false, ..user("off") }] {
        add(store, user).expect("it is new");
    }
    let session = session(1, "ann");
    let with = |password| {
        let who = TakenFor::Password(password);
        UserChange::BeginSession { session: session.clone(), who }
    };
    assert!(matches!(change(store, with(password("other"))), Err(StoreError::Conflict(_))));
    assert!(matches!(begin(store, 2, "off"), Err(StoreError::Conflict(_))));
    assert_eq!((of_session(store, 1), of_session(store, 2)), (None, None));
    change(store, with(password("ann"))).expect("the password is right");
    assert_eq!(of_session(store, 1), Some((session.clone(), user("ann"))));
    let seen = UserSession { seen: at(70), ..session.clone() };
    change(store, UserChange::SeeSession(seen.clone())).expect("the store works");
    assert_eq!(of_session(store, 1), Some((seen.clone(), user("ann"))));
    begin(store, 7, "ann").expect("the password is right");
    let all = |name: &str| block_on(store.sessions_of(name)).expect("the store reads");
    assert_eq!(all("ann"), [seen.clone(), super::users::session(7, "ann")]);
    assert_eq!((all("off"), all("eve")), (Vec::new(), Vec::new()));
    for _ in 0..2 {
        change(store, UserChange::EndSession { hash: hash(1) }).expect("it is there, or was");
        change(store, UserChange::SeeSession(seen.clone())).expect("nothing is there to be seen");
        assert_eq!(of_session(store, 1), None);
    }
}

/// An identity provider vouches for users who have a password and for those who have none, and not for those
/// who are switched off.
pub fn a_session_begins_without_a_password_where_somebody_vouches(store: &dyn Store) {
    let vouched = |number, user: &User| {
        let session = session(number, &user.name);
        change(store, UserChange::BeginSession { session, who: TakenFor::vouched(user) })
    };
    assert!(is_missing(&vouched(1, &user("ann")), "user"));
    let without = User { password: None, link: None, ..user("bob") };
    let off = User { is_enabled: false, ..user("off") };
    for user in [user("ann"), without.clone(), off.clone()] {
        add(store, user).expect("it is new");
    }
    assert!(matches!(vouched(3, &off), Err(StoreError::Conflict(_))));
    // Who was changed since is another one.
    for other in [
        User { role: Role::Administrator, ..user("ann") },
        User { scope: Scope::Unit(DEFAULT_OU.to_owned()), ..user("ann") },
        User { password: None, ..user("ann") },
        User { password: Some(PasswordHash::vouched()), ..without.clone() },
    ] {
        assert!(matches!(vouched(3, &other), Err(StoreError::Conflict(_))), "{other:?}");
    }
    for (number, user) in [(1, user("ann")), (2, without)] {
        vouched(number, &user).expect("the user may log in");
        let name = user.name;
        let (_, user) = of_session(store, number).expect("it has begun");
        assert_eq!(user.name, name);
    }
    assert!(matches!(begin(store, 4, "bob"), Err(StoreError::Conflict(_))), "no password is none");
    assert_eq!((of_session(store, 3), of_session(store, 4)), (None, None));
}

/// Whoever has logged in as somebody else goes on.
pub fn a_change_of_a_user_ends_the_sessions_of_that_user_alone(store: &dyn Store) {
    for name in ["ann", "bob"] {
        add(store, user(name)).expect("it is new");
    }
    begin(store, 9, "bob").expect("the password is right");
    let update = |role, is_enabled| update_of("ann", role, is_enabled, Spares::Nobody);
    let after = |is_enabled| User { role: Role::Viewer, is_enabled, ..user("ann") };
    for (number, change_it, left) in [
        (1, update(Some(Role::Viewer), None), Some(after(true))),
        (2, update(None, Some(false)), Some(after(false))),
        (3, update(None, Some(true)), Some(after(true))),
        (4, delete("ann"), None),
    ] {
        if number != 3 {
            begin(store, number, "ann").expect("the password is right");
            begin(store, 10 + number, "ann").expect("the password is right");
        }
        change(store, change_it).expect("it is there");
        assert_eq!((of_session(store, number), of_session(store, 10 + number)), (None, None));
        assert_eq!(named(store, "ann"), left);
    }
    assert!(is_missing(&change(store, update(None, None)), "user"));
    assert_eq!(of_session(store, 9), Some((session(9, "bob"), user("bob"))));
    add(store, user("ann")).expect("the name is free");
    assert_eq!(of_session(store, 1), None, "it is another one of the same name");
}

/// Whoever was given a link for one role sets no password of another one.
pub fn a_change_of_role_or_unit_ends_the_link(store: &dyn Store) {
    let invited = |link| User { password: None, link: Some(link), ..user("ann") };
    let update = |role, scope, is_enabled| UserChange::Update {
        name: "ann".to_owned(),
        role,
        scope,
        is_enabled,
        spares: Spares::Nobody,
    };
    for (number, role, scope) in
        [(1, Some(Role::Administrator), None), (2, None, Some(Scope::Unit(DEFAULT_OU.to_owned())))]
    {
        add(store, invited(link(number))).expect("it is new");
        change(store, update(None, None, Some(false))).expect("it is there");
        change(store, update(None, None, Some(true))).expect("it is there");
        assert!(of_link(store, number).is_some(), "it is of the same role");
        change(store, update(role, scope, None)).expect("it is there");
        assert_eq!((of_link(store, number), named(store, "ann").and_then(|ann| ann.link)), (None, None));
        change(store, delete("ann")).expect("it is there");
    }
}

/// A thief who logs in again and again ends sessions of this user, and none of others, and those that are
/// used last.
pub fn one_session_too_many_ends_the_least_used_of_its_user(store: &dyn Store) {
    for name in ["ann", "bob"] {
        add(store, user(name)).expect("it is new");
    }
    begin(store, 500, "bob").expect("the password is right");
    let count = u16::try_from(SESSIONS_OF_USER_MAX).expect("it is small");
    for number in 0..count + 2 {
        begin(store, number, "ann").expect("the password is right");
    }
    let left = || (0..count + 4).filter(|number| of_session(store, *number).is_some()).collect::<Vec<_>>();
    assert_eq!(left(), (2..count + 2).collect::<Vec<_>>());
    let seen = UserSession { seen: at(70), ..session(2, "ann") };
    change(store, UserChange::SeeSession(seen)).expect("the store works");
    for number in [count + 2, count + 3] {
        begin(store, number, "ann").expect("the password is right");
    }
    assert_eq!(left(), [2].into_iter().chain(5..count + 4).collect::<Vec<_>>());
    assert!(of_session(store, 500).is_some());
}

/// What is over goes where somebody asks for it.
pub fn sessions_that_are_over_are_removed(store: &dyn Store) {
    for name in ["ann", "bob"] {
        add(store, user(name)).expect("it is new");
    }
    let begin_at = |number, name: &str, now: i64| {
        let (begun, seen, user) = (UnixMillis(now), UnixMillis(now), name.to_owned());
        let session = UserSession { hash: hash(number), user, begun, seen };
        let who = TakenFor::Password(password(name));
        change(store, UserChange::BeginSession { session, who }).expect("the password is right");
    };
    let left = || (1..=2).filter(|number| of_session(store, *number).is_some()).collect::<Vec<_>>();
    let remove = |now, times| change(store, UserChange::RemoveOver { now: UnixMillis(now), times });
    begin_at(1, "ann", 0);
    begin_at(2, "bob", 1);
    remove(TIMES.idle_ms - 1, TIMES).expect("the store works");
    assert_eq!(left(), [1, 2]);
    remove(TIMES.idle_ms, TIMES).expect("the store works");
    assert_eq!(left(), [2], "the first was not used for so long");
    let idle_ms = TIMES.whole_ms * 2;
    remove(TIMES.whole_ms, SessionTimes { idle_ms, ..TIMES }).expect("the store works");
    assert_eq!(left(), [2]);
    remove(TIMES.whole_ms + 1, SessionTimes { idle_ms, ..TIMES }).expect("the store works");
    assert!(left().is_empty(), "it is over in any case");
}

/// Who knows the old password sets another one, and logs in anew everywhere.
pub fn a_password_is_changed_by_who_knows_it(store: &dyn Store) {
    for name in ["ann", "bob"] {
        add(store, user(name)).expect("it is new");
    }
    begin(store, 1, "ann").expect("the password is right");
    begin(store, 2, "bob").expect("the password is right");
    let set = |old: &str, new: &str| {
        let (old, new) = (password(old), password(new));
        change(store, UserChange::ChangePassword { name: "ann".to_owned(), old, new })
    };
    assert!(matches!(set("other", "new"), Err(StoreError::Conflict(_))));
    assert!(of_session(store, 1).is_some());
    set("ann", "new").expect("it is the old one");
    assert_eq!(named(store, "ann").and_then(|ann| ann.password), Some(password("new")));
    assert!(of_session(store, 1).is_none() && of_session(store, 2).is_some());
    change(store, UserChange::EndSessions { name: "bob".to_owned() }).expect("the store works");
    assert!(of_session(store, 2).is_none());
    change(store, update_of("ann", None, Some(false), Spares::Nobody)).expect("it is there");
    assert!(matches!(set("new", "newer"), Err(StoreError::Conflict(_))));
}

/// Nobody locks everybody out.
pub fn the_last_administrator_is_spared(store: &dyn Store) {
    let administrator = |name: &str| User { role: Role::Administrator, ..user(name) };
    let invited = User { password: None, link: Some(link(1)), ..administrator("invited") };
    let off = User { is_enabled: false, ..administrator("off") };
    for user in [administrator("ann"), invited, off, user("operator")] {
        add(store, user).expect("it is new");
    }
    let spares = Spares::LastAdministrator(WaysIn::default());
    let deletion = |name: &str, spares| UserChange::Delete { name: name.to_owned(), spares };
    let changes = || {
        let to_unit = UserChange::Update {
            name: "ann".to_owned(),
            role: None,
            scope: Some(Scope::Unit(DEFAULT_OU.to_owned())),
            is_enabled: None,
            spares,
        };
        [
            update_of("ann", Some(Role::Operator), None, spares),
            update_of("ann", None, Some(false), spares),
            to_unit,
            deletion("ann", spares),
        ]
    };
    for change_it in changes() {
        let refused = change(store, change_it);
        assert!(
            matches!(&refused, Err(StoreError::Conflict(text)) if text.contains("last administrator")),
            "{refused:?}"
        );
    }
    // What leaves the administrator one, and whoever else there is.
    change(store, update_of("ann", Some(Role::Administrator), Some(true), spares)).expect("nothing changes");
    change(store, deletion("operator", spares)).expect("it is no administrator");
    add(store, administrator("eve")).expect("it is new");
    for change_it in changes() {
        let is_deletion = matches!(change_it, UserChange::Delete { .. });
        change(store, change_it).expect("there is another one");
        if !is_deletion {
            let scope = Some(Scope::All);
            let (role, is_enabled) = (Some(Role::Administrator), Some(true));
            let spares = Spares::Nobody;
            let back = UserChange::Update { name: "ann".to_owned(), role, scope, is_enabled, spares };
            change(store, back).expect("it is there");
        }
    }
    assert!(change(store, deletion("eve", spares)).is_err());
    let password = Some(PasswordHash::vouched());
    add(store, User { password, link: None, ..administrator("vouched") }).expect("it is new");
    assert!(change(store, deletion("eve", spares)).is_err(), "there is no provider any more");
    let by = |provider| Spares::LastAdministrator(WaysIn { passwords: false, provider });
    for spares in [by(ByProvider::ByGroups), by(ByProvider::AsMade)] {
        change(store, update_of("eve", Some(Role::Viewer), None, spares)).expect("there is another one");
        change(store, update_of("eve", Some(Role::Administrator), None, spares)).expect("it is there");
    }
    change(store, deletion("invited", Spares::Nobody)).expect("the owner may");
    assert!(change(store, deletion("vouched", by(ByProvider::ByGroups))).is_err(), "it is the last one");
    change(store, deletion("vouched", by(ByProvider::AsMade))).expect("eve can log in as well");
    change(store, deletion("eve", Spares::Nobody)).expect("the owner may");
}
