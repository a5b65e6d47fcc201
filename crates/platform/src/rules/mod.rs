//! The rules of the device protocol, each a pure function or a small machine: names, identities, who is let
//! in and how often, who is issued a secret, what a refusal says, what a wrong key was probably meant to be,
//! the life of a device, when it counts as online and will probably be heard, what a thing model of its
//! reports would be, the versions of thing models and of scripts, what the values of a device come to over
//! time, and what is kept of its reports and its former secrets.

pub mod admission;
pub mod audit;
pub mod buckets;
pub mod clock;
pub mod commands;
pub mod delivery;
pub mod former;
pub mod happened;
pub mod identity;
pub mod inference;
pub mod issuing;
pub mod latest;
pub mod life;
pub mod mistakes;
pub mod models;
pub mod names;
pub mod passwords;
pub mod presence;
pub mod properties;
pub mod psk;
pub mod quotas;
pub mod rate;
pub mod refusal;
pub mod scripts;
pub mod sign;
pub mod similar;
