//! Two runs side by side.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use boato_sim::membership::Figures;
use serde_json::{Map, Value};

/// The figures of an earlier run, as `--json` has written them.
pub(super) fn read(file: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{}: give a file that --json has written", file.display()))
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
