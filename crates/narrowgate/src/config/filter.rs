//! `log.filter`: a level for everything, and levels for parts. What the log library would take for the name of a part
//! that logs nothing (`verbose`, `narowgate=debug`) is refused.

/// Levels, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Crates that log; their modules can be named too (`narrowgate::bridge`).
const PARTS: [&str; 3] = ["narrowgate", "narrowgate_adapters", "narrowgate_engine"];

/// Checks a filter.
///
/// # Errors
/// What is wrong with it, and how one is written.
pub(super) fn check(text: &str) -> Result<String, String> {
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
                "" => format!("{text:?} has two levels for everything"),
                part => format!("{text:?} has two levels for {part}"),
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
    Err(format!("{level:?} is not a level; levels are {}", LEVELS.join(", ")))
}

fn check_part(part: &str) -> Result<(), String> {
    let mut names = part.split("::");
    let known = names.next().is_some_and(|name| PARTS.contains(&name));
    let named = |name: &str| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
    };
    if known && names.all(named) {
        return Ok(());
    }
    Err(format!(
        "{part:?} is not a part that logs; parts are {}, and their modules as narrowgate::bridge",
        PARTS.join(", ")
    ))
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
            "narrowgate::bridge::refusals=trace, error",
            "info,narrowgate_engine=debug,narrowgate_adapters=off",
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
            assert!(reason.ends_with("levels are off, error, warn, info, debug, trace"), "{text}: {reason}");
        }
        for text in [
            "=info",
            "narowgate=debug",
            "narrowgate::=info",
            "[span]=info",
            "tokio=info",
            "narrowgate::a b=info",
        ] {
            let reason = check(text).unwrap_err();
            assert!(reason.contains("parts are narrowgate, "), "{text}: {reason}");
        }
        assert_eq!(check("info,debug").unwrap_err(), "\"info,debug\" has two levels for everything");
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
}
