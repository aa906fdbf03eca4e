//! What a connection remembers between commands.

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use super::clients::{Client, Place};
use super::commands::{Queue, Watched};
use super::door::Door;
use super::pending::PendingSlots;
use super::table;

/// One client's side of a door.
pub(super) struct Session {
    /// Slots of commands that are still on their way to another node.
    pub(super) pending: PendingSlots,
    /// The backend's clock when the commands that are run now began.
    pub(super) now_ms: u64,
    /// Place of the last command in the table.
    pub(super) command: usize,
    /// Between `MULTI` and `EXEC`.
    pub(super) queue: Option<Queue>,
    /// By `WATCH`.
    pub(super) watched: Vec<Watched>,
    /// By `CLIENT REPLY`.
    pub(super) quiet: Quiet,
    authenticated: bool,
    place: Place,
}

/// Whether replies are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Quiet {
    /// All are written.
    #[default]
    No,
    /// This command's and the next one's are left out.
    ThisAndNext,
    /// The next one's is left out.
    Next,
    /// All are left out.
    Yes,
}

impl Session {
    /// A client that has just connected.
    pub(super) fn new(door: &Door, peer: SocketAddr) -> Session {
        Session {
            pending: PendingSlots::default(),
            now_ms: 0,
            command: table::UNKNOWN,
            queue: None,
            watched: Vec::new(),
            quiet: Quiet::No,
            authenticated: !door.asks_for_password(),
            place: door.clients.enter(peer, door.addr, door.closing.child_token()),
        }
    }

    /// Whether it may use the door.
    pub(super) fn authenticated(&self) -> bool {
        self.authenticated
    }

    /// Whether `password` lets it use the door, which it may from now on.
    pub(super) fn authenticate(&mut self, door: &Door, password: &[u8]) -> bool {
        let admitted = door.admits(password);
        self.authenticated |= admitted;
        admitted
    }

    /// What others see of it.
    pub(super) fn client(&self) -> &Client {
        &self.place.client
    }

    /// Cancelled when somebody ends this connection, or the door closes.
    pub(super) fn killed(&self) -> CancellationToken {
        self.place.client.killed()
    }

    /// Forgets everything since the connection began but its number.
    pub(super) fn reset(&mut self, door: &Door) {
        self.queue = None;
        self.watched.clear();
        self.quiet = Quiet::No;
        self.authenticated = !door.asks_for_password();
        self.client().label(|labels| labels.name.clear());
    }

    /// Whether the reply of the command that has just been run is left out.
    pub(super) fn is_quiet(&mut self) -> bool {
        let quiet = self.quiet;
        self.quiet = match quiet {
            Quiet::ThisAndNext => Quiet::Next,
            Quiet::Next => Quiet::No,
            other => other,
        };
        quiet != Quiet::No
    }
}
