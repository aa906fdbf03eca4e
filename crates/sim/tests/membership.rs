//! The production gossip core in a simulated cluster.

use std::time::Duration;

use boato_gossip::{Config, Event, State};
use boato_sim::membership::{Figures, Node, Note, Protocol, Report, Scenario, ScenarioError, Shortfall, run};
use boato_sim::{Effect, Engine, Host, Hosts, Latency, Network, Rule};
use fastrand::Rng;

fn report(scenario: &Scenario) -> Report {
    run(scenario, &mut |_| {}).expect("the scenario is in range")
}

fn minutes(nodes: u32, seed: u64, minutes: u64) -> Scenario {
    Scenario { length: Duration::from_mins(minutes), ..Scenario::new(nodes, seed) }
}

#[test]
fn a_seed_reproduces_a_run_and_another_seed_does_not() {
    let lossy = |seed| report(&Scenario { loss: 0.1, ..minutes(20, seed, 2) });
    assert_eq!(lossy(7), lossy(7));
    assert_ne!(lossy(7).figures.trace_hash, lossy(8).figures.trace_hash);
}

#[test]
fn a_calm_cluster_assembles_and_suspects_nobody() {
    for nodes in [2, 3, 30] {
        let report = report(&Scenario { crashes: 0, ..minutes(nodes, 1, 2) });
        assert_eq!(report.shortfalls, [], "{nodes} nodes");
        assert!(report.figures.converge_ms.is_some_and(|ms| ms < 10_000.0), "{report:?}");
        assert_eq!((report.false_suspicions, report.figures.false_deaths), (0, 0));
        assert_eq!((report.figures.suspect_p50_ms, report.figures.detect_p99_ms), (None, None));
    }
}

#[test]
fn every_survivor_declares_every_crashed_node_dead() {
    let report = report(&Scenario { crashes: 3, ..minutes(20, 3, 5) });
    assert_eq!(report.shortfalls, []);
    assert_eq!(report.figures.false_deaths, 0);
    let [suspected, declared] =
        [report.figures.suspect_p50_ms, report.figures.detect_p50_ms].map(Option::unwrap);
    assert!(0.0 < suspected && suspected < declared, "{report:?}");
    assert!(report.detect_max_ms >= report.figures.detect_p99_ms);
}

/// SWIM expects the first probe in the period e / (e - 1) = 1.58, counted from the crash; of 40 crashes the mean is within three of its
/// standard errors (0.15). The suspicion comes when that probe's interval is over.
#[test]
fn a_crashed_node_is_probed_as_soon_as_swim_expects_and_suspected_a_period_later() {
    let scenario = Scenario { crashes: 40, protocol: Protocol::BoatoSwim, ..minutes(100, 7, 20) };
    let Figures { first_probe_ms, first_probe_periods, first_suspect_ms, .. } = report(&scenario).figures;
    let periods = first_probe_periods.unwrap();
    assert!((1.13..2.03).contains(&periods), "{periods}");
    let between = first_suspect_ms.unwrap() - first_probe_ms.unwrap();
    let interval = scenario.gossip.probe_interval.as_secs_f64() * 1e3;
    assert!((0.9 * interval..1.2 * interval).contains(&between), "{between} ms");
}

#[test]
fn a_lossy_network_still_converges_and_kills_nobody() {
    let report = report(&Scenario { loss: 0.05, ..minutes(30, 5, 5) });
    assert_eq!(report.shortfalls, []);
    assert_eq!(report.figures.false_deaths, 0);
}

#[test]
fn a_network_that_loses_nearly_everything_is_reported_as_not_converged() {
    let report = report(&Scenario { loss: 0.999, ..minutes(10, 1, 1) });
    assert!(matches!(report.shortfalls[..], [Shortfall::NotConverged { .. }]), "{report:?}");
    assert_eq!(report.figures.converge_ms, None);
}

#[test]
fn a_run_too_short_to_notice_a_crash_says_so() {
    let report = report(&Scenario { length: Duration::from_secs(6), ..Scenario::new(20, 1) });
    let found = [Shortfall::Undetected { pairs: 19 }, Shortfall::WrongViews { nodes: 19 }];
    assert_eq!(report.shortfalls, found);
    assert_eq!(report.figures.detect_p50_ms, None);
}

#[test]
fn scenarios_out_of_range_are_refused() {
    let refused = |scenario: Scenario| run(&scenario, &mut |_| {}).unwrap_err();
    assert!(matches!(refused(Scenario::new(1, 0)), ScenarioError::Nodes(1)));
    assert!(matches!(refused(Scenario::new(1_000_000, 0)), ScenarioError::Nodes(_)));
    assert!(matches!(refused(Scenario { crashes: 3, ..Scenario::new(3, 0) }), ScenarioError::Crashes(3)));
    let all = Scenario::new(3, 0).length;
    assert!(matches!(
        refused(Scenario { partition: all, ..Scenario::new(3, 0) }),
        ScenarioError::Partition(_)
    ));
    assert!(matches!(refused(Scenario { stalls: 4, ..Scenario::new(3, 0) }), ScenarioError::Stalls(4)));
    for loss in [-0.1, 1.0, f64::NAN] {
        assert!(matches!(refused(Scenario { loss, ..Scenario::new(3, 0) }), ScenarioError::Loss(_)));
    }
}

#[test]
fn halves_of_a_cluster_are_one_again_within_seconds_of_the_heal() {
    let partition = Duration::from_mins(3);
    let report = report(&Scenario { crashes: 0, partition, ..minutes(60, 1, 4) });
    assert_eq!((report.shortfalls, report.figures.false_deaths), (vec![], 0));
    assert!(report.figures.heal_ms.is_some_and(|ms| ms < 30_000.0), "{:?}", report.figures);
    assert!(report.figures.heal_bytes_per_node.is_some_and(|bytes| bytes < 200_000), "{:?}", report.figures);
}

#[test]
fn a_heal_that_has_no_time_is_reported() {
    let partition = Duration::from_secs(119);
    let report = report(&Scenario {
        crashes: 0,
        partition,
        length: partition + Duration::from_millis(300),
        ..minutes(10, 1, 2)
    });
    assert!(
        matches!(report.shortfalls[..], [Shortfall::NotHealed { .. }, Shortfall::WrongViews { .. }]),
        "{report:?}"
    );
}

#[test]
fn nodes_that_stand_still_again_and_again_are_not_declared_dead() {
    let report = report(&Scenario { crashes: 0, stalls: 20, ..minutes(100, 1, 5) });
    assert_eq!((report.shortfalls, report.figures.false_deaths), (vec![], 0));
    assert!(report.false_suspicions > 0, "stalls are seen");
}

/// A cluster in the hands of the test, which is told the events.
struct Cluster {
    engine: Engine<Node>,
    events: Vec<(Host, Event)>,
}

impl Cluster {
    fn start(nodes: usize, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let latency = Latency::around(Duration::from_millis(1));
        let network = Network::new([Rule::everywhere(Effect::Delay(latency))]);
        let mut cluster = Self { engine: Engine::new(network, seed), events: Vec::new() };
        for _ in 0..nodes {
            let host = cluster.engine.add_host();
            let join = (host != Host(0)).then_some(Host(0));
            let node = Node::new(host, join, Config::lan(), &mut rng, Duration::ZERO);
            let node = node.expect("the configuration is good");
            cluster.engine.start(host, node);
        }
        cluster
    }

    /// Runs until each node lists so many live ones.
    fn run_until_all_list(&mut self, live: usize, within: Duration) {
        let started = self.engine.now();
        while !self.engine.hosts().all(|host| self.live(host) == live) {
            assert!(self.engine.now() < started + within, "not all list {live} nodes after {within:?}");
            self.run_for(Duration::from_millis(100));
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.engine.now() + time;
        loop {
            let more = self.engine.step(until);
            for (_, host, note) in self.engine.notes() {
                match note {
                    Note::Event(event) => self.events.push((host, event)),
                    Note::Probe(..) => {}
                    Note::Up(..) | Note::Down(..) => unreachable!("the core tells events"),
                    Note::Refused(error) => panic!("{host:?} refused a message: {error}"),
                }
            }
            if !more {
                return;
            }
        }
    }

    fn live(&self, host: Host) -> usize {
        self.engine.process(host).map_or(0, |node| node.core().live().count())
    }
}

#[test]
fn a_cluster_cut_in_half_becomes_one_again_after_the_heal() {
    let mut cluster = Cluster::start(10, 11);
    cluster.run_until_all_list(10, Duration::from_secs(20));
    let halves: [Hosts; 2] = [0..5, 5..10].map(|half| half.map(Host).collect());
    let cut = cluster.engine.network().partition(&halves[0], &halves[1]);
    cluster.run_until_all_list(5, Duration::from_mins(3));
    for rule in cut {
        cluster.engine.network().remove(rule);
    }
    cluster.run_until_all_list(10, Duration::from_mins(3));
}

#[test]
fn a_join_that_gets_lost_is_tried_again() {
    let mut cluster = Cluster::start(3, 14);
    let cut = cluster.engine.network().add(Rule::everywhere(Effect::Cut));
    // Longer than a core waits for the answer to a join.
    cluster.run_for(Duration::from_secs(30));
    assert!(cluster.engine.hosts().all(|host| cluster.live(host) == 1));
    cluster.engine.network().remove(cut);
    cluster.run_until_all_list(3, Duration::from_secs(20));
}

#[test]
fn a_one_way_cut_to_one_other_node_kills_nobody() {
    let mut cluster = Cluster::start(10, 12);
    cluster.run_until_all_list(10, Duration::from_secs(20));
    let [from, to] = [1, 2].map(|host| std::iter::once(Host(host)).collect());
    cluster.engine.network().add(Rule { from, to, effect: Effect::Cut });
    cluster.run_for(Duration::from_mins(5));
    let failed: Vec<_> =
        cluster.events.iter().filter(|(_, event)| matches!(event, Event::Failed(_))).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_node_that_starts_again_at_its_address_is_a_member_again() {
    let mut cluster = Cluster::start(5, 13);
    cluster.run_until_all_list(5, Duration::from_secs(20));
    let old = cluster.engine.stop(Host(4)).map(|node| node.core().me().id).unwrap();
    cluster.run_for(Duration::from_secs(1));
    let mut rng = Rng::with_seed(99);
    let now = cluster.engine.now();
    let again = Node::new(Host(4), Some(Host(0)), Config::lan(), &mut rng, now).unwrap();
    cluster.engine.start(Host(4), again);
    cluster.run_for(Duration::from_mins(3));
    cluster.run_until_all_list(5, Duration::from_secs(1));
    for host in cluster.engine.hosts().filter(|host| *host != Host(4)) {
        let member = cluster.engine.process(host).and_then(|node| node.core().member(old));
        assert!(member.is_none_or(|member| member.state == State::Dead), "{host:?} still lists the old one");
    }
}

#[test]
fn nodes_that_crash_and_start_again_are_listed_where_they_run() {
    // One is back before its death is declared, one after that.
    for down in [1, 20].map(Duration::from_secs) {
        for new_address in [false, true] {
            let scenario = Scenario { crashes: 6, restarts: 4, down, new_address, ..minutes(30, 5, 3) };
            let report = report(&scenario);
            let figures = report.figures;
            assert_eq!((report.shortfalls, figures.false_deaths), (vec![], 0), "{down:?} {new_address}");
            assert_eq!(figures.restarts, 4);
            let back = figures.return_p99_ms.expect("survivors list them");
            assert!(0.0 < back && back < 5000.0, "{back} ms after {down:?}, {new_address}");
        }
    }
}

#[test]
fn who_starts_again_is_missed_where_it_is_not_listed_yet_and_dead_where_it_does_not() {
    let late = |down| {
        let length = Duration::from_secs(30);
        report(&Scenario { length, restarts: 1, down: Duration::from_millis(down), ..Scenario::new(10, 5) })
    };
    let (just, never) = (late(24_917), late(25_000));
    assert!(matches!(just.shortfalls[..], [Shortfall::WrongViews { .. }]), "{just:?}");
    assert_eq!((just.figures.restarts, never.figures.restarts), (1, 0));
    assert_eq!(never.shortfalls, [Shortfall::NotRestarted { nodes: 1 }]);
}

#[test]
fn nodes_that_join_at_once_are_listed_by_all() {
    let report = report(&Scenario { burst: 10, crashes: 0, ..minutes(20, 2, 1) });
    assert_eq!(report.shortfalls, []);
    assert!(report.figures.burst_ms.is_some_and(|ms| 0.0 < ms && ms < 10_000.0), "{:?}", report.figures);
}

#[test]
fn clocks_that_differ_and_narrow_ways_are_borne() {
    let hard = Scenario { skew: 0.02, bandwidth: 20_000, tail: 1.0, ..minutes(15, 4, 3) };
    let report = report(&hard);
    assert_eq!((report.shortfalls, report.figures.false_deaths), (vec![], 0));
    assert_ne!(
        report.figures.trace_hash,
        run(&Scenario { skew: 0.0, ..hard }, &mut |_| {}).unwrap().figures.trace_hash
    );
}

#[test]
fn who_hears_nothing_of_the_others_for_minutes_is_listed_again_later() {
    let cut = Scenario { partition: Duration::from_mins(2), one_way: true, crashes: 0, ..minutes(12, 6, 5) };
    let report = report(&cut);
    assert_eq!((report.shortfalls, report.figures.false_deaths), (vec![], 0));
    assert!(report.figures.heal_ms.is_some());
}

#[test]
fn without_local_health_nobody_notices_that_it_stood_still() {
    let stalls = |local_health| {
        let config = Config { local_health, ..Config::lan() };
        let node = Node::new(Host(0), None, config, &mut Rng::with_seed(1), Duration::ZERO).unwrap();
        let mut engine: Engine<Node> = Engine::new(Network::default(), 1);
        let host = engine.add_host();
        engine.start(host, node);
        engine.pause(host, Duration::from_secs(20));
        while engine.step(Duration::from_secs(30)) {}
        engine.process(host).unwrap().core().stats().stalls
    };
    assert_eq!((stalls(true), stalls(false)), (1, 0));
}

#[cfg(feature = "foca")]
#[test]
fn foca_assembles_and_notices_crashes_and_restarts_in_the_same_network() {
    let protocol = boato_sim::membership::Protocol::Foca;
    for new_address in [false, true] {
        let scenario = Scenario { protocol, crashes: 3, restarts: 2, new_address, ..minutes(20, 3, 5) };
        let report = report(&scenario);
        assert_eq!((report.shortfalls, report.figures.false_deaths), (vec![], 0), "{new_address}");
        assert!(report.figures.detect_p50_ms.is_some_and(|ms| ms > 1000.0));
        assert!(report.figures.return_p99_ms.is_some_and(|ms| ms < 5000.0), "{:?}", report.figures);
    }
}
