//! The verbs of organisation units, tokens and users.

use narrowgate_api::{
    access::{NewToken, NewUnit, Role, UnitPatch},
    user::{NewUser, UserUpdate},
};

use super::{Call, Verb, verb};

pub(super) fn verbs() -> [Verb; 18] {
    let user = NewUser { user: "ann".into(), role: Role::Viewer, ou: None };
    let token = NewToken { name: "ci".into(), role: Role::Viewer, ou: None, expires_at: None };
    [
        verb("list_units", Call::list_units()),
        verb("create_unit", Call::create_unit(&NewUnit { name: "north".into(), ..NewUnit::default() })),
        verb("show_unit", Call::show_unit("north")),
        verb("update_unit", Call::update_unit("north", &UnitPatch::default())),
        verb("suspend_unit", Call::suspend_unit("a:b")),
        verb("resume_unit", Call::resume_unit("a:b")),
        verb("list_tokens", Call::list_tokens()),
        verb("show_token", Call::show_token("a/b")),
        verb("create_token", Call::create_token(&token)),
        verb("revoke_token", Call::revoke_token("a/b")),
        verb("list_users", Call::list_users()),
        verb("show_user", Call::show_user("a/b")),
        verb("create_user", Call::create_user(&user)),
        verb("update_user", Call::update_user("a/b", &UserUpdate::default())),
        verb("reset_user", Call::reset_user("a/b")),
        verb("delete_user", Call::delete_user("a/b")),
        verb("list_user_sessions", Call::list_user_sessions("a/b")),
        verb("end_user_session", Call::end_user_session("a/b", "7f")),
    ]
}
