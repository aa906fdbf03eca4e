//! What can be changed of a node while it runs: by `SIGHUP`, by `boato reload`, `weight` and `drain`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use boato_api::http::AccessLog;
use boato_api::{Change, Declined, Membership as _, TagChange};
use boato_cluster::quic::Cluster;
use boato_cluster::{Limits, Liveness, Pid};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;

use crate::config::{Config, ConfigError, Period, Weight};
use crate::doors::Secrets;
use crate::logging;
use crate::membership::Membership;

/// Tags as an operator gives them.
type Tags = BTreeMap<String, String>;

/// How a node's configuration is read again.
pub type Reread = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The program that carries the node has not said how.
    #[error(
        "this node was not told how to read its configuration again: the program it is in has to say (Builder::reread)"
    )]
    NoSource,
    /// What was read cannot be used.
    #[error("the configuration was read again and cannot be used, so nothing was changed: {}", one_line(.0))]
    Config(ConfigError),
    /// Something was changed that a running node cannot change.
    #[error(
        "nothing was changed, as these settings need a restart: {}; set them back, or restart the node",
        .0.join(", ")
    )]
    Fixed(Vec<&'static str>),
    /// It hands everything off for good.
    #[error("this node is leaving")]
    Leaving,
    /// The tags are not such as a member can announce.
    #[error("nothing was changed, as the tags cannot be announced: {0}")]
    Tags(Declined),
    /// It has no heirs.
    #[error(
        "nobody could take the keys over, so nothing was changed: no other member is alive, stays, and has a weight above 0 \
         (boato members tells)"
    )]
    Alone,
}

fn one_line(error: &ConfigError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The changeable part of a node.
pub(crate) struct Live {
    pub(crate) me: Pid,
    pub(crate) reread: Option<Reread>,
    pub(crate) cluster: Cluster,
    pub(crate) membership: Membership,
    pub(crate) secrets: Secrets,
    pub(crate) access_log: AccessLog,
    pub(crate) draining: AtomicBool,
    pub(crate) leaving: AtomicBool,
    /// Held by a reload: the next compares with what this one has left.
    pub(crate) reloading: tokio::sync::Mutex<()>,
    /// What the node was told last.
    pub(crate) told: Mutex<Config>,
}

impl Live {
    /// See [`boato_api::Backend::change`].
    pub(crate) async fn change(&self, change: Change) -> Result<Vec<String>, ReloadError> {
        if self.leaving.load(Ordering::Relaxed) {
            return Err(ReloadError::Leaving);
        }
        match change {
            Change::Reload => {
                let reread = self.reread.clone().ok_or(ReloadError::NoSource)?;
                let _alone = self.reloading.lock().await;
                // Reads files, and may look names up.
                let new = spawn_blocking(move || reread()).await;
                let new = new.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                self.reload(new.map_err(ReloadError::Config)?).await
            }
            Change::Weight(weight) => {
                let weight = weight.map_or(Weight::Auto, Weight::Fixed);
                let weight = weight.resolve(self.told.lock().max_memory);
                Ok(self.set_weight(weight).await.into_iter().collect())
            }
            Change::Drain if self.membership.takers(true).is_empty() => Err(ReloadError::Alone),
            Change::Drain => Ok(self.drain().await),
        }
    }

    /// Has `new` hold, if nothing of it needs a restart; tells what is different.
    async fn reload(&self, new: Config) -> Result<Vec<String>, ReloadError> {
        let before = self.told.lock().clone();
        let fixed = fixed(&before, &new, self.secrets.accept(&new));
        if !fixed.is_empty() {
            return Err(ReloadError::Fixed(fixed));
        }
        let (weight, on_demand) = (new.weight, new.exit_on_idle.is_some());
        // The only step that can be declined comes first.
        let mut changes = self.set_tags(&before.tags, &new.tags).await?;
        changes.extend(self.take_over(new));
        if before.exit_on_idle.is_some() != on_demand {
            self.membership.update(|attributes| attributes.on_demand = on_demand).await;
        }
        if before.weight != weight {
            changes.extend(self.set_weight(weight).await);
        }
        Ok(changes)
    }

    /// Changes the tags of which the configuration says something else than before: others may have been set by `boato tags`.
    async fn set_tags(&self, before: &Tags, new: &Tags) -> Result<Vec<String>, ReloadError> {
        let set = new.iter().filter(|(key, value)| before.get(*key) != Some(value));
        let change = TagChange {
            set: set.map(|(key, value)| (key.clone(), value.clone())).collect(),
            remove: before.keys().filter(|key| !new.contains_key(*key)).cloned().collect(),
        };
        let set = change.set.iter().map(|(key, value)| format!("tag: {key}={value}"));
        let removed = change.remove.iter().map(|key| format!("tag: no {key}"));
        let changes: Vec<_> = set.chain(removed).collect();
        if !changes.is_empty() {
            self.membership.change_tags(change).await.map_err(ReloadError::Tags)?;
        }
        Ok(changes)
    }

    /// Takes over all but the weight and the tags; gives what is different.
    fn take_over(&self, new: Config) -> Vec<String> {
        let mut told = self.told.lock();
        let mut changes = Changes::default();
        changes.see("max-memory", &shown(told.max_memory), &shown(new.max_memory));
        changes.see("handoff-rate", &shown(told.handoff_rate), &shown(new.handoff_rate));
        changes.see("min-members", &told.min_members.to_string(), &new.min_members.to_string());
        if !changes.0.is_empty() {
            self.cluster.set_limits(limits(&new));
        }
        let period = |time| shown(Some(Period(time)));
        changes.see("leave-timeout", &period(told.leave_timeout), &period(new.leave_timeout));
        let period = |time: Option<_>| shown(time.map(Period));
        changes.see("exit-on-idle", &period(told.exit_on_idle), &period(new.exit_on_idle));
        changes.see("access-log", &shown(told.access_log), &shown(new.access_log));
        changes.see("slow-log", &period(told.slow_log), &period(new.slow_log));
        self.access_log.set(new.access_log, new.slow_log);
        if told.log != new.log && logging::set_filter(&new.log) {
            changes.see("log", &told.log, &new.log);
        }
        if told.client_secret != new.client_secret {
            self.secrets.replace(&new);
            changes.0.push("client-secret-file: other secrets".to_owned());
        }
        *told = new;
        changes.0
    }

    pub(crate) async fn set_weight(&self, weight: u16) -> Option<String> {
        let before = self.membership.weight().await;
        let drained = self.draining.swap(false, Ordering::Relaxed);
        self.ask_for(weight).await;
        let ended = if drained { ", and it is not drained any more" } else { "" };
        (before != weight || drained).then(|| format!("weight: {before} -> {weight}{ended}"))
    }

    pub(crate) async fn drain(&self) -> Vec<String> {
        if self.draining.swap(true, Ordering::Relaxed) {
            return Vec::new();
        }
        self.ask_for(0).await;
        vec!["draining: all keys go to other nodes".to_owned()]
    }

    async fn ask_for(&self, weight: u16) {
        self.membership.update(|attributes| attributes.weight = weight).await;
        // The others hear of it by gossip.
        self.cluster.member(self.me, self.membership.addr(), Liveness::Alive, weight);
    }

    /// How long a leave may take, and the most bytes it may send per second.
    pub(crate) fn leave_limits(&self) -> (Duration, Option<u64>) {
        let told = self.told.lock();
        (told.leave_timeout, told.handoff_rate)
    }
}

/// The limits of the slots.
pub(crate) fn limits(config: &Config) -> Limits {
    Limits {
        max_memory: config.max_memory,
        handoff_rate: config.handoff_rate,
        min_members: config.min_members.into(),
    }
}

/// The settings that differ and cannot be changed while a node runs. A file whose secret is accepted already (`boato keys`) has
/// nothing to change.
fn fixed(old: &Config, new: &Config, secret_accepted: bool) -> Vec<&'static str> {
    // Every setting is named here, so that a new one cannot be forgotten.
    let Config {
        name,
        cluster,
        quic,
        http,
        resp,
        resp_cluster,
        join,
        secret,
        data_dir,
        discover,
        client_secret,
        open,
        allow_host,
        on_event,
        on_query,
        replay,
        profile,
        ready_file,
        previous_wire,
        otlp,
        advertise,
        weight: _,
        max_memory: _,
        handoff_rate: _,
        min_members: _,
        leave_timeout: _,
        exit_on_idle: _,
        tags: _,
        access_log: _,
        slow_log: _,
        log: _,
        warnings: _,
    } = old;
    let differs = [
        ("name", *name != new.name),
        ("cluster", *cluster != new.cluster),
        ("quic", *quic != new.quic),
        ("http", *http != new.http),
        ("resp", *resp != new.resp),
        ("resp-cluster", *resp_cluster != new.resp_cluster),
        ("join", *join != new.join),
        ("secret-file", *secret != new.secret && !secret_accepted),
        ("data-dir", *data_dir != new.data_dir),
        ("discover", *discover != new.discover),
        ("open", *open != new.open),
        ("allow-host", *allow_host != new.allow_host),
        ("ready-file", *ready_file != new.ready_file),
        ("otlp", *otlp != new.otlp),
        ("previous-wire", *previous_wire != new.previous_wire),
        ("advertise", *advertise != new.advertise),
        ("on-event", *on_event != new.on_event),
        ("on-query", *on_query != new.on_query),
        ("replay", *replay != new.replay),
        ("profile", *profile != new.profile),
        // With a first secret, or without the last, other rules hold for the addresses of doors.
        ("client-secret-file", client_secret.is_some() != new.client_secret.is_some()),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// Settings that were changed, for people.
#[derive(Default)]
struct Changes(Vec<String>);

impl Changes {
    fn see(&mut self, key: &str, old: &str, new: &str) {
        if old != new {
            self.0.push(format!("{key}: {old} -> {new}"));
        }
    }
}

fn shown(value: Option<impl Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn config(change: impl FnOnce(&mut Settings)) -> Config {
        let mut settings = Settings::default();
        change(&mut settings);
        Config::new(&settings).unwrap()
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = config(|_| ());
        let changeable = config(|settings| {
            settings.weight = Some(Weight::Fixed(7));
            settings.max_memory = Some(crate::config::ByteSize(1 << 30));
            settings.log = Some("debug".to_owned());
            settings.min_members = Some(3);
            settings.tag = vec!["rack=2".to_owned()];
        });
        assert_eq!(fixed(&old, &changeable, false), [""; 0]);
        let other = config(|settings| {
            settings.cluster = Some("other".to_owned());
            settings.http = Some("7481".parse().unwrap());
            settings.join = vec!["web1".parse().unwrap()];
            settings.on_query = Some("echo two".to_owned());
        });
        assert_eq!(fixed(&old, &other, false), ["cluster", "http", "join", "on-query"]);
        let mut rotated = old.clone();
        let new = boato_transport::Secret::generate();
        rotated.secret = Some(boato_transport::Secret::parse(&new).unwrap());
        assert_eq!(fixed(&old, &rotated, false), ["secret-file"]);
        assert_eq!(fixed(&old, &rotated, true), [""; 0]);
    }

    #[test]
    fn changes_are_told_as_before_and_after() {
        let mut changes = Changes::default();
        changes.see("min-members", "3", "3");
        changes.see("max-memory", &shown(Some(7)), &shown(None::<u64>));
        assert_eq!(changes.0, ["max-memory: 7 -> none"]);
    }
}
