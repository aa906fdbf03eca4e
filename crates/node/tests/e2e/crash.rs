//! A node that is gone without a word.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use crate::harness::{Bulk, Cluster, Node, View, ensure, wait};

const BULK: Bulk = Bulk { count: 600, bytes: 100, crowded: false };

#[test]
fn keys_of_a_crashed_node_are_missing_once_its_death_is_agreed_and_never_before() {
    let cluster = Cluster::new("crash");
    let [a, b, mut c] = cluster.start(["a", "b", "c"]);
    BULK.write(&a);
    let on_c: Vec<bool> = BULK.read(&a).iter().map(|(holder, _)| holder == "c").collect();
    let slots_of_c = a.view().holders().unwrap().iter().filter(|holder| *holder == "c").count();
    assert!(slots_of_c > 0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for node in [&a, &b] {
            let (over, on_c, survivors) = (&over, &on_c, [&a, &b]);
            scope.spawn(move || watch(node, survivors, on_c, over));
        }
        c.kill();
        for node in [&a, &b] {
            wait(&format!("{} declares c dead", node.name), || dead(&mut node.view()));
        }
        wait("the keys of c are missing", || missing(&b, &on_c));
        over.store(true, SeqCst);
    });
    Cluster::settle(&[&a, &b]);
    let lost: u64 = [&a, &b].iter().map(|node| node.view().metric("boato_slots_lost_total")).sum();
    assert_eq!(lost, slots_of_c as u64);
    for node in [&a, &b] {
        assert_eq!(node.view().slots_lost(), lost, "as {} adds up", node.name);
        wait(&format!("{} logs what it minted", node.name), || told(node));
    }
    let (mut a, mut b) = (a.client(), b.client());
    for i in (0..BULK.count).filter(|&i| on_c[i]) {
        assert_eq!(a.put(&BULK.path(i), "new").status, 201);
        assert_eq!(b.get(&BULK.path(i)).text(), "new");
    }
}

/// Reads all keys through `node` again and again: those of c are there, then unavailable, then gone for good, and gone only
/// when every survivor knows that c is; the others stay.
fn watch(node: &Node, survivors: [&Node; 2], on_c: &[bool], over: &AtomicBool) {
    let mut http = node.client();
    let mut last = vec![200; on_c.len()];
    while !over.load(SeqCst) {
        for (i, &on_c) in on_c.iter().enumerate() {
            let answer = http.get(&BULK.path(i));
            let before = std::mem::replace(&mut last[i], answer.status);
            match (answer.status, on_c) {
                (200, false) => {}
                (200, true) => assert_eq!(before, 200, "{i} is back"),
                (503 | 504, true) => assert_ne!(before, 404, "{i} is neither there nor not"),
                (404, true) => survivors.iter().for_each(|survivor| {
                    let known = dead(&mut survivor.view());
                    assert!(known.is_ok(), "{i} is missing, and at {} {known:?}", survivor.name);
                }),
                (status, _) => panic!("{i} (on c: {on_c}) answered {status}: {}", answer.text()),
            }
            if over.load(SeqCst) {
                return;
            }
        }
    }
}

/// The lost slots of its log add up to those of its metrics, in a line or two and not one per slot.
fn told(node: &Node) -> Result<(), String> {
    let log = node.log();
    let lines = log.lines().filter(|line| line.contains("slots of crashed nodes begin anew"));
    let told: Vec<u64> = lines
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["slots"].as_u64().unwrap())
        .collect();
    let lost = node.view().metric("boato_slots_lost_total");
    assert!(told.len() <= 5, "{told:?}");
    ensure(told.iter().sum::<u64>() == lost, || format!("{told:?} is not {lost}"))
}

fn dead(view: &mut View) -> Result<(), String> {
    let members = view.members();
    ensure(members.get("c").is_none_or(|state| state == "dead"), || format!("it lists {members:?}"))
}

fn missing(node: &Node, on_c: &[bool]) -> Result<(), String> {
    let mut http = node.client();
    for i in (0..BULK.count).filter(|&i| on_c[i]) {
        let status = http.get(&BULK.path(i)).status;
        ensure(status == 404, || format!("{i} is answered {status}"))?;
    }
    Ok(())
}

#[test]
fn a_node_that_stalls_for_a_moment_is_not_given_up() {
    let cluster = Cluster::new("stall");
    let [a, b, c] = cluster.start(["a", "b", "c"]);
    BULK.write(&a);
    c.freeze();
    wait("c is suspected", || {
        let members = a.view().members();
        ensure(members["c"] == "suspect", || format!("{members:?}"))
    });
    c.thaw();
    Cluster::settle(&[&a, &b, &c]);
    BULK.read(&b);
}

#[test]
fn a_node_that_was_given_up_and_lives_merges_and_each_key_keeps_its_later_version() {
    let cluster = Cluster::new("merge");
    let [a, b, c] = cluster.start(["a", "b", "c"]);
    BULK.write(&a);
    let on_c: Vec<bool> = BULK.read(&a).iter().map(|(holder, _)| holder == "c").collect();
    c.freeze();
    wait("the keys of c are missing", || missing(&a, &on_c));
    let (mut http, mut keys) = (a.client(), (0..BULK.count).filter(|&i| on_c[i]));
    let written: Vec<usize> = keys.by_ref().take(20).collect();
    for &i in &written {
        assert_eq!(http.put(&BULK.path(i), "new").status, 201);
    }
    c.thaw();
    Cluster::settle(&[&a, &b, &c]);
    // The map shows one of two holders: it may look at rest while some slots still merge.
    for i in keys {
        wait(&format!("{i} is back"), || {
            let status = http.get(&BULK.path(i)).status;
            ensure(status == 200, || format!("{status}"))
        });
    }
    for &i in &written {
        wait(&format!("{i} is new everywhere"), || {
            let found = [&a, &b, &c].map(|node| node.client().get(&BULK.path(i)).text());
            ensure(found.iter().all(|text| text == "new"), || format!("{found:?}"))
        });
    }
    let superseded: u64 = [&a, &b].iter().map(|node| node.view().metric("boato_keys_superseded_total")).sum();
    assert_eq!(superseded, written.len() as u64);
    wait("both sides tell of the merge", || {
        let told = |node: &Node, what: &str| node.log().lines().filter(|line| line.contains(what)).count();
        let (loser, winners) = (told(&c, "merging into it"), ["a", "b"].len());
        assert!(loser <= 20 * winners, "{loser} lines");
        let kept: usize = [&a, &b].iter().map(|node| told(node, "keep their later version")).sum();
        ensure(loser > 0 && kept > 0, || format!("{loser} and {kept} lines"))
    });
}
