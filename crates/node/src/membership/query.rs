//! Queries: asked for a client, and answered by a command.

use boato_api::{self as api, Declined};
use boato_gossip::quic::{Handle, QueryEvent};
use boato_gossip::{Event, Filter, Member, NodeId, Query, Question, RESPONSE_BYTES_MAX, Reply};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Membership, declined, payload};
use crate::handler::Handler;

impl Membership {
    /// What comes of a query, as it comes; the last event is `done`.
    pub(super) async fn ask(self, query: api::Query) -> Result<BoxStream<'static, api::Event>, Declined> {
        let api::Query { name, payload, nodes, tags, acks, relays, timeout } = query;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Declined::Invalid("a query has a name, without control characters".into()));
        }
        let filter = Filter::new(&nodes, &tags);
        let query = Query { name, payload: payload.to_vec(), filter, acks, relays, timeout };
        let replies = self.handle.query(query).await.map_err(|error| declined(&error))?;
        let events = stream::unfold((self, replies, 0), |(membership, mut replies, count)| async move {
            let event = replies.recv().await?;
            let (kind, data) = membership.shown_reply(event);
            Some((api::Event { id: count + 1, kind: kind.into(), data }, (membership, replies, count + 1)))
        });
        Ok(events.boxed())
    }

    fn shown_reply(&self, event: QueryEvent) -> (&'static str, Value) {
        let members = self.members();
        match event {
            QueryEvent::Done { missing } => {
                let ids: Vec<String> = missing.iter().map(NodeId::to_string).collect();
                let names: Vec<String> = missing.into_iter().map(|id| name_of(&members, id)).collect();
                ("done", json!({ "missing": names, "missing_ids": ids }))
            }
            QueryEvent::Reply { from, reply } => {
                let mut data = json!({ "from": name_of(&members, from.id), "id": from.id.to_string() });
                let kind = match reply {
                    Reply::Ack => "ack",
                    Reply::Declined => "declined",
                    Reply::Response(bytes) => {
                        let (key, value) = payload(&bytes, "response");
                        data[key] = value;
                        "response"
                    }
                };
                (kind, data)
            }
        }
    }
}

pub(super) fn name_of(members: &[Member], id: NodeId) -> String {
    let member = members.iter().find(|member| member.id == id);
    member.map_or_else(|| id.to_string(), |member| member.name.to_string())
}

/// Answers queries by what the handler's command writes, until `stop`; without one all are declined, so that nobody
/// waits.
pub(crate) async fn answer(handle: Handle, handler: Option<Handler>, stop: CancellationToken) {
    let mut events = handle.subscribe();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = stop.cancelled() => return,
        };
        match event {
            Ok(Event::Query(question)) => {
                let (handle, handler) = (handle.clone(), handler.clone());
                tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
                    let id = question.id;
                    let response = respond(&handle, handler, question).await;
                    if let Err(error) = handle.answer(id, response).await {
                        tracing::debug!(%error, "a query was not answered");
                    }
                }));
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => tracing::warn!(
                missed,
                "events were missed, perhaps queries, which are then not answered: they come faster than this node takes them; \
                 give it more processor, or ask less often"
            ),
            Err(RecvError::Closed) => return,
        }
    }
}

async fn respond(handle: &Handle, handler: Option<Handler>, question: Question) -> Option<Vec<u8>> {
    let handler = handler?;
    let Question { id, name, payload, timeout } = question;
    // Nobody waits longer, for room or for the answer: so no more wait here than gossip has open.
    let deadline = Instant::now() + timeout;
    let variables = [
        ("BOATO_EVENT", "query".to_owned()),
        ("BOATO_EVENT_NAME", name.replace('\0', "")),
        ("BOATO_EVENT_FROM", name_of(&handle.members(), id.asker.id)),
        ("BOATO_EVENT_TIME", id.time.to_string()),
    ];
    let variables = variables.map(|(key, value)| (key.to_owned(), value));
    let done = handler.run_before(deadline, &variables, &payload, RESPONSE_BYTES_MAX).await;
    done.inspect_err(|error| tracing::warn!(query = &*name, "the query handler {error}")).ok()
}
