//! What operators do, over the ports: one method per verb, for the command line, the control socket and HTTP.
//!
//! ```text
//! Operator    a verb each, by subject: finds what is named, has it done, ends the sessions that it concerns,
//!             and turns whatever goes wrong into one Problem
//! Registrar   what is done, on the store alone
//! view        from the model to what operators see
//! ```

mod access;
mod audit;
mod client_lines;
mod commands;
mod create;
mod cursor;
mod delivery;
mod devices;
mod encoding;
mod error;
mod find;
mod firmware;
#[cfg(test)]
mod fixtures;
mod history;
mod import;
mod import_secrets;
mod inference;
mod jobs;
mod models;
mod operator;
mod overview;
mod products;
mod properties;
mod rates;
mod refusals;
mod registrar;
mod removal;
mod scripts;
mod sealed;
mod search;
mod secret_text;
mod unit;
mod user_sessions;
mod users;
mod view;
mod vouched;

pub use self::{
    audit::{AskedFrom, Deed, DeedPlace, DeedTo, Noted, path_part},
    client_lines::{ClientOf, ClientTask, client_lines},
    find::Found,
    import::IMPORT_CHUNK,
    import_secrets::{ImportSecrets, Imported},
    jobs::Job,
    operator::{
        ANSWER_BYTES_MAX, Acted, BulkAct, EventFilter, Member, Operator, UNWRITTEN, UpgradesAdvanced, sum_of,
    },
    properties::{IfMatch, Others, PropertiesEdit, entity_tag},
    rates::CountingNow,
    registrar::LIMIT_MAX,
    removal::DELETE_CHUNK,
    search::Members,
    secret_text::{form_seal, form_token, is_form_seal, is_form_token, session_hash, token_hash},
    users::{FirstUser, LINK_PATH, LoggedIn},
    vouched::{NotLetIn, Placed, Vouched},
};
