//! Thing models and their versions.

use narrowgate_platform::{
    ids::UnixMillis,
    model::{product::Product, thing_model::Numbers},
    paging::{DamagedRows, Page},
    ports::StoreError,
    rules::models::{
        self, ModelPut, ModelStands, ModelVersion, NextVersion, NotPut, Present, VERSIONS_MAX, VersionedModel,
    },
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    super::{
        error::store_error,
        rows::{self, is_fault_of_row},
        schema::{
            Stored, insert_or,
            registry::{
                MODEL_IS_INTACT, MODEL_NUMBERS, MODELS, ModelNumbersRow, ModelRow, PRODUCTS, ProductRow,
                model_sum,
            },
            sql,
        },
        sum,
    },
    Change, Registry,
};

/// What replaces the numbers that are there.
const ON_CONFLICT: &str = "ON CONFLICT DO UPDATE SET json = excluded.json, sum = excluded.sum";

impl Registry {
    pub(in crate::sqlite) fn put_model(
        &mut self,
        product_key: &str,
        put: &ModelPut,
        with: Option<&Product>,
        at: UnixMillis,
    ) -> Change<Result<ModelStands, NotPut>> {
        let sql = sql!(
            "SELECT {}, p.model_json, {MODEL_IS_INTACT} FROM products p WHERE p.product_key = ?1",
            PRODUCTS.list()
        );
        let what = || format!("the row of product {product_key}");
        let found = self.connection.prepare_cached(sql)?.query_row([product_key], |row| {
            sum::intact(row, PRODUCTS.width() + 1, what)?;
            let product = ProductRow::intact(row, 0, what)?;
            Ok((product.id, row.get::<_, Option<String>>(PRODUCTS.width())?))
        });
        let Some((product, mut model_json)) = found.optional()? else {
            return Ok(Err(StoreError::Missing { what: "product", key: product_key.to_owned() }));
        };
        let mut version = newest(&self.connection, product)?;
        let present = Present { version, model_json: model_json.as_deref() };
        match models::put(present, &numbers(&self.connection, product)?, put, at) {
            Err(refused) => return Ok(Ok(Err(refused))),
            Ok(None) => {}
            Ok(Some(next)) => {
                version = next.next.about.version;
                model_json = take_up(&self.connection, product, next)?;
            }
        }
        let with = with.map(|with| Product { product_key: product_key.to_owned(), ..with.clone() });
        if let Some(with) = with
            && let Err(error) = self.update_product(&with)?
        {
            return Ok(Err(error));
        }
        Ok(Ok(Ok(ModelStands { version, model_json })))
    }

    /// The model of a product that was created, perhaps in the place of a damaged one.
    pub(super) fn begin_model(&self, id: i64, product: &Product) -> rusqlite::Result<()> {
        let (before, numbers) = (newest(&self.connection, id)?, numbers(&self.connection, id)?);
        match models::first(before, &numbers, product.model_json.as_deref(), product.created) {
            Some(first) => take_up(&self.connection, id, first).map(drop),
            None => put_in_row(&self.connection, id, None),
        }
    }
}

/// Stores a version as the present one, in place of the oldest that is kept; returns its document.
pub(in crate::sqlite) fn take_up(
    connection: &Connection,
    product: i64,
    next: NextVersion,
) -> rusqlite::Result<Option<String>> {
    let NextVersion { next: VersionedModel { about, model_json }, numbers } = next;
    let ModelVersion { version, created, model_id } = about;
    let row = ModelRow { product, version, created, model_id, json: model_json };
    row.insert(connection)?;
    let dropped = i64::from(version) - VERSIONS_MAX as i64;
    let sql = "DELETE FROM models WHERE product = ?1 AND version <= ?2";
    connection.prepare_cached(sql)?.execute([product, dropped])?;
    let numbers = ModelNumbersRow { product, json: numbers.to_json() };
    numbers.insert_or(connection, sql!("{}", insert_or(&MODEL_NUMBERS, ON_CONFLICT)))?;
    put_in_row(connection, product, row.json.as_deref())?;
    Ok(row.json)
}

/// The present model, in the row of its product.
fn put_in_row(connection: &Connection, product: i64, model_json: Option<&str>) -> rusqlite::Result<()> {
    let sql = "UPDATE products SET model_json = ?2, model_sum = ?3 WHERE id = ?1";
    let values = params![product, model_json, model_sum(product, model_json)];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// The number of the newest version; 0 where there is none.
fn newest(connection: &Connection, product: i64) -> rusqlite::Result<u32> {
    let sql = "SELECT max(version) FROM models WHERE product = ?1";
    let newest: Option<u32> = connection.prepare_cached(sql)?.query_row([product], |row| row.get(0))?;
    Ok(newest.unwrap_or(0))
}

/// All numbers that its models ever gave. Where their row is damaged, those of the versions that are kept: a
/// product must not be without a new model for ever.
fn numbers(connection: &Connection, product: i64) -> rusqlite::Result<Numbers> {
    let sql = sql!("SELECT {} FROM model_numbers b WHERE b.product = ?1", MODEL_NUMBERS.list());
    let what = || format!("the row of numbers of the models of product {product}");
    let found = connection
        .prepare_cached(sql)?
        .query_row([product], |row| Ok(ModelNumbersRow::intact(row, 0, what)))
        .optional()?;
    match found.transpose() {
        Ok(found) => Ok(found.map(|row| Numbers::from_json(&row.json)).unwrap_or_default()),
        Err(error) if is_fault_of_row(&error) => {
            let error = store_error(&error);
            tracing::error!(%error, "numbers of models are taken from the versions that are kept");
            of_versions(connection, product)
        }
        Err(error) => Err(error),
    }
}

fn of_versions(connection: &Connection, product: i64) -> rusqlite::Result<Numbers> {
    let sql = sql!("SELECT {} FROM models m WHERE m.product = ?1 ORDER BY m.version", MODELS.list());
    let mut select = connection.prepare_cached(sql)?;
    let kept = select.query_map([product], |row| Ok(read(row).ok()))?;
    let mut numbers = Numbers::default();
    for version in kept {
        let json = version?.and_then(|kept| kept.model_json);
        if let Some((_, with)) = json.and_then(|json| numbers.number(&json).ok()) {
            numbers = with;
        }
    }
    Ok(numbers)
}

/// The versions that are kept of a product's model, newest first.
pub(in crate::sqlite) fn versions(
    connection: &Connection,
    product_key: &str,
) -> rusqlite::Result<Page<ModelVersion>> {
    let sql = sql!(
        "SELECT {} FROM models m WHERE m.product = (SELECT id FROM products WHERE product_key = ?1) \
         ORDER BY m.version DESC",
        MODELS.list()
    );
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query([product_key])?;
    let (mut items, mut damaged) = (Vec::new(), DamagedRows::default());
    while let Some(row) = found.next()? {
        match read(row) {
            Ok(version) => items.push(version.about),
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
) -> rusqlite::Result<Option<VersionedModel>> {
    let sql = sql!(
        "SELECT {} FROM models m WHERE m.product = (SELECT id FROM products WHERE product_key = ?1) \
         AND m.version = ?2",
        MODELS.list()
    );
    connection.prepare_cached(sql)?.query_row(params![product_key, version], read).optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<VersionedModel> {
    let what = || {
        let version = rows::as_read(row, MODELS.position("version")).unwrap_or_default();
        let product = rows::as_read(row, MODELS.position("product")).unwrap_or_default();
        format!("version {version} of the model of the product in row {product}")
    };
    let ModelRow { version, created, model_id, json, .. } = ModelRow::intact(row, 0, what)?;
    Ok(VersionedModel { about: ModelVersion { version, created, model_id }, model_json: json })
}
