//! Products.

use narrowgate_api::{
    page::Page,
    problem::Problem,
    product::{
        ModelDraft, NewProduct, ProductCreated, ProductDeleted, ProductPatch, ProductRow,
        ProductSecretRotated, ProductSecretShown, ProductView,
    },
};

use super::{Named, Operator, over::WhenOver};

impl Operator {
    /// Creates a product.
    ///
    /// # Errors
    /// A name, key, secret, end or model is not acceptable; the key is taken.
    pub async fn create_product(&self, new: NewProduct) -> Result<ProductCreated, Problem> {
        let created = self.registrar.create_product(new).await;
        let created = self.tell("cannot create the product", None, created).await?;
        // A product of that key may have been looked for before, or replace a damaged one.
        self.sessions.product_changed(&created.product_key);
        Ok(created)
    }

    /// All products, in order of creation.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn list_products(&self) -> Result<Page<ProductRow>, Problem> {
        self.tell("cannot list the products", None, self.registrar.products().await).await
    }

    /// A draft of a product's thing model, from what its devices have sent.
    ///
    /// # Errors
    /// There is no such product.
    pub async fn infer_model(&self, product_key: &str) -> Result<ModelDraft, Problem> {
        let draft = self.registrar.infer_model(product_key).await;
        self.tell("cannot draft a thing model", Named::product(product_key), draft).await
    }

    /// One product, with its thing model.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_product(&self, product_key: &str) -> Result<ProductView, Problem> {
        let shown = self.registrar.product(product_key).await;
        self.tell("cannot show the product", Named::product(product_key), shown).await
    }

    /// Changes a product; where it is switched off, the sessions of its devices end. Of two changes at once
    /// to the same product, the later one wins in whole.
    ///
    /// # Errors
    /// There is none; a name, end or model is not acceptable.
    pub async fn update_product(
        &self,
        product_key: &str,
        patch: ProductPatch,
    ) -> Result<ProductView, Problem> {
        let read_anew = WhenOver::new(|| self.sessions.product_changed(product_key));
        let updated = read_anew.decide(self.registrar.update_product(product_key, patch).await);
        self.tell("cannot change the product", Named::product(product_key), updated).await
    }

    /// Shows a product's secret.
    ///
    /// # Errors
    /// There is none.
    pub async fn show_product_secret(&self, product_key: &str) -> Result<ProductSecretShown, Problem> {
        let shown = self.registrar.product_secret(product_key).await;
        self.tell("cannot show the product's secret", Named::product(product_key), shown).await
    }

    /// Replaces a product's secret at once, and ends the sessions that proved the one before (SecureMode 3).
    /// Devices with a secret of their own notice nothing.
    ///
    /// # Errors
    /// There is none.
    pub async fn rotate_product_secret(&self, product_key: &str) -> Result<ProductSecretRotated, Problem> {
        let close = WhenOver::new(|| self.sessions.product_secret_replaced(product_key));
        let rotated = close.decide(self.registrar.rotate_secret(product_key).await);
        self.tell("cannot replace the product's secret", Named::product(product_key), rotated).await
    }

    /// One step of deleting a product: it is switched off, or up to [`DELETE_CHUNK`] of its devices go, and
    /// the product itself once it has none. Ask again until it is done. A damaged product is named as it is
    /// read, or by `id:` and its row id.
    ///
    /// [`DELETE_CHUNK`]: crate::service::DELETE_CHUNK
    ///
    /// # Errors
    /// There is none; it has devices and `force` is not set.
    pub async fn delete_product(&self, product_key: &str, force: bool) -> Result<ProductDeleted, Problem> {
        // Without the outcome the devices are not known; it ends the sessions of a product that is off.
        let read_anew = WhenOver::new(|| self.sessions.product_changed(product_key));
        let deleted = self.registrar.delete_product(product_key, force).await;
        for device in deleted.iter().flat_map(|(_, devices)| devices) {
            self.sessions.close_device(*device, "deleted with its product");
        }
        let deleted = read_anew.decide(deleted.map(|(step, _)| step));
        self.tell("cannot delete the product", Named::product(product_key), deleted).await
    }
}
