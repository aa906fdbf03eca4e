//! The command line: one file per command.

mod bench;
mod change;
mod completions;
mod config;
mod del;
mod door;
mod entries;
mod event;
mod export;
mod failure;
mod force_leave;
mod get;
mod import;
mod incr;
mod join;
mod keygen;
mod keys;
mod leave;
mod locate;
mod man;
mod members;
mod monitor;
mod output;
mod query;
mod reachability;
mod resp;
mod rtt;
mod run;
mod scan;
mod set;
mod slots;
mod status;
mod tags;
mod target;
mod top;
mod values;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::Config;
use crate::live::Reread;
use failure::Failure;

/// An elastic in-memory key-value cluster that assembles itself.
///
/// Without a command, boato runs a node: `boato --join web1` is `boato run --join web1`.
#[derive(Parser)]
#[command(name = "boato", version)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed or no such key to read, 2 wrong usage, 69 node out of reach, 78 wrong configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node (the default)
    Run(Box<run::Args>),
    /// List the members of the cluster
    Members(members::Args),
    /// Write values of keys to standard output
    Get(get::Args),
    /// Create or replace the value of a key
    Set(set::Args),
    /// Remove keys, if they are there
    Del(del::Args),
    /// Add to a number
    Incr(incr::Args),
    /// List keys
    Scan(scan::Args),
    /// Tell which node a key belongs to
    Where(locate::Args),
    /// Show who holds how much of the key space
    Slots(slots::Args),
    /// Show the cluster, live
    Top(top::Args),
    /// Try how much a running cluster bears
    Bench(bench::Args),
    /// Show a node in a few figures
    Status(status::Args),
    /// Write all keys and values as lines of JSON
    Export(export::Args),
    /// Read keys and values from a running Redis or from lines of JSON
    Import(import::Args),
    /// Change a running node's share of the keys
    Weight(change::WeightArgs),
    /// Have a node read its configuration again
    Reload(change::ReloadArgs),
    /// Have a node hand its keys to the others and stay, serving none
    Drain(leave::DrainArgs),
    /// Ask a node to hand its keys to the others and end
    Leave(leave::LeaveArgs),
    /// Tell all members something
    Event(event::Args),
    /// Show what happens, as it happens
    Monitor(monitor::Args),
    /// Ask members something
    Query(query::Args),
    /// Have a running node contact others, that the two clusters become one
    Join(join::Args),
    /// Have a dead member taken for one that left, or forgotten
    ForceLeave(force_leave::Args),
    /// Show or replace the cluster's secrets while it runs (for the keys of values: scan)
    Keys(keys::Args),
    /// Ask all members for a sign of life
    Reachability(reachability::Args),
    /// Estimate how long a round trip between two members takes
    Rtt(rtt::Args),
    /// Show or change what a node says about itself
    Tags(tags::Args),
    /// Print a new cluster secret
    Keygen(keygen::Args),
    /// Look at the configuration
    Config(config::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual
    Man(man::Args),
}

/// The program: reads the command line, does what it says with `run` as the way to run a node, which is also told
/// how to read its configuration again, and gives the exit code.
pub fn main(run: impl FnOnce(Config, Reread) -> anyhow::Result<()>) -> ExitCode {
    let done = parse(env::args_os()).and_then(|(cli, matches)| dispatch(cli, &matches, run));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(
    cli: Cli,
    matches: &ArgMatches,
    run: impl FnOnce(Config, Reread) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    match cli.command {
        Command::Run(args) => run::run(&args, innermost(matches), run),
        Command::Members(args) => members::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Set(args) => set::run(&args),
        Command::Del(args) => del::run(&args),
        Command::Incr(args) => incr::run(&args),
        Command::Scan(args) => scan::run(&args),
        Command::Where(args) => locate::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Slots(args) => slots::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Weight(args) => change::weight(&args, innermost(matches)),
        Command::Reload(args) => change::reload(&args, innermost(matches)),
        Command::Drain(args) => leave::drain(&args, innermost(matches)),
        Command::Leave(args) => leave::leave(&args, innermost(matches)),
        Command::Event(args) => event::run(&args),
        Command::Monitor(args) => monitor::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Join(args) => join::run(&args, innermost(matches)),
        Command::ForceLeave(args) => force_leave::run(&args, innermost(matches)),
        Command::Keys(args) => keys::run(&args, innermost(matches)),
        Command::Reachability(args) => reachability::run(&args),
        Command::Rtt(args) => rtt::run(&args),
        Command::Tags(args) => tags::run(&args, innermost(matches)),
        Command::Keygen(args) => keygen::run(&args),
        Command::Config(args) => config::run(&args, innermost(matches)),
        Command::Completions(args) => completions::run(&args, &mut Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}

/// The matches of the last subcommand.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

/// Reads the command line. A bad value is wrong usage on the command line and wrong configuration in a
/// variable.
fn parse(args: impl Iterator<Item = OsString>) -> Result<(Cli, ArgMatches), Failure> {
    let args = with_default_command(args.collect());
    let command = map_args(Cli::command(), ignore_empty_variable);
    let matches = command.clone().try_get_matches_from(&args).map_err(|error| {
        let printed = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        let without_variables = map_args(command, |arg| arg.env(Resettable::Reset));
        if !printed && without_variables.try_get_matches_from(&args).is_ok() {
            Failure::Variable(error)
        } else {
            Failure::Usage(error)
        }
    })?;
    let cli = Cli::from_arg_matches(&matches).map_err(Failure::Usage)?;
    Ok((cli, matches))
}

/// `boato --join x` and `boato` alone run a node; `boato --http x get k` is `boato get k --http x`.
fn with_default_command(mut args: Vec<OsString>) -> Vec<OsString> {
    flags_after_command(&mut args);
    let own = ["-h", "--help", "-V", "--version"];
    let default = match args.get(1) {
        None => true,
        Some(first) => first.as_encoded_bytes().starts_with(b"-") && !own.iter().any(|flag| first == flag),
    };
    if default {
        args.insert(args.len().min(1), "run".into());
    }
    args
}

/// Moves flags that say which node is meant from before the command to its end.
fn flags_after_command(args: &mut [OsString]) {
    let mut command = 1;
    while let Some(arg) = args.get(command).and_then(|arg| arg.to_str()) {
        command += match arg {
            "--http" | "--client-secret-file" => 2,
            _ if arg.starts_with("--http=") || arg.starts_with("--client-secret-file=") => 1,
            _ => break,
        };
    }
    let is_command = |arg: &OsString| Cli::command().find_subcommand(arg).is_some();
    if command > 1 && args.get(command).is_some_and(is_command) {
        // What follows -- is no flag.
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        args[1..end].rotate_left(command - 1);
    }
}

/// Applies `change` to the arguments of all commands.
fn map_args(command: clap::Command, change: fn(clap::Arg) -> clap::Arg) -> clap::Command {
    command.mut_args(change).mut_subcommands(|inner| map_args(inner, change))
}

/// A variable that is set and empty counts as not set: container platforms like to set all of them.
fn ignore_empty_variable(arg: clap::Arg) -> clap::Arg {
    let empty = arg.get_env().is_some_and(|name| env::var_os(name).is_some_and(|value| value.is_empty()));
    let arg = arg.hide_env_values(true);
    if empty { arg.env(Resettable::Reset) } else { arg }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_without_a_command_run_a_node() {
        let after = |args: &[&str]| {
            let args = with_default_command(args.iter().map(OsString::from).collect());
            args.into_iter().map(|arg| arg.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(after(&["boato"]), ["boato", "run"]);
        assert_eq!(after(&["boato", "--quic", "0"]), ["boato", "run", "--quic", "0"]);
        assert_eq!(after(&["boato", "get", "--http", "1", "k"]), ["boato", "get", "--http", "1", "k"]);
        let moved = ["boato", "set", "k", "--http", "1", "--", "-v"];
        assert_eq!(after(&["boato", "--http", "1", "set", "k", "--", "-v"]), moved);
        assert_eq!(after(&["boato", "--http=1", "keys", "list"]), ["boato", "keys", "list", "--http=1"]);
        assert_eq!(after(&["boato", "--http", "get"]), ["boato", "run", "--http", "get"]);
        assert_eq!(after(&["boato", "--help"]), ["boato", "--help"]);
        assert_eq!(after(&["boato", "-V"]), ["boato", "-V"]);
    }

    #[test]
    fn every_flag_with_a_value_has_a_variable_of_its_name() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        for arg in run.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
            let flag = arg.get_long().unwrap();
            assert_eq!(arg.get_env().unwrap().to_str().unwrap(), crate::config::variable(flag));
        }
    }
}
