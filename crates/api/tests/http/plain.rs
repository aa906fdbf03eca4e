//! Plain requests are answered as all others are.

use std::sync::atomic::Ordering::Relaxed;

use boato_api::http::{Guard, Limits};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{TestDoor, secrets};

/// Sends a request with these header lines, and with another one that makes it anything but plain; returns both answers as they
/// came, but for the time of day.
async fn both(door: &TestDoor, path: &str, headers: &str) -> [Vec<u8>; 2] {
    let mut answers = [Vec::new(), Vec::new()];
    for (answer, other) in answers.iter_mut().zip(["", "X-Other: 1\r\n"]) {
        let mut client = door.connect().await;
        client.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{other}\r\n")).await;
        let bytes = client.answer().await.bytes();
        let at = bytes.windows(8).position(|part| part == b"\r\ndate: ").unwrap();
        *answer = [&bytes[..at], &bytes[at + "\r\ndate: Sun, 22 Nov 2026 06:29:54 GMT".len()..]].concat();
    }
    answers
}

#[tokio::test]
async fn they_are_answered_with_the_same_bytes() {
    let door = TestDoor::open().await;
    let long = "v".repeat(5000);
    for (path, headers, value) in [
        ("/a", "", "hello"),
        ("/a/b:c~d-e.f_g", "", ""),
        ("/typed", "Content-Type: text/html; charset=utf-8\r\n", "<p>"),
        ("/odd", "Content-Type: t\u{e9}xt\r\n", "type"),
        ("/short", "X-TTL: 100\r\n", "lived"),
        ("/medium", "", &long[..4096]),
        ("/long", "", &long),
        ("/cluster/a", "", "held elsewhere"),
    ] {
        assert!(matches!(door.put(path, headers, value).await.status, 201 | 503), "{path}");
        for headers in ["", "Accept: */*\r\nuser-agent: x\r\nConnection: keep-alive\r\n"] {
            let [plain, full] = both(&door, path, headers).await;
            assert_eq!(String::from_utf8_lossy(&plain), String::from_utf8_lossy(&full), "{path}");
        }
    }
    for path in ["/missing", "/", "/_/x", "/%61", "/a?b", "/_a", "//a", "/%zz"] {
        let [plain, full] = both(&door, path, "").await;
        assert_eq!(String::from_utf8_lossy(&plain), String::from_utf8_lossy(&full), "{path}");
    }
}

#[tokio::test]
async fn they_are_admitted_as_others_are() {
    let open = TestDoor::open().await;
    for host in ["evil.example", "a:b:c", "\"", "\u{e9}"] {
        let request = |other| format!("GET /a HTTP/1.1\r\nHost: {host}\r\n{other}\r\n");
        let (plain, full) = (open.send(request("")).await, open.send(request("X-Other: 1\r\n")).await);
        assert_eq!((plain.status, plain.text()), (full.status, full.text()), "{host}");
        assert!(matches!(plain.status, 400 | 403), "{host}");
    }
    let closed = TestDoor::with(secrets(), Limits::default()).await;
    closed.get("/a").await.problem(401);
    let public = TestDoor::with(Guard { loopback: false, ..Guard::default() }, Limits::default()).await;
    assert_eq!(public.send("GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n").await.status, 404);
}

#[tokio::test]
async fn what_follows_them_is_answered_in_its_turn() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    let get = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let put = "PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    client.write(format!("{get}{get}{put}{get}").as_bytes()).await;
    for (status, body) in [(404, "key not found"), (404, "key not found"), (201, ""), (200, "hello")] {
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (status, body));
    }
    for byte in get.as_bytes() {
        client.write([*byte]).await;
    }
    assert_eq!(client.answer().await.text(), "hello");
    let mut client = door.connect().await;
    for byte in get.as_bytes() {
        client.write([*byte]).await;
    }
    assert_eq!(client.answer().await.text(), "hello");
    client.write("GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "hello");
    assert_eq!(client.closed().await, b"");
}

#[tokio::test]
async fn a_pipeline_longer_than_what_may_wait_is_answered_whole() {
    let door = TestDoor::open().await;
    door.put("/a", "", &"v".repeat(4000)).await;
    let mut client = door.connect().await;
    client.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(300)).await;
    for _ in 0..300 {
        assert_eq!(client.answer().await.body.len(), 4000);
    }
}

#[tokio::test]
async fn answers_leave_before_the_connection_when_the_door_closes() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    client.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 404);
    door.shutdown.cancel();
    assert_eq!(client.closed().await, b"");
    door.served.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_carried_them_does_not_turn_to_http2() {
    let door = TestDoor::open().await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut client = door.connect().await;
    client.write(preface).await;
    assert_eq!(client.stream.read_u8().await.unwrap(), 0, "the settings of the other side");
    for pieces in [1, preface.len()] {
        let mut client = door.connect().await;
        client.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.answer().await.status, 404);
        for piece in preface.as_bytes().chunks(pieces) {
            // The connection may be closed before everything has been written.
            let _ = client.stream.write_all(piece).await;
        }
        assert_eq!(client.closed().await, b"");
    }
}

#[tokio::test]
async fn a_request_that_is_half_there_when_the_door_closes_is_read_to_its_end() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    client.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b HTTP").await;
    assert_eq!(client.answer().await.status, 404);
    door.shutdown.cancel();
    assert_eq!(client.closed().await, b"");
    // A connection that is gone is reset by the first byte, and refuses the second.
    for byte in b"/1.1\r\nHost: loc" {
        client.stream.write_all(&[*byte]).await.expect("the door reads on");
    }
    client.stream.shutdown().await.expect("the door reads on");
    door.served.await.unwrap();
}

#[tokio::test]
async fn what_is_too_long_to_be_answered_at_once_is_asked_for_once() {
    let door = TestDoor::open().await;
    for (path, value) in [("/short", "v".repeat(4096)), ("/long", "v".repeat(4097))] {
        door.put(path, "", &value).await;
        let before = door.memory.answered.load(Relaxed);
        assert_eq!(door.get(path).await.body.len(), value.len());
        assert_eq!(door.memory.answered.load(Relaxed) - before, 1, "{path}");
    }
}
