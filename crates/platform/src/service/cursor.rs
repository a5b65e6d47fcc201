//! Where the next page of a list begins, as an opaque text that is valid for this list only.

use super::error::ServiceError;
use crate::{
    firmware::ImageId,
    ids::{DeviceId, UnixMillis},
    paging::Place,
    rules::buckets::Bucketing,
};

/// A list that has cursors.
#[derive(Debug, Clone, Copy)]
pub(super) enum List {
    /// The log of a device.
    Log(DeviceId),
    /// The refusals in the log of a device.
    DeviceRefusals(DeviceId),
    /// When a device came and went.
    Presence(DeviceId),
    /// The values of a device by time.
    History(DeviceId),
    /// What the values of a device come to, by time; its cursors hold a time.
    Buckets(DeviceId),
    /// The events of a device by time.
    Events(DeviceId),
    /// The latest values of a device; its cursors hold the name of a point.
    Latest(DeviceId),
    /// The commands of a device.
    Commands(DeviceId),
    /// The devices that an image is offered to, while that goes on.
    Offer(ImageId),
    /// The devices of a rollout.
    Upgrades(ImageId),
    /// Refusals of all devices.
    Refusals,
    /// The audit log; its cursors hold the number of an entry.
    Audit,
    /// Devices, by a digest of what is asked for and of the order; its cursors hold the id of a device.
    Devices(u32),
}

impl List {
    /// What every cursor of this list begins with.
    pub(super) fn head(self) -> String {
        match self {
            Self::Log(device) => format!("l{:x}", device.0),
            Self::DeviceRefusals(device) => format!("f{:x}", device.0),
            Self::Presence(device) => format!("x{:x}", device.0),
            Self::History(device) => format!("h{:x}", device.0),
            Self::Buckets(device) => format!("b{:x}", device.0),
            Self::Events(device) => format!("e{:x}", device.0),
            Self::Latest(device) => format!("p{:x}", device.0),
            Self::Commands(device) => format!("c{:x}", device.0),
            Self::Offer(image) => format!("o{image}"),
            Self::Upgrades(image) => format!("u{image}"),
            Self::Refusals => "r".to_owned(),
            Self::Audit => "a".to_owned(),
            Self::Devices(digest) => format!("d{digest:08x}"),
        }
    }

    /// The cursor of a place.
    pub(super) fn cursor(self, place: Place) -> String {
        let mut text = self.head();
        for number in place.0 {
            text += &format!("-{number:x}");
        }
        text
    }

    /// The place of a cursor.
    pub(super) fn place(self, cursor: &str) -> Result<Place, ServiceError> {
        let mut parts = cursor.split('-');
        let numbers: Option<Vec<i64>> = (parts.next() == Some(&self.head()))
            .then(|| parts.map(|part| u64::from_str_radix(part, 16).map(u64::cast_signed).ok()).collect())
            .flatten();
        let numbers = numbers.and_then(|numbers| <[i64; 4]>::try_from(numbers).ok());
        numbers.map(Place).ok_or_else(foreign)
    }

    /// The place of a cursor of buckets. One of others, which begin elsewhere, would cut a bucket in two.
    pub(super) fn place_of(self, cursor: &str, bucketing: &Bucketing) -> Result<Place, ServiceError> {
        let place = self.place(cursor)?;
        let begins = UnixMillis(place.0[0]);
        if bucketing.begin_of(begins) == begins { Ok(place) } else { Err(foreign()) }
    }

    /// The cursor after a point of the latest values.
    pub(super) fn cursor_behind(self, point: &str) -> String {
        format!("{}-{}", self.head(), hex::encode(point))
    }

    /// The cursor of some texts, none of which has a NUL.
    pub(super) fn cursor_of_texts(self, texts: &[&str]) -> String {
        texts.iter().fold(self.head(), |cursor, text| cursor + "-" + &hex::encode(text))
    }

    /// The texts of a cursor.
    pub(super) fn texts<const N: usize>(self, cursor: &str) -> Result<[String; N], ServiceError> {
        let mut parts = cursor.split('-');
        let texts: Option<Vec<String>> = (parts.next() == Some(&self.head()))
            .then(|| parts.map(|part| String::from_utf8(hex::decode(part).ok()?).ok()).collect())
            .flatten();
        texts.and_then(|texts| texts.try_into().ok()).ok_or_else(foreign)
    }

    /// The point that a cursor follows.
    pub(super) fn point(self, cursor: &str) -> Result<String, ServiceError> {
        let hex = cursor.split_once('-').filter(|(head, _)| *head == self.head()).map(|(_, hex)| hex);
        let bytes = hex.and_then(|hex| hex::decode(hex).ok());
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(foreign)
    }
}

/// The text is no cursor of this list.
pub(super) fn foreign() -> ServiceError {
    ServiceError::Invalid {
        field: "cursor",
        message: "is not one that a page of this list ended with; give the other options as for that page"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_fit_their_list_only() {
        let lists = [
            List::Log(DeviceId(7)),
            List::Log(DeviceId(0x7a)),
            List::DeviceRefusals(DeviceId(7)),
            List::Presence(DeviceId(7)),
            List::History(DeviceId(7)),
            List::Buckets(DeviceId(7)),
            List::Events(DeviceId(7)),
            List::Offer("IMAGE001".parse().expect("an id")),
            List::Upgrades("IMAGE001".parse().expect("an id")),
            List::Commands(DeviceId(7)),
            List::Refusals,
            List::Audit,
            List::Devices(7),
            List::Devices(0x7a),
        ];
        for place in [[0; 4], [i64::MIN, -1, 0, i64::MAX]].map(Place) {
            for (index, list) in lists.iter().enumerate() {
                let cursor = list.cursor(place);
                for (other, read) in lists.iter().map(|other| other.place(&cursor)).enumerate() {
                    assert_eq!(read.ok(), (index == other).then_some(place), "{cursor}");
                }
            }
        }
        for text in ["", "r", "r-1-2-3", "r-1-2-3-4-5", "r-1-2-3-x", "r-1-2-3-10000000000000000", "R-1-2-3-4"]
        {
            assert!(List::Refusals.place(text).is_err(), "{text}");
        }
        let latest = List::Latest(DeviceId(1));
        for point in ["", "temp", "a-b\n\u{e9}"] {
            assert_eq!(latest.point(&latest.cursor_behind(point)).ok().as_deref(), Some(point));
        }
        let devices = List::Devices(7);
        for texts in [["", ""], ["d-1", "o00000000000001"], ["\u{e9}-", "o"]] {
            assert_eq!(devices.texts(&devices.cursor_of_texts(&texts)).ok(), Some(texts.map(str::to_owned)));
            assert!(devices.texts::<1>(&devices.cursor_of_texts(&texts)).is_err());
            assert!(List::Devices(8).texts::<2>(&devices.cursor_of_texts(&texts)).is_err());
        }
        for text in ["", "p1", "p2-00", "p1-0", "p1-ff"] {
            assert!(latest.point(text).is_err(), "{text}");
        }
    }
    #[test]
    fn a_cursor_of_buckets_fits_those_that_begin_there() {
        let list = List::Buckets(DeviceId(7));
        let hour = 3_600_000;
        for (width, zone, begins, fits) in [
            ("1h", "UTC", 5 * hour, true),
            ("15m", "UTC", 5 * hour, true),
            ("1d", "UTC", 5 * hour, false),
            ("1d", "UTC", 24 * hour, true),
            ("1d", "Europe/Berlin", 24 * hour, false),
            ("1d", "Europe/Berlin", 23 * hour, true),
            ("1h", "Asia/Kolkata", 5 * hour, false),
        ] {
            let bucketing = Bucketing::parse(width, Some(zone)).expect("they are known");
            let place = Place([begins, 0, 0, 0]);
            let read = list.place_of(&list.cursor(place), &bucketing);
            assert_eq!(read.ok(), fits.then_some(place), "{width} {zone} {begins}");
        }
    }
}
