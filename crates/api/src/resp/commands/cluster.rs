//! What cluster clients ask for: who has which slot, and what is in a slot.

use super::scan::{Scope, counted, listed};
use super::{Context, info, server};
use crate::resp::door::Door;
use crate::resp::number;
use crate::resp::request::Request;
use crate::resp::step::{Later, Refusal};
use crate::resp::table::{FAST, Group, LOADING, OF_CONNECTION, Run, STALE, Spec};

const SLOTS: u16 = 16384;

/// Most keys of one answer of `GETKEYSINSLOT`.
const KEYS_MAX: usize = 1 << 20;

pub(super) static SPECS: &[Spec] = &[
    Spec::new("cluster", -2, 0, Group::Cluster, Run::Container)
        .about("3.0.0", "Who has which slot.")
        .with(&CLUSTER),
    flag("readonly", LOADING | STALE).about("3.0.0", "Does nothing: there are no replicas."),
    flag("readwrite", LOADING | STALE).about("3.0.0", "Does nothing: there are no replicas."),
    flag("asking", 0).about("3.0.0", "Does nothing: no slot is asked for with ASK."),
];

static CLUSTER: [Spec; 10] = [
    sub("cluster|info", 2, Run::Here(cluster_info)).about("3.0.0", "The state of the cluster."),
    sub("cluster|myid", 2, Run::Here(myid)).about("3.0.0", "The id of this node."),
    sub("cluster|slots", 2, Run::Here(slots)).about("3.0.0", "The nodes of runs of slots."),
    sub("cluster|shards", 2, Run::Here(shards)).about("7.0.0", "The nodes and their slots."),
    sub("cluster|nodes", 2, Run::Here(nodes)).about("3.0.0", "The nodes and their slots, as text."),
    sub("cluster|links", 2, Run::Here(links)).about("7.0.0", "Always empty: nodes talk over QUIC."),
    sub("cluster|keyslot", 3, Run::Here(keyslot)).about("3.0.0", "The slot of a key."),
    sub("cluster|countkeysinslot", 3, Run::Away(countkeysinslot)).about("3.0.0", "How many keys a slot has."),
    sub("cluster|getkeysinslot", 4, Run::Away(getkeysinslot)).about("3.0.0", "Keys of a slot."),
    Spec::at_once("cluster|help", 2, 0, Group::Cluster, help).about("5.0.0", "Tells the subcommands."),
];

const fn sub(name: &'static str, arity: i8, run: Run) -> Spec {
    Spec::new(name, arity, STALE, Group::Cluster, run)
}

const fn flag(name: &'static str, flags: u32) -> Spec {
    Spec::new(name, 1, flags | FAST | OF_CONNECTION, Group::Cluster, Run::Here(nothing))
}

/// A handler's result.
type Handled = Result<(), Refusal>;

fn nothing(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.ok();
    Ok(())
}

fn help(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    server::help("cluster", context.out);
    Ok(())
}

fn cluster_info(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.verbatim(&info::of_cluster(context.door));
    Ok(())
}

fn myid(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    let topology = context.door.backend.topology();
    let me = topology.nodes.iter().find(|node| node.me);
    context.out.bulk(me.ok_or("TRYAGAIN this node is not in its own topology yet")?.id.as_bytes());
    Ok(())
}

fn slots(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    let topology = context.door.topology.of(&*context.door.backend);
    context.out.append(&topology.slots);
    Ok(())
}

fn shards(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    let topology = context.door.topology.of(&*context.door.backend);
    context.out.append(topology.shards(context.out.protocol()));
    Ok(())
}

fn nodes(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    let topology = context.door.topology.of(&*context.door.backend);
    context.out.verbatim(&topology.nodes);
    Ok(())
}

fn links(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    context.out.array(0);
    Ok(())
}

fn keyslot(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    context.out.integer(context.door.backend.slot(request.args()[1]).into());
    Ok(())
}

fn slot(text: &[u8]) -> Result<u16, Refusal> {
    let slot = number::integer(text).ok_or(Refusal::NOT_AN_INTEGER)?;
    u16::try_from(slot).ok().filter(|slot| *slot < SLOTS).ok_or("ERR Invalid slot".into())
}

fn countkeysinslot(door: &Door, request: &Request<'_>) -> Result<Later, Refusal> {
    Ok(counted(door, Some(slot(request.args()[1])?)))
}

fn getkeysinslot(door: &Door, request: &Request<'_>) -> Result<Later, Refusal> {
    let slot = number::integer(request.args()[1]).ok_or(Refusal::NOT_AN_INTEGER)?;
    let most = number::integer(request.args()[2]).ok_or(Refusal::NOT_AN_INTEGER)?;
    let slot = u16::try_from(slot).ok().filter(|slot| *slot < SLOTS);
    let (Some(slot), Ok(most)) = (slot, usize::try_from(most)) else {
        return Err("ERR Invalid slot or number of keys".into());
    };
    let (scope, most) = (Scope::of_slot(door, slot), most.min(KEYS_MAX));
    let bytes_max = door.limits.reply_bytes / 4;
    Ok(Box::pin(async move {
        let enough = |keys: usize, bytes: usize| keys >= most || bytes >= bytes_max;
        let found = scope.all(enough).await;
        listed(found.map(|keys| keys.into_iter().take(most).collect()))
    }))
}
