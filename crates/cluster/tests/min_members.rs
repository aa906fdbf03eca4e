//! With too few members in view a holder refuses writes, says so in numbers, and goes on answering reads.

use std::time::Duration;

use boato_cluster::{Action, Config, Effect, Input, Liveness, Machine, Now, Operation, Outcome, Pid, Step};

const ME: Pid = Pid { node: 1, boot: 1 };
const UNIX_MS: u64 = 1_700_000_000_000;

fn now(ms: u64) -> Now {
    Now { at: Duration::from_millis(ms), unix_ms: UNIX_MS + ms }
}

fn apply(machine: &Machine, operation: &Operation) -> Effect {
    machine.slots().try_apply(operation, UNIX_MS).expect("held here").0
}

fn write(machine: &Machine) -> Effect {
    apply(machine, &Operation::on("k", Action::put("v")))
}

fn peer(machine: &mut Machine, node: u128, liveness: Liveness, ms: u64) {
    machine.handle(Input::Member { pid: Pid { node, boot: 1 }, liveness, weight: 1 }, now(ms));
}

#[test]
fn writes_are_refused_while_too_few_members_are_in_view_and_reads_go_on() {
    let mut machine = Machine::new(Config { min_members: 3, ..Config::new(ME, 7) }, now(0));
    machine.handle(Input::Eligible { quiet: Duration::ZERO }, now(0));
    machine.handle(Input::Timeout, now(1000));
    assert_eq!(write(&machine), Effect::TooFewMembers { members: 1, needed: 3 });
    peer(&mut machine, 2, Liveness::Alive, 1001);
    assert_eq!(write(&machine), Effect::TooFewMembers { members: 2, needed: 3 });
    peer(&mut machine, 3, Liveness::Alive, 1002);
    assert!(matches!(write(&machine), Effect::Key(Outcome::Created(_))));
    peer(&mut machine, 2, Liveness::Dead, 1003);
    assert_eq!(write(&machine), Effect::TooFewMembers { members: 2, needed: 3 });
    let too_few = Effect::TooFewMembers { members: 2, needed: 3 };
    let slot = boato_placement::slot(b"k");
    let steps = vec![Step { key: "k".into(), action: Action::DELETE }];
    for write in [
        Operation::on("k", Action::DELETE),
        Operation::on("k", Action::Add { by: 1, ttl_ms: None }),
        Operation::Flush { slot },
        Operation::Transaction { slot, watched: Vec::new(), steps },
    ] {
        assert_eq!(apply(&machine, &write), too_few, "{write:?}");
    }
    let read = apply(&machine, &Operation::get("k"));
    assert!(matches!(read, Effect::Key(Outcome::Value { value, .. }) if value == "v"));
}
