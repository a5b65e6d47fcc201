//! What load may be aimed at: this machine only.

use std::{
    fmt,
    net::{SocketAddr, SocketAddrV4},
    str::FromStr,
};

/// A server on IPv4 loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(SocketAddrV4);

/// Why an address is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not an address and a port.
    #[error("`{0}` is not an address with a port, such as 127.0.0.1:5684")]
    Malformed(String),
    /// Another machine.
    #[error("{0} is not in 127.0.0.0/8: load is for a server on this machine only")]
    NotLoopback(SocketAddr),
}

impl Target {
    /// The address.
    pub const fn address(self) -> SocketAddrV4 {
        self.0
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let address: SocketAddr = text.parse().map_err(|_| TargetError::Malformed(text.to_owned()))?;
        match address {
            SocketAddr::V4(v4) if v4.ip().is_loopback() && v4.port() != 0 => Ok(Self(v4)),
            _ => Err(TargetError::NotLoopback(address)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_a_target() {
        assert!("127.0.0.1:5684".parse::<Target>().is_ok());
        assert!("127.3.2.1:1".parse::<Target>().is_ok());
        for other in
            ["0.0.0.0:5684", "192.0.2.1:5684", "10.0.0.1:5684", "[::1]:5684", "[::ffff:127.0.0.1]:5684"]
        {
            let refused = other.parse::<Target>();
            assert!(matches!(refused, Err(TargetError::NotLoopback(_))), "{other}: {refused:?}");
        }
        for other in ["127.0.0.1", "localhost:5684", "example.org:5684", ""] {
            let refused = other.parse::<Target>();
            assert!(matches!(refused, Err(TargetError::Malformed(_))), "{other}: {refused:?}");
        }
    }
}
