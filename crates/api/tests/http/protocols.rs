use std::time::{Duration, Instant};

use boato_api::http::Limits;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{PATIENCE, TestDoor};

async fn http2(door: &TestDoor) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(door.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(method: &str, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let uri = format!("http://localhost{path}");
    Request::builder().method(method).uri(uri).body(Full::from(body)).unwrap()
}

async fn text(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_large_body_is_asked_for_when_it_is_welcome() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    client
        .write("PUT /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 100);
    client.write("hello").await;
    assert_eq!(client.answer().await.status, 201);
    client.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "hello");
    client
        .write("PUT /a?x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    client.answer().await.problem(400);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    let host = "HTTP/1.1\r\nHost: localhost";
    let requests: Vec<String> = (0..50)
        .map(|number| {
            format!(
                "PUT /{number} {host}\r\nContent-Length: 2\r\n\r\n{number:02}\
                 GET /cluster/{number} {host}\r\n\r\n\
                 GET /{number} {host}\r\n\r\n"
            )
        })
        .collect();
    client.write(requests.concat()).await;
    for number in 0..50 {
        assert_eq!(client.answer().await.status, 201);
        assert_eq!(client.answer().await.status, 404);
        assert_eq!(client.answer().await.text(), format!("{number:02}"));
    }
}

#[tokio::test]
async fn a_client_may_close_its_side_and_read_on() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    client.write("PUT /cluster/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx").await;
    client.write("GET /cluster/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.answer().await.status, 201);
    assert_eq!(client.answer().await.text(), "x");
    assert_eq!(client.closed().await, b"");
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    client.write("GET /a HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 404);
    client.closed().await;
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let door = TestDoor::open().await;
    for nonsense in ["*1\r\n$4\r\nPING\r\n", "GET /a b HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}\r\n\r\n"] {
        let mut client = door.connect().await;
        client.write(nonsense).await;
        let answer = client.closed().await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    }
}

#[tokio::test]
async fn http2_speaks_the_same_rules() {
    let door = TestDoor::open().await;
    let mut client = http2(&door).await;
    let put = client.send_request(request("PUT", "/a//b?ttl=100", "hello")).await.unwrap();
    assert_eq!((put.status(), &put.headers()["etag"]), (StatusCode::CREATED, &"\"1-b0a\"".parse().unwrap()));
    let get = client.send_request(request("GET", "/%61//b", "")).await.unwrap();
    assert_eq!((get.status(), &get.headers()["x-source"]), (StatusCode::OK, &"local".parse().unwrap()));
    assert_eq!(text(get).await, "hello");
    let head = client.send_request(request("HEAD", "/a//b", "")).await.unwrap();
    assert_eq!(head.headers()["content-length"], "5");
    assert!(text(head).await.is_empty());
    let missing = client.send_request(request("GET", "/cluster/b", "")).await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(text(missing).await, "key not found");
    let bad = client.send_request(request("GET", "/%zz", "")).await.unwrap();
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    let foreign = Request::get("http://evil.example/a").body(Full::default()).unwrap();
    assert_eq!(client.send_request(foreign).await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn http2_requests_do_not_wait_for_each_other() {
    let door = TestDoor::open().await;
    let mut client = http2(&door).await;
    let stuck = client.send_request(request("GET", "/never/a", ""));
    let stuck = tokio::spawn(stuck);
    for _ in 0..200 {
        assert_eq!(
            client.send_request(request("GET", "/a", "")).await.unwrap().status(),
            StatusCode::NOT_FOUND
        );
    }
    assert!(!stuck.is_finished());
    stuck.abort();
    let deadline = Instant::now() + PATIENCE;
    while !door.get("/_/metrics").await.text().contains("boato_http_requests_aborted_total 1\n") {
        assert!(Instant::now() < deadline, "the request must be given up with its client");
    }
}

#[tokio::test]
async fn http2_bodies_are_bounded() {
    let door = TestDoor::limited(Limits { value_bytes: 4, ..Limits::default() }).await;
    let mut client = http2(&door).await;
    let refused = client.send_request(request("PUT", "/a", "12345")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        client.send_request(request("PUT", "/a", "1234")).await.unwrap().status(),
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let limits = Limits { idle_timeout: Duration::from_secs(1), ..Limits::default() };
    let door = TestDoor::limited(limits).await;
    let mut client = http2(&door).await;
    assert_eq!(client.send_request(request("GET", "/a", "")).await.unwrap().status(), StatusCode::NOT_FOUND);
    let closed = async {
        while client.ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the door must say goodbye");
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_closes_the_rest() {
    let door = TestDoor::open().await;
    let (mut idle, mut busy) = (door.connect().await, door.connect().await);
    idle.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 404);
    busy.write("PUT /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(busy.answer().await.status, 100);
    door.shutdown.cancel();
    assert_eq!(idle.closed().await, b"");
    assert!(TcpStream::connect(door.address).await.is_err());
    busy.write("hello").await;
    assert_eq!(busy.answer().await.status, 201);
    busy.closed().await;
    assert!(tokio::time::timeout(PATIENCE, door.served).await.is_ok());
}

#[tokio::test]
async fn shutdown_lets_a_client_that_has_just_come_ask() {
    let door = TestDoor::open().await;
    let mut fresh = door.connect().await;
    // Whoever came before it has been accepted, too.
    let mut next = door.connect().await;
    next.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(next.answer().await.status, 404);
    door.shutdown.cancel();
    assert!(TcpStream::connect(door.address).await.is_err());
    // Its task has heard of the end before anything is there to read.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    fresh.write("GET /_/livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(fresh.answer().await.status, 200);
    fresh.closed().await;
    assert!(tokio::time::timeout(PATIENCE, door.served).await.is_ok());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let door =
        TestDoor::limited(Limits { drain_timeout: Duration::from_millis(100), ..Limits::default() }).await;
    let mut client = door.connect().await;
    client.write("GET /_/livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /never/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 200);
    door.shutdown.cancel();
    assert!(tokio::time::timeout(PATIENCE, door.served).await.is_ok());
    client.closed().await;
}

#[tokio::test]
async fn answers_to_a_pipeline_do_not_wait_for_the_rest_of_a_request() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1").await;
    assert_eq!(client.answer().await.status, 201);
    client.write(&format!("{}GET /a HTT", "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(40))).await;
    for _ in 0..40 {
        assert_eq!(client.answer().await.body, b"1");
    }
    client.write("P/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.body, b"1");
}

#[tokio::test]
async fn answers_before_a_refusal_are_not_lost() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    client
        .write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nthis is not HTTP\r\n\r\nnor is this\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 404);
    assert_eq!(client.answer().await.status, 400);
}
