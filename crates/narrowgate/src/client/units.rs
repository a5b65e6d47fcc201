//! The requests about organisation units, tokens and users.

use axum::http::Method;
use narrowgate_api::{
    access::{NewToken, NewUnit, TokenCreated, TokenView, UnitPatch, UnitView},
    page::Page,
    user::{NewUser, UserInvited, UserSessionView, UserUpdate, UserView},
};

use super::call::{Call, segment};

const UNITS: &str = "/api/v1/ous";
const TOKENS: &str = "/api/v1/tokens";
const USERS: &str = "/api/v1/users";

impl Call<Page<UnitView>> {
    pub(crate) fn list_units() -> Self {
        Self::get(UNITS.into())
    }
}

impl Call<UnitView> {
    pub(crate) fn create_unit(new: &NewUnit) -> Self {
        Self::change(Method::POST, UNITS.into()).body(new)
    }
}

/// Of one unit.
impl Call<UnitView> {
    pub(crate) fn show_unit(name: &str) -> Self {
        Self::get(format!("{UNITS}/{}", segment(name)))
    }

    pub(crate) fn update_unit(name: &str, patch: &UnitPatch) -> Self {
        Self::change(Method::PATCH, format!("{UNITS}/{}", segment(name))).body(patch)
    }

    pub(crate) fn suspend_unit(name: &str) -> Self {
        Self::change(Method::POST, format!("{UNITS}/{}:suspend", segment(name)))
    }

    pub(crate) fn resume_unit(name: &str) -> Self {
        Self::change(Method::POST, format!("{UNITS}/{}:resume", segment(name)))
    }
}

impl Call<Page<TokenView>> {
    pub(crate) fn list_tokens() -> Self {
        Self::get(TOKENS.into())
    }
}

impl Call<TokenView> {
    pub(crate) fn show_token(name: &str) -> Self {
        Self::get(format!("{TOKENS}/{}", segment(name)))
    }
}

impl Call<TokenCreated> {
    pub(crate) fn create_token(new: &NewToken) -> Self {
        Self::change(Method::POST, TOKENS.into()).body(new)
    }
}

impl Call<Option<TokenView>> {
    pub(crate) fn revoke_token(name: &str) -> Self {
        Self::change(Method::DELETE, format!("{TOKENS}/{}", segment(name)))
    }
}

impl Call<Page<UserView>> {
    pub(crate) fn list_users() -> Self {
        Self::get(USERS.into())
    }
}

impl Call<UserInvited> {
    pub(crate) fn create_user(new: &NewUser) -> Self {
        Self::change(Method::POST, USERS.into()).body(new)
    }

    pub(crate) fn reset_user(name: &str) -> Self {
        Self::change(Method::POST, format!("{USERS}/{}:reset", segment(name)))
    }
}

impl Call<UserView> {
    pub(crate) fn show_user(name: &str) -> Self {
        Self::get(format!("{USERS}/{}", segment(name)))
    }

    pub(crate) fn update_user(name: &str, update: &UserUpdate) -> Self {
        Self::change(Method::PATCH, format!("{USERS}/{}", segment(name))).body(update)
    }
}

impl Call<Option<UserView>> {
    pub(crate) fn delete_user(name: &str) -> Self {
        Self::change(Method::DELETE, format!("{USERS}/{}", segment(name)))
    }
}

impl Call<Page<UserSessionView>> {
    pub(crate) fn list_user_sessions(name: &str) -> Self {
        Self::get(format!("{USERS}/{}/sessions", segment(name)))
    }
}

impl Call<UserSessionView> {
    pub(crate) fn end_user_session(name: &str, id: &str) -> Self {
        let path = format!("{USERS}/{}/sessions/{}", segment(name), segment(id));
        Self::change(Method::DELETE, path).afterwards("look whether it has ended (user sessions NAME)")
    }
}
