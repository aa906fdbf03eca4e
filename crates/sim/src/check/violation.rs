//! What a checker found, in a few lines for people.

use std::fmt;
use std::time::Duration;

use boato_cluster::{Epoch, Pid};

use super::history::{Found, Ms};
use super::{Call, Given, Holding, Value};

/// A broken promise, with what it was found in. `Display` takes a few lines without a line end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Violation {
    /// A value was found that nobody has ever written.
    NeverWritten {
        /// The value.
        value: Value,
        /// Who found it, if that was a call of the history.
        read: Option<Call>,
    },
    /// A value was found before anybody asked to write it.
    FromFuture {
        /// The read, and the call that wrote the value.
        calls: [Box<Call>; 2],
    },
    /// Two writes were each told to be the first, or a write replaced something before anything was written.
    Origin {
        /// The call that cannot be right, and another one that contradicts it, if one does.
        calls: Vec<Call>,
    },
    /// Two values (or a value and its absence) must each have come before the other.
    Stale {
        /// The calls that show it: per value, the write, the call that was over first and the one that began last.
        calls: Vec<Call>,
    },
    /// No order of the calls explains this answer.
    Stuck {
        /// The call that the search did not get past.
        call: Box<Call>,
        /// What the key may have held at some moment before; `Value::MAX` for any that no later call looks for.
        states: Vec<Option<Value>>,
        /// The last calls before it and those that overlap it, itself among them, in the order of invocation.
        around: Vec<Call>,
    },
    /// The search ended at its bound: neither right nor wrong.
    Undecided {
        /// How many calls there were.
        calls: usize,
        /// Configurations visited.
        visited: usize,
    },
    /// A counter's value is out of its bounds.
    Counter {
        /// Increments that were acknowledged.
        acknowledged: u64,
        /// Increments of unknown outcome.
        unknown: u64,
        /// Whether a crash may have taken the key.
        vanished: bool,
        /// What was left.
        last: Option<Value>,
    },
    /// Increments were told what cannot be.
    Increments {
        /// What is wrong with it.
        why: &'static str,
        /// Who was told.
        calls: Vec<Call>,
    },
    /// Something else is left than what has the highest version.
    NotHighest {
        /// The call with the highest acknowledged version.
        highest: Call,
        /// What was left.
        last: Option<Value>,
    },
    /// More writes began anew, or replaced one and the same version, than merges and crashes account for.
    Unreported {
        /// The sides that there must have been.
        sides: usize,
        /// Those that ended in a merge that counted.
        counted: usize,
        /// Those that may have ended in a crash.
        crashed: usize,
    },
    /// An acknowledged conditional write is gone, and no merge has told of it.
    Vanished {
        /// The write.
        call: Call,
    },
    /// A merge tells of a value that it has not given up.
    FalseReport {
        /// What it told.
        given: Box<Given>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A slot is held as it must not be.
    Slot {
        /// Since when.
        at: Duration,
        /// Which slot.
        slot: u16,
        /// What is wrong.
        fault: Fault,
        /// Who has something of it then.
        copies: Vec<(Pid, Holding)>,
    },
}

/// How a slot must not be held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Two processes serve it, and nobody was falsely considered dead.
    ServedTwice,
    /// A process has it under an epoch that another one activates: two would have it under the same.
    ForeignEpoch,
    /// A process begins to have it, or goes on, although there was a higher epoch (or, when it begins, that very
    /// one) before.
    EpochBack {
        /// The highest before.
        highest: Epoch,
    },
    /// When all should be calm, not exactly one process has it, or that one does not serve.
    NotSettled,
}

impl Violation {
    /// Whether this says that the effort was not enough, rather than that something is wrong.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Undecided { .. })
    }
}

impl std::error::Error for Violation {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverWritten { value, read } => {
                write!(f, "{value} was read, but never written")?;
                lines(f, read)
            }
            Self::FromFuture { calls: [read, write] } => {
                f.write_str("a value was read before it was written:")?;
                lines(f, [read.as_ref(), write])
            }
            Self::Origin { calls } => {
                f.write_str("which write was the first? These answers cannot be right:")?;
                lines(f, calls)
            }
            Self::Stale { calls } => {
                f.write_str("stale: of these, each value would have to come before the other:")?;
                lines(f, calls)
            }
            Self::Stuck { call, states, around } => stuck(f, call, states, around),
            Self::Undecided { calls, visited } => {
                write!(f, "undecided: {calls} calls, given up after {visited} configurations")
            }
            Self::Counter { acknowledged, unknown, vanished, last } => {
                let crash = if *vanished { ", a crash may have taken the key" } else { "" };
                let last = last.unwrap_or(0);
                write!(f, "counter at {last}: {acknowledged} acknowledged, {unknown} unknown{crash}")
            }
            Self::Increments { why, calls } => {
                write!(f, "{why}:")?;
                lines(f, calls)
            }
            Self::NotHighest { highest, last } => {
                write!(f, "left is {}, but the highest version is that of", Found(*last))?;
                lines(f, [highest])
            }
            Self::Unreported { sides, counted, crashed } => write!(
                f,
                "{sides} sides wrote it, of which {counted} ended in merges that counted, {crashed} perhaps in crashes"
            ),
            Self::Vanished { call } => {
                f.write_str("gone, and no merge has told of it:")?;
                lines(f, [call])
            }
            Self::FalseReport { given, why } => {
                let Given { kept, gone, merge: (winner, loser), .. } = &**given;
                write!(f, "the merge of {loser} into {winner} gave {gone:x?} up for {kept:x?}, but {why}")
            }
            Self::Slot { at, slot, fault, copies } => {
                write!(f, "{}: slot {slot} {fault}:", Ms(*at))?;
                if copies.is_empty() {
                    f.write_str("\n  nobody has it")?;
                }
                copies.iter().try_for_each(|(pid, holding)| write!(f, "\n  {pid} {holding}"))
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServedTwice => f.write_str("is served twice"),
            Self::ForeignEpoch => f.write_str("is had under another's epoch"),
            Self::EpochBack { highest } => write!(f, "goes back from epoch {highest}"),
            Self::NotSettled => f.write_str("is not settled"),
        }
    }
}

fn stuck(f: &mut fmt::Formatter<'_>, call: &Call, states: &[Option<Value>], around: &[Call]) -> fmt::Result {
    f.write_str("no order of the calls explains\n")?;
    write!(f, "  {call}\nthe key may have held")?;
    for (index, state) in states.iter().enumerate() {
        write!(f, "{} {}", if index == 0 { "" } else { "," }, Found(*state))?;
    }
    f.write_str("; calls around it:")?;
    lines(f, around)
}

fn lines<'a>(f: &mut fmt::Formatter<'_>, calls: impl IntoIterator<Item = &'a Call>) -> fmt::Result {
    calls.into_iter().try_for_each(|call| write!(f, "\n  {call}"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOTHING, call, create, delete, history, read};
    use super::super::{linearizable, search};
    use super::*;

    #[test]
    fn a_stale_read_shows_the_calls_that_contradict() {
        let stale = linearizable(&history([call(0, 1, create(1)), call(2, 3, NOTHING)])).expect_err("stale");
        let lines = [
            "stale: of these, each value would have to come before the other:",
            "      0.000 ms ..     1.000 ms  write 1 -> created",
            "      2.000 ms ..     3.000 ms  read -> nothing",
        ];
        assert_eq!(stale.to_string(), lines.join("\n"));
    }

    #[test]
    fn a_search_shows_where_it_ended() {
        let calls = [call(0, 1, create(1)), call(2, 3, delete(true)), call(4, 5, read(1))];
        let stuck = search::check(&history(calls)).expect_err("back again");
        let lines = [
            "no order of the calls explains",
            "      4.000 ms ..     5.000 ms  read -> 1",
            "the key may have held nothing; calls around it:",
            "      0.000 ms ..     1.000 ms  write 1 -> created",
            "      2.000 ms ..     3.000 ms  delete -> deleted",
            "      4.000 ms ..     5.000 ms  read -> 1",
        ];
        assert_eq!(stuck.to_string(), lines.join("\n"));
        assert!(!stuck.is_undecided());
        assert!(Violation::Undecided { calls: 1, visited: 1 }.is_undecided());
    }

    #[test]
    fn a_slot_shows_its_copies() {
        let pid = Pid { node: 0xabcd_ef01 << 96, boot: 2 };
        let epoch = Epoch { counter: 7, pid };
        let copies = vec![(pid, Holding::Serving(epoch)), (pid, Holding::Custody(epoch))];
        let violation =
            Violation::Slot { at: Duration::from_micros(1500), slot: 3, fault: Fault::ServedTwice, copies };
        let lines = [
            "1.500 ms: slot 3 is served twice:",
            "  abcdef01.0002 serves it as 7@abcdef01.0002",
            "  abcdef01.0002 keeps it as 7@abcdef01.0002",
        ];
        assert_eq!(violation.to_string(), lines.join("\n"));
    }
}
