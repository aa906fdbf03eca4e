//! Who holds which slot, put together from what every member says it holds.

use boato_api::{SlotMap, SlotRun};
use boato_cluster::{Pid, Status};
use boato_placement::SLOTS;

/// The states a slot may be shown in; of two nodes with custody in a hand-over, the one that serves is shown.
const STATES: [&str; 5] = ["held", "copying", "committing", "merging", "ready"];

/// What is shown of a slot that nobody says it has: all have answered, or not.
const NOBODY: &str = "unheld";
const UNKNOWN: &str = "unknown";

/// The map of all slots; `statuses` are what the members alive say, `None` of those that have not answered.
pub(crate) fn of(statuses: &[(Pid, Option<Status>)], name: impl Fn(Pid) -> String) -> SlotMap {
    let told = || statuses.iter().filter_map(|(_, status)| status.as_ref());
    let silent = statuses.iter().filter(|(_, status)| status.is_none()).map(|(pid, _)| name(*pid)).collect();
    SlotMap { lost: told().map(|status| status.slots_lost).sum(), silent, runs: runs(statuses, name) }
}

fn runs(statuses: &[(Pid, Option<Status>)], name: impl Fn(Pid) -> String) -> Vec<SlotRun> {
    // Per slot the rank of its state in `STATES` and the place of its holder in `statuses`.
    let mut slots: Vec<Option<(usize, usize)>> = vec![None; SLOTS];
    for (place, (_, status)) in statuses.iter().enumerate() {
        for run in status.iter().flat_map(|status| &status.runs).filter(|run| run.custody) {
            let Some(rank) = STATES.iter().position(|state| *state == run.state) else { continue };
            for slot in slots.iter_mut().take(usize::from(run.to) + 1).skip(run.from.into()) {
                *slot = Some(slot.map_or((rank, place), |known| known.min((rank, place))));
            }
        }
    }
    let nobody = if statuses.iter().all(|(_, status)| status.is_some()) { NOBODY } else { UNKNOWN };
    let mut first = 0;
    let runs = slots.chunk_by(|left, right| left == right).map(|run| {
        let from = first;
        first += run.len();
        let (holder, state) = match run[0] {
            Some((rank, place)) => (Some(name(statuses[place].0)), STATES[rank]),
            None => (None, nobody),
        };
        SlotRun { from: slot(from), to: slot(first - 1), holder, state }
    });
    runs.collect()
}

fn slot(index: usize) -> u16 {
    u16::try_from(index).expect("invariant: slots are numbered below 16384")
}

#[cfg(test)]
mod tests {
    use boato_cluster::SlotRun as Held;

    use super::*;

    fn status(slots_lost: u64, runs: &[(u16, u16, &str)]) -> Status {
        let runs = runs
            .iter()
            .map(|&(from, to, state)| Held { from, to, state: state.to_owned(), custody: state != "asking" })
            .collect();
        Status { slots: 0, slots_lost, entries: 0, bytes: 0, runs }
    }

    #[test]
    fn the_node_that_serves_is_shown_gaps_are_named_and_losses_add_up() {
        let [a, b] = [1, 2].map(|node| Pid { node, boot: 1 });
        let statuses = [
            (a, Some(status(3, &[(0, 99, "held"), (100, 100, "committing")]))),
            (b, Some(status(4, &[(50, 60, "asking"), (100, 100, "ready"), (101, 16000, "held")]))),
        ];
        let map = of(&statuses, |pid| pid.node.to_string());
        assert_eq!((map.lost, map.silent), (7, Vec::new()));
        let shown: Vec<_> =
            map.runs.into_iter().map(|run| (run.from, run.to, run.holder, run.state)).collect();
        let held = |node: &str| Some(node.to_owned());
        assert_eq!(
            shown,
            [
                (0, 99, held("1"), "held"),
                (100, 100, held("1"), "committing"),
                (101, 16000, held("2"), "held"),
                (16001, 16383, None, "unheld"),
            ]
        );
    }

    #[test]
    fn who_has_not_answered_is_named_and_its_slots_are_unknown() {
        let [a, b] = [1, 2].map(|node| Pid { node, boot: 1 });
        let map = of(&[(a, Some(status(3, &[(0, 99, "held")]))), (b, None)], |pid| pid.node.to_string());
        assert_eq!((map.lost, map.silent), (3, vec!["2".to_owned()]));
        let shown: Vec<_> = map.runs.iter().map(|run| (run.from, run.to, run.state)).collect();
        assert_eq!(shown, [(0, 99, "held"), (100, 16383, "unknown")]);
    }
}
