//! `boato tags`: what a node says about itself.

use std::collections::BTreeMap;

use clap::{ArgMatches, Subcommand};

use super::failure::Failure;
use super::output;
use super::target::{Operator, Target};
use crate::config;

/// What to do; without a command, show them.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

#[derive(Subcommand)]
enum Command {
    /// Add or replace tags; they last until the node ends
    Set(Set),
    /// Take tags away
    Remove(Remove),
}

#[derive(clap::Args)]
struct Set {
    /// The tags
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = config::tag)]
    tags: Vec<(String, String)>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

#[derive(clap::Args)]
struct Remove {
    /// Their keys
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

type Tags = BTreeMap<String, String>;

pub(super) fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    match &args.command {
        None => show(&args.target.client()?.json("/_/tags")?, args.json),
        Some(Command::Set(set)) => {
            let tags: Tags = set.tags.iter().cloned().collect();
            show(&set.operator.client(matches)?.change_tags(&tags, &[])?, set.json)
        }
        Some(Command::Remove(remove)) => {
            show(&remove.operator.client(matches)?.change_tags(&Tags::new(), &remove.keys)?, remove.json)
        }
    }
}

fn show(tags: &Tags, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(output::json(&serde_json::json!(tags))?);
    }
    let rows = tags.iter().map(|(key, value)| [key.clone(), value.clone()]).collect();
    Ok(output::table(["KEY", "VALUE"], rows, &[])?)
}
