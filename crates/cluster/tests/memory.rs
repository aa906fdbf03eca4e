//! Several writes of one step, where the memory limit allows some of them.

use std::sync::Arc;
use std::time::Duration;

use boato_cluster::{
    Action, Config, Effect, Expiry, Guard, Input, Machine, Now, Operation, Outcome, Pid, Slots, Step,
};
use bytes::Bytes;

const START_MS: u64 = 1_700_000_000_000;
const LIMIT: u64 = 1 << 20;

/// What a node holds that holds every slot and has a limit.
fn slots() -> Arc<Slots> {
    let at = |ms| Now { at: Duration::from_millis(ms), unix_ms: START_MS + ms };
    let config = Config { max_memory: Some(LIMIT), ..Config::new(Pid { node: 1, boot: 1 }, 7) };
    let mut machine = Machine::new(config, at(0));
    machine.handle(Input::Eligible { quiet: Duration::ZERO }, at(0));
    machine.handle(Input::Timeout, at(1000));
    machine.slots()
}

fn key(number: usize) -> String {
    format!("{{q}}{number}")
}

fn step(number: usize, action: Action) -> Step {
    Step { key: key(number).into(), action }
}

fn put(len: usize) -> Action {
    Action::put(vec![0; len])
}

fn slot() -> u16 {
    boato_placement::slot(key(0).as_bytes())
}

fn transact(slots: &Slots, steps: Vec<Step>) -> Vec<Outcome> {
    let transaction: Operation = Operation::Transaction { slot: slot(), watched: Vec::new(), steps };
    let effect = slots.try_apply(&transaction, START_MS).expect("held here").0;
    let Effect::Transaction(Some(outcomes)) = effect else { panic!("{effect:?}") };
    outcomes
}

fn all_refused(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == Outcome::Full)
}

#[test]
fn a_transaction_that_does_not_fit_stores_nothing() {
    let slots = slots();
    let outcomes = transact(&slots, (0..6).map(|number| step(number, put(400_000))).collect());
    assert_eq!(outcomes, vec![Outcome::Full; 6]);
    assert_eq!(slots.memory().entries, 0);
    assert_eq!(slots.memory().bytes, 0, "nothing stays set aside");
    let outcomes = transact(&slots, (0..2).map(|number| step(number, put(400_000))).collect());
    assert!(matches!(outcomes[..], [Outcome::Created(_), Outcome::Created(_)]));
}

#[test]
fn whatever_its_steps_add_counts() {
    let actions = [
        put(300_000),
        Action::Append { bytes: vec![0; 300_000].into() },
        Action::SetRange { offset: 599_999, bytes: "x".into() },
        Action::SetBit { offset: 8 * 599_999, bit: true },
        Action::Rename { to: key(9).into(), replace: true, keep: true },
    ];
    for (index, action) in actions.into_iter().enumerate() {
        let slots = slots();
        transact(&slots, vec![step(1, put(300_000)), step(2, put(300_000))]);
        let before = slots.memory();
        let taken = if action == put(300_000) { 3 } else { 1 };
        let outcomes = transact(&slots, vec![step(4, put(200_000)), step(taken, action.clone())]);
        assert!(all_refused(&outcomes), "action {index}");
        assert_eq!(slots.memory(), before, "action {index}");
        assert!(
            !all_refused(&transact(&slots, vec![step(taken, action.clone())])),
            "action {index} alone fits"
        );
    }
}

#[test]
fn what_adds_nothing_is_done_in_a_full_store() {
    let slots = slots();
    let full = (0..usize::MAX).take_while(|number| {
        let write: Operation = Operation::Key(step(*number, put(20)));
        slots.try_apply(&write, START_MS).expect("held here").0 != Effect::Key(Outcome::Full)
    });
    assert!(full.count() > 1000);
    assert_eq!(transact(&slots, vec![step(0, Action::put("1")), step(10_000_000, put(20))]).len(), 2);
    let outcomes = transact(
        &slots,
        vec![
            step(0, Action::put("1")),
            step(0, Action::Get),
            step(0, Action::Add { by: 1, ttl_ms: None }),
            step(
                0,
                Action::Expire {
                    expiry: Expiry::After(9),
                    when: boato_cluster::ExpireWhen::Always,
                    value: false,
                },
            ),
            step(1, Action::DELETE),
        ],
    );
    assert!(outcomes.iter().all(|outcome| *outcome != Outcome::Full), "{outcomes:?}");
    let absent = Action::Put {
        value: vec![0; 1000].into(),
        content_type: Bytes::new(),
        expiry: Expiry::Never,
        guard: Guard::Absent,
        previous: false,
    };
    let outcomes = transact(&slots, vec![step(2, absent)]);
    assert!(matches!(outcomes[..], [Outcome::Refused { .. }]), "the condition comes first");
}

#[test]
fn writes_in_one_step_are_stored_all_or_not_at_all() {
    let slots = slots();
    let all = |count: usize, action: Action| {
        let mut effects = Vec::new();
        let writes = (0..count).map(|number| step(number, action.clone()));
        assert!(slots.try_apply_all(slot(), writes, START_MS, |effect| effects.push(effect)));
        effects
    };
    assert_eq!(all(6, put(400_000)), vec![Effect::Key(Outcome::Full); 6]);
    assert_eq!((slots.memory().entries, slots.memory().bytes), (0, 0));
    assert!(all(2, put(400_000)).iter().all(|effect| matches!(effect, Effect::Key(Outcome::Created(_)))));
    assert!(
        all(2, put(400_000)).iter().all(|effect| matches!(effect, Effect::Key(Outcome::Replaced { .. })))
    );
    assert!(
        all(2, Action::DELETE).iter().all(|effect| matches!(effect, Effect::Key(Outcome::Deleted { .. })))
    );
}
