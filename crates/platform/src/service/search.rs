//! Lists of devices.

use narrowgate_api::{
    device::{DeviceRow, ShownState},
    page::Page,
    query::{DeviceList, DeviceSort},
};

use super::{
    error::ServiceError,
    registrar::{Registrar, checked_limit},
    view,
};
use crate::{
    ids::DeviceId,
    model::{device::DeviceState, property::is_tag_key},
    ports::{DeviceOrder, DeviceSearch},
};

/// Most devices of a page.
const PAGE_MAX: usize = 1000;
/// Rows that a store looks at for one page, where no index finds what is wanted: some ten milliseconds.
const LOOKS_MAX: usize = 20_000;

impl Registrar {
    /// A page of devices. It may have fewer than the limit, or none, and go on all the same.
    ///
    /// # Errors
    /// `Missing` for an unknown product, `Invalid` for an invalid limit, cursor or tag.
    pub(super) async fn devices(&self, list: &DeviceList) -> Result<Page<DeviceRow>, ServiceError> {
        let search = self.search(list).await?;
        let found = self.registry.search_devices(search).await?;
        let next_cursor = found.next.map(|last| format!("{:x}", last.0));
        let items = found.devices.iter().map(view::device_row).collect();
        Ok(Page { items, next_cursor, damaged: None })
    }

    async fn search(&self, list: &DeviceList) -> Result<DeviceSearch, ServiceError> {
        let limit = checked_limit(list.limit, PAGE_MAX)?;
        if let Some(product_key) = &list.product {
            match self.existing_product(product_key).await {
                // Its devices are listed; its damage makes them damaged too.
                Ok(_) | Err(ServiceError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let (state, disabled) = match list.state {
            None => (None, None),
            Some(ShownState::Disabled) => (None, Some(true)),
            Some(ShownState::Inactive) => (Some(DeviceState::Inactive), Some(false)),
            Some(ShownState::Online) => (Some(DeviceState::Online), Some(false)),
            Some(ShownState::Offline) => (Some(DeviceState::Offline), Some(false)),
        };
        let order = match list.sort.unwrap_or_default() {
            DeviceSort::Created => DeviceOrder::OldestFirst,
            DeviceSort::NewestFirst => DeviceOrder::NewestFirst,
        };
        Ok(DeviceSearch {
            ou: None,
            product_key: list.product.clone(),
            state,
            disabled,
            prefix: list.q.clone().filter(|prefix| !prefix.is_empty()),
            tag: list.tag.as_deref().map(parse_tag).transpose()?,
            firmware: list.firmware.clone(),
            seen_from: list.seen_after,
            seen_before: list.seen_before,
            order,
            after: list.cursor.as_deref().map(parse_cursor).transpose()?,
            limit,
            looks_max: LOOKS_MAX,
        })
    }
}

/// `key:value`; the key ends at the first colon.
fn parse_tag(text: &str) -> Result<(String, String), ServiceError> {
    match text.split_once(':') {
        Some((key, value)) if is_tag_key(key) => Ok((key.to_owned(), value.to_owned())),
        _ => Err(ServiceError::Invalid {
            field: "tag",
            message: "is not KEY:VALUE with the key of a tag, as in site:north".to_owned(),
        }),
    }
}

fn parse_cursor(cursor: &str) -> Result<DeviceId, ServiceError> {
    match i64::from_str_radix(cursor, 16) {
        Ok(id) if id >= 0 => Ok(DeviceId(id)),
        _ => Err(ServiceError::Invalid {
            field: "cursor",
            message: "is not one that a page of devices ended with".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::device::NewDeviceRequest;

    use super::*;
    use crate::{service::fixtures::registrar_with_product, testing::block_on};

    fn create(registrar: &Registrar, key: &str) {
        let new = NewDeviceRequest { device_key: Some(key.to_owned()), ..NewDeviceRequest::default() };
        block_on(registrar.create_device("pk", new)).expect("it is valid");
    }

    #[test]
    fn pages_follow_one_another_until_the_last_in_both_orders() {
        let registrar = registrar_with_product();
        for number in 0..5 {
            create(&registrar, &format!("d{number}"));
        }
        for (sort, expected) in [
            (None, ["d0", "d1", "d2", "d3", "d4"]),
            (Some(DeviceSort::NewestFirst), ["d4", "d3", "d2", "d1", "d0"]),
        ] {
            let mut list = DeviceList { limit: Some(2), sort, ..DeviceList::default() };
            let (mut sizes, mut keys) = (Vec::new(), Vec::new());
            loop {
                let page = block_on(registrar.devices(&list)).expect("it works");
                sizes.push(page.items.len());
                keys.extend(page.items.iter().map(|row| row.to_string().replace("pk/", "")));
                let Some(cursor) = page.next_cursor else { break };
                list.cursor = Some(cursor);
            }
            assert_eq!((sizes, keys), (vec![2, 2, 1], expected.map(str::to_owned).to_vec()));
        }
        let whole = block_on(registrar.devices(&DeviceList { limit: Some(5), ..DeviceList::default() }))
            .expect("it works");
        assert_eq!((whole.items.len(), whole.next_cursor), (5, None), "a full page may be the last");
    }

    #[test]
    fn a_list_names_what_is_wrong_with_its_question() {
        let registrar = registrar_with_product();
        let all = DeviceList::default;
        for (list, said) in [
            (DeviceList { limit: Some(0), ..all() }, "limit is 0; it must be 1 to 1000"),
            (DeviceList { limit: Some(1001), ..all() }, "limit is 1001; it must be 1 to 1000"),
            (DeviceList { cursor: Some("xyz".into()), ..all() }, "cursor is not one that"),
            (DeviceList { cursor: Some("-1".into()), ..all() }, "cursor is not one that"),
            (DeviceList { product: Some("other".into()), ..all() }, "there is no product other"),
            (DeviceList { tag: Some("site".into()), ..all() }, "tag is not KEY:VALUE"),
            (DeviceList { tag: Some(":north".into()), ..all() }, "tag is not KEY:VALUE"),
        ] {
            let error = block_on(registrar.devices(&list)).expect_err(said).to_string();
            assert!(error.starts_with(said), "{error}");
        }
        assert_eq!(parse_tag("at:12:30").expect("it has a key"), ("at".to_owned(), "12:30".to_owned()));
    }
}
