//! The log: text on a terminal, JSON lines otherwise, always on standard error; and for those who read along over HTTP.

mod along;

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field;
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::attributes::VERSION;
use crate::config::reachable;
use crate::doors::Addresses;

pub(crate) use along::follow;
pub use along::layer;

/// Changes the filter of this process' log.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// What is logged unless told otherwise.
pub const DEFAULT_FILTER: &str = "info";

/// A log filter that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a log filter ({reason}): expected a level like debug, or directives like info,boato_gossip=debug"
)]
pub struct FilterError {
    text: String,
    reason: String,
}

/// Checks the directives of a log filter and gives them back.
pub(crate) fn filter(text: &str) -> Result<String, FilterError> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(FilterError { text: text.to_owned(), reason: error.to_string() }),
    }
}

/// Starts the log of this process: text when standard error is a terminal (coloured unless `NO_COLOR` is
/// set), else one JSON object a line.
///
/// # Errors
/// The process has a log already.
pub fn init(filter: &str) -> Result<(), TryInitError> {
    let (filter, handle) = reload::Layer::new(EnvFilter::new(filter));
    let log = fmt::layer().with_writer(io::stderr);
    let log = if io::stderr().is_terminal() {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        log.with_ansi(colour).with_target(false).with_timer(TimeOfDay).boxed()
    } else {
        log.json().flatten_event(true).boxed()
    };
    tracing_subscriber::registry().with(log.with_filter(filter)).with(layer()).try_init()?;
    // Only who started the log comes here.
    let _ = FILTER.set(handle);
    Ok(())
}

/// Whether the log of this process was started by [`init`].
pub(crate) fn is_started() -> bool {
    FILTER.get().is_some()
}

/// Changes what is logged from now on. False in a program that has a log of its own.
pub(crate) fn set_filter(filter: &str) -> bool {
    FILTER.get().is_some_and(|handle| handle.reload(EnvFilter::new(filter)).is_ok())
}

/// The time of day in UTC: a terminal is narrow, and whoever reads along knows the date.
struct TimeOfDay;

impl FormatTime for TimeOfDay {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(w, "{hour:02}:{minute:02}:{second:02}.{:03}", since.subsec_millis())
    }
}

/// The first lines for a person: who this is, and a command to try.
pub(crate) fn greet(name: &str, cluster: &str, quic: SocketAddr, doors: &Addresses, client_secret: bool) {
    let Addresses { http, resp, resp_cluster } = doors;
    let at = reachable(*http);
    let auth = if client_secret { " -H \"Authorization: Bearer $CLIENT_SECRET\"" } else { "" };
    let [resp_at, resp_cluster_at] = [resp, resp_cluster].map(|door| door.map(field::display));
    tracing::info!(%cluster, %quic, %http, resp = resp_at, resp_cluster = resp_cluster_at, "boato {VERSION}: {name} is up");
    tracing::info!("write a key: curl{auth} -d hello http://{at}/greeting");
    tracing::info!("read it on any node: curl{auth} -i http://{at}/greeting");
    if let Some(resp) = resp.map(reachable) {
        let auth = if client_secret { "REDISCLI_AUTH=$CLIENT_SECRET " } else { "" };
        tracing::info!("or with any Redis client: {auth}redis-cli -h {} -p {}", resp.ip(), resp.port());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        assert_eq!(filter("info,boato_gossip=debug").unwrap(), "info,boato_gossip=debug");
        let error = filter("info,=,=x=").unwrap_err().to_string();
        assert!(error.contains("is not a log filter") && error.contains("boato_gossip=debug"), "{error}");
    }
}
