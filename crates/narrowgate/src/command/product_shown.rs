//! Products as the command line prints them: flat, with field names that scripts rely on.

use narrowgate_api::{
    names::UnixMillis,
    product::{
        ContentCode, DamagedProductView, DataFormat, DynamicActivation, ProductCreated, ProductRow,
        ProductView, Profile,
    },
    secret::SecretText,
};
use serde::Serialize;
use serde_json::value::RawValue;

/// A product that was created.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    product_key: String,
    product_secret: SecretText,
    name: String,
    dynamic_activation_enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl From<ProductCreated> for Created {
    fn from(created: ProductCreated) -> Self {
        let ProductCreated { product_key, product_secret, name, dynamic_activation, warnings } = created;
        let dynamic_activation_enabled = dynamic_activation.enabled;
        Self { product_key, product_secret, name, dynamic_activation_enabled, warnings }
    }
}

/// A product, or what can be read of a damaged one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    product_key: String,
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ou: Option<String>,
    enabled: Option<bool>,
    dynamic_activation_enabled: Option<bool>,
    dynamic_activation_ends_at: Option<UnixMillis>,
    dynamic_activation_quota_per_hour: Option<u32>,
    profile: Option<Profile>,
    short_paths: Option<bool>,
    data_format: Option<DataFormat>,
    content_code: Option<ContentCode>,
    model_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Box<RawValue>>,
    retention: Option<String>,
    created_at: Option<UnixMillis>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) damaged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<ProductView> for Shown {
    fn from(product: ProductView) -> Self {
        let ProductView {
            product_key,
            name,
            ou,
            enabled,
            dynamic_activation,
            profile,
            short_paths,
            data_format,
            content_code,
            model_id,
            model,
            retention,
            created_at,
        } = product;
        let DynamicActivation { enabled: activation, ends_at, quota_per_hour } = dynamic_activation;
        Self {
            product_key,
            name: Some(name),
            // A server of before says none.
            ou: Some(ou).filter(|ou| !ou.is_empty()),
            enabled: Some(enabled),
            dynamic_activation_enabled: Some(activation),
            dynamic_activation_ends_at: ends_at,
            dynamic_activation_quota_per_hour: Some(quota_per_hour),
            profile: Some(profile),
            short_paths: Some(short_paths),
            data_format: Some(data_format),
            content_code: Some(content_code),
            model_id,
            model,
            retention: Some(retention),
            created_at: Some(created_at),
            damaged: false,
            id: None,
            detail: None,
        }
    }
}

impl From<ProductRow> for Shown {
    fn from(row: ProductRow) -> Self {
        match row {
            ProductRow::Intact(product) => Self::from(*product),
            ProductRow::Damaged(DamagedProductView { product_key, id, detail, .. }) => Self {
                product_key,
                name: None,
                ou: None,
                enabled: None,
                dynamic_activation_enabled: None,
                dynamic_activation_ends_at: None,
                dynamic_activation_quota_per_hour: None,
                profile: None,
                short_paths: None,
                data_format: None,
                content_code: None,
                model_id: None,
                model: None,
                retention: None,
                created_at: None,
                damaged: true,
                id: Some(id),
                detail: Some(detail),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_flat_with_the_names_that_scripts_rely_on() {
        let printed = |json: &str| {
            let row: ProductRow = serde_json::from_str(json).unwrap();
            serde_json::to_string(&Shown::from(row)).unwrap()
        };
        let intact = concat!(
            r#"{"productKey":"pk","name":"n","enabled":true,"dynamicActivation":{"enabled":false,"#,
            r#""endsAt":5,"quotaPerHour":1000},"profile":"default","shortPaths":false,"modelId":null,"#,
            r#""dataFormat":"custom","retention":"short","createdAt":7}"#
        );
        assert_eq!(
            printed(intact),
            concat!(
                r#"{"productKey":"pk","name":"n","enabled":true,"dynamicActivationEnabled":false,"#,
                r#""dynamicActivationEndsAt":5,"dynamicActivationQuotaPerHour":1000,"profile":"default","#,
                r#""shortPaths":false,"dataFormat":"custom","contentCode":"2.05","modelId":null,"#,
                r#""retention":"short","createdAt":7}"#
            )
        );
        let damaged = concat!(
            r#"{"productKey":"pk","name":null,"enabled":null,"dynamicActivation":null,"profile":null,"#,
            r#""shortPaths":null,"modelId":null,"retention":null,"createdAt":null,"damaged":true,"#,
            r#""id":"id:1","detail":"row 1"}"#
        );
        assert_eq!(
            printed(damaged),
            concat!(
                r#"{"productKey":"pk","name":null,"enabled":null,"dynamicActivationEnabled":null,"#,
                r#""dynamicActivationEndsAt":null,"dynamicActivationQuotaPerHour":null,"profile":null,"#,
                r#""shortPaths":null,"dataFormat":null,"contentCode":null,"modelId":null,"retention":null,"#,
                r#""createdAt":null,"damaged":true,"id":"id:1","detail":"row 1"}"#
            )
        );
    }
}
