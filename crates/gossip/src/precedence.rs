//! Which of two statements about one node wins.

use crate::State;

/// What a statement says about a node. Statements about one node are totally ordered and the highest wins, so all
/// members end up with the same belief, in whatever order the statements reach them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standing {
    // The order of the fields is the rule: compared from the top.
    /// A newer boot beats all that was ever said about older ones.
    pub(crate) boot: u64,
    /// Within a boot the member itself has the last word: only it raises the incarnation.
    pub(crate) incarnation: u64,
    /// Within an incarnation the worse state wins.
    pub(crate) state: State,
}

impl Standing {
    /// The one rule of precedence.
    pub(crate) fn beats(self, known: Standing) -> bool {
        self > known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Alive, Dead, Left, Suspect};

    fn standing(boot: u64, incarnation: u64, state: State) -> Standing {
        Standing { boot, incarnation, state }
    }

    #[test]
    fn boot_then_incarnation_then_state() {
        let order = [
            standing(1, 0, Alive),
            standing(1, 0, Suspect),
            standing(1, 0, Dead),
            standing(1, 0, Left),
            standing(1, 1, Alive),
            standing(1, 9, Left),
            standing(2, 0, Alive),
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(a.beats(*b), i > j, "{a:?} against {b:?}");
            }
        }
    }
}
