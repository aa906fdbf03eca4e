//! `boato slots`: who holds how much of the key space.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::output;
use super::target::Target;

/// All slots.
const SLOTS: u32 = 16_384;

/// From which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Every run of slots of one holder and state, rather than the sums
    #[arg(long)]
    runs: bool,

    /// Print JSON, always with every run
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Map {
    lost: u64,
    /// Older nodes do not tell.
    #[serde(default)]
    silent: Vec<String>,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    from: u16,
    to: u16,
    holder: Option<String>,
    state: String,
}

impl Run {
    fn holder(&self) -> String {
        self.holder.clone().unwrap_or_else(|| "(nobody)".to_owned())
    }

    fn slots(&self) -> u32 {
        u32::from(self.to - self.from) + 1
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    if args.json {
        return Ok(output::json(&client.json::<Value>("/_/slots")?)?);
    }
    let map: Map = client.json("/_/slots")?;
    if args.runs {
        let row = |run: &Run| [run.from.to_string(), run.to.to_string(), run.holder(), run.state.clone()];
        output::table(["FROM", "TO", "HOLDER", "STATE"], map.runs.iter().map(row).collect(), &[0, 1])?;
    } else {
        output::table(["HOLDER", "STATE", "SLOTS", "SHARE"], sums(&map.runs), &[2, 3])?;
    }
    if map.lost > 0 {
        output::line(&format!("{} slots lost in crashes since these nodes started", map.lost))?;
    }
    if !map.silent.is_empty() {
        output::line(&format!("no answer from {}: what they hold is unknown", map.silent.join(", ")))?;
    }
    Ok(())
}

/// A row per holder and state, with tenths of a per cent.
fn sums(runs: &[Run]) -> Vec<[String; 4]> {
    let mut sums: BTreeMap<(String, &str), u32> = BTreeMap::new();
    for run in runs {
        *sums.entry((run.holder(), &run.state)).or_default() += run.slots();
    }
    let share = |slots: u32| format!("{}.{} %", slots * 100 / SLOTS, slots * 1000 / SLOTS % 10);
    let row = |((holder, state), slots): ((String, &str), u32)| {
        [holder, state.to_owned(), slots.to_string(), share(slots)]
    };
    sums.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up_by_holder_and_state() {
        let run = |from, to, holder: &str, state: &str| Run {
            from,
            to,
            holder: (!holder.is_empty()).then(|| holder.to_owned()),
            state: state.to_owned(),
        };
        let runs = [run(0, 99, "b", "held"), run(100, 8191, "a", "held"), run(8192, 16383, "b", "held")];
        assert_eq!(sums(&runs), [["a", "held", "8092", "49.3 %"], ["b", "held", "8292", "50.6 %"]]);
    }
}
