//! Servers that do the least: RESP over a map, and HTTP with one body for every path by axum, by hyper and by hand, all on one
//! tokio runtime with mimalloc, as a node. `cargo xtask bench --against bare,axum,hyper,lean` measures them.

mod http;
mod resp;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    /// What it speaks
    kind: Kind,
    /// Where it listens, on 127.0.0.1
    port: u16,
    /// Length of an HTTP answer's body
    #[arg(default_value_t = 64)]
    body_bytes: usize,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// GET and SET of RESP: parsed in place, 64 hash tables behind read-write locks, a write per read
    Bare,
    /// HTTP by axum
    Axum,
    /// HTTP/1.1 by hyper
    Hyper,
    /// HTTP/1.1 by hand
    Lean,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Args { kind, port, body_bytes } = Args::parse();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(addr).await.with_context(|| format!("listening on {addr}"))?;
    let body = vec![b'x'; body_bytes].into();
    match kind {
        Kind::Bare => resp::serve(listener).await,
        Kind::Axum => http::axum(listener, body).await,
        Kind::Hyper => http::hyper(listener, body).await,
        Kind::Lean => http::lean(listener, body).await,
    }
}
