//! The small clusters whose every order of events is explored.

use std::sync::OnceLock;

use bytes::Bytes;

/// Something that happens once, after the step before it, at any moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A node starts and is told of everybody, everybody of it.
    Join(u8),
    /// A node starts that may begin a cluster; it and the others are told of each other.
    Begin(u8),
    /// Members of different clusters are told of each other.
    Meet,
    /// A node is asked to leave.
    Leave(u8),
    /// The deadline of a leave: a node stops serving, and the others are told that it is gone. It runs on until it
    /// crashes.
    Abandon(u8),
    /// A node gets another weight.
    Weight(u8, u16),
    /// A node ends without a word; the others are told so.
    Crash(u8),
    /// A crashed node starts anew.
    Restart(u8),
    /// One node takes another for dead, which lives.
    FalseDeath {
        /// Who is wrong.
        at: u8,
        /// Who lives.
        of: u8,
    },
    /// All are told who lives.
    Heal,
    /// Time passes: times to live end, tombstones are no longer kept.
    Later,
}

/// An operation of a client, at any node, on one of three keys: 0 and 1 lie in slot 0, key 2 in
/// slot 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the number of the key, and the value written")]
pub enum Call {
    Get(usize),
    Put(usize, u64),
    /// The value lives until [`Step::Later`].
    PutFor(usize, u64),
    Create(usize, u64),
    Delete(usize),
}

impl Call {
    /// The number of its key.
    pub fn key(self) -> usize {
        match self {
            Self::Get(key)
            | Self::Put(key, _)
            | Self::PutFor(key, _)
            | Self::Create(key, _)
            | Self::Delete(key) => key,
        }
    }
}

/// What is explored. A node of a higher weight is the target of all slots, at equal weights that with the higher
/// number.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each lets something more happen")]
pub struct Script {
    /// Its name.
    pub name: &'static str,
    /// Nodes 1 to this many are settled members at the start.
    pub members: u8,
    /// The node after these has a cluster of its own at the start.
    pub stranger: bool,
    /// Slots, 1 or 2.
    pub slots: u16,
    /// What happens, in order, at any moment.
    pub steps: Vec<Step>,
    /// The calls of each client, one after the other.
    pub clients: Vec<Vec<Call>>,
    /// Keys that exist at the start, with the value 1.
    pub stored: Vec<usize>,
    /// The bytes one chunk aims for: 1 makes a chunk of every key, and a round of every write during a copy.
    pub chunk_bytes: usize,
    /// Whether a node's table follows its members in a step of its own.
    pub late_table: bool,
    /// How many messages arrive twice.
    pub duplicates: u8,
    /// How many answers of living peers get lost.
    pub lost_answers: u8,
    /// Whether waiting operations may run out of time.
    pub impatient: bool,
    /// Whether a cluster may be begun before membership has told all it knows.
    pub hasty: bool,
    /// Whether copies may be given up for lack of progress.
    pub stuck: bool,
    /// Messages in flight; beyond it some are lost.
    pub packets_max: usize,
    /// States with a higher epoch are not explored further.
    pub epoch_max: u64,
    /// States with more transfers and claims at one node are not explored further.
    pub serial_max: u64,
}

impl Script {
    /// A settled cluster of so many, and nothing happens.
    pub fn new(name: &'static str, members: u8) -> Self {
        Self {
            name,
            members,
            stranger: false,
            slots: 1,
            steps: Vec::new(),
            clients: Vec::new(),
            stored: vec![0],
            chunk_bytes: 64 << 10,
            late_table: false,
            duplicates: 0,
            lost_answers: 0,
            impatient: false,
            hasty: false,
            stuck: false,
            packets_max: 4,
            epoch_max: 7,
            serial_max: 3,
        }
    }
}

/// Two keys of slot 0 and one of slot 1.
pub(super) fn keys() -> &'static [(Bytes, u16); 3] {
    static KEYS: OnceLock<[(Bytes, u16); 3]> = OnceLock::new();
    KEYS.get_or_init(|| {
        let of = |wanted| {
            (0..)
                .map(|n: u32| Bytes::from(format!("k{n}")))
                .filter(move |key| boato_placement::slot(key) == wanted)
        };
        let mut first = of(0);
        let mut key = || first.next().expect("invariant: every slot has keys");
        let other = of(1).next().expect("invariant: every slot has keys");
        [(key(), 0), (key(), 0), (other, 1)]
    })
}

/// All scripts.
pub fn scripts() -> Vec<Script> {
    use Call::{Create, Delete, Get, Put, PutFor};
    use Step::{Abandon, Begin, Crash, FalseDeath, Heal, Join, Later, Leave, Meet, Restart, Weight};
    let write = || vec![vec![Put(0, 2)]];
    let remove = || vec![vec![Delete(0), Get(0)]];
    let script = |name, members, steps: &[Step], clients| Script {
        steps: steps.to_vec(),
        clients,
        ..Script::new(name, members)
    };
    vec![
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
            slots: 2,
            stored: vec![0, 2],
            ..script("two-slots", 2, &[Weight(1, 2)], vec![vec![Put(0, 2)], vec![Put(2, 3)]])
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
        Script { stored: vec![], hasty: true, ..script("bootstrap-hasty", 0, &[Begin(1), Begin(2)], vec![]) },
        Script {
            stored: vec![],
            clients: vec![vec![PutFor(0, 2), Get(0)]],
            ..script("expiry", 2, &[Weight(1, 2), Later], vec![])
        },
        script("tombstone", 2, &[Weight(1, 2), Later], remove()),
        Script { slots: 2, stored: vec![0], ..script("two-slots-crash", 2, &[Crash(2)], vec![]) },
        Script { slots: 2, stored: vec![0], ..script("two-slots-join", 2, &[Join(3), Crash(2)], vec![]) },
        Script { stored: vec![], ..script("four", 3, &[Join(4), Crash(3)], vec![]) },
        Script { stored: vec![], ..script("four-claim", 4, &[Crash(4)], vec![]) },
    ]
}
