//! `/api/v1/audit`: what operators changed, and the chain of it.

use axum::Json;
use narrowgate_api::{
    audit::{AuditChain, AuditChainQuery, AuditEntry, AuditQuery},
    page::Page,
    query::Paging,
};
use narrowgate_platform::model::access::Needs;

use super::{
    asked::{Asked, Routes},
    described::Listed,
    export::{Accepted, ENTRIES, listed},
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

async fn list(
    Asked(api): Asked,
    Query(query): Query<AuditQuery>,
    accepted: Accepted,
) -> Result<Listed<Page<AuditEntry>>, Refused> {
    let paging = Paging { limit: query.limit, cursor: query.cursor.clone() };
    let read = move |Paging { limit, cursor }| {
        let (operator, query) = (api.operator.clone(), query.clone());
        let query = AuditQuery { limit, cursor, ..query };
        async move { operator.list_audit(&query).await }
    };
    listed(accepted, paging, ENTRIES, read).await
}

async fn chain(Asked(api): Asked, Query(query): Query<AuditChainQuery>) -> Result<Json<AuditChain>, Refused> {
    Ok(Json(api.operator.read_audit_chain(query).await?))
}
