//! `product …`.

use std::{fs::File, io::Read as _, path::Path};

use crate::{
    cli::{Output, ProductCommand, ProductCreateArgs, Switch, UpdateArgs},
    config::Config,
    control::{Access, Request, SecretText},
    failure::Failure,
    output::{self, Column, Layout},
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
    let layout = match &command {
        ProductCommand::List => Layout::Rows(COLUMNS),
        _ => Layout::Record,
    };
    let request = match command {
        ProductCommand::Create(arguments) => create(arguments)?,
        ProductCommand::List => Request::Products,
        ProductCommand::Show { product_key } => Request::Product { product_key },
        ProductCommand::Update(arguments) => update(arguments)?,
    };
    let access = match &request {
        Request::CreateProduct { .. } => Access::open_or_create(config)?,
        _ => Access::open(config)?,
    };
    let answer = access.request_once(request)?;
    output::print(output, &answer, layout)
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
        && arguments.model.is_none();
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
    Ok(text)
}
