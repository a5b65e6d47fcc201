//! Passwords of users are hashed on a thread of a server that does nothing else.

use std::sync::Arc;

use narrowgate_adapters::passwords::Argon2id;
use narrowgate_platform::ports::{NoPasswords, Passwords};

/// What hashes passwords in a server. Commands hash none: a password is set by a link, and there is no page
/// without a server.
pub(crate) fn of_server() -> Arc<dyn Passwords> {
    match Argon2id::start() {
        Ok(passwords) => Arc::new(passwords),
        Err(error) => {
            tracing::error!(%error, "nobody can log in with a password: the system gives no thread");
            Arc::new(NoPasswords)
        }
    }
}
