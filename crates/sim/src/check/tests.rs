//! The checkers against the definition, against each other, and against histories of a register, right and wrong.

use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::register::{Bug, Setup, record};
use super::testing::{call, oracle};
use super::{Action, Call, History, Value, Violation, increments, linearizable, search, zones};

/// A call that begins in the first 20 ms and may overlap some others.
fn any_call(action: impl Strategy<Value = Action>) -> impl Strategy<Value = Call> {
    (0u64..20, 0u64..8, action).prop_map(|(from, length, action)| call(from, from + length, action))
}

fn any_value() -> std::ops::Range<Value> {
    1..7
}

fn any_read() -> impl Strategy<Value = Action> {
    proptest::option::weighted(0.8, any_value()).prop_map(|found| Action::Read { found })
}

fn any_answer() -> impl Strategy<Value = Option<bool>> {
    proptest::option::weighted(0.7, any::<bool>())
}

fn any_write() -> impl Strategy<Value = Action> {
    any_answer().prop_map(|replaced| Action::Write { value: 1, replaced })
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => any_read(),
        2 => any_write(),
        1 => any_answer().prop_map(|existed| Action::Delete { existed }),
        2 => (proptest::option::of(any_value()), any_answer())
            .prop_map(|(expected, done)| Action::Swap { expected, value: 1, done }),
        1 => Just(Action::Vanish),
    ]
}

/// The calls, each writing another value, 1 to 6: those that `twins` does not make the same.
fn with_values(mut calls: Vec<Call>, twins: u64) -> History {
    for (number, call) in (1..).zip(&mut calls) {
        if let Action::Write { value, .. } | Action::Swap { value, .. } = &mut call.action {
            *value = if twins > 1 && number % twins == 0 { number - 1 } else { number };
        }
    }
    calls.into_iter().collect()
}

/// Changes one answer of a history, or swaps those of two reads.
fn mutated(history: &History, seed: u64) -> History {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut calls = history.calls().to_vec();
    let index = rng.usize(..calls.len());
    let length = calls.len() as u64;
    match &mut calls[index].action {
        Action::Read { found } => *found = Some(rng.u64(..=length)).filter(|value| *value > 0),
        Action::Write { replaced: answer, .. }
        | Action::Delete { existed: answer }
        | Action::Swap { done: answer, .. } => *answer = answer.map(|answer| !answer),
        Action::Add { .. } => unreachable!("no such call is recorded"),
        Action::Vanish => _ = calls.remove(index),
    }
    calls.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_agrees_with_the_definition(calls in vec(any_call(any_action()), 1..7), twins in 0u64..6) {
        let history = with_values(calls, twins);
        let right = oracle::linearizable(&history);
        prop_assert_eq!(search::check(&history).is_ok(), right);
        prop_assert_eq!(linearizable(&history).is_ok(), right, "the zones refute more");
    }

    #[test]
    fn increments_are_judged_by_the_definition(
        calls in vec(any_call(prop_oneof![
            1 => proptest::option::of(1u64..5).prop_map(|found| Action::Read { found }),
            3 => proptest::option::weighted(0.7, 1u64..5).prop_map(|sum| Action::Add { sum }),
        ]), 1..7),
    ) {
        let history: History = calls.into_iter().collect();
        prop_assert_eq!(increments(&history).is_ok(), oracle::linearizable(&history));
    }

    #[test]
    fn the_zones_agree_with_the_definition(
        calls in vec(any_call(prop_oneof![any_read(), any_write()]), 1..8),
    ) {
        let history = with_values(calls, 0);
        let verdict = zones::check(&history);
        prop_assert_ne!(&verdict, &Ok(false));
        prop_assert_eq!(verdict.is_ok(), oracle::linearizable(&history));
    }

    #[test]
    fn the_search_agrees_with_the_definition_near_right_histories(
        seed: u64,
        crashes in 0usize..2,
        bug in proptest::sample::select(&BUGS),
    ) {
        let setup = Setup { calls: 7, crashes, unanswered: 3, ..Setup::default() };
        let right = record(setup, seed, None);
        let wrong = mutated(&right, seed);
        prop_assert_eq!(search::check(&right), Ok(()));
        let verdict = oracle::linearizable(&wrong);
        prop_assert_eq!(search::check(&wrong).is_ok(), verdict, "{}", wrong);
        prop_assert_eq!(linearizable(&wrong).is_ok(), verdict, "{}", wrong);
        prop_assert_eq!(linearizable(&right), Ok(()));
        let buggy = record(setup, seed, Some(bug));
        prop_assert_eq!(linearizable(&buggy).is_ok(), oracle::linearizable(&buggy), "{}", buggy);
    }

    #[test]
    fn the_zones_agree_with_the_search(seed: u64, clients in 2usize..6, calls in 5usize..40) {
        let setup = Setup { clients, calls, plain: true, ..Setup::default() };
        let right = record(setup, seed, None);
        let wrong = mutated(&right, seed);
        prop_assert_eq!(zones::check(&right), Ok(true));
        let verdict = zones::check(&wrong);
        prop_assert_eq!(verdict.is_ok(), search::check(&wrong).is_ok(), "{}", wrong);
    }
}

const BUGS: [Bug; 3] = [Bug::StaleRead, Bug::LostWrite, Bug::AppliedTwice];

/// How many of 200 histories with a bug are found wrong.
fn found(setup: Setup, bug: Bug) -> usize {
    let wrong = |seed: &u64| match linearizable(&record(setup, *seed, Some(bug))) {
        Ok(()) => false,
        Err(Violation::Undecided { .. }) => panic!("undecided: {setup:?}, {bug:?}, seed {seed}"),
        Err(_) => true,
    };
    (0..200).filter(wrong).count()
}

#[test]
fn long_right_histories_pass() {
    for plain in [false, true] {
        for seed in 0..100 {
            let crashes = if plain { 0 } else { 2 };
            let setup = Setup { clients: 8, calls: 300, plain, unanswered: 20, crashes };
            let history = record(setup, seed, None);
            assert_eq!(linearizable(&history), Ok(()), "{setup:?}, seed {seed}");
        }
    }
}

#[test]
fn foresight_keeps_the_effort_small() {
    for seed in 0..100 {
        let setup = Setup { clients: 8, calls: 300, unanswered: 5, ..Setup::default() };
        let history = record(setup, seed, None);
        assert_eq!(search::check_within(&history, 2000), Ok(()), "seed {seed}");
    }
}

/// Two clients whose calls often overlap: a bug on which no later answer depends goes unseen.
#[test]
fn a_quarter_of_single_bugs_in_long_histories_is_found() {
    for plain in [false, true] {
        let setup = Setup { clients: 2, calls: 300, plain, unanswered: 20, crashes: 0 };
        for bug in BUGS {
            let found = found(setup, bug);
            assert!(found >= 50, "{found} of 200: {bug:?}, {setup:?}");
        }
    }
}
