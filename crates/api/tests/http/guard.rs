use std::sync::atomic::Ordering::Relaxed;

use boato_api::http::{Guard, Limits};

use crate::client::{TestDoor, secrets};

async fn status(door: &TestDoor, method: &str, path: &str, host: &str, headers: &str) -> u16 {
    let answer = door.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")).await;
    if matches!(answer.status, 400 | 401 | 403) {
        answer.problem(answer.status);
    }
    answer.status
}

#[tokio::test]
async fn a_loopback_door_is_out_of_reach_of_web_pages() {
    let guard = Guard { allow_hosts: vec!["boato.test".into()], ..Guard::default() };
    let door = TestDoor::with(guard, Limits::default()).await;
    for host in ["localhost", "127.0.0.1:1", "[::1]:7480", "boato.test:80"] {
        assert_eq!(status(&door, "GET", "/a", host, "").await, 404, "{host}");
    }
    assert_eq!(status(&door, "GET", "/a", "rebound.example", "").await, 403);
    assert_eq!(status(&door, "GET", "/_/livez", "rebound.example", "").await, 403);
    assert_eq!(status(&door, "GET", "/a", "localhost:7480", "Origin: http://localhost:7480\r\n").await, 404);
    assert_eq!(status(&door, "GET", "/a", "localhost:7480", "Origin: http://localhost:3000\r\n").await, 403);
    assert_eq!(status(&door, "PUT", "/a", "localhost", "Origin: null\r\n").await, 403);
    assert_eq!(status(&door, "OPTIONS", "/a", "localhost", "Origin: http://evil.example\r\n").await, 403);
    assert_eq!(status(&door, "GET", "/a", "localhost", "Sec-Fetch-Site: cross-site\r\n").await, 403);
    assert_eq!(door.send("GET /a HTTP/1.1\r\n\r\n").await.status, 400);
}

/// The page compares its clock with that of each node it moves to.
#[tokio::test]
async fn a_page_of_an_allowed_host_may_read_what_a_door_tells_and_its_clock() {
    let guard = Guard { allow_hosts: vec!["boato.test".into()], ..Guard::default() };
    let door = TestDoor::with(guard, Limits::default()).await;
    let ask = async |origin: &str| {
        door.send(format!("GET /_/livez HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n")).await
    };
    let told = ask("http://boato.test").await;
    assert_eq!(told.header("access-control-allow-origin"), Some("http://boato.test"));
    assert_eq!(told.header("access-control-expose-headers"), Some("date"));
    assert!(told.header("date").is_some());
    assert_eq!(ask("http://evil.example").await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_door_on_the_network_takes_any_host() {
    let door = TestDoor::with(Guard { loopback: false, ..Guard::default() }, Limits::default()).await;
    assert_eq!(status(&door, "GET", "/a", "any.example", "Origin: http://evil.example\r\n").await, 404);
    assert_eq!(status(&door, "POST", "/_/leave", "any.example", "").await, 403);
    assert!(!door.memory.left.load(Relaxed));
}

#[tokio::test]
async fn with_a_client_secret_only_the_probes_are_open() {
    let door = TestDoor::with(secrets(), Limits::default()).await;
    for path in ["/_/livez", "/_/readyz"] {
        assert_eq!(status(&door, "GET", path, "localhost", "").await, 200, "{path}");
    }
    let under =
        ["metrics", "members", "openapi.json", "nothing", "events", "log"].map(|name| format!("/_/{name}"));
    for path in ["/a", "/", "/_"].into_iter().chain(under.iter().map(String::as_str)) {
        assert_eq!(status(&door, "GET", path, "localhost", "").await, 401, "{path}");
        assert_eq!(
            status(&door, "GET", path, "localhost", "Authorization: Bearer wrong\r\n").await,
            401,
            "{path}"
        );
    }
    let asked = door.get("/a").await;
    assert_eq!(asked.header("www-authenticate"), Some("Bearer"));
    assert_eq!(status(&door, "PUT", "/a", "localhost", "").await, 401);
    assert_eq!(status(&door, "GET", "/a", "localhost", "Authorization: Bearer client\r\n").await, 404);
    assert_eq!(status(&door, "GET", "/_/members", "localhost", "Authorization: Bearer admin\r\n").await, 200);
}

#[tokio::test]
async fn leaving_needs_the_admin_token_where_there_is_one() {
    let door = TestDoor::with(secrets(), Limits::default()).await;
    assert_eq!(status(&door, "POST", "/_/leave", "localhost", "Authorization: Bearer client\r\n").await, 401);
    assert!(!door.memory.left.load(Relaxed));
    assert_eq!(status(&door, "POST", "/_/leave", "localhost", "Authorization: Bearer admin\r\n").await, 202);
    assert!(door.memory.left.load(Relaxed));
}

#[tokio::test]
async fn leaving_a_loopback_door_needs_nothing() {
    let door = TestDoor::open().await;
    assert_eq!(status(&door, "GET", "/_/leave", "localhost", "").await, 405);
    assert!(!door.memory.left.load(Relaxed));
    assert_eq!(status(&door, "POST", "/_/leave", "localhost", "").await, 202);
    assert!(door.memory.left.load(Relaxed));
}
