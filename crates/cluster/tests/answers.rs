//! Whatever is asked for, the answer fits a frame between nodes.

use std::time::Duration;

use boato_cluster::{
    Action, Answer, Config, Effect, Epoch, Expiry, Guard, Input, LIST_LIMIT, Machine, Now, Operation,
    Outcome, Pid, Response, Step, TRANSACTION_LIMIT,
};
use bytes::Bytes;

const START_MS: u64 = 1_700_000_000_000;

/// What nodes agree on unless told otherwise.
const FRAME_BYTES: usize = 16 << 20;

/// A node that holds every slot.
fn machine() -> Machine {
    let at = |ms| Now { at: Duration::from_millis(ms), unix_ms: START_MS + ms };
    let mut machine = Machine::new(Config::new(Pid { node: 1, boot: 1 }, 7), at(0));
    machine.handle(Input::Eligible { quiet: Duration::ZERO }, at(0));
    machine.handle(Input::Timeout, at(1000));
    machine
}

fn apply(machine: &Machine, operation: &Operation) -> Effect {
    machine.slots().try_apply(operation, START_MS).expect("held here").0
}

fn frame_bytes(effect: &Effect) -> usize {
    Response::Operate(Answer::Done { effect: effect.clone(), epoch: Epoch::ZERO }).encode().len()
}

#[test]
fn many_small_values_of_a_transaction_do() {
    let (machine, slot) = (machine(), boato_placement::slot(b"k"));
    for (value, media_type) in [(187, 0), (0, 255)] {
        let put = Action::Put {
            value: Bytes::from(vec![b'v'; value]),
            content_type: Bytes::from(vec![b't'; media_type]),
            expiry: Expiry::Never,
            guard: Guard::Always,
            previous: false,
        };
        apply(&machine, &Operation::on("k", put));
        let steps = vec![Step { key: "k".into(), action: Action::Get }; TRANSACTION_LIMIT];
        let effect = apply(&machine, &Operation::Transaction { slot, watched: Vec::new(), steps });
        assert!(frame_bytes(&effect) < FRAME_BYTES, "{} bytes", frame_bytes(&effect));
        let Effect::Transaction(Some(outcomes)) = effect else { panic!("not refused") };
        assert_eq!(outcomes.len(), TRANSACTION_LIMIT);
        assert!(matches!(outcomes[30_000], Outcome::Value { .. }), "{:?}", outcomes[30_000]);
    }
}

#[test]
fn long_keys_of_a_list_do_and_the_next_list_goes_on() {
    let (machine, slot) = (machine(), boato_placement::slot(b"k"));
    let key = |n: usize| Bytes::from(format!("{{k}}{n:0>60000}"));
    let count = 300;
    for n in 0..count {
        apply(&machine, &Operation::on(key(n), Action::put("")));
    }
    let mut found = Vec::new();
    while found.len() < count {
        let after = found.last().cloned();
        let list = Operation::List { slot, prefix: Bytes::new(), after, limit: LIST_LIMIT };
        let effect = apply(&machine, &list);
        assert!(frame_bytes(&effect) < FRAME_BYTES, "{} bytes", frame_bytes(&effect));
        let Effect::Keys(mut keys) = effect else { panic!("no list") };
        assert!(!keys.is_empty(), "{} of {count} keys", found.len());
        found.append(&mut keys);
    }
    assert!(found.iter().enumerate().all(|(n, found)| *found == key(n)));
}
