//! `refused`: refusals of all devices, and of strangers.

use crate::{
    cli::{LimitArgs, Output},
    config::Config,
    control::{Access, Request},
    failure::Failure,
    output::{self, Column, Layout},
};

const COLUMNS: &[Column] = &[
    Column { field: "time", title: "TIME" },
    Column { field: "reason", title: "REASON" },
    Column { field: "identity", title: "IDENTITY" },
    Column { field: "productKey", title: "PRODUCT" },
    Column { field: "deviceKey", title: "DEVICE" },
    Column { field: "peer", title: "PEER" },
    Column { field: "detail", title: "DETAIL" },
];

pub(super) fn run(arguments: &LimitArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let answer = Access::open(config)?.request_once(Request::Refusals { limit: arguments.limit })?;
    output::print(output, &answer, Layout::Rows(COLUMNS))
}
