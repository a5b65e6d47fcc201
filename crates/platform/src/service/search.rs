//! Lists of devices.

use narrowgate_api::{
    device::{DeviceListed, DeviceMore, DeviceRow, DeviceShown, ShownState},
    page::Page,
    query::{DeviceList, DeviceSort, DeviceWith},
};

use sha2::{Digest as _, Sha256};

use super::{
    cursor::{List, foreign},
    error::ServiceError,
    find::{Found, id_of},
    registrar::{Registrar, checked_limit},
    view,
};
use crate::{
    ids::DeviceId,
    model::{device::DeviceState, property::is_tag_key},
    paging::Place,
    ports::{DeviceOrder, DeviceSearch, SearchPlace},
};

/// Most devices of a page.
const PAGE_MAX: usize = 1000;
/// Rows that a store looks at for one page, where no index finds what is wanted: some ten milliseconds.
const LOOKS_MAX: usize = 20_000;

/// The devices that a list has, of those that there were when it was asked for.
#[derive(Debug, Clone)]
pub struct Members {
    list: DeviceList,
    search: DeviceSearch,
    /// The newest device of that moment; ids only grow, and none is given twice.
    newest: DeviceId,
}

impl Members {
    /// The list that they are of.
    pub fn list(&self) -> &DeviceList {
        &self.list
    }
}

impl Registrar {
    /// See [`Members`].
    ///
    /// # Errors
    /// As [`Self::devices`].
    pub(super) async fn members(&self, list: &DeviceList) -> Result<Members, ServiceError> {
        let order = DeviceOrder::NewestFirst;
        let search = DeviceSearch { order, ..self.search(list).await? };
        let mut any = DeviceSearch { order, limit: 1, looks_max: LOOKS_MAX, ..DeviceSearch::default() };
        let newest = loop {
            let found = self.registry.search_devices(any.clone()).await?;
            match (found.devices.first(), found.next) {
                (Some(first), _) => break id_of(first),
                (None, None) => break DeviceId(0),
                (None, next) => any.after = next,
            }
        };
        Ok(Members { list: list.clone(), search, newest })
    }

    /// Some of them, from the newest to the oldest, and where the next ones begin.
    pub(super) async fn members_page(
        &self,
        members: &Members,
        after: Option<SearchPlace>,
        limit: usize,
    ) -> Result<(Vec<Found>, Option<SearchPlace>), ServiceError> {
        let after = after.unwrap_or_else(|| following(members.newest));
        let search = DeviceSearch { after: Some(after), limit, ..members.search.clone() };
        let found = self.registry.search_devices(search).await?;
        Ok((found.devices, found.next))
    }

    /// One of them, as it is now; `None`: it is gone, or the list does not have it any more.
    pub(super) async fn still_member(
        &self,
        members: &Members,
        id: DeviceId,
    ) -> Result<Option<Found>, ServiceError> {
        let after = Some(following(id));
        // It would be the first one that any look comes to.
        let search = DeviceSearch { after, limit: 1, looks_max: 1, ..members.search.clone() };
        let found = self.registry.search_devices(search).await?.devices.pop();
        Ok(found.filter(|found| id_of(found) == id))
    }

    /// A page of devices. It may have fewer than the limit, or none, and go on all the same.
    ///
    /// # Errors
    /// `Missing` for an unknown product, `Invalid` for an invalid limit, cursor or tag.
    pub(super) async fn devices(&self, list: &DeviceList) -> Result<Page<DeviceRow>, ServiceError> {
        let search = self.search(list).await?;
        let found = self.registry.search_devices(search).await?;
        let next_cursor = found.next.map(|last| self.cursor_of(list, last));
        let items = found.devices.iter().map(view::device_row).collect();
        Ok(Page { items, next_cursor, damaged: None })
    }

    /// The same with what the list asks for of each.
    ///
    /// # Errors
    /// As [`Self::devices`].
    pub(super) async fn devices_with(&self, list: &DeviceList) -> Result<Page<DeviceListed>, ServiceError> {
        let search = self.search(list).await?;
        let found = self.registry.search_devices(search).await?;
        let next_cursor = found.next.map(|last| self.cursor_of(list, last));
        let mut items = Vec::with_capacity(found.devices.len());
        for found in &found.devices {
            items.push(match (list.with, found) {
                (Some(DeviceWith::All), Ok(device)) => {
                    let DeviceShown { device, tags, firmware, .. } = self.shown_device(device).await?;
                    DeviceListed::More(Box::new(DeviceMore { device, tags, firmware }))
                }
                _ => DeviceListed::Row(view::device_row(found)),
            });
        }
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
            order: order_of(list),
            after: list.cursor.as_deref().map(|cursor| self.place_of(list, cursor)).transpose()?,
            limit,
            looks_max: LOOKS_MAX,
        })
    }

    /// The cursor behind a device. Ids count the devices of all organisation units, and a page may end at the
    /// key of a foreign one: to a caller of one unit neither is shown.
    fn cursor_of(&self, list: &DeviceList, last: SearchPlace) -> String {
        let list = List::Devices(digest(list));
        let (head, entropy) = (list.head(), &*self.entropy);
        match (last, self.caller.unit()) {
            (SearchPlace::Id(DeviceId(id)), None) => list.cursor(Place([id, 0, 0, 0])),
            (SearchPlace::Id(DeviceId(id)), Some(_)) => self.seals.seal(&head, Place([id, 0, 0, 0]), entropy),
            (SearchPlace::Key { device_key, ou }, None) => list.cursor_of_texts(&[&device_key, &ou]),
            (SearchPlace::Key { device_key, ou }, Some(_)) => {
                self.seals.seal_text(&head, &list.cursor_of_texts(&[&device_key, &ou]), entropy)
            }
        }
    }

    fn place_of(&self, list: &DeviceList, cursor: &str) -> Result<SearchPlace, ServiceError> {
        let is_by_key = order_of(list).is_by_key();
        let list = List::Devices(digest(list));
        let (head, entropy) = (list.head(), &*self.entropy);
        if is_by_key {
            let opened = match self.caller.unit() {
                Some(_) => self.seals.open_text(&head, cursor, entropy)?,
                None => cursor.to_owned(),
            };
            let [device_key, ou] = list.texts(&opened)?;
            return Ok(SearchPlace::Key { device_key, ou });
        }
        let place = match self.caller.unit() {
            Some(_) => self.seals.open(&head, cursor, entropy)?,
            None => list.place(cursor)?,
        };
        match place {
            Place([id @ (0..), 0, 0, 0]) => Ok(SearchPlace::Id(DeviceId(id))),
            Place(_) => Err(foreign()),
        }
    }
}

fn order_of(list: &DeviceList) -> DeviceOrder {
    match list.sort.unwrap_or_default() {
        DeviceSort::Created => DeviceOrder::OldestFirst,
        DeviceSort::NewestFirst => DeviceOrder::NewestFirst,
        DeviceSort::Key => DeviceOrder::ByKey,
        DeviceSort::KeyDown => DeviceOrder::ByKeyDown,
    }
}

/// Behind this one, from the newest to the oldest, it comes first itself.
fn following(id: DeviceId) -> SearchPlace {
    SearchPlace::Id(DeviceId(id.0.saturating_add(1)))
}

/// A short digest of what a list is asked for and of its order: what its cursors are valid for.
fn digest(list: &DeviceList) -> u32 {
    let state = list.state.map(|state| format!("{state:?}"));
    let sort = format!("{:?}", list.sort.unwrap_or_default());
    let times = [list.seen_after, list.seen_before].map(|time| time.map(|time| time.0.to_string()));
    let prefix = list.q.as_deref().filter(|prefix| !prefix.is_empty());
    let texts = [list.product.as_deref(), prefix, list.tag.as_deref(), list.firmware.as_deref()];
    let others = [state.as_deref(), Some(&*sort), times[0].as_deref(), times[1].as_deref()];
    let mut hash = Sha256::new();
    for text in texts.into_iter().chain(others) {
        // Which it is, and where it ends, belong to it.
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(text.unwrap_or_default());
    }
    let hash: [u8; 32] = hash.finalize().into();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
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

#[cfg(test)]
mod tests {
    use narrowgate_api::{device::NewDeviceRequest, product::NewProduct};

    use super::*;
    use crate::{
        ids::{DEFAULT_OU, UnixMillis},
        model::access::{Caller, Role, Scope},
        service::fixtures::registrar_with_product,
        testing::block_on,
    };

    fn create(registrar: &Registrar, key: &str) {
        let new = NewDeviceRequest { device_key: Some(key.to_owned()), ..NewDeviceRequest::default() };
        block_on(registrar.create_device("pk", new)).expect("it is valid");
    }

    #[test]
    fn pages_follow_one_another_until_the_last_in_each_order() {
        let registrar = registrar_with_product();
        for number in 0..5 {
            create(&registrar, &format!("d{number}"));
        }
        for (sort, expected) in [
            (None, ["d0", "d1", "d2", "d3", "d4"]),
            (Some(DeviceSort::NewestFirst), ["d4", "d3", "d2", "d1", "d0"]),
            (Some(DeviceSort::Key), ["d0", "d1", "d2", "d3", "d4"]),
            (Some(DeviceSort::KeyDown), ["d4", "d3", "d2", "d1", "d0"]),
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
    fn a_cursor_goes_on_with_the_list_that_it_is_of_and_with_no_other() {
        let registrar = registrar_with_product();
        let other = NewProduct { name: "n".into(), product_key: Some("po".into()), ..NewProduct::default() };
        block_on(registrar.create_product(other)).expect("it is valid");
        (0..9).for_each(|number| create(&registrar, &format!("d{number}")));
        let all = || DeviceList { limit: Some(2), ..DeviceList::default() };
        let lists = || {
            [
                all(),
                DeviceList { sort: Some(DeviceSort::NewestFirst), ..all() },
                DeviceList { sort: Some(DeviceSort::Key), ..all() },
                DeviceList { sort: Some(DeviceSort::KeyDown), ..all() },
                DeviceList { product: Some("pk".into()), ..all() },
                DeviceList { product: Some("po".into()), ..all() },
                DeviceList { q: Some("d".into()), ..all() },
                DeviceList { q: Some("d1".into()), ..all() },
                DeviceList { tag: Some("d:d".into()), ..all() },
                DeviceList { firmware: Some("d".into()), ..all() },
                DeviceList { state: Some(ShownState::Inactive), ..all() },
                DeviceList { state: Some(ShownState::Online), ..all() },
                DeviceList { seen_after: Some(UnixMillis(1)), ..all() },
                DeviceList { seen_before: Some(UnixMillis(1)), ..all() },
            ]
        };
        for (index, list) in lists().into_iter().enumerate() {
            let place = match order_of(&list).is_by_key() {
                true => SearchPlace::Key { device_key: "d3".into(), ou: DEFAULT_OU.into() },
                false => SearchPlace::Id(DeviceId(3)),
            };
            let cursor = registrar.cursor_of(&list, place);
            for (other, list) in lists().into_iter().enumerate() {
                let page = block_on(registrar.devices(&DeviceList { cursor: Some(cursor.clone()), ..list }));
                assert_eq!(page.is_ok(), index == other, "{index} {other}");
            }
        }
        // What says the same is the same list, and a page may have another length.
        let cursor = Some(registrar.cursor_of(&all(), SearchPlace::Id(DeviceId(3))));
        let same = DeviceList {
            limit: Some(5),
            q: Some(String::new()),
            sort: Some(DeviceSort::Created),
            cursor,
            ..all()
        };
        assert_eq!(block_on(registrar.devices(&same)).expect("it goes on").items.len(), 5);
        for cursor in ["1", "+5", "d0-1-0-0-0", &List::Refusals.cursor(Place([3, 0, 0, 0]))] {
            let list = DeviceList { cursor: Some(cursor.to_owned()), ..all() };
            assert!(block_on(registrar.devices(&list)).is_err(), "{cursor}");
        }
    }

    #[test]
    fn a_cursor_of_a_unit_tells_nothing_of_how_many_devices_others_have() {
        let registrar = registrar_with_product();
        let scope = Scope::Unit(DEFAULT_OU.to_owned());
        let unit = registrar.of(Caller::Token { name: "t".into(), role: Role::Viewer, scope });
        (0..300).for_each(|number| create(&registrar, &format!("d{number}")));
        let list = DeviceList { limit: Some(200), ..DeviceList::default() };
        let page = block_on(unit.devices(&list)).expect("it works");
        let cursor = page.next_cursor.expect("there is more");
        assert!(!cursor.contains("-c8-"), "{cursor}");
        let next = DeviceList { cursor: Some(cursor), ..list };
        assert_eq!(block_on(unit.devices(&next)).expect("it goes on").items.len(), 100);
        assert!(block_on(registrar.devices(&next)).is_err(), "it is of the unit alone");
        let by_key = DeviceList { limit: Some(2), sort: Some(DeviceSort::Key), ..DeviceList::default() };
        let cursor = block_on(unit.devices(&by_key)).expect("it works").next_cursor.expect("there is more");
        // The key where the page ends, which may be another unit's.
        assert!(!cursor.contains(&hex::encode("d1")), "{cursor}");
        let next = DeviceList { cursor: Some(cursor), ..by_key };
        let page = block_on(unit.devices(&next)).expect("it goes on");
        let keys: Vec<_> = page.items.iter().map(|row| row.device_key().to_owned()).collect();
        assert_eq!(keys, ["d10", "d100"]);
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
