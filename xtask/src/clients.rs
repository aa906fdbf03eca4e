//! `cargo xtask clients`: clients that others wrote use a cluster of real nodes while one joins and one leaves.
//!
//! Each client is a short program (`xtask/clients`, and the example `redis_rs`) that stops at the first error or wrong value.

mod program;

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
pub(crate) use program::installed;
use program::{CLIENTS, Client, EXAMPLE, Running};

use crate::ask::Topology;
use crate::nodes::{self, Launch, Node, Signals};

/// Longest time that a node takes to leave.
const LEAVE_TIME: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these clients
    #[arg(value_name = "CLIENT")]
    only: Vec<String>,
    /// How often a node joins and another leaves
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=100))]
    changes: u8,
    /// Build the nodes optimised
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for name in &args.only {
        let known = CLIENTS.iter().any(|client| client.name == name);
        ensure!(known, "no client is named `{name}`: {}", CLIENTS.map(|client| client.name).join(", "));
    }
    let chosen =
        |client: &&'static Client| args.only.is_empty() || args.only.iter().any(|name| name == client.name);
    let [program, example] = nodes::build_with_example(EXAMPLE, args.release)?;
    let with_command = |client: &'static Client| Ok((client, client.command(&example)?));
    let chosen = CLIENTS.iter().filter(chosen).map(with_command).collect::<Result<Vec<_>>>()?;
    let signals = Signals::new()?;
    let dir =
        tempfile::Builder::new().prefix("boato-clients-").tempdir().context("making a temporary folder")?;
    let launch = Launch {
        program,
        cluster: format!("clients-{}", std::process::id()),
        dir: dir.path().to_owned(),
        args: Vec::new(),
    };
    let done = with_cluster(&launch, chosen, args.changes, &signals);
    if done.is_err() {
        eprintln!("logs are kept in {}", dir.keep().display());
    }
    done
}

fn with_cluster(
    launch: &Launch,
    chosen: Vec<(&Client, Command)>,
    changes: u8,
    signals: &Signals,
) -> Result<()> {
    let mut nodes =
        (1..=3).map(|index| launch.start(&format!("n{index}"), &[])).collect::<Result<Vec<_>>>()?;
    nodes::assemble(&mut nodes)?;
    settle(&mut nodes)?;
    let plain = nodes[0].ready().and_then(|ready| ready.resp).context("a node without a RESP door")?;
    let cluster: Vec<_> = cluster_doors(&mut nodes)?.iter().map(ToString::to_string).collect();
    let addresses = [plain.to_string(), cluster.join(",")];
    let mut running = Vec::new();
    for (client, command) in chosen {
        running.push(client.start(command, &addresses, &launch.dir)?);
    }
    running.iter_mut().try_for_each(Running::ready)?;
    for change in 0..changes {
        ensure!(!signals.wait(Duration::ZERO), "interrupted");
        nodes.push(launch.start(&format!("n{}", change + 4), &[])?);
        nodes::assemble(&mut nodes)?;
        settle(&mut nodes)?;
        // The first one stays: clients that know one address know that of this one.
        let leaver = nodes.remove(1);
        leave(leaver)?;
        settle(&mut nodes)?;
        running.iter_mut().try_for_each(Running::still_runs)?;
        println!("change {} of {changes}: one node joined, one left", change + 1);
    }
    for client in running {
        let name = client.name;
        println!("{name:<16} {}, no error, no wrong value", client.finish()?);
    }
    Ok(())
}

/// Waits until the nodes agree on who holds which slot, each of them some.
fn settle(nodes: &mut [Node]) -> Result<()> {
    Topology::complete(&cluster_doors(nodes)?).map(|_| ())
}

fn cluster_doors(nodes: &mut [Node]) -> Result<Vec<SocketAddr>> {
    let door = |node: &mut Node| node.ready().and_then(|ready| ready.resp_cluster);
    nodes
        .iter_mut()
        .map(|node| door(node).context("a node without a RESP door for cluster clients"))
        .collect()
}

fn leave(mut node: Node) -> Result<()> {
    node.terminate();
    let deadline = Instant::now() + LEAVE_TIME;
    loop {
        match node.exited()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("{} left with {status}: {}", node.name, node.log_tail()),
            None => ensure!(Instant::now() < deadline, "{} does not leave", node.name),
        }
        thread::sleep(LOOK);
    }
}
