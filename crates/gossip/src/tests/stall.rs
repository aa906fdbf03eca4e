use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::failure::rumour;
use super::world::*;
use crate::codec::decode;
use crate::wire::{ArchivedBody, ArchivedMessage, ArchivedPacket, Belief};
use crate::{Event, Gossip, Input, Output, State};

/// What an input makes a member say at once in datagrams, and the events that it tells.
fn at_once(node: &mut Gossip, input: Input<'_>, now: std::time::Duration) -> (Vec<Output>, Vec<Event>) {
    node.handle(input, now).unwrap();
    let (mut said, mut events) = (Vec::new(), Vec::new());
    for output in std::iter::from_fn(|| node.poll_output()) {
        match output {
            Output::Event(event) => events.push(event),
            output => said.push(output),
        }
    }
    (said, events)
}

/// To whom it sends a datagram of which `says` holds.
fn told(said: &[Output], says: impl Fn(&ArchivedPacket<'static>) -> bool) -> BTreeSet<SocketAddr> {
    let packets = said.iter().filter_map(|output| match output {
        Output::Datagram { to, bytes } => match decode(bytes).unwrap() {
            ArchivedMessage::Packet(packet) => Some((*to, says(packet))),
            _ => None,
        },
        _ => None,
    });
    packets.filter(|(_, says)| *says).map(|(to, _)| to).collect()
}

#[test]
fn an_accuser_tells_the_suspect_at_once() {
    let world = &mut World::cluster(10, 1);
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    loop {
        // Nobody answers.
        let now = node.poll_timeout().unwrap();
        let (said, events) = at_once(node, Input::Timeout, now);
        let suspect = events.into_iter().find_map(|event| match event {
            Event::Suspected(member) => Some(member),
            _ => None,
        });
        if let Some(suspect) = suspect {
            let warned = told(&said, |packet| packet.claims.iter().any(|claim| claim.pid.id == suspect.id.0));
            return assert!(warned.contains(&suspect.addr), "{warned:?}");
        }
    }
}

#[test]
fn a_refutation_goes_to_several_at_once() {
    let world = &mut World::cluster(10, 1);
    let (now, node) = (world.now, world.nodes.get_mut(&addr(3)).unwrap());
    let bytes = &rumour(1, 3, 1, 0, Belief::Suspect);
    let (said, _) = at_once(node, Input::Datagram { from: addr(1), bytes }, now);
    let told = told(&said, |packet| packet.announces.iter().any(|words| words.incarnation == 1));
    assert!(told.contains(&addr(1)) && told.len() >= 3, "{told:?}");
}

#[test]
fn who_stood_still_asks_several_about_itself_first() {
    let world = &mut World::cluster(10, 1);
    let node = world.nodes.get_mut(&addr(3)).unwrap();
    let now = node.poll_timeout().unwrap() + 3 * SECOND;
    let (said, _) = at_once(node, Input::Timeout, now);
    let asked = told(&said, |packet| matches!(packet.body, ArchivedBody::Ping { .. }));
    assert!(asked.len() >= 3, "{asked:?}");
}

/// Whatever else it has to do: at poor health the next probe may be far.
#[test]
fn while_anybody_is_suspected_a_process_wakes_often_enough_to_find_out_that_it_stood_still() {
    let mut world = World::cluster(10, 1);
    world.config.probe_interval = HOUR;
    world.start(20);
    world.join(addr(20), addr(1));
    world.run(20 * SECOND);
    world.paused.insert(addr(3));
    world.input(addr(20), Input::Datagram { from: addr(1), bytes: &rumour(1, 3, 1, 0, Belief::Suspect) });
    world.run(20 * SECOND);
    assert_eq!(world.state(addr(20), 3), Some(State::Suspect));
    let wakes = world.node(addr(20)).poll_timeout().unwrap();
    assert!(wakes <= world.now + world.config.gossip_interval, "in {:?}", wakes.saturating_sub(world.now));
}

#[test]
fn what_was_said_meanwhile_is_heard_before_anybody_is_declared_dead() {
    let mut world = World::cluster(10, 1);
    world.input(addr(2), Input::Datagram { from: addr(1), bytes: &rumour(1, 3, 1, 0, Belief::Suspect) });
    world.run(SECOND / 20);
    let node = world.nodes.get_mut(&addr(2)).unwrap();
    // Long after any suspicion would have ended.
    let now = node.poll_timeout().unwrap() + 100 * SECOND;
    let (_, events) = at_once(node, Input::Timeout, now);
    assert!(!events.iter().any(|event| matches!(event, Event::Failed(_))), "{events:?}");
}
