//! `/api/v1/audit`: what operators changed, and the chain of it.

use axum::Json;
use narrowgate_api::{
    audit::{AuditChain, AuditChainQuery, AuditEntry, AuditQuery},
    page::Page,
};
use narrowgate_platform::model::access::Needs;

use super::{
    asked::{Asked, Routes},
    extract::Query,
};
use crate::problem::Refused;

pub(super) fn routes() -> Routes {
    Routes::default().get("/api/v1/audit", Needs::Administer, list).get(
        "/api/v1/audit/chain",
        Needs::AdministerAll,
        chain,
    )
}

async fn list(Asked(api): Asked, Query(query): Query<AuditQuery>) -> Result<Json<Page<AuditEntry>>, Refused> {
    Ok(Json(api.operator.list_audit(&query).await?))
}

async fn chain(Asked(api): Asked, Query(query): Query<AuditChainQuery>) -> Result<Json<AuditChain>, Refused> {
    Ok(Json(api.operator.read_audit_chain(query).await?))
}
