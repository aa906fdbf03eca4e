//! `boato reachability`: who answers when all are asked.

use serde_json::Value;

use super::failure::Failure;
use super::output;
use super::target::Target;

/// As which node sees it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

/// Fails where somebody does not answer.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let found: Value = args.target.client()?.json("/_/reachability")?;
    let names = |key: &str| -> Vec<String> {
        found[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (reached, missing) = (names("reached"), names("missing"));
    if args.json {
        output::json(&found)?;
    } else {
        let rows = reached.iter().map(|name| [name.clone(), "yes".into()]);
        let rows = rows.chain(missing.iter().map(|name| [name.clone(), "no".into()]));
        output::table(["NAME", "ANSWERS"], rows.collect(), &[])?;
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Failure::Silent(missing.len(), reached.len() + missing.len()))
    }
}
