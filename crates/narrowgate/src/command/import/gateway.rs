//! Access to the registry during an import.

use serde::de::DeserializeOwned;

use crate::{
    client::{Access, Call},
    config::Config,
    failure::Failure,
};

/// Opens the access when it is needed. Between two pieces of a pipe, whose writer may be slow, it is closed:
/// a server ends silent connections, and an open store would keep other commands waiting.
pub(super) struct Gateway<'a> {
    config: &'a Config,
    access: Option<Access>,
    stays_open: bool,
}

impl<'a> Gateway<'a> {
    pub(super) fn new(config: &'a Config, stays_open: bool) -> Self {
        Self { config, access: None, stays_open }
    }

    pub(super) fn call<T: DeserializeOwned>(&mut self, call: Call<T>) -> Result<T, Failure> {
        let mut access = match self.access.take() {
            Some(access) => access,
            None => Access::open(self.config)?,
        };
        if !self.stays_open {
            return access.call_once(call);
        }
        let answer = access.call(call);
        self.access = Some(access);
        answer
    }

    pub(super) fn close(self) -> Result<(), Failure> {
        self.access.map_or(Ok(()), Access::close)
    }
}
