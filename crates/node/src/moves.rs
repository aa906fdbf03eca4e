//! Slots on the move: what is left, how fast it goes, and what the log says of it.

use std::collections::VecDeque;
use std::time::Duration;

use boato_api::Moving;
use boato_cluster::quic::Cluster;
use boato_cluster::{Progress, Standing, Stats};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the slots are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks that make up the rate: those of the last few seconds.
const WINDOW: usize = 6;

/// Rest between two lines of the log about the same move.
const LINES: Duration = Duration::from_secs(5);

/// What moves, as last looked at; `None`: nothing.
pub(crate) type Latest = watch::Receiver<Option<Moving>>;

/// A future that looks at the slots of `cluster` and writes the log until it is dropped, and what it has seen last.
pub(crate) fn watch(cluster: Cluster) -> (impl Future<Output = ()> + Send, Latest) {
    let (sender, latest) = watch::channel(None);
    let looking = async move {
        let (start, mut moves) = (Instant::now(), Moves::default());
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A node without a cluster has no slots to wait for yet.
            let claimed = cluster.standing() == Standing::Claimed;
            let left = if claimed { cluster.progress() } else { Progress::default() };
            let (moving, line) = moves.look(start.elapsed(), left, &cluster.stats());
            sender.send_replace(moving);
            if let Some(line) = line {
                line.write();
            }
        }
    };
    (looking, latest)
}

/// What is left of what was seen moving, a second ago at most, at a node that holds `slots` by now.
pub(crate) fn still(seen: Moving, slots: usize) -> Option<Moving> {
    if slots > 0 || seen.slots_to_give == 0 {
        return Some(seen);
    }
    let moving = Moving { slots_to_give: 0, bytes_to_give: 0, seconds_left: None, ..seen };
    (moving.slots_to_take > 0).then_some(moving)
}

/// What the log is told.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Line {
    Going(Moving),
    Over { given: u64, taken: u64, minted: u64, merged: u64, bytes_given: u64, took: Duration },
}

impl Line {
    fn write(self) {
        match self {
            Self::Going(Moving {
                slots_to_give,
                bytes_to_give,
                slots_to_take,
                bytes_per_s,
                seconds_left,
            }) => {
                tracing::info!(
                    slots_to_give,
                    bytes_to_give,
                    slots_to_take,
                    bytes_per_s,
                    seconds_left,
                    "slots are moving"
                );
            }
            Self::Over { given, taken, minted, merged, bytes_given, took } => {
                let took_s = took.as_secs();
                tracing::info!(given, taken, minted, merged, bytes_given, took_s, "the slots have moved");
            }
        }
    }
}

/// What has been seen so far.
#[derive(Default)]
struct Moves {
    /// When, and bytes given until then: the last looks, oldest first.
    window: VecDeque<(Duration, u64)>,
    /// The last look at which nothing moved, with what had been counted by then.
    rest: (Duration, Stats),
    /// When the log was last told that slots are moving.
    told_at: Option<Duration>,
    /// Whether it was told so of this move.
    told: bool,
}

impl Moves {
    /// Takes what is left and what has been counted at `at`.
    fn look(&mut self, at: Duration, left: Progress, counted: &Stats) -> (Option<Moving>, Option<Line>) {
        if left == Progress::default() {
            return (None, self.rest(at, counted));
        }
        self.remember(at, counted.bytes_given);
        let moving = self.moving(left);
        let due = self.told_at.is_none_or(|told| told + LINES <= at);
        if due {
            (self.told_at, self.told) = (Some(at), true);
        }
        (Some(moving), due.then_some(Line::Going(moving)))
    }

    fn rest(&mut self, at: Duration, counted: &Stats) -> Option<Line> {
        self.window.clear();
        self.remember(at, counted.bytes_given);
        let (since, before) = std::mem::replace(&mut self.rest, (at, *counted));
        let given = counted.slots_given - before.slots_given;
        let taken = counted.slots_taken - before.slots_taken;
        let minted = counted.slots_minted - before.slots_minted;
        let merged = counted.slots_merged - before.slots_merged;
        let told = std::mem::take(&mut self.told);
        let bytes_given = counted.bytes_given - before.bytes_given;
        let line = Line::Over { given, taken, minted, merged, bytes_given, took: at.saturating_sub(since) };
        (told || given + taken + merged > 0).then_some(line)
    }

    fn remember(&mut self, at: Duration, bytes_given: u64) {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back((at, bytes_given));
    }

    fn moving(&self, left: Progress) -> Moving {
        let bytes_to_give = left.bytes_to_give as u64;
        let bytes_per_s = self.bytes_per_s();
        let seconds_left = (bytes_per_s > 0).then(|| bytes_to_give.div_ceil(bytes_per_s));
        Moving {
            slots_to_give: left.slots_to_give,
            bytes_to_give,
            slots_to_take: left.slots_to_take,
            bytes_per_s,
            seconds_left: seconds_left.filter(|_| left.slots_to_give > 0),
        }
    }

    fn bytes_per_s(&self) -> u64 {
        let (Some((first_at, first)), Some((last_at, last))) = (self.window.front(), self.window.back())
        else {
            return 0;
        };
        let ms = last_at.saturating_sub(*first_at).as_millis();
        let bytes = u128::from(last - first) * 1000;
        bytes.checked_div(ms).map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn left(slots_to_give: usize, mib: usize) -> Progress {
        Progress { slots_to_give, bytes_to_give: mib * MIB, slots_to_take: 0 }
    }

    fn counted(slots_given: u64, mib: usize) -> Stats {
        Stats { slots_given, bytes_given: (mib * MIB) as u64, ..Stats::default() }
    }

    #[test]
    fn the_time_left_follows_from_the_rate_of_the_last_seconds() {
        let mut moves = Moves::default();
        moves.look(s(100), Progress::default(), &Stats::default());
        for second in 1..20 {
            moves.look(s(100 + second), left(50, 1000), &counted(0, 1));
        }
        // Nothing moved for long; then 5 MiB in one second of the five looked back on.
        let (moving, _) = moves.look(s(120), left(30, 20), &counted(20, 6));
        let moving = moving.unwrap();
        assert_eq!((moving.bytes_per_s, moving.seconds_left), (MIB as u64, Some(20)));
    }

    #[test]
    fn a_node_without_slots_gives_none() {
        let seen = |slots_to_give, slots_to_take| Moving {
            slots_to_give,
            bytes_to_give: 7,
            slots_to_take,
            bytes_per_s: 1,
            seconds_left: Some(7),
        };
        assert_eq!(still(seen(664, 0), 0), None);
        assert_eq!(still(seen(664, 0), 1), Some(seen(664, 0)));
        let taking = Moving { bytes_to_give: 0, seconds_left: None, ..seen(0, 3) };
        assert_eq!(still(seen(664, 3), 0), Some(taking));
    }

    #[test]
    fn without_a_rate_or_anything_to_give_no_time_is_told() {
        let mut moves = Moves::default();
        let (moving, _) = moves.look(s(1), left(5, 1), &Stats::default());
        assert_eq!((moving.unwrap().bytes_per_s, moving.unwrap().seconds_left), (0, None));
        let taking = Progress { slots_to_take: 9, ..Progress::default() };
        let (moving, _) = moves.look(s(2), taking, &counted(5, 1));
        assert_eq!((moving.unwrap().slots_to_take, moving.unwrap().seconds_left), (9, None));
    }

    #[test]
    fn the_log_has_a_line_each_five_seconds_and_one_at_the_end() {
        let mut moves = Moves::default();
        assert_eq!(moves.look(s(0), Progress::default(), &Stats::default()), (None, None));
        let lines: Vec<u64> = (1..=13)
            .filter(|&second| moves.look(s(second), left(8, 8), &counted(second, 1)).1.is_some())
            .collect();
        assert_eq!(lines, [1, 6, 11]);
        let (moving, line) = moves.look(s(14), Progress::default(), &counted(14, 2));
        let over = Line::Over {
            given: 14,
            taken: 0,
            minted: 0,
            merged: 0,
            bytes_given: 2 * MIB as u64,
            took: s(14),
        };
        assert_eq!((moving, line), (None, Some(over)));
        assert_eq!(moves.look(s(15), Progress::default(), &counted(14, 2)), (None, None));
        let again = |second| moves.look(s(second), left(8, 8), &counted(14, 2)).1.is_some();
        assert_eq!([15, 16].map(again), [false, true], "the next move keeps the distance, too");
    }

    #[test]
    fn a_move_between_two_looks_is_told_when_it_is_over() {
        let mut moves = Moves::default();
        moves.look(s(0), Progress::default(), &Stats::default());
        let (_, line) = moves.look(s(1), Progress::default(), &counted(7, 0));
        assert!(matches!(line, Some(Line::Over { given: 7, took, .. }) if took == s(1)));
    }
}
