//! The way itself is narrow: what is under way takes long, and is not taken for lost.

use std::time::Duration;

use boato_cluster::Input;

use crate::pair::{Pair, VALUE, keys_in_other_slots};

/// A megabyte per second.
const NARROW: u64 = 1000;
/// So little that a large value takes longer than the silence after which a peer is given up.
const VERY_NARROW: u64 = 64;
const LARGE: usize = 1 << 20;

/// Steps until the first node has nothing any more; returns the milliseconds that took.
fn empty(pair: &mut Pair, patience_ms: u64) -> u64 {
    let begun = pair.ms;
    while pair.nodes[0].stats().custody > 0 {
        pair.step();
        let took = pair.ms - begun;
        assert!(took <= patience_ms, "after {took} ms: {:?}, sent {}", pair.nodes[0].progress(), pair.sent);
    }
    pair.ms - begun
}

/// Sixteen values in each slot from 1 to the last; returns their bytes.
fn fill(pair: &Pair, last: u16) -> usize {
    for slot_key in keys_in_other_slots(last) {
        for number in 0..16 {
            pair.store(format!("{{{slot_key}}}/{number}"), VALUE);
        }
    }
    usize::from(last) * 16 * VALUE
}

#[test]
fn slots_go_over_a_narrow_way_once_and_in_the_time_that_it_takes() {
    let mut pair = Pair::with_way(65, NARROW);
    let bytes = fill(&pair, 64);
    pair.begin_move();
    let ideal_ms = bytes as u64 / NARROW;
    empty(&mut pair, ideal_ms + ideal_ms / 10);
    assert_eq!((pair.sent, pair.given_up), (bytes, 0), "bytes sent, and copies given up");
    let longer_than_a_second: u64 = pair.nodes[0].stats().pauses.counts[9..].iter().sum();
    assert_eq!(longer_than_a_second, 0, "slots were frozen for longer");
}

#[test]
fn a_large_value_gets_through_however_long_that_takes() {
    let mut pair = Pair::with_way(3, VERY_NARROW);
    for slot_key in keys_in_other_slots(2) {
        for number in 0..2 {
            pair.store(format!("{{{slot_key}}}/{number}"), LARGE);
        }
    }
    pair.begin_move();
    let ideal_ms = 4 * LARGE as u64 / VERY_NARROW;
    empty(&mut pair, ideal_ms + ideal_ms / 10);
    assert_eq!((pair.sent, pair.given_up), (4 * LARGE, 0), "bytes sent, and copies given up");
}

#[test]
fn a_large_value_is_merged_however_long_that_takes() {
    let mut pair = Pair::with_way(2, VERY_NARROW);
    pair.feed(1, Input::Eligible { quiet: Duration::from_millis(10) });
    (0..100).for_each(|_| pair.step());
    for slot_key in keys_in_other_slots(1) {
        pair.store(slot_key, LARGE);
    }
    // Both hold everything; the second has the higher epoch.
    pair.begin_move();
    let ideal_ms = LARGE as u64 / VERY_NARROW;
    empty(&mut pair, ideal_ms + ideal_ms / 10);
    assert_eq!(pair.sent, LARGE, "bytes sent");
}

#[test]
fn what_got_lost_is_sent_again_and_nothing_else() {
    for broken_at_ms in (50..8000).step_by(530) {
        let mut pair = Pair::with_way(17, NARROW);
        let bytes = fill(&pair, 16);
        pair.begin_move();
        (0..broken_at_ms).for_each(|_| pair.step());
        let lost = pair.break_connection();
        assert!(lost > 0, "something was under way");
        let ideal_ms = bytes as u64 / NARROW;
        empty(&mut pair, ideal_ms + ideal_ms / 5);
        assert!(pair.sent <= bytes + lost, "{lost} bytes got lost, {} were sent again", pair.sent - bytes);
        assert_eq!(pair.given_up, 0, "copies were given up");
    }
}

#[test]
fn a_connection_that_breaks_again_and_again_delays_only() {
    for every_ms in [300, 700, 1100] {
        let mut pair = Pair::with_way(17, NARROW);
        let bytes = fill(&pair, 16);
        pair.begin_move();
        let mut lost = 0;
        for ms in 1..8000 {
            pair.step();
            lost += if ms % every_ms == 0 { pair.break_connection() } else { 0 };
        }
        empty(&mut pair, 2 * bytes as u64 / NARROW);
        assert!(pair.sent <= bytes + lost, "{lost} bytes got lost, {} were sent again", pair.sent - bytes);
        assert_eq!(pair.given_up, 0, "copies were given up");
    }
}

#[test]
fn what_the_target_has_dropped_meanwhile_goes_over_a_narrow_way_once_more() {
    let mut pair = Pair::with_way(17, NARROW);
    let bytes = fill(&pair, 16);
    pair.begin_move();
    pair.commits_get_lost = true;
    (0..80_000).for_each(|_| pair.step());
    pair.commits_get_lost = false;
    let ideal_ms = bytes as u64 / NARROW;
    empty(&mut pair, ideal_ms + ideal_ms / 5);
    assert!(pair.sent <= 2 * bytes, "{} bytes were sent for {bytes}", pair.sent);
}

#[test]
fn a_peer_that_neither_asks_nor_acknowledges_is_given_up() {
    let mut pair = Pair::with_way(2, NARROW);
    fill(&pair, 1);
    pair.begin_move();
    (0..100).for_each(|_| pair.step());
    for _ in 0..11_000 {
        pair.break_connection();
        pair.step();
    }
    assert!(pair.given_up > 0, "the copy is still under way after eleven seconds of silence");
    empty(&mut pair, 20_000);
}
