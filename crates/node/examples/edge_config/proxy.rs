//! An edge proxy: a client of the node beside it.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use fastrand::Rng;
use ureq::Agent;
use ureq::http::{HeaderValue, Response};

use crate::report::{Latencies, Whence};
use crate::sites::Sites;

/// Reads and writes through one node.
#[derive(Clone)]
pub(crate) struct Proxy {
    agent: Agent,
    door: SocketAddr,
    seed: u64,
}

impl Proxy {
    pub(crate) fn new(door: SocketAddr, seed: u64) -> Self {
        Self { agent: Agent::config_builder().proxy(None).build().into(), door, seed }
    }

    /// Writes host and configuration of one site; returns the bytes of the configuration.
    pub(crate) fn store(&self, sites: &Sites, id: usize) -> Result<u64> {
        let config = sites.config(id);
        self.put(&format!("config/{id}"), config.as_bytes())?;
        self.put(&format!("host/{}", sites.host(id)), id.to_string().as_bytes())?;
        Ok(config.len() as u64)
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<()> {
        let answer = self.agent.put(self.url(key)).send(value).with_context(|| format!("writing {key}"))?;
        ensure!(answer.status() == 201, "writing {key} was answered {}", answer.status());
        Ok(())
    }

    /// Looks up hosts, the popular ones more often, and checks every answer.
    pub(crate) fn look_up(&self, sites: &Sites, lookups: u32) -> Result<Latencies> {
        let (mut latencies, mut rng) = (Latencies::new()?, Rng::with_seed(self.seed));
        for _ in 0..lookups {
            let host = sites.host(sites.draw(&mut rng));
            let start = Instant::now();
            let id = self.get(&format!("host/{host}"), &mut latencies)?;
            let id: usize = std::str::from_utf8(&id)?.parse().with_context(|| format!("the id of {host}"))?;
            let config = self.get(&format!("config/{id}"), &mut latencies)?;
            latencies.lookup(start.elapsed())?;
            ensure!(sites.host(id) == host, "{host} was mapped to {id}, which is {}", sites.host(id));
            ensure!(sites.is_config(id, &config), "the configuration of {host} is another than was stored");
        }
        Ok(latencies)
    }

    fn get(&self, key: &str, latencies: &mut Latencies) -> Result<Vec<u8>> {
        let start = Instant::now();
        let mut answer = self.agent.get(self.url(key)).call().with_context(|| format!("reading {key}"))?;
        let value = answer.body_mut().read_to_vec()?;
        latencies.read(whence(&answer)?, start.elapsed())?;
        Ok(value)
    }

    fn url(&self, key: &str) -> String {
        format!("http://{}/{key}", self.door)
    }
}

/// Which node the answer came from.
fn whence<T>(answer: &Response<T>) -> Result<Whence> {
    match answer.headers().get("x-source").map(HeaderValue::as_bytes) {
        Some(b"local") => Ok(Whence::Local),
        Some(b"cluster") => Ok(Whence::Cluster),
        other => bail!("an answer whose X-Source is {other:?}"),
    }
}
