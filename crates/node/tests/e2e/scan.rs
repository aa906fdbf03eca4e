//! `SCAN` while slots change hands: nothing that is there throughout is missed.

use std::collections::BTreeSet;

use crate::harness::{Cluster, Node, Resp, Said, boato, ensure, wait};

const KEYS: usize = 5_000;

/// Slots with about a hundred keys each, so that cursors end within them, too.
const CROWDED: usize = 20;

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
    walk.until(KEYS / 5);
    weigh(c, 0);
    walk.until(KEYS * 2 / 5);
    wait("c has given all away", || {
        let left = a.view().holders()?.iter().filter(|holder| *holder == "c").count();
        ensure(left == 0, || format!("{left} slots are left"))
    });
    walk.until(KEYS * 3 / 5);
    weigh(c, 1);
    walk.until(KEYS * 4 / 5);
    Cluster::settle(&[a, b, c]);
    let held = a.view().holders().unwrap().iter().filter(|holder| *holder == "c").count();
    assert!(held > 4_000, "{held} slots have come back");
    walk.until(usize::MAX);
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
    /// Goes on until so many keys are listed, or to the end.
    fn until(&mut self, keys: usize) {
        while self.listed.len() < keys && self.cursor != "0" {
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
        assert!(keys == usize::MAX || self.cursor != "0", "only {} keys were listed", self.listed.len());
    }
}

/// Gives a running node another weight.
fn weigh(node: &Node, weight: u32) {
    let output = boato(["weight", &weight.to_string(), "--http", &node.http.to_string()]);
    assert!(output.status.success(), "{output:?}");
}
