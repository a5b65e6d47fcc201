//! Thing models of products, and their versions.

use narrowgate_api::{
    model::{IfMatch, ModelVersionRow, ModelVersionView, PresentModel},
    page::Page,
};
use serde_json::value::RawValue;

use super::{
    error::{MODEL, ServiceError},
    registrar::Registrar,
    view,
};
use crate::{
    device_api::json,
    model::{
        product::Product,
        thing_model::{Fault, ThingModel},
    },
    ports::RegistryChanges as _,
    rules::models::{Expected, ModelPut, ModelStands, ModelVersion, NotPut},
};

impl Registrar {
    /// The present model.
    ///
    /// # Errors
    /// `Missing` where the product has none.
    pub(super) async fn model(&self, product_key: &str) -> Result<PresentModel, ServiceError> {
        // The version first: where another one comes between the two, a change that names it is refused.
        let versions = self.registry.model_versions(product_key).await?;
        let product = self.existing_product(product_key).await?;
        let version = versions.items.first().map_or(0, |newest| newest.version);
        shown(product_key, version, product.model_json.as_deref())
    }

    /// Puts a model in the place of the present one; returns the one that stands now, with its numbers.
    ///
    /// # Errors
    /// `Missing` where there is no such product; `Model` for a document that is not acceptable;
    /// `ModelMoved` where the present one is not the one to be replaced.
    pub(super) async fn put_model(
        &self,
        product_key: &str,
        model: &RawValue,
        if_match: Option<IfMatch>,
    ) -> Result<PresentModel, ServiceError> {
        // For the words of a product that is damaged.
        self.existing_product(product_key).await?;
        let expected = match if_match {
            None => Expected::Whatever,
            Some(IfMatch::Any) => Expected::AModel,
            Some(IfMatch::OneOf(versions)) => Expected::OneOf(versions),
        };
        let put = ModelPut { model_json: Some(acceptable(model.get())?), expected };
        let ModelStands { version, model_json } = self.change_model(product_key, put, None).await?;
        shown(product_key, version, model_json.as_deref())
    }

    /// Changes the model, and with it what else is changed of the product.
    pub(super) async fn change_model(
        &self,
        product_key: &str,
        put: ModelPut,
        with: Option<Product>,
    ) -> Result<ModelStands, ServiceError> {
        let (product_key, with, at) = (product_key.to_owned(), with.map(Box::new), self.clock.now());
        let stands = self.registry.put_model(product_key.clone(), put, with, at).await?;
        stands.map_err(|refused| match refused {
            NotPut::Fault(fault) => not_acceptable(fault),
            NotPut::OtherVersion(version) => ServiceError::ModelMoved { product_key, version },
        })
    }

    /// The versions that are kept, newest first.
    ///
    /// # Errors
    /// `Missing` where there is no such product.
    pub(super) async fn model_versions(
        &self,
        product_key: &str,
    ) -> Result<Page<ModelVersionRow>, ServiceError> {
        self.existing_product(product_key).await?;
        let versions = self.registry.model_versions(product_key).await?;
        let row = |ModelVersion { version, created, model_id }| ModelVersionRow {
            version,
            created_at: created,
            model_id,
        };
        let items = versions.items.into_iter().map(row).collect();
        Ok(Page { items, next_cursor: None, damaged: view::left_out(versions.damaged) })
    }

    /// One of them.
    ///
    /// # Errors
    /// `Missing` where there is no such product, or the version is not kept.
    pub(super) async fn model_version(
        &self,
        product_key: &str,
        version: &str,
    ) -> Result<ModelVersionView, ServiceError> {
        self.existing_product(product_key).await?;
        let found = match version.parse() {
            Ok(version) => self.registry.model_version(product_key, version).await?,
            Err(_) => None,
        };
        let missing = || ServiceError::Missing { what: "version", key: version.to_owned() };
        let found = found.ok_or_else(missing)?;
        let ModelVersion { version, created, model_id } = found.about;
        let model = found.model_json.as_deref().map(as_json);
        Ok(ModelVersionView { version, created_at: created, model_id, model })
    }
}

/// A document that may become a model, without white space.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn acceptable(json: &str) -> Result<String, ServiceError> {
    ThingModel::accept(json).map_err(not_acceptable)?;
    Ok(json::compact(json).into())
}

fn not_acceptable(fault: Fault) -> ServiceError {
    ServiceError::Model { fault }
}

fn shown(product_key: &str, version: u32, json: Option<&str>) -> Result<PresentModel, ServiceError> {
    let missing = || ServiceError::Missing { what: MODEL, key: product_key.to_owned() };
    Ok(PresentModel { version, model: as_json(json.ok_or_else(missing)?) })
}

/// As a part of an answer.
fn as_json(json: &str) -> Box<RawValue> {
    // What is stored was read as JSON before.
    RawValue::from_string(json::compact(json).into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use narrowgate_api::product::{NewProduct, ProductPatch};

    use super::*;
    use crate::{
        service::fixtures::{NOW, registrar_and_clock, registrar_with_product},
        testing::block_on,
    };

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("the test gives JSON")
    }

    fn put(registrar: &Registrar, json: &str, if_match: Option<IfMatch>) -> Result<(u32, String), String> {
        let put = block_on(registrar.put_model("pk", &raw(json), if_match));
        put.map(|stands| (stands.version, stands.model.get().to_owned())).map_err(|error| error.to_string())
    }

    const FIRST: &str = r#"{"modelId":"m","measurepoints":[{"identifier":"t","dataType":"INT","number":1}]}"#;

    #[test]
    fn a_model_is_shown_as_it_is_given_again_and_that_changes_nothing() {
        let registrar = registrar_with_product();
        let missing = block_on(registrar.model("pk")).expect_err("it has none").to_string();
        assert_eq!(missing, "there is no thing model of product pk");
        let given =
            "{ \"modelId\":\"m\",\n \"measurepoints\": [{\"identifier\":\"t\",\"dataType\":\"INT\"}]}";
        assert_eq!(put(&registrar, given, None), Ok((1, FIRST.to_owned())));
        let shown = block_on(registrar.model("pk")).expect("it has one");
        assert_eq!((shown.version, shown.model.get()), (1, FIRST));
        for same in [FIRST, given] {
            assert_eq!(put(&registrar, same, None), Ok((1, FIRST.to_owned())));
        }
        let patch = ProductPatch { model: Some(Some(raw(given))), ..ProductPatch::default() };
        let view = block_on(registrar.update_product("pk", patch)).expect("it is valid");
        assert_eq!(view.model.as_ref().map(|model| model.get()), Some(FIRST), "with its numbers");
        let versions = block_on(registrar.model_versions("pk")).expect("it exists").items;
        assert_eq!(versions.len(), 1);
        assert_eq!((versions[0].version, versions[0].created_at), (1, NOW));
    }

    #[test]
    fn an_older_version_is_shown_and_put_back() {
        let (registrar, clock) = registrar_and_clock();
        let model = Some(raw(FIRST));
        let new =
            NewProduct { name: "n".into(), product_key: Some("pk".into()), model, ..NewProduct::default() };
        block_on(registrar.create_product(new)).expect("it is valid");
        clock.advance_ms(5);
        let second = r#"{"modelId":"n","events":[{"identifier":"e"}]}"#;
        let numbered = r#"{"modelId":"n","events":[{"identifier":"e","number":2}]}"#;
        assert_eq!(put(&registrar, second, None), Ok((2, numbered.to_owned())));
        let version = |version: &str| {
            let found = block_on(registrar.model_version("pk", version));
            found
                .map(|found| found.model.map(|model| model.get().to_owned()))
                .map_err(|error| error.to_string())
        };
        assert_eq!(version("1"), Ok(Some(FIRST.to_owned())));
        assert_eq!(version("2"), Ok(Some(numbered.to_owned())));
        for none in ["0", "3", "x", "-1", ""] {
            assert_eq!(version(none), Err(format!("there is no version {none}")));
        }
        let patch = ProductPatch { model: Some(None), ..ProductPatch::default() };
        block_on(registrar.update_product("pk", patch)).expect("it is valid");
        assert_eq!(version("3"), Ok(None));
        assert_eq!(put(&registrar, FIRST, None), Ok((4, FIRST.to_owned())));
        let rows = block_on(registrar.model_versions("pk")).expect("it exists").items;
        let rows: Vec<_> = rows.iter().map(|row| (row.version, row.model_id.as_deref())).collect();
        assert_eq!(rows, [(4, Some("m")), (3, None), (2, Some("n")), (1, Some("m"))]);
        for error in [
            block_on(registrar.model_versions("none")).map(drop).expect_err("it is unknown"),
            block_on(registrar.model_version("none", "1")).map(drop).expect_err("it is unknown"),
            block_on(registrar.model("none")).map(drop).expect_err("it is unknown"),
            block_on(registrar.put_model("none", &raw(FIRST), None)).map(drop).expect_err("it is unknown"),
        ] {
            assert_eq!(error.to_string(), "there is no product none");
        }
    }

    #[test]
    fn what_is_not_acceptable_changes_nothing_and_says_where() {
        let registrar = registrar_with_product();
        put(&registrar, FIRST, None).expect("it is valid");
        for (json, said) in [
            ("{}", "model is not acceptable: /modelId: is missing"),
            (r#"{"modelId":"m","modelId":"m"}"#, "model is not acceptable: /modelId: the key occurs twice"),
            (
                r#"{"modelId":"m","events":[{"identifier":"e","number":1}]}"#,
                "model is not acceptable: /events/0/number: 1 is that of t in measurepoints, here or in an \
                 earlier version: no other may get it",
            ),
        ] {
            assert_eq!(put(&registrar, json, None), Err(said.to_owned()));
            let patch = ProductPatch {
                name: Some("other".into()),
                model: Some(Some(raw(json))),
                ..ProductPatch::default()
            };
            let error = block_on(registrar.update_product("pk", patch)).expect_err("it is refused");
            assert_eq!(error.to_string(), said);
        }
        let product = block_on(registrar.product("pk")).expect("it exists");
        assert_eq!(
            (&*product.name, product.model.as_ref().map(|model| model.get())),
            ("meters", Some(FIRST))
        );
    }

    #[test]
    fn a_change_that_names_another_version_is_refused() {
        let registrar = registrar_with_product();
        let moved = |version: u32| {
            let stands = match version {
                0 => "product pk never had a thing model".to_owned(),
                _ => format!("the thing model of product pk is another one meanwhile: version {version}"),
            };
            Err(stands)
        };
        assert_eq!(put(&registrar, FIRST, Some(IfMatch::Any)), moved(0));
        assert_eq!(put(&registrar, FIRST, Some(IfMatch::OneOf(vec![1]))), moved(0));
        put(&registrar, FIRST, None).expect("it is valid");
        let second = r#"{"modelId":"n"}"#;
        assert_eq!(put(&registrar, second, Some(IfMatch::OneOf(vec![2]))), moved(1));
        assert_eq!(put(&registrar, second, Some(IfMatch::OneOf(vec![1]))), Ok((2, second.to_owned())));
        assert_eq!(put(&registrar, FIRST, Some(IfMatch::OneOf(vec![1]))), moved(2));
        assert_eq!(put(&registrar, FIRST, Some(IfMatch::Any)), Ok((3, FIRST.to_owned())));
    }
}
