//! Failures with an exit code of their own, which scripts tell apart.

use std::fmt;

/// A failure that is not just an error of this program or its user.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What this program exits with.
    pub(crate) code: u8,
    text: String,
}

impl Fault {
    /// Something happened that must never happen.
    pub(crate) fn violation(text: String) -> anyhow::Error {
        Self { code: 2, text }.into()
    }

    /// Something has not happened that must happen some time.
    pub(crate) fn stuck(text: String) -> anyhow::Error {
        Self { code: 3, text }.into()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}
