//! What can go wrong in a run.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A kind of fault, or of change that has the same consequences.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on a command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

faults! {
    /// Packets get lost for a while.
    Loss = "loss",
    /// Packets take long, and overtake each other.
    Delay = "delay",
    /// Datagrams and frames arrive twice; frames may overtake each other.
    Duplication = "duplication",
    /// The way from and to one host is slow.
    SlowLink = "slow-link",
    /// Connections break while an answer is awaited.
    Break = "break",
    /// Two groups of hosts do not reach each other.
    Partition = "partition",
    /// One group of hosts does not reach the other, but is reached.
    OneWay = "one-way",
    /// Two hosts do not reach each other for long, one of them perhaps a newcomer; others reach both.
    Pair = "pair",
    /// A process ends without a word, for good.
    Crash = "crash",
    /// A process ends without a word, and starts again with nothing.
    Restart = "restart",
    /// A process gets no processor for a while.
    Pause = "pause",
    /// A node is told late what its gossip knows of others.
    LateNews = "late-news",
    /// Clocks are wrong, run too fast or too slow, and are set.
    Skew = "skew",
    /// Nodes join, several at a time.
    Join = "join",
    /// Nodes leave, several at a time.
    Leave = "leave",
    /// A node has to leave in less time than it needs.
    Deadline = "deadline",
    /// The weight of a node changes.
    Weight = "weight",
    /// Two clusters were begun, and meet.
    TwoClusters = "two-clusters",
    /// Ways are closed, and processes end or stand still, at the very moments for which the rules of a hand-over exist.
    Ambush = "ambush",
    /// The shortest way is gone to what one rule of the protocol prevents, as far as that rule lets it.
    Plot = "plot",
    /// The nodes of a new cluster find each other, and stand still for seconds before one of them begins it.
    StalledStart = "stalled-start",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// There is no fault of this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no fault is called {0:?}; there are {names}", names = names(Fault::ALL))]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        Self::ALL
            .iter()
            .copied()
            .find(|fault| fault.name() == text)
            .ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

/// The names, separated by commas.
pub(super) fn names(faults: &[Fault]) -> String {
    let names: Vec<_> = faults.iter().map(|fault| fault.name()).collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_faults() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(*fault));
        }
        let unknown = "rain".parse::<Fault>().unwrap_err();
        assert!(unknown.to_string().contains("loss,delay,"), "{unknown}");
    }
}
