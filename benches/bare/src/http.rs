//! One body for every path.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Result, bail};
use axum::Router;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const READ_BYTES: usize = 8 << 10;
const HEADERS_MAX: usize = 16;

pub(crate) async fn axum(listener: TcpListener, body: Bytes) -> Result<()> {
    let answer = move || std::future::ready(body.clone());
    let router = Router::new().route("/{*key}", axum::routing::get(answer));
    let listener = listener.tap_io(|stream| {
        // Without it answers come late, which nobody would miss.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

pub(crate) async fn hyper(listener: TcpListener, body: Bytes) -> Result<()> {
    loop {
        let stream = accept(&listener).await?;
        let body = body.clone();
        let answer = move |_: Request<Incoming>| {
            let mut response = Response::new(Full::new(body.clone()));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            std::future::ready(Ok::<_, Infallible>(response))
        };
        let connection = http1::Builder::new()
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(connection);
    }
}

pub(crate) async fn lean(listener: TcpListener, body: Bytes) -> Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\n";
    let length = format!("content-length: {}\r\n\r\n", body.len());
    let answer: Arc<[u8]> = [head.as_bytes(), length.as_bytes(), &body].concat().into();
    loop {
        let stream = accept(&listener).await?;
        tokio::spawn(answer_all(stream, Arc::clone(&answer)));
    }
}

async fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Parses the requests that have come, and writes their answers at once.
async fn answer_all(mut stream: TcpStream, answer: Arc<[u8]>) -> Result<()> {
    let (mut input, mut out) = (Vec::with_capacity(READ_BYTES), Vec::new());
    while stream.read_buf(&mut input).await? > 0 {
        let mut at = 0;
        while at < input.len() {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Request::new(&mut headers);
            let httparse::Status::Complete(length) = head.parse(&input[at..])? else { break };
            if head.method != Some("GET") {
                bail!("only GET is answered");
            }
            at += length;
            out.extend_from_slice(&answer);
        }
        input.drain(..at);
        stream.write_all(&out).await?;
        out.clear();
    }
    Ok(())
}
