//! An edge proxy's question, answered from memory: `config = configs[lookup(host)]`.
//!
//! Three nodes in this process become a cluster. Host names are mapped to ids and ids to JSON configurations, all of it is
//! written, and then proxies ask: each has a node next to it, draws a host by its popularity, reads the id, reads the
//! configuration, and checks both. The same arguments give the same hosts, configurations and questions.

mod cluster;
mod proxy;
mod report;
mod sites;

use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use cluster::Cluster;
use proxy::Proxy;
use report::{Latencies, Report};
use sites::Sites;

/// Map host names to configurations in a cluster of three nodes, and ask for them
#[derive(Parser)]
struct Args {
    /// Distinct host names, each with a configuration
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    hosts: u32,
    /// Lookups of all proxies together [default: four for each host]
    #[arg(long)]
    lookups: Option<u32>,
    /// Proxies that ask at the same time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    proxies: u32,
    /// Seed of hosts, configurations and questions
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let sites = Sites::generate(args.hosts as usize, args.seed);
    let cluster = Cluster::start()?;
    let proxies: Vec<_> =
        (0..args.proxies).map(|i| Proxy::new(cluster.door(i as usize), args.seed ^ u64::from(i))).collect();

    let start = Instant::now();
    let stored_bytes = load(&proxies, &sites)?;
    let load_time = start.elapsed();

    let lookups = args.lookups.unwrap_or(4 * args.hosts);
    let start = Instant::now();
    let latencies = ask(&proxies, &sites, lookups)?;
    let lookup_time = start.elapsed();
    cluster.stop();

    let report = Report { hosts: args.hosts, stored_bytes, load_time, lookups, lookup_time, latencies };
    println!("{report}");
    Ok(())
}

/// Writes every site, each proxy a share; returns the bytes of all configurations.
fn load(proxies: &[Proxy], sites: &Sites) -> Result<u64> {
    let shares = thread::scope(|scope| {
        let share = |(i, proxy): (usize, &Proxy)| {
            let (proxy, ids) = (proxy.clone(), (i..sites.len()).step_by(proxies.len()));
            scope.spawn(move || ids.map(|id| proxy.store(sites, id)).sum::<Result<u64>>())
        };
        let writers: Vec<_> = proxies.iter().enumerate().map(share).collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer panicked")).sum::<Result<u64>>()
    });
    shares.context("loading")
}

/// Makes `lookups` in all; returns how long they took.
fn ask(proxies: &[Proxy], sites: &Sites, lookups: u32) -> Result<Latencies> {
    let count = u32::try_from(proxies.len())?;
    let shares: Vec<Result<Latencies>> = thread::scope(|scope| {
        let share = |(i, proxy): (u32, &Proxy)| {
            let (proxy, own) = (proxy.clone(), lookups / count + u32::from(i < lookups % count));
            scope.spawn(move || proxy.look_up(sites, own))
        };
        let askers: Vec<_> = (0..).zip(proxies).map(share).collect();
        askers.into_iter().map(|asker| asker.join().expect("an asker panicked")).collect()
    });
    let mut all = Latencies::new()?;
    for share in shares {
        all.add(&share?)?;
    }
    ensure!(all.lookups() == u64::from(lookups), "{} of {lookups} lookups were counted", all.lookups());
    Ok(all)
}
