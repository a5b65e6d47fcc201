//! How HTTP is served, and how long the certificate of HTTPS lasts.

use narrowgate_api::names::UnixMillis;
use narrowgate_http::tls::Standing;
use narrowgate_platform::ports::Clock as _;

use super::Finding;
use crate::{config::Config, system::SystemClock, time::rfc3339};

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut found = vec![how(config)];
    if config.http.listen.is_some() && config.http.tls.is_some() {
        found.push(match config.http.certificate() {
            Err(failure) => Finding::of_failure("certificate", &failure),
            Ok(certificate) => {
                let now = SystemClock.now();
                judge(certificate.and_then(|certificate| certificate.standing(now.0)))
            }
        });
    }
    found
}

fn how(config: &Config) -> Finding {
    let (check, http) = ("http", &config.http);
    let Some(listen) = http.listen else {
        return Finding::well(check, "it is off: no API, health or metrics but on the control socket");
    };
    match (http.tls.is_some(), http.behind_proxy) {
        (true, false) => Finding::well(check, format!("https://{listen}")),
        (tls, true) => {
            let scheme = if tls { "https" } else { "http" };
            let detail =
                format!("{scheme}://{listen}, for a proxy alone: what it says of its clients is believed");
            Finding::well(check, detail)
        }
        (false, false) if listen.ip().is_loopback() => {
            Finding::well(check, format!("http://{listen}, for programs of this machine alone"))
        }
        (false, false) => Finding::act(
            check,
            format!("http://{listen} has no TLS: passwords and tokens could be read on the way"),
            "set http.tls_certificate and http.tls_key, or http.behind_proxy where a proxy has TLS",
        ),
    }
}

/// How the certificate stands, from when and until when it is valid; `None`: it does not say so.
fn judge(standing: Option<(Standing, UnixMillis, UnixMillis)>) -> Finding {
    let check = "certificate";
    let Some((standing, from, until)) = standing else {
        return Finding::watch(
            check,
            "until when it is valid cannot be read",
            "openssl x509 -enddate shows it",
        );
    };
    let (from, until) = (rfc3339(from.0), rfc3339(until.0));
    let renew = "replace its files: the server reads them without a restart";
    match standing {
        Standing::Good => Finding::well(check, format!("it is valid until {until}")),
        Standing::EndsSoon => Finding::watch(check, format!("it ends soon: {until}"), renew),
        Standing::Ended => Finding::act(check, format!("it has ended: {until}"), renew),
        Standing::NotYet => Finding::act(
            check,
            format!("it is not valid before {from}"),
            "check the clock, or replace its files",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn a_certificate_that_does_not_last_is_named() {
        let of = |standing| judge(Some((standing, UnixMillis(0), UnixMillis(86_400_000))));
        assert_eq!(of(Standing::Good).state, State::Well);
        for (standing, state, words) in [
            (Standing::EndsSoon, State::Watch, "ends soon: 1970-01-02"),
            (Standing::Ended, State::Act, "has ended: 1970-01-02"),
            (Standing::NotYet, State::Act, "not valid before 1970-01-01"),
        ] {
            let finding = of(standing);
            assert!(finding.state == state && finding.detail.contains(words), "{finding:?}");
        }
        assert_eq!(judge(None).state, State::Watch);
    }
}
