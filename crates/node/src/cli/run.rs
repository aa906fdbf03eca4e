//! `boato run`: a node in the foreground.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::failure::Failure;
use crate::config::{Config, ConfigError, Layers, Origin, Settings};
use crate::live::Reread;
use crate::logging;

/// Flags of a node.
#[derive(Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,

    /// TOML file with any of these settings; its keys are the flags' names
    #[arg(long, env = "BOATO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Args {
    /// All layers: flags over variables over the file.
    pub(super) fn layers(&self, matches: &ArgMatches) -> Result<Layers, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = &self.config {
            layers.add_file(path)?;
        }
        layers.add(&self.settings, |key| origin(matches, key))?;
        Ok(layers)
    }
}

/// Whether the value of a flag came from the command line or from its variable.
pub(super) fn origin(matches: &ArgMatches, key: &str) -> Origin {
    match matches.value_source(&key.replace('-', "_")) {
        Some(ValueSource::EnvVariable) => Origin::Environment,
        _ => Origin::Flag,
    }
}

/// The text of `BOATO_SECRET`, which no flag has: command lines are visible to every user of a machine.
pub(super) fn secret_variable() -> Option<String> {
    env::var_os("BOATO_SECRET")
        .filter(|value| !value.is_empty())
        .map(|value| value.to_string_lossy().into_owned())
}

pub(super) fn run(
    args: &Args,
    matches: &ArgMatches,
    run: impl FnOnce(Config, Reread) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let (args, matches) = (args.clone(), matches.clone());
    let reread = move || Config::resolve(&args.layers(&matches)?, secret_variable().as_deref());
    let config = reread()?;
    logging::init(&config.log).map_err(anyhow::Error::from)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(run(config, Arc::new(reread))?)
}
