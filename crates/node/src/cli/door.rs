//! RESP doors of a cluster, as the node tells that is asked over HTTP, and whether a node of that cluster is behind them.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use super::failure::Failure;
use super::resp::Resp;
use super::target::Target;
use crate::client::ClientError;
use crate::config::Address;

/// Flags of every command that uses a RESP door.
#[derive(Clone, clap::Args)]
pub(super) struct Doors {
    #[command(flatten)]
    pub(super) target: Target,

    /// RESP address of a node of the cluster, where those that the nodes tell do not lead to them from here
    #[arg(long, value_name = "ADDR")]
    resp: Option<Address>,
}

/// A RESP door.
#[derive(Clone, Debug)]
pub(super) struct Door {
    addr: String,
    /// The ids of the nodes that may be behind it.
    ids: Vec<String>,
    secret: Option<String>,
}

/// What a node tells of itself or of another; of itself no state.
#[derive(Deserialize)]
struct Member {
    id: String,
    state: Option<String>,
    resp: Option<String>,
}

impl Doors {
    /// A connection to the door of the node that is asked, or to the one named.
    pub(super) fn connect(&self) -> Result<Resp, Failure> {
        let (client, secret) = self.target.client_and_secret()?;
        if let Some(door) = self.named()? {
            return door.connect();
        }
        let Member { id, resp, .. } = client.json("/_/status")?;
        Door { addr: resp.ok_or(Failure::NoResp)?, ids: vec![id], secret }.connect()
    }

    /// The doors of all members alive, at least one; only the one named if there is one.
    pub(super) fn all(&self) -> Result<Vec<Door>, Failure> {
        if let Some(door) = self.named()? {
            return Ok(vec![door]);
        }
        let (client, secret) = self.target.client_and_secret()?;
        let members: Vec<Member> = client.json("/_/members")?;
        let alive = members.into_iter().filter(Member::is_alive);
        let door =
            |Member { id, resp, .. }| Some(Door { addr: resp?, ids: vec![id], secret: secret.clone() });
        let doors: Vec<Door> = alive.filter_map(door).collect();
        if doors.is_empty() { Err(Failure::NoResp) } else { Ok(doors) }
    }

    /// The door at `--resp`, behind which any member may be.
    fn named(&self) -> Result<Option<Door>, Failure> {
        let Some(address) = &self.resp else { return Ok(None) };
        let addr = address
            .resolve(IpAddr::from(Ipv4Addr::LOCALHOST))
            .map_err(|source| ClientError::Unresolved { address: address.clone(), source })?;
        let (client, secret) = self.target.client_and_secret()?;
        let members: Vec<Member> = client.json("/_/members")?;
        let ids = members.into_iter().filter(Member::is_alive).map(|member| member.id).collect();
        Ok(Some(Door { addr: addr.to_string(), ids, secret }))
    }
}

impl Member {
    fn is_alive(&self) -> bool {
        self.state.as_deref() == Some("alive")
    }
}

impl Door {
    /// A connection, once it is known that a node of the cluster is behind it: an address like 127.0.0.1:7379 leads elsewhere
    /// from every machine.
    pub(super) fn connect(&self) -> Result<Resp, Failure> {
        let astray = |found| Failure::Door { addr: self.addr.clone(), found };
        let mut resp = match Resp::at(&self.addr, self.secret.as_deref()) {
            Err(Failure::Resp { reason, unreachable: true, .. }) => {
                return Err(astray(format!("nobody answers there ({reason})")));
            }
            other => other?,
        };
        let run_id = resp.run_id()?;
        if self.ids.iter().any(|id| run_id == format!("{id:0>40}")) {
            return Ok(resp);
        }
        Err(astray("what answers there is another server".to_owned()))
    }
}
