//! What follows an import: its secrets are fetched.

use narrowgate_api::{device::DeviceCreated, problem::Problem};

use super::Operator;
use crate::service::import_secrets::{ImportSecrets, Imported};

const FETCH: &str = "cannot give out the secrets of the import";

const TAKE_BACK: &str = "cannot take back what was imported";

impl Operator {
    /// Deletes devices again that an import has just made, since all of its rows were wanted or none. One
    /// that has logged in meanwhile stays. Returns how many stay.
    ///
    /// # Errors
    /// Only the store's; some may be gone then.
    pub async fn take_back_import(&self, product_key: &str, device_keys: &[String]) -> Result<u64, Problem> {
        let taken = self.registrar.take_back(product_key, device_keys).await;
        let (gone, kept) = self.tell(TAKE_BACK, None, taken).await?;
        // One may have logged in at the last moment.
        gone.into_iter().for_each(|device| self.sessions.close_device(device, "deleted by an operator"));
        Ok(kept)
    }

    /// Keeps the secrets of an import to be fetched once, within an hour, under the name that is returned.
    ///
    /// # Errors
    /// The product is gone.
    pub async fn keep_import(&self, product_key: &str, imported: Imported) -> Result<String, Problem> {
        self.tell(FETCH, None, self.registrar.keep_import(product_key, imported).await).await
    }

    /// Takes them: they cannot be fetched again.
    ///
    /// # Errors
    /// They were fetched, their hour is over, or they belong to another organisation unit.
    pub async fn take_import(&self, name: &str) -> Result<ImportSecrets, Problem> {
        self.tell(FETCH, None, self.registrar.take_import(name).await).await
    }

    /// Puts those back of which nothing could be given out.
    pub fn put_import_back(&self, name: &str, secrets: ImportSecrets) {
        self.registrar.put_import_back(name, secrets);
    }

    /// The next of them; none at the end.
    ///
    /// # Errors
    /// Only the store's; the same ones come next then.
    pub async fn next_secrets(&self, secrets: &mut ImportSecrets) -> Result<Vec<DeviceCreated>, Problem> {
        self.tell(FETCH, None, self.registrar.next_secrets(secrets).await).await
    }
}
