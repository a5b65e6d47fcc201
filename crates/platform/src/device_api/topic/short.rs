//! The table of short paths: aliases of topics, for products that switch them on (device protocol, section
//! 13). What they take and answer stands in [`crate::device_api::short`].

use narrowgate_coap::{Code, UriPath};

use super::Verb;
use crate::firmware::ImageId;

/// A short path with one of its methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::device_api) struct ShortPath {
    /// Its segments. [`NUMBER`] stands for the number of an element.
    pub(in crate::device_api) segments: &'static [&'static str],
    /// The method.
    pub(in crate::device_api) method: Code,
    /// What a request does.
    pub(in crate::device_api) handler: ShortHandler,
}

/// What a request to a short path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::device_api) enum ShortHandler {
    /// Reports, one or a batch: this verb, or its batch.
    Points(Verb),
    /// Updates attributes, or queries them.
    Attributes,
    /// An event, whose number stands in the path.
    Event,
    /// Gets the oldest command.
    FetchCommand,
    /// Answers a command.
    ReplyToCommand,
    /// Says something of the device's firmware.
    Firmware,
    /// Gets a block of an image, whose id stands in the path.
    Image,
}

/// A placeholder: 1 to 65535, as the numbers of elements are.
const NUMBER: &str = "{n}";
/// Another one: the id of an image, or what is none.
const IMAGE: &str = "{imageId}";

/// Every short path.
pub(in crate::device_api) const SHORT_PATHS: [ShortPath; 8] = [
    ShortPath::post(&["p"], ShortHandler::Points(Verb::Post)),
    ShortPath::post(&["r"], ShortHandler::Points(Verb::Resume)),
    ShortPath::post(&["a"], ShortHandler::Attributes),
    ShortPath::post(&["e", NUMBER], ShortHandler::Event),
    ShortPath { segments: &["c"], method: Code::GET, handler: ShortHandler::FetchCommand },
    ShortPath::post(&["c"], ShortHandler::ReplyToCommand),
    ShortPath::post(&["o"], ShortHandler::Firmware),
    ShortPath { segments: &["f", IMAGE], method: Code::GET, handler: ShortHandler::Image },
];

impl ShortPath {
    const fn post(segments: &'static [&'static str], handler: ShortHandler) -> Self {
        Self { segments, method: Code::POST, handler }
    }

    fn has_placeholder(&self) -> bool {
        self.segments.iter().any(|segment| segment.starts_with('{'))
    }

    /// The path, as people write it.
    pub(in crate::device_api) fn name(&self) -> String {
        format!("/{}", self.segments.join("/"))
    }

    /// The id of the image in a path that is this one.
    pub(in crate::device_api) fn image(path: &UriPath) -> Option<ImageId> {
        path.segments().nth(1)?.parse().ok()
    }

    /// Whether a path is this one: with the number in the place of the placeholder, 0 where there is none.
    fn fits(&self, path: &UriPath) -> Option<u16> {
        let mut given = path.segments();
        let mut number = 0;
        for own in self.segments {
            let given = given.next()?;
            match *own == NUMBER {
                true => number = parse_number(&given)?,
                false if *own == IMAGE && !given.is_empty() || given == *own => {}
                false => return None,
            }
        }
        given.next().is_none().then_some(number)
    }
}

/// A number of an element as it is written: no sign, no zero before it.
fn parse_number(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// What a path is as a short one: an entry for each of its methods, with the number in it, or 0.
pub(in crate::device_api) fn at(path: &UriPath) -> impl Iterator<Item = (&'static ShortPath, u16)> {
    SHORT_PATHS.iter().filter_map(|short| Some((short, short.fits(path)?)))
}

/// Whether a path is a short one.
pub(in crate::device_api) fn is_one(path: &UriPath) -> bool {
    at(path).next().is_some()
}

/// Each path without a placeholder, once.
pub(in crate::device_api) fn all_paths() -> impl Iterator<Item = String> {
    let mut names: Vec<String> =
        SHORT_PATHS.iter().filter(|short| !short.has_placeholder()).map(ShortPath::name).collect();
    names.dedup();
    names.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_short_one_with_its_number_or_is_none() {
        let found = |path: &str| {
            let path = UriPath::parse(path);
            at(&path).map(|(short, number)| (short.name(), number)).collect::<Vec<_>>()
        };
        assert_eq!(found("/p"), [("/p".to_owned(), 0)]);
        assert_eq!(found("/c"), [("/c".to_owned(), 0), ("/c".to_owned(), 0)]);
        assert_eq!(found("/e/7"), [("/e/{n}".to_owned(), 7)]);
        assert_eq!(found("/f/Ab3dEf7h"), [("/f/{imageId}".to_owned(), 0)]);
        assert_eq!(found("/e/65535"), [("/e/{n}".to_owned(), 65_535)]);
        for path in ["/", "/P", "/p/", "/p/1", "//p", "/pp", "/e", "/e/", "/e/0", "/e/07", "/e/65536"] {
            assert_eq!(found(path), [], "{path}");
        }
        for path in
            ["/e/+7", "/e/-1", "/e/7/post", "/e/tilted", "/c/c", "/o/1", "/f", "/f/", "/f/x/y", "/topic/p"]
        {
            assert_eq!(found(path), [], "{path}");
        }
    }
}
