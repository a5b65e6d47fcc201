//! Scripts of products: drafts and versions.

use std::sync::Arc;

use narrowgate_platform::{
    ids::UnixMillis,
    paging::{DamagedRows, Page},
    ports::StoreError,
    rules::scripts::{
        self, Next, NotChanged, Present, ProductScript, ScriptDraft, ScriptPut, ScriptStands, ScriptVersion,
        VERSIONS_MAX, VersionedScript,
    },
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{
        rows::{self, is_fault_of_row},
        schema::{
            Stored,
            registry::{SCRIPTS, ScriptRow},
            sql,
        },
    },
    Change, Registry,
};

/// What stands in the place of a draft's version.
const DRAFT: u32 = 0;

impl Registry {
    pub(in crate::sqlite) fn put_script(
        &mut self,
        product_key: &str,
        put: &ScriptPut,
        at: UnixMillis,
    ) -> Change<Result<ScriptStands, NotChanged>> {
        let by_key = "SELECT id FROM products WHERE product_key = ?1";
        let product: Option<i64> =
            self.connection.prepare_cached(by_key)?.query_row([product_key], |row| row.get(0)).optional()?;
        let Some(product) = product else {
            return Ok(Err(StoreError::Missing { what: "product", key: product_key.to_owned() }));
        };
        let newest = newest(&self.connection, product)?;
        // A damaged one is as none: a product must not be without a new script for ever.
        let source = |version| unless_damaged(row_of(&self.connection, product, version));
        let published = if newest == 0 { None } else { source(newest)? };
        let draft = source(DRAFT)?;
        let restored = match put {
            ScriptPut::RollBack { version, .. } if *version != DRAFT => {
                row_of(&self.connection, product, *version)?.map(|row| Arc::from(row.source))
            }
            _ => None,
        };
        let present = Present {
            version: newest,
            published: published.as_ref().map(|row| &*row.source),
            draft: draft.as_ref().map(|row| &*row.source),
            restored: restored.as_ref(),
        };
        let next = match scripts::put(present, put, at) {
            Ok(next) => next,
            Err(refused) => return Ok(Ok(Err(refused))),
        };
        self.take_up_script(product, next)?;
        Ok(Ok(Ok(ScriptStands(self::newest(&self.connection, product)?))))
    }

    fn take_up_script(&self, product: i64, next: Next) -> rusqlite::Result<()> {
        match next {
            Next::Same => Ok(()),
            Next::NoDraft => self.drop_draft(product),
            Next::Draft(ScriptDraft { saved, source }) => {
                self.drop_draft(product)?;
                let (author, source) = (String::new(), source.to_string());
                let row =
                    ScriptRow { product, version: DRAFT, created: saved, author, restores: None, source };
                row.insert(&self.connection)
            }
            Next::Version(VersionedScript { about, source }, drops_draft) => {
                if drops_draft {
                    self.drop_draft(product)?;
                }
                let ScriptVersion { version, created, by: author, restores, bytes: _ } = about;
                let source = source.to_string();
                ScriptRow { product, version, created, author, restores, source }.insert(&self.connection)?;
                let dropped = i64::from(version) - VERSIONS_MAX as i64;
                let sql = "DELETE FROM scripts WHERE product = ?1 AND version > ?2 AND version <= ?3";
                let values = params![product, DRAFT, dropped];
                self.connection.prepare_cached(sql)?.execute(values).map(drop)
            }
        }
    }

    fn drop_draft(&self, product: i64) -> rusqlite::Result<()> {
        let sql = "DELETE FROM scripts WHERE product = ?1 AND version = ?2";
        self.connection.prepare_cached(sql)?.execute(params![product, DRAFT]).map(drop)
    }
}

/// The number of the newest version; 0 where there is none.
fn newest(connection: &Connection, product: i64) -> rusqlite::Result<u32> {
    let sql = "SELECT max(version) FROM scripts WHERE product = ?1";
    let newest: Option<u32> = connection.prepare_cached(sql)?.query_row([product], |row| row.get(0))?;
    Ok(newest.unwrap_or(0))
}

fn row_of(connection: &Connection, product: i64, version: u32) -> rusqlite::Result<Option<ScriptRow>> {
    let sql = sql!("SELECT {} FROM scripts i WHERE i.product = ?1 AND i.version = ?2", SCRIPTS.list());
    connection.prepare_cached(sql)?.query_row(params![product, version], read).optional()
}

fn unless_damaged(found: rusqlite::Result<Option<ScriptRow>>) -> rusqlite::Result<Option<ScriptRow>> {
    match found {
        Err(error) if is_fault_of_row(&error) => Ok(None),
        found => found,
    }
}

/// Draft and published version of a product's script. A damaged version is an error: none may run in its
/// place.
pub(in crate::sqlite) fn script(
    connection: &Connection,
    product_key: &str,
) -> rusqlite::Result<ProductScript> {
    let sql = "SELECT id FROM products WHERE product_key = ?1";
    let product: Option<i64> =
        connection.prepare_cached(sql)?.query_row([product_key], |row| row.get(0)).optional()?;
    let Some(product) = product else { return Ok(ProductScript::default()) };
    let draft = row_of(connection, product, DRAFT)?;
    let published = match newest(connection, product)? {
        DRAFT => None,
        newest => row_of(connection, product, newest)?,
    };
    Ok(ProductScript {
        draft: draft.map(|row| ScriptDraft { saved: row.created, source: row.source.into() }),
        published: published.map(versioned),
    })
}

/// The versions that are kept of a product's script, newest first.
pub(in crate::sqlite) fn versions(
    connection: &Connection,
    product_key: &str,
) -> rusqlite::Result<Page<ScriptVersion>> {
    let sql = sql!(
        "SELECT {} FROM scripts i WHERE i.product = (SELECT id FROM products WHERE product_key = ?1) \
         AND i.version > {DRAFT} ORDER BY i.version DESC",
        SCRIPTS.list()
    );
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query([product_key])?;
    let (mut items, mut damaged) = (Vec::new(), DamagedRows::default());
    while let Some(row) = found.next()? {
        match read(row) {
            Ok(row) => items.push(versioned(row).about),
            Err(error) if is_fault_of_row(&error) => damaged.add(rows::text_of(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(Page { items, next: None, damaged })
}

/// One of them.
pub(in crate::sqlite) fn version(
    connection: &Connection,
    product_key: &str,
    version: u32,
) -> rusqlite::Result<Option<VersionedScript>> {
    let sql = sql!(
        "SELECT {} FROM scripts i WHERE i.product = (SELECT id FROM products WHERE product_key = ?1) \
         AND i.version > {DRAFT} AND i.version = ?2",
        SCRIPTS.list()
    );
    let found = connection.prepare_cached(sql)?.query_row(params![product_key, version], read).optional()?;
    Ok(found.map(versioned))
}

fn read(row: &Row<'_>) -> rusqlite::Result<ScriptRow> {
    let what = || {
        let version = rows::as_read(row, SCRIPTS.position("version")).unwrap_or_default();
        let product = rows::as_read(row, SCRIPTS.position("product")).unwrap_or_default();
        format!("version {version} of the script of the product in row {product}")
    };
    ScriptRow::intact(row, 0, what)
}

fn versioned(row: ScriptRow) -> VersionedScript {
    let ScriptRow { product: _, version, created, author: by, restores, source } = row;
    let bytes = u32::try_from(source.len()).unwrap_or(u32::MAX);
    VersionedScript { about: ScriptVersion { version, created, by, restores, bytes }, source: source.into() }
}
