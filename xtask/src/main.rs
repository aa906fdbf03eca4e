//! The project's own commands, run as `cargo xtask <command>`.

mod ask;
mod bench;
mod campaign;
mod churn;
mod ci;
mod clients;
mod cluster;
mod cluster_sim;
mod dist;
mod fault;
mod fuzz;
mod licences;
mod metrics;
mod model_check;
mod nodes;
mod page;
mod process;
mod relay;
mod starve;
mod tidy;
mod units;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check that a change must pass
    Ci(ci::Args),
    /// Check edges between crates, lengths of files, links
    Tidy,
    /// Check the dependencies against deny.toml
    Licences,
    /// Start a cluster of real nodes on this machine, to play with
    Cluster(cluster::Args),
    /// Judge real nodes that come, go, stall and die under load
    Churn(churn::Args),
    /// Steal one real node's time again and again, and judge whether anybody is declared dead
    Starve(starve::Args),
    /// Measure what clients see of nodes that join and leave at full load
    Reshard(churn::reshard::Args),
    /// Simulate a cluster in virtual time
    ClusterSim(Box<cluster_sim::Args>),
    /// Simulate seed after seed, in search of a broken promise
    Campaign(campaign::Args),
    /// Explore every order of events of small clusters
    ModelCheck(model_check::Args),
    /// Run the benchmarks, or compare boato under load with other servers
    Bench(bench::Args),
    /// Try to break every reader of bytes from outside
    Fuzz(fuzz::Args),
    /// Let clients that others wrote use a cluster while nodes come and go
    Clients(clients::Args),
    /// Watch the page of a node in a real browser while nodes come and go
    Page(page::Args),
    /// Have systemd look at the units, and run them
    Units,
    /// Have a real Prometheus load alert rules and dashboard, and watch real nodes
    Metrics,
    /// Make archives of optimised binaries
    Dist(dist::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Ci(args) => ci::run(&args),
        Command::Tidy => tidy::check(root()),
        Command::Licences => licences::run(),
        Command::Cluster(args) => cluster::run(&args),
        Command::Churn(args) => churn::run(&args),
        Command::Starve(args) => starve::run(&args),
        Command::Reshard(args) => churn::reshard::run(&args),
        Command::ClusterSim(args) => cluster_sim::run(&args),
        Command::Campaign(args) => campaign::run(&args),
        Command::ModelCheck(args) => model_check::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Clients(args) => clients::run(&args),
        Command::Page(args) => page::run(&args),
        Command::Units => units::run(),
        Command::Metrics => metrics::run(),
        Command::Dist(args) => dist::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            error.downcast_ref::<fault::Fault>().map_or(ExitCode::FAILURE, |fault| ExitCode::from(fault.code))
        }
    }
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("invariant: xtask lies in the root of the repository")
}

/// The cargo that runs this program.
fn cargo() -> std::process::Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(program);
    command.current_dir(root());
    command
}
