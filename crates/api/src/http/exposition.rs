//! `/_/metrics`: in which of Prometheus' formats what is counted is told.

use std::collections::HashSet;
use std::fmt;

use http::header::{ACCEPT, VARY};
use http::{HeaderMap, HeaderValue, Response};
use prometheus_client::encoding::{prometheus_protobuf, text};
use prometheus_client::registry::Registry;

use super::admin::fresh;
use super::body::Body;
use super::problem::Problem;

/// Only protobuf carries native histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

pub(super) fn response(registry: &Registry, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    let format = Format::wanted(headers);
    let bytes = format.encode(registry).map_err(|_| Problem::internal())?;
    let mut response = fresh(format.content_type(), bytes);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

impl Format {
    /// The first of those liked best; text for who names none of these.
    fn wanted(headers: &HeaderMap) -> Format {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
        let mut best = (0, Format::Text);
        for range in accepted.flat_map(|accept| accept.split(',')) {
            let Some(format) = Format::of(range) else { continue };
            let weight = weight(range);
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }

    fn of(range: &str) -> Option<Format> {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        match &*parts.next()? {
            "application/vnd.google.protobuf" => {
                let parameters: Vec<String> = parts.collect();
                let has = |parameter: &str| parameters.iter().any(|part| part == parameter);
                let whole = has("proto=io.prometheus.client.metricfamily") && has("encoding=delimited");
                whole.then_some(Format::Protobuf)
            }
            "application/openmetrics-text" => Some(Format::OpenMetrics),
            "text/plain" | "text/*" | "*/*" => Some(Format::Text),
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    fn encode(self, registry: &Registry) -> Result<Vec<u8>, fmt::Error> {
        if self == Format::Protobuf {
            return prometheus_protobuf::encode_to_vec(registry).map_err(|_| fmt::Error);
        }
        let mut all = String::new();
        text::encode(&mut all, registry)?;
        Ok(if self == Format::Text { plain(&all) } else { all }.into_bytes())
    }
}

/// The text of `OpenMetrics` as Prometheus' own, in which families of counters are named as their samples are.
fn plain(open: &str) -> String {
    let types = open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"));
    let counters: HashSet<&str> = types.collect();
    let mut plain = String::with_capacity(open.len() + counters.len() * 2 * "_total".len());
    for line in open.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|what| {
            let (name, rest) = line.strip_prefix(what)?.split_once(' ')?;
            counters.contains(name).then_some([what, name, "_total ", rest])
        });
        match described {
            Some(parts) => plain.extend(parts),
            None => plain.push_str(line),
        }
        plain.push('\n');
    }
    plain
}

/// How much a media range is liked, in thousandths (RFC 9110, section 12.4.2).
fn weight(range: &str) -> u16 {
    let given = range.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    let thousandths = (given.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u16;
    thousandths
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::registry::Unit;

    use super::*;

    fn wanted(accept: &'static str) -> Format {
        let headers = [(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect();
        Format::wanted(&headers)
    }

    #[test]
    fn counters_are_described_under_the_names_of_their_samples() {
        let mut registry = Registry::default();
        registry.register("asked", "Questions", Counter::<u64>::default());
        registry.register_with_unit("waited", "Rests", Unit::Seconds, Counter::<u64>::default());
        let text = String::from_utf8(Format::Text.encode(&registry).unwrap()).unwrap();
        let expected = "# HELP asked_total Questions.\n# TYPE asked_total counter\nasked_total 0\n\
                        # HELP waited_seconds_total Rests.\n# TYPE waited_seconds_total counter\nwaited_seconds_total 0\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_format_liked_best_is_told() {
        // What Prometheus 2.42 sends with native histograms, and what 3.x sends without.
        let protobuf =
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let native = concat!(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,",
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        );
        let text = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(
            [protobuf, native, text].map(wanted),
            [Format::Protobuf, Format::Protobuf, Format::OpenMetrics]
        );
        for text in
            ["", "*/*", "text/html", "application/vnd.google.protobuf", "application/openmetrics-text;q=0"]
        {
            assert_eq!(wanted(text), Format::Text, "{text}");
        }
        assert_eq!(Format::wanted(&HeaderMap::new()), Format::Text);
        let rather_text = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                           encoding=delimited; q=0.2, text/plain; q=0.4";
        assert_eq!(wanted(rather_text), Format::Text);
    }
}
