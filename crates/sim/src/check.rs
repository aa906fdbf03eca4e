//! Checkers: judges of what clients and nodes have seen, as plain values in and a verdict out.
//!
//! - [`linearizable`]: the calls of clients on one key have an order in which each takes effect between its request
//!   and its answer, and every answer is right.
//! - [`counter`]: a key incremented by conditional writes stands between the increments that were acknowledged and
//!   those that may have happened.
//! - [`increments`]: each increment of a key takes effect at most once, and is told the sum that it left.
//! - [`highest`]: after a false death, the value left is that of the highest version.
//! - [`superseded`]: and what is gone is what the merges have told.
//! - [`Holders`]: who held which slot when; never two, and epochs only grow.
//!
//! None of them has I/O or a clock, so the same code judges simulated runs and real processes. What fails is a
//! [`Violation`], which prints the calls concerned.
//!
//! ```
//! use std::time::Duration;
//!
//! use boato_sim::check::{Action, Call, History, linearizable};
//!
//! let ms = Duration::from_millis;
//! let call = |from, to, action| Call { invoked: ms(from), returned: Some(ms(to)), action };
//! let mut history = History::new();
//! history.push(call(0, 5, Action::Write { value: 1, replaced: Some(false) }));
//! history.push(call(7, 9, Action::Read { found: Some(1) }));
//! assert!(linearizable(&history).is_ok());
//! history.push(call(10, 12, Action::Read { found: None }));
//! assert!(linearizable(&history).is_err(), "an acknowledged write is lost");
//! ```

mod counter;
mod highest;
mod history;
mod holders;
mod increments;
mod search;
mod superseded;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod violation;
mod zones;

/// What a [`Holding`] and a [`Given`] are told with.
pub use boato_cluster::{Epoch, Pid};
pub use counter::counter;
pub use highest::{Stamped, Version, highest};
pub use history::{Action, Call, History, Value};
pub use holders::{Holders, Holding};
pub use increments::{attempted, increments};
pub use superseded::{Given, superseded};
pub use violation::{Fault, Violation};

/// Whether one key's calls are linearizable: a register that begins absent.
///
/// Reads and unconditional writes of distinct values are judged in `n log n` (Gibbons and Korach), and so is the order
/// of values in any other history; what is left, by a search (Wing and Gong, with Lowe's memory) of bounded effort.
///
/// # Errors
///
/// The first violation found; [`Violation::Undecided`] if the search ends at its bound.
///
/// # Panics
///
/// If there are increments: see [`increments`].
pub fn linearizable(history: &History) -> Result<(), Violation> {
    if zones::check(history)? { Ok(()) } else { search::check(history) }
}
