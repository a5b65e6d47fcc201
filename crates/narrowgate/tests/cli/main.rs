//! The real binary, as an operator and scripts use it: without a server, and with one.

mod commands;
mod confirm;
mod damage;
mod fleet;
mod hangup;
mod harness;
mod import;
mod lists;
mod server;
mod terminal;
