//! Starting, watching, loading and ending clusters.

mod bulk;
mod cluster;
pub(crate) mod http;
mod load;
mod node;
mod view;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use bulk::{Bulk, place};
pub(crate) use cluster::{Cluster, boato};
pub(crate) use http::{Answer, Http};
pub(crate) use load::Load;
pub(crate) use node::{Launch, Node, Starting};
pub(crate) use view::View;

/// How long anything may take that is not measured: generous, since machines that run tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Rest between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until `look` has what is waited for, and gives it.
///
/// Panics after [`PATIENCE`] with `what` and the last reason why not.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(reason) => assert!(start.elapsed() < PATIENCE, "{what}: {reason} after {PATIENCE:?}"),
        }
        thread::sleep(PAUSE);
    }
}

/// `Ok` if `holds`, else `reason`.
pub(crate) fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}
