//! The real binary, as an operator and scripts use it: without a server, and with one.

mod backup;
mod cancel;
mod commands;
mod confirm;
mod damage;
mod fleet;
mod hangup;
mod harness;
mod hung;
mod import;
mod import_cut_off;
mod lists;
mod lost;
mod mistakes;
mod models;
mod places;
mod points;
mod profiles;
mod purge;
mod retention;
mod secrets;
mod server;
mod short_paths;
mod simulate;
mod system;
mod terminal;
