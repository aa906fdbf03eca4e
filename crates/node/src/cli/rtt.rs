//! `boato rtt`: how far two members are from each other.

use serde_json::Value;

use super::failure::Failure;
use super::output;
use super::target::Target;

/// Between whom, as which node sees it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name or id of a member
    from: String,

    /// Name or id of another [default: the node that is asked]
    to: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    let to = match &args.to {
        Some(to) => to.clone(),
        None => client.json::<Value>("/_/status")?["id"].as_str().unwrap_or_default().to_owned(),
    };
    let trip: Value = client.rtt(&args.from, &to)?;
    if args.json {
        return Ok(output::json(&trip)?);
    }
    let [from, to] = ["from", "to"].map(|end| trip[end].as_str().unwrap_or_default());
    let time = match trip["rtt_s"].as_f64() {
        Some(seconds) => format!("{:.3} ms, estimated from coordinates", seconds * 1000.0),
        None => "not known yet: members answer each other's probes once in a while".to_owned(),
    };
    Ok(output::line(&format!("{from} to {to} and back: {time}"))?)
}
