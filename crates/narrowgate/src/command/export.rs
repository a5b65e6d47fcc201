//! `device export`: devices, or what they reported, as lines on standard output; one page in memory.
//!
//! Where it cannot go on, it ends with an error, and what was written lacks the rest: whoever uses it looks
//! at the exit code.

use narrowgate_api::{
    device::{DeviceRow, NamedDevice},
    names::UnixMillis,
    query::{DeviceList, ValuesQuery},
};
use narrowgate_http::table::{DevicePoint, Lines, Row};
use serde::de::DeserializeOwned;

use super::device::check_span;
use crate::{
    cli::ExportArgs,
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output,
};

/// Devices of a page.
const DEVICES: u32 = 1000;
/// Values of a page.
const VALUES: u32 = 1000;

/// Whether the reader of standard output goes on.
type GoesOn = bool;

pub(super) fn run(arguments: &ExportArgs, config: &Config) -> Result<(), Failure> {
    check_span(arguments.from, arguments.to)?;
    let mut export = Export { arguments, lines: arguments.format.into(), config, access: None };
    let exported = export.devices();
    let closed = export.access.map_or(Ok(()), Access::close);
    exported.and(closed)
}

struct Export<'a> {
    arguments: &'a ExportArgs,
    lines: Lines,
    config: &'a Config,
    access: Option<Access>,
}

impl Export<'_> {
    fn devices(&mut self) -> Result<(), Failure> {
        let mut head = String::new();
        match self.arguments.values {
            true => self.lines.begin::<DevicePoint>(&mut head),
            false => self.lines.begin::<DeviceRow>(&mut head),
        }
        let mut cursor = None;
        loop {
            let filter = self.arguments.filter.question();
            let begins = cursor.is_none();
            let call = Call::list_devices(&DeviceList { limit: Some(DEVICES), cursor, ..filter });
            let page = self.call(if begins { call.begins_export() } else { call })?;
            // The head is written once it is known that there is something to ask.
            if !output::piece(&std::mem::take(&mut head))? || !self.write(&page.items)? {
                return Ok(());
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn write(&mut self, devices: &[DeviceRow]) -> Result<GoesOn, Failure> {
        if !self.arguments.values {
            return self.print(devices);
        }
        for row in devices.iter().filter(|row| row.damage().is_none()) {
            if !self.values(row.product_key().unwrap_or_default(), row.device_key())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All values of a device.
    fn values(&mut self, product_key: &str, device_key: &str) -> Result<GoesOn, Failure> {
        let name = NamedDevice::by_keys(product_key, device_key);
        let ExportArgs { point, from, to, .. } = self.arguments;
        let mut cursor = None;
        loop {
            let (from, to) = (from.map(UnixMillis), to.map(UnixMillis));
            let query = ValuesQuery { point: point.clone(), from, to, limit: Some(VALUES), cursor };
            let page = self.call(Call::list_values(&name, &query))?;
            let row = |point| DevicePoint {
                product_key: product_key.to_owned(),
                device_key: device_key.to_owned(),
                point,
            };
            let rows: Vec<_> = page.items.into_iter().map(row).collect();
            cursor = page.next_cursor;
            if !self.print(&rows)? {
                return Ok(false);
            }
            if cursor.is_none() {
                return Ok(true);
            }
        }
    }

    /// Whoever reads may be slow, and a server closes silent connections: each call has one of its own.
    fn call<T: DeserializeOwned>(&mut self, call: Call<T>) -> Result<T, Failure> {
        let mut access = match self.access.take() {
            Some(access) => access.reopen(self.config)?,
            None => Access::open(self.config)?,
        };
        let answer = access.call(call);
        self.access = Some(access);
        answer
    }

    fn print<T: Row>(&self, rows: &[T]) -> Result<GoesOn, Failure> {
        let mut text = String::new();
        for row in rows {
            let written = self.lines.write(row, &mut text);
            written.map_err(|error| Failure::failed("cannot write the devices").reason(error))?;
        }
        output::piece(&text)
    }
}
