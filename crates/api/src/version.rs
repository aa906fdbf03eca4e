//! The version of a stored value.

use std::fmt;
use std::str::FromStr;

/// The version of a stored value: a hybrid logical time and who issued it, ordered in that order. No two writes have the
/// same.
///
/// Its text, `<hlc>-<node>` in lower-case hexadecimal without leading zeros, is the inside of an HTTP entity
/// tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Hybrid logical clock: 48 bits of Unix milliseconds, 16 bits of counter.
    pub hlc: u64,
    /// Id of the process that issued it: another one after a restart.
    pub node: u128,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.hlc, self.node)
    }
}

/// A text that no [`Version`] prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is two lower-case hexadecimal numbers without leading zeros, joined by '-'")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    /// Accepts exactly what `Display` prints, so that two texts are equal when their versions are.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let (hlc, node) = text.split_once('-').ok_or(VersionError)?;
        if !is_canonical_hex(hlc) || !is_canonical_hex(node) {
            return Err(VersionError);
        }
        let hlc = u64::from_str_radix(hlc, 16).map_err(|_| VersionError)?;
        let node = u128::from_str_radix(node, 16).map_err(|_| VersionError)?;
        Ok(Version { hlc, node })
    }
}

fn is_canonical_hex(digits: &str) -> bool {
    let lower_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    !digits.is_empty() && lower_hex && (digits == "0" || !digits.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_text_is_canonical() {
        let version = Version { hlc: 0x1a, node: 0 };
        assert_eq!(version.to_string(), "1a-0");
        for other in ["", "-", "1a", "1a-", "-0", "01a-0", "1a-00", "1A-0", "+1-0", "1a-0-0", "1a-0 "] {
            assert_eq!(other.parse::<Version>(), Err(VersionError), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn version_text_round_trips(hlc: u64, node: u128) {
            let version = Version { hlc, node };
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
    }
}
