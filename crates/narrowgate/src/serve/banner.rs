//! What the server prints at its start: where it listens, and what it serves.

use std::io::IsTerminal as _;

use narrowgate_api::{
    problem::{Code, Problem},
    query::DeviceList,
};
use narrowgate_platform::service::{FirstUser, Operator};

use super::{Server, keeps_nothing};
use crate::{
    command::users::address_of,
    config::Config,
    failure::Failure,
    output::{self, counted, printable},
};

/// What plain CoAP gives up.
pub(super) const PLAIN_WARNING: &str = "plain CoAP is served: anyone on the path can read and forge";

/// Prints to standard error.
pub(super) async fn print(config: &Config, server: &Server) -> Result<(), Failure> {
    let (dtls, control) = (server.dtls, server.control.display());
    let http = match server.http {
        None => "off".to_owned(),
        Some(http) if config.http.tls.is_some() => format!("https://{http}"),
        Some(http) if http.ip().is_loopback() => format!("http://{http}   (this machine only)"),
        Some(http) => {
            format!("http://{http}   (without TLS: only a proxy with TLS may reach it)")
        }
    };
    let plain = server.coap.map_or_else(String::new, |coap| {
        format!("\n  plain     coap://{coap}   (WARNING: anyone on the path can read and forge)")
    });
    let kept = if keeps_nothing(config) { "   (store.kind is memory: nothing is kept)" } else { "" };
    let registry = summary(&server.operator).await?;
    let invited = match server.http {
        // A link sets a password.
        Some(_) if config.oidc.passwords => invite(&server.operator).await,
        _ => String::new(),
    };
    output::note(format_args!(
        "narrowgate {}\n  devices   coaps://{dtls}   ({}){plain}\n  http      {http}\n  \
         control   {control}\n  data      {}{kept}\n  registry  {registry}{invited}",
        env!("CARGO_PKG_VERSION"),
        output::counted(config.dtls.shards, "shard"),
        config.data.display(),
    ));
    Ok(())
}

/// A line about the first administrator, where nobody has a password yet: with a one-time link at the very
/// first start. Later a link is renewed on a terminal alone: what else it is printed to is a log, which
/// others read.
async fn invite(operator: &Operator) -> String {
    match operator.invite_first(std::io::stderr().is_terminal()).await {
        Ok(FirstUser::Invited(invited)) => {
            let link = address_of(&invited.link, invited.origin.as_deref());
            let (link, user) = (link.expose(), printable(&invited.view.user));
            format!("\n  password  {link}\n            (sets the password of {user}: once, within a day)")
        }
        Ok(FirstUser::Waits(user)) => {
            let user = printable(&user);
            format!("\n  password  {user} has none yet: narrowgate user reset {user} prints a one-time link")
        }
        Ok(FirstUser::Nobody) => {
            "\n  password  no administrator of all units can log in: narrowgate user create, \
             update and reset mend that"
                .to_owned()
        }
        Ok(FirstUser::NotNeeded) => String::new(),
        Err(problem) => {
            // Devices are served all the same.
            tracing::warn!(%problem, "there is no one-time link: narrowgate user create makes one later");
            String::new()
        }
    }
}

/// Devices are counted up to this number.
const COUNTED_MAX: u32 = 1000;

/// How many products and devices there are, and which row is damaged. A damaged row does not prevent the
/// start: all others are served.
///
/// # Errors
/// The store cannot be read at all.
async fn summary(operator: &Operator) -> Result<String, Failure> {
    let list = DeviceList { limit: Some(COUNTED_MAX), ..DeviceList::default() };
    let read = async || {
        let products = operator.list_products().await?.items;
        Ok::<_, Problem>((products, operator.list_devices(&list).await?))
    };
    match read().await {
        Ok((products, page)) => {
            let devices = match (page.items.len(), &page.next_cursor) {
                (count, Some(_)) => format!("{count} or more devices"),
                (count, None) => counted(count, "device"),
            };
            let damaged = products.iter().find_map(|row| row.damage());
            let damaged = damaged.or_else(|| page.items.iter().find_map(|row| row.damage()));
            let damaged = damaged.map(|what| format!("; DAMAGED: {what} (docs/operating.md, Damage)"));
            Ok(format!("{}, {devices}{}", counted(products.len(), "product"), damaged.unwrap_or_default()))
        }
        Err(problem) if problem.code == Code::StoreDamaged => {
            let what = problem.to_string();
            let what = what.strip_prefix("the store is damaged: ").unwrap_or(&what);
            Ok(format!("DAMAGED: {what}; restore a backup"))
        }
        Err(problem) => Err(cannot_read(&problem)),
    }
}

fn cannot_read(problem: &Problem) -> Failure {
    let failure = Failure::failed("cannot read the registry").reason(problem);
    match &problem.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
