//! With too few members in view a holder refuses writes, says so in numbers, and goes on answering reads.

use std::time::Duration;

use boato_cluster::{Config, Guard, Input, Liveness, Machine, Now, Operation, Outcome, Pid};
use bytes::Bytes;

const ME: Pid = Pid { node: 1, boot: 1 };
const UNIX_MS: u64 = 1_700_000_000_000;

fn now(ms: u64) -> Now {
    Now { at: Duration::from_millis(ms), unix_ms: UNIX_MS + ms }
}

fn write(machine: &Machine) -> Outcome {
    let (key, value) = (Bytes::from("k"), Bytes::from("v"));
    let put = Operation::Put { key, value, content_type: Bytes::new(), ttl_ms: None, guard: Guard::Always };
    machine.slots().try_apply(&put, UNIX_MS).expect("held here").0
}

fn peer(machine: &mut Machine, node: u128, liveness: Liveness, ms: u64) {
    machine.handle(Input::Member { pid: Pid { node, boot: 1 }, liveness, weight: 1 }, now(ms));
}

#[test]
fn writes_are_refused_while_too_few_members_are_in_view_and_reads_go_on() {
    let mut machine = Machine::new(Config { min_members: 3, ..Config::new(ME, 7) }, now(0));
    machine.handle(Input::Eligible { quiet: Duration::from_secs(1) }, now(0));
    machine.handle(Input::Timeout, now(1000));
    assert_eq!(write(&machine), Outcome::TooFewMembers { members: 1, needed: 3 });
    peer(&mut machine, 2, Liveness::Alive, 1001);
    assert_eq!(write(&machine), Outcome::TooFewMembers { members: 2, needed: 3 });
    peer(&mut machine, 3, Liveness::Alive, 1002);
    assert!(matches!(write(&machine), Outcome::Created(_)));
    peer(&mut machine, 2, Liveness::Dead, 1003);
    assert_eq!(write(&machine), Outcome::TooFewMembers { members: 2, needed: 3 });
    let delete = Operation::Delete { key: Bytes::from("k"), guard: Guard::Always };
    let deleted = machine.slots().try_apply(&delete, UNIX_MS).map(|(outcome, _)| outcome);
    assert_eq!(deleted, Some(Outcome::TooFewMembers { members: 2, needed: 3 }));
    let (read, _) = machine.slots().try_get(b"k", UNIX_MS).expect("held here");
    assert!(matches!(read, Outcome::Value { value, .. } if value == "v"));
}
