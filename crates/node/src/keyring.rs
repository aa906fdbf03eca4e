//! The cluster's secrets as this node knows them, and how a change of them reaches every node.
//!
//! A change is made at one node and sent to all live members; each says what it knows afterwards. Who was not there
//! hears of it by asking a member, as every node does when it has found others, and twice a minute.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use boato_api::{Declined, KeyChange, KeyReport};
use boato_gossip::{Member, NodeId, State};
use boato_transport::{BindError, Channel, KeyId, Keyring, KeyringError, Responder, Secret, Transport};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::doors::Secrets;
use crate::files;
use crate::membership::Membership;

/// Carries keyrings, as requests and answers.
pub(crate) const CHANNEL: Channel = Channel(6);

/// The file in the data directory that keeps the keyring.
const FILE: &str = "keyring";
/// Largest such file, in bytes.
const FILE_MAX: u64 = 256 << 10;
/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Members asked at a time.
const CONCURRENCY: usize = 32;
/// How often some member is asked, and how often until the first has answered.
const PERIOD: Duration = Duration::from_secs(30);
const PERIOD_FIRST: Duration = Duration::from_secs(1);

/// The keyring of a node that has a secret. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Inner>);

struct Inner {
    ring: Mutex<Keyring>,
    /// Held while a change is written and comes to hold, which takes a while; the ring itself is locked only for moments.
    changing: Mutex<()>,
    transport: Transport,
    file: Option<PathBuf>,
    cluster: String,
    secrets: Secrets,
    me: NodeId,
}

/// For the transport's handler, which must not keep the transport.
#[derive(Clone)]
pub(crate) struct WeakKeys(Weak<Inner>);

impl WeakKeys {
    pub(crate) fn upgrade(&self) -> Option<Keys> {
        self.0.upgrade().map(Keys)
    }
}

impl Keys {
    /// The keyring kept in `dir`, with `secret`, which the node was told at its start.
    pub(crate) fn open(
        secret: &Secret,
        dir: Option<&Path>,
        transport: Transport,
        cluster: &str,
        secrets: Secrets,
        me: NodeId,
    ) -> Result<Self, BindError> {
        let file = dir.map(|dir| dir.join(FILE));
        let ring = opened(secret, file.as_deref());
        let inner = Inner {
            ring: Mutex::new(ring.clone()),
            changing: Mutex::default(),
            transport,
            file,
            cluster: cluster.to_owned(),
            secrets,
            me,
        };
        let keys = Self(Arc::new(inner));
        keys.hold(&ring)?;
        Ok(keys)
    }

    pub(crate) fn downgrade(&self) -> WeakKeys {
        WeakKeys(Arc::downgrade(&self.0))
    }

    /// Has the keyring hold for peers and for operators.
    fn hold(&self, ring: &Keyring) -> Result<(), BindError> {
        self.0.transport.set_keys(ring)?;
        self.0.secrets.set_admins(ring.keys().map(|(_, secret)| secret.admin_token(&self.0.cluster)));
        Ok(())
    }

    /// Answers a peer that tells what it knows. Nothing but a keyring is answered.
    pub(crate) fn answer(self, text: &[u8], reply: Responder) {
        let Some(theirs) = parsed(text) else { return };
        let present = self.present();
        if !present.clone().merge(&theirs) {
            return reply.send(bytes(&present));
        }
        tokio::task::spawn_blocking(move || {
            self.take(&theirs);
            reply.send(bytes(&self.present()));
        });
    }

    fn present(&self) -> Keyring {
        self.0.ring.lock().clone()
    }

    /// Takes over what another node knows. Blocks: it writes a file.
    fn take(&self, theirs: &Keyring) {
        let _one_after_the_other = self.0.changing.lock();
        let ring = {
            let mut ring = self.0.ring.lock();
            if !ring.merge(theirs) {
                return;
            }
            ring.clone()
        };
        tracing::info!(keys = ?ring, "the cluster's secrets have changed");
        if let Some(file) = &self.0.file
            && let Err(error) = files::replace_private(file, ring.to_text().as_bytes())
        {
            tracing::error!(%error, "cannot keep the keyring in {}, so that a restart knows less: make room there, and let this user write", file.display());
        }
        if let Err(error) = self.hold(&ring) {
            tracing::error!(%error, "cannot use the cluster's new secrets, going on with those before: restart this node with the present one");
        }
    }

    /// Tells a member what is known here, and hears what it knows then.
    async fn exchange(&self, member: &Member) -> Result<Keyring, String> {
        let asked = self.0.transport.request(member.addr, CHANNEL, bytes(&self.present()));
        let answer = timeout(PATIENCE, asked).await;
        let answer =
            answer.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())?;
        let theirs = parsed(&answer).ok_or_else(|| KeyringError::Malformed.to_string())?;
        // What happened there meanwhile counts here, too.
        if self.present().merge(&theirs) {
            let (keys, theirs) = (self.clone(), theirs.clone());
            let took = tokio::task::spawn_blocking(move || keys.take(&theirs)).await;
            took.map_err(|error| error.to_string())?;
        }
        Ok(theirs)
    }

    /// Sends the keyring to every live member; what each knows then.
    pub(crate) async fn reports(&self, members: &[Member]) -> Vec<KeyReport> {
        let asked: Vec<Member> =
            members.iter().filter(|member| member.state != State::Left).cloned().collect();
        let reports = stream::iter(asked).map(|member| async move {
            let known = match () {
                () if member.id == self.0.me => Ok(self.present()),
                () if member.is_live() => self.exchange(&member).await,
                () => Err("it is down, and hears of changes when it comes back".to_owned()),
            };
            let (keys, used, error) = match known {
                Ok(ring) => {
                    (ring.keys().map(|(id, _)| id.to_string()).collect(), Some(ring.used().to_string()), None)
                }
                Err(error) => (Vec::new(), None, Some(error)),
            };
            let (name, id) = (member.name.to_string(), member.id.to_string());
            KeyReport { name, id, live: member.is_live(), keys, used, error }
        });
        let mut reports: Vec<KeyReport> = reports.buffer_unordered(CONCURRENCY).collect().await;
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    /// Makes a change here and tells everybody.
    pub(crate) async fn change(
        &self,
        change: KeyChange,
        force: bool,
        members: &[Member],
    ) -> Result<Vec<KeyReport>, Declined> {
        if let (KeyChange::Remove(id), false) = (&change, force) {
            self.check_removal(id, members).await?;
        }
        let mut ring = self.present();
        let done = match change {
            KeyChange::Install(text) => {
                let secret = Secret::parse(&text).map_err(|error| Declined::Invalid(error.to_string()))?;
                ring.install(secret).map(|_| ())
            }
            KeyChange::Use(id) => ring.use_key(key_id(&id)?),
            KeyChange::Remove(id) => ring.remove(key_id(&id)?),
        };
        done.map_err(|error| Declined::Conflict(error.to_string()))?;
        let keys = self.clone();
        let took = tokio::task::spawn_blocking(move || keys.take(&ring)).await;
        took.map_err(|error| Declined::Busy(error.to_string()))?;
        Ok(self.reports(members).await)
    }

    /// # Errors
    /// Somebody may know no other secret, and could not come back without it.
    async fn check_removal(&self, id: &str, members: &[Member]) -> Result<(), Declined> {
        let reports = self.reports(members).await;
        let behind = |report: &&KeyReport| report.used.as_deref().is_none_or(|used| used == id);
        let behind = reports.iter().filter(behind).map(|report| report.name.clone());
        let behind: Vec<String> = behind.chain(gone(members).map(|name| format!("{name} (left)"))).collect();
        if behind.is_empty() {
            return Ok(());
        }
        Err(Declined::Conflict(format!(
            "of {} it is not certain that they know another secret: they could not come back once this one is removed. \
             Use another one, wait for them, start those that have left, prune those that are gone for good (force-leave --prune), \
             or say --force",
            behind.join(", ")
        )))
    }

    /// Asks some member for news until `stop`: soon after the start, then now and then.
    pub(crate) async fn keep_up(self, membership: Membership, stop: CancellationToken) {
        let mut period = PERIOD_FIRST;
        loop {
            tokio::select! {
                () = sleep(period) => {}
                () = stop.cancelled() => return,
            }
            let members = membership.members();
            let others: Vec<&Member> =
                members.iter().filter(|member| member.is_live() && member.id != self.0.me).collect();
            let Some(other) = fastrand::choice(others) else { continue };
            match self.exchange(other).await {
                Ok(_) => period = PERIOD,
                Err(error) => tracing::debug!(peer = %other.addr, error, "a member did not tell its keyring"),
            }
        }
    }
}

/// Who has left and may start again with what it knew then: who a live member of its name is not.
fn gone(members: &[Member]) -> impl Iterator<Item = &str> {
    let is_back = |gone: &Member| members.iter().any(|member| member.is_live() && member.name == gone.name);
    let gone = members.iter().filter(move |member| member.state == State::Left && !is_back(member));
    gone.map(|member| &*member.name)
}

fn parsed(text: &[u8]) -> Option<Keyring> {
    Keyring::parse(std::str::from_utf8(text).ok()?).ok()
}

fn bytes(ring: &Keyring) -> Bytes {
    Bytes::copy_from_slice(ring.to_text().as_bytes())
}

fn key_id(text: &str) -> Result<KeyId, Declined> {
    KeyId::parse(text).ok_or_else(|| {
        Declined::Invalid(format!("{text:?} is no key id: 16 hexadecimal digits, as boato keys shows"))
    })
}

/// The keyring to begin with.
fn opened(secret: &Secret, file: Option<&Path>) -> Keyring {
    let own = Keyring::new(secret.clone());
    let Some((path, text)) = file.and_then(|path| Some((path, read(path)?))) else { return own };
    let Ok(ring) = Keyring::parse(&text) else {
        tracing::error!(
            "{} is damaged and not used, beginning with the secret given: see with boato keys list whether it is the cluster's",
            path.display()
        );
        return own;
    };
    if ring.has_removed(secret.id()) {
        tracing::warn!(
            key = %secret.id(),
            "the secret given at the start was removed from the cluster's keyring: using what {} keeps; give the present \
             one to nodes that start anew",
            path.display()
        );
    } else if ring.keys().all(|(id, _)| id != secret.id()) {
        // Another cluster, or one whose secret was changed on all nodes at once: the old one is to open nothing.
        tracing::warn!(
            key = %secret.id(),
            "{} keeps other secrets than the one given at the start, which counts, beginning with that one \
             alone: if it is not the cluster's, start with the one that is",
            path.display()
        );
        return own;
    }
    ring
}

fn read(path: &Path) -> Option<Zeroizing<String>> {
    let file = std::fs::File::open(path).ok()?;
    match files::read(&file, FILE_MAX) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(error) => {
            tracing::error!(%error, "cannot read {}, beginning with the secret given: let this user read it", path.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::parse(&Secret::generate()).unwrap()
    }

    #[test]
    fn a_keyring_that_is_kept_outlives_the_secret_it_began_with() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let (old, new) = (secret(), secret());
        assert_eq!(opened(&old, Some(&file)), Keyring::new(old.clone()));
        let mut ring = Keyring::new(old.clone());
        let id = ring.install(new.clone()).unwrap();
        ring.use_key(id).unwrap();
        ring.remove(old.id()).unwrap();
        files::replace_private(&file, ring.to_text().as_bytes()).unwrap();
        assert_eq!(opened(&old, Some(&file)), ring, "what was removed is not accepted again");
        let third = secret();
        assert_eq!(
            opened(&third, Some(&file)),
            Keyring::new(third),
            "a secret of another cluster opens nothing here"
        );
        assert_eq!(opened(&new, Some(&file)), ring);
        std::fs::write(&file, "damaged").unwrap();
        assert_eq!(opened(&old, Some(&file)), Keyring::new(old));
    }
}
