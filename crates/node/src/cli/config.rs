//! `boato config`: what a node would be told, and whether it could start with it.

use clap::{ArgMatches, Subcommand};
use serde_json::json;

use super::failure::Failure;
use super::run::{self, secret_variable};
use super::{output, target};
use crate::config::{Config, Layers};

/// What to do with the configuration.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the configuration as TOML, each value with where it comes from; --config reads it back
    ///
    /// Takes the flags of `run`. Secrets are not printed, only where they are. Read back, a default port
    /// becomes a port that was asked for.
    Print(Box<PrintArgs>),
    /// Say whether a node could start with this configuration, and why not
    ///
    /// Takes the flags of `run`. Nothing is bound or written; host names are looked up, secrets are read.
    Check(Box<CheckArgs>),
}

/// Which configuration.
#[derive(clap::Args)]
pub(super) struct PrintArgs {
    /// Only what holds where nobody says anything
    #[arg(long)]
    defaults: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    run: run::Args,
}

/// Which configuration.
#[derive(clap::Args)]
pub(super) struct CheckArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    run: run::Args,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    match &args.command {
        Command::Print(args) if args.defaults => print(&Layers::default(), None, args.json),
        Command::Print(args) => print(&args.run.layers(matches)?, secret_variable().as_deref(), args.json),
        Command::Check(args) => {
            let config = Config::resolve(&args.run.layers(matches)?, secret_variable().as_deref())?;
            if args.json {
                return Ok(output::json(&json!({ "usable": true, "warnings": config.warnings }))?);
            }
            target::warn(&config.warnings);
            Ok(output::line("a node can start with this configuration")?)
        }
    }
}

fn print(layers: &Layers, secret: Option<&str>, json: bool) -> Result<(), Failure> {
    let config = Config::resolve(layers, secret)?;
    target::warn(&config.warnings);
    let complete = config.complete(layers)?;
    if json {
        return Ok(output::json(&complete.to_json())?);
    }
    let mut text = complete.to_toml();
    if secret.is_some() {
        text.push_str("# BOATO_SECRET is set; it is not printed\n");
    }
    Ok(output::bytes(text.as_bytes())?)
}
