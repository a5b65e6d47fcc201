//! `doctor`: what is well on this machine, what is not, and what to do about it.

use crate::{
    cli::{DoctorArgs, Output},
    config::Config,
    doctor::{State, examine, readiness},
    failure::Failure,
    output::{self, Column, Layout, counted},
};

const COLUMNS: &[Column] = &[
    Column { field: "check", title: "CHECK" },
    Column { field: "state", title: "STATE" },
    Column { field: "detail", title: "WHAT WAS FOUND" },
    Column { field: "try", title: "TRY" },
];

pub(super) fn run(arguments: &DoctorArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let found = match arguments.ready {
        true => vec![readiness(config)],
        false => examine(config),
    };
    output::print(output, &found, Layout::Rows(COLUMNS))?;
    match found.iter().filter(|finding| finding.state == State::Act).count() {
        0 => Ok(()),
        count => {
            let what = counted(count, "check");
            Err(Failure::failed(format_args!("{what} of {} failed", found.len()))
                .hint("what stands beside each that is act"))
        }
    }
}
