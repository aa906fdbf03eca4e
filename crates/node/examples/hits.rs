//! A web service that carries its own boato node: it counts the visits of its pages, together with all its copies.
//!
//! Start it several times: `cargo run --example hits`. The copies find each other, any of them tells the same count, and one that is
//! ended with Ctrl-C hands its counters to the others.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use node::{Keys, Node};
use tokio::net::{TcpListener, TcpStream};

/// Counters of pages that nobody visits any more go.
const FORGET: Duration = Duration::from_hours(24);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    node::logging::init("warn")?;
    // Doors for the outside are of no use here; the node's own page helps while developing.
    let no_resp = |settings: &mut node::Settings| {
        settings.resp = Some(node::config::DoorAddress::None);
        settings.resp_cluster = Some(node::config::DoorAddress::None);
    };
    let node = Node::builder().cluster("hits").settings(no_resp).start().await?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("visit http://{}/any/page, or watch http://{}/_/", listener.local_addr()?, node.http());
    loop {
        tokio::select! {
            connection = listener.accept() => drop(tokio::spawn(serve(connection?.0, node.keys()))),
            signal = tokio::signal::ctrl_c() => {
                signal?;
                break;
            }
        }
    }
    node.leave().await;
    Ok(())
}

async fn serve(connection: TcpStream, keys: Keys) {
    let service = service_fn(|request: Request<Incoming>| {
        let keys = keys.clone();
        async move { Ok::<_, Infallible>(answer(&keys, request.uri().path()).await) }
    });
    // A client that goes away in the midst of an answer is no news.
    let _ =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

async fn answer(keys: &Keys, page: &str) -> Response<Full<Bytes>> {
    let (status, text) = match keys.add(format!("hits{page}").as_bytes(), 1, Some(FORGET)).await {
        Ok(visits) => (StatusCode::OK, format!("{page} was visited {visits} times\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
