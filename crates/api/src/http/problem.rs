//! Errors as the client sees them: `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::Body;
use crate::reply::retry_after_s;
use crate::{Declined, Failure};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An answer that says what went wrong and what to do next.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { status, detail: detail.into(), header: None }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.header = Some((name, value));
        self
    }

    fn retry_after(self, wait: Duration) -> Problem {
        self.with(RETRY_AFTER, HeaderValue::from(retry_after_s(wait)))
    }

    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unauthorized(detail: &'static str) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, detail)
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(super) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Problem {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path takes {allow}"))
            .with(ALLOW, HeaderValue::from_static(allow))
    }

    pub(super) fn request_timeout(detail: &'static str) -> Problem {
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    pub(super) fn precondition_failed(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::PRECONDITION_FAILED, detail)
    }

    pub(super) fn too_large(limit: u64) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a value has at most {limit} bytes here"))
    }

    pub(super) fn too_many_values(limit: usize) -> Problem {
        let detail =
            format!("these values have more than {limit} bytes together; ask for fewer keys at a time");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    pub(super) fn conflict(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::CONFLICT, detail)
    }

    pub(super) fn memory_full() -> Problem {
        Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "the memory limit of the node that holds this key is reached; \
             delete keys, raise --max-memory or add a node",
        )
    }

    pub(super) fn uri_too_long(detail: String) -> Problem {
        Problem::new(StatusCode::URI_TOO_LONG, detail)
    }

    /// The memory that bodies may hold at once is used up.
    pub(super) fn too_many_bodies() -> Problem {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too many bytes of request or response bodies are in flight; try again",
        )
        .retry_after(Duration::from_secs(1))
    }

    pub(super) fn unavailable(detail: impl Into<Cow<'static, str>>, wait: Duration) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(wait)
    }

    /// The node broke its side of the contract; nothing a client can do.
    pub(super) fn internal() -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the node gave an answer that makes no sense here")
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What it says, as JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::full(self.json().to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Declined> for Problem {
    fn from(declined: Declined) -> Problem {
        match declined {
            Declined::Invalid(detail) => Problem::bad_request(detail),
            Declined::Unknown(detail) => Problem::not_found(detail),
            Declined::Conflict(detail) => Problem::conflict(detail),
            Declined::Busy(detail) => Problem::unavailable(detail, Duration::from_secs(1)),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        let detail = failure.to_string();
        match failure {
            Failure::Unavailable { retry_after, .. } => Problem::unavailable(detail, retry_after),
            Failure::OutcomeUnknown => Problem::new(StatusCode::GATEWAY_TIMEOUT, detail),
            Failure::TooLarge { .. } | Failure::StepTooLarge { .. } => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            Failure::BadCursor | Failure::CrossSlot => Problem::new(StatusCode::BAD_REQUEST, detail),
        }
    }
}
