//! What settings accept. Each type reads a value, and says what it accepts out of the same data: help, errors
//! and documents print that. Every error is the sentence that an operator reads behind "reason".

mod classes;
mod host;
mod login;
mod memory;
mod rates;
mod units;
mod words;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
};

pub(crate) use classes::Classes;
pub(crate) use host::{HostOrAuto, Site, name_of_listener};
pub(in crate::config) use login::is_safe_site;
pub(crate) use login::{Claim, Issuer, Roles, Text, Words};
pub(crate) use memory::SizeOrAuto;
pub(crate) use rates::{Bytes, Times};
pub(in crate::config) use units::show_duration;
pub(crate) use units::{Days, Size, Time};
pub(crate) use words::{OneOf, SomeOf};

/// What a setting accepts.
pub(crate) trait Accept: Sync {
    /// A value that was read.
    type Value;
    /// Whether a value may be written as a list.
    const LIST: bool = false;

    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong with it, and what is accepted.
    fn parse(&self, text: &str) -> Result<Self::Value, String>;

    /// What is accepted, for the help of a setting.
    fn accepted(&self) -> String;
}

/// An address with its port on which this machine can listen.
#[derive(Debug)]
pub(crate) struct Address {
    pub(super) examples: &'static str,
}

impl Accept for Address {
    type Value = SocketAddr;

    fn parse(&self, text: &str) -> Result<SocketAddr, String> {
        let examples = self.examples;
        let address: SocketAddr = text.parse().map_err(|_| match port_of_host(text) {
            Some(port) => format!(
                "{text:?} names a host, and host names are not resolved; \
                 give an address such as 127.0.0.1:{port}"
            ),
            None => format!("{text:?} is not an address with a port; use {examples}"),
        })?;
        if address.ip().is_multicast() || address.ip() == Ipv4Addr::BROADCAST {
            return Err(format!("{text:?} is a multicast or broadcast address; use {examples}"));
        }
        Ok(address)
    }

    fn accepted(&self) -> String {
        self.examples.to_owned()
    }
}

/// The port where the text is a host name and a port.
fn port_of_host(text: &str) -> Option<u16> {
    let (host, port) = text.rsplit_once(':')?;
    let letters =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_name = host.bytes().any(|byte| byte.is_ascii_alphabetic()) && letters(host);
    port.parse().ok().filter(|_| is_name)
}

/// A value, or `off`.
#[derive(Debug)]
pub(crate) struct OrOff<A>(pub(super) A);

impl<A: Accept> Accept for OrOff<A> {
    type Value = Option<A::Value>;
    const LIST: bool = A::LIST;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        if text == "off" { Ok(None) } else { self.0.parse(text).map(Some) }
    }

    fn accepted(&self) -> String {
        self.0.accepted()
    }
}

/// `true` or `false`.
#[derive(Debug)]
pub(crate) struct Switch;

impl Accept for Switch {
    type Value = bool;

    fn parse(&self, text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    }

    fn accepted(&self) -> String {
        "true or false".to_owned()
    }
}

/// A whole number within a range.
#[derive(Debug)]
pub(crate) struct Number<T>(pub(super) RangeInclusive<T>);

impl<T: FromStr + PartialOrd + fmt::Display + Sync> Accept for Number<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        match text.parse() {
            // Rust would take "+1".
            Ok(number) if self.0.contains(&number) && !text.starts_with('+') => Ok(number),
            _ => Err(format!("{text:?} is not a whole number from {}", self.accepted())),
        }
    }

    fn accepted(&self) -> String {
        format!("{} to {}", self.0.start(), self.0.end())
    }
}

/// A count within a range that starts at 1; 0 is the number of this machine's cores.
#[derive(Debug)]
pub(crate) struct CountOrCores(pub(super) Number<u16>);

impl Accept for CountOrCores {
    type Value = u16;

    fn parse(&self, text: &str) -> Result<u16, String> {
        let most = *self.0.0.end();
        Ok(match Number(0..=most).parse(text)? {
            0 => std::thread::available_parallelism()
                .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(most).min(most)),
            count => count,
        })
    }

    fn accepted(&self) -> String {
        format!("{}; 0: one per core", self.0.accepted())
    }
}

/// The name of a file; whether it can be one is not asked here.
#[derive(Debug)]
pub(crate) struct FileName;

impl Accept for FileName {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        if text.is_empty() || text.contains('\0') {
            return Err(format!("{text:?} is not the name of a file"));
        }
        Ok(text.to_owned())
    }

    fn accepted(&self) -> String {
        "the name of a file".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_addresses_and_switches_say_what_is_expected() {
        assert_eq!(Number(1..=16_u32).parse("17").unwrap_err(), "\"17\" is not a whole number from 1 to 16");
        let address = Address { examples: "127.0.0.1:8080" };
        let parse = |text| address.parse(text);
        for text in ["127.0.0.1", "8080", ":8080", "1.2.3.4:65536", "224.0.0.1:1", "[ff02::1]:1", ""] {
            assert!(parse(text).unwrap_err().contains("use 127.0.0.1:8080"), "{text}");
        }
        let reason = parse("localhost:1").unwrap_err();
        assert!(reason.contains("not resolved; give an address such as 127.0.0.1:1"), "{reason}");
        assert!(Number(1..=16_u32).parse("+4").is_err());
        assert_eq!(Switch.parse("yes").unwrap_err(), "\"yes\" is neither true nor false");
    }

    #[test]
    fn the_limits_that_are_printed_are_those_that_are_checked() {
        assert_eq!(CountOrCores(Number(1..=256)).accepted(), "1 to 256; 0: one per core");
        let most = CountOrCores(Number(1..=256)).parse("257").unwrap_err();
        assert_eq!(most, "\"257\" is not a whole number from 0 to 256");
    }
}
