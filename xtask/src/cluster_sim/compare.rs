//! Two runs side by side.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use boato_sim::membership::Figures;
use serde_json::{Map, Value};

/// The figures of an earlier run, as `--json` has written them.
pub(super) fn read(file: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    figures(&text).with_context(|| format!("{}: give a file that --json has written", file.display()))
}

/// What earlier versions did not measure may be missing, but not what every run of membership has told.
fn figures(text: &str) -> Result<Map<String, Value>> {
    let told: Map<String, Value> = serde_json::from_str(text).context("it is no JSON object")?;
    for name in ["seed", "trace_hash", "converge_ms", "false_deaths"] {
        ensure!(told.contains_key(name), "it has no {name}: that is no run of membership");
    }
    Ok(told)
}

/// One line per figure: the earlier run, this one, and their ratio.
pub(super) fn table(earlier: &Map<String, Value>, figures: &Figures) -> Result<String> {
    let now = serde_json::to_value(figures).context("writing the figures")?;
    let now = now.as_object().context("figures are an object")?;
    let mut text = format!("{:<24} {:>18} {:>18} {:>9}\n", "", "earlier", "now", "ratio");
    for (name, value) in now {
        let was = earlier.get(name).unwrap_or(&Value::Null);
        let ratio = match (was.as_f64(), value.as_f64()) {
            (Some(was), Some(is)) if was != 0.0 && name != "seed" => format!("{:.2}", is / was),
            _ => String::new(),
        };
        writeln!(text, "{name:<24} {:>18} {:>18} {ratio:>9}", shown(was), shown(value))?;
    }
    Ok(text)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_run_of_membership_has_told_is_compared_with() {
        assert!(figures(r#"{"seed":7,"trace_hash":"ab","converge_ms":null,"false_deaths":0}"#).is_ok());
        for (text, named) in [
            (r#"{"a":1}"#, "seed"),
            (r#"{"seed":7,"trace_hash":"ab","hand_offs":3}"#, "converge_ms"),
            ("[]", "JSON object"),
            ("", "JSON object"),
        ] {
            let error = figures(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn figures_that_both_have_get_a_ratio() {
        let figures = Figures {
            seed: 7,
            trace_hash: "ab".to_owned(),
            converge_ms: Some(300.0),
            first_probe_ms: None,
            first_probe_periods: None,
            first_suspect_ms: None,
            spread_ms: None,
            suspect_p50_ms: None,
            suspect_p99_ms: None,
            detect_p50_ms: Some(5.0),
            detect_p99_ms: None,
            restarts: 0,
            return_p50_ms: None,
            return_p99_ms: None,
            burst_ms: None,
            burst_bytes_per_node: None,
            heal_ms: None,
            heal_bytes_per_node: None,
            false_deaths: 0,
            false_deaths_healthy: 0,
            msgs_per_node_s: None,
            bytes_per_node_s: None,
        };
        let earlier = serde_json::from_str(r#"{"converge_ms": 200.0, "detect_p50_ms": null}"#).unwrap();
        let text = table(&earlier, &figures).unwrap();
        let line = |name| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("converge_ms").ends_with("1.50"), "{text}");
        assert_eq!(
            line("detect_p50_ms").split_whitespace().collect::<Vec<_>>(),
            ["detect_p50_ms", "-", "5.0"]
        );
    }
}
