//! A sharded in-memory map: slots under their own locks, versions, expiry and exact memory accounting.
//!
//! A [`Store`] is a fixed number of slots. Which slot a key belongs to is the caller's business (boato takes a
//! CRC of the key; any hash will do). A slot has a lock, a header of the caller's choice and the entries
//! ([`Entries`]), so that checking the header and applying an operation is one step.
//!
//! # Contract
//!
//! - No clock, no I/O, no randomness: the wall clock and the seed of the hash are arguments.
//! - Every write has a [`Version`]: a reading of a hybrid logical [`Clock`] and the writer's node id. A write
//!   exceeds what it replaces, so copies of a slot can be merged entry by entry, in any order and repeatedly,
//!   and become equal ([`Entries::merge`]: the higher version wins).
//! - A delete leaves a tombstone, which keeps older versions from coming back until its time is over.
//! - An expired entry is never returned by [`Entries::get`]; [`Entries::sweep`] frees it.
//! - [`Memory`] counts the bytes that were requested from the allocator for entries and tables, exactly. With a
//!   limit ([`Config::max_memory`]) a put that could exceed it is refused; deletes and merges never are.
//!   For several puts memory can be set aside beforehand ([`Entries::set_aside`]), so that all of them are stored or none.
//! - A hit allocates nothing: an [`EntryRef`] borrows from the locked slot.
//! - An operation on one key takes no longer in a large slot (but for moving the list of buckets, 2 bytes per
//!   entry, when that grows); what visits all entries does
//!   ([`Entries::entries`], [`Entries::list`], [`Entries::sweep`] when something is due, [`Entries::clear`]).
//!   [`Entries::scan`] visits them in small parts.
//! - An entry of a 20-byte key and a 64-byte value takes about 101 bytes, tables included.
//!
//! # Example
//!
//! A map of 16 slots without headers, with a limit of 64 MiB:
//!
//! ```
//! use boato_storage::{Clock, Condition, Config, Delete, Put, Store, Value, Writer};
//!
//! let config = Config { slots: 16, hash_seed: 0x5eed, max_memory: Some(64 << 20) };
//! let store: Store<()> = Store::new(config, |_| ());
//! let clock = Clock::new();
//! let writer = Writer { clock: &clock, node: 1, now_ms: 1_700_000_000_000 };
//!
//! let mut slot = store.lock(7);
//! let hello = Value { bytes: b"hello", content_type: b"text/plain", expires_at_ms: None };
//! let Ok(Put::Created(version)) = slot.put(b"greeting", hello, &Condition::Absent, &writer) else { panic!() };
//!
//! let entry = slot.get(b"greeting", writer.now_ms).expect("stored above");
//! assert_eq!((entry.value, entry.version), (&b"hello"[..], version));
//!
//! // Replace it only if nobody else has: what a compare-and-swap or `If-Match` asks for.
//! let soon = Value { bytes: b"bye", expires_at_ms: Some(writer.now_ms + 500), ..Value::default() };
//! let unchanged = Condition::Is(vec![version]);
//! assert!(matches!(slot.put(b"greeting", soon, &unchanged, &writer), Ok(Put::Replaced(_))));
//! assert!(matches!(slot.put(b"greeting", soon, &unchanged, &writer), Ok(Put::Refused(Some(_)))));
//!
//! // Half a second later it is gone, and a sweep frees it.
//! assert_eq!(slot.get(b"greeting", writer.now_ms + 500), None);
//! assert_eq!(slot.delete(b"never", &Condition::Always, &writer, 0), Delete::Missing);
//! assert_eq!(slot.sweep(writer.now_ms + 500), 1);
//! drop(slot);
//! assert_eq!(store.memory().bytes, 0);
//! ```
//!
//! # Map
//!
//! | module | what |
//! |---|---|
//! | `store` | the slots and their locks |
//! | `entries` | one slot: get, put, delete, merge, sweep; `aside`: memory for several puts |
//! | `fetch` | several lookups that wait for memory together |
//! | `entry`, `condition`, `clock` | the nouns of the interface |
//! | `table` | the hash table of a slot: linear hashing over buckets |
//! | `bucket`, `record` | a few entries packed into one allocation; an entry as bytes |
//! | `nodes` | node ids, stored once per slot |
//! | `totals` | the memory figures of all slots |

mod bucket;
mod clock;
mod condition;
mod entries;
mod entry;
mod fetch;
mod nodes;
mod record;
mod store;
mod table;
mod totals;

pub use clock::{Clock, TooFarAhead};
pub use condition::Condition;
pub use entries::{Aside, Delete, Entries, Needs, Put, PutError, Writer};
pub use entry::{EntryRef, Value, Version};
pub use fetch::FETCH_MAX;
pub use store::{Config, SlotGuard, Store};
pub use totals::Memory;
