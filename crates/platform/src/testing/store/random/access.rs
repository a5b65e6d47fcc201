//! Units and tokens that are made and revoked, one after the other, and what can be read of them.

use super::{
    super::{
        access::{token, unit},
        fixtures::at,
    },
    users,
};
use crate::{
    model::access::{Scope, Token},
    ports::{AccessChange, AccessReads as _, Change, Store},
    testing::block_on,
};

/// How many forms of changes there are.
pub(super) const FORMS: u64 = 24 + users::FORMS as u64;

/// A change of the given form.
pub(super) fn change(form: u8) -> Change {
    let number = u16::from(form % 4);
    let name = format!("token {number}");
    Change::Access(match form {
        0..4 => AccessChange::AddUnit(unit(number)),
        4..8 => AccessChange::AddToken(token(&name, number)),
        8..12 => {
            let scope = Scope::Unit(unit(number).ou);
            AccessChange::AddToken(Token { scope, ..token(&name, 8 + number) })
        }
        12..16 => AccessChange::RevokeToken { name },
        16..24 => {
            let since = (form < 20).then(|| at(i64::from(form)));
            AccessChange::SuspendUnit { ou: unit(number).ou, since }
        }
        _ => AccessChange::User(users::change(form - 24)),
    })
}

/// What can be read.
pub(super) fn read(store: &dyn Store, lines: &mut Vec<String>) {
    lines.push(format!("units {:?}", block_on(store.units()).expect("the store reads")));
    let tokens = block_on(store.tokens()).expect("the store reads");
    for token in &tokens.items {
        let found = block_on(store.token_of(token.hash)).expect("the store reads");
        assert_eq!(found.as_ref(), Some(token), "a token is listed as it is found by its hash");
    }
    lines.push(format!("tokens {tokens:?}"));
    users::read(store, lines);
}
