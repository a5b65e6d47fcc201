//! Passwords without a slow hash.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{
    model::user::PasswordHash,
    ports::{Applicant, NotHashed, Passwords, PortFuture},
    secret::Secret,
};

/// Keeps passwords as they are, at once, and counts how often it is asked whether one is right.
#[derive(Debug, Default)]
pub struct PlainPasswords(AtomicU32);

impl PlainPasswords {
    /// How often it was asked.
    pub fn asked(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

fn kept(password: &Secret) -> PasswordHash {
    PasswordHash(format!("plain {}", password.expose()))
}

impl Passwords for PlainPasswords {
    fn hash(
        &self,
        password: Secret,
        _: [u8; 16],
        _: Applicant,
    ) -> PortFuture<'static, Result<PasswordHash, NotHashed>> {
        Box::pin(std::future::ready(Ok(kept(&password))))
    }

    fn is_same(
        &self,
        password: Secret,
        as_in: Option<PasswordHash>,
        _: Applicant,
    ) -> PortFuture<'static, Result<bool, NotHashed>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(as_in == Some(kept(&password)))))
    }
}
