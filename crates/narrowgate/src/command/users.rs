//! `user …`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use narrowgate_api::{
    secret::SecretText,
    user::{NewUser, UserInvited, UserSessionView, UserState, UserView},
};
use serde::Serialize;

use super::{access::list, confirm::confirmed, pages::Row};
use crate::{
    cli::{NewUserArgs, Output, UserCommand},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, printable},
};

const USERS: &[Column] = &[
    Column { field: "user", title: "USER" },
    Column { field: "role", title: "ROLE" },
    Column { field: "ou", title: "OU" },
    Column { field: "state", title: "STATE" },
    Column { field: "createdAt", title: "CREATED" },
    Column { field: "linkExpiresAt", title: "LINK UNTIL" },
];

const SESSIONS: &[Column] = &[
    Column { field: "id", title: "SESSION" },
    Column { field: "begunAt", title: "LOGGED IN" },
    Column { field: "seenAt", title: "LAST USED" },
    Column { field: "endsAt", title: "ENDS" },
];

impl Row for UserView {}

impl Row for UserSessionView {}

/// A user that is gone.
#[derive(Serialize)]
struct Deleted {
    user: String,
}

pub(super) fn run(command: UserCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        UserCommand::Create(NewUserArgs { name, role, ou }) => {
            let new = NewUser { user: name, role: role.into(), ou };
            invited(Access::open(config)?.call_once(Call::create_user(&new))?, config, output)
        }
        UserCommand::List => list(&Access::open(config)?.call_once(Call::list_users())?, USERS, output),
        UserCommand::Show { name } => {
            let shown = Access::open(config)?.call_once(Call::show_user(&name))?;
            output::print(output, &shown, Layout::Record)
        }
        UserCommand::Update { name, changes } => {
            let Some(update) = changes.update() else {
                return Err(Failure::usage("nothing to change")
                    .hint("narrowgate user update --help lists what can be changed"));
            };
            let updated = Access::open(config)?.call_once(Call::update_user(&name, &update))?;
            output::print(output, &updated, Layout::Record)
        }
        UserCommand::Reset { name } => {
            invited(Access::open(config)?.call_once(Call::reset_user(&name))?, config, output)
        }
        UserCommand::Sessions { name } => {
            let sessions = Access::open(config)?.call_once(Call::list_user_sessions(&name))?;
            list(&sessions, SESSIONS, output)
        }
        UserCommand::EndSession { name, id } => {
            let ended = Access::open(config)?.call_once(Call::end_user_session(&name, &id))?;
            output::print(output, &ended, Layout::Record)
        }
        UserCommand::Delete { name, yes } => {
            confirmed(yes, "nothing was deleted", || {
                Ok(format!("Delete user {} and end the user's sessions?", printable(&name)))
            })?;
            match Access::open(config)?.call_once(Call::delete_user(&name))? {
                Some(user) => output::print(output, &user, Layout::Record),
                // Its row was damaged.
                None => output::print(output, &Deleted { user: name }, Layout::Record),
            }
        }
    }
}

fn invited(invited: UserInvited, config: &Config, output: Output) -> Result<(), Failure> {
    let UserInvited { link, origin, view } = invited;
    let user = view.user.clone();
    // A server says where it is reached.
    let origin = origin.or_else(|| config.http.public_url.clone());
    if origin.is_none() {
        output::note("the link is a path: put the address at which browsers reach the server before it");
    }
    if view.state == UserState::Disabled {
        let user = printable(&user);
        output::note(format_args!(
            "the link opens when {user} is enabled: narrowgate user update {user} --enable"
        ));
    }
    let link = address_of(&link, origin.as_deref());
    output::print(output, &UserInvited { link, origin: None, view }, Layout::Record).map_err(|failure| {
        failure.hint(format_args!(
            "the link cannot be shown again: narrowgate user reset {} makes another one",
            printable(&user)
        ))
    })
}

/// The address of a link, where it is known at which one browsers reach the server.
pub(crate) fn address_of(path: &SecretText, origin: Option<&str>) -> SecretText {
    SecretText::new([origin.unwrap_or_default(), path.expose()].concat())
}

/// Where browsers of this machine reach a server that listens here.
pub(crate) fn origin_of(mut http: SocketAddr, is_tls: bool) -> String {
    if http.ip().is_unspecified() {
        http.set_ip(match http {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{}://{http}", if is_tls { "https" } else { "http" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_at_an_address_where_one_is_known() {
        let path = SecretText::new("/password/x".into());
        assert_eq!(address_of(&path, None).expose(), "/password/x");
        assert_eq!(address_of(&path, Some("https://h")).expose(), "https://h/password/x");
        for (http, expected) in [
            ("192.0.2.7:80", "http://192.0.2.7:80"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
        ] {
            let http = http.parse().expect("it is an address");
            assert_eq!(origin_of(http, false), expected);
            assert_eq!(origin_of(http, true), expected.replacen("http", "https", 1));
        }
    }
}
