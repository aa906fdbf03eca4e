//! Two nodes and little room between them: a slot that is written faster than it can be copied changes hands after a
//! short pause all the same, and slots without entries do not wait for those that have some. And two whose tables differ.

mod pair;
mod way;

use boato_cluster::{Input, Liveness};

use pair::{KEYS, LOW_RATE, Pair, RATE, SOURCE, TARGET, VALUE, key, keys_in_other_slots};

#[test]
fn slots_without_entries_do_not_wait_for_those_that_have_some() {
    let mut pair = Pair::new(16, RATE);
    pair.store_more_than_may_be_under_way();
    pair.begin_move();
    (0..65).for_each(|_| pair.step());
    let left = pair.nodes[0].progress().slots_to_give;
    assert!((1..=4).contains(&left), "{left} slots are left, of which 4 have entries");
}

#[test]
fn what_waits_long_for_the_rate_does_not_have_to_be_sent_again_while_frozen() {
    let mut pair = Pair::new(64, LOW_RATE);
    for slot_key in keys_in_other_slots(63) {
        for number in 0..16 {
            pair.store(format!("{{{slot_key}}}/{number}"), VALUE);
        }
    }
    pair.begin_move();
    while pair.nodes[0].stats().custody > 0 {
        assert!(pair.ms < 60_000, "not moved after a minute: {:?}", pair.nodes[0].progress());
        pair.step();
    }
    assert_eq!(pair.missed, 0, "chunks were sent again while their slots were frozen");
}

#[test]
fn a_slot_written_faster_than_it_is_copied_changes_hands_after_a_short_pause() {
    let mut pair = Pair::new(1, RATE);
    pair.begin_move();
    while !pair.moved {
        assert!(pair.ms < 30_000, "not moved after 30 s: {:?}", pair.nodes[0].progress());
        pair.write();
        pair.step();
    }
    assert!(pair.written > 2 * KEYS, "writes went on during the copy: {}", pair.written);
    let slack = 4 * VALUE;
    assert!(
        pair.bytes_while_frozen <= (64 << 10) + slack,
        "{} bytes went out while the slot was frozen",
        pair.bytes_while_frozen
    );
    assert_eq!(pair.nodes[0].stats().custody, 0);
}

#[test]
fn what_the_target_has_dropped_meanwhile_is_sent_again_a_window_at_a_time() {
    const WINDOW_BYTES: usize = 4 << 20;
    let mut pair = Pair::new(1, 1 << 30);
    for number in KEYS..512 {
        pair.store(String::from_utf8(key(number).to_vec()).expect("digits"), VALUE);
    }
    pair.begin_move();
    pair.commits_get_lost = true;
    (0..70_000).for_each(|_| pair.step());
    assert!(pair.nodes[0].stats().custody > 0, "the commit never arrived");
    pair.commits_get_lost = false;
    while pair.nodes[0].stats().custody > 0 {
        assert!(pair.ms < 100_000, "not moved after 30 s more: {:?}", pair.nodes[0].progress());
        pair.step();
    }
    assert!(pair.missed >= 256, "the target asked for {} chunks again", pair.missed);
    assert!(pair.burst <= WINDOW_BYTES + 2 * VALUE, "{} bytes were sent at once", pair.burst);
}

#[test]
fn slots_on_which_two_tables_differ_for_long_go_to_and_fro_about_once_a_second() {
    const SLOTS: usize = 16;
    let mut pair = Pair::new(16, RATE);
    for key in keys_in_other_slots(4) {
        pair.store(key, VALUE);
    }
    pair.disagree();
    (0..10_000).for_each(|_| pair.step());
    let rounds = pair.released / SLOTS;
    assert!((2..=20).contains(&rounds), "{rounds} hand-overs of each slot in 10 s");
    // Whoever has them when the tables agree again gives them to whom both name, at once.
    pair.feed(1, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
    pair.feed(1, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 1 });
    (0..1_000).for_each(|_| pair.step());
    assert_eq!((pair.nodes[0].stats().custody, pair.nodes[1].stats().custody), (0, SLOTS));
}

#[test]
fn whoever_is_offered_a_slot_waits_for_it_though_its_own_table_names_another() {
    let mut pair = Pair::new(16, LOW_RATE);
    pair.store_more_than_may_be_under_way();
    pair.disagree();
    (0..3_000).for_each(|_| pair.step());
    assert!(pair.released >= 4, "{} slots have been let go", pair.released);
    assert_eq!(pair.given_up, 0, "hand-overs were given up");
}

#[test]
fn slots_that_have_been_copied_go_over_as_soon_as_there_is_room_to_freeze_them() {
    let mut pair = Pair::new(64, 1 << 30);
    for slot_key in keys_in_other_slots(63) {
        for number in 0..5 {
            pair.store(format!("{{{slot_key}}}/{number}"), VALUE);
        }
    }
    pair.begin_move();
    let begun = pair.ms;
    while pair.nodes[0].stats().custody > 0 {
        pair.step();
        let took = pair.ms - begun;
        assert!(took < 50, "not moved after {took} ms: {:?}", pair.nodes[0].progress());
    }
}
