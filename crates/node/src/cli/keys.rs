//! `boato keys`: the cluster's secrets, replaced while it runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use clap::{ArgMatches, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output;
use super::target::Operator;

/// Largest secret that is read, in bytes.
const SECRET_MAX: u64 = 4096;

/// What to do.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show which secrets each member accepts and which it uses
    List(List),
    /// Accept a further secret at every member
    Install(Install),
    /// Use an accepted secret from now on, at every member
    Use(Use),
    /// Accept a secret no longer, at every member
    Remove(Remove),
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    with: With,
}

#[derive(clap::Args)]
struct Install {
    /// File with the new secret, as `boato keygen` prints it; - reads standard input
    file: PathBuf,

    #[command(flatten)]
    with: With,
}

#[derive(clap::Args)]
struct Use {
    /// Its id, as `boato keys list` shows
    id: String,

    #[command(flatten)]
    with: With,
}

#[derive(clap::Args)]
struct Remove {
    /// Its id, as `boato keys list` shows
    id: String,

    /// Even if members may know no other, and could not come back without being given a new one
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    with: With,
}

#[derive(clap::Args)]
struct With {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

/// What a member knows.
#[derive(Deserialize)]
struct Report {
    name: String,
    live: bool,
    keys: Vec<String>,
    used: Option<String>,
    error: Option<String>,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    let (with, reports) = match &args.command {
        Command::List(List { with }) => (with, with.operator.client(matches)?.json("/_/keyring")?),
        Command::Install(Install { file, with }) => {
            let change = json!({ "install": secret(file)?.trim() });
            (with, with.operator.client(matches)?.change_keys(&change, false)?)
        }
        Command::Use(Use { id, with }) => {
            (with, with.operator.client(matches)?.change_keys(&json!({ "use": id }), false)?)
        }
        Command::Remove(Remove { id, force, with }) => {
            (with, with.operator.client(matches)?.change_keys(&json!({ "remove": id }), *force)?)
        }
    };
    show(&reports, with.json)
}

fn secret(file: &PathBuf) -> Result<String, Failure> {
    let mut text = String::new();
    let reader: Box<dyn io::Read> =
        if file.as_os_str() == "-" { Box::new(io::stdin().lock()) } else { Box::new(File::open(file)?) };
    reader.take(SECRET_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// A line for each member. Fails where one that lives has not answered: it may not know of the change yet.
fn show(reports: &Value, json: bool) -> Result<(), Failure> {
    if json {
        output::json(reports)?;
    }
    let reports: Vec<Report> = Vec::deserialize(reports).map_err(io::Error::from)?;
    let live = reports.iter().filter(|report| report.live).count();
    let silent = reports.iter().filter(|report| report.live && report.error.is_some()).count();
    let rows = reports.into_iter().map(|report| {
        let others = report.keys.iter().filter(|id| Some(*id) != report.used.as_ref()).cloned();
        let others: Vec<String> = others.collect();
        [
            report.name,
            report.used.unwrap_or_else(|| "-".into()),
            report.error.unwrap_or_else(|| others.join(" ")),
        ]
    });
    if !json {
        output::table(["NAME", "IN USE", "ALSO ACCEPTED"], rows.collect(), &[])?;
    }
    if silent > 0 { Err(Failure::Untold(silent, live)) } else { Ok(()) }
}
