//! The requests of one connection: each is answered, measured and counted as activity.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use tokio::time::Instant;

use super::access::{AccessLog, Line};
use super::activity::{Activity, Exchange};
use super::body::Body;
use super::door::{Answer, Door};
use super::metrics::{self, About, Metrics};

pub(super) struct Session {
    pub(super) door: Arc<Door>,
    pub(super) activity: Arc<Activity>,
}

impl Service<Request<Incoming>> for Session {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let started = Instant::now();
        let (mut head, body) = request.into_parts();
        let exchange = self.activity.begin(head.version == Version::HTTP_2);
        if !body.is_end_stream() {
            self.activity.set_unread(true);
        }
        let line = self.door.access_log.begin(&mut head);
        Answering {
            line,
            access_log: self.door.access_log.clone(),
            answer: Some(self.door.answer(&head, body, &self.activity)),
            exchange: Some(exchange),
            started,
            about: About::of(head.uri.path()),
            method: head.method,
            metrics: self.door.metrics.clone(),
        }
    }
}

/// A request on its way to its answer.
pub(super) struct Answering {
    answer: Option<Answer>,
    exchange: Option<Exchange>,
    started: Instant,
    about: About,
    method: Method,
    metrics: Metrics,
    access_log: AccessLog,
    line: Option<Line>,
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(Answer::Pending(answer)) = &mut self.answer {
            let response = ready!(answer.as_mut().poll(context));
            self.answer = Some(Answer::Ready(response));
        }
        let Some(Answer::Ready(mut response)) = self.answer.take() else {
            unreachable!("invariant: not polled again after it was ready")
        };
        let took = self.started.elapsed();
        self.metrics.answered(self.about, metrics::place(&self.method), response.status(), took);
        if let Some(line) = &self.line {
            self.access_log.answered(line, response.status(), took);
        }
        if self.method == Method::HEAD {
            leave_out_body(&mut response);
        }
        if let Some(exchange) = self.exchange.take() {
            response.body_mut().during(exchange);
        }
        Poll::Ready(Ok(response))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.answer.is_some() {
            self.metrics.aborted();
        }
    }
}

/// Answers a HEAD: the length of the body in place of the body.
fn leave_out_body(response: &mut Response<Body>) {
    let has_length = !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let (true, Some(length)) = (has_length, response.body().size_hint().exact()) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}
