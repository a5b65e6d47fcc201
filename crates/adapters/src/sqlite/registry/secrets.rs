//! The secrets of devices: dynamic activation, and what replaces one.

use std::sync::PoisonError;

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::log::{LogEntry, LogEvent},
    ports::Issued,
    rules::{
        happened::of_issue,
        issuing::{IssueCase, NotIssued, clock_hour},
        psk::mark,
    },
    secret::Secret,
};

use super::{
    super::{
        error::store_error,
        key::{SealError, SealedRow},
        rows,
        schema::registry::{DEVICES, DeviceRow, PRODUCTS, ProductRow},
        sum,
    },
    Registry,
};

impl Registry {
    pub(in crate::sqlite) fn issue_secret(
        &mut self,
        device: DeviceId,
        (secret, replaces, product_secret_mark): (&Secret, u32, u32),
        at: UnixMillis,
        peer: &str,
    ) -> rusqlite::Result<Issued> {
        let (row, product) = match self.device_and_product(device) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Issued::Refused(NotIssued::DeviceUnavailable)),
            Err(error) if sum::is_damage(&error) => {
                tracing::error!(error = %store_error(&error), "a secret could not be issued");
                return Ok(Issued::Damaged);
            }
            Err(error) => return Err(error),
        };
        let Ok(product_secret) = self.key.open(SealedRow::Product(&product.product_key), &product.secret)
        else {
            tracing::error!(product = product.product_key, "a product's secret cannot be read");
            return Ok(Issued::Damaged);
        };
        let hour = clock_hour(at);
        let issued_this_hour = if product.issued_hour == hour { product.issued_count } else { 0 };
        let case = IssueCase {
            device_enabled: row.enabled,
            product_enabled: product.enabled,
            unit_suspended: product.suspended == Some(true),
            activated: row.active_time.is_some(),
            has_replaced: row.secret_version == replaces,
            has_proved: mark(&product_secret) == product_secret_mark,
            dynamic_activation: &rows::dynamic_activation(&product),
            issued_this_hour,
            at,
        };
        if let Err(why) = case.permit() {
            self.note_and_tell(LogEntry::refused(device, at, peer.to_owned(), why.refusal()))?;
            return Ok(Issued::Refused(why));
        }
        let counted = ProductRow { issued_hour: hour, issued_count: issued_this_hour + 1, ..product };
        PRODUCTS.update(&["issued_hour", "issued_count"]).run(&self.connection, &counted)?;
        let ou = row.ou.clone();
        self.replace_secret(row, secret)?;
        let entry = LogEntry::new(device, at, LogEvent::SecretIssued);
        self.note(LogEntry { peer: Some(peer.to_owned()), ..entry })?;
        self.tell_in_log(Some(device), &ou, &[of_issue(at, peer)])?;
        Ok(Issued::Done)
    }

    pub(super) fn replace_secret(&mut self, row: DeviceRow, secret: &Secret) -> rusqlite::Result<()> {
        // Nothing of a session that proved the former one is stored from here on.
        self.forget_standing(row.id);
        let sealed_row = SealedRow::Device(&row.asset_id);
        // If the transaction fails, the list holds the present secret too, which does no harm.
        if let Ok(replaced) = self.key.open(sealed_row, &row.secret) {
            self.former.lock().unwrap_or_else(PoisonError::into_inner).note(row.id, replaced);
        }
        let secret = self.seal(sealed_row, secret)?;
        let replaced = DeviceRow { secret, secret_version: row.secret_version + 1, ..row };
        DEVICES.update(&["secret", "secret_version"]).run(&self.connection, &replaced).map(drop)
    }

    pub(super) fn seal(&self, row: SealedRow<'_>, secret: &Secret) -> rusqlite::Result<Vec<u8>> {
        let failed = |error: SealError| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        self.key.seal(row, secret).map_err(failed)
    }
}
