//! The small clusters whose every order of events is explored.

use super::script::{Call, Script, Step};

fn script(name: &'static str, members: u8, steps: &[Step], clients: Vec<Vec<Call>>) -> Script {
    Script { steps: steps.to_vec(), clients, ..Script::new(name, members) }
}

/// All scripts.
pub fn scripts() -> Vec<Script> {
    use Call::{Create, Delete, Get, Put, PutFor};
    use Step::{Abandon, Begin, Crash, FalseDeath, Heal, Join, Later, Leave, Meet, Restart, Weight};
    let write = || vec![vec![Put(0, 2)]];
    let remove = || vec![vec![Delete(0), Get(0)]];
    let mut scripts = vec![
        script("hand-off", 2, &[Weight(1, 2)], vec![]),
        script("hand-off-write", 2, &[Weight(1, 2)], write()),
        script("hand-off-delete", 2, &[Weight(1, 2)], remove()),
        Script { duplicates: 1, ..script("hand-off-twice", 2, &[Weight(1, 2)], write()) },
        Script {
            stored: vec![0, 1],
            chunk_bytes: 1,
            stuck: true,
            ..script("rounds", 2, &[Weight(1, 2)], vec![vec![Put(0, 2), Put(1, 3)]])
        },
        Script {
            stored: vec![0, 1],
            chunk_bytes: 1,
            ..script("rounds-delete", 2, &[Weight(1, 2)], remove())
        },
        Script {
            lost_answers: 1,
            ..script("lost-answers", 2, &[Weight(1, 2)], vec![vec![Create(1, 2), Delete(1)]])
        },
        Script { impatient: true, ..script("impatient", 2, &[Weight(1, 2)], vec![vec![Put(0, 2), Get(0)]]) },
        script("two-clients", 2, &[Weight(1, 2)], vec![vec![Create(1, 2)], vec![Create(1, 3), Get(1)]]),
        script("flip", 2, &[Weight(1, 2), Weight(1, 1)], write()),
        Script { late_table: true, ..script("flip-late-table", 2, &[Weight(1, 2), Weight(1, 1)], vec![]) },
        script("hand-off-crash", 2, &[Weight(1, 2), Crash(2)], vec![]),
        script("target-crash", 2, &[Weight(1, 2), Crash(1)], write()),
        script("crash-restart", 2, &[Crash(2), Restart(2)], vec![vec![Put(0, 2), Get(0)]]),
        script("claim", 3, &[Crash(3)], vec![]),
        script("claims", 3, &[Crash(3), Weight(1, 2)], vec![]),
        script("join", 1, &[Join(2)], write()),
        script("join-second", 2, &[Join(3)], write()),
        Script { stored: vec![], ..script("join-empty", 1, &[Join(2)], vec![]) },
        script("join-crash", 2, &[Join(3), Crash(2)], vec![]),
        script("joins", 1, &[Join(2), Join(3)], vec![]),
        script("joins-crash", 2, &[Join(3), Crash(2), Join(4)], vec![]),
        script("leave", 2, &[Leave(2)], write()),
        script("leaver-target", 2, &[Weight(1, 2), Leave(1)], vec![]),
        script("leavers", 3, &[Leave(3), Leave(2)], vec![]),
        script("leave-all", 2, &[Leave(2), Leave(1)], vec![]),
        script("leave-join", 2, &[Leave(2), Join(3)], vec![]),
        script("deadline", 2, &[Leave(2), Abandon(2), Crash(2)], write()),
        script("deadline-three", 3, &[Leave(3), Abandon(3)], vec![]),
        script("false-death", 2, &[FalseDeath { at: 1, of: 2 }, Heal], write()),
        script(
            "partition",
            2,
            &[FalseDeath { at: 1, of: 2 }, FalseDeath { at: 2, of: 1 }, Heal],
            vec![vec![Put(0, 2)], vec![Delete(0)]],
        ),
        script(
            "partition-three",
            3,
            &[FalseDeath { at: 1, of: 3 }, FalseDeath { at: 2, of: 3 }, Heal],
            vec![],
        ),
        Script { stranger: true, stored: vec![0], ..script("meet", 1, &[Meet], vec![]) },
        Script { stranger: true, stored: vec![0], ..script("meet-write", 1, &[Meet], write()) },
        Script {
            stranger: true,
            stored: vec![0, 1],
            chunk_bytes: 1,
            ..script("meet-rounds", 1, &[Meet], vec![vec![Put(0, 2), Delete(1)]])
        },
        script("partition-crash", 2, &[FalseDeath { at: 1, of: 2 }, Heal, Crash(2)], vec![]),
        Script {
            chunk_bytes: 1,
            stored: vec![0, 1],
            ..script("flip-rounds", 2, &[Weight(1, 2), Weight(1, 1)], write())
        },
        Script { stored: vec![], ..script("bootstrap", 0, &[Begin(1), Begin(2)], vec![]) },
        Script { stored: vec![], stops: true, ..script("bootstrap-stops", 0, &[Begin(1), Begin(2)], vec![]) },
        Script { stored: vec![], hasty: true, ..script("bootstrap-hasty", 0, &[Begin(1), Begin(2)], vec![]) },
        Script {
            stored: vec![],
            clients: vec![vec![PutFor(0, 2), Get(0)]],
            ..script("expiry", 2, &[Weight(1, 2), Later], vec![])
        },
        script("tombstone", 2, &[Weight(1, 2), Later], remove()),
        Script { stored: vec![], ..script("four", 3, &[Join(4), Crash(3)], vec![]) },
        Script { stored: vec![], ..script("four-claim", 4, &[Crash(4)], vec![]) },
    ];
    scripts.extend(two_slots());
    scripts.extend(mixed());
    scripts.extend(apart());
    scripts
}

/// Two slots that move together, mostly in one frame.
fn two_slots() -> Vec<Script> {
    use Call::Put;
    use Step::{Crash, Join, Leave, Weight};
    let write = || vec![vec![Put(0, 2)]];
    let scripts = vec![
        Script {
            stored: vec![0, 2],
            ..script("two-slots", 2, &[Weight(1, 2)], vec![vec![Put(0, 2)], vec![Put(2, 3)]])
        },
        Script { stored: vec![0, 2], ..script("two-slots-move", 2, &[Weight(1, 2)], vec![]) },
        script("two-slots-claim", 3, &[Crash(3)], vec![]),
        Script { stored: vec![0, 2], ..script("two-slots-write", 2, &[Weight(1, 2)], write()) },
        Script { stored: vec![0, 2], ..script("two-slots-move-crash", 2, &[Weight(1, 2), Crash(2)], vec![]) },
        Script { stored: vec![0, 2], ..script("two-slots-leave", 2, &[Leave(2)], vec![]) },
        script("two-slots-crash", 3, &[Crash(3)], write()),
        script("two-slots-join", 2, &[Join(3), Crash(2)], vec![]),
    ];
    scripts.into_iter().map(|script| Script { second_slot: true, ..script }).collect()
}

/// Time that passes during a copy, limits of members, and more that happens at once.
fn mixed() -> Vec<Script> {
    use Call::{Delete, Put, PutFor};
    use Step::{Crash, FalseDeath, Heal, Join, Later, Leave, Restart, Weight};
    vec![
        script("joins-write", 1, &[Join(2), Join(3)], vec![vec![Put(0, 2)]]),
        script("leave-claim", 3, &[Leave(3), Crash(2)], vec![]),
        script("promise", 2, &[Join(3), Weight(1, 2), Crash(2)], vec![]),
        script("forgotten", 2, &[Weight(1, 2), FalseDeath { at: 2, of: 1 }, Join(3), Heal], vec![]),
        Script {
            stored: vec![1],
            chunk_bytes: 1,
            ..script("expiry-rounds", 2, &[Weight(1, 2), Later], vec![vec![PutFor(0, 2)], vec![Put(1, 3)]])
        },
        Script {
            stored: vec![0, 1],
            chunk_bytes: 1,
            ..script("tombstone-rounds", 2, &[Weight(1, 2), Later], vec![vec![Delete(0), Call::Get(0)]])
        },
        Script {
            min_members: 2,
            ..script("few-members", 2, &[Crash(2), Restart(2)], vec![vec![Put(0, 2), Delete(0)]])
        },
        Script {
            min_members: 2,
            ..script("few-members-three", 3, &[Crash(3), Crash(2)], vec![vec![Put(0, 2)]])
        },
        Script {
            min_members: 2,
            ..script(
                "few-members-partition",
                3,
                &[
                    FalseDeath { at: 3, of: 1 },
                    FalseDeath { at: 3, of: 2 },
                    FalseDeath { at: 1, of: 3 },
                    FalseDeath { at: 2, of: 3 },
                    Heal,
                ],
                vec![vec![Put(0, 2)], vec![Put(0, 3)]],
            )
        },
    ]
}

/// Two slots in different ranges that belong to different nodes.
fn apart() -> Vec<Script> {
    use Step::{Crash, FalseDeath, Heal, Join, Leave, Weight};
    let script = |name, members, steps: &[Step], clients| Script {
        second_slot: true,
        apart: true,
        stored: vec![0, 2],
        ..script(name, members, steps, clients)
    };
    let writes = || vec![vec![Call::Put(0, 2)], vec![Call::Put(2, 3)]];
    vec![
        script("swap", 2, &[Weight(1, 2)], vec![]),
        script("swap-write", 2, &[Weight(1, 2)], writes()),
        script("swap-crash", 2, &[Weight(1, 2), Crash(2)], vec![]),
        script("swap-flip", 2, &[Weight(1, 2), Weight(1, 1)], vec![]),
        script("swap-leave", 2, &[Weight(1, 2), Leave(2)], vec![]),
        script("shift-join", 2, &[Join(3)], vec![]),
        script("shift-join-crash", 2, &[Join(3), Crash(1)], vec![]),
        script("shift-leave", 3, &[Leave(3)], vec![]),
        script("shift-crash", 3, &[Crash(3)], vec![]),
        script(
            "swap-partition",
            2,
            &[FalseDeath { at: 1, of: 2 }, FalseDeath { at: 2, of: 1 }, Heal],
            vec![vec![Call::Put(0, 2)]],
        ),
    ]
}
