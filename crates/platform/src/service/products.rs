//! Products: create, show, change.

use super::{Operator, ServiceError, checked, checked_or_new};
use crate::{
    ids::{DEFAULT_OU, UnixMillis},
    model::{
        product::{DynamicActivation, Product},
        thing_model::ThingModel,
    },
    ports::{RegistryChanges as _, StoreError},
    rules::names,
    secret::Secret,
    service::{
        rows::ProductRow,
        view::{ProductCreated, ProductView},
    },
};

/// A product to be created.
#[derive(Debug, Default)]
pub struct NewProduct {
    /// What people call it; 1 to 128 characters.
    pub name: String,
    /// Its key; generated where there is none.
    pub product_key: Option<String>,
    /// Its secret; generated where there is none.
    pub product_secret: Option<Secret>,
    /// Whether its devices may fetch their own secrets.
    pub dynamic_activation: bool,
    /// Until when they may.
    pub ends_at: Option<UnixMillis>,
    /// How many may in an hour; 1000 where nothing is said.
    pub quota_per_hour: Option<u32>,
    /// Its thing model as a JSON document; every point is accepted where there is none.
    pub model_json: Option<String>,
}

/// What to change of a product; `None` leaves it as it is.
#[derive(Debug, Default)]
pub struct ProductPatch {
    /// What people call it.
    pub name: Option<String>,
    /// Whether its devices may connect.
    pub enabled: Option<bool>,
    /// Whether its devices may fetch their own secrets. Switching on without a new end drops an end that has passed.
    pub dynamic_activation: Option<bool>,
    /// Until when they may; `Some(None)`: without end.
    pub ends_at: Option<Option<UnixMillis>>,
    /// How many may in an hour; `Some(None)`: as many as where nothing was said.
    pub quota_per_hour: Option<Option<u32>>,
    /// Its thing model; `Some(None)`: none.
    pub model_json: Option<Option<String>>,
}

impl Operator {
    /// Creates a product.
    ///
    /// # Errors
    /// `Invalid` for a name, key, secret, end or model that is not acceptable; `Exists` where the key is taken.
    pub async fn create_product(&self, new: NewProduct) -> Result<ProductCreated, ServiceError> {
        check_name(&new.name)?;
        let product_key = match new.product_key {
            Some(product_key) => {
                checked("productKey", names::check_key(&product_key))?;
                product_key
            }
            None => names::new_product_key(&*self.entropy),
        };
        let (secret, warnings) = checked_or_new("productSecret", new.product_secret, || {
            names::new_product_secret(&*self.entropy)
        })?;
        check_model(new.model_json.as_deref())?;
        let now = self.clock.now();
        check_end(new.ends_at, now)?;
        let replaced = matches!(self.registry.product(&product_key).await, Err(StoreError::Damaged(_)));
        let replaced =
            replaced.then(|| "it replaces a damaged row; the devices of that product stay".to_owned());
        let created = ProductCreated {
            product_key: product_key.clone(),
            product_secret: secret.clone(),
            name: new.name.clone(),
            dynamic_activation_enabled: new.dynamic_activation,
            warnings: warnings.into_iter().chain(replaced).collect(),
        };
        let product = Product {
            ou: DEFAULT_OU.to_owned(),
            product_key,
            name: new.name,
            secret,
            dynamic_activation: DynamicActivation {
                enabled: new.dynamic_activation,
                ends_at: new.ends_at,
                quota_per_hour: new.quota_per_hour.unwrap_or(DynamicActivation::QUOTA_PER_HOUR),
            },
            enabled: true,
            model_json: new.model_json,
            created: now,
        };
        self.registry.create_product(product).await?;
        Ok(created)
    }

    /// All products, by creation.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn products(&self) -> Result<Vec<ProductRow>, ServiceError> {
        Ok(self.registry.products().await?.iter().map(ProductRow::from).collect())
    }

    /// One product, with its thing model.
    ///
    /// # Errors
    /// `Missing` where there is none.
    pub async fn product(&self, product_key: &str) -> Result<ProductView, ServiceError> {
        Ok(ProductView::full(&self.existing_product(product_key).await?))
    }

    /// Changes a product. Of two changes at once to the same product, the later one wins in whole.
    ///
    /// # Errors
    /// `Missing` where there is none; `Invalid` for a name, end or model that is not acceptable.
    pub async fn update_product(
        &self,
        product_key: &str,
        patch: ProductPatch,
    ) -> Result<ProductView, ServiceError> {
        let mut product = self.existing_product(product_key).await?;
        let now = self.clock.now();
        if let Some(name) = patch.name {
            check_name(&name)?;
            product.name = name;
        }
        if let Some(enabled) = patch.enabled {
            product.enabled = enabled;
        }
        let activation = &mut product.dynamic_activation;
        if let Some(on) = patch.dynamic_activation {
            activation.enabled = on;
            activation.ends_at = activation.ends_at.filter(|ends_at| !on || *ends_at > now);
        }
        if let Some(ends_at) = patch.ends_at {
            check_end(ends_at, now)?;
            activation.ends_at = ends_at;
        }
        if let Some(quota_per_hour) = patch.quota_per_hour {
            activation.quota_per_hour = quota_per_hour.unwrap_or(DynamicActivation::QUOTA_PER_HOUR);
        }
        if let Some(model_json) = patch.model_json {
            check_model(model_json.as_deref())?;
            product.model_json = model_json;
        }
        let view = ProductView::full(&product);
        self.registry.update_product(product).await?;
        Ok(view)
    }
}

fn check_name(name: &str) -> Result<(), ServiceError> {
    let result = if name.is_empty() { Err(names::NameError::Empty) } else { names::check_display_name(name) };
    checked("name", result)
}

fn check_end(ends_at: Option<UnixMillis>, now: UnixMillis) -> Result<(), ServiceError> {
    match ends_at {
        Some(ends_at) if ends_at <= now => {
            Err(ServiceError::Invalid { field: "endsAt", message: "lies in the past".to_owned() })
        }
        _ => Ok(()),
    }
}

fn check_model(model_json: Option<&str>) -> Result<(), ServiceError> {
    let Some(json) = model_json else { return Ok(()) };
    match ThingModel::parse(json) {
        Ok(_) => Ok(()),
        Err(fault) => {
            Err(ServiceError::Invalid { field: "model", message: format!("is not acceptable: {fault}") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        service::fixtures::{NOW, operator},
        testing::block_on,
    };

    fn create(operator: &Operator, new: NewProduct) -> Result<ProductCreated, ServiceError> {
        block_on(operator.create_product(new))
    }

    fn named(name: &str) -> NewProduct {
        NewProduct { name: name.into(), ..NewProduct::default() }
    }

    #[test]
    fn a_new_product_has_a_generated_key_and_secret_and_no_dynamic_activation() {
        let operator = operator();
        let created = create(&operator, named("meters")).expect("it is valid");
        assert_eq!((created.product_key.len(), created.product_secret.expose().len()), (8, 11));
        assert!(!created.dynamic_activation_enabled);
        assert_eq!(created.warnings, [""; 0], "the protocol fixes a generated secret's form");
        let view = block_on(operator.product(&created.product_key)).expect("it exists");
        assert_eq!(
            (view.name.as_str(), view.enabled, view.dynamic_activation_quota_per_hour),
            ("meters", true, 1000)
        );
        let json = serde_json::to_string(&view).expect("it can be written");
        assert!(!json.contains(created.product_secret.expose()), "{json}");
        assert_eq!(block_on(operator.products()).expect("it works").len(), 1);
    }

    #[test]
    fn an_imported_product_keeps_its_key_and_secret() {
        let operator = operator();
        let new = || NewProduct {
            product_key: Some("MuGsF6W4".into()),
            product_secret: Some(Secret::new("c3PW03srd6c".into())),
            dynamic_activation: true,
            ..named("meters")
        };
        let created = create(&operator, new()).expect("it is valid");
        let json = serde_json::to_value(&created).expect("it can be written");
        assert_eq!(json["productKey"], "MuGsF6W4");
        assert_eq!(json["productSecret"], "c3PW03srd6c");
        assert_eq!(json["dynamicActivationEnabled"], true);
        assert!(json["warnings"][0].as_str().is_some_and(|warning| warning.contains("about 65 bits")));
        let error = create(&operator, new()).expect_err("the key is taken");
        assert_eq!(error.to_string(), "product MuGsF6W4 exists already");
        assert!(error.hint().is_some());
    }

    #[test]
    fn what_is_not_acceptable_is_named() {
        let operator = operator();
        for (new, said) in [
            (named(""), "name is empty"),
            (
                NewProduct { product_key: Some("a,b".into()), ..named("n") },
                "productKey has a comma at character 2; ",
            ),
            (
                NewProduct { product_secret: Some(Secret::new("a\n".into())), ..named("n") },
                "productSecret has a line end at character 2; ",
            ),
            (NewProduct { ends_at: Some(NOW), ..named("n") }, "endsAt lies in the past"),
            (
                NewProduct { model_json: Some("{}".into()), ..named("n") },
                "model is not acceptable: /modelId: is missing",
            ),
        ] {
            let error = create(&operator, new).expect_err(said).to_string();
            assert!(error.starts_with(said), "{error}");
        }
        assert_eq!(block_on(operator.products()).expect("it works").len(), 0);
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let operator = operator();
        let end = UnixMillis(NOW.0 + 1000);
        let new = NewProduct {
            product_key: Some("pk".into()),
            dynamic_activation: true,
            ends_at: Some(end),
            ..named("old")
        };
        create(&operator, new).expect("it is valid");
        let update = |patch| block_on(operator.update_product("pk", patch)).expect("it is valid");
        let view = update(ProductPatch { name: Some("new".into()), ..ProductPatch::default() });
        assert_eq!(
            (view.name.as_str(), view.dynamic_activation_ends_at, view.enabled),
            ("new", Some(end), true)
        );
        let view = update(ProductPatch {
            model_json: Some(Some("{\n\"modelId\": \"m\"}".into())),
            ..ProductPatch::default()
        });
        assert_eq!(view.model_id.as_deref(), Some("m"));
        assert_eq!(view.model.map(|model| model.get().to_owned()).as_deref(), Some(r#"{"modelId":"m"}"#));
        let view = update(ProductPatch {
            model_json: Some(None),
            ends_at: Some(None),
            quota_per_hour: Some(Some(7)),
            enabled: Some(false),
            ..ProductPatch::default()
        });
        assert_eq!((view.model_id, view.dynamic_activation_ends_at, view.enabled), (None, None, false));
        assert_eq!(view.dynamic_activation_quota_per_hour, 7);
        let view = update(ProductPatch { quota_per_hour: Some(None), ..ProductPatch::default() });
        assert_eq!(view.dynamic_activation_quota_per_hour, 1000);
        let error =
            block_on(operator.update_product("other", ProductPatch::default())).expect_err("it is unknown");
        assert_eq!(error.to_string(), "there is no product other");
    }

    #[test]
    fn switching_dynamic_activation_on_again_drops_an_end_that_has_passed() {
        let (operator, clock) = crate::service::fixtures::operator_and_clock();
        let ends_at = Some(UnixMillis(NOW.0 + 1000));
        create(
            &operator,
            NewProduct { product_key: Some("pk".into()), dynamic_activation: true, ends_at, ..named("n") },
        )
        .expect("it is valid");
        let on = || ProductPatch { dynamic_activation: Some(true), ..ProductPatch::default() };
        let view = block_on(operator.update_product("pk", on())).expect("it is valid");
        assert_eq!(view.dynamic_activation_ends_at, ends_at, "it has not passed yet");
        clock.advance_ms(1000);
        let view = block_on(operator.update_product("pk", on())).expect("it is valid");
        assert_eq!(view.dynamic_activation_ends_at, None);
    }
}
