//! Random operations on a store and on the model at once: every outcome, and everything that can be read,
//! must be the same in both.
//!
//! Operations are data. A failure prints the seed, the difference, and the shortest list of operations that
//! was found to show it, in a form that can be pasted into [`regressions`].

mod access;
mod compare;
mod dice;
mod firmware;
mod models;
mod operation;
mod readout;
mod run;
mod scripts;
mod search;
mod users;
mod values;

pub(super) use self::readout::happened;
pub use self::{
    operation::{Kind, Operation, Step},
    run::{Subject, check, check_seed},
};

/// Seeds that each store is checked with.
pub const SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

/// Lists of operations that once showed a difference between a store and the model, or are too rare to be
/// drawn; each with what it shows.
pub fn regressions() -> Vec<(&'static str, Vec<Operation>)> {
    use Operation::{Append, Change, CreateDevice, Restart, Wait};
    use Step::{Issue, Login, Report};
    let change = |kind| Change { device: 0, kind };
    vec![
        a_purge(),
        (
            "reports of a deleted device are counted",
            vec![
                Operation::CreateProduct { product: 0 },
                CreateDevice { product: 0, device: 0, asset: 0 },
                Append(vec![Report { device: 0, logins_ago: 2, seconds_ago: 0, form: 1 }]),
                change(Kind::Delete),
            ],
        ),
        (
            "what was heard before a reset does not come back after a restart",
            vec![
                Operation::CreateProduct { product: 0 },
                CreateDevice { product: 0, device: 0, asset: 0 },
                Append(vec![
                    Login { device: 0, versions_ago: 0, logins_ago: 0 },
                    Report { device: 0, logins_ago: 2, seconds_ago: 0, form: 1 },
                ]),
                Wait { seconds: 7 },
                change(Kind::Reset),
                Restart,
            ],
        ),
        (
            "the quota of an hour that has passed does not count, also over a restart",
            vec![
                Operation::CreateProduct { product: 0 },
                Operation::UpdateProduct {
                    product: 0,
                    enabled: true,
                    activation: true,
                    ends_in_s: None,
                    quota: 1,
                },
                CreateDevice { product: 0, device: 0, asset: 0 },
                Append(vec![Issue { device: 0 }, Issue { device: 0 }]),
                Restart,
                Append(vec![Issue { device: 0 }]),
                Wait { seconds: 3600 },
                Append(vec![Issue { device: 0 }]),
            ],
        ),
    ]
}

fn a_purge() -> (&'static str, Vec<Operation>) {
    use Operation::{Append, Change, CreateDevice, Restart, Wait};
    use Step::{Event, Report};
    (
        "a purge takes what a device sent in every class, and nothing of another one",
        vec![
            Operation::CreateProduct { product: 0 },
            CreateDevice { product: 0, device: 0, asset: 0 },
            CreateDevice { product: 0, device: 1, asset: 1 },
            Append(vec![Report { device: 0, logins_ago: 2, seconds_ago: 0, form: 1 }]),
            Append(vec![Report { device: 1, logins_ago: 2, seconds_ago: 3, form: 2 }]),
            Append(vec![Event { device: 0, logins_ago: 2, seconds_ago: 9, form: 1 }]),
            Wait { seconds: 90_000 },
            Append(vec![Report { device: 0, logins_ago: 2, seconds_ago: 0, form: 2 }]),
            Change { device: 0, kind: Kind::Purge },
            Restart,
            CreateDevice { product: 0, device: 0, asset: 0 },
        ],
    )
}
