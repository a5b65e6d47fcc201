//! `adopt`: goes on with files that do not belong together.

use narrowgate_adapters::sqlite::adopt;

use super::confirm::confirmed;
use crate::{
    cli::{AdoptArgs, Output},
    client::Client,
    config::{Config, StoreKind},
    directory,
    failure::Failure,
    output, store,
};

pub(super) fn run(arguments: &AdoptArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let headline = "cannot adopt the files";
    directory::check(&config.data)?;
    if config.store.kind == StoreKind::Memory || !store::exists(config) {
        return Err(Failure::failed(headline)
            .file(config.data.display())
            .reason(directory::why_no_store(&config.data))
            .hint("check --data and NARROWGATE_DATA"));
    }
    if Client::connect(&config.data)?.is_some() {
        return Err(Failure::failed(headline)
            .file(config.data.display())
            .reason("a server runs on them, so they belong together"));
    }
    let explain = |error: &_| Failure { headline: headline.to_owned(), ..store::explain(config, error) };
    let options = store::options(config);
    let found = adopt(&options, false).map_err(|error| explain(&error))?;
    if !found.is_empty() {
        confirmed(arguments.yes, "nothing was adopted", || {
            let list: Vec<String> = found.iter().map(|found| format!("  {found}\n")).collect();
            Ok(format!("{}Go on with the files as they are?", list.concat()))
        })?;
        adopt(&options, true).map_err(|error| explain(&error))?;
    }
    match output {
        Output::Json => output::json(&serde_json::json!({ "adopted": found })),
        Output::Table if found.is_empty() => output::line("the files belong together; nothing was changed"),
        Output::Table => found.iter().try_for_each(|found| output::line(&format!("adopted: {found}"))),
    }
}
