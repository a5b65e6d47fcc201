//! Products: created, changed, put in place of a damaged row.

use narrowgate_platform::{
    ids::UnixMillis,
    model::{
        log::LogEntry,
        product::{ContentCode, DataFormat, Product, Profile},
        retention::RetentionClass,
    },
    ports::{AccessChange, StoreError},
    secret::Secret,
};
use rusqlite::OptionalExtension;

use super::{
    super::{
        healing::healing,
        key::SealedRow,
        schema::{
            Stored,
            registry::{DEVICES, DeviceRow, MODEL_IS_INTACT, PRODUCTS, ProductRow},
            sql,
        },
        sum,
    },
    Change, Registry, unless_damaged,
};

/// The columns of a product that may change, all but its counts and its number.
const CHANGING: [&str; 10] = [
    "name",
    "enabled",
    "activation_enabled",
    "activation_ends_at",
    "activation_quota",
    "retention",
    "profile",
    "short_paths",
    "data_format",
    "content_code",
];
/// The other columns that are new where a damaged row is replaced.
const REPLACED: [&str; 6] = ["ou", "product_key", "secret", "created", "issued_hour", "suspended"];

impl Registry {
    pub(in crate::sqlite) fn create_product(&mut self, product: &Product) -> Change<()> {
        if !self.has_unit(&product.ou)? {
            return Ok(Err(AccessChange::no_unit(&product.ou)));
        }
        let secret = self.seal(SealedRow::Product(&product.product_key), &product.secret)?;
        let mut row = row_of(product, secret);
        row.suspended = self.is_suspended(&row.ou)?.then_some(true);
        let exists = "SELECT EXISTS (SELECT 1 FROM products WHERE product_key = ?1)";
        let exists = self
            .connection
            .prepare_cached(exists)?
            .query_row([&product.product_key], |row| row.get::<_, bool>(0))?;
        if !exists {
            if let Err(full) = self.permit_product(&product.ou)? {
                return Ok(Err(full));
            }
            row.id = row.insert_numbered(&self.connection)?;
            row.put_sum(&self.connection)?;
            self.begin_model(row.id, product)?;
        } else if !self.replace_damaged(row, product)? {
            return Ok(Err(StoreError::Exists { what: "product", key: product.product_key.clone() }));
        }
        Ok(Ok(()))
    }

    pub(in crate::sqlite) fn update_product(&mut self, product: &Product) -> Change<()> {
        let sql =
            sql!("SELECT {}, {MODEL_IS_INTACT} FROM products p WHERE p.product_key = ?1", PRODUCTS.list());
        let what = || format!("the row of product {}", product.product_key);
        let found = self.connection.prepare_cached(sql)?.query_row([&product.product_key], |row| {
            sum::intact(row, PRODUCTS.width(), what)?;
            ProductRow::intact(row, 0, what)
        });
        let Some(found) = found.optional()? else {
            return Ok(Err(StoreError::Missing { what: "product", key: product.product_key.clone() }));
        };
        let changed = ProductRow {
            id: found.id,
            ou: found.ou,
            created: found.created,
            issued_hour: found.issued_hour,
            issued_count: found.issued_count,
            suspended: found.suspended,
            ..row_of(product, found.secret)
        };
        PRODUCTS.update(&CHANGING).run(&self.connection, &changed)?;
        self.forget_standings();
        Ok(Ok(()))
    }

    pub(in crate::sqlite) fn rotate_product_secret(
        &mut self,
        product_key: &str,
        secret: &Secret,
        at: UnixMillis,
    ) -> Change<()> {
        let sql = sql!("SELECT {} FROM products p WHERE p.product_key = ?1", PRODUCTS.list());
        let what = || format!("the row of product {product_key}");
        let found = self
            .connection
            .prepare_cached(sql)?
            .query_row([product_key], |row| ProductRow::intact(row, 0, what))
            .optional()?;
        let Some(found) = found else {
            return Ok(Err(StoreError::Missing { what: "product", key: product_key.to_owned() }));
        };
        let secret = self.seal(SealedRow::Product(product_key), secret)?;
        PRODUCTS.update(&["secret"]).run(&self.connection, &ProductRow { secret, ..found })?;
        self.note(LogEntry::product_secret_rotated(product_key, at))?;
        Ok(Ok(()))
    }

    /// Puts a product in the place of a damaged row of its key, whose devices it takes over. The row is found
    /// by the index, since its key may be what is damaged. `false`: the row is intact.
    fn replace_damaged(&mut self, row: ProductRow, product: &Product) -> rusqlite::Result<bool> {
        let key = &*product.product_key;
        let Some(id) = self.product_id(key)? else { return Ok(false) };
        if self.is_product_intact(id)? {
            return Ok(false);
        }
        let ou = self.unit_of_devices(id)?.unwrap_or(row.ou);
        let suspended = self.is_suspended(&ou)?.then_some(true);
        let row = ProductRow { id, ou, suspended, ..row };
        let columns = [&CHANGING[..], &REPLACED, &["issued_count"]].concat();
        healing(&self.connection, "products", || PRODUCTS.update(&columns).run(&self.connection, &row))?;
        self.begin_model(id, product)?;
        self.forget_standings();
        tracing::warn!(product_key = key, "a damaged product was replaced");
        Ok(true)
    }

    /// The unit of a product's devices, where it has some: they stay where they are, so it is theirs.
    fn unit_of_devices(&self, product: i64) -> rusqlite::Result<Option<String>> {
        let sql = sql!("SELECT {} FROM devices d WHERE d.product = ?1 ORDER BY d.id LIMIT 9", DEVICES.list());
        let mut select = self.connection.prepare_cached(sql)?;
        let mut found = select.query([product])?;
        while let Some(row) = found.next()? {
            if let Some(device) = unless_damaged(DeviceRow::intact(row, 0, String::new).map(Some))? {
                return Ok(Some(device.ou));
            }
        }
        Ok(None)
    }

    /// The classes of retention that products name, but the standard one.
    pub(in crate::sqlite) fn retention_classes(&self) -> rusqlite::Result<Vec<RetentionClass>> {
        let sql = "SELECT DISTINCT retention FROM products WHERE retention IS NOT NULL";
        let mut select = self.connection.prepare_cached(sql)?;
        // A damaged one is none.
        let named =
            select.query_map([], |row| row.get_ref(0)?.as_str().map(RetentionClass::parse).or(Ok(None)))?;
        named.filter_map(Result::transpose).collect()
    }

    fn is_product_intact(&self, id: i64) -> rusqlite::Result<bool> {
        let sql =
            sql!("SELECT {} AND {MODEL_IS_INTACT} FROM products p WHERE p.id = ?1", PRODUCTS.is_intact());
        self.connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))
    }

    /// The row of a product by its key as it is read, or by `id:` and the row's id where that row is damaged.
    pub(super) fn product_id(&self, product_key: &str) -> rusqlite::Result<Option<i64>> {
        let by_key = "SELECT id FROM products WHERE product_key = ?1";
        let found = self.connection.prepare_cached(by_key)?.query_row([product_key], |row| row.get(0));
        let row = product_key.strip_prefix("id:").and_then(|row| row.parse::<i64>().ok());
        match (found.optional()?, row) {
            (None, Some(row)) => {
                let by_row = sql!(
                    "SELECT p.id FROM products p WHERE p.id = ?1 AND NOT ({} AND {MODEL_IS_INTACT})",
                    PRODUCTS.is_intact()
                );
                self.connection.prepare_cached(by_row)?.query_row([row], |row| row.get(0)).optional()
            }
            (found, _) => Ok(found),
        }
    }
}

/// A product as a row that has no number yet.
fn row_of(product: &Product, secret: Vec<u8>) -> ProductRow {
    ProductRow {
        id: 0,
        ou: product.ou.clone(),
        product_key: product.product_key.clone(),
        name: product.name.clone(),
        secret,
        enabled: product.enabled,
        activation_enabled: product.dynamic_activation.enabled,
        activation_ends_at: product.dynamic_activation.ends_at,
        activation_quota: product.dynamic_activation.quota_per_hour,
        created: product.created,
        issued_hour: 0,
        issued_count: 0,
        retention: (!product.retention.is_standard()).then(|| product.retention.to_string()),
        profile: Some(product.profile).filter(|profile| *profile != Profile::Default),
        short_paths: product.short_paths.then_some(true),
        data_format: Some(product.data_format).filter(|format| *format != DataFormat::Json),
        content_code: Some(product.content_code).filter(|code| *code != ContentCode::Content),
        // Its unit says.
        suspended: None,
    }
}
