//! Who holds which slot.

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
mod transfer;
mod view;
mod wire;

pub use machine::{Config, Event, Input, Machine, Output, Stats};
pub use message::{
    Answer, Digest, Frame, Item, Lane, Message, Request, Response, Run, SlotRun, Standing, Status,
};
pub use operation::{Applier, Guard, LIST_LIMIT, Operation, Outcome};
pub use pid::{Epoch, Hint, Pid};
pub use route::{Attempt, Failure, Next, Sent, Verdict};
pub use shared::Slots;
pub use slot::{Asking, Claiming, Ended, Giving, Header, Queued, Retry, Staging, State};
pub use time::Now;
pub use transfer::Transfer;
pub use view::{Liveness, Routes};
pub use wire::WireError;
