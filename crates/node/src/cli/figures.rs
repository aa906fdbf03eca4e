//! A node's metrics, as a command reads them.

use std::collections::{BTreeMap, HashMap};

/// What a node counts, by name and labels as they stand in its text.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures(HashMap<String, f64>);

/// The buckets of the doors' latency histograms, which have the same bounds: up to the bound.
const BUCKETS: [&str; 2] =
    ["boato_http_request_duration_seconds_bucket{le=\"", "boato_resp_command_duration_seconds_bucket{le=\""];

impl Figures {
    /// Reads the text of Prometheus; lines that are none are passed over.
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .filter_map(|line| line.rsplit_once(' '))
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect(),
        )
    }

    /// The id of the node that tells them.
    pub(super) fn node(&self) -> Option<&str> {
        let info = self.0.keys().find_map(|name| name.strip_prefix("boato_build_info{"))?;
        info.split_once("node=\"")?.1.split('"').next()
    }

    /// A figure; 0 when it is not there.
    pub(super) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// By how much a counter has grown since `past`.
    pub(super) fn grown(&self, past: &Self, name: &str) -> f64 {
        (self.get(name) - past.get(name)).max(0.0)
    }

    /// A bound that this share of what clients asked for since `past` kept to, in seconds; `None` without any.
    pub(super) fn quantile(&self, past: &Self, share: f64) -> Option<f64> {
        // There is a bucket per method and bound, and each holds all that is below. Bits of numbers from 0 on are in their order.
        let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
        for name in self.0.keys() {
            let rest = BUCKETS.iter().find_map(|bucket| name.strip_prefix(bucket));
            let Some(bound) = rest.and_then(|rest| rest.split('"').next()) else { continue };
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            *buckets.entry(bound.to_bits()).or_default() += self.grown(past, name);
        }
        let all = buckets.last_key_value().map_or(0.0, |(_, &count)| count);
        let reached = buckets.iter().find(|&(_, &count)| all > 0.0 && count >= share * all);
        reached.map(|(&bound, _)| f64::from_bits(bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(counts: [(&str, &str, u32); 4]) -> Figures {
        let line = |(method, le, count)| format!("{}{le}\",method=\"{method}\"}} {count}\n", BUCKETS[0]);
        Figures::read(&counts.map(line).concat())
    }

    #[test]
    fn quantiles_are_of_what_was_added_for_all_methods_and_doors() {
        let past = text([("get", "0.001", 5), ("get", "+Inf", 5), ("put", "0.001", 0), ("put", "+Inf", 0)]);
        let now = text([("get", "0.001", 6), ("get", "+Inf", 6), ("put", "0.001", 0), ("put", "+Inf", 1)]);
        assert_eq!(now.quantile(&past, 0.5), Some(0.001));
        assert_eq!(now.quantile(&past, 0.99), Some(f64::INFINITY));
        assert_eq!(now.quantile(&now, 0.5), None);
        let [_, resp] = BUCKETS;
        let resp = Figures::read(&format!("{resp}0.001\"}} 3\n{resp}+Inf\"}} 9\n"));
        assert_eq!([0.3, 0.5].map(|share| resp.quantile(&past, share)), [Some(0.001), Some(f64::INFINITY)]);
    }

    #[test]
    fn figures_say_whose_they_are() {
        let node = |text: &str| Figures::read(text).node().map(str::to_owned);
        assert_eq!(node("a 1\nboato_build_info{node=\"0af\",version=\"1\"} 1\n").as_deref(), Some("0af"));
        assert_eq!(node("boato_build_info{version=\"1\"} 1\n"), None);
    }

    #[test]
    fn counters_of_a_restarted_node_do_not_shrink() {
        let figures = |value| Figures::read(&format!("# HELP a b\na {value}\n"));
        assert!((figures(7).grown(&figures(3), "a") - 4.0).abs() < f64::EPSILON);
        assert!(figures(1).grown(&figures(3), "a").abs() < f64::EPSILON);
    }
}
