//! Makes a data directory with many values, to measure exports: product `pk` with ten devices, each with a
//! tenth of them, in reports of fifty points.
//!
//! `cargo run --release -p narrowgate-benches --bin many_values -- FOLDER [VALUES]` (10,000,000). Then, with
//! a token, and an eye on the resident bytes of the server:
//!
//! ```text
//! narrowgate serve --data FOLDER
//! curl -H "Authorization: Bearer $token" -H 'Accept: text/csv' \
//!     http://127.0.0.1:8080/api/v1/products/pk/values | wc -l
//! ```

use std::{
    env,
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use narrowgate_adapters::sqlite::{SqliteOptions, SqliteStore};
use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    ports::{Journal as _, RegistryChanges as _},
    testing::{
        block_on,
        store::fixtures::{at, batch, login, new_device, product, report},
    },
};

const VALUES: usize = 10_000_000;
const DEVICES: usize = 10;
/// Points of a report.
const POINTS: usize = 50;
/// Reports of a batch.
const STEP: usize = 2000;

fn main() -> ExitCode {
    match fill() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Ignored: there is nowhere else to say it.
            let _ = writeln!(io::stderr(), "many_values: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fill() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("many_values FOLDER [VALUES]")?;
    let values = env::args().nth(2).map_or(Ok(VALUES), |text| text.parse())?;
    let store = SqliteStore::open(SqliteOptions::new(folder))?;
    block_on(store.create_product(product("pk")))?;
    let wanted = (0..DEVICES).map(|n| new_device("pk", &format!("dk-{n}"))).collect();
    let mut devices = Vec::new();
    for made in block_on(store.create_devices(wanted, at(0)))? {
        devices.push(made?.id);
    }
    block_on(store.append(batch(devices.iter().map(|device| login(*device, at(1))).collect())))?;
    let reports = values.div_ceil(POINTS);
    for first in (0..reports).step_by(STEP) {
        let writes = (first..(first + STEP).min(reports)).map(|n| of(&devices, n)).collect();
        block_on(store.append(batch(writes)))?;
    }
    block_on(store.close())?;
    writeln!(io::stdout(), "{} values in {reports} reports", reports * POINTS)?;
    Ok(())
}

/// A report, a second after the one before.
fn of(devices: &[DeviceId], n: usize) -> narrowgate_platform::ports::Write {
    let points: Vec<_> = (0..POINTS).map(|point| format!("\"p{point}\":{n}.{point:02}")).collect();
    let time = UnixMillis(at(2).0 + i64::try_from(n).unwrap_or(i64::MAX) * 100);
    report(devices[n % devices.len()], time, &format!("{{{}}}", points.join(",")))
}
