//! `SCAN` while slots change hands: nothing that is there throughout is missed.

use std::collections::BTreeSet;

use boato_cluster::POSITION_BITS;

use crate::harness::{Cluster, Node, Resp, Said, boato, ensure, wait};

const KEYS: usize = 10_000;

/// Slots with 125 keys each, more than a page asks of one slot, so that cursors end within them, too. About a third of them is c's.
const CROWDED: usize = 40;

fn key(n: usize) -> String {
    if n.is_multiple_of(2) { format!("{{{}}}.{n}", n / 2 % CROWDED) } else { format!("key-{n}") }
}

#[test]
fn a_walk_lists_every_key_that_is_there_throughout_whoever_holds_it() {
    let cluster = Cluster::new("scan");
    let nodes = cluster.start(["a", "b", "c"]);
    let [a, b, c] = nodes.each_ref();
    let keys: BTreeSet<String> = (0..KEYS).map(key).collect();
    let mut at_a = Resp::connect(a.resp);
    for part in keys.iter().collect::<Vec<_>>().chunks(500) {
        let lines: Vec<String> = part.iter().map(|key| format!("SET {key} v")).collect();
        assert!(at_a.pipeline(&lines).into_iter().all(|said| said == Said::ok()));
    }
    let mut walk = Walk { doors: vec![Resp::connect(b.resp), Resp::connect(c.resp)], ..Walk::default() };
    let holders = a.view().holders().unwrap();
    walk.stop_within(|slot| holders[slot] == "c");
    weigh(c, 0);
    wait("c has given all away", || {
        let left = a.view().holders()?.iter().filter(|holder| *holder == "c").count();
        ensure(left == 0, || format!("{left} slots are left"))
    });
    // What comes back is what has gone, and does while the walk goes on.
    weigh(c, 1);
    walk.stop_within(|slot| holders[slot] == "c");
    Cluster::settle(&[a, b, c]);
    let held = a.view().holders().unwrap().iter().filter(|holder| *holder == "c").count();
    assert!(held > 4_000, "{held} slots have come back");
    walk.finish();
    let missed: Vec<_> = keys.difference(&walk.listed).collect();
    assert!(missed.is_empty(), "{} keys are missing: {missed:?}", missed.len());
    assert_eq!(walk.listed.len(), KEYS, "nothing else is there");
    assert!(walk.pages >= KEYS / COUNT / 4, "{} pages", walk.pages);
}

/// Keys looked at for a page.
const COUNT: usize = 20;

/// One `SCAN` through all slots, its pages asked for at several doors in turn.
#[derive(Default)]
struct Walk {
    doors: Vec<Resp>,
    cursor: String,
    pages: usize,
    listed: BTreeSet<String>,
}

impl Walk {
    fn finish(&mut self) {
        while self.cursor != "0" {
            self.page();
        }
    }

    /// Goes on for at least a fifth of the keys, until it is between two keys of such a slot.
    fn stop_within(&mut self, wanted: impl Fn(usize) -> bool) {
        let least = self.listed.len() + KEYS / 5;
        loop {
            self.page();
            assert!(self.cursor != "0", "it is in none of them when {} keys are listed", self.listed.len());
            let cursor: u64 = self.cursor.parse().unwrap();
            let (slot, within) = (cursor >> POSITION_BITS, cursor & ((1 << POSITION_BITS) - 1));
            if self.listed.len() >= least && within > 0 && wanted(usize::try_from(slot).unwrap()) {
                return;
            }
        }
    }

    fn page(&mut self) {
        let door = self.pages % self.doors.len();
        let from = if self.cursor.is_empty() { "0" } else { &self.cursor };
        let page = self.doors[door].ask(&format!("SCAN {from} COUNT {COUNT}")).into_array();
        let [Said::Text(next), Said::Array(found)] = &page[..] else { panic!("{page:?}") };
        self.listed.extend(found.iter().map(|key| match key {
            Said::Text(key) => key.clone(),
            other => panic!("{other:?} is no key"),
        }));
        self.cursor.clone_from(next);
        self.pages += 1;
    }
}

/// Gives a running node another weight.
fn weigh(node: &Node, weight: u32) {
    let output = boato(["weight", &weight.to_string(), "--http", &node.http.to_string()]);
    assert!(output.status.success(), "{output:?}");
}
