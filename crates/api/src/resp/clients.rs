//! Who is connected: what `CLIENT LIST` shows and `CLIENT KILL` ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

/// The clients of one door.
#[derive(Debug, Default)]
pub(super) struct Clients(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    last: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

/// A client, as others may see it.
#[derive(Debug)]
pub(super) struct Client {
    /// From 1, ascending.
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    since: Instant,
    labels: Mutex<Labels>,
    killed: CancellationToken,
}

/// What a client calls itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub(super) name: String,
    pub(super) library: String,
    pub(super) library_version: String,
}

/// A client's place among the others, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) client: Arc<Client>,
    registry: Arc<Mutex<Registry>>,
}

impl Clients {
    /// A new client, whose connection ends when `killed` is cancelled.
    pub(super) fn enter(&self, peer: SocketAddr, local: SocketAddr, killed: CancellationToken) -> Place {
        let mut registry = locked(&self.0);
        registry.last += 1;
        let client = Arc::new(Client {
            id: registry.last,
            peer,
            local,
            since: Instant::now(),
            labels: Mutex::default(),
            killed,
        });
        registry.clients.insert(client.id, Arc::clone(&client));
        Place { client, registry: Arc::clone(&self.0) }
    }

    /// Everyone, in the order of arrival.
    pub(super) fn all(&self) -> Vec<Arc<Client>> {
        locked(&self.0).clients.values().cloned().collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.registry).clients.remove(&self.client.id);
    }
}

impl Client {
    /// Ends the connection as soon as it looks.
    pub(super) fn kill(&self) {
        self.killed.cancel();
    }

    pub(super) fn is_killed(&self) -> bool {
        self.killed.is_cancelled()
    }

    /// Cancelled by [`Client::kill`].
    pub(super) fn killed(&self) -> CancellationToken {
        self.killed.clone()
    }

    /// What it calls itself.
    pub(super) fn labels(&self) -> Labels {
        locked(&self.labels).clone()
    }

    /// Changes what it calls itself.
    pub(super) fn label(&self, change: impl FnOnce(&mut Labels)) {
        change(&mut locked(&self.labels));
    }

    /// A line of `CLIENT LIST`, without the line break: those of Redis' fields that mean something here.
    pub(super) fn line(&self) -> String {
        let labels = self.labels();
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "id={} addr={} laddr={} name={} age={} flags=N db=0 sub=0 psub=0 user=default lib-name={} lib-ver={}",
            self.id,
            self.peer,
            self.local,
            labels.name,
            self.since.elapsed().as_secs(),
            labels.library,
            labels.library_version
        );
        line
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_listed_until_it_goes() {
        let clients = Clients::default();
        let peer: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let first = clients.enter(peer, peer, CancellationToken::new());
        let second = clients.enter(peer, peer, CancellationToken::new());
        assert_eq!((first.client.id, second.client.id), (1, 2));
        drop(first);
        second.client.label(|labels| labels.name = "me".into());
        let lines: Vec<String> = clients.all().iter().map(|client| client.line()).collect();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("id=2 addr=127.0.0.1:5 laddr=127.0.0.1:5 name=me age=0 "), "{lines:?}");
    }

    #[test]
    fn a_killed_client_learns_of_it() {
        let clients = Clients::default();
        let peer: SocketAddr = "127.0.0.1:5".parse().unwrap();
        let place = clients.enter(peer, peer, CancellationToken::new());
        clients.all()[0].kill();
        assert!(place.client.killed().is_cancelled());
    }
}
