use super::failure::rumour;
use super::world::*;
use crate::codec::encode;
use crate::wire::{Belief, Body, Message, Packet, WirePid};
use crate::{Event, Identity, Input, State};

fn boot_seen(world: &World, at: u16, n: u16) -> Option<u64> {
    world.node(addr(at)).member(id(n)).map(|member| member.boot)
}

#[test]
fn a_restarted_member_replaces_its_former_boot_at_once() {
    let mut world = World::cluster(5, 1);
    world.crash(addr(3));
    world.start_as(identity(3, 2, addr(3)));
    world.join(addr(3), addr(1));
    world.until("all know the new boot", 2 * SECOND, World::converged);
    assert_eq!(boot_seen(&world, 1, 3), Some(2));
    assert_eq!(world.failures(), 4, "the old boot failed");
    assert_eq!(world.count(|event| matches!(event, Event::Joined(m) if m.id == id(3) && m.boot == 2)), 4);
    world.run(60 * SECOND);
    assert_eq!(world.node(addr(3)).me().incarnation, 0, "it is not asked about its former self");
    assert_eq!(world.failures(), 4);
}

#[test]
fn a_restarted_member_that_joins_nobody_is_found_by_those_that_remember_it() {
    let mut world = World::cluster(20, 1);
    world.crash(addr(3));
    world.start_as(identity(3, 2, addr(3)));
    world.until("all know each other", 2 * SECOND, World::converged);
    assert_eq!(boot_seen(&world, 1, 3), Some(2));
}

#[test]
fn a_restart_at_another_address_is_an_update() {
    let mut world = World::cluster(5, 1);
    world.crash(addr(3));
    world.start_as(identity(3, 2, addr(33)));
    world.join(addr(33), addr(1));
    world.until("all know the new boot", 2 * SECOND, World::converged);
    assert_eq!(world.node(addr(1)).member(id(3)).map(|m| m.addr), Some(addr(33)));
    world.run(60 * SECOND);
    assert!(world.converged());
    assert_eq!(world.failures(), 4, "the old boot, once");
}

#[test]
fn a_running_member_may_change_its_address() {
    let mut world = World::cluster(5, 1);
    world.input(addr(3), Input::SetAddr(addr(33)));
    let moved = world.crash(addr(3));
    world.nodes.insert(addr(33), moved);
    world.until("all know the address", 3 * SECOND, World::converged);
    world.run(60 * SECOND);
    assert!(world.converged());
    assert_eq!(world.failures(), 0);
    assert_eq!(world.count(|event| matches!(event, Event::Updated(m) if m.id == id(3))), 5);
}

#[test]
fn an_address_given_to_another_node_leaves_no_ghost() {
    let mut world = World::cluster(5, 1);
    world.crash(addr(3));
    world.start_as(identity(6, 1, addr(3)));
    world.join(addr(3), addr(1));
    world.until("the former owner is dead", 40 * SECOND, |w| {
        w.nodes
            .keys()
            .all(|at| w.state(*at, 3) != Some(State::Alive) && w.state(*at, 3) != Some(State::Suspect))
    });
    assert!(world.converged());
    world.run(300 * SECOND);
    assert!(world.converged());
    assert_eq!(world.count(|event| matches!(event, Event::Failed(m) if m.id != id(3))), 0);
}

#[test]
fn news_about_a_former_boot_changes_nothing() {
    let mut world = World::cluster(3, 1);
    world.crash(addr(3));
    world.start_as(identity(3, 5, addr(3)));
    world.join(addr(3), addr(1));
    world.until("all know the new boot", 2 * SECOND, World::converged);
    for at in 1..=3 {
        for state in [Belief::Suspect, Belief::Dead, Belief::Left] {
            let bytes = rumour(2, 3, 1, 99, state);
            world.input(addr(at), Input::Datagram { from: addr(2), bytes: &bytes });
        }
    }
    world.run(5 * SECOND);
    assert!(world.converged());
    assert_eq!(world.node(addr(3)).me().incarnation, 0);
}

#[test]
fn an_older_boot_that_still_runs_hears_that_it_was_replaced() {
    let mut world = World::cluster(4, 1);
    // The same node is started twice; the second one elsewhere.
    world.start_as(identity(3, 2, addr(33)));
    world.join(addr(33), addr(1));
    world.until("the older one falls silent", 5 * SECOND, |w| {
        w.events.contains(&(w.now, addr(3), Event::Replaced { boot: 2 }))
            || w.events.iter().any(|(_, at, e)| *at == addr(3) && *e == Event::Replaced { boot: 2 })
    });
    assert_eq!(world.node(addr(3)).poll_timeout(), None);
    world.crash(addr(3));
    world.until("all know the newer", 3 * SECOND, World::converged);
}

#[test]
fn restarts_do_not_accumulate_identities() {
    let mut world = World::cluster(4, 1);
    for boot in 2..30 {
        world.crash(addr(3));
        world.start_as(identity(3, boot, addr(3)));
        world.join(addr(3), addr(1));
        world.run(5 * SECOND);
    }
    assert!(world.converged());
    assert!(world.nodes.values().all(|node| node.members().count() == 4));
}

#[test]
fn what_does_not_fit_beside_the_own_words_is_left_out() {
    let mut world = World::new(1);
    let large = |n, boot| Identity {
        tags: vec![("k".into(), "v".repeat(880))],
        name: String::new(),
        ..identity(n, boot, addr(n))
    };
    world.start_as(large(1, 1));
    world.start_as(large(2, 5));
    world.join(addr(2), addr(1));
    world.until("both know both", SECOND, World::converged);
    // An older boot of node 2 asks for somebody who is not there: it gets the words of node 1, and those of its own
    // newer boot would be too much.
    let from = WirePid { id: id(2).0, boot: 1 };
    let target = WirePid { id: id(9).0, boot: 1 };
    let ping = Packet {
        from,
        body: Body::Ping { number: 1, target },
        coordinate: vec![],
        announces: vec![],
        claims: vec![],
    };
    let sent = world.datagrams;
    world.input(addr(1), Input::Datagram { from: addr(2), bytes: &encode(&Message::Packet(ping), 0) });
    assert_eq!(world.datagrams, sent + 1, "the harness checks its size");
}
