//! A sharded in-memory map: slots under their own locks, versions, expiry and exact memory accounting.

mod clock;
mod condition;
mod entries;
mod entry;
mod nodes;
mod record;
mod store;
mod table;
mod totals;

pub use clock::{Clock, TooFarAhead};
pub use condition::Condition;
pub use entries::{Delete, Entries, Put, PutError, Writer};
pub use entry::{EntryRef, Value, Version};
pub use store::{Config, SlotGuard, Store};
pub use totals::Memory;
