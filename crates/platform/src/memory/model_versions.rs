//! Versions of thing models in memory.

use std::collections::VecDeque;

use super::model::{Model, ProductRow, push_bounded};
use crate::{
    ids::UnixMillis,
    model::{product::Product, thing_model::Numbers},
    paging::Page,
    ports::StoreError,
    rules::models::{
        self, ModelPut, ModelStands, ModelVersion, NextVersion, NotPut, Present, VERSIONS_MAX, VersionedModel,
    },
};

/// What is kept of a product's models.
#[derive(Debug, Default)]
pub(super) struct Models {
    /// Oldest first.
    versions: VecDeque<VersionedModel>,
    numbers: Numbers,
}

impl Models {
    /// Of a product that is new.
    pub(super) fn of(product: &mut Product) -> Self {
        let mut models = Self::default();
        let first = models::first(0, &Numbers::default(), product.model_json.as_deref(), product.created);
        if let Some(first) = first {
            product.model_json = models.take_up(first);
        }
        models
    }

    fn version(&self) -> u32 {
        self.versions.back().map_or(0, |newest| newest.about.version)
    }

    /// Keeps it, and returns its document.
    fn take_up(&mut self, NextVersion { next, numbers }: NextVersion) -> Option<String> {
        let model_json = next.model_json.clone();
        push_bounded(&mut self.versions, next, VERSIONS_MAX);
        self.numbers = numbers;
        model_json
    }
}

impl Model {
    /// See [`crate::ports::Registry::model_versions`].
    pub fn model_versions(&self, product_key: &str) -> Page<ModelVersion> {
        let row = self.product_row(product_key);
        let versions = row.into_iter().flat_map(|row| row.models.versions.iter().rev());
        Page { items: versions.map(|version| version.about.clone()).collect(), ..Page::empty() }
    }

    /// See [`crate::ports::Registry::model_version`].
    pub fn model_version(&self, product_key: &str, version: u32) -> Option<VersionedModel> {
        let mut versions = self.product_row(product_key)?.models.versions.iter();
        versions.find(|kept| kept.about.version == version).cloned()
    }

    /// See [`crate::ports::Change::PutModel`].
    pub(super) fn put_model(
        &mut self,
        product_key: String,
        put: &ModelPut,
        with: Option<Product>,
        at: UnixMillis,
    ) -> Result<Result<ModelStands, NotPut>, StoreError> {
        let Some(ProductRow { product, models, .. }) = self.product_row_mut(&product_key) else {
            return Err(StoreError::Missing { what: "product", key: product_key });
        };
        let present = Present { version: models.version(), model_json: product.model_json.as_deref() };
        match models::put(present, &models.numbers, put, at) {
            Err(refused) => return Ok(Err(refused)),
            Ok(None) => {}
            Ok(Some(next)) => product.model_json = models.take_up(next),
        }
        let stands = ModelStands { version: models.version(), model_json: product.model_json.clone() };
        with.map_or(Ok(()), |with| self.update_product(Product { product_key, ..with }))?;
        Ok(Ok(stands))
    }

    pub(super) fn product_row(&self, product_key: &str) -> Option<&ProductRow> {
        self.product_keys.get(product_key).and_then(|&index| self.products[index].as_ref())
    }

    pub(super) fn product_row_mut(&mut self, product_key: &str) -> Option<&mut ProductRow> {
        self.product_keys.get(product_key).and_then(|&index| self.products[index].as_mut())
    }
}
