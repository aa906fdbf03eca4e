//! The routes of a node that is one of several, over one that only notes what it is asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use boato_api::http::Guard;
use boato_api::{Declined, Membership, RoundTrip, TagChange, Token, Told};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use serde_json::json;

use crate::client::TestDoor;

/// A member without others.
#[derive(Default)]
pub(crate) struct Member {
    events: Mutex<Vec<(String, Bytes)>>,
    tags: Mutex<BTreeMap<String, String>>,
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
async fn a_round_trip_is_told_in_seconds() {
    let door = TestDoor::open().await;
    let answer = door.get("/_/rtt?from=a&to=b").await;
    assert_eq!(answer.json(), json!({ "from": "a", "to": "b", "rtt_s": 0.005 }));
    assert_eq!(door.get("/_/rtt?from=a&to=nobody").await.problem(404), "nobody is called nobody");
    door.get("/_/rtt?from=a").await.problem(400);
}

#[tokio::test]
async fn tags_are_changed_by_whoever_may() {
    let admin = Guard { admin: Some(Token::new("admin")), ..Guard::default() };
    let door = TestDoor::with(admin, boato_api::http::Limits::default()).await;
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
