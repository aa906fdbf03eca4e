//! A door that may be left out.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::address::{Address, AddressError};

/// Where a door listens, or `none` (`off` means the same).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorAddress {
    /// There is no such door.
    None,
    /// There.
    At(Address),
}

impl FromStr for DoorAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text {
            "none" | "off" => Ok(Self::None),
            text => text.parse().map(Self::At),
        }
    }
}

impl fmt::Display for DoorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl From<Option<SocketAddr>> for DoorAddress {
    fn from(addr: Option<SocketAddr>) -> Self {
        addr.map_or(Self::None, |addr| Self::At(addr.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_somewhere_or_nowhere() {
        for (text, shown) in [("none", "none"), ("off", "none"), ("7379", ":7379"), ("web1:1", "web1:1")] {
            assert_eq!(text.parse::<DoorAddress>().unwrap().to_string(), shown);
        }
        assert!("nowhere".parse::<DoorAddress>().is_err());
    }
}
