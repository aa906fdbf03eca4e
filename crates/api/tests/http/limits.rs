use std::time::{Duration, Instant};

use boato_api::http::Limits;

use crate::client::TestDoor;

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn a_value_that_is_announced_too_large_is_refused_before_it_is_sent() {
    let door = TestDoor::limited(Limits { value_bytes: 10, ..Limits::default() }).await;
    assert_eq!(door.put("/a", "", "0123456789").await.status, 201);
    let mut client = door.connect().await;
    client
        .write("PUT /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
        .await;
    client.answer().await.problem(413);
    assert_eq!(client.closed().await, b"");
    assert_eq!(door.get("/a").await.text(), "0123456789");
}

#[tokio::test]
async fn a_large_body_that_nobody_reads_does_not_cost_the_answer() {
    let door = TestDoor::limited(Limits { value_bytes: 10, ..Limits::default() }).await;
    let refused = door.put("/a", "", &"x".repeat(4 << 20)).await;
    refused.problem(413);
}

#[tokio::test]
async fn a_chunked_body_is_read_up_to_the_limit() {
    let door = TestDoor::limited(Limits { value_bytes: 10, ..Limits::default() }).await;
    let head = "PUT /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(door.send(format!("{head}5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n")).await.status, 201);
    assert_eq!(door.get("/a").await.text(), "0123456789");
    door.send(format!("{head}5\r\n01234\r\n6\r\n56789x\r\n0\r\n\r\n")).await.problem(413);
    door.send(format!("{head}b\r\n0123456789x\r\n")).await.problem(413);
    door.send(format!("{head}x\r\n")).await.problem(400);
    assert_eq!(door.get("/a").await.text(), "0123456789");
}

#[tokio::test]
async fn the_memory_for_bodies_is_shared() {
    let limits = Limits { value_bytes: 100, upload_memory_bytes: 100, ..Limits::default() };
    let door = TestDoor::limited(limits).await;
    let mut first = door.connect().await;
    let body = "x".repeat(60);
    first
        .write(format!("PUT /never/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n{body}"))
        .await;
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let answer = door.put("/b", "", &body).await;
        if answer.status == 429 {
            answer.problem(429);
            assert_eq!(answer.header("retry-after"), Some("1"));
            break;
        }
        assert!(Instant::now() < deadline, "the first body does not count");
    }
    let chunked = format!(
        "PUT /b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3c\r\n{body}\r\n0\r\n\r\n"
    );
    door.send(chunked).await.problem(429);
    assert!(door.put("/b", "", "small").await.status < 300);
    drop(first);
}

#[tokio::test]
async fn the_memory_for_values_being_sent_is_bounded() {
    let door = TestDoor::limited(Limits { download_memory_bytes: 5000, ..Limits::default() }).await;
    door.put("/large", "", "").await.problem(413);
    door.put("/a", "", &"x".repeat(5000)).await;
    door.put("/b", "", &"x".repeat(5001)).await;
    assert_eq!(door.get("/a").await.body.len(), 5000);
    assert_eq!(door.get("/a").await.status, 200);
    let refused = door.get("/b").await;
    refused.problem(429);
    assert_eq!(refused.header("x-source"), Some("local"));
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let door = TestDoor::limited(Limits { head_timeout: SHORT, ..Limits::default() }).await;
    let started = Instant::now();
    let mut client = door.connect().await;
    let drip = async {
        client.write("GET /a HTTP/1.1\r\n").await;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if tokio::io::AsyncWriteExt::write_all(&mut client.stream, b"X-Header: x\r\n").await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), drip).await.expect("the door must cut the connection");
    assert!(started.elapsed() >= SHORT);
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let limits = Limits { head_timeout: SHORT, idle_timeout: 2 * SHORT, ..Limits::default() };
    let door = TestDoor::limited(limits).await;
    let started = Instant::now();
    let mut silent = door.connect().await;
    assert_eq!(silent.closed().await, b"");
    assert!(started.elapsed() >= SHORT);

    let mut client = door.connect().await;
    let asked = Instant::now();
    client.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 404);
    assert_eq!(client.closed().await, b"");
    assert!(asked.elapsed() >= 2 * SHORT, "closed after {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_request_may_take_longer_than_idleness() {
    let limits = Limits { head_timeout: SHORT, idle_timeout: SHORT, ..Limits::default() };
    let door = TestDoor::limited(limits).await;
    let mut client = door.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx").await;
    tokio::time::sleep(3 * SHORT).await;
    client.write("y").await;
    assert_eq!(client.answer().await.status, 201);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let door = TestDoor::limited(Limits { body_timeout: SHORT, ..Limits::default() }).await;
    let mut client = door.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx").await;
    client.answer().await.problem(408);
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let limits = Limits {
        write_timeout: SHORT,
        head_timeout: SHORT,
        drain_timeout: Duration::from_mins(1),
        ..Limits::default()
    };
    let door = TestDoor::limited(limits).await;
    door.put("/a", "", &"x".repeat(8 << 20)).await;
    let mut client = door.connect().await;
    for _ in 0..4 {
        client.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while !door.get("/_/metrics").await.text().contains("boato_http_connections 1\n") {
        assert!(Instant::now() < deadline, "the connection must be dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let door = TestDoor::limited(Limits { head_bytes: 8192, ..Limits::default() }).await;
    let fits = format!("X: {}\r\n", "x".repeat(7000));
    assert_eq!(door.request("GET", "/a", &fits, "").await.status, 404);
    let large = format!("X: {}\r\n", "x".repeat(20_000));
    assert_eq!(door.request("GET", "/a", &large, "").await.status, 431);
    assert_eq!(door.request("GET", "/a", &"X: x\r\n".repeat(200), "").await.status, 431);
}

#[tokio::test]
async fn connections_beyond_the_cap_are_told_so() {
    let door = TestDoor::limited(Limits { connections: 2, ..Limits::default() }).await;
    let mut held = [door.connect().await, door.connect().await];
    for client in &mut held {
        client.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 404);
    }
    let mut refused = door.connect().await;
    refused.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = refused.answer().await;
    assert_eq!(answer.problem(503), "too many connections to this node are open");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(refused.closed().await, b"");
    let [first, mut second] = held;
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    while door.get("/a").await.status == 503 {
        assert!(Instant::now() < deadline, "a place must become free");
    }
    second.write("GET /_/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(second.answer().await.text().contains("boato_http_connections_refused_total"));
}

#[tokio::test]
async fn senseless_limits_are_brought_within_reason() {
    let limits = Limits {
        head_bytes: 0,
        subscribers: usize::MAX,
        head_timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        body_timeout: Duration::MAX,
        write_timeout: Duration::ZERO,
        drain_timeout: Duration::ZERO,
        ..Limits::default()
    };
    let door = TestDoor::limited(limits).await;
    assert_eq!(door.put("/a", "", "x").await.status, 201);
    assert_eq!(door.get("/a").await.text(), "x");
}
