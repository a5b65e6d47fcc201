//! `product …`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use narrowgate_api::{
    names::UnixMillis,
    product::{
        DynamicActivationPatch, NewDynamicActivation, NewProduct, ProductDeleted, ProductPatch, ProductView,
    },
};
use serde_json::value::RawValue;

use super::{
    confirm::confirmed,
    pages::{Damage, shown_with_damage},
    product_shown::{Created, Shown},
    secret_argument::secret,
};
use crate::{
    cli::{
        Output, ProductCommand, ProductCreateArgs, ProductDeleteArgs, RotateSecretArgs, Switch, UpdateArgs,
    },
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, printable},
};

/// Longest thing model; the body of a request has room for it.
const MODEL_BYTES_MAX: u64 = 1 << 20;

const COLUMNS: &[Column] = &[
    Column { field: "productKey", title: "PRODUCT" },
    Column { field: "name", title: "NAME" },
    Column { field: "enabled", title: "ENABLED" },
    Column { field: "dynamicActivationEnabled", title: "DYNAMIC ACTIVATION" },
    Column { field: "retention", title: "RETENTION" },
    Column { field: "createdAt", title: "CREATED" },
];

pub(super) fn run(command: ProductCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        ProductCommand::List => list(config, output),
        ProductCommand::Delete(arguments) => delete(&arguments, config, output),
        ProductCommand::Create(arguments) => create(arguments, config, output),
        ProductCommand::Show { product_key } => {
            let shown = Access::open(config)?.call_once(Call::show_product(&product_key))?;
            print(shown, output)
        }
        ProductCommand::Update(arguments) => update(arguments, config, output),
        ProductCommand::Secret { product_key } => {
            let shown = Access::open(config)?.call_once(Call::show_product_secret(&product_key))?;
            output::print(output, &shown, Layout::Record)
        }
        ProductCommand::RotateSecret(arguments) => rotate_secret(&arguments, config, output),
    }
}

fn create(arguments: ProductCreateArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let model = arguments.model.clone();
    let call = Call::create_product(&new_product(arguments)?);
    let created = Access::open_or_create(config)?.call_once(call);
    let created = created.map_err(|failure| of_model(model.as_deref(), failure))?;
    let hint = unseen(&created.product_key);
    output::print(output, &Created::from(created), Layout::Record).map_err(|failure| failure.hint(hint))
}

fn update(arguments: UpdateArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let model = arguments.model.clone();
    let product_key = arguments.product_key.clone();
    let call = Call::update_product(&product_key, &patch(arguments)?);
    let updated = Access::open(config)?.call_once(call);
    let updated = updated.map_err(|failure| of_model(model.as_deref(), failure))?;
    print(updated, output)
}

/// People read the model by `model show`: in a table it would be one line of any length.
fn print(product: ProductView, output: Output) -> Result<(), Failure> {
    let model = product.model.filter(|_| output == Output::Json);
    output::print(output, &Shown::from(ProductView { model, ..product }), Layout::Record)
}

fn rotate_secret(arguments: &RotateSecretArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let product_key = &*arguments.product_key;
    confirmed(arguments.yes, "nothing was replaced", || {
        // What does not exist is not asked about.
        Access::open(config)?.call_once(Call::show_product(product_key))?;
        Ok(format!(
            "replace the secret of product {}? \
             Devices that know only the present one can no longer activate.",
            printable(product_key)
        ))
    })?;
    let rotated = Access::open(config)?.call_once(Call::rotate_product_secret(product_key))?;
    output::print(output, &rotated, Layout::Record).map_err(|failure| {
        failure.hint(format_args!(
            "the secret was replaced: narrowgate product secret {} shows the new one",
            printable(product_key)
        ))
    })
}

/// Adds the file of the model, which the service does not know, to its failures.
fn of_model(path: Option<&Path>, failure: Failure) -> Failure {
    match path {
        Some(path) if failure.parts.iter().any(|(_, reason)| reason.starts_with("model ")) => {
            let parts = std::iter::once(("file".to_owned(), printable(&path.display().to_string())));
            let parts = parts.chain(failure.parts).collect();
            Failure { parts, ..failure }
        }
        _ => failure,
    }
}

/// What to try if the product was created but its secret could not be shown.
fn unseen(product_key: &str) -> String {
    format!("the product was created: narrowgate product secret {} shows its secret", printable(product_key))
}

fn list(config: &Config, output: Output) -> Result<(), Failure> {
    let page = Access::open(config)?.call_once(Call::list_products())?;
    let mut damage = Damage::default();
    page.items.iter().for_each(|row| damage.note_row(row.damage()));
    let rows: Vec<Shown> = page.items.into_iter().map(Shown::from).collect();
    match output {
        Output::Json => output::print(output, &rows, Layout::Rows(COLUMNS))?,
        Output::Table => {
            let rows = rows.iter().map(|row| shown_with_damage(row, row.damaged));
            let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
            output::print(output, &rows, Layout::Rows(COLUMNS))?;
        }
    }
    damage.warn();
    Ok(())
}

fn delete(arguments: &ProductDeleteArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let ProductDeleteArgs { product_key, force, yes } = arguments;
    confirmed(*yes, "nothing was deleted", || {
        let with = if *force { " with all its devices, their secrets and logs" } else { "" };
        Ok(format!("delete product {}{with}?", printable(product_key)))
    })?;
    let mut access = Access::open(config)?;
    let finished = in_steps(|| access.call(Call::delete_product(product_key, *force)));
    let closed = access.close();
    let deleted = finished.and_then(|deleted| closed.map(|()| deleted))?;
    let answer = serde_json::json!({"productKey": product_key, "devices": deleted});
    output::print(output, &answer, Layout::Record)
}

/// Deletes step by step; returns how many devices were deleted.
fn in_steps(mut step: impl FnMut() -> Result<ProductDeleted, Failure>) -> Result<u64, Failure> {
    let (mut deleted, mut is_disabled) = (0, false);
    loop {
        match step() {
            Ok(ProductDeleted { done: true, devices, .. }) => return Ok(deleted + devices),
            // The first step disables the product and deletes nothing.
            Ok(ProductDeleted { devices: 0, .. }) if is_disabled => {
                let failure = Failure::failed("the product was not deleted").reason("it has devices");
                return Err(left(failure, deleted));
            }
            Ok(ProductDeleted { devices, disabled, .. }) => {
                deleted += devices;
                is_disabled = disabled;
            }
            Err(failure) if is_disabled => return Err(left(failure, deleted)),
            Err(failure) => return Err(failure),
        }
    }
}

/// Adds to a failure in the middle what was done before it.
fn left(failure: Failure, deleted: u64) -> Failure {
    let failure = match deleted {
        0 => failure.part("done", "the product is disabled; none of its devices is deleted"),
        1 => failure.part("done", "the product is disabled, and 1 of its devices is deleted"),
        _ => failure
            .part("done", format_args!("the product is disabled, and {deleted} of its devices are deleted")),
    };
    failure.hint("run the same command again to continue")
}

fn new_product(arguments: ProductCreateArgs) -> Result<NewProduct, Failure> {
    let bounds = &arguments.activation;
    if !arguments.dynamic_activation && (bounds.activation_ends.is_some() || bounds.quota.is_some()) {
        return Err(Failure::usage("--activation-ends and --quota limit dynamic activation, which is off")
            .hint("add --dynamic-activation"));
    }
    Ok(NewProduct {
        name: arguments.name,
        ou: arguments.ou,
        product_key: arguments.product_key,
        product_secret: secret(arguments.product_secret, "--product-secret")?,
        dynamic_activation: NewDynamicActivation {
            enabled: arguments.dynamic_activation,
            ends_at: arguments.activation.activation_ends.map(UnixMillis),
            quota_per_hour: arguments.activation.quota,
        },
        profile: arguments.profile.map(Into::into),
        short_paths: arguments.short_paths.map(|switch| switch == Switch::On),
        data_format: arguments.data_format.map(Into::into),
        content_code: arguments.content_code.map(Into::into),
        model: arguments.model.as_deref().map(read_model).transpose()?,
        retention: arguments.retention,
    })
}

fn patch(arguments: UpdateArgs) -> Result<ProductPatch, Failure> {
    let enabled = match (arguments.enable, arguments.disable) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let bounds = &arguments.activation;
    let nothing = arguments.name.is_none()
        && enabled.is_none()
        && arguments.dynamic_activation.is_none()
        && bounds.activation_ends.is_none()
        && bounds.quota.is_none()
        && arguments.profile.is_none()
        && arguments.short_paths.is_none()
        && arguments.data_format.is_none()
        && arguments.content_code.is_none()
        && arguments.model.is_none()
        && arguments.retention.is_none()
        && !(arguments.no_model || arguments.no_activation_ends || arguments.default_quota);
    if nothing {
        return Err(Failure::usage("nothing to change")
            .hint("narrowgate product update --help lists what can be changed"));
    }
    let ends_at = arguments.activation.activation_ends.map(UnixMillis);
    Ok(ProductPatch {
        name: arguments.name,
        enabled,
        dynamic_activation: DynamicActivationPatch {
            enabled: arguments.dynamic_activation.map(|switch| switch == Switch::On),
            ends_at: ends_at.map(Some).or(arguments.no_activation_ends.then_some(None)),
            quota_per_hour: arguments.activation.quota.map(Some).or(arguments.default_quota.then_some(None)),
        },
        profile: arguments.profile.map(Into::into),
        short_paths: arguments.short_paths.map(|switch| switch == Switch::On),
        data_format: arguments.data_format.map(Into::into),
        content_code: arguments.content_code.map(Into::into),
        model: match arguments.model.as_deref().map(read_model).transpose()? {
            Some(model) => Some(Some(model)),
            None => arguments.no_model.then_some(None),
        },
        retention: arguments.retention,
    })
}

/// Reads a file with a thing model, or standard input where the path is `-`, as JSON of any kind.
pub(super) fn read_model(path: &Path) -> Result<Box<RawValue>, Failure> {
    let is_input = path.as_os_str() == "-";
    let name = if is_input { "standard input".to_owned() } else { path.display().to_string() };
    let cannot = |reason: String| Failure::failed("cannot read the thing model").file(&name).reason(reason);
    let mut text = String::new();
    let read = match is_input {
        true => io::stdin().lock().take(MODEL_BYTES_MAX + 1).read_to_string(&mut text),
        false => File::open(path).and_then(|file| file.take(MODEL_BYTES_MAX + 1).read_to_string(&mut text)),
    };
    read.map_err(|error| cannot(error.to_string()))?;
    if text.len() as u64 > MODEL_BYTES_MAX {
        return Err(cannot(format!("it is longer than {MODEL_BYTES_MAX} bytes")));
    }
    serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let reason = error.to_string().replace(&format!(" at line {line} column {column}"), "");
        Failure::failed("cannot read the thing model")
            .file(format_args!("{name} line {line} column {column}"))
            .reason(format_args!("it is not JSON: {reason}"))
            .hint("a thing model is one JSON document; docs/thing-model.md has an example")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed if these steps succeed and the next one fails.
    fn fails_after(steps: &[u64]) -> Vec<String> {
        let mut steps = steps.iter();
        let failed = in_steps(|| match steps.next() {
            Some(devices) => Ok(ProductDeleted {
                product_key: "pk".into(),
                devices: *devices,
                done: false,
                disabled: true,
                time: UnixMillis(0),
            }),
            None => Err(Failure::failed("cannot delete the product")),
        });
        failed.unwrap_err().parts.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_deletion_that_fails_in_the_middle_says_that_the_product_is_disabled() {
        let again = "run the same command again to continue";
        assert_eq!(fails_after(&[]), [] as [&str; 0]);
        assert_eq!(fails_after(&[0]), ["the product is disabled; none of its devices is deleted", again]);
        assert_eq!(fails_after(&[1]), ["the product is disabled, and 1 of its devices is deleted", again]);
        let many = "the product is disabled, and 700 of its devices are deleted";
        assert_eq!(fails_after(&[0, 500, 200]), [many, again]);
        assert_eq!(fails_after(&[0, 0]), ["it has devices", &fails_after(&[0])[0], again]);
    }
}
