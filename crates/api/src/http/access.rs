//! The access log: a sample of the requests, those whose caller traces them, and all that take long.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use http::{Method, StatusCode};
use parking_lot::Mutex;

use crate::Trace;

const NEVER: u64 = u64::MAX;

/// Most requests per second that are written because their callers trace them: what callers say must not fill a disk.
const TRACED_PER_S_MAX: u32 = 100;

/// Most of a path that is kept, in bytes: who waits to be answered or exported may be anybody.
const PATH_MAX: usize = 1024;

/// Which requests are written to the log. Off by default; clones share it, so that it can be changed while doors are open.
#[derive(Clone, Debug, Default)]
pub struct AccessLog(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    /// One of so many; 0: none.
    every: AtomicU32,
    /// Requests that take longer, in microseconds.
    slow_us: AtomicU64,
    count: AtomicU32,
    traced: Mutex<Second>,
    /// Takes the spans of traced requests.
    spans: OnceLock<Sink>,
}

struct Sink(Box<dyn Fn(Span) + Send + Sync>);

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

/// A request that its caller samples, once it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace, never 0.
    pub trace: u128,
    /// The caller's span, never 0.
    pub parent: u64,
    /// This one, never 0.
    pub id: u64,
    /// The method of a request that came here; `None`: an operation that another node passed on.
    pub request: Option<(Method, String, StatusCode)>,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// How many were written in a second.
#[derive(Debug)]
struct Second {
    began: Instant,
    count: u32,
}

impl Second {
    /// Whether there is room for one more at `now`.
    fn takes(&mut self, now: Instant) -> bool {
        if now.duration_since(self.began) >= Duration::from_secs(1) {
            *self = Second { began: now, count: 0 };
        }
        self.count += 1;
        self.count <= TRACED_PER_S_MAX
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            every: AtomicU32::new(0),
            slow_us: AtomicU64::new(NEVER),
            count: AtomicU32::new(0),
            traced: Mutex::new(Second { began: Instant::now(), count: 0 }),
            spans: OnceLock::new(),
        }
    }
}

impl AccessLog {
    /// Has one of `every` requests written (`None`: none of them, 1: all), and those that take longer than `slow`.
    pub fn set(&self, every: Option<u32>, slow: Option<Duration>) {
        self.0.every.store(every.unwrap_or(0), Relaxed);
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(NEVER);
        self.0.slow_us.store(slow.map_or(NEVER, us), Relaxed);
    }

    /// Has `sink`, which must not block, take the spans of requests that their callers sample, from now on; the first sink stays.
    pub fn export(&self, sink: impl Fn(Span) + Send + Sync + 'static) {
        // A second one would be told half.
        let _ = self.0.spans.set(Sink(Box::new(sink)));
    }

    /// What takes longer is slow; `None`: nothing is.
    pub(crate) fn slow(&self) -> Option<Duration> {
        let slow_us = self.0.slow_us.load(Relaxed);
        (slow_us != NEVER).then(|| Duration::from_micros(slow_us))
    }

    /// Whether what took so long is slow.
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        took > Duration::from_micros(self.0.slow_us.load(Relaxed))
    }

    /// Whether any request may be written or exported.
    pub(super) fn is_on(&self) -> bool {
        self.0.every.load(Relaxed) > 0
            || self.0.slow_us.load(Relaxed) != NEVER
            || self.0.spans.get().is_some()
    }

    /// What is to be kept of a request for the log until it is answered. A request whose span is exported goes on as that span's.
    pub(super) fn begin(&self, head: &mut Parts) -> Option<Line> {
        if !self.is_on() {
            return None;
        }
        let trace = trace(head);
        let span = trace.and_then(|trace| self.span(trace));
        if let (Some(trace), Some(id)) = (trace, span) {
            head.extensions.insert(Trace { parent: id, ..trace });
        }
        let path = head.uri.path();
        let path = path[..path.floor_char_boundary(PATH_MAX)].to_owned();
        Some(Line { method: head.method.clone(), path, trace, span })
    }

    /// An id for the span of a request, if it is exported.
    fn span(&self, trace: Trace) -> Option<u64> {
        (trace.is_sampled() && self.0.spans.get().is_some())
            // Keys of the standard's hashes are random, and another pair each time.
            .then(|| RandomState::new().build_hasher().finish().max(1))
    }

    fn ended(&self, trace: Trace, id: u64, request: Option<(Method, String, StatusCode)>, took: Duration) {
        if let Some(Sink(take)) = self.0.spans.get() {
            let began = SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH);
            take(Span { trace: trace.id, parent: trace.parent, id, request, began, took });
        }
    }

    /// A request was answered: exports its span unless the door has turned it away, and writes it if it is chosen or slow.
    pub(super) fn answered(&self, line: &Line, status: StatusCode, took: Duration) {
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if let (Some(trace), Some(id), false) = (line.trace, line.span, refused) {
            self.ended(trace, id, Some((line.method.clone(), line.path.clone(), status)), took);
        }
        let took_us = u64::try_from(took.as_micros()).unwrap_or(NEVER);
        let slow = self.is_slow(took);
        if !slow && !self.is_chosen(line) {
            return;
        }
        let Line { method, path, trace, .. } = line;
        let (status, trace) = (status.as_u16(), trace.map(tracing::field::display));
        if slow {
            tracing::warn!(
                %method, path, status, took_us, trace,
                "a slow request: `boato top` tells which node is slow or forwards much, `slow-log` what counts as slow"
            );
        } else {
            tracing::info!(%method, path, status, took_us, trace, "a request");
        }
    }

    /// One of so many, and those that their callers trace, up to [`TRACED_PER_S_MAX`].
    fn is_chosen(&self, line: &Line) -> bool {
        let every = self.0.every.load(Relaxed);
        every > 0
            && (line.trace.is_some_and(|trace| self.takes(trace))
                || self.0.count.fetch_add(1, Relaxed).is_multiple_of(every))
    }

    fn takes(&self, trace: Trace) -> bool {
        trace.is_sampled() && self.0.traced.lock().takes(Instant::now())
    }

    /// A client of another node asks for a key that this node holds, and traces it: a line is written when this is dropped,
    /// as for requests that came here.
    pub fn held(&self, trace: Trace) -> Option<Held> {
        let written = self.0.every.load(Relaxed) > 0 && self.takes(trace);
        let span = self.span(trace);
        (written || span.is_some()).then(|| Held {
            log: self.clone(),
            trace,
            span,
            written,
            begun: Instant::now(),
        })
    }
}

/// A traced operation at the node that holds the key.
#[derive(Debug)]
pub struct Held {
    log: AccessLog,
    trace: Trace,
    span: Option<u64>,
    written: bool,
    begun: Instant,
}

impl Drop for Held {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        if let Some(id) = self.span {
            self.log.ended(self.trace, id, None, took);
        }
        if !self.written {
            return;
        }
        let took_us = u64::try_from(took.as_micros()).unwrap_or(NEVER);
        tracing::info!(trace = %self.trace, took_us, "an operation from another node");
    }
}

/// The trace that a request's caller has named; its parent is the request's own span where that is exported.
pub(super) fn trace(head: &Parts) -> Option<Trace> {
    if let Some(trace) = head.extensions.get() {
        return Some(*trace);
    }
    Trace::parse(head.headers.get("traceparent")?.to_str().ok()?)
}

/// A request as the log shows it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) trace: Option<Trace>,
    /// The request's own span, where it is exported.
    pub(super) span: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(trace: Option<Trace>) -> Line {
        Line { method: Method::GET, path: "/k".to_owned(), trace, span: None }
    }

    #[test]
    fn one_of_so_many_is_chosen_and_every_one_that_is_traced() {
        let log = AccessLog::default();
        let chosen = |sampled: Option<bool>| {
            let trace = || sampled.map(|sampled| Trace { id: 1, parent: 2, flags: u8::from(sampled) });
            (0..30).filter(|_| log.is_chosen(&line(trace()))).count()
        };
        assert!(!log.is_on() && chosen(Some(true)) == 0);
        log.set(Some(10), None);
        assert!(log.is_on());
        assert_eq!([chosen(None), chosen(Some(false)), chosen(Some(true))], [3, 3, 30]);
        log.set(None, Some(Duration::from_secs(1)));
        assert!(log.is_on() && chosen(None) == 0);
    }

    /// Level and fields of every event.
    #[derive(Clone, Default)]
    struct Events(Arc<Mutex<Vec<String>>>);

    impl tracing::Subscriber for Events {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut fields = vec![event.metadata().level().to_string()];
            event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                fields.push(format!("{field}={value:?}"));
            });
            self.0.lock().push(fields.join(" "));
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn what_takes_longer_than_allowed_is_a_warning() {
        let (log, events) = (AccessLog::default(), Events::default());
        log.set(None, Some(Duration::from_millis(5)));
        tracing::subscriber::with_default(events.clone(), || {
            for ms in [5, 6] {
                log.answered(&line(None), StatusCode::NOT_FOUND, Duration::from_millis(ms));
            }
        });
        let events = events.0.lock();
        let [slow] = &events[..] else { panic!("one of the two is slow: {events:?}") };
        assert!(slow.starts_with("WARN "), "{slow}");
        for field in ["method=GET", "path=\"/k\"", "status=404", "took_us=6000"] {
            assert!(slow.contains(field), "{slow}");
        }
    }

    #[test]
    fn what_a_caller_samples_is_exported_as_a_span_of_its_own() {
        let log = AccessLog::default();
        let (sender, spans) = std::sync::mpsc::channel();
        let sender = Mutex::new(sender);
        log.export(move |span| sender.lock().send(span).unwrap());
        let head = |flags: &str| {
            let traceparent = format!("00-{:032x}-{:016x}-{flags}", 7, 8);
            http::Request::get("/k").header("traceparent", traceparent).body(()).unwrap().into_parts().0
        };
        let mut unsampled = head("00");
        assert_eq!(log.begin(&mut unsampled).unwrap().span, None);
        let mut sampled = head("01");
        let line = log.begin(&mut sampled).unwrap();
        log.answered(&line, StatusCode::OK, Duration::from_millis(1));
        let span = spans.try_recv().unwrap();
        assert_eq!((span.trace, span.parent, Some(span.id)), (7, 8, line.span));
        assert_eq!(trace(&sampled).unwrap().parent, span.id, "the holder's span follows from it");
        drop(log.held(trace(&sampled).unwrap()));
        let passed_on = spans.try_recv().unwrap();
        assert_eq!((passed_on.parent, passed_on.request, spans.try_recv().is_err()), (span.id, None, true));
    }

    #[test]
    fn strangers_have_no_spans_and_nobody_has_long_ones() {
        let log = AccessLog::default();
        let (sender, spans) = std::sync::mpsc::channel();
        let sender = Mutex::new(sender);
        log.export(move |span| sender.lock().send(span).unwrap());
        let begin = || {
            let request = http::Request::get(format!("/{}", "k".repeat(60_000)));
            let traceparent = format!("00-{:032x}-{:016x}-01", 7, 8);
            log.begin(&mut request.header("traceparent", traceparent).body(()).unwrap().into_parts().0)
        };
        for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
            log.answered(&begin().unwrap(), status, Duration::ZERO);
        }
        assert!(spans.try_recv().is_err());
        log.answered(&begin().unwrap(), StatusCode::URI_TOO_LONG, Duration::ZERO);
        let (_, path, _) = spans.try_recv().unwrap().request.unwrap();
        assert_eq!(path.len(), PATH_MAX);
    }

    #[test]
    fn callers_cannot_fill_the_log_by_tracing() {
        let start = Instant::now();
        let mut second = Second { began: start, count: 0 };
        let mut written =
            |after_ms| (0..1000).filter(|_| second.takes(start + Duration::from_millis(after_ms))).count();
        assert_eq!([written(0), written(999), written(1000)], [100, 0, 100]);
    }
}
