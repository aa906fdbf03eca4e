//! Which members give a sign of life when all are asked.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use boato_api::{Declined, Reachability};
use boato_gossip::quic::{QueryEvent, Replies};
use boato_gossip::{Filter, NAME_BYTES_MAX, NodeId, QUERY_BYTES_MAX, Query};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, BoxStream, SelectAll, StreamExt as _};
use tokio::time::sleep;

use super::query::name_of;
use super::{Membership, declined};

/// So many names fit a query, with the two bytes that each takes beside itself. More are not named: all are asked.
const NAMES_MAX: usize = QUERY_BYTES_MAX / (NAME_BYTES_MAX + 2);

type Events = BoxStream<'static, QueryEvent>;
type Asked = BoxFuture<'static, Result<Events, Declined>>;

impl Membership {
    /// Which live members answer when all are asked, and those of whom nothing has come once more, after half of the time
    /// that a query takes: a single datagram may be lost. Answers come straight.
    pub(super) async fn reach(self) -> Result<Reachability, Declined> {
        let members = self.members();
        let live: BTreeSet<NodeId> =
            members.iter().filter(|member| member.is_live()).map(|member| member.id).collect();
        let whole = self.handle.config().query_timeout(live.len());
        let handle = self.handle.clone();
        let missing = missing(live.clone(), whole, move |whom, timeout| {
            let few = if whom.len() > NAMES_MAX { BTreeSet::new() } else { whom };
            let names: Vec<String> = few.iter().map(|id| name_of(&members, *id)).collect();
            let filter = Filter::new(&names, &[]);
            let query = Query { acks: true, filter, timeout: Some(timeout), ..Query::default() };
            let handle = handle.clone();
            async move { Ok(events(handle.query(query).await.map_err(|error| declined(&error))?)) }.boxed()
        });
        let missing = missing.await?;
        let members = self.members();
        let named = |ids: &mut dyn Iterator<Item = &NodeId>| {
            let mut names: Vec<String> = ids.map(|id| name_of(&members, *id)).collect();
            names.sort();
            names
        };
        let reached = named(&mut live.difference(&missing));
        Ok(Reachability { reached, missing: named(&mut missing.iter()) })
    }
}

fn events(replies: Replies) -> Events {
    stream::unfold(replies, |mut replies| async { Some((replies.recv().await?, replies)) }).boxed()
}

/// Who of `live` has given no sign of life within `whole`. `ask` asks these members (none: all), who may answer for so long.
async fn missing(
    live: BTreeSet<NodeId>,
    whole: Duration,
    mut ask: impl FnMut(BTreeSet<NodeId>, Duration) -> Asked,
) -> Result<BTreeSet<NodeId>, Declined> {
    let mut missing = live;
    let mut answers = SelectAll::new();
    answers.push(ask(BTreeSet::new(), whole).await?);
    let mut half = pin!(sleep(whole / 2));
    let (mut open, mut asked_again) = (1, false);
    while !missing.is_empty() && (open > 0 || !asked_again) {
        tokio::select! {
            event = answers.next(), if open > 0 => match event {
                Some(QueryEvent::Reply { from, .. }) => _ = missing.remove(&from.id),
                Some(QueryEvent::Done { .. }) => open -= 1,
                None => return Err(Declined::Busy("this node ended before all could answer".into())),
            },
            () = &mut half, if !asked_again => {
                asked_again = true;
                open += 1;
                answers.push(ask(missing.clone(), whole / 2).await?);
            }
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use boato_gossip::{Pid, Reply};
    use futures_util::future::ready;

    const WHOLE: Duration = Duration::from_millis(200);

    fn ids(all: impl IntoIterator<Item = u128>) -> BTreeSet<NodeId> {
        all.into_iter().map(NodeId).collect()
    }

    /// These answer; the others do not, for so long.
    fn answered(by: impl IntoIterator<Item = u128>, timeout: Duration) -> Asked {
        let replies: Vec<QueryEvent> = by
            .into_iter()
            .map(|n| QueryEvent::Reply { from: Pid { id: NodeId(n), boot: 1 }, reply: Reply::Ack })
            .collect();
        let done = stream::once(async move {
            sleep(timeout).await;
            QueryEvent::Done { missing: Vec::new() }
        });
        ready(Ok(stream::iter(replies).chain(done).boxed())).boxed()
    }

    #[tokio::test]
    async fn whose_answer_was_lost_is_asked_once_more() {
        let mut asked = Vec::new();
        let missing = missing(ids(1..=4), WHOLE, |whom, timeout| {
            asked.push(whom);
            answered([vec![1, 2], vec![3]][asked.len() - 1].clone(), timeout)
        });
        assert_eq!(missing.await, Ok(ids([4])));
        assert_eq!(asked, [ids([]), ids([3, 4])], "all, and once more those of whom nothing came");
    }

    #[tokio::test]
    async fn it_is_over_when_all_have_answered_or_the_node_ends() {
        let hour = Duration::from_hours(1);
        let all = missing(ids(1..=2), hour, |_, timeout| answered([2, 1], timeout));
        assert_eq!(all.await, Ok(ids([])));
        let ended = missing(ids(1..=2), hour, |_, _| {
            answered([1], hour).map(|events| events.map(|events| events.take(1).boxed())).boxed()
        });
        assert!(matches!(ended.await, Err(Declined::Busy(_))));
        // Who joins or goes meanwhile: a query may be over before all that were live are heard.
        let over = missing(ids(1..=2), WHOLE, |_, _| answered([1], Duration::ZERO));
        assert_eq!(over.await, Ok(ids([2])));
    }
}
