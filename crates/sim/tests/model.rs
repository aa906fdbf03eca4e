//! The model check: it exhausts what is small, finds deliberate bugs, and every run of it is the same.

use boato_sim::model::{Bounds, Canary, End, Report, Script, check, scripts};

const SMALL: Bounds =
    Bounds { states: 20_000, depth: 100, sample: 16, threads: 2, detours: None, lasting: false };

fn script(name: &str) -> Script {
    scripts().into_iter().find(|script| script.name == name).expect("there is such a script")
}

fn explore(name: &str, canary: Option<Canary>, bounds: Bounds) -> Report {
    check(&script(name), canary, bounds, &mut |_| true)
}

#[test]
fn hand_off_between_two_nodes_is_exhausted_with_and_without_a_crash() {
    for name in ["hand-off", "hand-off-crash"] {
        let report = explore(name, None, SMALL);
        assert_eq!((report.end, report.violation), (End::Exhausted, None), "{name}");
        assert!(
            report.progress.states > 500 && report.progress.fair_runs > 0,
            "{name}: {:?}",
            report.progress
        );
    }
}

#[test]
fn known_bugs_are_found_by_the_shortest_way() {
    for (name, canary) in [
        ("hand-off", Canary::FreeBeforeTaken),
        ("target-crash", Canary::ServeOnTaken),
        ("hand-off", Canary::ResumeOnSilence),
        ("hand-off-write", Canary::WritesWhileFrozen),
        ("hand-off", Canary::TakenOnce),
    ] {
        let report = explore(name, Some(canary), SMALL);
        let (what, trace) = report.violation.unwrap_or_else(|| panic!("{canary:?} was not found"));
        assert_eq!(report.end, End::Violated);
        assert!(!what.is_empty() && trace.len() >= 2 * report.progress.depth, "{what}: {trace:?}");
    }
}

#[test]
fn where_detours_are_counted_ways_are_seen_to_their_end() {
    let ends = |detours| {
        let report = explore("join-second", None, Bounds { detours: Some(detours), ..SMALL });
        assert_eq!((report.end, report.violation), (End::Exhausted, None), "{detours} detours");
        report.progress
    };
    let (few, more) = (ends(0), ends(1));
    assert!(few.depth > 20 && more.states > 10 * few.states, "{few:?}, {more:?}");
}

#[test]
fn bugs_that_take_long_ways_are_found_with_few_detours() {
    for (name, canary, detours) in [
        ("claims", Canary::CrossedClaims, 3),
        ("joins-write", Canary::MintAfterFirstAnswer, 2),
        ("swap", Canary::CommitTwice, 2),
        ("few-members", Canary::FewMembersWrite, 0),
    ] {
        let report = explore(name, Some(canary), Bounds { detours: Some(detours), ..SMALL });
        assert_eq!(report.end, End::Violated, "{name}, {canary:?}: {:?}", report.progress);
    }
}

#[test]
fn the_same_search_finds_the_same_whatever_the_number_of_threads() {
    let bounds = Bounds { states: 3000, threads: 1, ..SMALL };
    let one = explore("join", None, bounds).progress;
    let two = explore("join", None, Bounds { threads: 2, ..bounds }).progress;
    assert_eq!((one.states, one.transitions, one.depth), (two.states, two.transitions, two.depth));
}

#[test]
fn a_search_ends_at_its_bounds() {
    let report = explore("joins", None, Bounds { states: 1000, ..SMALL });
    assert_eq!(report.end, End::States);
    let report = explore("joins", None, Bounds { depth: 3, ..SMALL });
    assert_eq!((report.end, report.progress.depth), (End::Depth, 3));
    let report = check(&script("joins"), None, SMALL, &mut |_| false);
    assert_eq!(report.end, End::Stopped);
}

#[test]
fn where_frames_last_two_slots_are_exhausted_and_bugs_are_found() {
    let lasting = Bounds { lasting: true, ..SMALL };
    for name in ["two-slots-move", "two-slots-claim"] {
        let report = explore(name, None, lasting);
        assert_eq!((report.end, report.violation), (End::Exhausted, None), "{name}: {:?}", report.progress);
    }
    for (name, canary) in [
        ("hand-off", Canary::FreeBeforeTaken),
        ("hand-off", Canary::CommitTwice),
        ("target-crash", Canary::ServeOnTaken),
        ("hand-off-write", Canary::WritesWhileFrozen),
        ("two-slots-move", Canary::CommitWithGaps),
    ] {
        let report = explore(name, Some(canary), lasting);
        assert_eq!(report.end, End::Violated, "{name}, {canary:?}: {:?}", report.progress);
    }
}
