use std::time::Duration;

use super::failure::rumour;
use super::world::*;
use crate::wire::Belief;
use crate::{Config, Event, Input, InputError, State};

fn left_done(world: &World, n: u16) -> bool {
    world.events.iter().any(|(_, at, event)| *at == addr(n) && *event == Event::LeaveDone)
}

#[test]
fn a_graceful_leave_is_seen_as_left_by_all() {
    for loss in [0.0, 0.2] {
        let mut world = World::cluster(20, 1);
        world.loss = loss;
        world.run(60 * SECOND);
        world.input(addr(3), Input::Leave);
        world.until("the goodbye has spread", 2 * SECOND, |w| left_done(w, 3));
        let told = (1..=20).filter(|n| *n != 3 && world.state(addr(*n), 3) == Some(State::Left)).count();
        assert!(told >= 8, "only {told} know when the leaver goes");
        world.crash(addr(3));
        world.until("all know", 2 * SECOND, |w| w.all_believe(3, Some(State::Left)));
        world.run(120 * SECOND);
        assert_eq!(world.failures(), 0);
        assert_eq!(world.count(|event| matches!(event, Event::Left(m) if m.id == id(3))), 19);
    }
}

#[test]
fn all_but_one_may_leave_together() {
    let mut world = World::cluster(6, 1);
    for n in 2..=6 {
        world.input(addr(n), Input::Leave);
    }
    world.until("all goodbyes", 6 * SECOND, |w| (2..=6).all(|n| left_done(w, n)));
    for n in 2..=6 {
        world.crash(addr(n));
    }
    assert_eq!(world.node(addr(1)).live().count(), 1);
    assert_eq!(world.failures(), 0);
}

#[test]
fn who_is_alone_has_left_at_once() {
    let mut world = World::new(1);
    world.start(1);
    world.input(addr(1), Input::Leave);
    assert!(left_done(&world, 1));
    let refused = world.nodes.get_mut(&addr(1)).unwrap().handle(Input::Join(addr(2)), world.now);
    assert!(matches!(refused, Err(InputError::Ended)));
}

#[test]
fn a_goodbye_said_by_another_is_a_death_that_can_be_refuted() {
    let mut world = World::cluster(6, 1);
    world.input(addr(2), Input::Datagram { from: addr(4), bytes: &rumour(4, 3, 1, 0, Belief::Left) });
    assert_eq!(world.state(addr(2), 3), Some(State::Suspect));
    world.until("all believe in node 3 again", 10 * SECOND, |w| w.all_believe(3, Some(State::Alive)));
    assert_eq!(world.count(|event| matches!(event, Event::Left(_))), 0);
}

#[test]
fn a_goodbye_in_an_invented_incarnation_is_refuted_too() {
    let mut world = World::cluster(6, 1);
    world.input(addr(2), Input::Datagram { from: addr(4), bytes: &rumour(4, 3, 1, 7, Belief::Left) });
    world.until("all believe in node 3 again", 10 * SECOND, |w| w.all_believe(3, Some(State::Alive)));
    assert!(world.node(addr(3)).me().incarnation > 0);
    let told = |event: &Event| matches!(event, Event::Left(_) | Event::Failed(_) | Event::Joined(_));
    assert_eq!(world.count(told), 0, "nobody has believed it");
}

/// Node 3 leaves, and node 5 cannot hear it from the leaver.
#[test]
fn a_goodbye_heard_from_others_alone_is_a_suspicion_at_whose_end_the_member_has_left() {
    for seed in 1..=10 {
        let mut world = World::cluster(6, seed);
        world.cut.insert((addr(3), addr(5)));
        let said_at = world.now;
        world.input(addr(3), Input::Leave);
        world.until("the others know", 2 * SECOND, |w| {
            [1, 2, 4, 6].iter().all(|n| w.state(addr(*n), 3) == Some(State::Left))
        });
        world.until("it is passed on", 2 * SECOND, |w| w.state(addr(5), 3) == Some(State::Suspect));
        world.until("the goodbye has had its time", 6 * SECOND, |w| left_done(w, 3));
        world.crash(addr(3));
        world.until("it has left", 30 * SECOND, |w| w.all_believe(3, Some(State::Left)));
        assert!(world.now > said_at + 4 * SECOND, "seed {seed}: it had its time to deny it");
        world.run(60 * SECOND);
        assert_eq!(world.failures(), 0, "seed {seed}");
        assert_eq!(world.count(|event| matches!(event, Event::Suspected(_))), 1, "seed {seed}");
    }
}

#[test]
fn in_a_large_cluster_those_who_hear_it_from_others_ask_the_leaver_before_it_goes() {
    for seed in 1..=5 {
        let mut world = World::cluster(100, seed);
        world.run(30 * SECOND);
        world.input(addr(2), Input::Leave);
        let took = world.until("the goodbye has spread", 3 * SECOND, |w| left_done(w, 2));
        assert!(world.all_believe(2, Some(State::Left)), "seed {seed}, after {took:?}");
        world.crash(addr(2));
        world.run(30 * SECOND);
        assert!(world.all_believe(2, Some(State::Left)));
        assert_eq!(world.failures(), 0, "seed {seed}");
    }
}

#[test]
fn nobody_calls_a_leaver_dead_where_much_gets_lost() {
    for seed in 1..=5 {
        let mut world = World::cluster(60, seed);
        world.loss = 0.2;
        (2..=6).for_each(|n| world.input(addr(n), Input::Leave));
        world.until("the goodbyes", 6 * SECOND, |w| (2..=6).all(|n| left_done(w, n)));
        (2..=6).for_each(|n| _ = world.crash(addr(n)));
        world.until("all know", 60 * SECOND, |w| (2..=6).all(|n| w.all_believe(n, Some(State::Left))));
        assert_eq!(world.failures(), 0, "seed {seed}");
    }
}

#[test]
fn a_member_that_left_comes_back_with_its_next_boot() {
    let mut world = World::cluster(4, 1);
    world.input(addr(3), Input::Leave);
    world.until("the goodbye has spread", 6 * SECOND, |w| left_done(w, 3));
    world.crash(addr(3));
    world.start_as(identity(3, 2, addr(3)));
    world.join(addr(3), addr(1));
    world.until("all know the new boot", 2 * SECOND, World::converged);
    assert_eq!(world.failures(), 0);
}

#[test]
fn members_that_left_are_forgotten_after_an_hour() {
    let mut world = World::cluster(3, 1);
    world.input(addr(3), Input::Leave);
    world.run(6 * SECOND);
    world.crash(addr(3));
    world.run(59 * HOUR / 60);
    assert!(world.all_believe(3, Some(State::Left)));
    world.run(HOUR / 60);
    assert!(world.all_believe(3, None));
}

#[test]
fn who_missed_the_goodbye_hears_it_from_the_leaver() {
    let mut world = World::with(3, 1, Config { leave_timeout: SECOND, ..Config::lan() });
    // Until push-pulls are rare.
    world.run(200 * SECOND);
    world.far.insert(addr(3));
    world.input(addr(3), Input::Leave);
    world.until("the goodbye has had its time", 2 * SECOND, |w| left_done(w, 3));
    assert!(!world.all_believe(3, Some(State::Left)));
    world.far.clear();
    world.until("all have asked", 4 * SECOND, |w| w.all_believe(3, Some(State::Left)));
    // Also by push-pull, and it is not taken for an old story.
    world.start(4);
    world.join(addr(4), addr(3));
    world.run(SECOND);
    assert_eq!(world.state(addr(4), 3), Some(State::Left));
}

/// Loses nothing: what the others talk about meanwhile must not cost anybody the goodbye.
#[test]
fn in_a_small_cluster_everybody_hears_the_goodbye_before_the_leaver_goes() {
    for (n, seed) in (2..=8).flat_map(|n| (1..=20_u32).map(move |seed| (n, seed))) {
        let mut world = World::with(n, seed.into(), Config::local());
        world.run(10 * SECOND + Duration::from_millis(140) * seed);
        world.input(addr(2), Input::Leave);
        world.until("the goodbye has spread", 2 * SECOND, |w| left_done(w, 2));
        world.crash(addr(2));
        assert!(world.all_believe(2, Some(State::Left)), "{n} nodes, seed {seed}");
        world.run(10 * SECOND);
        assert_eq!(world.failures(), 0, "{n} nodes, seed {seed}");
    }
}

#[test]
fn two_that_have_both_left_fall_silent() {
    let mut world = World::cluster(3, 1);
    for n in 1..=2 {
        world.input(addr(n), Input::Leave);
    }
    world.until("both goodbyes", 6 * SECOND, |w| left_done(w, 1) && left_done(w, 2));
    let bytes = rumour(1, 2, 1, 1, Belief::Left);
    world.input(addr(2), Input::Datagram { from: addr(1), bytes: &bytes });
    world.run(SECOND);
    let before = world.datagrams;
    world.run(10 * SECOND);
    assert!(world.datagrams - before < 100, "{}", world.datagrams - before);
}
