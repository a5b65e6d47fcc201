//! Products: create, show, change.

use narrowgate_api::{
    page::Page,
    product::{
        NewDynamicActivation, NewProduct, ProductCreated, ProductPatch, ProductRow, ProductSecretRotated,
        ProductSecretShown, ProductView,
    },
    secret::SecretText,
};

use super::{
    error::ServiceError,
    models::acceptable,
    registrar::{Registrar, check, checked_or_new},
    view,
};
use crate::{
    ids::UnixMillis,
    model::{
        product::{DynamicActivation, Product},
        retention::RetentionClass,
    },
    ports::{RegistryChanges as _, StoreError},
    rules::{
        models::{Expected, ModelPut},
        names,
        psk::psk,
    },
};

impl Registrar {
    /// Creates a product.
    ///
    /// # Errors
    /// `Invalid` or `Model` for a name, key, secret, end or model that is not acceptable; `Exists` where the
    /// key is taken.
    pub(super) async fn create_product(&self, new: NewProduct) -> Result<ProductCreated, ServiceError> {
        check_name(&new.name)?;
        let product_key = match new.product_key {
            Some(product_key) => {
                check("productKey", names::check_new_key(&product_key))?;
                product_key
            }
            None => names::new_product_key(&*self.entropy),
        };
        let (secret, warnings) = checked_or_new("productSecret", new.product_secret, || {
            names::new_product_secret(&*self.entropy)
        })?;
        let ou = self.unit_of_new(new.ou).await?;
        let model_json = new.model.map(|model| acceptable(model.get())).transpose()?;
        let retention = new.retention.map_or(Ok(RetentionClass::STANDARD), |name| self.retention(&name))?;
        let now = self.clock.now();
        let NewDynamicActivation { enabled, ends_at, quota_per_hour } = new.dynamic_activation;
        check_end(ends_at, now)?;
        let dynamic_activation = DynamicActivation {
            enabled,
            ends_at,
            quota_per_hour: quota_per_hour.unwrap_or(DynamicActivation::QUOTA_PER_HOUR),
        };
        let replaced = matches!(self.registry.product(&product_key).await, Err(StoreError::Damaged(_)));
        let replaced =
            replaced.then(|| "it replaces a damaged row; the devices of that product stay".to_owned());
        let created = ProductCreated {
            product_key: product_key.clone(),
            product_secret: SecretText::new(secret.expose().to_owned()),
            name: new.name.clone(),
            dynamic_activation: view::dynamic_activation(&dynamic_activation),
            warnings: warnings.into_iter().chain(replaced).collect(),
        };
        let product = Product {
            ou,
            product_key,
            name: new.name,
            secret,
            dynamic_activation,
            enabled: true,
            is_suspended: false,
            profile: new.profile.unwrap_or_default(),
            short_paths: new.short_paths.unwrap_or_default(),
            data_format: new.data_format.unwrap_or_default(),
            content_code: new.content_code.unwrap_or_default(),
            model_json,
            retention,
            created: now,
        };
        self.registry.create_product(product).await?;
        Ok(created)
    }

    /// All products, in order of creation.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn products(&self) -> Result<Page<ProductRow>, ServiceError> {
        Ok(Page::last(self.registry.products().await?.iter().map(view::product_row).collect()))
    }

    /// One product, with its thing model.
    ///
    /// # Errors
    /// `Missing` where there is none.
    pub(super) async fn product(&self, product_key: &str) -> Result<ProductView, ServiceError> {
        Ok(view::product(&self.existing_product(product_key).await?))
    }

    /// Changes a product. Of two changes at once to the same product, the later one wins in whole.
    ///
    /// # Errors
    /// `Missing` where there is none; `Invalid` or `Model` for a name, end or model that is not acceptable.
    pub(super) async fn update_product(
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
        if let Some(profile) = patch.profile {
            product.profile = profile;
        }
        if let Some(short_paths) = patch.short_paths {
            product.short_paths = short_paths;
        }
        if let Some(data_format) = patch.data_format {
            product.data_format = data_format;
        }
        if let Some(content_code) = patch.content_code {
            product.content_code = content_code;
        }
        let activation = &mut product.dynamic_activation;
        if let Some(on) = patch.dynamic_activation.enabled {
            activation.enabled = on;
            activation.ends_at = activation.ends_at.filter(|ends_at| !on || *ends_at > now);
        }
        if let Some(ends_at) = patch.dynamic_activation.ends_at {
            check_end(ends_at, now)?;
            activation.ends_at = ends_at;
        }
        if let Some(quota_per_hour) = patch.dynamic_activation.quota_per_hour {
            activation.quota_per_hour = quota_per_hour.unwrap_or(DynamicActivation::QUOTA_PER_HOUR);
        }
        if let Some(name) = patch.retention {
            product.retention = self.retention(&name)?;
        }
        match patch.model {
            None => self.registry.update_product(product.clone()).await?,
            Some(model) => {
                let model_json = model.map(|model| acceptable(model.get())).transpose()?;
                let put = ModelPut { model_json, expected: Expected::Whatever };
                let stands = self.change_model(product_key, put, Some(product.clone())).await?;
                product.model_json = stands.model_json;
            }
        }
        Ok(view::product(&product))
    }

    /// A class that is configured.
    fn retention(&self, name: &str) -> Result<RetentionClass, ServiceError> {
        let class = RetentionClass::parse(name).filter(|class| self.retention_classes.contains(class));
        class.ok_or_else(|| {
            let known: Vec<String> = self.retention_classes.iter().map(ToString::to_string).collect();
            let message =
                format!("is {name:?}; it must be a class of store.retention_classes: {}", known.join(", "));
            ServiceError::Invalid { field: "retention", message }
        })
    }

    /// Replaces a product's secret at once.
    ///
    /// # Errors
    /// `Missing` where there is none.
    pub(super) async fn rotate_secret(
        &self,
        product_key: &str,
    ) -> Result<ProductSecretRotated, ServiceError> {
        // For the words of a product that is damaged.
        self.existing_product(product_key).await?;
        let secret = names::new_product_secret(&*self.entropy);
        let product_secret = view::shown(&secret);
        let now = self.clock.now();
        self.registry.rotate_product_secret(product_key.to_owned(), secret, now).await?;
        Ok(ProductSecretRotated { product_secret })
    }

    /// Shows a product's secret.
    ///
    /// # Errors
    /// `Missing` where there is none.
    pub(super) async fn product_secret(&self, product_key: &str) -> Result<ProductSecretShown, ServiceError> {
        let product = self.existing_product(product_key).await?;
        Ok(ProductSecretShown {
            product_secret: view::shown(&product.secret),
            psk_hex: SecretText::new(hex::encode(*psk(&product.secret))),
        })
    }
}

fn check_name(name: &str) -> Result<(), ServiceError> {
    let result = if name.is_empty() { Err(names::NameError::Empty) } else { names::check_display_name(name) };
    check("name", result)
}

fn check_end(ends_at: Option<UnixMillis>, now: UnixMillis) -> Result<(), ServiceError> {
    match ends_at {
        Some(ends_at) if ends_at <= now => {
            Err(ServiceError::Invalid { field: "endsAt", message: "lies in the past".to_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::product::DynamicActivationPatch;
    use serde_json::value::RawValue;

    use super::*;
    use crate::{
        service::fixtures::{NOW, registrar},
        testing::block_on,
    };

    fn create(registrar: &Registrar, new: NewProduct) -> Result<ProductCreated, ServiceError> {
        block_on(registrar.create_product(new))
    }

    fn activation(enabled: bool, ends_at: Option<UnixMillis>) -> NewDynamicActivation {
        NewDynamicActivation { enabled, ends_at, quota_per_hour: None }
    }

    fn activating(dynamic_activation: DynamicActivationPatch) -> ProductPatch {
        ProductPatch { dynamic_activation, ..ProductPatch::default() }
    }

    fn model(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.into()).expect("it is JSON")
    }

    fn named(name: &str) -> NewProduct {
        NewProduct { name: name.into(), ..NewProduct::default() }
    }

    #[test]
    fn a_new_product_has_a_generated_key_and_secret_and_no_dynamic_activation() {
        let registrar = registrar();
        let created = create(&registrar, named("meters")).expect("it is valid");
        assert_eq!((created.product_key.len(), created.product_secret.expose().len()), (8, 11));
        assert!(!created.dynamic_activation.enabled);
        assert_eq!(created.warnings, [""; 0], "the protocol fixes a generated secret's form");
        let view = block_on(registrar.product(&created.product_key)).expect("it exists");
        assert_eq!(
            (view.name.as_str(), view.enabled, view.dynamic_activation.quota_per_hour),
            ("meters", true, 1000)
        );
        let json = serde_json::to_string(&view).expect("it can be written");
        assert!(!json.contains(created.product_secret.expose()), "{json}");
        assert_eq!(block_on(registrar.products()).expect("it works").items.len(), 1);
    }

    #[test]
    fn an_imported_product_keeps_its_key_and_secret() {
        let registrar = registrar();
        let new = || NewProduct {
            product_key: Some("MuGsF6W4".into()),
            product_secret: Some(SecretText::new("c3PW03srd6c".into())),
            dynamic_activation: activation(true, None),
            ..named("meters")
        };
        let created = create(&registrar, new()).expect("it is valid");
        let json = serde_json::to_value(&created).expect("it can be written");
        assert_eq!(json["productKey"], "MuGsF6W4");
        assert_eq!(json["productSecret"], "c3PW03srd6c");
        assert_eq!(json["dynamicActivation"]["enabled"], true);
        assert!(json["warnings"][0].as_str().is_some_and(|warning| warning.contains("about 65 bits")));
        let error = create(&registrar, new()).expect_err("the key is taken");
        assert_eq!(error.to_string(), "product MuGsF6W4 exists already");
        assert!(error.hint().is_some());
    }

    #[test]
    fn what_is_not_acceptable_is_named() {
        let registrar = registrar();
        for (new, said) in [
            (named(""), "name is empty"),
            (
                NewProduct { product_key: Some("a,b".into()), ..named("n") },
                "productKey has a comma at character 2; ",
            ),
            (
                NewProduct { product_secret: Some(SecretText::new("a\n".into())), ..named("n") },
                "productSecret has a line end at character 2; ",
            ),
            (
                NewProduct { dynamic_activation: activation(false, Some(NOW)), ..named("n") },
                "endsAt lies in the past",
            ),
            (
                NewProduct { model: Some(model("{}")), ..named("n") },
                "model is not acceptable: /modelId: is missing",
            ),
        ] {
            let error = create(&registrar, new).expect_err(said).to_string();
            assert!(error.starts_with(said), "{error}");
        }
        assert_eq!(block_on(registrar.products()).expect("it works").items.len(), 0);
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let registrar = registrar();
        let end = UnixMillis(NOW.0 + 1000);
        let new = NewProduct {
            product_key: Some("pk".into()),
            dynamic_activation: activation(true, Some(end)),
            ..named("old")
        };
        create(&registrar, new).expect("it is valid");
        let update = |patch| block_on(registrar.update_product("pk", patch)).expect("it is valid");
        let view = update(ProductPatch { name: Some("new".into()), ..ProductPatch::default() });
        assert_eq!(
            (view.name.as_str(), view.dynamic_activation.ends_at, view.enabled),
            ("new", Some(end), true)
        );
        let view = update(ProductPatch {
            model: Some(Some(model("{\n\"modelId\": \"m\"}"))),
            ..ProductPatch::default()
        });
        assert_eq!(view.model_id.as_deref(), Some("m"));
        assert_eq!(view.model.map(|model| model.get().to_owned()).as_deref(), Some(r#"{"modelId":"m"}"#));
        let view = update(ProductPatch {
            model: Some(None),
            dynamic_activation: DynamicActivationPatch {
                ends_at: Some(None),
                quota_per_hour: Some(Some(7)),
                ..DynamicActivationPatch::default()
            },
            enabled: Some(false),
            ..ProductPatch::default()
        });
        assert_eq!((view.model_id, view.dynamic_activation.ends_at, view.enabled), (None, None, false));
        assert_eq!(view.dynamic_activation.quota_per_hour, 7);
        let view = update(activating(DynamicActivationPatch {
            quota_per_hour: Some(None),
            ..DynamicActivationPatch::default()
        }));
        assert_eq!(view.dynamic_activation.quota_per_hour, 1000);
        let error =
            block_on(registrar.update_product("other", ProductPatch::default())).expect_err("it is unknown");
        assert_eq!(error.to_string(), "there is no product other");
    }

    #[test]
    fn a_rotated_secret_is_shown_once_and_is_another_one() {
        let registrar = registrar();
        let created = create(&registrar, named("meters")).expect("it is valid");
        let rotate = |key: &str| block_on(registrar.rotate_secret(key));
        let rotated = rotate(&created.product_key).expect("it exists").product_secret;
        assert_eq!(rotated.expose().len(), 11);
        assert_ne!(rotated.expose(), created.product_secret.expose());
        let stored = block_on(registrar.registry.product(&created.product_key)).expect("it works");
        assert_eq!(stored.expect("it exists").secret.expose(), rotated.expose());
        let shown = block_on(registrar.product_secret(&created.product_key)).expect("it exists");
        assert_eq!(shown.product_secret.expose(), rotated.expose());
        let unknown = block_on(registrar.product_secret("other")).expect_err("it is unknown");
        assert_eq!(unknown.to_string(), "there is no product other");
        assert_eq!(rotate("other").expect_err("it is unknown").to_string(), "there is no product other");
    }

    #[test]
    fn switching_dynamic_activation_on_again_drops_an_end_that_has_passed() {
        let (registrar, clock) = crate::service::fixtures::registrar_and_clock();
        let ends_at = Some(UnixMillis(NOW.0 + 1000));
        create(
            &registrar,
            NewProduct {
                product_key: Some("pk".into()),
                dynamic_activation: activation(true, ends_at),
                ..named("n")
            },
        )
        .expect("it is valid");
        let on = || {
            activating(DynamicActivationPatch { enabled: Some(true), ..DynamicActivationPatch::default() })
        };
        let view = block_on(registrar.update_product("pk", on())).expect("it is valid");
        assert_eq!(view.dynamic_activation.ends_at, ends_at, "it has not passed yet");
        clock.advance_ms(1000);
        let view = block_on(registrar.update_product("pk", on())).expect("it is valid");
        assert_eq!(view.dynamic_activation.ends_at, None);
    }
}
