//! The capacity a node announces.

use std::fmt;
use std::fs;
use std::str::FromStr;

const GIB: u64 = 1 << 30;

/// Share of the keys that a node asks for, relative to the weights of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Exactly this. A node of weight 0 holds no keys while any other has a weight above 0.
    Fixed(u16),
    /// The memory limit in GiB, at least 1.
    Auto,
}

/// Text that is not a [`Weight`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a whole number from 0 to 65535, or auto")]
pub struct WeightError;

impl Weight {
    /// The number to announce. `Auto` uses `max_memory` (bytes) or else what this machine or container may
    /// use.
    pub fn resolve(self, max_memory: Option<u64>) -> u16 {
        match self {
            Self::Fixed(weight) => weight,
            Self::Auto => {
                let gib = max_memory.or_else(machine_memory).unwrap_or(GIB) / GIB;
                u16::try_from(gib).unwrap_or(u16::MAX).max(1)
            }
        }
    }
}

impl FromStr for Weight {
    type Err = WeightError;

    fn from_str(text: &str) -> Result<Self, WeightError> {
        match text {
            "auto" => Ok(Self::Auto),
            number => number.parse().map(Self::Fixed).map_err(|_| WeightError),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(weight) => weight.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// Bytes that this process may use: the limit of its control group or the machine's memory, whichever is
/// lower. `None` where neither can be read (systems other than Linux).
fn machine_memory() -> Option<u64> {
    let group =
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text));
    group.into_iter().chain(machine).min()
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_auto_read_and_print() {
        for text in ["0", "1", "65535", "auto"] {
            assert_eq!(text.parse::<Weight>().unwrap().to_string(), text);
        }
        for text in ["", "-1", "65536", "1.5", "AUTO", "heavy"] {
            assert_eq!(text.parse::<Weight>(), Err(WeightError), "{text}");
        }
    }

    #[test]
    fn auto_is_the_memory_limit_in_gib_and_at_least_one() {
        assert_eq!(Weight::Auto.resolve(Some(8 * GIB + 5)), 8);
        assert_eq!(Weight::Auto.resolve(Some(100 << 20)), 1);
        assert_eq!(Weight::Auto.resolve(Some(u64::MAX)), u16::MAX);
        assert!(Weight::Auto.resolve(None) >= 1);
        assert_eq!(Weight::Fixed(0).resolve(Some(8 * GIB)), 0);
    }

    #[test]
    fn memory_total_is_read_in_kib() {
        assert_eq!(mem_total("MemTotal:       24685064 kB\nMemFree: 1 kB\n"), Some(24_685_064 * 1024));
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);
    }
}
