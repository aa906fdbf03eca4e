//! Traces, exported by OTLP over HTTP as JSON (OpenTelemetry Protocol 1.0, `POST /v1/traces`): what callers sample by
//! `traceparent`. Waits in a bounded queue; what does not fit, or what the collector does not take, is counted and dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, UNIX_EPOCH};

use boato_api::http::{AccessLog, Span};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use ureq::Agent;

use crate::attributes::VERSION;
use crate::config::Config;
use crate::otlp::{Exported, Traces};

/// Spans that wait, and spans sent at a time.
const QUEUE: usize = 4096;
const BATCH: usize = 512;

/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_secs(1);

/// How long the collector may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Rest between two lines of the log about a collector that takes nothing.
const LINES: Duration = Duration::from_mins(1);

/// Where spans go.
struct Spans {
    queue: mpsc::Sender<Span>,
    exported: Arc<Exported>,
}

impl Spans {
    /// Takes a span that has ended.
    fn take(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.exported.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Has what `log` is told of traced requests sent to the collector that `config` names, if it names one, until `stop`.
pub(crate) fn start(
    config: &Config,
    node: &str,
    id: String,
    log: &AccessLog,
    stop: &CancellationToken,
) -> Traces {
    let exported = Arc::new(Exported::default());
    let exporting = config.otlp.as_ref().map(|endpoint| {
        let origin = Origin { cluster: config.cluster.clone(), node: node.to_owned(), id };
        let (spans, exporting) = export(&endpoint.0, origin, Arc::clone(&exported), stop.clone());
        log.export(move |span| spans.take(span));
        tokio::spawn(exporting)
    });
    (exported, exporting)
}

/// Who exports.
struct Origin {
    cluster: String,
    node: String,
    id: String,
}

/// A place for spans, and what sends them to the collector at `endpoint` until `stop`.
fn export(
    endpoint: &str,
    origin: Origin,
    exported: Arc<Exported>,
    stop: CancellationToken,
) -> (Spans, impl Future<Output = ()> + Send + use<>) {
    let (queue, waiting) = mpsc::channel(QUEUE);
    let config = Agent::config_builder().proxy(None).max_redirects(0).timeout_global(Some(ANSWER_MAX));
    let sender = Exporter {
        agent: config.build().into(),
        url: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        origin,
        exported: Arc::clone(&exported),
        told: None,
    };
    (Spans { queue, exported }, sender.run(waiting, stop))
}

struct Exporter {
    agent: Agent,
    url: String,
    origin: Origin,
    exported: Arc<Exported>,
    /// When the log was last told that nothing is taken.
    told: Option<Instant>,
}

impl Exporter {
    async fn run(mut self, mut waiting: mpsc::Receiver<Span>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                _ = waiting.recv_many(&mut batch, BATCH) => {}
                // What has been gathered goes out before the end.
                () = stop.cancelled() => waiting.close(),
            }
            let due = Instant::now() + GATHER;
            while !batch.is_empty() && batch.len() < BATCH {
                let room = BATCH - batch.len();
                let more = timeout_at(due, waiting.recv_many(&mut batch, room));
                if !matches!(stop.run_until_cancelled(more).await, Some(Ok(1..))) {
                    break;
                }
            }
            if batch.is_empty() {
                waiting.recv_many(&mut batch, BATCH).await;
                if batch.is_empty() {
                    return;
                }
            }
            self.send(std::mem::take(&mut batch)).await;
        }
    }

    async fn send(&mut self, batch: Vec<Span>) {
        let (count, body) = (batch.len() as u64, body(&self.origin, &batch).to_string());
        let (agent, url) = (self.agent.clone(), self.url.clone());
        let post = move || {
            let status = agent.post(&url).content_type("application/json").send(body)?.status();
            // Elsewhere (3xx) is not taken, either.
            if status.is_success() { Ok(()) } else { Err(ureq::Error::StatusCode(status.as_u16())) }
        };
        let sent =
            spawn_blocking(post).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        match sent {
            Ok(()) => {
                self.exported.sent.fetch_add(count, Relaxed);
            }
            Err(error) => {
                self.exported.dropped.fetch_add(count, Relaxed);
                if self.told.is_none_or(|told| told.elapsed() >= LINES) {
                    self.told = Some(Instant::now());
                    tracing::warn!(url = self.url, %error, "the collector takes no traces: is --otlp right, and does it speak OTLP over HTTP?");
                }
            }
        }
    }
}

/// `ExportTraceServiceRequest` in its JSON form.
fn body(origin: &Origin, batch: &[Span]) -> Value {
    let spans: Vec<Value> = batch.iter().map(span).collect();
    let resource = [
        text("service.name", "boato"),
        text("service.namespace", &origin.cluster),
        text("service.instance.id", &origin.id),
        text("service.version", VERSION),
        text("host.name", &origin.node),
    ];
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "boato", "version": VERSION }, "spans": spans }],
    }]})
}

fn span(span: &Span) -> Value {
    let took = u128::from(u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX));
    let began = span.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut attributes = Vec::new();
    let mut failed = false;
    if let Some((method, path, status)) = &span.request {
        failed = status.is_server_error();
        attributes = vec![
            text("http.request.method", method.as_str()),
            text("url.path", path),
            json!({ "key": "http.response.status_code", "value": { "intValue": status.as_u16().to_string() } }),
        ];
    }
    json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.id),
        "parentSpanId": format!("{:016x}", span.parent),
        "name": span.request.as_ref().map_or("operation", |(method, ..)| method.as_str()),
        // A server's.
        "kind": 2,
        "startTimeUnixNano": began.to_string(),
        "endTimeUnixNano": (began + took).to_string(),
        "attributes": attributes,
        // Set for what the server could not do.
        "status": if failed { json!({ "code": 2 }) } else { json!({}) },
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::SystemTime;

    use ureq::http::{Method, StatusCode};

    use super::*;

    #[test]
    fn a_span_has_the_form_of_the_protocol() {
        let origin = Origin { cluster: "shop".into(), node: "web1".into(), id: "7".into() };
        let ended = Span {
            trace: 0x4bf9,
            parent: 7,
            id: 8,
            request: Some((Method::GET, "/k".into(), StatusCode::SERVICE_UNAVAILABLE)),
            began: UNIX_EPOCH + Duration::from_secs(1),
            took: Duration::from_micros(250),
        };
        let body = body(&origin, &[ended]);
        let resource = &body["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "boato");
        let span = &resource["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "00000000000000000000000000004bf9");
        assert_eq!(
            (&span["spanId"], &span["parentSpanId"]),
            (&"0000000000000008".into(), &"0000000000000007".into())
        );
        assert_eq!(span["startTimeUnixNano"], "1000000000");
        assert_eq!(span["endTimeUnixNano"], "1000250000");
        assert_eq!(
            (&span["status"]["code"], &span["attributes"][2]["value"]["intValue"]),
            (&2.into(), &"503".into())
        );
    }

    #[tokio::test]
    async fn a_queue_that_is_full_drops_and_counts() {
        let exported = Arc::new(Exported::default());
        let origin = Origin { cluster: String::new(), node: String::new(), id: String::new() };
        let (spans, _exporting) =
            export("http://127.0.0.1:1", origin, Arc::clone(&exported), CancellationToken::new());
        let span = Span {
            trace: 1,
            parent: 2,
            id: 3,
            request: None,
            began: SystemTime::now(),
            took: Duration::ZERO,
        };
        for _ in 0..QUEUE + 3 {
            spans.take(span.clone());
        }
        assert_eq!(exported.dropped.load(Relaxed), 3);
    }

    #[tokio::test]
    async fn what_the_collector_sends_elsewhere_is_not_taken() {
        let collector = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", collector.local_addr().unwrap());
        let answering = spawn_blocking(move || {
            let (mut stream, _) = collector.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                let mut piece = [0; 4096];
                let len = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..len]);
            }
            let answer =
                b"HTTP/1.1 307 Temporary Redirect\r\nlocation: https://x/\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).unwrap();
        });
        let exported = Arc::new(Exported::default());
        let origin = Origin { cluster: String::new(), node: String::new(), id: String::new() };
        let stop = CancellationToken::new();
        let (spans, exporting) = export(&endpoint, origin, Arc::clone(&exported), stop.clone());
        let (trace, parent, id) = (1, 2, 3);
        spans.take(Span { trace, parent, id, request: None, began: SystemTime::now(), took: Duration::ZERO });
        stop.cancel();
        exporting.await;
        answering.await.unwrap();
        assert_eq!((exported.sent.load(Relaxed), exported.dropped.load(Relaxed)), (0, 1));
    }
}
