//! `boato reload` and `boato weight`: changes of a running node.

use clap::ArgMatches;
use serde_json::Value;

use super::failure::Failure;
use super::output;
use super::target::Operator;
use crate::config::Weight;

/// Which node.
#[derive(clap::Args)]
pub(super) struct ReloadArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

/// Which weight, for which node.
#[derive(clap::Args)]
pub(super) struct WeightArgs {
    /// Its share of the keys relative to other nodes, 0 to 65535, or auto: the GiB of memory that the node may use
    #[arg(allow_negative_numbers = true)]
    weight: Weight,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

pub(super) fn reload(args: &ReloadArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let changed = args.operator.client(matches)?.act("/_/reload")?;
    show(&changed, args.json)
}

pub(super) fn weight(args: &WeightArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let changed = args.operator.client(matches)?.act(&format!("/_/weight?to={}", args.weight))?;
    show(&changed, args.json)
}

/// Tells what was changed, a line each.
fn show(answer: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(output::json(answer)?);
    }
    let changes = answer["changed"].as_array().map(Vec::as_slice).unwrap_or_default();
    if changes.is_empty() {
        output::line("nothing has changed")?;
    }
    for change in changes.iter().filter_map(Value::as_str) {
        output::line(change)?;
    }
    Ok(())
}
