//! What `narrowgate doctor` looks at: the machine, the data directory, the configuration and the running
//! server, as far as they decide whether devices are served. Nothing is changed, no lock is taken and no
//! store is opened.
//!
//! Each file here has checks of one kind. It collects facts and judges them in two steps, so that a test can
//! judge facts that no machine has.

mod addresses;
mod buffers;
mod clock;
mod data;
mod disk;
mod format;
mod http;
mod open_files;
mod ports;
mod running;
mod sockets;

use serde::Serialize;

pub(crate) use self::running::Running;
use crate::{config::Config, failure::Failure};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    /// Nothing is to be done.
    Well,
    /// Devices are served; somebody should know this.
    Watch,
    /// Devices are not served, or not for long.
    Act,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// A stable name.
    pub(crate) check: &'static str,
    pub(crate) state: State,
    /// What was found.
    pub(crate) detail: String,
    /// What to do about it; null where nothing is to be done.
    #[serde(rename = "try")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    fn well(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Well, detail: detail.into(), advice: None }
    }

    fn watch(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Watch, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn act(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Act, ..Self::watch(check, detail, advice) }
    }

    /// What keeps a server from starting.
    fn of_failure(check: &'static str, failure: &Failure) -> Self {
        let (advice, rest): (Vec<_>, Vec<_>) = failure.parts.iter().partition(|(label, _)| label == "try");
        let texts = rest.iter().map(|(_, text)| text.as_str());
        let detail = std::iter::once(failure.headline.as_str()).chain(texts).collect::<Vec<_>>().join(": ");
        let advice = advice.first().map_or("see docs/operating.md", |(_, text)| text.as_str());
        Self::act(check, detail, advice)
    }
}

/// Looks at everything, with the settings that a server would have.
pub(crate) fn examine(config: &Config) -> Vec<Finding> {
    let running = Running::look(&config.data);
    let server = running.as_ref().ok().and_then(Option::as_ref);
    let mut found = vec![running::judge(&running), running::judge_version(server)];
    found.push(configuration(config));
    found.extend(ports::check(config, server));
    found.extend(addresses::check(config));
    found.extend(http::check(config));
    found.extend(clock::check(&config.data));
    found.push(buffers::check());
    found.push(open_files::check(config, server));
    found.extend(disk::check(&config.data));
    found.extend(data::check(config, server.is_some()));
    found.push(format::check(&config.data, server));
    found
}

/// Whether a server runs on this data directory and serves devices.
pub(crate) fn readiness(config: &Config) -> Finding {
    match Running::look(&config.data) {
        Ok(None) => Finding::act(
            running::CHECK,
            "no server runs on this data directory",
            "start narrowgate serve, or check --data and NARROWGATE_DATA",
        ),
        Ok(Some(running)) if !running.is_ready() => {
            Finding { state: State::Act, ..running::judge(&Ok(Some(running))) }
        }
        looked => running::judge(&looked),
    }
}

/// Whether a server with these settings would refuse them.
fn configuration(config: &Config) -> Finding {
    let set = config.values.all().filter(|(_, value)| value.origin != crate::config::Origin::Default);
    match (config.check_server(), set.count()) {
        (Err(failure), _) => Finding::of_failure("configuration", &failure),
        (Ok(()), 0) => Finding::well("configuration", "every setting has its default"),
        (Ok(()), 1) => {
            Finding::well("configuration", "1 setting is not its default; narrowgate config shows it")
        }
        (Ok(()), set) => {
            let detail = format!("{set} settings are not their defaults; narrowgate config shows them");
            Finding::well("configuration", detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_written_as_scripts_read_it() {
        let finding = Finding::act("space", "the disk is full", "free some space");
        assert_eq!(
            serde_json::to_string(&finding).unwrap(),
            r#"{"check":"space","state":"act","detail":"the disk is full","try":"free some space"}"#
        );
        let well = serde_json::to_string(&Finding::well("space", "9 GB are free")).unwrap();
        assert!(well.contains(r#""state":"well""#) && well.ends_with(r#""try":null}"#), "{well}");
    }

    #[test]
    fn a_failure_keeps_its_reason_and_its_advice() {
        let failure = Failure::config("HTTPS cannot be served").reason("no such file").hint("name another");
        let finding = Finding::of_failure("configuration", &failure);
        assert_eq!(finding.state, State::Act);
        assert_eq!(finding.detail, "HTTPS cannot be served: no such file");
        assert_eq!(finding.advice.as_deref(), Some("name another"));
    }
}
