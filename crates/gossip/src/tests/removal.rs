use super::failure::rumour;
use super::world::*;
use crate::wire::Belief;
use crate::{Event, Input, InputError, State};

/// Five members, of which the third has died.
fn with_a_dead_member(seed: u64) -> World {
    let mut world = World::cluster(5, seed);
    world.crash(addr(3));
    world.until("all know of the crash", 40 * SECOND, |world| world.all_believe(3, Some(State::Dead)));
    world.events.clear();
    world
}

#[test]
fn a_dead_member_is_removed_everywhere_and_not_knocked_at() {
    let mut world = with_a_dead_member(1);
    world.input(addr(1), Input::Remove { id: id(3), prune: false });
    world.until("all have it left", 5 * SECOND, |world| world.all_believe(3, Some(State::Left)));
    assert_eq!(world.count(|event| matches!(event, Event::Removed(member) if member.id == id(3))), 4);
    assert!(world.nodes.values().all(|node| node.members().count() == 5), "it is listed");
    world.run(HOUR + 60 * SECOND);
    assert!(world.all_believe(3, None), "and forgotten an hour later");
}

#[test]
fn a_pruned_member_is_not_listed_and_nobody_brings_it_back() {
    let mut world = with_a_dead_member(1);
    // One does not hear of it, and remembers it as dead.
    world.far.insert(addr(5));
    world.input(addr(1), Input::Remove { id: id(3), prune: true });
    world.run(5 * SECOND);
    world.far.clear();
    let listed =
        |world: &World| world.nodes.values().any(|node| node.members().any(|member| member.id == id(3)));
    world.until("nobody lists it", 120 * SECOND, |world| !listed(world));
    world.run(HOUR);
    assert!(!listed(&world) && world.converged());
    world.start(9);
    world.join(addr(9), addr(5));
    world.run(60 * SECOND);
    assert!(!listed(&world), "nor does a newcomer");
}

#[test]
fn a_member_removed_before_may_be_pruned() {
    let mut world = with_a_dead_member(1);
    world.input(addr(1), Input::Remove { id: id(3), prune: false });
    world.until("all have it left", 5 * SECOND, |world| world.all_believe(3, Some(State::Left)));
    world.events.clear();
    world.input(addr(1), Input::Remove { id: id(3), prune: true });
    world.until("all forget it", 5 * SECOND, |world| world.all_believe(3, Some(State::Pruned)));
    assert_eq!(world.count(|event| matches!(event, Event::Removed(member) if member.id == id(3))), 4);
}

#[test]
fn a_removed_member_that_lives_or_starts_again_is_back() {
    for prune in [false, true] {
        let mut world = World::cluster(5, 2);
        world.far.insert(addr(3));
        world.until("it is found dead", 60 * SECOND, |world| world.state(addr(1), 3) == Some(State::Dead));
        world.run(60 * SECOND);
        world.input(addr(1), Input::Remove { id: id(3), prune });
        world.run(5 * SECOND);
        world.far.clear();
        // It knocks at those that it took for dead.
        world.until("it is back", 90 * SECOND, World::converged);

        let mut world = with_a_dead_member(2);
        world.input(addr(1), Input::Remove { id: id(3), prune });
        world.run(5 * SECOND);
        world.start_as(identity(3, 2, addr(3)));
        world.join(addr(3), addr(2));
        world.until("its next boot is there", 10 * SECOND, World::converged);
    }
}

#[test]
fn only_the_dead_are_removed() {
    let mut world = World::cluster(3, 1);
    let now = world.now;
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let mut remove = |n| node.handle(Input::Remove { id: id(n), prune: true }, now);
    assert!(matches!(remove(2), Err(InputError::Lives(name)) if name == "node-2"));
    assert!(matches!(remove(1), Err(InputError::Lives(_))), "itself");
    assert!(matches!(remove(9), Err(InputError::NoMember(_))));
    // Nor by a peer that says so: it can refute.
    let bytes = rumour(2, 3, 1, 0, Belief::Pruned);
    world.input(addr(1), Input::Datagram { from: addr(2), bytes: &bytes });
    assert_eq!(world.state(addr(1), 3), Some(State::Suspect));
    world.run(10 * SECOND);
    assert!(world.converged());
}

#[test]
fn of_two_with_one_name_the_younger_is_told() {
    let mut world = World::cluster(3, 1);
    for n in [8, 9] {
        let mut identity = identity(n, u64::from(n), addr(n));
        identity.name = "node-2".to_owned();
        world.start_as(identity);
        world.join(addr(n), addr(1));
    }
    world.run(10 * SECOND);
    let told = |world: &World| {
        let mut told: Vec<_> = world
            .events
            .iter()
            .filter_map(|(_, at, event)| match event {
                Event::NameTaken(by) => Some((*at, by.id)),
                _ => None,
            })
            .collect();
        told.sort_unstable();
        told.dedup();
        told
    };
    assert_eq!(told(&world), [(addr(8), id(2)), (addr(9), id(2)), (addr(9), id(8))]);
    world.events.clear();
    world.input(addr(9), Input::SetName("node-1".to_owned()));
    assert_eq!(told(&world), [(addr(9), id(1))], "a name that is taken while it runs");
}
