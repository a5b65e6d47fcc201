//! The nouns: products, devices and their credentials, thing models, messages, log entries.

pub mod credential;
pub mod device;
pub mod json_text;
pub mod log;
pub mod message;
pub mod product;
pub mod thing_model;
