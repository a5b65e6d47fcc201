//! `device delete … --purge`: asks for one step after the other until nothing is left.

use narrowgate_api::device::{DevicePurged, NamedDevice};

use crate::{
    cli::Output,
    client::{Access, Call},
    config::Config,
    failure::Failure,
    output::{self, Layout, counted_are},
};

/// Deletes a device with what it sent, and prints it as it was.
pub(super) fn run(device: &NamedDevice, config: &Config, output: Output) -> Result<(), Failure> {
    let mut access = Access::open(config)?;
    let finished = in_steps(
        || access.call(Call::purge_device(device)),
        |removed| {
            output::note(format_args!("{} removed so far", counted_are(removed, "message")));
        },
    );
    let closed = access.close();
    let purged = finished.and_then(|purged| closed.map(|()| purged))?;
    output::print(output, &purged, Layout::Record)
}

/// Purges step by step; returns the device as it was before the first one, and how many messages went in all.
fn in_steps(
    mut step: impl FnMut() -> Result<DevicePurged, Failure>,
    mut tell: impl FnMut(u64),
) -> Result<DevicePurged, Failure> {
    let mut purged = step()?;
    while !purged.done {
        tell(purged.messages_removed);
        let DevicePurged { messages_removed, done, .. } =
            step().map_err(|failure| left(failure, purged.messages_removed))?;
        purged.messages_removed += messages_removed;
        purged.done = done;
    }
    Ok(purged)
}

/// Adds to a failure in the middle what was done before it.
fn left(failure: Failure, removed: u64) -> Failure {
    failure
        .part("done", format_args!("the device is disabled, and {} removed", counted_are(removed, "message")))
        .hint("run the same command again to continue")
}

#[cfg(test)]
mod tests {
    use narrowgate_api::device::{DamagedDeviceView, DeviceRow};

    use super::*;

    fn step(id: &str, messages_removed: u64, done: bool) -> DevicePurged {
        let damaged = format!(r#"{{"assetId":"a","deviceKey":"dk","damaged":true,"id":"{id}","detail":""}}"#);
        let device: DamagedDeviceView = serde_json::from_str(&damaged).unwrap();
        DevicePurged { device: DeviceRow::Damaged(device), messages_removed, done }
    }

    #[test]
    fn steps_are_added_up_and_told_and_the_device_is_as_before_the_first() {
        let mut steps = vec![step("id:3", 1, true), step("id:2", 20, false), step("id:1", 30, false)];
        let mut told = Vec::new();
        let purged = in_steps(|| Ok(steps.pop().unwrap()), |removed| told.push(removed)).unwrap();
        assert_eq!((purged, told), (step("id:1", 51, true), vec![30, 50]));
    }

    #[test]
    fn a_failure_in_the_middle_says_what_was_done_and_how_to_go_on() {
        let mut steps = vec![step("id:1", 30, false)];
        let next = || steps.pop().ok_or_else(|| Failure::failed("cannot delete the device"));
        let parts = in_steps(next, |_| {}).unwrap_err().parts;
        let parts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
        let done = "the device is disabled, and 30 messages are removed";
        assert_eq!(parts, [done, "run the same command again to continue"]);
    }
}
