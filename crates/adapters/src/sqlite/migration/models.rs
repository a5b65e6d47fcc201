//! A part of the step to format 6: the model of each product is the first version of its models, and what it
//! has gets numbers.

use narrowgate_platform::{ids::UnixMillis, model::thing_model::Numbers, rules::models::first};
use rusqlite::{Connection, types::ValueRef};

use super::super::{registry, schema::registry::MODEL_IS_INTACT};

/// A model that is damaged stays as it is, and so does a text that is none. When a model was put in place
/// nobody knows: it is said to be as old as its product.
pub(super) fn begin_versions(connection: &Connection) -> rusqlite::Result<()> {
    // Only columns that products had before this step.
    let mut select = connection.prepare(&format!(
        "SELECT p.id, p.created, p.model_json FROM products p \
         WHERE p.model_json IS NOT NULL AND {MODEL_IS_INTACT} ORDER BY p.id"
    ))?;
    let found = select.query_map([], |row| {
        let created = match row.get_ref(1)? {
            ValueRef::Integer(created) => created,
            _ => 0,
        };
        Ok((row.get(0)?, UnixMillis(created), row.get(2)?))
    })?;
    let found: Vec<(i64, UnixMillis, String)> = found.collect::<rusqlite::Result<_>>()?;
    for (product, created, model_json) in found {
        if let Some(version) = first(0, &Numbers::default(), Some(&model_json), created) {
            registry::models::take_up(connection, product, version)?;
        }
    }
    Ok(())
}
