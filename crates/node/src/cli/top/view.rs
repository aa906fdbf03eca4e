//! The members and what they do, as the one node tells that is asked again and again.

use std::collections::BTreeMap;

use boato_api::Figures;
use serde::Deserialize;
use serde_json::Value;

use super::super::failure::Failure;
use super::super::target::Target;
use crate::client::{Client, ClientError};

/// What a member says of itself, or the node asked of it.
#[derive(Clone, Deserialize)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: String,
    http: Option<String>,
    pub(super) load: Option<Load>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Load {
    pub(super) slots: u32,
    pub(super) bytes: u64,
}

/// A member, and what it does if it tells.
pub(super) struct Row {
    pub(super) member: Member,
    pub(super) figures: Option<Figures>,
}

pub(super) struct View<'a> {
    client: Client,
    target: &'a Target,
    /// Members and their doors, to go on with when a node is gone.
    peers: Vec<(String, String)>,
}

impl<'a> View<'a> {
    pub(super) fn new(target: &'a Target) -> Result<Self, Failure> {
        Ok(Self { client: target.client()?, target, peers: Vec::new() })
    }

    /// All members by name.
    pub(super) fn look(&mut self) -> Result<Vec<Row>, Failure> {
        let (mut members, mut figures) = match told(&self.client) {
            Ok(told) => told,
            Err(error) => self.move_on().ok_or(error)?,
        };
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let peer = |member: &Member| Some((member.id.clone(), member.http.clone()?));
        self.peers = members.iter().filter_map(peer).collect();
        let row = |member: Member| Row { figures: figures.remove(&member.id).flatten(), member };
        Ok(members.into_iter().map(row).collect())
    }

    /// What another member tells, which is asked from then on. Behind the door that it announces may be another node: a loopback
    /// door leads to one of this machine.
    fn move_on(&mut self) -> Option<Told> {
        self.peers.iter().find_map(|(id, addr)| {
            let client = self.target.client_at(addr).ok()?;
            let status: Value = client.json("/_/status").ok()?;
            if status["id"].as_str() != Some(id) {
                return None;
            }
            let told = told(&client).ok()?;
            self.client = client;
            Some(told)
        })
    }
}

/// The members, and the figures of those alive.
type Told = (Vec<Member>, BTreeMap<String, Option<Figures>>);

fn told(client: &Client) -> Result<Told, ClientError> {
    Ok((client.json("/_/members")?, client.json("/_/figures")?))
}
