//! Tips that clap cannot give for a wrong command line: what was probably meant.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, Error};

/// Adds a tip: what was probably meant.
pub(crate) fn add(error: &mut Error, arguments: &[OsString]) {
    let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else { return };
    let wrong = wrong.clone();
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let tip = match &*wrong {
        "--json" | "-j" | "--format" | "--table" | "-t" => {
            "-o json prints one JSON document, -o table a table".into()
        }
        "--activation-quota" | "--quota-per-hour" => {
            "the option for the quota of dynamic activation is '--quota'".into()
        }
        _ if words.get(1) == Some(&"refused") => {
            let behind = words.iter().skip_while(|word| **word != wrong).nth(1).copied();
            let joined = words.iter().find_map(|word| word.strip_prefix(&*wrong)?.strip_prefix('='));
            let device = match joined {
                _ if !wrong.starts_with('-') => &wrong,
                Some(device) => device,
                None => behind.unwrap_or("PK/DK"),
            };
            format!("refused lists all devices; for one device: narrowgate device log {device}")
        }
        _ => return,
    };
    for misleading in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::TrailingArg]
    {
        error.remove(misleading);
    }
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
}
