//! The log for those who read along: `/_/log`, `boato monitor --log`.
//!
//! A process has one log, so that nodes of one process have the same readers. While nobody reads, nothing is more in force than what
//! the log shows itself.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use boato_api::{Declined, Logged};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Metadata, Subscriber, callsite, dispatcher};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

/// What may wait for one reader, in bytes; what comes then is counted and dropped.
const WAITING_MAX: usize = 512 << 10;

/// What a record takes that waits, beside its text.
const RECORD: usize = 64;

/// Whoever reads over HTTP/2 would read of its own reading, without an end.
const UNTOLD: &str = "h2";

static READERS: RwLock<Vec<Arc<Reader>>> = RwLock::new(Vec::new());

/// A layer for the log of a program that carries nodes and does not use [`init`](super::init): with it, and only then, `/_/log` and
/// `boato monitor --log` show that log.
///
/// ```
/// use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
///
/// let shown = tracing_subscriber::fmt::layer().with_filter(tracing_subscriber::filter::LevelFilter::INFO);
/// let log = tracing_subscriber::registry().with(shown).with(node::logging::layer());
/// # drop(log);
/// ```
///
/// What a program filters as a whole, not a layer, is filtered here, too.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    let json = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    json.with_writer(Readers).with_filter(Wanted)
}

/// What is logged from now on, of what `filter` lets through.
///
/// # Errors
/// [`Declined::Invalid`]: the filter cannot be read. [`Declined::Unknown`]: this process' log has no [`layer`].
pub(crate) fn follow(filter: &str) -> Result<BoxStream<'static, Logged>, Declined> {
    let filter = read(filter)?;
    if !dispatcher::get_default(Dispatch::is::<Wanted>) {
        let detail = "the log belongs to the program that this node is in, which does not share it (node::logging::layer)";
        return Err(Declined::Unknown(detail.to_owned()));
    }
    let place = Place::take(filter);
    Ok(stream::unfold(place, |place| async { Some((place.0.next().await, place)) }).boxed())
}

/// Levels, and levels of modules: no words that are neither.
fn read(filter: &str) -> Result<Targets, Declined> {
    let wrong = |why: String| {
        let like = "a level (error, warn, info, debug, trace) or directives like info,boato_gossip=debug";
        Declined::Invalid(format!("{filter:?} is not what to show of a log ({why}): expected {like}"))
    };
    let level = |text: &str| !text.is_empty() && text.parse::<LevelFilter>().is_ok();
    if let Some(word) = filter.split(',').find(|word| !word.contains('=') && !level(word)) {
        return Err(wrong(format!("{word:?} is no level")));
    }
    filter.parse().map_err(|error: tracing_subscriber::filter::ParseError| wrong(error.to_string()))
}

/// A reader for as long as it reads.
struct Place(Arc<Reader>);

impl Place {
    fn take(filter: Targets) -> Place {
        let reader = Arc::new(Reader { filter, waiting: Mutex::default(), news: Notify::new() });
        READERS.write().push(Arc::clone(&reader));
        callsite::rebuild_interest_cache();
        Place(reader)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        READERS.write().retain(|reader| !Arc::ptr_eq(reader, &self.0));
        callsite::rebuild_interest_cache();
    }
}

struct Reader {
    filter: Targets,
    waiting: Mutex<Waiting>,
    /// Told when something waits.
    news: Notify,
}

impl Reader {
    fn wants(&self, about: &Metadata<'_>) -> bool {
        let of = about.target().split("::").next();
        of != Some(UNTOLD) && self.filter.would_enable(about.target(), about.level())
    }

    /// The last level that it wants anything of.
    fn level(&self) -> LevelFilter {
        let levels = self.filter.iter().map(|(_, level)| level).chain(self.filter.default_level());
        levels.max().unwrap_or(LevelFilter::OFF)
    }

    fn tell(&self, record: Arc<str>) {
        self.waiting.lock().put(record);
        self.news.notify_one();
    }

    async fn next(&self) -> Logged {
        loop {
            let next = self.waiting.lock().take();
            match next {
                Some(next) => return next,
                None => self.news.notified().await,
            }
        }
    }
}

/// What a reader has not read yet.
#[derive(Default)]
struct Waiting {
    records: VecDeque<Logged>,
    bytes: usize,
    /// Records that did not fit, since the last that did.
    missed: u64,
}

impl Waiting {
    fn put(&mut self, record: Arc<str>) {
        let bytes = record.len() + RECORD;
        if self.bytes + bytes > WAITING_MAX {
            self.missed += 1;
            return;
        }
        self.tell_missed();
        self.bytes += bytes;
        self.records.push_back(Logged::Record(record));
    }

    fn take(&mut self) -> Option<Logged> {
        if self.records.is_empty() {
            self.tell_missed();
        }
        let next = self.records.pop_front()?;
        if let Logged::Record(record) = &next {
            self.bytes -= record.len() + RECORD;
        }
        Some(next)
    }

    fn tell_missed(&mut self) {
        if self.missed > 0 {
            self.records.push_back(Logged::Missed(mem::take(&mut self.missed)));
        }
    }
}

/// Lets through what anybody reads.
struct Wanted;

impl Wanted {
    fn wants(about: &Metadata<'_>) -> bool {
        !about.is_span() && READERS.read().iter().any(|reader| reader.wants(about))
    }
}

impl<S> Filter<S> for Wanted {
    fn enabled(&self, about: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        Wanted::wants(about)
    }

    fn callsite_enabled(&self, about: &'static Metadata<'static>) -> Interest {
        if Wanted::wants(about) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(READERS.read().iter().map(|reader| reader.level()).max().unwrap_or(LevelFilter::OFF))
    }
}

/// Where records are written.
struct Readers;

impl<'a> MakeWriter<'a> for Readers {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Vec::new())
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line {
        Line(READERS.read().iter().filter(|reader| reader.wants(about)).cloned().collect())
    }
}

/// A record for those who want it.
struct Line(Vec<Arc<Reader>>);

impl Write for Line {
    /// A record is written whole.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let text: Arc<str> = String::from_utf8_lossy(record).trim_end().into();
        for reader in &self.0 {
            reader.tell(Arc::clone(&text));
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// The messages that are there to be read now.
    fn messages(log: &mut BoxStream<'static, Logged>) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(Some(logged)) = log.next().now_or_never() {
            found.push(match logged {
                Logged::Record(record) => {
                    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
                    format!("{} {} {}", record["level"].as_str().unwrap(), record["message"], record["n"])
                }
                Logged::Missed(records) => format!("missed {records}"),
            });
        }
        found
    }

    #[test]
    fn a_reader_is_told_what_it_wants_while_it_reads_and_nothing_is_in_force_without_one() {
        let quiet = fmt::layer().with_writer(io::sink).with_filter(LevelFilter::WARN);
        let log = tracing_subscriber::registry().with(quiet).with(layer());
        tracing::subscriber::with_default(log, || {
            let say = |n| {
                tracing::debug!(target: "along_a", n, "said");
                tracing::info!(target: "along_b", n, "said");
                tracing::error!(target: "h2::codec", n, "of the reading itself");
                tracing::enabled!(target: "along_a", Level::DEBUG)
            };
            assert!(!say(0));
            let mut all = follow("along_a=debug,along_b=debug,h2=trace").unwrap();
            assert!(say(1));
            let mut few = follow("off,along_b=info").unwrap();
            say(2);
            assert_eq!(
                messages(&mut all),
                ["DEBUG \"said\" 1", "INFO \"said\" 1", "DEBUG \"said\" 2", "INFO \"said\" 2"]
            );
            assert_eq!(messages(&mut few), ["INFO \"said\" 2"]);
            drop(all);
            assert!(!say(3), "who is left wants less");
            assert_eq!(messages(&mut few), ["INFO \"said\" 3"]);
        });
    }

    #[test]
    fn who_is_too_slow_is_told_how_many_records_are_missing_and_where() {
        let mut waiting = Waiting::default();
        let large: Arc<str> = "x".repeat(WAITING_MAX / 2 - RECORD).into();
        for _ in 0..5 {
            waiting.put(Arc::clone(&large));
        }
        assert_eq!(waiting.take(), Some(Logged::Record(Arc::clone(&large))));
        waiting.put("small".into());
        waiting.put("too large".repeat(WAITING_MAX).into());
        let rest: Vec<_> = std::iter::from_fn(|| waiting.take()).collect();
        let small = Logged::Record("small".into());
        assert_eq!(rest, [Logged::Record(large), Logged::Missed(3), small, Logged::Missed(1)]);
        assert_eq!(waiting.bytes, 0);
    }

    #[test]
    fn what_to_show_is_checked() {
        assert_eq!(read("trace").unwrap().default_level(), Some(LevelFilter::TRACE));
        assert!(read("info,boato_gossip=debug").is_ok());
        for wrong in ["dbug", "", "info,boato_gossip", "a=loud", "info,"] {
            let error = read(wrong).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("info,boato_gossip=debug"), "{error}");
        }
    }

    #[test]
    fn a_log_without_the_layer_is_not_shared() {
        let log = tracing_subscriber::registry();
        let refused = tracing::subscriber::with_default(log, || follow("info").map(|_| ()));
        assert!(matches!(refused, Err(Declined::Unknown(detail)) if detail.contains("logging::layer")));
    }
}
