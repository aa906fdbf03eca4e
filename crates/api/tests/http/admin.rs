use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use boato_api::http::Limits;
use boato_api::{Event, Logged};

use crate::client::{PATIENCE, TestDoor};

#[tokio::test]
async fn the_root_leads_to_the_page() {
    let door = TestDoor::open().await;
    for path in ["/", "/_"] {
        let answer = door.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (307, Some("/_/")));
        assert_eq!(door.put(path, "", "x").await.problem(405), "this path takes GET, HEAD, OPTIONS");
    }
    let page = door.get("/_/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
}

#[tokio::test]
async fn readiness_follows_the_node() {
    let door = TestDoor::open().await;
    assert_eq!(door.get("/_/livez").await.status, 200);
    assert_eq!(door.get("/_/readyz").await.status, 200);
    door.memory.ready.store(false, Relaxed);
    assert_eq!(door.get("/_/livez").await.status, 200);
    let unready = door.get("/_/readyz").await;
    assert_eq!((unready.status, unready.header("content-type")), (503, Some("application/json")));
    assert_eq!(unready.json()["reason"], "joining");
}

#[tokio::test]
async fn the_node_describes_itself_in_json() {
    let door = TestDoor::open().await;
    let members = door.get("/_/members").await;
    assert_eq!(members.header("content-type"), Some("application/json"));
    assert_eq!(
        members.text(),
        r#"[{"id":"b0a","name":"this one","state":"alive","quic":"127.0.0.1:7400","http":"127.0.0.1:7480","resp":null,"resp_cluster":null,"weight":1,"version":"0","tags":{},"load":{"slots":16384,"bytes":0}}]"#
    );
    assert_eq!(
        door.get("/_/slots").await.text(),
        r#"{"lost":0,"silent":[],"runs":[{"from":0,"to":16383,"holder":"this one","state":"held"}]}"#
    );
    assert_eq!(door.get("/_/status").await.json()["cluster"], "test");
    let owner = door.get("/_/owner/a%2Fb//%2541").await.json();
    assert_eq!(owner, serde_json::json!({ "key": "a/b//%41", "slot": 8, "owner": "this one" }));
    door.get("/_/owner/").await.problem(400);
    door.get("/_/owner/%4").await.problem(400);
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let door = TestDoor::open().await;
    for path in ["/b/1", "/b/%202", "/%5F/x", "/b/%FF", "/a"] {
        door.put(path, "", "x").await;
    }
    let first = door.get("/_/keys?prefix=b%2F&limit=2").await.json();
    let expected = serde_json::json!({
        "keys": [{ "key": "b/ 2", "path": "/b/%202" }, { "key": "b/1", "path": "/b/1" }],
        "cursor": "2",
    });
    assert_eq!(first, expected);
    let second = door.get("/_/keys?prefix=b/&limit=2&cursor=2").await.json();
    assert_eq!(
        second,
        serde_json::json!({ "keys": [{ "key": "b/\u{fffd}", "path": "/b/%FF" }], "cursor": null })
    );
    assert_eq!(door.get("/_/keys?prefix=_").await.json()["keys"][0]["path"], "/%5F/x");
    for query in ["limit=0", "limit=1001", "limit=x", "x=1", "prefix=%4", "limit=1&limit=1"] {
        door.get(&format!("/_/keys?{query}")).await.problem(400);
    }
}

#[tokio::test]
async fn unknown_paths_methods_and_parameters_are_refused() {
    let door = TestDoor::open().await;
    door.get("/_/nothing").await.problem(404);
    door.get("/_/members/").await.problem(404);
    door.get("/_/members?x").await.problem(400);
    let refused = door.put("/_/members", "", "x").await;
    refused.problem(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(door.request("OPTIONS", "/_/leave", "", "").await.header("allow"), Some("POST, OPTIONS"));
}

#[tokio::test]
async fn metrics_count_what_was_asked() {
    let door = TestDoor::open().await;
    door.get("/missing").await;
    let text = door.get("/_/metrics").await;
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(
        text.text().contains("boato_http_requests_total{about=\"keys\",method=\"get\",status=\"4xx\"} 1\n"),
        "{}",
        text.text()
    );
    let open =
        door.request("GET", "/_/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n", "").await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(open.text().ends_with("# EOF\n"));
    let protobuf =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let delimited = door.request("GET", "/_/metrics", &format!("Accept: {protobuf}\r\n"), "").await;
    assert_eq!(delimited.header("content-type"), Some(protobuf));
    // A length, then field 1, the name of the first family.
    let name = b"boato_http_requests_total";
    assert_eq!(delimited.body[1..4], [1, 0x0A, 25]);
    assert_eq!(delimited.body[4..29], *name);
}

#[tokio::test]
async fn the_description_is_served() {
    let door = TestDoor::open().await;
    let description = door.get("/_/openapi.json").await;
    assert_eq!(description.header("content-type"), Some("application/json"));
    assert!(description.json()["paths"]["/_/leave"]["post"].is_object());
}

#[tokio::test]
async fn events_are_streamed_until_the_door_closes() {
    let door = TestDoor::limited(Limits {
        subscribers: 1,
        idle_timeout: Duration::from_millis(100),
        ..Limits::default()
    })
    .await;
    let mut client = door.connect().await;
    client.write("GET /_/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let opening = client.read_until("retry: 2000\n\n").await;
    assert!(opening.contains("content-type: text/event-stream"), "{opening}");
    let refused = door.get("/_/events").await;
    refused.problem(503);
    assert!(refused.header("retry-after").is_some());
    // A connection that is idle for as long is ended.
    let mut idle = door.connect().await;
    idle.write("GET /_/livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    idle.closed().await;
    door.memory
        .events
        .send(Event { id: 4, kind: "joined".into(), data: serde_json::json!({ "name": "n" }) })
        .unwrap();
    client.read_until("id: 4\nevent: joined\ndata: {\"name\":\"n\"}\n\n").await;
    door.shutdown.cancel();
    client.closed().await;
    assert!(tokio::time::timeout(PATIENCE, door.served).await.is_ok());
}

#[tokio::test]
async fn the_log_is_streamed_as_it_is_written_until_the_door_closes() {
    let door = TestDoor::limited(Limits { subscribers: 1, ..Limits::default() }).await;
    door.get("/_/log?level=dbug").await.problem(400);
    door.get("/_/log?level=none").await.problem(404);
    door.get("/_/log?lvl=debug").await.problem(400);
    let long = format!("/_/log?level=info{}", ",a=info".repeat(37));
    assert!(door.get(&long).await.problem(400).contains("256 bytes"));
    let mut client = door.connect().await;
    client.write("GET /_/log?level=debug%2Ca%3Dinfo HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    client.read_until("retry: 2000\n\n").await;
    for path in ["/_/log?level=debug,a=info", "/_/events"] {
        door.get(path).await.problem(503);
    }
    door.memory.log.send(Logged::Record(r#"{"message":"it is up"}"#.into())).unwrap();
    client.read_until("event: log\ndata: {\"message\":\"it is up\"}\n\n").await;
    door.memory.log.send(Logged::Missed(7)).unwrap();
    client.read_until("event: missed\ndata: {\"records\":7}\n\n").await;
    door.shutdown.cancel();
    client.closed().await;
}

#[tokio::test]
async fn what_is_asked_for_is_shown_beside_events() {
    let door = TestDoor::open().await;
    let mut client = door.connect().await;
    client.write("GET /_/events?with=history,cluster,figures HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    for shown in [
        "event: history\ndata: [{\"id\":3,\"kind\":\"joined\",\"data\":{\"name\":\"before\"}}]\n\n",
        "event: status\ndata: {\"id\":\"b0a\"",
        "event: members\ndata: [{\"id\":\"b0a\"",
        "event: slots\ndata: {\"lost\":0,\"silent\":[],\"runs\":[{\"from\":0,\"to\":16383",
        "event: round_trips\ndata: []",
        "event: figures\ndata: {\"b0a\":{\"seconds\":",
    ] {
        client.read_until(shown).await;
    }
    door.put("/a", "", "x").await;
    let text = client.read_until("\"operations_per_s\":0.0").await;
    assert_eq!(text.matches("event: slots").count(), 1, "what has not changed is not told again: {text}");
    door.memory.events.send(Event { id: 4, kind: "joined".into(), data: serde_json::json!({}) }).unwrap();
    client.read_until("event: joined").await;
    door.get("/_/events?with=slots").await.problem(400);
    door.get("/_/events?show=cluster").await.problem(400);
}

#[tokio::test]
async fn nothing_is_gathered_while_nobody_looks() {
    let door = TestDoor::open().await;
    door.get("/_/livez").await;
    let holders = || Arc::strong_count(&door.memory);
    let before = holders();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = door.connect().await;
        client.write("GET /_/events?with=cluster HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        client.read_until("event: slots").await;
        clients.push(client);
    }
    assert_eq!(holders(), before + 1, "one gathers for all");
    drop(clients);
    let ended = async {
        // That a client is gone is noticed when it is told something.
        while holders() > before {
            let event = Event { id: 4, kind: "joined".into(), data: serde_json::json!({}) };
            let _nobody_may_listen = door.memory.events.send(event);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("what was gathered for nobody must end");
}
