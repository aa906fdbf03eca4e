use super::failure::{news, rumour};
use super::push_pull::push_pull;
use super::world::*;
use crate::wire::{Belief, Step};
use crate::{ATTRIBUTE_BYTES_MAX, Config, Event, Input, InputError, Member, State, Tags};

/// Tags of so many bytes.
fn tags(bytes: usize, with: char) -> Vec<(String, String)> {
    vec![("large".to_owned(), with.to_string().repeat(bytes - 7))]
}

fn set(world: &mut World, n: u16, tags: Vec<(String, String)>) {
    world.input(addr(n), Input::SetTags(tags));
}

#[test]
fn tags_of_any_size_reach_everybody() {
    for bytes in [500, 880, 890, 900, 2_000, 60_000] {
        for loss in [0.0, 0.1] {
            let mut world = World::cluster(20, 1);
            world.loss = loss;
            set(&mut world, 4, tags(bytes, 'x'));
            let took = world.until("all know them", 120 * SECOND, World::converged);
            assert!(loss > 0.0 || took < 3 * SECOND, "{bytes}: {took:?}");
            // Once more: they differ in their hash only.
            set(&mut world, 4, tags(bytes, 'y'));
            world.until("all know the others", 120 * SECOND, World::converged);
            set(&mut world, 4, vec![]);
            world.until("they are small again", 120 * SECOND, World::converged);
        }
    }
}

#[test]
fn who_joins_or_restarts_with_large_tags_is_known_with_them() {
    let mut world = World::cluster(10, 1);
    for (boot, with) in [(1, 'x'), (2, 'y')] {
        let mut identity = identity(50, boot, addr(50));
        identity.tags = tags(5_000, with);
        world.start_as(identity);
        world.join(addr(50), addr(1));
        world.until("all know it", 30 * SECOND, World::converged);
    }
    let lacking =
        |event: &Event| matches!(event, Event::Joined(m) if m.id == id(50) && m.tags.get("large").is_none());
    assert_eq!(world.count(lacking), 0, "nobody is told of it without its tags");
    // A newcomer is told by streams alone.
    world.start(60);
    world.join(addr(60), addr(2));
    world.until("it knows all", 10 * SECOND, World::converged);
}

#[test]
fn a_refutation_with_large_tags_is_as_quick_as_any() {
    let mut world = World::cluster(10, 1);
    set(&mut world, 3, tags(5_000, 'x'));
    world.until("all know them", 30 * SECOND, World::converged);
    world.events.clear();
    world.paused.insert(addr(3));
    world.run(4 * SECOND);
    world.paused.clear();
    world.run(20 * SECOND);
    assert!(world.converged() && world.state(addr(1), 3) == Some(State::Alive));
    let suspected = world.count(|event| matches!(event, Event::Suspected(m) if m.id == id(3)));
    assert!(suspected > 0 && world.failures() == 0, "{suspected} suspected it");
}

#[test]
fn what_is_too_large_for_anybody_is_refused() {
    let mut world = World::cluster(2, 1);
    let now = world.now;
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let refused = node.handle(Input::SetTags(tags(ATTRIBUTE_BYTES_MAX, 'x')), now).unwrap_err();
    assert!(refused.to_string().contains("at most 65536"), "{refused}");
    let refused = node.handle(Input::SetName("x".repeat(385)), now).unwrap_err();
    assert!(matches!(refused, InputError::Attributes(_)), "{refused}");
}

/// What node 1 hears of node `n`, from node 4: that it has these tags, too large to be there.
fn hint(world: &mut World, n: u16, tags: Tags) -> Member {
    let mut member = world.node(addr(1)).member(id(n)).unwrap().clone();
    member.incarnation += 1;
    member.tags = tags;
    world.input(addr(1), Input::Datagram { from: addr(4), bytes: &news(4, &member) });
    member
}

#[test]
fn tags_that_never_come_hold_up_no_other_news() {
    let mut world = World::cluster(20, 1);
    world.run(200 * SECOND);
    for n in 5..=16 {
        hint(&mut world, n, Tags::new(tags(2_000, 'x')).unwrap());
    }
    set(&mut world, 1, vec![("role".to_owned(), "db".to_owned())]);
    world.run(5 * SECOND);
    let me = world.node(addr(1)).me();
    assert!(world.nodes.values().all(|node| node.member(id(1)) == Some(me)));
    assert!(world.nodes.values().all(|node| node.stats().news_queued == 0));
}

#[test]
fn only_the_tags_that_were_named_are_taken() {
    let mut world = World::cluster(3, 1);
    let named = Tags::new(tags(2_000, 'x')).unwrap();
    let mut member = hint(&mut world, 3, named.clone());
    for (tags, taken) in [(Tags::new(tags(2_000, 'y')).unwrap(), false), (named, true)] {
        member.tags = tags;
        let step = Step::Difference { standings: vec![], wanted: vec![] };
        let bytes = push_pull(1, step, &member, Belief::Alive);
        world.input(addr(1), Input::Stream { from: addr(2), bytes: &bytes });
        assert_eq!(world.node(addr(1)).member(id(3)).unwrap().tags == member.tags, taken);
    }
}

#[test]
fn what_all_say_together_is_bounded() {
    let attribute_bytes = 100_000;
    let mut world = World::with(4, 1, Config { attribute_bytes, ..Config::lan() });
    for n in 1..=4 {
        set(&mut world, n, tags(40_000, 'x'));
    }
    world.run(120 * SECOND);
    for node in world.nodes.values() {
        let size = |member: &Member| member.name.len() + member.tags.text().len();
        let bytes: usize = node.live().skip(1).map(size).sum();
        assert!((80_000..=attribute_bytes).contains(&bytes), "{bytes}");
        assert!(node.live().count() == 4 && node.stats().members_refused > 0);
    }
    assert_eq!(world.failures(), 0);
}

/// Its tags are not taken, but that it lives is.
#[test]
fn a_refutation_counts_where_there_is_no_room_for_the_tags_that_come_with_it() {
    let mut world = World::with(3, 1, Config { attribute_bytes: 70_000, ..Config::lan() });
    set(&mut world, 2, tags(40_000, 'x'));
    world.run(20 * SECOND);
    let claim = rumour(2, 3, 1, 0, Belief::Suspect);
    world.input(addr(1), Input::Datagram { from: addr(2), bytes: &claim });
    assert_eq!(world.state(addr(1), 3), Some(State::Suspect));
    let before = world.node(addr(1)).member(id(3)).unwrap().tags.clone();
    let mut member = world.node(addr(1)).member(id(3)).unwrap().clone();
    (member.incarnation, member.tags) = (1, Tags::new(tags(40_000, 'y')).unwrap());
    let step = Step::Difference { standings: vec![], wanted: vec![] };
    let bytes = push_pull(1, step, &member, Belief::Alive);
    world.input(addr(1), Input::Stream { from: addr(3), bytes: &bytes });
    let known = world.node(addr(1)).member(id(3)).unwrap();
    assert_eq!((known.state, known.incarnation, &known.tags), (State::Alive, 1, &before));
    assert!(world.node(addr(1)).stats().members_refused > 0);
}
