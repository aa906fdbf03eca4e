//! The nodes of a run, and what is known of each.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::doors::Doors;
use super::view::{self, SlotMap, SlotSet};
use crate::nodes::{Http, Launch, Node, Signals};
use crate::relay::{Counts, Relay};

/// Longest wait for an answer about the cluster.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the first nodes to become one cluster.
const ASSEMBLY_MAX: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(50);

/// Nodes that run.
pub(super) struct Fleet {
    /// How nodes are started from now on.
    pub(super) launch: Launch,
    pub(super) http: Http,
    members: Vec<Member>,
    /// Told to leave.
    leaving: Vec<Member>,
    /// What each process has last said.
    counted: BTreeMap<u32, Counted>,
    /// How many nodes there have been.
    count: usize,
    /// The network between them, if it is a bad one.
    relay: Option<Relay>,
    /// Where nodes are bound, behind the relay.
    endpoints: HashMap<String, SocketAddr>,
    /// Those whose death is no accident when others declare it.
    pub(super) doomed: Vec<String>,
}

struct Member {
    node: Node,
    http: SocketAddr,
    /// How much of its log has been read.
    read: usize,
}

/// What a look at the fleet brought up.
pub(super) enum News {
    /// A node that was told to leave has ended.
    Left { name: String, http: SocketAddr },
    /// A node that runs was taken for dead by another, which nobody arranged.
    FalseDeath { name: String, by: String },
    /// A doomed node was taken for dead.
    GivenUp { name: String, by: String },
}

impl Fleet {
    pub(super) fn new(launch: Launch, relay: Option<Relay>) -> Self {
        Self {
            launch,
            http: Http::new(ANSWER_MAX),
            members: Vec::new(),
            leaving: Vec::new(),
            counted: BTreeMap::new(),
            count: 0,
            relay,
            endpoints: HashMap::new(),
            doomed: Vec::new(),
        }
    }

    /// Starts so many nodes and waits until they are one cluster at rest; where clients ask them.
    pub(super) fn assemble(&mut self, count: usize, signals: &Signals) -> Result<Doors> {
        let doors = Doors::default();
        let mut starting = Vec::new();
        for _ in 0..count {
            let name = self.fresh_name();
            starting.push(self.start(&name)?);
        }
        let deadline = Instant::now() + ASSEMBLY_MAX;
        let mut missing = None;
        while !starting.is_empty() || missing.is_some() {
            ensure!(Instant::now() < deadline, "the nodes did not become one cluster: {missing:?}");
            ensure!(!signals.wait(LOOK), "interrupted");
            for node in std::mem::take(&mut starting) {
                match self.admit(node)? {
                    Ok(http) => doors.open(http),
                    Err(node) => starting.push(node),
                }
            }
            missing = self.unrest()?;
        }
        Ok(doors)
    }

    /// A name that no node has had.
    pub(super) fn fresh_name(&mut self) -> String {
        self.count += 1;
        format!("n{}", self.count)
    }

    /// Starts a process; see [`Fleet::admit`].
    pub(super) fn start(&mut self, name: &str) -> Result<Node> {
        let data = self.launch.dir.join(format!("{name}.data"));
        let mut args = vec!["--data-dir".to_owned(), data.display().to_string()];
        if let Some(relay) = &self.relay {
            let endpoint = free_endpoint()?;
            let route = relay.route(endpoint)?;
            args.extend([
                "--quic".to_owned(),
                endpoint.to_string(),
                "--advertise".to_owned(),
                route.to_string(),
            ]);
            self.endpoints.insert(name.to_owned(), endpoint);
        }
        self.launch.start(name, &args)
    }

    /// Nothing is behind the node's address any more.
    fn unplug(&mut self, name: &str) {
        if let (Some(relay), Some(endpoint)) = (&self.relay, self.endpoints.remove(name)) {
            relay.forget(endpoint);
        }
    }

    /// Cuts what a node sends to others, and what they send to it, or both no more.
    pub(super) fn cut(&self, name: &str, others: &[String], [there, back]: [bool; 2]) {
        let Some(relay) = &self.relay else { return };
        let Some(endpoint) = self.endpoints.get(name) else { return };
        for other in others.iter().filter_map(|other| self.endpoints.get(other)) {
            relay.cut(*endpoint, *other, there);
            relay.cut(*other, *endpoint, back);
        }
    }

    /// What became of the packets between the nodes, if they are counted.
    pub(super) fn packets(&self) -> Option<Counts> {
        self.relay.as_ref().map(Relay::counts)
    }

    /// Counts a started node among the members once it serves; gives it back if it does not yet.
    pub(super) fn admit(&mut self, mut node: Node) -> Result<Result<SocketAddr, Node>> {
        if let Some(status) = node.exited()? {
            bail!("{} ended early ({status}):\n{}", node.name, node.log_tail());
        }
        let Some(ready) = node.ready() else { return Ok(Err(node)) };
        if !self.serves(ready.http) {
            return Ok(Err(node));
        }
        self.members.push(Member { node, http: ready.http, read: 0 });
        Ok(Ok(ready.http))
    }

    /// Whether the node at this address says that it serves keys.
    pub(super) fn serves(&self, node: SocketAddr) -> bool {
        self.http.get(node, "/_/readyz").is_ok_and(|answer| answer.status == 200)
    }

    /// Where the logs are.
    pub(super) fn dir(&self) -> &Path {
        &self.launch.dir
    }

    /// Names of the members, the oldest first.
    pub(super) fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.node.name.clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nodes are on their way out.
    pub(super) fn is_parting(&self) -> bool {
        !self.leaving.is_empty()
    }

    fn member(&mut self, name: &str) -> Result<&mut Member> {
        let member = self.members.iter_mut().find(|member| member.node.name == name);
        member.with_context(|| format!("there is no node {name}"))
    }

    pub(super) fn http_of(&mut self, name: &str) -> Result<SocketAddr> {
        Ok(self.member(name)?.http)
    }

    /// Asks a node to leave.
    pub(super) fn dismiss(&mut self, name: &str) -> Result<()> {
        self.count();
        let index = self.members.iter().position(|member| member.node.name == name);
        let member = self.members.remove(index.with_context(|| format!("there is no node {name}"))?);
        member.node.terminate();
        self.leaving.push(member);
        Ok(())
    }

    /// Kills a node.
    pub(super) fn kill(&mut self, name: &str) -> Result<()> {
        let index = self.members.iter().position(|member| member.node.name == name);
        let mut member = self.members.remove(index.with_context(|| format!("there is no node {name}"))?);
        self.unplug(name);
        member.node.kill()
    }

    /// Kills everything that runs.
    pub(super) fn end(&mut self) {
        self.members.clear();
        self.leaving.clear();
    }

    /// Stops a node's threads.
    pub(super) fn freeze(&mut self, name: &str) -> Result<()> {
        self.member(name)?.node.freeze();
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn thaw(&mut self, name: &str) -> Result<()> {
        self.member(name)?.node.thaw();
        Ok(())
    }

    /// Looks whether nodes have ended, and what they have logged.
    pub(super) fn look(&mut self) -> Result<Vec<News>> {
        let mut news = Vec::new();
        for member in &mut self.members {
            if let Some(status) = member.node.exited()? {
                bail!("{} ended by itself ({status}):\n{}", member.node.name, member.node.log_tail());
            }
        }
        let failed: Vec<_> =
            self.members.iter_mut().chain(&mut self.leaving).flat_map(Member::failures).collect();
        for (by, name) in failed {
            let runs = self.members.iter().chain(&self.leaving).any(|member| member.node.name == name);
            if self.doomed.contains(&name) {
                news.push(News::GivenUp { name, by });
            } else if runs {
                news.push(News::FalseDeath { name, by });
            }
        }
        for mut member in std::mem::take(&mut self.leaving) {
            match member.node.exited()? {
                Some(status) => {
                    let name = member.node.name.clone();
                    ensure!(status.success(), "{name} left with {status}:\n{}", member.node.log_tail());
                    self.unplug(&name);
                    news.push(News::Left { name, http: member.http });
                }
                None => self.leaving.push(member),
            }
        }
        Ok(news)
    }

    /// Why the members are not one cluster at rest, if they are not.
    pub(super) fn unrest(&self) -> Result<Option<String>> {
        if self.is_parting() {
            return Ok(Some("nodes are leaving".to_owned()));
        }
        let nodes: Vec<_> = self.members.iter().map(|member| (&*member.node.name, member.http)).collect();
        view::unrest(&self.http, &nodes)
    }

    /// All slots, as a member other than `except` sees them.
    pub(super) fn slots(&self, except: &str) -> Result<SlotMap> {
        let member = self.members.iter().find(|member| member.node.name != except);
        SlotMap::ask(&self.http, member.context("nobody is left to ask")?.http)
    }

    /// Slots held by a member, as another sees them.
    pub(super) fn slots_of(&self, name: &str) -> Result<SlotSet> {
        Ok(self.slots(name)?.of(name))
    }

    /// What all processes so far have counted.
    pub(super) fn count(&mut self) -> Counted {
        for member in &self.members {
            let metric = |name| self.http.metric(member.http, name);
            if let (Ok(lost), Ok(superseded)) =
                (metric("boato_slots_lost_total"), metric("boato_keys_superseded_total"))
            {
                self.counted.insert(member.node.pid(), Counted { lost, superseded });
            }
        }
        let lost = self.counted.values().map(|counted| counted.lost).sum();
        Counted { lost, superseded: self.counted.values().map(|counted| counted.superseded).sum() }
    }
}

/// What processes count of their own losses.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    /// Slots that began anew after a crash.
    pub(super) lost: u64,
    /// Values given up in merges.
    pub(super) superseded: u64,
}

/// An address that was free a moment ago.
fn free_endpoint() -> Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    socket.local_addr().context("looking for a free port")
}

#[derive(Deserialize)]
struct LogLine {
    message: String,
    name: Option<String>,
}

impl Member {
    /// Who it has declared dead since the last look: its own name and theirs.
    fn failures(&mut self) -> Vec<(String, String)> {
        let log = self.node.log();
        let complete = log.rfind('\n').map_or(0, |end| end + 1);
        let fresh = log.get(self.read..complete).unwrap_or_default();
        let by = &self.node.name;
        let failed = fresh.lines().filter_map(failed).map(|name| (by.clone(), name)).collect();
        self.read = complete.max(self.read);
        failed
    }
}

/// The node that a line of the log declares dead.
fn failed(line: &str) -> Option<String> {
    let line: LogLine = serde_json::from_str(line).ok()?;
    line.name.filter(|_| line.message.starts_with("a member failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_read_from_the_log() {
        let line = r#"{"timestamp":"t","level":"WARN","message":"a member failed: its keys are lost","name":"n3","quic":"a"}"#;
        assert_eq!(failed(line).as_deref(), Some("n3"));
        assert_eq!(failed(&line.replace("failed", "left")), None);
        assert_eq!(failed("a member failed"), None);
    }
}
