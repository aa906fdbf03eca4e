//! What clients ask of a member.

use std::collections::BTreeMap;

use boato_api::{self as api, Declined, KeyChange, KeyReport, Reachability, RoundTrip, TagChange, Told};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::BoxStream;

use super::find::find;
use super::{Membership, declined};

impl api::Membership for Membership {
    fn event(&self, name: String, payload: Bytes) -> Told {
        let handle = self.handle.clone();
        async move {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(Declined::Invalid("an event has a name, without control characters".into()));
            }
            handle.event(name, payload.to_vec()).await.map_err(|error| declined(&error))
        }
        .boxed()
    }

    fn query(
        &self,
        query: api::Query,
    ) -> BoxFuture<'static, Result<BoxStream<'static, api::Event>, Declined>> {
        self.clone().ask(query).boxed()
    }

    fn join(&self, addr: String) -> Told {
        let membership = self.clone();
        async move { membership.join_and_wait(&addr).await }.boxed()
    }

    fn remove(&self, member: String, prune: bool) -> Told {
        let membership = self.clone();
        async move {
            let members = membership.members();
            let id = find(&members, &member)?.id;
            membership.handle.remove(id, prune).await.map_err(|error| declined(&error))
        }
        .boxed()
    }

    fn keys(&self) -> BoxFuture<'static, Result<Vec<KeyReport>, Declined>> {
        let membership = self.clone();
        async move { Ok(membership.keyring()?.reports(&membership.members()).await) }.boxed()
    }

    fn change_keys(
        &self,
        change: KeyChange,
        force: bool,
    ) -> BoxFuture<'static, Result<Vec<KeyReport>, Declined>> {
        let membership = self.clone();
        async move { membership.keyring()?.change(change, force, &membership.members()).await }.boxed()
    }

    fn reachability(&self) -> BoxFuture<'static, Result<Reachability, Declined>> {
        self.clone().reach().boxed()
    }

    fn round_trip(&self, from: String, to: String) -> BoxFuture<'static, Result<RoundTrip, Declined>> {
        let membership = self.clone();
        async move {
            let members = membership.members();
            let (one, other) = (find(&members, &from)?, find(&members, &to)?);
            let time = membership.handle.rtt(one.id, other.id).await;
            let rtt_s = time.map(|time| time.as_secs_f64());
            Ok(RoundTrip { from: one.name.to_string(), to: other.name.to_string(), rtt_s })
        }
        .boxed()
    }

    fn tags(&self) -> BTreeMap<String, String> {
        let members = self.members();
        let me = members.iter().find(|member| member.id == self.me);
        me.into_iter().flat_map(|me| me.tags.iter()).map(|(key, value)| (key.into(), value.into())).collect()
    }

    fn change_tags(&self, change: TagChange) -> Told {
        let membership = self.clone();
        async move {
            let mut announced = membership.announced.lock().await;
            let changed = announced.changed(change)?;
            membership.handle.set_tags(changed.tags()).await.map_err(|error| declined(&error))?;
            *announced = changed;
            Ok(())
        }
        .boxed()
    }
}
