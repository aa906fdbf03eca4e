//! A counterexample that a person can follow.

use boato_cluster::{Epoch, Greeting, Pid};

use super::action::Action;
use super::packet::Body;
use super::world::{News, World};

/// A, B, C, D; from the second boot on with its number.
pub(super) fn name(pid: Pid) -> String {
    let letter = char::from_u32(64 + u32::try_from(pid.node).unwrap_or(0)).unwrap_or('?');
    if pid.boot == 1 { letter.to_string() } else { format!("{letter}{}", pid.boot) }
}

/// Its counter, and whose it is.
pub(super) fn epoch(epoch: Epoch) -> String {
    format!("{}@{}", epoch.counter, name(epoch.pid))
}

/// The actions from the beginning, each with the state it leads to.
pub(super) fn tell(begin: &World, actions: &[Action]) -> Vec<String> {
    let mut world = begin.clone();
    let mut lines = vec![format!("    {}", world.describe())];
    for (step, &action) in (1..).zip(actions) {
        world.absorb();
        let what = describe(&world, action);
        world.act(action);
        lines.push(format!("{step:3} {what}"));
        let now = format!("      -> {}", world.describe());
        lines.push(now);
    }
    lines
}

fn describe(world: &World, action: Action) -> String {
    match action {
        Action::Deliver(place) => message(world, place),
        Action::Duplicate(place) => format!("{} (and once more later)", message(world, place)),
        Action::Drop(place) => format!("lost: {}", message(world, place)),
        Action::Delay(place) => format!("late: {}", message(world, place)),
        Action::Withhold(place) => format!("late: {}", news(world, place)),
        Action::Fire(place, timer) => format!("{}: time for {timer:?}", name(world.nodes[place].pid)),
        Action::Learn(place) => news(world, place),
        Action::Step => format!("{:?}", world.script.steps[world.steps]),
        Action::Invoke(client, place) => {
            let call = world.script.clients[client][world.clients[client].calls];
            format!("client {client} asks {}: {call:?}", name(world.nodes[place].pid))
        }
        Action::Resume(client) => format!("client {client} tries again"),
        Action::Lose(client) => format!("client {client}: the answer got lost"),
        Action::Sweep(place, slot) => format!("{} sweeps slot {slot}", name(world.nodes[place].pid)),
    }
}

fn news(world: &World, place: usize) -> String {
    let News { to, about, liveness, weight } = world.news[place];
    format!("{} learns: {} {liveness:?}, weight {weight}", name(to), name(about))
}

fn message(world: &World, place: usize) -> String {
    let packet = &world.packets[place];
    let what = match &packet.body {
        Body::Frame(frame) => {
            let runs = frame.runs.iter().map(|run| format!("{}+{} {:?}", run.start, run.len, run.message));
            let mut parts: Vec<String> = runs.collect();
            match frame.greeting {
                Greeting::None => {}
                greeting => parts.push(format!("{greeting:?}")),
            }
            if let Some(digest) = &frame.digest {
                parts.push(format!("{digest:?}"));
            }
            parts.join("; ")
        }
        Body::Request { used, operation, .. } => format!("{operation:?} by {used:?}"),
        Body::Reply { answer, .. } => format!("{answer:?}"),
    };
    format!("{} to {}: {}", name(packet.from), name(packet.to), shorten(world, what))
}

/// Processes and epochs by their short names.
fn shorten(world: &World, mut text: String) -> String {
    for &pid in &world.boots {
        text = text.replace(&format!("{pid:?}"), &name(pid));
        text = text.replace(&format!(", pid: {} }}", name(pid)), &format!("@{}", name(pid)));
    }
    text.replace("Epoch { counter: ", "").replace("content_type: b\"\", ", "")
}
