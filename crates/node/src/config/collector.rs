//! Where traces are sent.

use std::fmt;
use std::str::FromStr;

/// The address of a collector: `http://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(pub String);

/// A text that is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address of a collector: give http://HOST:4318 (of one on this machine or network: HTTPS is not spoken)"
)]
pub struct CollectorError(String);

impl FromStr for Collector {
    type Err = CollectorError;

    fn from_str(text: &str) -> Result<Self, CollectorError> {
        let uri: Option<ureq::http::Uri> = text.parse().ok();
        let usable = |uri: &ureq::http::Uri| {
            uri.scheme_str() == Some("http")
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.query().is_none()
        };
        match uri {
            Some(uri) if usable(&uri) => Ok(Self(text.to_owned())),
            _ => Err(CollectorError(text.to_owned())),
        }
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_reached_by_plain_http() {
        for text in ["http://localhost:4318", "http://[::1]:4318/otlp", "http://collector"] {
            assert_eq!(text.parse::<Collector>().unwrap().to_string(), text);
        }
        for text in ["", "localhost:4318", "https://x", "http://", "http://x?y", "/v1/traces"] {
            assert!(text.parse::<Collector>().is_err(), "{text}");
        }
    }
}
