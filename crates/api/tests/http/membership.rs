//! The routes of a node that is one of several, over one that only notes what it is asked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use boato_api::http::{Guard, Limits};
use boato_api::{
    Declined, Event, KeyChange, KeyReport, Membership, Query, Reachability, RoundTrip, TagChange, Token,
    Tokens, Told,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::json;

use crate::client::TestDoor;

/// A member without others.
#[derive(Default)]
pub(crate) struct Member {
    events: Mutex<Vec<(String, Bytes)>>,
    tags: Mutex<BTreeMap<String, String>>,
    query: Mutex<Query>,
}

impl Membership for Member {
    fn event(&self, name: String, payload: Bytes) -> Told {
        let told = if payload.len() > 10 {
            Err(Declined::Invalid("too large".into()))
        } else {
            self.events.lock().unwrap().push((name, payload));
            Ok(())
        };
        ready(told).boxed()
    }

    fn query(&self, query: Query) -> BoxFuture<'static, Result<BoxStream<'static, Event>, Declined>> {
        let event = |id, kind: &'static str| Event { id, kind: kind.into(), data: json!({}) };
        *self.query.lock().unwrap() = query;
        let events = stream::iter([event(1, "response"), event(2, "done")]);
        let is_open = self.query.lock().unwrap().name == "open";
        let events = if is_open { events.chain(stream::pending()).boxed() } else { events.boxed() };
        ready(Ok(events)).boxed()
    }

    fn keys(&self) -> BoxFuture<'static, Result<Vec<KeyReport>, Declined>> {
        ready(Ok(vec![KeyReport { name: "a".into(), ..KeyReport::default() }])).boxed()
    }

    fn change_keys(
        &self,
        change: KeyChange,
        force: bool,
    ) -> BoxFuture<'static, Result<Vec<KeyReport>, Declined>> {
        let done = match change {
            KeyChange::Remove(id) if !force => Err(Declined::Conflict(format!("{id} is needed"))),
            KeyChange::Install(used) | KeyChange::Use(used) | KeyChange::Remove(used) => {
                Ok(vec![KeyReport { used: Some(used), ..KeyReport::default() }])
            }
        };
        ready(done).boxed()
    }

    fn reachability(&self) -> BoxFuture<'static, Result<Reachability, Declined>> {
        ready(Ok(Reachability { reached: vec!["a".into()], missing: vec![] })).boxed()
    }

    fn join(&self, addr: String) -> Told {
        ready(if addr == "here:1" { Ok(()) } else { Err(Declined::Invalid(format!("{addr} is nowhere"))) })
            .boxed()
    }

    fn remove(&self, member: String, prune: bool) -> Told {
        self.events.lock().unwrap().push((member, Bytes::from(prune.to_string())));
        ready(Ok(())).boxed()
    }

    fn round_trip(&self, from: String, to: String) -> BoxFuture<'static, Result<RoundTrip, Declined>> {
        let result = match &*to {
            "nobody" => Err(Declined::Unknown("nobody is called nobody".into())),
            _ => Ok(RoundTrip { from, to, rtt_s: Some(0.005) }),
        };
        ready(result).boxed()
    }

    fn tags(&self) -> BTreeMap<String, String> {
        self.tags.lock().unwrap().clone()
    }

    fn change_tags(&self, TagChange { set, remove }: TagChange) -> Told {
        let mut tags = self.tags.lock().unwrap();
        tags.extend(set);
        tags.retain(|key, _| !remove.contains(key));
        ready(Ok(())).boxed()
    }
}

#[tokio::test]
async fn an_event_is_its_name_and_its_body() {
    let door = TestDoor::open().await;
    assert_eq!(door.post("/_/event?name=de%20ploy", "", "v1\0").await.status, 202);
    let told = door.memory.member.events.lock().unwrap().clone();
    assert_eq!(told, [("de ploy".to_owned(), Bytes::from_static(b"v1\0"))]);
    assert!(door.post("/_/event", "", "x").await.problem(400).contains("?name="));
    assert_eq!(door.post("/_/event?name=x", "", "longer than ten").await.problem(400), "too large");
    door.get("/_/event?name=x").await.problem(405);
}

#[tokio::test]
async fn a_query_streams_what_comes_of_it_and_ends() {
    let door = TestDoor::open().await;
    let path = "/_/query?name=load&nodes=web*,db%2C1&tags=role=d%3Db&timeout=5&relays=2&acks=false";
    let mut client = door.connect().await;
    let head = "Host: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
    client.write(format!("POST {path} HTTP/1.1\r\n{head}now")).await;
    let text = String::from_utf8(client.closed().await).unwrap();
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.contains("event: response\n") && text.contains("event: done\n"), "{text}");
    let asked = Query {
        name: "load".into(),
        payload: "now".into(),
        nodes: vec!["web*".into(), "db,1".into()],
        tags: vec![("role".into(), "d=b".into())],
        acks: false,
        relays: 2,
        timeout: Some(Duration::from_secs(5)),
    };
    assert_eq!(*door.memory.member.query.lock().unwrap(), asked);
    for wrong in
        ["", "?name=x&tags=a", "?name=x&timeout=601", "?name=x&relays=many", "?name=x&acks=1", "?name=%ff"]
    {
        door.post(&format!("/_/query{wrong}"), "", "").await.problem(400);
    }
}

#[tokio::test]
async fn readers_of_events_leave_room_for_queries_and_leaves() {
    let door = TestDoor::limited(Limits { subscribers: 1, ..Limits::default() }).await;
    let mut reader = door.connect().await;
    reader.write("GET /_/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    reader.read_until("retry: 2000\n\n").await;
    door.get("/_/events").await.problem(503);
    let mut asker = door.connect().await;
    asker.write("POST /_/query?name=open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    asker.read_until("event: done\n").await;
    let refused = door.post("/_/query?name=load", "", "").await;
    refused.problem(503);
    assert!(refused.text().contains("wait for answers to queries"), "{}", refused.text());
    let mut leaver = door.connect().await;
    leaver.write("POST /_/leave?wait=true HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    leaver.read_until("event: progress\n").await;
}

#[tokio::test]
async fn secrets_are_listed_and_changed_by_operators_and_taken_on_the_nodes_own_machine() {
    let guard = |loopback| {
        let admin = Some(Tokens::new([Token::new("admin")]));
        Guard { admin, loopback, ..Guard::default() }
    };
    let admin = "Authorization: Bearer admin\r\n";
    let door = TestDoor::with(guard(true), Limits::default()).await;
    door.get("/_/keyring").await.problem(401);
    door.post("/_/keyring", "", r#"{"use":"1"}"#).await.problem(401);
    assert_eq!(door.request("GET", "/_/keyring", admin, "").await.json()[0]["name"], "a");
    let change = |body| door.post("/_/keyring", admin, body);
    assert_eq!(change(r#"{"install":"secret"}"#).await.json()[0]["used"], "secret");
    assert_eq!(change(r#"{"remove":"1"}"#).await.problem(409), "1 is needed");
    assert_eq!(door.post("/_/keyring?force=true", admin, r#"{"remove":"1"}"#).await.status, 200);
    change(r#"{"burn":"1"}"#).await.problem(400);
    let open = TestDoor::with(guard(false), Limits::default()).await;
    let path = "/_/keyring";
    assert_eq!(
        open.post(path, admin, r#"{"install":"secret"}"#).await.status,
        200,
        "the client is on loopback"
    );
    assert_eq!(open.post(path, admin, r#"{"use":"1"}"#).await.status, 200);
    for wrong in ["?force=1", "?force=TRUE", "?force"] {
        door.post(&format!("{path}{wrong}"), admin, r#"{"remove":"1"}"#).await.problem(400);
    }
}

#[tokio::test]
async fn a_dead_member_is_removed_by_operators() {
    let guard = Guard { admin: Some(Tokens::new([Token::new("admin")])), ..Guard::default() };
    let door = TestDoor::with(guard, Limits::default()).await;
    let path = "/_/force-leave?member=a%20b&prune=true";
    door.post(path, "", "").await.problem(401);
    assert_eq!(door.post(path, "Authorization: Bearer admin\r\n", "").await.status, 200);
    let wrong = "/_/force-leave?member=a%20b&prune=yes";
    door.post(wrong, "Authorization: Bearer admin\r\n", "").await.problem(400);
    let asked = door.memory.member.events.lock().unwrap().clone();
    assert_eq!(asked, [("a b".to_owned(), Bytes::from_static(b"true"))]);
}

#[tokio::test]
async fn a_node_is_joined_by_operators() {
    let guard = Guard { admin: Some(Tokens::new([Token::new("admin")])), ..Guard::default() };
    let door = TestDoor::with(guard, Limits::default()).await;
    let admin = "Authorization: Bearer admin\r\n";
    door.post("/_/join?addr=here:1", "", "").await.problem(401);
    assert_eq!(door.post("/_/join?addr=here:1", admin, "").await.json(), json!({ "joined": true }));
    assert_eq!(door.post("/_/join?addr=there:1", admin, "").await.problem(400), "there:1 is nowhere");
    door.post("/_/join", admin, "").await.problem(400);
}

#[tokio::test]
async fn reachability_is_a_list_of_names() {
    let door = TestDoor::open().await;
    assert_eq!(door.get("/_/reachability").await.json(), json!({ "reached": ["a"], "missing": [] }));
}

#[tokio::test]
async fn a_round_trip_is_told_in_seconds() {
    let door = TestDoor::open().await;
    let answer = door.get("/_/rtt?from=a&to=b").await;
    assert_eq!(answer.json(), json!({ "from": "a", "to": "b", "rtt_s": 0.005 }));
    assert_eq!(door.get("/_/rtt?from=a&to=nobody").await.problem(404), "nobody is called nobody");
    door.get("/_/rtt?from=a").await.problem(400);
}

#[tokio::test]
async fn tags_are_changed_by_whoever_may() {
    let admin = Guard { admin: Some(Tokens::new([Token::new("admin")])), ..Guard::default() };
    let door = TestDoor::with(admin, Limits::default()).await;
    let change = r#"{"set":{"a":"1","b":"2"},"remove":["b"]}"#;
    door.post("/_/tags", "", change).await.problem(401);
    let changed = door.post("/_/tags", "Authorization: Bearer admin\r\n", change).await;
    assert_eq!((changed.status, changed.json()), (200, json!({ "a": "1" })));
    assert_eq!(door.get("/_/tags").await.json(), json!({ "a": "1" }));
    for body in ["", r#"{"set":{"a":1}}"#, r#"{"unset":[]}"#] {
        let detail = door.post("/_/tags", "Authorization: Bearer admin\r\n", body).await.problem(400);
        assert!(detail.contains(r#"{"set""#), "{detail}");
    }
}
