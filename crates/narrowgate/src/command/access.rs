//! `token …` and `ou …`.

use narrowgate_api::{
    access::{NewToken, NewUnit, TokenView, UnitPatch, UnitView},
    names::UnixMillis,
    page::Page,
};
use narrowgate_platform::ports::Clock as _;
use serde::Serialize;

use super::pages::{Damage, Row};
use crate::{
    cli::{NewTokenArgs, Output, TokenCommand, UnitCommand},
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Column, Layout, printable},
    system::SystemClock,
};

/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

const TOKENS: &[Column] = &[
    Column { field: "name", title: "NAME" },
    Column { field: "role", title: "ROLE" },
    Column { field: "ou", title: "OU" },
    Column { field: "createdAt", title: "CREATED" },
    Column { field: "expiresAt", title: "EXPIRES" },
];

const UNITS: &[Column] = &[
    Column { field: "ou", title: "OU" },
    Column { field: "name", title: "NAME" },
    Column { field: "createdAt", title: "CREATED" },
    Column { field: "suspendedAt", title: "SUSPENDED" },
];

impl Row for TokenView {}

impl Row for UnitView {}

/// A token that is gone.
#[derive(Serialize)]
struct Revoked {
    name: String,
}

pub(super) fn tokens(command: TokenCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(arguments) => create_token(arguments, config, output),
        TokenCommand::List => list(&Access::open(config)?.call_once(Call::list_tokens())?, TOKENS, output),
        TokenCommand::Show { name } => {
            let shown = Access::open(config)?.call_once(Call::show_token(&name))?;
            output::print(output, &shown, Layout::Record)
        }
        TokenCommand::Revoke { name } => {
            let revoked = Access::open(config)?.call_once(Call::revoke_token(&name))?;
            match revoked {
                Some(token) => output::print(output, &token, Layout::Record),
                // Its row was damaged.
                None => output::print(output, &Revoked { name }, Layout::Record),
            }
        }
    }
}

fn create_token(arguments: NewTokenArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let NewTokenArgs { name, role, ou, expires } = arguments;
    let end = |days: u32| UnixMillis(SystemClock.now().0 + i64::from(days) * DAY_MS);
    let new = NewToken { name: name.clone(), role: role.into(), ou, expires_at: expires.map(end) };
    let created = Access::open(config)?.call_once(Call::create_token(&new))?;
    output::print(output, &created, Layout::Record).map_err(|failure| {
        failure.hint(format_args!(
            "the token was created, but it cannot be shown again: narrowgate token revoke {}, and create \
             another one",
            printable(&name)
        ))
    })
}

pub(super) fn units(command: UnitCommand, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        UnitCommand::Create { name, quotas } => {
            let new = NewUnit { name, quotas: quotas.into() };
            let created = Access::open(config)?.call_once(Call::create_unit(&new))?;
            output::print(output, &created, Layout::Record)
        }
        UnitCommand::Show { unit } => {
            let shown = Access::open(config)?.call_once(Call::show_unit(&unit))?;
            output::print(output, &shown, Layout::Record)
        }
        UnitCommand::Update { unit, quotas } => {
            let patch = UnitPatch { quotas: quotas.into() };
            if patch == UnitPatch::default() {
                return Err(Failure::usage("nothing to change")
                    .hint("narrowgate ou update --help lists what can be changed"));
            }
            let updated = Access::open(config)?.call_once(Call::update_unit(&unit, &patch))?;
            output::print(output, &updated, Layout::Record)
        }
        UnitCommand::Suspend { unit } => {
            let suspended = Access::open(config)?.call_once(Call::suspend_unit(&unit))?;
            output::print(output, &suspended, Layout::Record)
        }
        UnitCommand::Resume { unit } => {
            let resumed = Access::open(config)?.call_once(Call::resume_unit(&unit))?;
            output::print(output, &resumed, Layout::Record)
        }
        UnitCommand::List => list(&Access::open(config)?.call_once(Call::list_units())?, UNITS, output),
    }
}

pub(super) fn list<T: Row + Serialize>(
    page: &Page<T>,
    columns: &'static [Column],
    output: Output,
) -> Result<(), Failure> {
    let mut damage = Damage::default();
    damage.note(page);
    output::print(output, &page.items, Layout::Rows(columns))?;
    damage.warn();
    Ok(())
}
