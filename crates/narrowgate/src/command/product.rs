//! `product …`.

use std::{fs::File, io::Read as _, path::Path};

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    confirm::confirmed,
    pages::{Damage, with_damage},
};
use crate::{
    cli::{Output, ProductCommand, ProductCreateArgs, ProductDeleteArgs, Switch, UpdateArgs},
    config::Config,
    control::{Access, Request, SecretText},
    failure::Failure,
    output::{self, Column, Layout, printable},
};

/// A thing model is at most so long; the socket's line has room for it.
const MODEL_BYTES_MAX: u64 = 1 << 20;

const COLUMNS: &[Column] = &[
    Column { field: "productKey", title: "PRODUCT" },
    Column { field: "name", title: "NAME" },
    Column { field: "enabled", title: "ENABLED" },
    Column { field: "dynamicActivationEnabled", title: "DYNAMIC ACTIVATION" },
    Column { field: "createdTime", title: "CREATED" },
];

pub(super) fn run(command: ProductCommand, config: &Config, output: Output) -> Result<(), Failure> {
    let model = match &command {
        ProductCommand::Create(arguments) => arguments.model.clone(),
        ProductCommand::Update(arguments) => arguments.model.clone(),
        _ => None,
    };
    let request = match command {
        ProductCommand::List => return list(config, output),
        ProductCommand::Delete(arguments) => return delete(&arguments, config, output),
        ProductCommand::Create(arguments) => create(arguments)?,
        ProductCommand::Show { product_key } => Request::Product { product_key },
        ProductCommand::Update(arguments) => update(arguments)?,
    };
    let access = match &request {
        Request::CreateProduct { .. } => Access::open_or_create(config)?,
        _ => Access::open(config)?,
    };
    let created = matches!(request, Request::CreateProduct { .. });
    let answer = access.request_once(request).map_err(|failure| match &model {
        // The registry does not know where the model came from.
        Some(path) if failure.parts.iter().any(|(_, reason)| reason.starts_with("model ")) => {
            let parts = std::iter::once(("file".to_owned(), printable(&path.display().to_string())));
            let parts = parts.chain(failure.parts).collect();
            Failure { parts, ..failure }
        }
        _ => failure,
    })?;
    output::print(output, &answer, Layout::Record)
        .map_err(|failure| if created { failure.hint(unseen(&answer)) } else { failure })
}

/// What to do where a product was created, and its secret could not be shown.
fn unseen(answer: &RawValue) -> String {
    let answer: serde_json::Value = serde_json::from_str(answer.get()).unwrap_or_default();
    let key = printable(answer["productKey"].as_str().unwrap_or("PK"));
    format!(
        "the product was created, and nothing shows its secret again: \
         narrowgate product delete {key}, and create it anew where the secret is needed"
    )
}

fn list(config: &Config, output: Output) -> Result<(), Failure> {
    let answer = Access::open(config)?.request_once(Request::Products)?;
    let unreadable = |error| Failure::failed("cannot read the answer").reason(error);
    let rows: Vec<Box<RawValue>> = serde_json::from_str(answer.get()).map_err(unreadable)?;
    let mut damage = Damage::default();
    rows.iter().for_each(|row| damage.note_row(row));
    match output {
        Output::Json => output::print(output, &answer, Layout::Rows(COLUMNS))?,
        Output::Table => {
            let rows: Vec<Box<RawValue>> = rows.iter().map(|row| with_damage(row)).collect();
            let rows = to_raw_value(&rows).map_err(unreadable)?;
            output::print(output, &rows, Layout::Rows(COLUMNS))?;
        }
    }
    damage.tell();
    Ok(())
}

/// What a step of deleting a product did.
#[derive(Deserialize)]
struct Step {
    devices: u64,
    done: bool,
    disabled: bool,
}

fn delete(arguments: &ProductDeleteArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let ProductDeleteArgs { product_key, force, yes } = arguments;
    confirmed(*yes, "nothing was deleted", || {
        let with = if *force { " with all its devices, their secrets and logs" } else { "" };
        Ok(format!("delete product {}{with}?", printable(product_key)))
    })?;
    let mut access = Access::open(config)?;
    let finished = in_steps(|| {
        let request = Request::DeleteProduct { product_key: product_key.clone(), force: *force };
        let answer = access.request(request)?;
        serde_json::from_str(answer.get())
            .map_err(|error| Failure::failed("cannot read the answer").reason(error))
    });
    let closed = access.close();
    let deleted = finished.and_then(|deleted| closed.map(|()| deleted))?;
    let answer = serde_json::json!({"productKey": product_key, "devices": deleted});
    let answer =
        to_raw_value(&answer).map_err(|error| Failure::failed("cannot write the answer").reason(error))?;
    output::print(output, &answer, Layout::Record)
}

/// Deletes step by step; how many devices went.
fn in_steps(mut step: impl FnMut() -> Result<Step, Failure>) -> Result<u64, Failure> {
    let (mut deleted, mut is_disabled) = (0, false);
    loop {
        match step() {
            Ok(Step { done: true, devices, .. }) => return Ok(deleted + devices),
            // The first step disables it and deletes nothing.
            Ok(Step { devices: 0, .. }) if is_disabled => {
                let failure = Failure::failed("the product was not deleted").reason("it has devices");
                return Err(left(failure, deleted));
            }
            Ok(Step { devices, disabled, .. }) => {
                deleted += devices;
                is_disabled = disabled;
            }
            Err(failure) if is_disabled => return Err(left(failure, deleted)),
            Err(failure) => return Err(failure),
        }
    }
}

/// A failure in the middle, with what was done before it.
fn left(failure: Failure, deleted: u64) -> Failure {
    let failure = match deleted {
        0 => failure.part("done", "the product is disabled; none of its devices is deleted"),
        1 => failure.part("done", "the product is disabled, and 1 of its devices is deleted"),
        _ => failure
            .part("done", format_args!("the product is disabled, and {deleted} of its devices are deleted")),
    };
    failure.hint("run the same again to go on")
}

fn create(arguments: ProductCreateArgs) -> Result<Request, Failure> {
    let bounds = &arguments.activation;
    if !arguments.dynamic_activation && (bounds.activation_ends.is_some() || bounds.quota.is_some()) {
        return Err(Failure::usage("--activation-ends and --quota bound dynamic activation, which is off")
            .hint("add --dynamic-activation"));
    }
    Ok(Request::CreateProduct {
        name: arguments.name,
        product_key: arguments.product_key,
        product_secret: arguments.product_secret.map(SecretText::new),
        dynamic_activation: arguments.dynamic_activation,
        activation_ends: arguments.activation.activation_ends,
        quota: arguments.activation.quota,
        model: arguments.model.as_deref().map(read_model).transpose()?,
    })
}

fn update(arguments: UpdateArgs) -> Result<Request, Failure> {
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
        && arguments.model.is_none()
        && !(arguments.no_model || arguments.no_activation_ends || arguments.default_quota);
    if nothing {
        return Err(Failure::usage("nothing is to be changed")
            .hint("narrowgate product update --help lists what can"));
    }
    Ok(Request::UpdateProduct {
        product_key: arguments.product_key,
        name: arguments.name,
        enabled,
        dynamic_activation: arguments.dynamic_activation.map(|switch| switch == Switch::On),
        activation_ends: arguments.activation.activation_ends,
        quota: arguments.activation.quota,
        model: arguments.model.as_deref().map(read_model).transpose()?,
        no_activation_ends: arguments.no_activation_ends,
        default_quota: arguments.default_quota,
        no_model: arguments.no_model,
    })
}

fn read_model(path: &Path) -> Result<String, Failure> {
    let cannot =
        |reason: String| Failure::failed("cannot read the thing model").file(path.display()).reason(reason);
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MODEL_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| cannot(error.to_string()))?;
    if text.len() as u64 > MODEL_BYTES_MAX {
        return Err(cannot(format!("it is longer than {MODEL_BYTES_MAX} bytes")));
    }
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        let (line, column) = (error.line(), error.column());
        let reason = error.to_string().replace(&format!(" at line {line} column {column}"), "");
        return Err(Failure::failed("cannot read the thing model")
            .file(format_args!("{} line {line} column {column}", path.display()))
            .reason(format_args!("it is not JSON: {reason}"))
            .hint("a thing model is one JSON document; name that file by --model"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said where these steps went well and the next one fails.
    fn fails_after(steps: &[u64]) -> Vec<String> {
        let mut steps = steps.iter();
        let failed = in_steps(|| match steps.next() {
            Some(devices) => Ok(Step { devices: *devices, done: false, disabled: true }),
            None => Err(Failure::failed("cannot delete the product")),
        });
        failed.unwrap_err().parts.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_deletion_that_fails_in_the_middle_says_that_the_product_is_disabled() {
        let again = "run the same again to go on";
        assert_eq!(fails_after(&[]), [] as [&str; 0]);
        assert_eq!(fails_after(&[0]), ["the product is disabled; none of its devices is deleted", again]);
        assert_eq!(fails_after(&[1]), ["the product is disabled, and 1 of its devices is deleted", again]);
        let many = "the product is disabled, and 700 of its devices are deleted";
        assert_eq!(fails_after(&[0, 500, 200]), [many, again]);
        assert_eq!(fails_after(&[0, 0]), ["it has devices", &fails_after(&[0])[0], again]);
    }
}
