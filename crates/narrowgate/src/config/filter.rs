//! `log.filter`: a level for everything, and levels for parts. What the log library would take for the name
//! of a part that logs nothing (`verbose`, `narowgate=debug`) is refused.

use super::accept::Accept;

/// Levels, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Crates that log; their modules that log, and those around them, can be named too (`narrowgate::gateway`).
const PARTS: [&str; 5] =
    ["narrowgate", "narrowgate_adapters", "narrowgate_engine_io", "narrowgate_gateway", "narrowgate_http"];

/// Names that filters have for a part beside its own: the log library matches by prefix, so they work.
const SHORT_NAMES: [&str; 1] = ["narrowgate_engine"];

/// Modules that log.
const MODULES: &[&str] = &[
    "narrowgate::command::serve",
    "narrowgate::feed",
    "narrowgate::gateway",
    "narrowgate::gateway::batches",
    "narrowgate::gateway::products_off",
    "narrowgate::gateway::reads",
    "narrowgate::live::tail",
    "narrowgate::passwords",
    "narrowgate::scripts",
    "narrowgate::serve",
    "narrowgate::serve::audit",
    "narrowgate::serve::backups",
    "narrowgate::serve::banner",
    "narrowgate::serve::census",
    "narrowgate::serve::descriptors",
    "narrowgate::serve::door",
    "narrowgate::serve::notify",
    "narrowgate::serve::rollouts",
    "narrowgate::serve::signals",
    "narrowgate::serve::watch",
    "narrowgate::socket::listener",
    "narrowgate::trace::export",
    "narrowgate_adapters::images::files",
    "narrowgate_adapters::images::stored",
    "narrowgate_adapters::images::threads",
    "narrowgate_adapters::sqlite",
    "narrowgate_adapters::sqlite::adopt",
    "narrowgate_adapters::sqlite::audit::log",
    "narrowgate_adapters::sqlite::backup::restore",
    "narrowgate_adapters::sqlite::day_file",
    "narrowgate_adapters::sqlite::firmware",
    "narrowgate_adapters::sqlite::healing",
    "narrowgate_adapters::sqlite::log_file",
    "narrowgate_adapters::sqlite::lookups",
    "narrowgate_adapters::sqlite::migration",
    "narrowgate_adapters::sqlite::migration::logs",
    "narrowgate_adapters::sqlite::open",
    "narrowgate_adapters::sqlite::queries",
    "narrowgate_adapters::sqlite::registry",
    "narrowgate_adapters::sqlite::registry::latest",
    "narrowgate_adapters::sqlite::registry::models",
    "narrowgate_adapters::sqlite::registry::products",
    "narrowgate_adapters::sqlite::registry::rebuild",
    "narrowgate_adapters::sqlite::registry::removal",
    "narrowgate_adapters::sqlite::registry::secrets",
    "narrowgate_adapters::sqlite::retention",
    "narrowgate_adapters::sqlite::writer",
    "narrowgate_adapters::sqlite::writer::apart",
    "narrowgate_adapters::sqlite::writer::commit",
    "narrowgate_adapters::sqlite::writer::job",
    "narrowgate_adapters::sqlite::writer::latest",
    "narrowgate_adapters::sqlite::writer::look",
    "narrowgate_adapters::sqlite::writer::mend",
    "narrowgate_adapters::sqlite::writer::old_days",
    "narrowgate_adapters::sqlite::writer::purge",
    "narrowgate_adapters::sqlite::writer::repair",
    "narrowgate_adapters::sqlite::writer::sweep",
    "narrowgate_adapters::sqlite::writer::write_back",
    "narrowgate_engine_io::driver",
    "narrowgate_engine_io::handle",
    "narrowgate_gateway::clock",
    "narrowgate_gateway::commands::moved",
    "narrowgate_gateway::desk",
    "narrowgate_gateway::desk::handshake",
    "narrowgate_gateway::desk::login",
    "narrowgate_gateway::desk::plain",
    "narrowgate_gateway::firmware",
    "narrowgate_gateway::gateway",
    "narrowgate_gateway::issuing",
    "narrowgate_gateway::leaving",
    "narrowgate_gateway::products",
    "narrowgate_gateway::properties",
    "narrowgate_gateway::quotas",
    "narrowgate_gateway::raw",
    "narrowgate_gateway::refusals",
    "narrowgate_gateway::residence::presence",
    "narrowgate_http::api::access",
    "narrowgate_http::api::commands",
    "narrowgate_http::api::export",
    "narrowgate_http::api::idempotency",
    "narrowgate_http::console::ask",
    "narrowgate_http::oidc::outside",
    "narrowgate_http::pages",
    "narrowgate_http::pages::provider",
    "narrowgate_http::request_id",
    "narrowgate_http::tls",
    "narrowgate_http::tls::connection",
];

/// A filter.
#[derive(Debug)]
pub(super) struct Filter;

impl Accept for Filter {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        check(text)
    }

    fn accepted(&self) -> String {
        LEVELS.join(", ")
    }
}

fn check(text: &str) -> Result<String, String> {
    let mut named = Vec::new();
    for directive in text.split(',').map(str::trim) {
        let part = match directive.split_once('=') {
            Some((part, level)) => {
                check_part(part)?;
                check_level(level)?;
                part
            }
            None => {
                check_level(directive)?;
                ""
            }
        };
        if named.contains(&part) {
            return Err(match part {
                "" => format!("{text:?} sets two levels for everything"),
                part => format!("{text:?} sets two levels for {part}"),
            });
        }
        named.push(part);
    }
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{text:?} is not a log filter: {error}")),
    }
}

fn check_level(level: &str) -> Result<(), String> {
    if LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
        return Ok(());
    }
    Err(format!("{level:?} is not a level; use one of {}", LEVELS.join(", ")))
}

fn check_part(part: &str) -> Result<(), String> {
    if SHORT_NAMES.contains(&part) || MODULES.iter().any(|module| is_within(module, part)) {
        return Ok(());
    }
    let known = PARTS.iter().find(|known| is_within(part, known));
    Err(match known {
        None => format!(
            "{part:?} is not a part that logs; parts are {}, and their modules, such as narrowgate::gateway",
            PARTS.join(", ")
        ),
        Some(known) => {
            let modules: Vec<&str> =
                MODULES.iter().copied().filter(|module| is_within(module, known)).collect();
            format!("{part:?} is not a part that logs; those of {known} are {}", modules.join(", "))
        }
    })
}

/// Whether a module is `part` or stands in it.
fn is_within(module: &str, part: &str) -> bool {
    module.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn levels_stand_alone_or_for_a_part() {
        for text in [
            "info",
            "DEBUG",
            "off",
            "warn,narrowgate=debug",
            "narrowgate::gateway::reads=trace, error",
            "info,narrowgate_engine=debug,narrowgate_adapters=off",
            "info,narrowgate_adapters::sqlite=debug,narrowgate_gateway::refusals=trace",
        ] {
            assert_eq!(check(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_would_log_nothing_by_mistake_is_refused() {
        for text in
            ["verbose", "", ",", "info,", "info,verbose", "narrowgate", "3", "narrowgate=", "narrowgate=loud"]
        {
            let reason = check(text).unwrap_err();
            assert!(reason.ends_with("use one of off, error, warn, info, debug, trace"), "{text}: {reason}");
        }
        for text in ["=info", "narowgate=debug", "narrowgat=debug", "[span]=info", "tokio=info"] {
            let reason = check(text).unwrap_err();
            assert!(reason.contains("parts are narrowgate, "), "{text}: {reason}");
        }
        for text in [
            "info,narrowgate::gatway=debug",
            "narrowgate::=info",
            "narrowgate::a b=info",
            "narrowgate::gateway::=info",
            "narrowgate::gateway::read=info",
            "narrowgate::gateway::reads::x=info",
        ] {
            let reason = check(text).unwrap_err();
            assert!(reason.contains("those of narrowgate are narrowgate::"), "{text}: {reason}");
        }
        assert_eq!(check("info,debug").unwrap_err(), "\"info,debug\" sets two levels for everything");
        assert!(
            check("narrowgate=info,narrowgate=debug").unwrap_err().ends_with("two levels for narrowgate")
        );
    }

    #[test]
    fn every_crate_that_logs_is_a_part() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut logging = Vec::new();
        for entry in fs::read_dir(crates).unwrap() {
            let manifest = fs::read_to_string(entry.unwrap().path().join("Cargo.toml")).unwrap();
            let manifest: toml::Table = manifest.parse().unwrap();
            let logs = manifest.get("dependencies").is_some_and(|all| all.get("tracing").is_some());
            if logs {
                logging.push(manifest["package"]["name"].as_str().unwrap().replace('-', "_"));
            }
        }
        logging.sort();
        assert_eq!(logging, PARTS);
    }

    #[test]
    fn every_module_that_logs_is_known() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut logging = Vec::new();
        for part in PARTS {
            let folder = part.strip_prefix("narrowgate_").unwrap_or(part).replace('_', "-");
            collect(&crates.join(folder).join("src"), part, &mut logging);
        }
        logging.sort();
        assert_eq!(logging, MODULES, "modules that log, and those that config/filter.rs knows");
    }

    /// Adds the modules of a folder whose text, without tests, has the macro of an event.
    fn collect(folder: &Path, module: &str, logging: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let inner = match name {
                "lib" | "main" | "mod" => module.to_owned(),
                _ => format!("{module}::{name}"),
            };
            if path.is_dir() {
                collect(&path, &inner, logging);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let macros = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
            if macros.iter().any(|event| code.contains(&format!("tracing::{event}"))) {
                logging.push(inner);
            }
        }
    }
}
