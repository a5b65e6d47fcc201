//! `user …`.

use narrowgate_api::{
    secret::SecretText,
    user::{NewUser, UserInvited, UserView},
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
];

impl Row for UserView {}

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
        UserCommand::Reset { name } => {
            invited(Access::open(config)?.call_once(Call::reset_user(&name))?, config, output)
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
    let UserInvited { link, view } = invited;
    let user = view.user.clone();
    let link = address_of(&link, config.http.listen);
    output::print(output, &UserInvited { link, view }, Layout::Record).map_err(|failure| {
        failure.hint(format_args!(
            "the link cannot be shown again: narrowgate user reset {} makes another one",
            printable(&user)
        ))
    })
}

/// The address of a link, where the configuration says at which one this machine serves it.
pub(crate) fn address_of(path: &SecretText, http: Option<std::net::SocketAddr>) -> SecretText {
    let Some(mut http) = http.filter(|http| http.port() != 0) else {
        return SecretText::new(path.expose().to_owned());
    };
    if http.ip().is_unspecified() {
        http.set_ip(match http {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    SecretText::new(format!("http://{http}{}", path.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_at_an_address_of_this_machine_where_one_is_known() {
        let path = SecretText::new("/password/x".into());
        let address = |http: Option<&str>| {
            let http = http.map(|http| http.parse().expect("it is an address"));
            address_of(&path, http).expose().to_owned()
        };
        for (http, expected) in [
            (None, "/password/x"),
            (Some("127.0.0.1:0"), "/password/x"),
            (Some("192.0.2.7:80"), "http://192.0.2.7:80/password/x"),
            (Some("0.0.0.0:8080"), "http://127.0.0.1:8080/password/x"),
            (Some("[::]:8080"), "http://[::1]:8080/password/x"),
        ] {
            assert_eq!(address(http), expected);
        }
    }
}
