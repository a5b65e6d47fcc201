//! `model …`. The models themselves are JSON in both forms of output, for people an element in each line.

mod replay;

use std::path::Path;

use narrowgate_platform::model::thing_model::ThingModel;
use serde_json::value::RawValue;

use super::{pages::Damage, product::read_model};
use crate::{
    cli::{ModelCommand, Output},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, counted, printable},
};

const VERSIONS: &[Column] = &[
    Column { field: "version", title: "VERSION" },
    Column { field: "createdAt", title: "CREATED" },
    Column { field: "modelId", title: "MODEL" },
];

pub(super) fn run(command: ModelCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        ModelCommand::Check { file, from: None } => check(&file, output),
        ModelCommand::Check { file, from: Some(device) } => {
            replay::run(&accepted(&file)?.1, &device, config, output)
        }
        ModelCommand::Show { product_key, version: None } => {
            let shown = Access::open(config)?.call_once(Call::show_product(&product_key))?;
            match shown.model {
                Some(model) => print(&model, output),
                None => Err(none(format_args!(
                    "product {} has none: it takes everything",
                    printable(&product_key)
                ))),
            }
        }
        ModelCommand::Show { product_key, version: Some(version) } => {
            let call = Call::show_model_version(&product_key, version);
            match Access::open(config)?.call_once(call)?.model {
                Some(model) => print(&model, output),
                None => Err(none(format_args!("version {version} is its removal: it took everything"))),
            }
        }
        ModelCommand::Versions { product_key } => {
            let page = Access::open(config)?.call_once(Call::list_model_versions(&product_key))?;
            let mut damage = Damage::default();
            damage.note(&page);
            output::print(output, &page.items, Layout::Rows(VERSIONS))?;
            damage.warn();
            Ok(())
        }
        ModelCommand::Infer { product_key } => {
            let draft = Access::open(config)?.call_once(Call::infer_model(&product_key))?;
            output::note(format_args!("made of what {} sent", counted(draft.devices, "device")));
            for left_out in &draft.left_out {
                output::note(format_args!("left out: {}", printable(left_out)));
            }
            print(&draft.model, output)
        }
    }
}

fn none(reason: std::fmt::Arguments<'_>) -> Failure {
    Failure::failed("cannot show the thing model")
        .reason(reason)
        .hint("narrowgate model infer PK drafts one from what its devices have sent")
}

fn print(model: &RawValue, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => output::exact(model.get()),
        Output::Table => output::exact(&output::laid_out(model.get())),
    }
}

fn check(file: &Path, output: Output) -> Result<(), Failure> {
    let (json, model) = accepted(file)?;
    match output {
        Output::Json => print(&json, output),
        Output::Table => output::line(&format!(
            "model {} is right: {}, {}, {}, {}",
            printable(&model.model_id),
            counted(model.attributes.len(), "attribute"),
            counted(model.measurepoints.len(), "measurepoint"),
            counted(model.services.len(), "service"),
            counted(model.events.len(), "event"),
        )),
    }
}

/// Reads a model as the service does. A file that is none is a failure with the place of its first fault.
fn accepted(file: &Path) -> Result<(Box<RawValue>, ThingModel), Failure> {
    let json = read_model(file)?;
    match ThingModel::accept(json.get()) {
        Ok(model) => Ok((json, model)),
        Err(fault) => {
            let at = if fault.pointer.is_empty() { "the document" } else { &fault.pointer };
            Err(Failure::failed("the thing model is not acceptable")
                .file(file.display())
                .part("at", printable(at))
                .reason(printable(&fault.message))
                .hint("docs/thing-model.md lists what a model may have"))
        }
    }
}
