//! Thing models of products.

use narrowgate_api::{
    model::{IfMatch, ModelVersionRow, ModelVersionView, PresentModel},
    page::Page,
    problem::{Code, Problem},
};
use serde_json::value::RawValue;

use super::{Named, Operator, over::WhenOver};

impl Operator {
    /// The present model of a product.
    ///
    /// # Errors
    /// There is no such product; it has none.
    pub async fn show_model(&self, product_key: &str) -> Result<PresentModel, Problem> {
        let shown = self.registrar.model(product_key).await;
        self.tell("cannot show the thing model", Named::product(product_key), shown).await
    }

    /// Puts a model in the place of a product's, from the next report on. `if_match`: only of that one.
    ///
    /// # Errors
    /// There is no such product; the model is not acceptable; the present one is not of `if_match`.
    pub async fn put_model(
        &self,
        product_key: &str,
        model: &RawValue,
        if_match: Option<IfMatch>,
    ) -> Result<PresentModel, Problem> {
        let read_anew = WhenOver::new(|| self.sessions.product_changed(product_key));
        let put = read_anew.decide(self.registrar.put_model(product_key, model, if_match).await);
        let put = self.tell("cannot change the thing model", Named::product(product_key), put).await;
        put.map_err(|problem| match problem {
            // Here the model is the body itself.
            Problem { code: Code::ModelInvalid, place: Some(place), .. } => {
                let place = place.strip_prefix("/model").map(str::to_owned);
                Problem { place, ..problem }
            }
            problem => problem,
        })
    }

    /// The versions that are kept of a product's model, newest first.
    ///
    /// # Errors
    /// There is no such product.
    pub async fn list_model_versions(&self, product_key: &str) -> Result<Page<ModelVersionRow>, Problem> {
        let versions = self.registrar.model_versions(product_key).await;
        self.tell("cannot list the versions of the thing model", Named::product(product_key), versions).await
    }

    /// One of them.
    ///
    /// # Errors
    /// There is no such product; the version is not kept.
    pub async fn show_model_version(
        &self,
        product_key: &str,
        version: &str,
    ) -> Result<ModelVersionView, Problem> {
        let found = self.registrar.model_version(product_key, version).await;
        self.tell("cannot show that version of the thing model", Named::product(product_key), found).await
    }
}
