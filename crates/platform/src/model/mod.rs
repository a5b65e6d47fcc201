//! The nouns: products, devices and their credentials, thing models, messages, log entries.

pub mod access;
pub mod audit;
pub mod command;
pub mod credential;
pub mod damaged;
pub mod device;
pub mod happened;
pub mod json_piece;
pub mod json_text;
pub mod log;
pub mod message;
pub mod overview;
pub mod product;
pub mod property;
pub mod rates;
pub mod replay;
pub mod retention;
pub mod thing_model;
pub mod user;
