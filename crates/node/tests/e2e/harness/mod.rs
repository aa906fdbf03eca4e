//! Starting, watching, loading and ending clusters.

mod bulk;
mod cluster;
pub(crate) mod http;
mod load;
mod node;
mod resp;
mod view;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use bulk::{Bulk, place, tag};
pub(crate) use cluster::{Cluster, boato};
pub(crate) use http::{Answer, Http};
pub(crate) use load::Load;
pub(crate) use node::{Launch, Node, Starting};
pub(crate) use resp::{Resp, Said};
pub(crate) use view::View;

/// How long anything may take that is not measured: generous, since machines that run tests are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Rest between two looks at a condition; it grows up to the last, since looking costs the nodes time, too.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LAST: Duration = Duration::from_millis(320);

/// Looks again and again until `look` has what is waited for, and gives it.
///
/// Panics after [`PATIENCE`] with `what` and the last reason why not.
pub(crate) fn wait<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let (start, mut pause) = (Instant::now(), PAUSE_FIRST);
    loop {
        match look() {
            Ok(found) => return found,
            Err(reason) => assert!(start.elapsed() < PATIENCE, "{what}: {reason} after {PATIENCE:?}"),
        }
        thread::sleep(pause);
        pause = (pause * 3 / 2).min(PAUSE_LAST);
    }
}

/// `Ok` if `holds`, else `reason`.
pub(crate) fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}
