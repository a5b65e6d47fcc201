//! Users and sessions that come and go, one after the other, and what can be read of them.

use super::super::{
    access::unit,
    users::{TIMES, link, of_session, password, session, user},
};
use crate::{
    ids::UnixMillis,
    model::{
        access::{Role, Scope},
        user::{User, UserSession, WaysIn},
    },
    ports::{Spares, Store, TakenFor, UserChange, UserReads as _},
    testing::{block_on, store::fixtures::at},
};

/// How many forms of changes there are.
pub(super) const FORMS: u8 = 48;

/// A change of the given form.
pub(super) fn change(form: u8) -> UserChange {
    let number = u16::from(form % 4);
    let name = format!("user {}", number / 2);
    let spares =
        if form.is_multiple_of(2) { Spares::Nobody } else { Spares::LastAdministrator(WaysIn::default()) };
    match form {
        0..4 => UserChange::Add(Box::new(User { link: Some(link(number)), ..user(&name) })),
        4..8 => {
            let scope = Scope::Unit(unit(number).ou);
            UserChange::Add(Box::new(User { scope, is_enabled: number != 0, ..user(&name) }))
        }
        8..12 => {
            let role = (number % 2 == 0).then_some(Role::Viewer);
            UserChange::Update {
                name,
                role,
                scope: Some(Scope::Unit(unit(number).ou)),
                is_enabled: None,
                spares,
            }
        }
        12..14 => UserChange::Update { name, role: None, scope: None, is_enabled: Some(form == 12), spares },
        14..16 => UserChange::Delete { name, spares },
        16..20 => UserChange::Reset { name, link: link(number) },
        20..24 => UserChange::SetPassword { link: link(number).hash, password: password(&name) },
        24..32 => {
            let session = session(u16::from(form - 24), &name);
            let who = match form {
                31 => TakenFor::vouched(&user(&name)),
                _ => TakenFor::Password(password(&name)),
            };
            UserChange::BeginSession { session, who }
        }
        32..36 => UserChange::SeeSession(UserSession { seen: at(50), ..session(number, &name) }),
        40..42 => UserChange::EndSessions { name },
        42..44 => UserChange::RemoveOver { now: UnixMillis(at(9).0 + TIMES.idle_ms), times: TIMES },
        44..48 => {
            let (old, new) = (password(&name), password(if number == 0 { "another" } else { &name }));
            UserChange::ChangePassword { name, old, new }
        }
        _ => UserChange::EndSession { hash: session(number, &name).hash },
    }
}

/// What can be read.
pub(super) fn read(store: &dyn Store, lines: &mut Vec<String>) {
    let users = block_on(store.users()).expect("the store reads");
    for user in &users.items {
        let found = block_on(store.user(&user.name)).expect("the store reads");
        assert_eq!(found.as_ref(), Some(user), "a user is listed as it is found by name");
    }
    lines.push(format!("users {users:?}"));
    for number in 0..8 {
        lines.push(format!("session {:?}", of_session(store, number)));
    }
    for number in 0..4 {
        let found = block_on(store.user_of_link(link(number).hash)).expect("the store reads");
        lines.push(format!("link {:?}", found.map(|user| user.name)));
    }
}
