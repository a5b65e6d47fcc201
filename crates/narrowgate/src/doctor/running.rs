//! The server that runs on the data directory: whether it serves devices, and which version it is.

use std::path::Path;

use serde::Deserialize;

use super::Finding;
use crate::{client::Client, failure::Failure};

pub(super) const CHECK: &str = "server";

/// The version of this program.
const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a running server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its process, where the system says it.
    pub(crate) process: Option<u32>,
    /// As whom it runs, where the system says it.
    pub(super) user: Option<u32>,
    /// `None`: it does not say so.
    pub(crate) version: Option<String>,
    health: Option<Health>,
}

/// The answer of `/health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Health {
    status: String,
    #[serde(default)]
    stuck: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

impl Running {
    /// Asks the server of this data directory; `None`: none runs.
    ///
    /// # Errors
    /// Its control socket cannot be used, or should not be.
    pub(crate) fn look(data: &Path) -> Result<Option<Self>, Failure> {
        Ok(Client::connect(data)?.map(|mut client| Self::ask(&mut client)))
    }

    /// Asks the server at the other end. A silent one is waited for some seconds.
    pub(crate) fn ask(client: &mut Client) -> Self {
        let health = client.glance("/health/ready").and_then(|text| serde_json::from_str(&text).ok());
        // Of a server that says nothing nothing more is asked.
        let version = health.is_some().then(|| client.glance("/metrics")).flatten();
        let version = version.as_deref().and_then(version_in).map(str::to_owned);
        Self { process: client.process(), user: client.user(), version, health }
    }

    #[cfg(test)]
    pub(super) fn of_tests(process: Option<u32>, user: Option<u32>) -> Self {
        Self { process, user, version: None, health: None }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.status == "ready")
    }

    pub(super) fn is_of_this_version(&self) -> bool {
        self.version.as_deref() == Some(OWN_VERSION)
    }

    /// `process 4711`.
    pub(super) fn name(&self) -> String {
        self.process.map_or_else(|| "a process".to_owned(), |process| format!("process {process}"))
    }
}

/// The version that the numbers for Prometheus name; they have done so in every version.
fn version_in(metrics: &str) -> Option<&str> {
    let row = metrics.lines().find_map(|line| line.strip_prefix("narrowgate_build_info{version=\""))?;
    row.split('"').next().filter(|version| !version.is_empty())
}

pub(super) fn judge(looked: &Result<Option<Running>, Failure>) -> Finding {
    let running = match looked {
        Err(failure) => return Finding::of_failure(CHECK, failure),
        Ok(None) => return Finding::well(CHECK, "none runs on this data directory"),
        Ok(Some(running)) => running,
    };
    let name = running.name();
    let Some(Health { status, stuck, warnings }) = &running.health else {
        let detail = format!("{name} holds the control socket and does not answer");
        return Finding::act(CHECK, detail, "look at it (ps, its log); let it continue, or restart it");
    };
    match (status.as_str(), warnings.is_empty()) {
        ("ready", true) => Finding::well(CHECK, format!("{name} serves devices")),
        ("ready", false) => {
            let detail = format!("{name} serves devices, and warns: {}", warnings.join("; "));
            Finding::watch(CHECK, detail, "check the time synchronisation (timedatectl, chronyc tracking)")
        }
        ("stuck", _) => {
            let detail = format!("{name} stands still: {}", stuck.join("; "));
            Finding::act(CHECK, detail, "look at its log and its disk; where it stays so, restart it")
        }
        (status, _) => Finding::watch(CHECK, format!("{name} is {status}"), "wait a moment, and look again"),
    }
}

pub(super) fn judge_version(server: Option<&Running>) -> Finding {
    let check = "version";
    match server.map(|server| server.version.as_deref()) {
        None => Finding::well(check, format!("this program is {OWN_VERSION}")),
        Some(Some(OWN_VERSION)) => Finding::well(check, format!("{OWN_VERSION}, as the running server")),
        Some(other) => {
            let other = other.unwrap_or("another one, which does not say its number");
            let detail = format!("the running server is {other}, and this program {OWN_VERSION}");
            Finding::watch(check, detail, "restart the server, or use the program that it was started with")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    fn running(answer: Option<&str>) -> Result<Option<Running>, Failure> {
        let health = answer.map(|answer| serde_json::from_str(answer).unwrap());
        Ok(Some(Running { health, ..Running::of_tests(Some(7), None) }))
    }

    #[test]
    fn a_server_is_well_that_is_ready_and_warns_of_nothing() {
        for (looked, state, words) in [
            (Ok(None), State::Well, "none runs"),
            (running(Some(r#"{"status":"ready"}"#)), State::Well, "process 7 serves devices"),
            (
                running(Some(r#"{"status":"ready","warnings":["the clock"]}"#)),
                State::Watch,
                "warns: the clock",
            ),
            (running(Some(r#"{"status":"stuck","stuck":["shard 1"]}"#)), State::Act, "stands still: shard 1"),
            (running(Some(r#"{"status":"draining"}"#)), State::Watch, "is draining"),
            (running(None), State::Act, "does not answer"),
            (Err(Failure::failed("no").hint("so")), State::Act, "no"),
        ] {
            let finding = judge(&looked);
            assert!(finding.state == state && finding.detail.contains(words), "{finding:?}");
            assert_eq!(finding.advice.is_none(), state == State::Well, "{finding:?}");
        }
    }

    #[test]
    fn a_server_of_another_version_is_named() {
        let of = |version: Option<&str>| Running {
            version: version.map(str::to_owned),
            ..Running::of_tests(None, None)
        };
        assert_eq!(judge_version(None).state, State::Well);
        assert_eq!(judge_version(Some(&of(Some(OWN_VERSION)))).state, State::Well);
        let other = judge_version(Some(&of(Some("0.0.9"))));
        assert!(other.state == State::Watch && other.detail.contains("server is 0.0.9"), "{other:?}");
        assert_eq!(judge_version(Some(&of(None))).state, State::Watch);
    }

    #[test]
    fn the_version_is_found_among_the_numbers() {
        let metrics = "# TYPE narrowgate_build_info gauge\nnarrowgate_build_info{version=\"1.2.3\"} 1\nx 2\n";
        assert_eq!(version_in(metrics), Some("1.2.3"));
        assert_eq!(version_in("narrowgate_ready 1\n"), None);
    }
}
