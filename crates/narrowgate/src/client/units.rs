//! The requests about organisation units, tokens and users.

use axum::http::Method;
use narrowgate_api::{
    access::{NewToken, NewUnit, TokenCreated, TokenView, UnitView},
    page::Page,
    user::{NewUser, UserInvited, UserView},
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

impl Call<Page<TokenView>> {
    pub(crate) fn list_tokens() -> Self {
        Self::get(TOKENS.into())
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

impl Call<Option<UserView>> {
    pub(crate) fn delete_user(name: &str) -> Self {
        Self::change(Method::DELETE, format!("{USERS}/{}", segment(name)))
    }
}
