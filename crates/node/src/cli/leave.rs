//! `boato leave`: a node hands its keys to the others and ends.

use std::path::PathBuf;

use clap::ArgMatches;

use super::failure::Failure;
use super::output;
use super::run::{origin, secret_variable};
use super::target::{Target, warn};
use crate::config::{CLUSTER, cluster_secret};

#[expect(clippy::doc_markdown, reason = "the comments are help texts, which have no markup")]
/// Which node, and the secret that allows it.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,

    /// File with the cluster's secret, if it has one; or BOATO_SECRET
    #[arg(long, env = "BOATO_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// Name of the cluster
    #[arg(long, env = "BOATO_CLUSTER", default_value = CLUSTER)]
    cluster: String,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    let mut warnings = Vec::new();
    let (path, from) = (args.secret_file.as_deref(), origin(matches, "secret-file"));
    let secret = cluster_secret(path, &from, secret_variable().as_deref(), &mut warnings)?;
    warn(&warnings);
    let client = match secret {
        Some(secret) => args.target.client_with(Some(&secret.admin_token(&args.cluster)))?,
        None => args.target.client()?,
    };
    client.leave()?;
    Ok(output::line("leaving: the node hands its keys to the others and ends")?)
}
