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
    /// Its share of the keys relative to other nodes, 0 to 65535
    #[arg(allow_negative_numbers = true, value_parser = number)]
    weight: u16,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

/// A weight. `auto` depends on the machine of the node, which takes it from its configuration.
fn number(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(Weight::Fixed(weight)) => Ok(weight),
        Ok(Weight::Auto) => {
            Err("auto is of the node's configuration: write weight = \"auto\" there, then boato reload")
        }
        Err(_) => Err("expected a whole number from 0 to 65535"),
    }
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
