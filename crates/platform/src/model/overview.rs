//! The fleet in numbers: how many devices do what, what was refused lately, how many reports come.

use crate::{ids::UnixMillis, model::log::Reason};

/// What to count.
#[derive(Debug, Clone, Copy)]
pub struct OverviewQuery {
    /// The last minute and the last hour end here.
    pub now: UnixMillis,
    /// How many products, those with most devices, are counted separately.
    pub products_max: usize,
}

/// Devices by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceCounts {
    /// Registered, never logged in.
    pub inactive: u64,
    /// Heard within their lifetimes.
    pub online: u64,
    /// Silent since.
    pub offline: u64,
    /// Switched off, whatever they do.
    pub disabled: u64,
    /// Not as they were stored, whatever they say.
    pub damaged: u64,
}

impl DeviceCounts {
    /// All devices.
    pub fn total(&self) -> u64 {
        self.inactive + self.online + self.offline + self.disabled + self.damaged
    }

    /// Adds the others.
    pub fn add(&mut self, others: Self) {
        self.inactive += others.inactive;
        self.online += others.online;
        self.offline += others.offline;
        self.disabled += others.disabled;
        self.damaged += others.damaged;
    }
}

/// Devices of one product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductCounts {
    /// Key of the product.
    pub product_key: String,
    /// What people call it; `None` where its row is damaged, and the key is as it is read.
    pub name: Option<String>,
    /// Its devices.
    pub devices: DeviceCounts,
}

/// The fleet in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// All devices.
    pub devices: DeviceCounts,
    /// Products with most devices, most first; of equally many, the older product first.
    pub products: Vec<ProductCounts>,
    /// How many more products there are, and their devices.
    pub others: (u64, DeviceCounts),
    /// Refusals of the last hour that are kept, by reason, most first.
    pub refusals: Vec<(Option<Reason>, u64)>,
    /// Reports that arrived in the last minute.
    pub reports_last_minute: u64,
    /// Reports that arrived in the last hour.
    pub reports_last_hour: u64,
}

impl Overview {
    /// Divides products, given in order of creation, into those with most devices and the others.
    pub fn divide(mut products: Vec<ProductCounts>, products_max: usize) -> Self {
        products.sort_by_key(|product| std::cmp::Reverse(product.devices.total()));
        let mut overview = Self::default();
        for (rank, product) in products.into_iter().enumerate() {
            overview.devices.add(product.devices);
            if rank < products_max {
                overview.products.push(product);
            } else {
                overview.others.0 += 1;
                overview.others.1.add(product.devices);
            }
        }
        overview
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_products_are_named_and_the_others_are_added_up() {
        let product = |key: &str, online, offline| ProductCounts {
            product_key: key.into(),
            name: None,
            devices: DeviceCounts { online, offline, ..DeviceCounts::default() },
        };
        let all = vec![product("a", 1, 0), product("b", 0, 3), product("c", 2, 0), product("d", 0, 1)];
        let overview = Overview::divide(all, 2);
        let named: Vec<&str> = overview.products.iter().map(|product| &*product.product_key).collect();
        assert_eq!(named, ["b", "c"]);
        let others = DeviceCounts { online: 1, offline: 1, ..DeviceCounts::default() };
        assert_eq!(overview.others, (2, others));
        assert_eq!((overview.devices.online, overview.devices.total()), (3, 7));
    }
}
