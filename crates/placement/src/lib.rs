//! Key to slot to node: who owns which part of the key space, computed alike by every node that
//! knows the same members.
//!
//! [`slot`] maps a key to one of [`SLOTS`] slots exactly as Redis Cluster does, hash tags included.
//! Slots are owned in [`RANGES`] contiguous ranges of [`SLOTS_PER_RANGE`]. A [`Table`] says which
//! node owns which range; it is built from the members by a [`Strategy`] and never changes
//! afterwards: a change of members is a new table.
//!
//! # Contract
//!
//! * The same set of [`Candidate`]s gives the same table, bit for bit, on every machine and in any
//!   order: integer arithmetic only, frozen hashes, no clock, no random source. [`VERSION`] changes
//!   whenever any answer would.
//! * Every range has an owner as long as there is a candidate. A weight of 0 among others owns
//!   nothing; if all weights are 0 they count as 1.
//! * With [`Rendezvous`], nobody owns much more than its share (10 % by default), and a change of
//!   members moves little more than what has to move.
//! * A lookup is a CRC of the key and one read of a 4 KiB array.
//!
//! # Example
//!
//! ```
//! use boato_placement::{Candidate, Rendezvous, Table, slot};
//!
//! let members = [11, 22, 33].map(|id| Candidate { id, weight: 1 });
//! let before = Table::build(&Rendezvous::default(), members);
//! let after = Table::build(&Rendezvous::default(), members.into_iter().filter(|m| m.id != 22));
//!
//! // Keys that share a hash tag share a slot, hence a node.
//! let slot = slot(b"{user1000}.following");
//! assert_eq!(slot, boato_placement::slot(b"{user1000}.followers"));
//!
//! let owner = before.owner(slot).expect("three nodes own all slots");
//! assert!([11, 22, 33].contains(&owner));
//! assert!([11, 33].contains(&after.owner(slot).unwrap()));
//! ```
//!
//! # Map
//!
//! | module | holds |
//! |---|---|
//! | `slot` | [`slot`], hash tags, the constants of the key space |
//! | `crc16` | CRC16-XMODEM, eight bytes at a time |
//! | `table` | [`Table`], [`Run`] |
//! | `strategy` | [`Strategy`], [`Candidate`] |
//! | `rendezvous` | [`Rendezvous`]: who may own how much, and the stable matching |
//! | `scores` | [`Scores`]: how well nodes suit an item |
//! | `log2` | the integer logarithm under the score |
//! | `hash` | the frozen mixer under everything but the CRC |
//! | `ring` | [`Ring`]: consistent hashing, to compare with |

mod crc16;
mod hash;
mod log2;
mod rendezvous;
mod ring;
mod scores;
mod slot;
mod strategy;
mod table;

pub use rendezvous::Rendezvous;
pub use ring::Ring;
pub use scores::Scores;
pub use slot::{RANGES, SLOTS, SLOTS_PER_RANGE, slot};
pub use strategy::{Candidate, Strategy};
pub use table::{Run, Table};

/// Version of the mapping from key and members to owner.
///
/// Nodes that disagree on it must not form a cluster. It changes with anything that could give any
/// key another owner: the slot function, the number of ranges, the hash, the logarithm, the capacity
/// rule or the default of the slack.
pub const VERSION: u32 = 1;
