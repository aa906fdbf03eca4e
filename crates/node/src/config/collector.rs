//! Where traces are sent.

use std::fmt;
use std::str::FromStr;

/// The address of a collector: `http://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(pub String);

/// Why a text names no collector that this build could send traces to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectorError {
    /// It is no such address.
    #[error("{0:?} is no address of a collector: give one like http://localhost:4318")]
    Address(String),
    /// It asks for TLS.
    #[error(
        "{0:?} asks for HTTPS, which traces are not sent by: give http://HOST:4318 of a collector on this machine or in a \
         trusted network, which can pass them on with TLS and credentials"
    )]
    Tls(String),
    /// There is nothing in this build to send with.
    #[error(
        "this boato was built without the feature otlp and sends no traces: leave otlp out, or build with the feature"
    )]
    Absent,
}

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
            _ if !cfg!(feature = "otlp") => Err(CollectorError::Absent),
            Some(uri) if usable(&uri) => Ok(Self(text.to_owned())),
            Some(uri) if uri.scheme_str() == Some("https") => Err(CollectorError::Tls(text.to_owned())),
            _ => Err(CollectorError::Address(text.to_owned())),
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
    #[cfg(not(feature = "otlp"))]
    fn a_build_that_sends_no_traces_says_so() {
        assert_eq!("http://localhost:4318".parse::<Collector>(), Err(CollectorError::Absent));
    }

    #[test]
    #[cfg(feature = "otlp")]
    fn a_collector_is_reached_by_plain_http() {
        for text in ["http://localhost:4318", "http://[::1]:4318/otlp", "http://collector"] {
            assert_eq!(text.parse::<Collector>().unwrap().to_string(), text);
        }
        for text in ["", "localhost:4318", "http://", "http://x?y", "/v1/traces"] {
            assert_eq!(text.parse::<Collector>(), Err(CollectorError::Address(text.to_owned())));
        }
        assert_eq!("https://x".parse::<Collector>(), Err(CollectorError::Tls("https://x".to_owned())));
    }
}
