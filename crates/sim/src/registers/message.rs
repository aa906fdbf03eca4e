//! What travels to a simulated node: what peers send it, encoded as in production, and what its user wants.

use std::time::Duration;

use boato_cluster::{Lane, Operation};

use crate::{Host, Payload, Way};

/// One message to a node.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) body: Body,
    bytes: Vec<u8>,
}

/// What it is.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// Gossip, by this way.
    Gossip(Way),
    /// A frame of the cluster machine. Unruly: it may get lost, overtaken and duplicated, which the machine is to
    /// bear.
    Frame { lane: Lane, unruly: bool },
    /// An operation for this node, numbered by its sender.
    Request { number: u64 },
    /// The answer to that request.
    Response { number: u64 },
    /// From this machine itself: its user, or its administrator.
    Command(Box<Command>),
}

/// What is asked of a node from outside the cluster.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Carry out an operation of a client, and tell the answer under this number.
    Execute {
        /// Of the client's choice.
        call: u64,
        /// What to do.
        operation: Operation,
    },
    /// Carry out operations of several clients, which arrive together.
    ExecuteAll(Vec<(u64, Operation)>),
    /// Hand everything off and end, at the latest after this time.
    Leave(Duration),
    /// Change the weight.
    Weight(u16),
    /// Meet whoever is on this host.
    Join(Host),
    /// Let the slots not hear what gossip knows of members, for so long.
    Unaware(Duration),
    /// Set the time of day, by its error in milliseconds.
    Wall(i64),
}

impl Message {
    pub(super) fn new(body: Body, bytes: Vec<u8>) -> Self {
        Self { body, bytes }
    }
}

impl From<Command> for Message {
    fn from(command: Command) -> Self {
        Self::new(Body::Command(Box::new(command)), Vec::new())
    }
}

impl Payload for Message {
    fn way(&self) -> Way {
        match self.body {
            Body::Gossip(way) => way,
            Body::Frame { unruly: true, .. } => Way::Datagram,
            _ => Way::Stream,
        }
    }

    fn stream(&self) -> u8 {
        match self.body {
            Body::Frame { lane: Lane::Control, .. } => 1,
            Body::Frame { lane: Lane::Bulk, .. } => 2,
            Body::Request { .. } | Body::Response { .. } => 3,
            Body::Gossip(_) | Body::Command(_) => 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
