//! `device export`: devices, or what they reported, as lines on standard output; one page in memory.
//!
//! Where it cannot go on, it ends with an error, and what was written lacks the rest. Where something is
//! damaged, it goes on without that, and the error at the end counts it. Whoever uses what was written looks
//! at the exit code. A device that is deleted meanwhile has no values any more, which is no error.

use narrowgate_api::{
    device::{DeviceRow, NamedDevice},
    names::UnixMillis,
    page::LeftOut,
    problem::Code,
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
    let lines = arguments.format.into();
    let mut export = Export { arguments, lines, config, access: None, damage: Damage::default() };
    let exported = export.devices();
    let closed = export.access.map_or(Ok(()), Access::close);
    exported.and(closed)?;
    export.damage.tell()
}

/// What is damaged, and so is not written as it was.
#[derive(Debug, Default)]
struct Damage {
    devices: u64,
    rows: u64,
    /// What is wrong with the first of them.
    first: Option<String>,
}

impl Damage {
    fn device(&mut self, detail: &str) {
        self.devices += 1;
        self.first.get_or_insert_with(|| detail.to_owned());
    }

    fn rows(&mut self, left_out: Option<LeftOut>) {
        if let Some(LeftOut { count, first }) = left_out {
            self.rows += count;
            self.first.get_or_insert(first);
        }
    }

    fn tell(self) -> Result<(), Failure> {
        let Self { devices, rows, first } = self;
        let kinds = [(devices, "device"), (rows, "row")].into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = kinds.map(|(count, what)| output::counted_are(count, what)).collect();
        if counts.is_empty() {
            return Ok(());
        }
        let failure = Failure::failed(format_args!("{} damaged; all else was written", counts.join(" and ")));
        Err(first.into_iter().fold(failure, Failure::reason))
    }
}

struct Export<'a> {
    arguments: &'a ExportArgs,
    lines: Lines,
    config: &'a Config,
    access: Option<Access>,
    damage: Damage,
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
        devices.iter().filter_map(DeviceRow::damage).for_each(|detail| self.damage.device(detail));
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
            let page = match self.call(Call::list_values(&name, &query)) {
                Ok(page) => page,
                // It was deleted since its page was read.
                Err(failure) if failure.code == Some(Code::Missing) => return Ok(true),
                Err(failure) if failure.code == Some(Code::Damaged) => {
                    self.damage.device(&failure.to_string());
                    return Ok(true);
                }
                Err(failure) => return Err(failure),
            };
            self.damage.rows(page.damaged);
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
