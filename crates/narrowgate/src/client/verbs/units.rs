//! The verbs of organisation units and tokens.

use narrowgate_api::access::{NewToken, NewUnit, Role};

use super::{Call, Verb, verb};

pub(super) fn verbs() -> [Verb; 5] {
    let token = NewToken { name: "ci".into(), role: Role::Viewer, ou: None, expires_at: None };
    [
        verb("list_units", Call::list_units()),
        verb("create_unit", Call::create_unit(&NewUnit { name: "north".into() })),
        verb("list_tokens", Call::list_tokens()),
        verb("create_token", Call::create_token(&token)),
        verb("revoke_token", Call::revoke_token("a/b")),
    ]
}
