//! `model …`. The models themselves are one line of JSON, in both forms of output.

use std::path::Path;

use narrowgate_platform::model::thing_model::ThingModel;
use serde_json::value::RawValue;

use super::product::read_model;
use crate::{
    cli::{ModelCommand, Output},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Layout, counted, printable},
};

pub(super) fn run(command: ModelCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        ModelCommand::Check { file } => check(&file, output),
        ModelCommand::Show { product_key } => {
            let shown = Access::open(config)?.call_once(Call::show_product(&product_key))?;
            match shown.model {
                Some(model) => print(&model),
                None => Err(Failure::failed("cannot show the thing model")
                    .reason(format_args!("product {} has none: it takes everything", printable(&product_key)))
                    .hint("narrowgate model infer PK drafts one from what its devices have sent")),
            }
        }
        ModelCommand::Infer { product_key } => {
            let draft = Access::open(config)?.call_once(Call::infer_model(&product_key))?;
            output::note(format_args!("made of what {} sent", counted(draft.devices, "device")));
            for left_out in &draft.left_out {
                output::note(format_args!("left out: {}", printable(left_out)));
            }
            print(&draft.model)
        }
    }
}

fn print(model: &RawValue) -> Result<(), Failure> {
    output::print(Output::Json, &model, Layout::Record)
}

/// Reads a model as the service does. A file that is none is a failure with the place of its first fault.
fn check(file: &Path, output: Output) -> Result<(), Failure> {
    let json = read_model(file)?;
    let model = ThingModel::parse(json.get()).map_err(|fault| {
        let at = if fault.pointer.is_empty() { "the document" } else { &fault.pointer };
        Failure::failed("the thing model is not acceptable")
            .file(file.display())
            .part("at", printable(at))
            .reason(printable(&fault.message))
            .hint("docs/thing-model.md lists what a model may have")
    })?;
    match output {
        Output::Json => print(&json),
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
