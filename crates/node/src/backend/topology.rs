//! Which node cluster clients are to ask for which slot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use boato_api::{Topology, TopologyNode};
use boato_cluster::Pid;
use boato_placement::{SLOTS, Table};
use parking_lot::Mutex;

use crate::roster::{Known, Names};

/// A topology that changed less than this ago is not at rest: no client is sent elsewhere by it.
const REST: Duration = Duration::from_secs(1);

/// The topology as last asked for, and what it was made of.
#[derive(Default)]
pub(crate) struct Latest {
    made: ArcSwapOption<Made>,
    /// Held while another is made.
    making: Mutex<()>,
}

struct Made {
    table: Arc<Table>,
    names: Arc<Names>,
    topology: Arc<Topology>,
    since: Instant,
}

impl Latest {
    /// The topology of a table and of those whose doors are known: made anew only if one of them is another.
    pub(super) fn of(&self, me: Pid, table: &Arc<Table>, names: &Arc<Names>) -> Arc<Topology> {
        Arc::clone(&self.made(me, table, names).topology)
    }

    /// Whether it has been the same for a while.
    pub(super) fn is_at_rest(&self, me: Pid, table: &Arc<Table>, names: &Arc<Names>) -> bool {
        self.made(me, table, names).since.elapsed() >= REST
    }

    fn made(&self, me: Pid, table: &Arc<Table>, names: &Arc<Names>) -> Arc<Made> {
        let is_current =
            |made: &Arc<Made>| Arc::ptr_eq(&made.table, table) && Arc::ptr_eq(&made.names, names);
        if let Some(made) = &*self.made.load()
            && is_current(made)
        {
            return Arc::clone(made);
        }
        let _making = self.making.lock();
        let old = self.made.load_full();
        let mut topology = make(me, table, names);
        let (table, names) = (Arc::clone(table), Arc::clone(names));
        let made = match old {
            Some(made) if made.topology.nodes == topology.nodes && made.topology.runs == topology.runs => {
                Made { table, names, topology: Arc::clone(&made.topology), since: made.since }
            }
            old => {
                topology.epoch = 1 + old.map_or(0, |made| made.topology.epoch);
                Made { table, names, topology: Arc::new(topology), since: Instant::now() }
            }
        };
        let made = Arc::new(made);
        self.made.store(Some(Arc::clone(&made)));
        made
    }
}

fn make(me: Pid, table: &Table, names: &Names) -> Topology {
    let doors: BTreeMap<u128, (&Known, bool)> = names
        .iter()
        .filter(|(_, known)| known.resp_cluster.is_some())
        .map(|(pid, known)| (pid.node, (known, *pid == me)))
        .collect();
    let nodes = doors.iter().filter_map(|(id, (known, me))| {
        Some(TopologyNode {
            id: format!("{id:040x}"),
            name: known.name.to_string(),
            addr: known.resp_cluster?,
            me: *me,
        })
    });
    let places: BTreeMap<u128, usize> = doors.keys().copied().zip(0..).collect();
    let mut runs: Vec<(u16, u16, usize)> = Vec::new();
    for slot in 0..u16::try_from(SLOTS).expect("invariant: 16384 slots") {
        let Some(&place) = table.owner(slot).and_then(|id| places.get(&id)) else { continue };
        match runs.last_mut() {
            Some((_, last, holder)) if *holder == place && *last + 1 == slot => *last = slot,
            _ => runs.push((slot, slot, place)),
        }
    }
    Topology { epoch: 0, nodes: nodes.collect(), runs }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use boato_placement::{Candidate, Rendezvous};

    use super::*;

    const ME: Pid = Pid { node: 1, boot: 9 };

    fn table(ids: &[u128]) -> Arc<Table> {
        let candidates = ids.iter().map(|&id| Candidate { id, weight: 1 });
        Arc::new(Table::build(&Rendezvous::default(), candidates))
    }

    fn names(doors: &[(u128, Option<u16>)]) -> Arc<Names> {
        let known = |&(node, port): &(u128, Option<u16>)| {
            let resp_cluster = port.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            (Pid { node, boot: 9 }, Known { name: format!("n{node}").into(), resp_cluster })
        };
        Arc::new(doors.iter().map(known).collect())
    }

    #[test]
    fn every_slot_of_a_node_with_a_door_is_in_one_run() {
        let topology = Latest::default().of(ME, &table(&[1, 2]), &names(&[(1, Some(10)), (2, Some(20))]));
        assert_eq!(topology.nodes.iter().map(|node| node.addr.port()).collect::<Vec<_>>(), [10, 20]);
        assert_eq!((topology.nodes[0].me, topology.nodes[1].me), (true, false));
        assert_eq!(topology.nodes[1].id, "0000000000000000000000000000000000000002");
        let mut next = 0;
        for &(first, last, place) in &topology.runs {
            assert!(first == next && first <= last && place < 2);
            next = last + 1;
        }
        assert_eq!(usize::from(next), SLOTS);
    }

    #[test]
    fn slots_of_a_node_without_a_door_are_left_out() {
        let topology = Latest::default().of(ME, &table(&[1, 2]), &names(&[(1, Some(10)), (2, None)]));
        let covered: usize = topology.runs.iter().map(|(first, last, _)| usize::from(last - first) + 1).sum();
        assert!(topology.nodes.len() == 1 && (4096..12288).contains(&covered), "{covered} slots");
    }

    #[test]
    fn a_topology_is_made_once_and_grows_with_every_change() {
        let latest = Latest::default();
        let (first, doors) = (table(&[1, 2]), names(&[(1, Some(10)), (2, Some(20))]));
        let topology = latest.of(ME, &first, &doors);
        assert!(Arc::ptr_eq(&latest.of(ME, &first, &doors), &topology));
        assert!(Arc::ptr_eq(&latest.of(ME, &table(&[1, 2]), &doors), &topology), "the same in other words");
        let other = latest.of(ME, &table(&[1]), &doors);
        assert!(other.epoch > topology.epoch && other.runs == [(0, 16383, 0)]);
        assert!(!latest.is_at_rest(ME, &table(&[1]), &doors));
    }
}
