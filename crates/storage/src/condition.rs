//! When a write may happen.

use crate::Version;

/// What must hold of the live entry under a key for a write to happen.
///
/// A tombstone and an expired entry count as no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// No demand.
    #[default]
    Always,
    /// There is no entry (`If-None-Match: *`, Redis `NX`).
    Absent,
    /// There is an entry, of any version (`If-Match: *`, Redis `XX`).
    Present,
    /// There is an entry of one of these versions (`If-Match`).
    Is(Vec<Version>),
    /// There is no entry, or one of none of these versions (`If-None-Match`).
    IsNot(Vec<Version>),
}

impl Condition {
    /// Whether the condition holds for the live entry of version `current`, or for no entry.
    pub fn holds(&self, current: Option<Version>) -> bool {
        match (self, current) {
            (Self::Always, _) | (Self::Absent | Self::IsNot(_), None) | (Self::Present, Some(_)) => true,
            (Self::Absent, Some(_)) | (Self::Present | Self::Is(_), None) => false,
            (Self::Is(versions), Some(current)) => versions.contains(&current),
            (Self::IsNot(versions), Some(current)) => !versions.contains(&current),
        }
    }
}
