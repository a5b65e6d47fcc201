//! The requests about organisation units and tokens.

use axum::http::Method;
use narrowgate_api::{
    access::{NewToken, NewUnit, TokenCreated, TokenView, UnitView},
    page::Page,
};

use super::call::{Call, segment};

const UNITS: &str = "/api/v1/ous";
const TOKENS: &str = "/api/v1/tokens";

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
