//! Time as the core sees it: an argument.

use std::time::Duration;

/// One reading of both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Monotonic time since an origin of the driver's choice: timers and deadlines.
    pub at: Duration,
    /// Wall clock, milliseconds since the Unix epoch: versions and expiry.
    pub unix_ms: u64,
}
