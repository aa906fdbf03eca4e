//! `boato config print`: what a node would be told.

use clap::{ArgMatches, Subcommand};

use super::failure::Failure;
use super::run::{self, secret_variable};
use super::{output, target};
use crate::config::Config;

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
    Print(Box<run::Args>),
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    let Command::Print(args) = &args.command;
    let (layers, secret) = (args.layers(matches)?, secret_variable());
    let config = Config::resolve(&layers, secret.as_deref())?;
    target::warn(&config.warnings);
    let mut text = config.complete(&layers)?.to_toml();
    if secret.is_some() {
        text.push_str("# BOATO_SECRET is set; it is not printed\n");
    }
    Ok(output::bytes(text.as_bytes())?)
}
