//! Who holds which slot of a cluster's keys, and how a slot goes from one node to another without losing an
//! acknowledged write.
//!
//! The table of [`boato_placement`] says which node *should* hold a slot; that node asks for it. The node that
//! *does* hold it streams its entries while it goes on serving, then hands over in one step. A slot that nobody
//! has is minted only after everybody alive has said so. The protocol, its states and its messages are in
//! `docs/protocol.md`.
//!
//! # Contract
//!
//! [`Machine`] has no I/O, no clock and no unseeded randomness. Call [`Machine::handle`] with what happened and
//! the time, drain [`Machine::poll_output`], then wait for the next input or for [`Machine::poll_timeout`].
//! Frames may be lost, duplicated, delayed and reordered; members may be seen differently by every node.
//! Operations on slots that are served here need no machine: [`Slots::try_apply`] checks the slot's state and
//! applies in one step under the slot's lock. With feature `quic`, [`quic::Cluster`](crate::quic) is the driver
//! for production.
//!
//! # Example
//!
//! A node that sees nobody for a second begins a cluster and serves all slots:
//!
//! ```
//! use std::time::Duration;
//!
//! use boato_cluster::{Action, Config, Effect, Input, Machine, Now, Operation, Outcome, Pid};
//!
//! let at = |ms| Now { at: Duration::from_millis(ms), unix_ms: 1_700_000_000_000 + ms };
//! let mut machine = Machine::new(Config::new(Pid { node: 1, boot: 1 }, 7), at(0));
//! machine.handle(Input::Eligible { quiet: Duration::ZERO }, at(0));
//! machine.handle(Input::Timeout, at(1000));
//!
//! let slots = machine.slots();
//! let put: Operation<&[u8]> = Operation::on(&b"greeting"[..], Action::put(&b"hello"[..]));
//! let (effect, _) = slots.try_apply(&put, 1_700_000_001_000).expect("served here");
//! assert!(matches!(effect, Effect::Key(Outcome::Created(_))));
//! let read = slots.try_read(b"greeting", 1_700_000_001_000, |value| value.map(|it| it.bytes.to_vec()));
//! assert_eq!(read, Some(Some(b"hello".to_vec())));
//! ```
//!
//! # Map
//!
//! | module | what it is |
//! |---|---|
//! | `pid`, `time` | processes, epochs, hints; time as an argument |
//! | `operation` | what clients ask of a slot, and its effect on the entries |
//! | `message`, `wire`, `outbox` | what nodes say to each other, as bytes, folded into few frames |
//! | `slot`, `transfer`, `intake` | the state of one slot, beside its entries; a copy under way; a merge into it |
//! | `view` | the members as this node sees them, and the table that follows |
//! | `machine` | the transitions: one file per concern |
//! | `route`, `batch` | the way of one client operation; of several at once |
//! | `canary` | deliberate bugs for the simulator to find (feature `canaries`) |
//! | `quic` | the driver (feature `quic`) |

mod batch;
mod canary;
mod intake;
mod machine;
mod message;
mod operation;
mod outbox;
mod pid;
#[cfg(feature = "quic")]
pub mod quic;
mod route;
mod shared;
mod slot;
mod time;
#[cfg(feature = "quic")]
mod trace;
mod transfer;
mod view;
mod wire;

pub use batch::{Batch, Fate, Judged};
pub use boato_storage::{EntryRef, Value};
#[cfg(feature = "canaries")]
pub use canary::Canary;
#[cfg(feature = "model")]
pub use machine::Timer;
pub use machine::{
    BOUNDS_MS, Config, Event, Input, Limits, Machine, Output, Progress, Stats, Superseded, Times,
};
pub use message::{
    Answer, Applied, Digest, Frame, Greeting, Item, Lane, Load, Message, Request, Response, Run, SlotRun,
    Standing, Status,
};
pub use operation::{
    Action, Effect, ExpireWhen, Expiry, FLUSH_LIMIT, Guard, LIST_BYTES, LIST_LIMIT, Operation, Outcome,
    POSITION_BITS, Page, SCAN_LIMIT, Slice, Step, TRANSACTION_BYTES_MAX, TRANSACTION_LIMIT, VALUE_MAX,
};
pub use pid::{Epoch, Hint, Pid};
pub use route::{Attempt, Failure, Next, Sent, Verdict};
pub use shared::Slots;
pub use slot::{Asking, Claiming, Ended, Giving, Header, Purpose, Queued, Retry, Staging, State};
pub use time::Now;
#[cfg(feature = "quic")]
pub use trace::Trace;
pub use transfer::Transfer;
pub use view::{Liveness, Routes};
pub use wire::{PROTOCOL, WireError};
