//! What the requests of one door share, and where each of them goes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW,
    LOCATION, VARY,
};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, Version};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::access::AccessLog;
use super::activity::Activity;
use super::body::{Body, Reader};
use super::config::{Config, Limits};
use super::gauges::Gauges;
use super::guard::Guard;
use super::live::Live;
use super::metrics::Metrics;
use super::problem::Problem;
use super::target::{self, Target};
use super::{admin, keys, leave};
use crate::Backend;
use crate::budget::Budget;

pub(super) struct Door {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) guard: Guard,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) registry: Arc<Registry>,
    pub(super) access_log: AccessLog,
    /// What is shown to who looks, and where figures of it come from.
    pub(super) live: Live,
    pub(super) gauges: Arc<Gauges>,
    pub(super) uploads: Reader,
    pub(super) downloads: Arc<Budget>,
    pub(super) subscribers: Arc<Semaphore>,
    /// Who waits for answers to a query.
    pub(super) askers: Arc<Semaphore>,
    /// Who waits for the node to leave.
    pub(super) leavers: Arc<Semaphore>,
    /// Cancelled when the door starts to shut down.
    pub(super) closing: CancellationToken,
}

/// An answer, or the way to it.
pub(super) enum Answer {
    Ready(Response<Body>),
    Pending(BoxFuture<'static, Response<Body>>),
}

impl Door {
    pub(super) fn new(backend: Arc<dyn Backend>, config: Config) -> Door {
        let Config { guard, limits, metrics, resp, registry, access_log } = config;
        let limits = limits.within_reason();
        let gauges = Arc::new(Gauges::new(Arc::clone(&backend), metrics.clone(), resp));
        Door {
            backend,
            guard,
            limits,
            metrics,
            registry,
            access_log,
            live: Live::default(),
            gauges,
            uploads: Reader {
                limit: limits.value_bytes,
                timeout: limits.body_timeout,
                budget: Budget::new(limits.upload_memory_bytes),
            },
            downloads: Budget::new(limits.download_memory_bytes),
            subscribers: Arc::new(Semaphore::new(limits.subscribers)),
            askers: Arc::new(Semaphore::new(limits.subscribers)),
            leavers: Arc::new(Semaphore::new(leave::WAITING_MAX)),
            closing: CancellationToken::new(),
        }
    }

    /// Reads a body of at most `bytes_max` bytes, then answers.
    pub(super) fn with_body(
        self: &Arc<Self>,
        body: Incoming,
        bytes_max: usize,
        activity: &Arc<Activity>,
        answer: impl FnOnce(Arc<Door>, Bytes) -> BoxFuture<'static, Result<Response<Body>, Problem>>
        + Send
        + 'static,
    ) -> Result<Answer, Problem> {
        let reader = Reader { limit: bytes_max, budget: Arc::clone(&self.uploads.budget), ..self.uploads };
        reader.admit(&body)?;
        let (door, activity) = (Arc::clone(self), Arc::clone(activity));
        Ok(Answer::Pending(Box::pin(async move {
            let (whole, _share) = match reader.read(body).await {
                Ok(whole) => whole,
                Err(problem) => return problem.into_response(),
            };
            activity.set_unread(false);
            answer(door, whole).await.unwrap_or_else(Problem::into_response)
        })))
    }

    pub(super) fn answer(self: &Arc<Self>, head: &Parts, body: Incoming, activity: &Arc<Activity>) -> Answer {
        let peer = self.guard.reads_from(head, |addr| self.backend.is_peer_door(addr));
        let answer = self.route(head, body, activity, peer.is_some());
        let answer = answer.unwrap_or_else(|problem| Answer::Ready(problem.into_response()));
        match peer {
            Some(origin) => answer.with(move |response| share(response, origin)),
            None => answer,
        }
    }

    fn route(
        self: &Arc<Self>,
        head: &Parts,
        body: Incoming,
        activity: &Arc<Activity>,
        peer: bool,
    ) -> Result<Answer, Problem> {
        self.guard.admit(head, peer)?;
        match target::parse(&head.uri, head.version == Version::HTTP_2)? {
            Target::Reserved(Some(route)) => admin::answer(self, head, route, body, activity),
            Target::Root | Target::Reserved(None) => {
                self.guard.admit_client(&head.headers)?;
                admin::redirect_to_page(&head.method)
            }
            Target::Key(key) => {
                self.guard.admit_client(&head.headers)?;
                keys::answer(self, head, &key, body, activity)
            }
        }
    }
}

impl Answer {
    fn with(self, change: impl FnOnce(&mut Response<Body>) + Send + 'static) -> Answer {
        match self {
            Answer::Ready(mut response) => {
                change(&mut response);
                Answer::Ready(response)
            }
            Answer::Pending(response) => Answer::Pending(
                response
                    .map(|mut response| {
                        change(&mut response);
                        response
                    })
                    .boxed(),
            ),
        }
    }
}

/// Lets the page at `origin` read an answer (the CORS protocol of the Fetch standard).
fn share(response: &mut Response<Body>, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("date"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
}

/// 204 with the methods a path takes.
pub(super) fn options(allow: &'static str) -> Answer {
    let mut response = status(StatusCode::NO_CONTENT);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    Answer::Ready(response)
}

pub(super) fn redirect(location: &'static str) -> Answer {
    let mut response = status(StatusCode::TEMPORARY_REDIRECT);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
    Answer::Ready(response)
}

/// An answer without a body.
pub(super) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
