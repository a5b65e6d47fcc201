//! What operators do, over the ports: one set of verbs for the command line, the control socket and HTTP.

pub mod fleet;
pub mod registry;
pub mod rows;
pub mod view;
