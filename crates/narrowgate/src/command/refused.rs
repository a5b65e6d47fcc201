//! `refused`: refusals of all devices, and of strangers.

use narrowgate_api::query::Paging;

use super::pages::{self, Frame, List};
use crate::{
    cli::{Output, RefusedArgs},
    client::Call,
    config::Config,
    failure::Failure,
    output::{Column, Layout},
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

pub(super) fn run(arguments: RefusedArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let list = List { layout: Layout::Rows(COLUMNS), frame: Frame::Array };
    pages::run(&list, arguments.paging.into(), config, output, |limit, cursor| {
        Call::list_refusals(&Paging { limit: Some(limit), cursor })
    })
}
